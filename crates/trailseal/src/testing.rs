//! For tests: checks that an event was recorded.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::{AuditLogger, Category, FileAuditStorage, Outcome, Query, RecordedEvent, Severity, Trail, Value};

/// How many events are shown when none matches.
const TOLD_MAX: usize = 8;

/// Asserts that an event was recorded, and returns the newest one that matches.
///
/// `action` may be a glob, `actor` is an id or name, `resource` is `TYPE/ID`, and `outcome` an outcome or `None`. Any other name
/// is the path of a field, such as `context.ip` or `details.amount`. A personal field is `"erasable"`. The first argument is a
/// [`Trail`], an [`AuditLogger`] or a [`FileAuditStorage`].
///
/// ```
/// use trailseal::{Event, Outcome, Trail, assert_audited};
///
/// let trail = Trail::temporary()?;
/// trail.record(Event::new("invoice.approve").actor("u1").resource("invoice", "42").detail("amount", 7))?;
///
/// let found = assert_audited!(trail, action = "invoice.*", resource = "invoice/42", details.amount = 7);
/// assert_eq!(found.event.outcome, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// If none matches, it shows how the closest events differ:
///
/// ```text
/// no event has action = "invoice.approve", resource = "invoice/42"
/// the nearest of 2 events:
///   #1 invoice.approve: resource is "invoice/41"
///   #3 invoice.read: action is "invoice.read"
/// ```
#[macro_export]
macro_rules! assert_audited {
    ($trail:expr $(, $($key:ident).+ = $value:expr)* $(,)?) => {
        match $crate::testing::find_audited(
            &$trail,
            &[$((stringify!($($key).+), $crate::testing::Wanted::from($value))),*],
        ) {
            Ok(found) => found,
            Err(why) => panic!("{why}"),
        }
    };
}

/// What [`assert_audited!`] can search.
pub trait HoldsEvents {
    /// All events that were recorded, the newest first.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn all_events(&self) -> Result<Vec<RecordedEvent>, String>;
}

impl HoldsEvents for Trail {
    fn all_events(&self) -> Result<Vec<RecordedEvent>, String> {
        let page = self.query(Query::new().order(crate::Order::NewestRecorded).limit(usize::MAX));
        page.map(|page| page.events).map_err(|error| format!("the trail cannot be read: {error}"))
    }
}

impl HoldsEvents for AuditLogger {
    fn all_events(&self) -> Result<Vec<RecordedEvent>, String> {
        match self.trail() {
            Ok(Some(trail)) => trail.all_events(),
            Ok(None) => Err("the logger is disabled".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl HoldsEvents for FileAuditStorage {
    fn all_events(&self) -> Result<Vec<RecordedEvent>, String> {
        self.trail().all_events()
    }
}

impl<T: HoldsEvents + ?Sized> HoldsEvents for &T {
    fn all_events(&self) -> Result<Vec<RecordedEvent>, String> {
        (**self).all_events()
    }
}

impl<T: HoldsEvents + ?Sized> HoldsEvents for Arc<T> {
    fn all_events(&self) -> Result<Vec<RecordedEvent>, String> {
        (**self).all_events()
    }
}

/// A value that [`assert_audited!`] looks for; `null` for an absent field.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted(Value);

macro_rules! wanted_from {
    ($($from:ty,)*) => {$(
        impl From<$from> for Wanted {
            fn from(value: $from) -> Self {
                Wanted(value.into())
            }
        }
    )*};
}

wanted_from! { &str, &String, String, bool, i32, i64, u32, u64, usize, f64, Value, }

macro_rules! wanted_from_word {
    ($($from:ty,)*) => {$(
        impl From<$from> for Wanted {
            fn from(word: $from) -> Self {
                Wanted(word.to_string().into())
            }
        }
    )*};
}

wanted_from_word! { Outcome, Severity, Category, }

impl<T: Into<Wanted>> From<Option<T>> for Wanted {
    fn from(value: Option<T>) -> Self {
        value.map_or(Wanted(Value::Null), Into::into)
    }
}

/// What [`assert_audited!`] does.
///
/// # Errors
/// What differs in the events that are nearest.
#[doc(hidden)]
pub fn find_audited(events: &impl HoldsEvents, wanted: &[(&str, Wanted)]) -> Result<RecordedEvent, String> {
    let wanted: Vec<(String, &Value)> = wanted
        .iter()
        .map(|(name, Wanted(value))| (name.chars().filter(|c| !c.is_whitespace()).collect(), value))
        .collect();
    let all = events.all_events()?;
    let mut judged: Vec<(&RecordedEvent, Vec<String>)> =
        all.iter().map(|event| (event, differences(event, &wanted))).collect();
    // The newest of those that are alike comes first.
    judged.sort_by_key(|(_, differences)| differences.len());
    match judged.first() {
        Some((event, differences)) if differences.is_empty() => Ok((*event).clone()),
        _ => Err(told(&judged, &wanted)),
    }
}

fn differences(event: &RecordedEvent, wanted: &[(String, &Value)]) -> Vec<String> {
    let differs = |(name, wanted): &(String, &Value)| {
        let found = field(event, name);
        let is_same = match (name.as_str(), wanted.as_str(), found.as_str()) {
            ("action", Some(glob), Some(action)) => trailseal_event::filter::glob_matches(glob, action),
            ("actor", Some(actor), Some(id)) => {
                actor == id || event.get("actor.name").is_some_and(|name| name.as_str() == Some(actor))
            }
            _ => found == **wanted,
        };
        (!is_same).then(|| format!("{name} is {found}"))
    };
    wanted.iter().filter_map(differs).collect()
}

fn field(event: &RecordedEvent, name: &str) -> Value {
    match name {
        "actor" => event.get("actor.id").or_else(|| event.get("actor.name")),
        "resource" => event.event.resource.as_ref().map(|resource| {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            match &resource.id {
                Some(id) => format!("{}/{id}", part(&resource.kind)).into(),
                None => part(&resource.kind).into(),
            }
        }),
        _ => event.get(name),
    }
    .unwrap_or(Value::Null)
}

fn told(judged: &[(&RecordedEvent, Vec<String>)], wanted: &[(String, &Value)]) -> String {
    let wanted: Vec<String> = wanted.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let mut told = format!("no event has {}", wanted.join(", "));
    if judged.is_empty() {
        told.push_str("\nnothing was recorded");
        return told;
    }
    let _ = write!(told, "\nthe nearest of {} events:", judged.len());
    for (event, differences) in judged.iter().take(TOLD_MAX) {
        let _ = write!(told, "\n  #{} {}: {}", event.index, event.event.action, differences.join(", "));
    }
    told
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::{Event, Outcome, Trail};

    fn why(trail: &Trail, assert: impl FnOnce(&Trail) + std::panic::UnwindSafe) -> String {
        let trail = std::panic::AssertUnwindSafe(trail);
        *std::panic::catch_unwind(|| assert(&trail)).unwrap_err().downcast::<String>().unwrap()
    }

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_told() {
        let trail = Trail::temporary().unwrap();
        let none = why(&trail, |trail| drop(assert_audited!(trail, action = "invoice.approve")));
        assert_eq!(none, "no event has action = \"invoice.approve\"\nnothing was recorded");

        let event = Event::new("invoice.approve").actor("u1").actor_name("Anna").resource("invoice", "41");
        trail.record(event.ip("203.0.113.7").outcome(Outcome::Success).detail("amount", 7)).unwrap();
        trail.record(Event::new("invoice.read").resource("invoice", "42")).unwrap();
        assert_audited!(trail);
        assert_audited!(trail, action = "invoice.?pprove", actor = "Anna", outcome = Outcome::Success,);
        assert_audited!(&trail, actor = "u1", context.ip = "203.0.113.7", details.amount = 7);
        assert_audited!(trail, action = "invoice.read", outcome = None::<Outcome>);

        let text = why(&trail, |trail| {
            assert_audited!(trail, action = "invoice.approve", resource = "invoice/42", details.amount = 8);
        });
        assert_eq!(
            text,
            "no event has action = \"invoice.approve\", resource = \"invoice/42\", details.amount = 8\n\
             the nearest of 2 events:\n  \
             #3 invoice.read: action is \"invoice.read\", details.amount is null\n  \
             #2 invoice.approve: resource is \"invoice/41\", details.amount is 7"
        );
    }
}
