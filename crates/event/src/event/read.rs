//! From JSON to an [`Event`]: what a client sent, or a line that the trail stored.
//!
//! What must hold: only a missing action refuses an event, unless it is read strictly. A field that cannot be taken is
//! kept as sent under `details._invalid.<path>`, takes its default, and its path is listed in `invalid`. Obvious
//! shorthand is accepted: a string as `actor` is its id, `TYPE/ID` a resource.

use std::collections::{HashMap, HashSet};

use super::names::{INVALID, RESERVED};
use super::parse::{self, AND_MORE, NOT_UTF8, NOTES_MAX, Note, Oddity};
use super::value::without_doubles;
use super::warning::{Fault, Place, Warning, Warnings, misplaced};
use super::{
    Actor, Category, Context, Event, Object, OnBehalfOf, Outcome, Resource, Severity, Truncation, Value,
};
use super::{BadLine, NoAction};
use crate::timestamp::Timestamp;

/// An event as the trail stored it, with what the trail filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// The event's position in its trail.
    pub index: u64,
    /// When the trail recorded it, by the trail's own clock.
    pub recorded: Timestamp,
    /// Whether the trail itself made it.
    pub system: bool,
    /// The content. `changes` also holds what was derived.
    pub event: Event,
    /// The token or process that handed it in.
    pub recorded_by: Option<String>,
    /// Paths that were masked.
    pub masked: Vec<String>,
    /// What was cut.
    pub truncated: Vec<Truncation>,
    /// The share of events like this one that is kept.
    pub sample_rate: Option<f64>,
    /// Whether the event's time was ahead of the trail's clock when it came in.
    pub time_ahead: bool,
}

impl Event {
    /// Parses an event that a client sent. A byte order mark before it is skipped.
    ///
    /// ```
    /// use trailseal_event::{Event, Outcome};
    ///
    /// let event = Event::from_json(br#"{"action":"user.login","outcome":"so-so","actor":{"id":7}}"#).unwrap();
    /// assert_eq!(event.outcome, Some(Outcome::Unknown));
    /// assert_eq!(event.invalid, ["outcome", "actor.id"]);
    /// assert_eq!(event.details.to_string(), r#"{"_invalid":{"outcome":"so-so","actor.id":7}}"#);
    /// ```
    ///
    /// # Errors
    /// [`BadLine`] if the bytes are not UTF-8, not one JSON object, or have no action.
    pub fn from_json(json: &[u8]) -> Result<Event, BadLine> {
        Ok(Event::from_json_told(json, false)?.0)
    }

    /// Like [`from_json`](Event::from_json), with warnings for the author of the sending program: fields in the wrong
    /// place or form.
    ///
    /// With `strict`, whatever the author got wrong refuses the event: unknown or misplaced names, and wrong JSON
    /// types. A value never does: it may come from outside, and its sender must not keep its own record out.
    ///
    /// ```
    /// use trailseal_event::Event;
    ///
    /// let sent = br#"{"action":"user.login","actor":"u1","ip":"203.0.113.7","time":"yesterday"}"#;
    /// let (event, warnings) = Event::from_json_told(sent, false).unwrap();
    /// assert_eq!(event.actor.unwrap().id.as_deref(), Some("u1"));
    /// let fields: Vec<_> = warnings.told.iter().map(|warning| warning.field.as_str()).collect();
    /// assert_eq!(fields, ["ip", "time"]);
    /// assert_eq!(warnings.told[0].hint, "send it as context.ip");
    ///
    /// assert!(Event::from_json_told(sent, true).is_err());
    /// assert!(Event::from_json_told(br#"{"action":"user.login","time":"yesterday"}"#, true).is_ok());
    /// ```
    ///
    /// # Errors
    /// As [`from_json`](Event::from_json), and [`BadLine::NotStrict`].
    pub fn from_json_told(json: &[u8], strict: bool) -> Result<(Event, Warnings), BadLine> {
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let parsed = parse_line(json, parse::DEPTH_MAX)?;
        from_parsed(parsed.value, parsed.notes, strict)
    }

    /// Takes an event from an existing value, by the rules of [`Event::from_json`].
    ///
    /// # Errors
    /// [`BadLine`] if it is not an object, or has no action.
    pub fn from_value(value: Value) -> Result<Event, BadLine> {
        Ok(from_parsed(value, Vec::new(), false)?.0)
    }
}

impl Recorded {
    /// The time that orders events: the event's own, but never later than its recording. So nobody outside can put an
    /// event in front of all future ones.
    pub fn effective_time(&self) -> Timestamp {
        self.event.time.map_or(self.recorded, |time| time.min(self.recorded))
    }

    /// Reads a stored line, of which `front` has what its front says.
    pub(crate) fn read(front: Recorded, line: &[u8]) -> Result<Recorded, BadLine> {
        let Value::Object(mut object) = parse_line(line, parse::STORED_DEPTH_MAX)?.value else {
            return Err(BadLine::NotALine);
        };
        let mut recorded = front;
        object.0.retain_mut(|(key, value)| !recorded.take(key, value));
        let mut reader = Reader { stored: true, ..Reader::default() };
        let invalid = std::mem::take(&mut recorded.event.invalid);
        recorded.event = Event { invalid, ..reader.event(object)? };
        Ok(recorded)
    }

    /// Takes a field that the trail fills. False if it is not one, or not in the trail's form.
    fn take(&mut self, key: &str, value: &Value) -> bool {
        let texts = |value: &Value| -> Option<Vec<String>> {
            value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let taken = match key {
            "v" | "index" | "recorded" | "system" => Some(()),
            "recorded_by" => value.as_str().map(|text| self.recorded_by = Some(text.to_owned())),
            "masked" => texts(value).map(|paths| self.masked = paths),
            "invalid" => texts(value).map(|paths| self.event.invalid = paths),
            "time_ahead" if *value == Value::Bool(true) => {
                self.time_ahead = true;
                Some(())
            }
            "sample_rate" => value.as_f64().map(|rate| self.sample_rate = Some(rate)),
            "truncated" => value
                .as_array()
                .and_then(|cuts| cuts.iter().map(Truncation::from_value).collect())
                .map(|cuts| self.truncated = cuts),
            _ => None,
        };
        taken.is_some()
    }
}

fn parse_line(json: &[u8], depth_max: usize) -> Result<parse::Parsed, BadLine> {
    parse::parse(json, depth_max).map_err(|error| match error.reason {
        NOT_UTF8 => BadLine::NotUtf8 { offset: error.offset },
        reason => BadLine::NotJson { offset: error.offset, reason },
    })
}

fn from_parsed(value: Value, notes: Vec<Note>, strict: bool) -> Result<(Event, Warnings), BadLine> {
    let object = match value {
        Value::Object(object) => object,
        other => return Err(BadLine::NotAnObject { found: other.kind() }),
    };
    let mut reader = Reader { strict, ..Reader::default() };
    let odd: Vec<(String, Oddity)> = notes.iter().map(|note| (note.path.clone(), note.oddity)).collect();
    for note in notes {
        reader.mark(note.path, note.original);
    }
    let mut event = reader.event(object)?;
    // After problems with fields: whoever fills the values cannot hide those.
    for (path, oddity) in odd.into_iter().filter(|(_, oddity)| *oddity != Oddity::More) {
        reader.tell(&path, Fault::Odd(oddity));
    }
    if let Some(warning) = reader.refused.take() {
        return Err(BadLine::NotStrict(warning));
    }
    let warnings = std::mem::take(&mut reader.warnings);
    reader.finish(&mut event);
    Ok((event, warnings))
}

/// What a program may send in place of a known field.
fn wanted(field: &str) -> &'static str {
    match field {
        "actor" => "an object, or the actor's id as a text",
        "resource" => "an object with type and id, or TYPE/ID as a text",
        "on_behalf_of" | "context" | "details" => "an object",
        "related" => "a list of objects",
        "duration_ms" => "a number",
        "time" => "RFC 3339 as a text, such as \"2026-11-21T04:00:00Z\"",
        _ => "a text",
    }
}

/// The resource of `TYPE/ID`: the type ends at the first slash.
fn type_and_id(text: &str) -> Option<Resource> {
    let (kind, id) = text.split_once('/').filter(|(kind, id)| !kind.is_empty() && !id.is_empty())?;
    Some(Resource { kind: Some(kind.to_owned()), id: Some(id.to_owned()), ..Resource::default() })
}

impl Fault {
    /// What is wrong with a known top-level field that was not taken.
    fn of(field: &str, value: &Value) -> Fault {
        match (field, value) {
            ("id", Value::String(_)) => Fault::EmptyId,
            ("time", Value::String(_)) => Fault::Time,
            ("category", Value::String(_)) => Fault::Category,
            ("severity", Value::String(_)) => Fault::Severity,
            ("outcome", Value::String(_)) => Fault::Outcome,
            ("resource", Value::String(_)) => Fault::ResourceText,
            _ => Fault::Type { found: value.kind(), wanted: wanted(field) },
        }
    }
}

/// Takes fields, and collects those that cannot be taken.
#[derive(Default)]
struct Reader {
    /// A stored line is being read: the trail itself put invalid fields there, and they stay where they are.
    stored: bool,
    /// What the author got wrong refuses the event.
    strict: bool,
    warnings: Warnings,
    refused: Option<Warning>,
    kept: Vec<(String, Value)>,
    kept_keys: HashMap<String, usize>,
    listed: Vec<String>,
    listed_keys: HashSet<String>,
}

impl Reader {
    /// Notes a warning about a field.
    fn tell(&mut self, field: &str, fault: Fault) {
        let is_minded = self.strict && fault.is_authors();
        if self.stored || (fault == Fault::Unknown && !is_minded) {
            return;
        }
        if is_minded && self.refused.is_none() {
            self.refused = Some(fault.refused_at(field));
        }
        self.warnings.add(field, &fault);
    }

    /// Keeps a field that is not known in its place.
    fn own(&mut self, place: Place, part: &str, key: String, value: Value, extra: &mut Object) {
        if !self.stored {
            let fault = misplaced(place, &key).map_or(Fault::Unknown, Fault::Misplaced);
            if fault != Fault::Unknown || self.strict {
                self.tell(&if part.is_empty() { key.clone() } else { format!("{part}.{key}") }, fault);
            }
        }
        extra.0.push((key, value));
    }

    /// Puts aside a known field that cannot be taken as sent.
    fn refuse(&mut self, path: String, value: Value, fault: Fault) {
        // A number that could not be kept is a text by now, which was already reported.
        let was_number = |value: &Value| value.as_str().is_some_and(parse::is_unfit_number);
        if !(matches!(fault, Fault::Type { .. }) && was_number(&value)) {
            self.tell(&path, fault);
        }
        self.mark(path, Some(value));
    }

    /// Lists a path as invalid, and keeps what was sent there.
    fn mark(&mut self, mut path: String, original: Option<Value>) {
        parse::cut_path(&mut path);
        if self.listed.len() < NOTES_MAX {
            if self.listed_keys.insert(path.clone()) {
                self.listed.push(path.clone());
            }
        } else if self.listed_keys.insert(AND_MORE.to_owned()) {
            self.listed.push(AND_MORE.to_owned());
        }
        let Some(original) = original else { return };
        // The second value of one path is kept under `path#2`, and so on.
        let mut key = path.clone();
        let mut count = self.kept_keys.get(&path).copied().unwrap_or(0);
        while self.kept_keys.contains_key(&key) {
            count += 1;
            key = format!("{path}#{count}");
        }
        self.kept_keys.insert(path, count.max(1));
        self.kept_keys.insert(key.clone(), 1);
        self.kept.push((key, original));
    }

    fn event(&mut self, object: Object) -> Result<Event, BadLine> {
        let mut event = Event::default();
        let mut action = Err(NoAction::Missing);
        for (key, value) in object {
            match (key.as_str(), value) {
                ("action", Value::String(text)) if text.is_empty() => action = Err(NoAction::Empty),
                ("action", Value::String(text)) => action = Ok(text),
                ("action", Value::Null) => {}
                ("action", other) => action = Err(NoAction::NotText { found: other.kind() }),
                (name, value) if !self.stored && RESERVED.contains(&name) => {
                    self.refuse(key, value, Fault::Reserved);
                }
                (name, Value::Null) if super::names::FIELDS.contains(&name) => {}
                (_, value) => {
                    if let Some(value) = self.field(&mut event, &key, value) {
                        if self.stored || !super::names::FIELDS.contains(&key.as_str()) {
                            self.own(Place::Event, "", key, value, &mut event.extra);
                        } else {
                            let fault = Fault::of(&key, &value);
                            self.refuse(key, value, fault);
                        }
                    }
                }
            }
        }
        event.action = action?;
        Ok(event)
    }

    /// Takes one top-level field, and returns what cannot be taken.
    fn field(&mut self, event: &mut Event, key: &str, value: Value) -> Option<Value> {
        match (key, value) {
            ("id", Value::String(id)) if !id.is_empty() => event.id = Some(id),
            ("time", value) => match value.as_str().and_then(Timestamp::parse) {
                Some(time) => event.time = Some(time),
                None => return Some(value),
            },
            ("tenant", Value::String(text)) => event.tenant = Some(text),
            ("category", value) => match value.as_str().and_then(Category::parse) {
                Some(category) => event.category = category,
                None => return Some(value),
            },
            ("description", Value::String(text)) => event.description = Some(text),
            ("severity", value) => match value.as_str().and_then(Severity::parse) {
                Some(severity) => event.severity = severity,
                None => return Some(value),
            },
            // Counts as absent, in a stored line too.
            ("outcome", Value::String(text)) if text.is_empty() => {}
            ("outcome", value) => match value.as_str().and_then(Outcome::parse) {
                Some(outcome) => event.outcome = Some(outcome),
                None => {
                    event.outcome = Some(Outcome::Unknown);
                    return Some(value);
                }
            },
            ("error", Value::String(text)) => event.error = Some(text),
            ("actor", Value::Object(object)) => event.actor = Some(self.actor(object)),
            ("actor" | "resource", Value::String(text)) if !self.stored && text.is_empty() => {}
            ("actor", Value::String(id)) if !self.stored => {
                event.actor = Some(Actor::new(id));
            }
            ("resource", Value::String(text)) if !self.stored => match type_and_id(&text) {
                Some(resource) => event.resource = Some(resource),
                None => return Some(Value::String(text)),
            },
            ("on_behalf_of", Value::Object(object)) => event.on_behalf_of = Some(self.on_behalf_of(object)),
            ("resource", Value::Object(object)) => event.resource = Some(self.resource("resource", object)),
            ("related", Value::Array(elements)) => event.related = self.related(elements),
            ("before", value) => event.before = Some(value),
            ("after", value) => event.after = Some(value),
            ("changes", value) => event.changes = Some(value),
            ("details", Value::Object(object)) => event.details = self.details(object),
            ("context", Value::Object(object)) => event.context = self.context(object),
            ("duration_ms", Value::Number(number)) => event.duration_ms = Some(number),
            ("approval", value) => event.approval = Some(value),
            (_, value) => return Some(value),
        }
        None
    }

    /// A caller's own `_invalid` could pass for the trail's marks, so it is moved below them.
    fn details(&mut self, mut object: Object) -> Object {
        if !self.stored
            && let Some(value) = object.remove(INVALID)
        {
            self.refuse(format!("details.{INVALID}"), value, Fault::Mark);
        }
        object
    }

    fn actor(&mut self, object: Object) -> Actor {
        let mut actor = Actor::default();
        for (key, value) in object {
            match (key.as_str(), value) {
                ("id", value) => actor.id = self.text("actor", key, value, &mut actor.extra),
                ("type", value) => actor.kind = self.text("actor", key, value, &mut actor.extra),
                ("name", value) => actor.name = self.text("actor", key, value, &mut actor.extra),
                ("email", value) => actor.email = self.text("actor", key, value, &mut actor.extra),
                ("roles", Value::Array(roles)) => actor.roles = self.roles(roles),
                ("roles", Value::Null) => {}
                ("roles", value) => self.put_aside("actor", key, value, &mut actor.extra, "a list of texts"),
                (_, value) => self.own(Place::Actor, "actor", key, value, &mut actor.extra),
            }
        }
        actor
    }

    fn roles(&mut self, elements: Vec<Value>) -> Vec<String> {
        let mut roles = Vec::with_capacity(elements.len());
        for (place, element) in elements.into_iter().enumerate() {
            match element {
                Value::String(role) => roles.push(role),
                other => {
                    let fault = Fault::Type { found: other.kind(), wanted: "a text" };
                    self.refuse(format!("actor.roles.{place}"), other, fault);
                }
            }
        }
        roles
    }

    fn on_behalf_of(&mut self, object: Object) -> OnBehalfOf {
        let mut other = OnBehalfOf::default();
        for (key, value) in object {
            match key.as_str() {
                "id" => other.id = self.text("on_behalf_of", key, value, &mut other.extra),
                "reason" => other.reason = self.text("on_behalf_of", key, value, &mut other.extra),
                _ => self.own(Place::OnBehalfOf, "on_behalf_of", key, value, &mut other.extra),
            }
        }
        other
    }

    fn resource(&mut self, path: &str, object: Object) -> Resource {
        let mut resource = Resource::default();
        for (key, value) in object {
            match key.as_str() {
                "type" => resource.kind = self.text(path, key, value, &mut resource.extra),
                "id" => resource.id = self.text(path, key, value, &mut resource.extra),
                "name" => resource.name = self.text(path, key, value, &mut resource.extra),
                _ => self.own(Place::Resource, path, key, value, &mut resource.extra),
            }
        }
        resource
    }

    fn related(&mut self, elements: Vec<Value>) -> Vec<Resource> {
        let mut related = Vec::with_capacity(elements.len());
        for (place, element) in elements.into_iter().enumerate() {
            let path = format!("related.{place}");
            match element {
                Value::Object(object) => related.push(self.resource(&path, object)),
                other => {
                    let fault = Fault::Type { found: other.kind(), wanted: "an object" };
                    self.refuse(path, other, fault);
                }
            }
        }
        related
    }

    fn context(&mut self, object: Object) -> Context {
        let mut context = Context::default();
        let mut extra = Object::new();
        for (key, value) in object {
            match context.text_mut(&key) {
                Some(field) => *field = self.text("context", key, value, &mut extra),
                None => self.own(Place::Context, "context", key, value, &mut extra),
            }
        }
        context.extra = extra;
        context
    }

    /// Takes a text field of a part of the event; null counts as absent.
    fn text(&mut self, part: &str, key: String, value: Value, extra: &mut Object) -> Option<String> {
        match value {
            Value::String(text) => return Some(text),
            Value::Null => {}
            other => self.put_aside(part, key, other, extra, "a text"),
        }
        None
    }

    fn put_aside(&mut self, part: &str, key: String, value: Value, extra: &mut Object, wanted: &'static str) {
        if self.stored {
            extra.0.push((key, value));
        } else {
            let fault = Fault::Type { found: value.kind(), wanted };
            self.refuse(format!("{part}.{key}"), value, fault);
        }
    }

    /// Puts what could not be taken into the event.
    fn finish(self, event: &mut Event) {
        if !self.kept.is_empty() {
            let kept = without_doubles(self.kept, |_, _| ());
            event.details.0.push((INVALID.to_owned(), Value::Object(kept)));
        }
        event.invalid = self.listed;
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
