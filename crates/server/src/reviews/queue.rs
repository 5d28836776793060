//! The reviews as the trail's own events tell them.
//!
//! In: the lines of reviews and of changes of the policy, from a cursor on. Out: every review and its state. Nothing is
//! known here that a restart would not read again: what a rule flags comes in by reading, and steps that this server
//! records are taken over at once only so that the next one who asks sees them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use trailseal_core::event::{Recorded, Value};
use trailseal_core::filter::Filter;
use trailseal_index::{Cursor, Order};

use super::policy_change::PolicyChange;
use crate::access::Caller;
use crate::app::App;
use crate::problem::Problem;

const REQUESTED: &str = "trail.review_requested";
const DECIDED: &str = "trail.review_decided";
const POLICY_CHANGED: &str = "trail.policy_changed";
const OPENED: &str = "trail.opened";

/// Where a review stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReviewState {
    Pending,
    Approved,
    Rejected,
}

impl ReviewState {
    pub(super) const NAMES: [(&'static str, ReviewState); 3] = [
        ("pending", ReviewState::Pending),
        ("approved", ReviewState::Approved),
        ("rejected", ReviewState::Rejected),
    ];

    pub(super) fn parse(name: &str) -> Option<ReviewState> {
        ReviewState::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, state)| state)
    }
}

/// What is to be decided about.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Subject {
    /// An event, by its id, its trail and its place there. The decision changes nothing else.
    Event { event: String, origin: String, index: u64 },
    /// A change that waits for a second person; the approval makes it. Another kind of change has a variant here, and
    /// an arm where subjects are read and decided.
    Policy(PolicyChange),
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Review {
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) subject: Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
    pub(super) state: ReviewState,
    pub(super) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) confidence: Option<f64>,
    pub(super) requested: String,
    pub(super) requested_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decided: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
}

impl Review {
    pub(super) fn is_seen_by(&self, caller: &Caller) -> bool {
        caller.tenant().is_none_or(|tenant| self.tenant.as_deref() == Some(tenant))
    }
}

/// All reviews.
#[derive(Default)]
pub(crate) struct Reviews {
    queue: Mutex<Queue>,
}

#[derive(Default)]
pub(super) struct Queue {
    /// Ids grow with time.
    pub(super) by_id: BTreeMap<String, Review>,
    /// Up to where the trails were read.
    seen: Option<Cursor>,
    /// For each trail the change of its policy that was approved last, until the trail says that it was made.
    pub(super) unfinished: BTreeMap<String, String>,
    /// For each trail the highest index of an event that a rule flagged.
    flagged_to: BTreeMap<String, u64>,
}

impl Reviews {
    /// Reads on in the trails. Blocks.
    pub(crate) fn refresh(&self, app: &App) -> Result<(), Problem> {
        let action = ["trail.review_*", "trail.policy_*", OPENED].map(str::to_owned).to_vec();
        let filter = Filter { action, system: true, ..Filter::default() };
        // Held before the search looks, so that no older look comes later.
        let mut queue = self.lock();
        // Nothing ends the look half-way: what was applied would be so again.
        let mut search = app.take_search(&Arc::default())?;
        let end = search.end();
        let seen = queue.seen.clone();
        let read = search.each(&filter, Order::OldestFirst, seen.as_ref(), &mut |hit| {
            if let Ok(recorded) = hit.read() {
                queue.apply(&recorded, &hit.origin);
            }
            ControlFlow::Continue(())
        });
        read.map_err(|error| Problem::internal(&error))?;
        queue.seen = Some(end);
        drop(queue);
        app.give_back(search);
        Ok(())
    }

    /// As of the last look.
    pub(crate) fn pending(&self) -> usize {
        self.lock().by_id.values().filter(|review| review.state == ReviewState::Pending).count()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// What one of the trail's own events says. To hear it again changes nothing.
    pub(super) fn apply(&mut self, recorded: &Recorded, origin: &str) {
        let event = &recorded.event;
        if !recorded.system {
            return;
        }
        let text = |name: &str| event.details.get(name).and_then(Value::as_str).map(str::to_owned);
        let review = text("review");
        match (event.action.as_str(), review) {
            (REQUESTED, Some(id)) => {
                if let Some(review) = requested(&id, recorded, origin) {
                    if let Subject::Event { index, .. } = review.subject
                        && index > recorded.index
                    {
                        self.flagged_to.insert(origin.to_owned(), index);
                    }
                    self.by_id.entry(id).or_insert(review);
                }
            }
            (OPENED, _) => self.drop_lost(recorded.index, origin),
            (DECIDED, Some(id)) => self.decided(&id, recorded),
            // It is on its way into force.
            (POLICY_CHANGED, Some(id)) if self.unfinished.get(origin) == Some(&id) => {}
            (action, _) if action.starts_with("trail.policy_") => _ = self.unfinished.remove(origin),
            _ => {}
        }
    }

    /// Drops flags whose events a power loss took before a sync covered them: such an event would stand at or behind the
    /// place where the trail was opened after that, and another one stands there now.
    fn drop_lost(&mut self, opened: u64, origin: &str) {
        if self.flagged_to.remove(origin).is_none_or(|flagged| flagged < opened) {
            return;
        }
        self.by_id.retain(|_, review| match &review.subject {
            Subject::Event { origin: of, index, .. } => of != origin || *index < opened,
            Subject::Policy(_) => true,
        });
    }

    fn decided(&mut self, id: &str, recorded: &Recorded) {
        let Some(review) = self.by_id.get_mut(id).filter(|review| review.state == ReviewState::Pending)
        else {
            return;
        };
        let details = &recorded.event.details;
        let text = |name: &str| details.get(name).and_then(Value::as_str).map(str::to_owned);
        review.state = match text("decision").as_deref() {
            Some("approved") => ReviewState::Approved,
            _ => ReviewState::Rejected,
        };
        review.decided = Some(recorded.recorded.to_string());
        review.decided_by = Some(actor(recorded));
        review.comment = text("comment");
        if let (Subject::Policy(change), ReviewState::Approved) = (&review.subject, review.state) {
            self.unfinished.insert(change.origin.clone(), id.to_owned());
        }
    }
}

fn actor(recorded: &Recorded) -> String {
    recorded.event.actor.as_ref().and_then(|actor| actor.id.clone()).unwrap_or_default()
}

/// The review that an event asks for; `None` if it is of a kind that a later version knows.
fn requested(id: &str, recorded: &Recorded, origin: &str) -> Option<Review> {
    let event = &recorded.event;
    let member = |name: &str| event.details.get(name);
    let text = |name: &str| member(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| member(name).and_then(Value::as_u64);
    let subject = match text("change").as_deref() {
        None => Subject::Event {
            event: text("event").unwrap_or_default(),
            origin: text("origin").unwrap_or_default(),
            // A rule knows the place of its event relative to its own.
            index: match number("ahead") {
                Some(ahead) => recorded.index.saturating_add(ahead),
                None => number("index").unwrap_or_default(),
            },
        },
        Some(PolicyChange::NAME) => Subject::Policy(PolicyChange::read(&event.details, origin)?),
        Some(_) => return None,
    };
    Some(Review {
        id: id.to_owned(),
        subject,
        tenant: event.tenant.clone(),
        state: ReviewState::Pending,
        reason: text("reason").unwrap_or_default(),
        confidence: member("confidence").and_then(Value::as_f64),
        requested: recorded.recorded.to_string(),
        requested_by: actor(recorded),
        decided: None,
        decided_by: None,
        comment: None,
    })
}
