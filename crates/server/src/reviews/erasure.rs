//! An erasure that waits for a second person.
//!
//! The request is an event with the keys, since it stays for ever and must not name the person. Once somebody else
//! approves it, the decision is recorded first, and then the keys are destroyed. A server that is stopped in between has
//! not begun, and nothing continues it: it is requested again.

use serde_json::{Value, json};
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::{EraseError, Erased};
use trailseal_event::complete::EventId;
use trailseal_event::{Object, Value as Member};

use super::review::Erasure;
use super::review_events::{REQUESTED, Reviews};
use crate::access::Caller;
use crate::problem::Problem;

/// What became of a request.
pub(crate) enum Asked {
    /// It waits for a second person.
    Pending(Value),
    /// The person was erased before: nobody has anything to decide.
    Already(Erased),
}

/// Records the request, unless nothing is left to do. Blocks.
pub(crate) fn request_erasure(
    reviews: &Reviews,
    caller: &Caller,
    subject: &str,
    reason: Option<&str>,
) -> Result<Asked, Problem> {
    // What cannot be done is said now, and not to the second person.
    let would = reviews.trail.would_erase(subject)?;
    if let Some((hold, _)) = would.held_by.first() {
        return Err(EraseError::Held { hold: hold.clone() }.into());
    }
    if would.already.is_some() && !cfg!(trailseal_fault = "erased_twice_unknown") {
        return Ok(Asked::Already(Erased { already: would.already, ..Erased::default() }));
    }
    if would.keys.is_empty() {
        return Err(EraseError::Unknown.into());
    }
    let id = EventId::new(SystemClock.now()).as_str().to_owned();
    let mut details = Object::default();
    details.insert("review", id.as_str());
    details.insert("change", Erasure::NAME);
    details.insert("reason", reason.unwrap_or("erases a person"));
    details.insert("keys", Member::Array(would.keys.iter().map(|key| Member::from(key.as_str())).collect()));
    reviews.record(caller, REQUESTED, details, None, &id)?;
    Ok(Asked::Pending(json!({"id": id, "state": "pending", "kind": Erasure::NAME, "keys": would.keys})))
}
