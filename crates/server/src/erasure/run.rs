//! The run that everything leads to.

use trailseal_core::{EraseError, Erased, Trail};
use trailseal_event::Value;

use crate::access::Caller;
use crate::own_events::{details, note};
use crate::problem::{Kind, Problem};

/// Erases what a second person has approved. Blocks.
pub(crate) fn erase_keys_for(
    trail: &Trail,
    caller: &Caller,
    keys: &[String],
    review: &str,
) -> Result<Erased, Problem> {
    run_for(trail, caller, || trail.erase_keys(keys), [("review", Some(review.to_owned()))])
}

/// Erases, and records for whom and why; `trail.erased` itself is the trail's. Blocks.
pub(super) fn run_for(
    trail: &Trail,
    caller: &Caller,
    erase: impl FnOnce() -> Result<Erased, EraseError>,
    why: [(&str, Option<String>); 1],
) -> Result<Erased, Problem> {
    let erased = erase()?;
    let mut members = details(why);
    let by = erased.erased_by.iter().map(|index| Value::from(index.get()));
    members.insert("erased", Value::Array(by.collect()));
    note(trail, "erased_by", caller, members);
    Ok(erased)
}

impl From<EraseError> for Problem {
    fn from(error: EraseError) -> Problem {
        let text = error.to_string();
        match &error {
            EraseError::Off | EraseError::Unknown => Problem::new(Kind::NoValues, text),
            EraseError::Held { hold, .. } => Problem::new(Kind::Held, text).with("hold", hold.as_str()),
            EraseError::Running => Problem::new(Kind::Running, text),
            EraseError::Refused(_) | EraseError::NotSealed { .. } => Problem::unavailable(text),
            _ => Problem::internal(&error),
        }
    }
}
