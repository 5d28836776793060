//! What differs with the place where reviews are decided: finding them, listing them, deciding them, and telling other servers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use trailseal_core::ReadError;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::{Index, Object, Value};

use super::deciding_place::{Place, SharedPlace};
use super::how_decided::HowDecided;
use super::id::ReviewId;
use super::queue::Places;
use super::review::{Review, ReviewState};
use super::review_events::{DECIDED, Reviews, decided};
use super::stored::{ReviewOutcome, StoredReview, Wanted};
use crate::access::Caller;
use crate::own_events::event_of;
use crate::problem::Problem;

/// How many requests are put in the store at once.
const PUBLISHED_AT_ONCE: usize = 500;
/// How long a request may take to the disk before it is left to the next look.
const DURABLE_WITHIN: Duration = Duration::from_secs(2);

impl Reviews {
    /// Continues reading the trails, and lets the others know what this one requests. Blocks.
    pub(crate) fn refresh(&self) -> Result<(), Problem> {
        self.read_on()?;
        match &self.place {
            Place::Own => Ok(()),
            Place::Shared(place) => self.publish(place),
        }
    }

    /// How many wait for a decision; without those that came lately, if they cannot be read. Blocks.
    pub(crate) fn pending_now(&self) -> usize {
        let shared = match &self.place {
            // A store that is down is not waited for here.
            Place::Shared(place) if !place.store.is_down() => place.store.pending_reviews().ok(),
            _ => None,
        };
        shared.unwrap_or_else(|| {
            // The error was logged where it occurred.
            let _ = self.read_on();
            self.lock().pending()
        })
    }

    /// The folder in which other servers decide, too, one after the other; `None` if there is none.
    pub(super) fn slots(&self) -> Option<&Path> {
        match &self.place {
            Place::Own => self.searches.slots(),
            // Its transactions do that.
            Place::Shared(_) => None,
        }
    }

    /// A review that is still undecided.
    pub(super) fn find(&self, caller: &Caller, id: &str) -> Result<Review, Problem> {
        let found = match &self.place {
            Place::Own => self.read_one(id)?,
            Place::Shared(place) => match ReviewId::parse(id) {
                Some(id) => place.store.review(id)?.and_then(|stored| stored.review()),
                None => None,
            },
        };
        let review = found.filter(|review| review.is_seen_by(caller));
        let review = review.ok_or_else(|| unknown(id))?;
        match review.state {
            ReviewState::Pending => Ok(review),
            _ => Err(decided(&review)),
        }
    }

    /// Up to `most` reviews for `caller`, the newest first, and the id before which the next ones are, if there are more.
    pub(super) fn list(
        &self,
        caller: &Caller,
        state: Option<ReviewState>,
        before: Option<ReviewId>,
        most: usize,
    ) -> Result<(Vec<Review>, Option<ReviewId>), Problem> {
        let (listed, next) = match &self.place {
            Place::Own => {
                let (places, next) = self.lock().newest(caller, state, before, most);
                (self.read(places)?, next)
            }
            Place::Shared(place) => {
                let wanted = Wanted { state, tenant: caller.tenant(), before, most: most + 1 };
                let mut stored = place.store.reviews(&wanted)?;
                let is_more = stored.len() > most;
                stored.truncate(most);
                let next = stored.last().filter(|_| is_more).map(|last| last.id);
                (stored.iter().filter_map(StoredReview::review).collect(), next)
            }
        };
        Ok((listed.into_iter().filter(|review| review.is_seen_by(caller)).collect(), next))
    }

    /// Decides a review. A decision that comes too late is told so.
    pub(super) fn decide(
        &self,
        caller: &Caller,
        review: &Review,
        state: ReviewState,
        members: Object,
    ) -> Result<(), Problem> {
        match &self.place {
            Place::Own => {
                self.record(caller, DECIDED, members, review.tenant.clone(), &review.id.to_string())
            }
            Place::Shared(place) => self.decide_in(place, caller, review, (state, members), None),
        }
    }

    /// The same in the store, and puts the policy in force that waited for it: the number of the one before, and its text.
    pub(super) fn decide_in(
        &self,
        place: &SharedPlace,
        caller: &Caller,
        review: &Review,
        (state, members): (ReviewState, Object),
        policy: Option<(u64, &str)>,
    ) -> Result<(), Problem> {
        let mut event = event_of(caller, members);
        event.tenant = review.tenant.clone();
        // As it is in the trail: nobody sees a secret in a comment.
        let written = self.trail.as_written(&event);
        let how = HowDecided {
            at: SystemClock.now().to_string(),
            by: caller.name().to_owned(),
            comment: written.details.get("comment").and_then(Value::as_str).map(str::to_owned),
        };
        match place.store.decide_review(review.id, state, &how, policy, event)? {
            ReviewOutcome::Made => Ok(()),
            ReviewOutcome::Unknown => Err(unknown(&review.id.to_string())),
            ReviewOutcome::Outdated => Err(trailseal_core::SetPolicyError::Outdated.into()),
            ReviewOutcome::Before(state, how) => {
                let mut review = review.clone();
                review.state = state;
                review.set_decided(how);
                Err(decided(&review))
            }
        }
    }

    /// Lets other servers know of a request at once, if there are any. One that fails comes with the next look.
    pub(super) fn tell_others(&self) {
        if let Place::Shared(place) = &self.place {
            let _ = self.trail.flush(DURABLE_WITHIN);
            let _ = self.publish(place);
        }
    }

    /// Puts the requests of this trail in the store that are on disk and not there yet.
    fn publish(&self, place: &SharedPlace) -> Result<(), Problem> {
        let mut published = place.published.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = self.trail.origin();
        if published.is_none() {
            let next = place.store.published(origin)?;
            self.lock().forget_requests(next);
            *published = Some(next);
        }
        loop {
            let durable = self.trail.durable().get();
            let requests = self.lock().requests(durable, PUBLISHED_AT_ONCE);
            let Some((last, _)) = requests.last() else { return Ok(()) };
            let next = last + 1;
            place.store.publish(origin, &self.stored(requests)?, next)?;
            self.lock().forget_requests(next);
            *published = Some(next);
        }
    }

    /// These requests of this trail as they stand in a store. One that was retired meanwhile is left out.
    fn stored(&self, requests: Vec<(u64, ReviewId)>) -> Result<Vec<StoredReview>, Problem> {
        let origin = self.trail.origin();
        let places: Vec<Places> = requests.iter().filter_map(|(_, id)| self.lock().places(*id)).collect();
        let indexes: BTreeMap<ReviewId, u64> = requests.into_iter().map(|(index, id)| (id, index)).collect();
        let reviews = self.read(places)?;
        let mut search = self.searches.take(&Arc::default())?;
        let mut stored = Vec::with_capacity(reviews.len());
        for review in reviews {
            let (id, tenant, decided) = (review.id, review.tenant.clone(), review.how_decided());
            let (Some(reader), Some(&index)) = (search.reader_of(origin), indexes.get(&id)) else { continue };
            let line = match reader.line(Index::new(index)) {
                Err(ReadError::Retired { .. }) => None,
                line => line.map_err(|error| Problem::internal(&error))?,
            };
            let Some(line) = line else { continue };
            let (origin, line) = (origin.to_owned(), line.to_vec());
            let state = if decided.is_some() { review.state } else { ReviewState::Pending };
            stored.push(StoredReview { id, origin, index, tenant, line, state, decided });
        }
        self.searches.give_back(search);
        Ok(stored)
    }
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no review {id}"))
}
