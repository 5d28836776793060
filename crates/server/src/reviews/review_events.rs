//! Reviews and their steps, which are events of the trail: read from it, and recorded in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use trailseal_core::Trail;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::{Object, Recorded};

use super::deciding_place::Place;
use super::id::ReviewId;
use super::lines;
use super::queue::{Places, Queue};
use super::review::Review;
use crate::access::Caller;
use crate::config::SecondPerson;
use crate::own_events::by_token;
use crate::policies::PolicyKeeper;
use crate::problem::{Kind, Problem};
use crate::searches::Searches;
use crate::shared::SharedStore;
use crate::view::View;

pub(super) const REQUESTED: &str = "review_requested";
pub(super) const DECIDED: &str = "review_decided";

/// All reviews.
pub(crate) struct Reviews {
    pub(super) trail: Trail,
    pub(super) searches: Arc<Searches>,
    pub(super) view: Arc<View>,
    /// What needs a second person.
    pub(super) second_person: SecondPerson,
    pub(super) policies: Arc<PolicyKeeper>,
    pub(super) place: Place,
    queue: Mutex<Queue>,
}

impl Reviews {
    pub(crate) fn new(
        trail: Trail,
        searches: Arc<Searches>,
        view: Arc<View>,
        second_person: SecondPerson,
        policies: Arc<PolicyKeeper>,
        shared: Option<Arc<SharedStore>>,
    ) -> Reviews {
        let mut queue = Queue::default();
        if shared.is_some() {
            queue.collect_requests(trail.origin());
        }
        let place = Place::new(shared);
        Reviews { trail, searches, view, second_person, policies, place, queue: Mutex::new(queue) }
    }

    /// Continues reading the trails. Blocks.
    pub(crate) fn read_on(&self) -> Result<(), Problem> {
        // Held before the search looks, so that no older look comes later.
        let mut queue = self.lock();
        // Nothing interrupts it half-way: what was applied would be applied again.
        let mut search = self.searches.take(&Arc::default())?;
        queue.read_on(&mut search)?;
        drop(queue);
        self.searches.give_back(search);
        Ok(())
    }

    /// Whether a second person must approve before events are retired.
    pub(crate) fn needs_second_person_to_retire(&self) -> bool {
        self.second_person.retention
    }

    /// Whether a second person must approve before somebody is erased.
    pub(crate) fn needs_second_person_to_erase(&self) -> bool {
        self.second_person.erasure
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the trails say of reviews. Blocks.
    pub(super) fn read(&self, places: Vec<Places>) -> Result<Vec<Review>, Problem> {
        lines::read(&self.searches, places)
    }

    pub(super) fn read_one(&self, id: &str) -> Result<Option<Review>, Problem> {
        let places = ReviewId::parse(id).and_then(|id| self.lock().places(id));
        Ok(self.read(places.into_iter().collect())?.pop())
    }

    /// Records a step of a review, and applies it as reading it would. A decision that comes too late is told so.
    pub(super) fn record(
        &self,
        caller: &Caller,
        what: &str,
        members: Object,
        tenant: Option<String>,
        id: &str,
    ) -> Result<(), Problem> {
        let mut event = by_token(caller.name()).details(members);
        event.tenant = tenant;
        // Held over both, so that the order in the trail is the order here.
        let mut queue = self.lock();
        if ReviewId::parse(id).is_some_and(|id| queue.is_decided(id)) {
            drop(queue);
            let gone = || Problem::not_found(format!("there is no review {id}"));
            return Err(decided(&self.read_one(id)?.ok_or_else(gone)?));
        }
        let index = self
            .trail
            .record_own(what, event.clone())
            .map_err(|error| Problem::unavailable(error.to_string()))?;
        event.action = format!("trail.{what}");
        // As it is in the trail: nobody sees a secret in a reason.
        let event = self.trail.as_written(&event);
        let recorded = Recorded {
            index: index.get(),
            recorded: SystemClock.now(),
            system: true,
            event,
            ..Recorded::default()
        };
        queue.apply_fresh(recorded, self.trail.origin(), self.trail.durable().get());
        drop(queue);
        self.tell_others();
        Ok(())
    }
}

pub(super) fn decided(review: &Review) -> Problem {
    let by = review.decided_by.clone().unwrap_or_default();
    Problem::new(Kind::Decided, format!("the review was decided by {by}"))
        .with("state", json!(review.state))
        .with("decided_by", by)
}
