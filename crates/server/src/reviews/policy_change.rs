//! A weakening of the policy that waits for a second person.
//!
//! The request is an event with the policy before and after. Once approved, the change is made if the policy is still
//! the one before: first the decision is recorded, then the change (with the review's id), then it is saved and
//! applied. A server killed in between continues when it starts.

use serde_json::json;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::{SetPolicyError, Trail};
use trailseal_event::complete::EventId;
use trailseal_event::policy::{Policy, Weakening};
use trailseal_event::{Event, Object, Value};

use super::deciding_place::Place;
use super::review::{PolicyChange, Review, ReviewState, Subject};
use super::review_events::{REQUESTED, Reviews};
use crate::access::Caller;
use crate::own_events::{by_token, event_of};
use crate::policies::{as_kept, check_store};
use crate::problem::{Kind, Problem};

/// The maximum size of the policies before and after as JSON, so that they fit on one line of the trail.
const JSON_BYTES_MAX: usize = 48 << 10;
/// How many weakenings are listed, and how many characters of each.
const LISTED_MAX: usize = 20;
const LISTED_CHARS_MAX: usize = 200;

/// The result of a request to change the policy.
pub(crate) enum PolicyPut {
    InForce,
    /// It waits for a second person, in this review.
    Pending(serde_json::Value),
}

/// Puts a policy in force or, if it is weaker and that needs two people, requests it. Blocks.
pub(crate) fn put_policy(reviews: &Reviews, caller: &Caller, policy: &Policy) -> Result<PolicyPut, Problem> {
    check_store(&reviews.trail, policy)?;
    if reviews.second_person.policy {
        // Stricter policies too: comparing takes time, and nobody could take back what is too long for a review.
        check_fits(&[&policy.to_toml()])?;
    }
    loop {
        let before = reviews.policies.in_force()?;
        if reviews.second_person.policy {
            let weakened = before.policy.weakened_by(policy);
            if !weakened.is_empty() {
                return ask(reviews, caller, &before.policy, policy, &weakened).map(PolicyPut::Pending);
            }
        }
        // Otherwise the comparison was with a policy that is no longer in force.
        if reviews.policies.replace(&before, policy, event_of(caller, Object::default()))? {
            return Ok(PolicyPut::InForce);
        }
    }
}

/// Records the request for a weakening.
fn ask(
    reviews: &Reviews,
    caller: &Caller,
    from: &Policy,
    to: &Policy,
    weakened: &[Weakening],
) -> Result<serde_json::Value, Problem> {
    let mut weakens: Vec<String> = weakened
        .iter()
        .take(LISTED_MAX)
        .map(|each| each.describe(from, to).chars().take(LISTED_CHARS_MAX).collect())
        .collect();
    if weakened.len() > LISTED_MAX {
        weakens.push("and more: compare the policies".to_owned());
    }
    let (from, to) = (from.to_toml(), to.to_toml());
    check_fits(&[&from, &to])?;
    let id = EventId::new(SystemClock.now()).as_str().to_owned();
    let mut details = Object::default();
    details.insert("review", id.as_str());
    details.insert("change", PolicyChange::NAME);
    details.insert("reason", "weakens the policy");
    details.insert("from", from.as_str());
    details.insert("to", to.as_str());
    details.insert("weakens", Value::Array(weakens.iter().map(|text| Value::from(text.as_str())).collect()));
    let written = reviews.trail.as_written(&Event::new("trail.review_requested").details(details.clone()));
    if ["from", "to", "weakens"].iter().any(|name| written.details.get(name) != details.get(name)) {
        return Err(Problem::unprocessable(
            "a text in the policy looks like a secret, or mask.keys names from, to or weakens, so a reviewer could not see it: write it differently",
        ));
    }
    reviews.record(caller, REQUESTED, details, None, &id)?;
    Ok(json!({"id": id, "state": "pending", "kind": PolicyChange::NAME, "weakens": weakens}))
}

/// Whether these policies fit on the line of a review.
fn check_fits(policies: &[&str]) -> Result<(), Problem> {
    match json!(policies).to_string().len() <= JSON_BYTES_MAX {
        true => Ok(()),
        false => Err(Problem::unprocessable(format!(
            "the policies before and after have over {JSON_BYTES_MAX} bytes together, too many for a review: merge rules that treat events alike"
        ))),
    }
}

/// Whether the policy is no longer the one that a change was to replace, as far as this server can tell.
pub(super) fn is_outdated(change: &PolicyChange, reviews: &Reviews) -> bool {
    let is_known = match &reviews.place {
        Place::Own => change.origin == reviews.trail.origin(),
        Place::Shared(_) => true,
    };
    is_known && reviews.trail.policy().to_toml() != change.from
}

/// Approves a change, which records the decision, and puts it in force.
pub(super) fn approve(
    change: &PolicyChange,
    reviews: &Reviews,
    caller: &Caller,
    review: &Review,
    members: Object,
) -> Result<(), Problem> {
    if review.requested_by == caller.name() {
        let detail = "this needs a second person: whoever requested it can reject but not approve it";
        return Err(Problem::new(Kind::OwnRequest, detail));
    }
    let id = review.id.to_string();
    match &reviews.place {
        Place::Own => approve_here(change, reviews, caller, review, members)?,
        Place::Shared(place) => {
            let before = reviews.policies.in_force()?;
            if before.policy.to_toml() != change.from {
                return Err(SetPolicyError::Outdated.into());
            }
            let text = as_kept(&read(&change.to)?)?;
            let policy = Some((before.number, text.as_str()));
            reviews.decide_in(place, caller, review, (ReviewState::Approved, members), policy)?;
            // Decided for all. What prevents it here was logged, and is tried again.
            if reviews.policies.in_force().is_err() {
                return Ok(());
            }
        }
    }
    note_done(&reviews.trail, caller.name(), &id);
    Ok(())
}

/// The same for a policy that only this trail has.
fn approve_here(
    change: &PolicyChange,
    reviews: &Reviews,
    caller: &Caller,
    review: &Review,
    members: Object,
) -> Result<(), Problem> {
    if change.origin != reviews.trail.origin() {
        let detail =
            format!("it concerns the policy of {}: decide where that trail is served", change.origin);
        return Err(Problem::new(Kind::Elsewhere, detail));
    }
    // It may have had a store when this was asked for.
    check_store(&reviews.trail, &read(&change.to)?)?;
    let mut is_approved = false;
    let made: Result<(), Problem> = put_in_force(change, &reviews.trail, &review.id.to_string(), || {
        reviews.decide(caller, review, ReviewState::Approved, members)?;
        is_approved = true;
        Ok(())
    });
    if is_approved && made.is_err() {
        return Err(not_made());
    }
    made
}

fn read(text: &str) -> Result<Policy, SetPolicyError> {
    Policy::from_toml(text).map_err(|error| SetPolicyError::Invalid(error.to_string()))
}

fn put_in_force<E: From<SetPolicyError>>(
    change: &PolicyChange,
    trail: &Trail,
    review: &str,
    first: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    trail.replace_policy(&read(&change.from)?, &read(&change.to)?, Some(review), first)
}

/// The decision stands, and nobody can approve it again. The reason why it was not made was logged.
fn not_made() -> Problem {
    let detail = "the change was approved but could not be made, so the policy is unchanged: see the server's log, \
        then request the same change again";
    Problem::new(Kind::NotMade, detail)
}

/// Puts in force a change that was approved when the server was killed. Blocks.
pub(crate) fn finish_approved(reviews: &Reviews) {
    if matches!(reviews.place, Place::Shared(_)) {
        // The store has it, and following that puts it in force.
        return;
    }
    let unfinished = reviews.lock().unfinished(reviews.trail.origin());
    // The error was logged where it occurred.
    let Ok(read) = reviews.read(unfinished.into_iter().collect()) else { return };
    let Some(review) = read.into_iter().next() else { return };
    let Subject::Policy(change) = &review.subject else { return };
    if is_outdated(change, reviews) {
        return;
    }
    let id = review.id.to_string();
    match put_in_force::<SetPolicyError>(change, &reviews.trail, &id, || Ok(())) {
        Ok(()) => {
            note_done(&reviews.trail, review.decided_by.as_deref().unwrap_or_default(), &id);
            tracing::info!(review = id, "an approved change of the policy is now in force");
        }
        Err(error) => tracing::warn!(review = id, error = %error, "an approved change was not made"),
    }
}

/// Records that the policy is in force: after this event nothing is left to do after a kill.
fn note_done(trail: &Trail, by: &str, review: &str) {
    let event = by_token(by).detail("review", review);
    if let Err(error) = trail.record_own("policy_set_by", event) {
        tracing::warn!(error = %error, "one of the trail's own events was refused");
    }
}
