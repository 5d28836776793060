//! An event of which the caller has the fields, and has written the free parts as JSON text: for bindings to other
//! languages, and for programs that hold such text already.
//!
//! In: fields and texts. Out: the event's JSON text, with the place where each part ends. What must hold: a part is one
//! JSON value or it is a string, so no text can end its field and begin another one.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::event::names::FIELDS;
use crate::event::{Object, Value, escape_into};
use crate::rewrite::{Ends, rank};
use crate::timestamp::Timestamp;

/// An event as fields, of which those that hold objects, lists, numbers or anything are JSON text.
///
/// It is read like JSON that a client sent: nothing in it except a missing `action` is a reason to refuse it. A part
/// that is not JSON is kept as a string.
///
/// ```
/// use trailseal_event::EventText;
///
/// let event = EventText {
///     action: "invoice.approve",
///     tenant: Some("acme"),
///     actor: Some(r#"{"id":"u1"}"#),
///     details: Some(r#"{"amount":12.50}"#),
///     ..EventText::default()
/// };
/// assert_eq!(
///     String::from_utf8(event.to_json()).unwrap(),
///     r#"{"tenant":"acme","action":"invoice.approve","actor":{"id":"u1"},"details":{"amount":12.50}}"#,
/// );
///
/// let smuggled = EventText { action: "a", details: Some(r#"{},"tenant":"other""#), ..EventText::default() };
/// assert_eq!(
///     String::from_utf8(smuggled.to_json()).unwrap(),
///     r#"{"action":"a","details":"{},\"tenant\":\"other\""}"#,
/// );
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EventText<'a> {
    /// What was done.
    pub action: &'a str,
    /// The caller's own id.
    pub id: Option<&'a str>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// Whose data the event concerns.
    pub tenant: Option<&'a str>,
    /// The category's name.
    pub category: Option<&'a str>,
    /// A sentence for people.
    pub description: Option<&'a str>,
    /// The severity's name.
    pub severity: Option<&'a str>,
    /// The outcome's name.
    pub outcome: Option<&'a str>,
    /// Why it failed.
    pub error: Option<&'a str>,
    /// JSON: who did it.
    pub actor: Option<&'a str>,
    /// JSON: for whom it was done.
    pub on_behalf_of: Option<&'a str>,
    /// JSON: what it was done to.
    pub resource: Option<&'a str>,
    /// JSON: other resources concerned.
    pub related: Option<&'a str>,
    /// JSON: the resource's state before.
    pub before: Option<&'a str>,
    /// JSON: the resource's state after.
    pub after: Option<&'a str>,
    /// JSON: what changed.
    pub changes: Option<&'a str>,
    /// JSON: anything else about the event.
    pub details: Option<&'a str>,
    /// JSON: where it came from.
    pub context: Option<&'a str>,
    /// JSON: how long it took, in milliseconds.
    pub duration_ms: Option<&'a str>,
    /// JSON: opaque approval data.
    pub approval: Option<&'a str>,
    /// JSON: what was given as the time, where it is in no form of [`Timestamp`]. Not used if there is a `time`.
    pub time_text: Option<&'a str>,
    /// Names of the caller's own, and a JSON text for each. One that is a known field's has no effect on that field,
    /// and neither has one on another of its name: it is kept as `extra.NAME`.
    pub extra: &'a [(&'a str, &'a str)],
}

impl EventText<'_> {
    /// The event as JSON text, of which every part is what its field holds.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = Vec::new();
        self.write_with(&mut text, true);
        text
    }

    /// Appends the event's JSON text without a look at its parts, of which [`rewrite_text`](crate::rewrite_text) then
    /// checks that each ends where it should. `None` if that would not be seen: then use [`to_json`](Self::to_json).
    pub fn write(&self, text: &mut Vec<u8>) -> Option<Ends> {
        let is_seen = self.extra.is_empty() && self.time_text.is_none();
        is_seen.then(|| self.write_with(text, false))
    }

    /// Its texts in the order of the line, each with its rank and whether it is JSON.
    fn fields(&self) -> [(usize, Option<&str>, bool); FIELDS.len() - 1] {
        [
            (rank::ID, self.id, false),
            (rank::TENANT, self.tenant, false),
            (rank::CATEGORY, self.category, false),
            (rank::ACTION, Some(self.action), false),
            (rank::DESCRIPTION, self.description, false),
            (rank::SEVERITY, self.severity, false),
            (rank::OUTCOME, self.outcome, false),
            (rank::ERROR, self.error, false),
            (rank::ACTOR, self.actor, true),
            (rank::ON_BEHALF_OF, self.on_behalf_of, true),
            (rank::RESOURCE, self.resource, true),
            (rank::RELATED, self.related, true),
            (rank::BEFORE, self.before, true),
            (rank::AFTER, self.after, true),
            (rank::CHANGES, self.changes, true),
            (rank::DETAILS, self.details, true),
            (rank::CONTEXT, self.context, true),
            (rank::DURATION_MS, self.duration_ms, true),
            (rank::APPROVAL, self.approval, true),
        ]
    }

    fn write_with(&self, text: &mut Vec<u8>, looks: bool) -> Ends {
        let mut ends = Ends::default();
        let start = text.len();
        for (rank, value, is_json) in self.fields() {
            if let Some(value) = value {
                name(FIELDS[rank], text);
                if is_json {
                    part(value, looks, text)
                } else {
                    string(value, text)
                }
                ends.0[rank] = (text.len() - start) as u32;
            }
        }
        if let Some(time) = self.time {
            name(FIELDS[rank::TIME], text);
            text.push(b'"');
            text.extend_from_slice(&time.to_text());
            text.push(b'"');
            ends.0[rank::TIME] = (text.len() - start) as u32;
        } else if let Some(time) = self.time_text {
            name(FIELDS[rank::TIME], text);
            part(time, looks, text);
        }
        if !self.extra.is_empty() {
            self.write_extra(text, looks);
        }
        // There is at least an action.
        text[start] = b'{';
        text.push(b'}');
        ends
    }
}

impl EventText<'_> {
    /// Of two equal names a reader takes the last. So none is written that is a field's, whether or not that is set,
    /// and none twice.
    fn write_extra(&self, text: &mut Vec<u8>, looks: bool) {
        let mut written = HashSet::with_capacity(self.extra.len());
        for (own, value) in self.extra {
            let mut own = Cow::Borrowed(*own);
            while FIELDS.contains(&&*own) || written.contains(&own) {
                own = format!("extra.{own}").into();
            }
            text.push(b',');
            string(&own, text);
            text.push(b':');
            part(value, looks, text);
            written.insert(own);
        }
    }
}

fn name(name: &str, text: &mut Vec<u8>) {
    text.extend_from_slice(b",\"");
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"\":");
}

fn string(value: &str, text: &mut Vec<u8>) {
    text.push(b'"');
    escape_into(value.as_bytes(), text);
    text.push(b'"');
}

fn part(json: &str, looks: bool, text: &mut Vec<u8>) {
    if looks && Value::parse(json.as_bytes()).is_err() {
        string(json, text);
    } else {
        text.extend_from_slice(json.as_bytes());
    }
}

impl Object {
    /// An object of members whose keys are all different, without a look for doubles.
    ///
    /// It is the caller's word that they are. Of two equal keys, look-ups find the first, and readers of the line, most
    /// of which take the last, would see another object.
    pub fn from_distinct(members: Vec<(String, Value)>) -> Object {
        debug_assert!(
            {
                let keys: std::collections::HashSet<_> = members.iter().map(|(key, _)| key).collect();
                keys.len() == members.len()
            },
            "a key occurs twice"
        );
        Object(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn every_field_is_where_json_has_it() {
        let event = EventText {
            action: "a",
            id: Some("i"),
            time: Some(Timestamp::from_micros(0)),
            tenant: Some("t"),
            category: Some("admin"),
            description: Some("say \"hi\"\n"),
            severity: Some("error"),
            outcome: Some("denied"),
            error: Some("no"),
            actor: Some(r#"{"id":"u"}"#),
            on_behalf_of: Some(r#"{"id":"o"}"#),
            resource: Some(r#""invoice/42""#),
            related: Some(r#"[{"type":"x","id":"1"}]"#),
            before: Some("1"),
            after: Some("[2]"),
            changes: Some("{}"),
            details: Some(r#"{"a":[{"b":null}]}"#),
            context: Some(r#"{"ip":"::1"}"#),
            duration_ms: Some("1.50"),
            approval: Some("true"),
            time_text: None,
            extra: &[("own", "{}"), ("o\"wn", "3")],
        };
        let read = Event::from_json(&event.to_json()).unwrap();
        assert_eq!(read.description.as_deref(), Some("say \"hi\"\n"));
        assert_eq!((read.extra.len(), read.invalid.len()), (2, 0), "{read:?}");
        assert_eq!(read.resource.unwrap().id.as_deref(), Some("42"));
        assert_eq!(read.time, Some(Timestamp::from_micros(0)));
        assert_eq!(read.duration_ms.unwrap().as_f64(), 1.5);
        assert!(read.changes.is_some() && read.approval.is_some() && read.before.is_some());
    }

    #[test]
    fn an_extra_field_overrides_no_other() {
        let known: Vec<(&str, &str)> = FIELDS.iter().map(|name| (*name, "\"forged\"")).collect();
        let mut extra = known.clone();
        extra.extend([("own", "1"), ("own", "2"), ("extra.own", "3"), ("own", "4")]);
        let event = EventText { action: "a", tenant: Some("acme"), extra: &extra, ..EventText::default() };
        let text = event.to_json();
        let read = Event::from_json(&text).unwrap();
        assert_eq!((read.action.as_str(), read.tenant.as_deref()), ("a", Some("acme")));
        let plain = EventText { action: "a", tenant: Some("acme"), ..EventText::default() };
        let mut without = read.clone();
        without.extra = Object::default();
        assert_eq!(without, Event::from_json(&plain.to_json()).unwrap());
        for (name, _) in known {
            assert_eq!(read.extra.get(&format!("extra.{name}")).and_then(Value::as_str), Some("forged"));
        }
        let own = ["own", "extra.own", "extra.extra.own", "extra.extra.extra.own"];
        let own = own.map(|name| read.extra.get(name).and_then(Value::as_f64));
        assert_eq!(own, [Some(1.0), Some(2.0), Some(3.0), Some(4.0)], "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn a_time_of_another_form_is_for_the_reader_to_judge() {
        let event = EventText { action: "a", time_text: Some("\"soon\""), ..EventText::default() };
        assert!(event.write(&mut Vec::new()).is_none());
        let read = Event::from_json(&event.to_json()).unwrap();
        assert_eq!((read.time, read.invalid.len()), (None, 1), "{read:?}");
    }

    #[test]
    fn a_text_that_is_not_json_is_a_string() {
        for bad in [
            "",
            " ",
            "{",
            "}",
            "{},\"action\":\"b\"",
            "1 2",
            "\"",
            "nul",
            "{\"a\":1}}",
            "{\"action\":\"b\"}]",
        ] {
            let event =
                EventText { action: "a", before: Some(bad), extra: &[("own", bad)], ..EventText::default() };
            let read = Event::from_json(&event.to_json()).unwrap();
            assert_eq!(read.action, "a");
            assert_eq!(read.before.unwrap().as_str(), Some(bad));
            assert_eq!(read.extra.get("own").and_then(Value::as_str), Some(bad));
        }
    }

    #[test]
    fn an_object_of_distinct_members_is_the_one_that_was_looked_through() {
        let members = || (0..40).map(|n| (format!("k{n}"), Value::from(n)));
        assert_eq!(Object::from_distinct(members().collect()), Object::from_iter(members()));
    }
}
