//! What the trails say about a review: its request and its decision.

use std::sync::Arc;

use serde::Serialize;
use trailseal_event::{Event, Index, Recorded, Value};
use trailseal_index::Search;

use super::policy_change::PolicyChange;
use super::queue::{Place, Places, ReviewState};
use super::review_id::ReviewId;
use crate::access::Caller;
use crate::app::App;
use crate::problem::Problem;

/// What is to be decided.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Subject {
    /// An event, by its id, its trail and its index. The decision changes nothing else.
    Event { event: String, origin: String, index: u64 },
    /// A change that waits for a second person; approving makes it. Another kind of change needs a variant here, and an
    /// arm where subjects are parsed and decided.
    Policy(PolicyChange),
}

/// A review as it is returned.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Review {
    pub(super) id: ReviewId,
    #[serde(flatten)]
    pub(super) subject: Subject,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
    pub(super) state: ReviewState,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    requested: String,
    pub(super) requested_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl Review {
    /// The review that an event requests; `None` if it is of a kind that only a later version knows.
    pub(super) fn requested(id: ReviewId, recorded: &Recorded, origin: &str) -> Option<Review> {
        let event = &recorded.event;
        let member = |name: &str| event.details.get(name);
        let number = |name: &str| member(name).and_then(Value::as_u64);
        let subject = match text(event, "change").as_deref() {
            None => Subject::Event {
                event: text(event, "event").unwrap_or_default(),
                origin: text(event, "origin").unwrap_or_default(),
                // A rule knows the position of its event only relative to its own.
                index: match number("ahead") {
                    Some(ahead) => recorded.index.saturating_add(ahead),
                    None => number("index").unwrap_or_default(),
                },
            },
            Some(PolicyChange::NAME) => Subject::Policy(PolicyChange::read(&event.details, origin)?),
            Some(_) => return None,
        };
        Some(Review {
            id,
            subject,
            tenant: event.tenant.clone(),
            state: ReviewState::Pending,
            reason: text(event, "reason").unwrap_or_default(),
            confidence: member("confidence").and_then(Value::as_f64),
            requested: recorded.recorded.to_string(),
            requested_by: actor(recorded),
            decided: None,
            decided_by: None,
            comment: None,
        })
    }

    fn decide(&mut self, recorded: &Recorded) {
        self.decided = Some(recorded.recorded.to_string());
        self.decided_by = Some(actor(recorded));
        self.comment = text(&recorded.event, "comment");
    }

    pub(super) fn is_seen_by(&self, caller: &Caller) -> bool {
        caller.tenant().is_none_or(|tenant| self.tenant.as_deref() == Some(tenant))
    }
}

/// Reads the reviews at `places`. What was still on its way to the disk when the places were taken is included. Blocks.
pub(super) fn read(app: &App, places: Vec<Places>) -> Result<Vec<Review>, Problem> {
    let mut search = app.take_search(&Arc::default())?;
    let mut reviews = Vec::with_capacity(places.len());
    for Places { id, state, requested, decided } in places {
        let Some(asked) = step(&mut search, &requested)? else { continue };
        let Some(mut review) = Review::requested(id, &asked, &requested.origin) else { continue };
        review.state = state;
        if let Some(decided) = decided.map(|place| step(&mut search, &place)).transpose()?.flatten() {
            review.decide(&decided);
        }
        reviews.push(review);
    }
    app.give_back(search);
    Ok(reviews)
}

/// The event of a step; `None` if the trail no longer has it.
fn step(search: &mut Search, place: &Place) -> Result<Option<Arc<Recorded>>, Problem> {
    if let Some(fresh) = &place.fresh {
        return Ok(Some(fresh.clone()));
    }
    let Some(reader) = search.reader_of(&place.origin) else { return Ok(None) };
    let line = reader.line(Index::new(place.index)).map_err(|error| Problem::internal(&error))?;
    Ok(line.and_then(|line| Event::from_line(&line).ok()).map(Arc::new))
}

fn text(event: &Event, name: &str) -> Option<String> {
    event.details.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn actor(recorded: &Recorded) -> String {
    recorded.event.actor.as_ref().and_then(|actor| actor.id.clone()).unwrap_or_default()
}
