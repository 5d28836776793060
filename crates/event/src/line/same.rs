//! Whether a repeated event is the one that was stored.

use crate::complete::{EventId, Stamp};
use crate::event::{Context, Event, Object, Recorded, Resource, Truncation, Value, held_id};
use crate::line;
use crate::personal::{self, Personal, PersonalKeys, Seen};

/// By what the personal values of stored lines are compared.
#[derive(Clone, Copy, Default)]
pub struct Compared<'a> {
    /// The rules by which they would be written now.
    pub rules: Option<&'a Personal>,
    /// The keys that open them.
    pub keys: Option<&'a dyn PersonalKeys>,
}

/// Whether a stored line has the content of `given`, ignoring what the trail fills in, the context, and fields that
/// `given` does not have. `given` is what would be recorded now, so after masking; it is compared after its own cuts.
///
/// Category and severity always count: an event always has them. Personal values are compared as they were before they
/// were sealed; those that do not open any more, since the person was erased, do not count.
pub fn same_content(given: &Event, stored_line: &[u8], by: Compared<'_>) -> bool {
    let mut closed = Vec::new();
    let stored = personal::reveal_with(stored_line, |token, place| {
        let seen = by.keys.map(|keys| personal::open(keys, token, place));
        seen.filter(|seen| matches!(seen, Seen::Json(_))).unwrap_or_else(|| {
            closed.push(place.pointer.to_owned());
            Seen::Word("")
        })
    });
    let Ok(stored) = Event::from_line(&stored) else { return false };
    let by = Opened { rules: by.rules, closed };
    // The context does not count, but affects how much room there is for the rest. If none of the stored context was
    // cut, using it makes cuts fall where they fell then; if some was cut, the event's own context does.
    [&stored.event.context, &given.context].into_iter().any(|context| {
        as_stored(given, context, &stored, &by).is_some_and(|again| {
            same_event(given, &again.event, &stored.event)
                && cuts(&again.truncated).eq(cuts(&stored.truncated))
        })
    })
}

/// What is known of the personal values of a stored line.
struct Opened<'a> {
    rules: Option<&'a Personal>,
    /// The pointers of those that did not open.
    closed: Vec<String>,
}

/// The result of reading `given` if it had been stored with this context instead of that of `stored`.
fn as_stored(given: &Event, context: &Context, stored: &Recorded, by: &Opened<'_>) -> Option<Recorded> {
    let event = Event { context: context.clone(), ..given.clone() };
    let now = if stored.time_ahead { stored.recorded } else { stored.event.time.unwrap_or(stored.recorded) };
    let stamp = Stamp {
        now,
        id: EventId::given(stored.event.id.as_deref().unwrap_or_default()),
        system: stored.system,
        recorded_by: stored.recorded_by.as_deref().map(Into::into),
        masked: stored.masked.clone(),
        sample_rate: stored.sample_rate,
    };
    let mut bytes = Vec::new();
    line::write_front(stored.index, &stored.recorded.to_text(), &mut bytes);
    match by.rules {
        Some(rules) => rules.write_unsealed(&event, &stamp, &mut bytes).ok()?,
        None => line::write_rest(&event, &stamp, &mut bytes).map(|_| ()).ok()?,
    }
    Event::from_line(&personal::blank(&bytes, &by.closed)).ok()
}

/// The cuts that count: not those of the context and the id.
fn cuts(truncated: &[Truncation]) -> impl Iterator<Item = &Truncation> {
    truncated.iter().filter(|cut| !cut.path.starts_with("context.") && cut.path != "id")
}

fn same_event(given: &Event, again: &Event, stored: &Event) -> bool {
    let id = given.id.as_deref().filter(|id| !id.is_empty());
    id.is_none_or(|id| stored.id.as_deref() == Some(&held_id(id)))
        && (given.time.is_none() || again.time == stored.time)
        && (&again.category, &again.action, again.severity)
            == (&stored.category, &stored.action, stored.severity)
        && given_equals(&again.outcome, &stored.outcome)
        && given_equals(&again.tenant, &stored.tenant)
        && given_equals(&again.description, &stored.description)
        && given_equals(&again.error, &stored.error)
        && same_parties(again, stored)
        && given_equals(&again.before, &stored.before)
        && given_equals(&again.after, &stored.after)
        && given_equals(&again.changes, &stored.changes)
        && given_equals(&again.duration_ms, &stored.duration_ms)
        && given_equals(&again.approval, &stored.approval)
        && (again.details.is_empty() || again.details == stored.details)
        && members_given(&again.extra, &stored.extra)
        && (again.invalid.is_empty() || again.invalid == stored.invalid)
}

fn same_parties(again: &Event, stored: &Event) -> bool {
    let actor = again.actor.as_ref().is_none_or(|again| {
        stored.actor.as_ref().is_some_and(|stored| {
            given_equals(&again.id, &stored.id)
                && given_equals(&again.kind, &stored.kind)
                && given_equals(&again.name, &stored.name)
                && given_equals(&again.email, &stored.email)
                && (again.roles.is_empty() || again.roles == stored.roles)
                && members_given(&again.extra, &stored.extra)
        })
    });
    let other = again.on_behalf_of.as_ref().is_none_or(|again| {
        stored.on_behalf_of.as_ref().is_some_and(|stored| {
            given_equals(&again.id, &stored.id)
                && given_equals(&again.reason, &stored.reason)
                && members_given(&again.extra, &stored.extra)
        })
    });
    let resource = again
        .resource
        .as_ref()
        .is_none_or(|again| stored.resource.as_ref().is_some_and(|stored| same_resource(again, stored)));
    actor && other && resource && (again.related.is_empty() || again.related == stored.related)
}

fn same_resource(again: &Resource, stored: &Resource) -> bool {
    given_equals(&again.id, &stored.id)
        && given_equals(&again.kind, &stored.kind)
        && given_equals(&again.name, &stored.name)
        && members_given(&again.extra, &stored.extra)
}

fn given_equals<T: PartialEq>(given: &Option<T>, stored: &Option<T>) -> bool {
    given.is_none() || given == stored
}

fn members_given(given: &Object, stored: &Object) -> bool {
    let stored = stored.lookup();
    given.iter().all(|(key, value): (&str, &Value)| stored.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complete::complete;
    use crate::event::Outcome;
    use crate::timestamp::Timestamp;

    fn line_of(event: &Event) -> Vec<u8> {
        let now = Timestamp::from_micros(1_000_000);
        let mut line = Vec::new();
        line::write_front(7, &now.to_text(), &mut line);
        line::write_rest(event, &complete(event, now), &mut line).unwrap();
        line
    }

    fn check(stored: &Event, given: &Event, expected: bool) {
        assert_eq!(same_content(given, &line_of(stored), Compared::default()), expected, "{given:?}");
    }

    fn event() -> Event {
        Event::new("a").id("1").actor("u1").tenant("t").detail("k", "v").ip("1.2.3.4")
    }

    #[test]
    fn tells_a_repeat_from_another_event() {
        check(&event(), &event(), true);
        check(&event(), &event().ip("5.6.7.8"), true);
        check(&event(), &Event::new("a").id("1"), true);
        check(&event(), &event().actor("u2"), false);
        check(&event(), &event().detail("k", "w"), false);
        check(&event(), &event().description("x"), false);
        check(&event(), &event().time(Timestamp::from_micros(5)), false);
        check(&event(), &Event::new("b").id("1"), false);
        check(&event(), &Event::new("a").id("2"), false);
        check(&event(), &event().error("no"), false);
        check(&event(), &event().outcome(Outcome::Success), false);
        // Trails of before say `success` of an event that named no outcome, and it may be sent again.
        check(&event().outcome(Outcome::Success), &event(), true);
        assert!(!same_content(&event(), b"{}", Compared::default()));
    }

    #[test]
    fn a_repeat_with_a_context_that_was_cut_is_one() {
        let long = event().detail("k", "x".repeat(70_000)).user_agent("u".repeat(1_800));
        check(&long, &long, true);
        check(&long, &long.clone().detail("k", "y".repeat(70_000)), false);
    }

    #[test]
    fn what_was_cut_counts_by_its_hash() {
        let long = |end: &str| event().detail("k", "x".repeat(100_000) + end).id("i".repeat(200));
        check(&long("a"), &long("a"), true);
        check(&long("a"), &long("b"), false);
    }
}
