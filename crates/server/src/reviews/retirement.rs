//! A retirement that waits for a second person.
//!
//! The request is an event with the rule. Once somebody else approves it, the decision is recorded first, and then the
//! trail retires. A server that is stopped in between has not begun, and nothing continues it: it is requested again.

use serde_json::{Value, json};
use trailseal_core::RetentionRule;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::complete::EventId;
use trailseal_event::{Object, Value as Member};

use super::review::{Retirement, Review};
use super::review_events::{REQUESTED, Reviews};
use crate::access::Caller;
use crate::problem::{Kind, Problem};

/// Records the request; returns what is answered. Blocks.
pub(crate) fn request_retention(
    reviews: &Reviews,
    caller: &Caller,
    rule: &RetentionRule,
    archive: Option<&str>,
) -> Result<Value, Problem> {
    let id = EventId::new(SystemClock.now()).as_str().to_owned();
    let mut details = Object::default();
    details.insert("review", id.as_str());
    details.insert("change", Retirement::NAME);
    details.insert("reason", "retires events");
    details.insert("older_than_days", u64::from(rule.older_than_days));
    if let Some(tenant) = &rule.tenant {
        details.insert("for_tenant", tenant.as_str());
    }
    if !rule.category.is_empty() {
        let names = rule.category.iter().map(|category| Member::from(category.to_string()));
        details.insert("category", Member::Array(names.collect()));
    }
    if let Some(archive) = archive {
        details.insert("archive", archive);
    }
    reviews.record(caller, REQUESTED, details, None, &id)?;
    Ok(json!({"id": id, "state": "pending", "kind": Retirement::NAME}))
}

/// Whether this caller may approve what concerns the trail `origin` here: a retirement, or an erasure.
pub(super) fn may_approve(
    origin: &str,
    reviews: &Reviews,
    caller: &Caller,
    review: &Review,
) -> Result<(), Problem> {
    if review.requested_by == caller.name() && !cfg!(trailseal_fault = "retires_alone") {
        let detail = "this needs a second person: whoever requested it can reject but not approve it";
        return Err(Problem::new(Kind::OwnRequest, detail));
    }
    if origin != reviews.trail.origin() {
        let detail = format!("it concerns the events of {origin}: decide where that trail is served");
        return Err(Problem::new(Kind::Elsewhere, detail));
    }
    Ok(())
}
