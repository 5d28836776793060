//! Which reviews exist, their states, and where their lines are in the trails.
//!
//! In: the lines of reviews and policy changes, from a cursor on. Out: for each review its state and the places of its
//! lines; what the lines say is read on request (`lines.rs`). A restart would read everything here again: flags by rules
//! arrive by reading, and steps that this server records are applied at once only so that the next request sees them.
//!
//! What must hold: a review takes the same few bytes here whatever its texts, since anyone who may write can make any
//! number of reviews.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use trailseal_event::filter::Filter;
use trailseal_event::{Recorded, Value};
use trailseal_index::{Cursor, Order, Search};

use super::id::ReviewId;
use super::review::{Review, ReviewState, Subject};
use crate::access::Caller;
use crate::problem::Problem;

const REQUESTED: &str = "trail.review_requested";
const DECIDED: &str = "trail.review_decided";
const POLICY_CHANGED: &str = "trail.policy_changed";
const OPENED: &str = "trail.opened";

/// All reviews.
#[derive(Default)]
pub(super) struct Queue {
    by_id: BTreeMap<ReviewId, Entry>,
    /// The names of the trails, by their numbers here.
    trails: Vec<Arc<str>>,
    /// The key that shortens tenants. It differs between processes, so that nobody can find two that collide.
    tenants: RandomState,
    /// Steps that this server recorded in its trail and that may not be on disk yet, by trail and index.
    fresh: BTreeMap<(u32, u64), Arc<Recorded>>,
    /// How far the trails have been read.
    seen: Option<Cursor>,
    /// For each trail, the last approved change of its policy, until the trail says that it was made.
    unfinished: BTreeMap<Arc<str>, ReviewId>,
    /// Flags whose events are not yet certain to exist, by trail: the event's index, and the review.
    unsettled: HashMap<u32, Vec<(u64, ReviewId)>>,
    /// The requests of one trail, for those who have to be told of them, by their indexes.
    requests: BTreeMap<u64, ReviewId>,
    collected_of: Option<Arc<str>>,
}

/// What is kept of a review.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The lines of its request and its decision: their indexes, and the numbers of their trails.
    requested: u64,
    decided: u64,
    requested_in: u32,
    decided_in: u32,
    /// Narrows a list; the line shows whether the tenant really matches.
    tenant: Option<u64>,
    state: ReviewState,
    is_policy: bool,
}

/// A review, and where to read about it.
pub(super) struct Places {
    pub(super) id: ReviewId,
    pub(super) state: ReviewState,
    pub(super) requested: Place,
    pub(super) decided: Option<Place>,
}

/// A step of a review.
pub(super) struct Place {
    pub(super) origin: Arc<str>,
    pub(super) index: u64,
    /// The step itself, if it may not be on disk yet.
    pub(super) fresh: Option<Arc<Recorded>>,
}

impl Queue {
    /// Continues reading the trails. Blocks.
    pub(super) fn read_on(&mut self, search: &mut Search) -> Result<(), Problem> {
        let action = ["trail.review_*", "trail.policy_*", OPENED].map(str::to_owned).to_vec();
        let filter = Filter { action, system: true, ..Filter::default() };
        let end = search.end();
        let seen = self.seen.clone();
        let read = search.each(&filter, Order::OLDEST_RECORDED, seen.as_ref(), &mut |hit| {
            if let Ok(recorded) = hit.read(None) {
                self.apply(&recorded, &hit.origin);
            }
            ControlFlow::Continue(())
        });
        read.map_err(|error| Problem::internal(&error))?;
        self.seen = Some(end);
        Ok(())
    }

    /// From now on keeps the requests of a trail for [`requests`](Queue::requests).
    pub(super) fn collect_requests(&mut self, origin: &str) {
        self.collected_of = Some(origin.into());
    }

    /// Some requests of that trail below `durable`, the oldest first. A flag comes once its event is certain to exist.
    pub(super) fn requests(&self, durable: u64, most: usize) -> Vec<(u64, ReviewId)> {
        let trail = self.trails.iter().position(|known| Some(known) == self.collected_of.as_ref());
        let unsettled = trail.and_then(|trail| self.unsettled.get(&u32::try_from(trail).ok()?));
        let is_open = |id: ReviewId| {
            unsettled.is_some_and(|flags| flags.iter().any(|(event, of)| *of == id && *event >= durable))
        };
        let settled = self.requests.range(..durable).take_while(|(_, id)| !is_open(**id));
        settled.take(most).map(|(index, id)| (*index, *id)).collect()
    }

    /// Forgets the requests below this index.
    pub(super) fn forget_requests(&mut self, next: u64) {
        self.requests = self.requests.split_off(&next);
    }

    /// How many wait for a decision, as of the last look.
    pub(super) fn pending(&self) -> usize {
        self.by_id.values().filter(|entry| entry.state == ReviewState::Pending).count()
    }

    /// The review of this id.
    pub(super) fn places(&self, id: ReviewId) -> Option<Places> {
        self.by_id.get(&id).map(|entry| self.places_of(id, entry))
    }

    /// Whether a review is decided.
    pub(super) fn is_decided(&self, id: ReviewId) -> bool {
        self.by_id.get(&id).is_some_and(|entry| entry.state != ReviewState::Pending)
    }

    /// The change of this trail's policy that was approved but not made yet.
    pub(super) fn unfinished(&self, origin: &str) -> Option<Places> {
        self.places(*self.unfinished.get(origin)?)
    }

    /// Up to `most` reviews for `caller`, the newest first, and the id before which the next ones are, if there are
    /// more.
    pub(super) fn newest(
        &self,
        caller: &Caller,
        state: Option<ReviewState>,
        before: Option<ReviewId>,
        most: usize,
    ) -> (Vec<Places>, Option<ReviewId>) {
        let tenant = caller.tenant().map(|tenant| self.tenants.hash_one(tenant));
        let is_wanted = |entry: &Entry| {
            tenant.is_none_or(|tenant| entry.tenant == Some(tenant))
                && state.is_none_or(|state| entry.state == state)
        };
        let range = (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
        let mut found = self.by_id.range(range).rev().filter(|(_, entry)| is_wanted(entry));
        let listed: Vec<Places> =
            found.by_ref().take(most).map(|(id, entry)| self.places_of(*id, entry)).collect();
        let next = found.next().and_then(|_| Some(listed.last()?.id));
        (listed, next)
    }

    fn places_of(&self, id: ReviewId, entry: &Entry) -> Places {
        let place = |trail: u32, index: u64| {
            let origin = self.trails.get(trail as usize).cloned().unwrap_or_default();
            Place { origin, index, fresh: self.fresh.get(&(trail, index)).cloned() }
        };
        let decided = (entry.state != ReviewState::Pending).then(|| place(entry.decided_in, entry.decided));
        Places { id, state: entry.state, requested: place(entry.requested_in, entry.requested), decided }
    }

    /// Applies a step that this server recorded. Everything below `durable` can be read from its trail.
    pub(super) fn apply_fresh(&mut self, recorded: Recorded, origin: &str, durable: u64) {
        self.apply(&recorded, origin);
        let trail = self.number_of(origin);
        self.fresh = self.fresh.split_off(&(trail, durable));
        self.fresh.insert((trail, recorded.index), Arc::new(recorded));
    }

    /// What one of the trail's own events says. Applying it again changes nothing.
    fn apply(&mut self, recorded: &Recorded, origin: &str) {
        let event = &recorded.event;
        if !recorded.system {
            return;
        }
        let trail = self.number_of(origin);
        self.settle(trail, recorded.index, event.action == OPENED);
        let id = event.details.get("review").and_then(Value::as_str).and_then(ReviewId::parse);
        match (event.action.as_str(), id) {
            (REQUESTED, Some(id)) => self.requested(id, recorded, trail),
            (DECIDED, Some(id)) => self.decided(id, recorded, trail),
            // It is being put in force.
            (POLICY_CHANGED, Some(id)) if self.unfinished.get(origin) == Some(&id) => {}
            (action, _) if action.starts_with("trail.policy_") => _ = self.unfinished.remove(origin),
            _ => {}
        }
    }

    /// There is a line at `index`, so the events before it exist. But when the trail was opened, flags are removed
    /// whose events a power loss took before a sync covered them: another event has the place where such an event, or a
    /// later one, would be.
    fn settle(&mut self, trail: u32, index: u64, is_opened: bool) {
        let Some(flags) = self.unsettled.get_mut(&trail) else { return };
        flags.retain(|(event, _)| *event >= index);
        if is_opened {
            for (_, review) in flags.drain(..) {
                self.by_id.remove(&review);
                self.requests.retain(|_, id| *id != review);
            }
        }
    }

    fn requested(&mut self, id: ReviewId, recorded: &Recorded, trail: u32) {
        let origin = self.trails.get(trail as usize).cloned().unwrap_or_default();
        let Some(review) = Review::requested(id, recorded, &origin) else { return };
        if let Subject::Event { origin: of, index, .. } = &review.subject
            && **of == *origin
            && *index > recorded.index
        {
            self.unsettled.entry(trail).or_default().push((*index, id));
        }
        if self.collected_of.as_deref() == Some(&*origin) {
            self.requests.insert(recorded.index, id);
        }
        self.by_id.entry(id).or_insert(Entry {
            requested: recorded.index,
            decided: 0,
            requested_in: trail,
            decided_in: 0,
            tenant: review.tenant.map(|tenant| self.tenants.hash_one(tenant.as_str())),
            state: ReviewState::Pending,
            is_policy: matches!(review.subject, Subject::Policy(_)),
        });
    }

    fn decided(&mut self, id: ReviewId, recorded: &Recorded, trail: u32) {
        let Some(entry) = self.by_id.get_mut(&id).filter(|entry| entry.state == ReviewState::Pending) else {
            return;
        };
        entry.state = match recorded.event.details.get("decision").and_then(Value::as_str) {
            Some("approved") => ReviewState::Approved,
            _ => ReviewState::Rejected,
        };
        (entry.decided, entry.decided_in) = (recorded.index, trail);
        if entry.is_policy
            && entry.state == ReviewState::Approved
            && let Some(origin) = self.trails.get(entry.requested_in as usize)
        {
            self.unfinished.insert(origin.clone(), id);
        }
    }

    fn number_of(&mut self, origin: &str) -> u32 {
        let known = self.trails.iter().position(|known| **known == *origin);
        let number = known.unwrap_or_else(|| {
            self.trails.push(origin.into());
            self.trails.len() - 1
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}
