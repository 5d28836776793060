//! Hands in the events of one request: all of them, or none.
//!
//! In: JSON texts, and who hands them in. Out: an outcome for each, in order. What must hold: a request in which one
//! event is bad, conflicts with another, or has no room leaves nothing behind; a repeat adds nothing.

mod at_once;
mod sent;

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use trailseal_event::complete::{EventId, complete};
use trailseal_event::line::{self, same_content};
use trailseal_event::policy::{Decision, OnFailure, Treatment};
use trailseal_event::{BadLine, Index, Timestamp, Warnings};

use super::error::RecordError;
use super::flag::Flag;
use super::frame::Frame;
use super::ids::Ids;
use super::in_force::InForce;
use super::inner::Trail;
use super::once::{HandedInOnce, RecordOnceError};
use super::reader::ReadError;
use super::receipt::{Ack, HandedIn, Receipt, Status, level};
use super::submitted::{Submitted, Submitter};
use sent::{One, Why};

/// What became of one event of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// It is new.
    New(Receipt),
    /// It is already there, with the same content; nothing was added.
    Repeated {
        /// Its index.
        index: Index,
        /// Its id.
        id: String,
        /// Whether it was retired: then only its id was compared, since its content is gone.
        retired: bool,
    },
}

/// The maximum number of warnings listed for the events of one request.
const BATCH_WARNINGS_MAX: usize = 100;

/// A request that was handed in, before anybody waited for the level that the policy asks for.
#[derive(Debug)]
pub struct HandedInBatch {
    /// The outcome of each event, in order.
    pub events: Vec<Submission>,
    /// Warnings for the author of the sending program, by the places of the events; only events with any. At most
    /// 100 are listed, the others are counted.
    pub warnings: Vec<(usize, Warnings)>,
    /// What to wait for, with [`Trail::finish`] or [`Trail::confirm`]: it holds for all of them.
    pub newest: Option<HandedIn>,
}

/// Why nothing of a request was recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// One of its events is not valid.
    #[error("event {place}: {source}")]
    Bad {
        /// Its place, from 0.
        place: usize,
        /// What is wrong with it.
        source: BadLine,
    },
    /// One of its events belongs to another tenant than its submitter.
    #[error("event {place} belongs to another tenant")]
    OtherTenant {
        /// Its place, from 0.
        place: usize,
    },
    /// An event with the id of one of them is already there, or comes earlier in the request, with other content.
    #[error("event {place}: its id {id} belongs to an event with other content")]
    Conflict {
        /// Its place, from 0.
        place: usize,
        /// The id.
        id: String,
        /// The other one's index, if it is not in this request.
        index: Option<Index>,
    },
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] RecordError),
    /// The trail could not be read to look ids up.
    #[error("could not read the trail to look ids up")]
    Read(#[from] ReadError),
}

impl From<RecordOnceError> for BatchError {
    fn from(error: RecordOnceError) -> Self {
        match error {
            RecordOnceError::Refused(error) => BatchError::Refused(error),
            RecordOnceError::Read(error) => BatchError::Read(error),
        }
    }
}

impl Trail {
    /// Hands in the events of one request, unless they are already there; waits only, up to `room_wait`, for room in
    /// the buffer.
    ///
    /// # Errors
    /// When one event is bad or conflicts with another, or there is no room: then nothing was recorded.
    pub fn hand_in_batch(
        &self,
        events: &[Submitted<'_>],
        ack: Ack,
        by: &Submitter,
        room_wait: Duration,
    ) -> Result<HandedInBatch, BatchError> {
        let policy = self.inner.policy.load();
        let mut request = self.make_request(events, by, &policy)?;
        if request.all.iter().any(|one| one.key.is_some()) {
            self.compare_within(&mut request)?;
            self.compare_with_trail(&mut request, None)?;
        }
        loop {
            // Held until the events are in, so that two callers with one id cannot both find it absent.
            let mut ids = self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner);
            let found = self.find_new(&request, &mut ids)?;
            if found.is_empty() {
                let first = self.push_with_ids(&request, ids, room_wait)?;
                return Ok(self.outcome(request, &policy, first, ack));
            }
            drop(ids);
            self.compare_with_trail(&mut request, Some(found))?;
        }
    }

    /// Prepares the events of a request, outside any lock.
    fn make_request<'a>(
        &self,
        events: &'a [Submitted<'a>],
        by: &'a Submitter,
        policy: &'a InForce,
    ) -> Result<Request<'a>, BatchError> {
        let inner = &*self.inner;
        if inner.is_forked() {
            // Before any lock: in a child nobody may ever release it.
            return Err(RecordError::Forked.into());
        }
        let now = inner.log.clock.now();
        let mut bytes = Vec::with_capacity(events.iter().map(|event| event.json.len() + 256).sum());
        let (mut all, mut warnings) = (Vec::with_capacity(events.len()), Vec::new());
        let mut room = BATCH_WARNINGS_MAX;
        for (place, event) in events.iter().enumerate() {
            let (one, told) =
                self.make_ready(event, by, policy, now, &mut bytes).map_err(|why| bad(why, place))?;
            all.push(one);
            if !told.is_empty() {
                warnings.push((place, told.within(&mut room)));
            }
        }
        Ok(Request { events, by, now, bytes, all, warnings, known: HashMap::new() })
    }

    /// Puts what is new into the handoff, and its ids among the known ones. Returns like [`push_new`](Self::push_new).
    fn push_with_ids(
        &self,
        request: &Request<'_>,
        mut ids: MutexGuard<'_, Ids>,
        room_wait: Duration,
    ) -> Result<u64, RecordError> {
        let first = self.push_new(request, room_wait)?;
        let durable = self.inner.log.progress.durable();
        request.each_kept(|place, nth| match request.all[place].key {
            Some(key) => ids.insert(key, Index::new(first + nth), request.rest(place), durable),
            None => ids.pass(Index::new(first + nth)),
        });
        Ok(first)
    }

    /// Places and indexes of events that were not known and are in the trail.
    fn find_new(&self, request: &Request<'_>, ids: &mut Ids) -> Result<Vec<(usize, u64)>, ReadError> {
        if request.new_keys().next().is_some() {
            self.catch_up(ids)?;
        }
        let mut found = Vec::new();
        for (place, key) in request.new_keys() {
            let index = self.find(ids, key, request.all[place].ready.stamp.id.as_str())?;
            found.extend(index.map(|index| (place, index)));
        }
        Ok(found)
    }

    /// Compares events whose ids are in the trail with what is there. `found` says where, if that is known.
    fn compare_with_trail(
        &self,
        request: &mut Request<'_>,
        found: Option<Vec<(usize, u64)>>,
    ) -> Result<(), BatchError> {
        let found = match found {
            Some(found) => found,
            None => {
                let mut ids = self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner);
                self.find_new(request, &mut ids)?
            }
        };
        for (place, index) in found {
            let event = self.written(&request.events[place], request.by).map_err(|why| bad(why, place))?;
            let id = request.all[place].ready.stamp.id.as_str().to_owned();
            match self.compare(&event, index, id.clone())? {
                HandedInOnce::Conflict { index, id } => {
                    return Err(BatchError::Conflict { place, id, index: Some(index) });
                }
                HandedInOnce::Repeated { retired, .. } => {
                    request.known.insert(place, Known::InTrail { index, retired });
                }
                HandedInOnce::New(_) => {}
            }
        }
        Ok(())
    }

    /// Compares events of the request that have the same id.
    fn compare_within(&self, request: &mut Request<'_>) -> Result<(), BatchError> {
        let mut firsts = HashMap::new();
        for place in 0..request.all.len() {
            let Some(key) = request.all[place].key else { continue };
            let Some(&first) = firsts.get(&key) else {
                firsts.insert(key, place);
                continue;
            };
            let event = self.written(&request.events[place], request.by).map_err(|why| bad(why, place))?;
            let policy = self.inner.policy.load();
            if !same_content(&event, &self.line_of(request, first)?, self.inner.compared(&policy)) {
                let id = request.all[place].ready.stamp.id.as_str().to_owned();
                return Err(BatchError::Conflict { place, id, index: None });
            }
            request.known.insert(place, Known::Earlier(first));
        }
        Ok(())
    }

    /// The line of an event of the request, as it would be the first of a trail. What is not kept was not written yet.
    fn line_of(&self, request: &Request<'_>, place: usize) -> Result<Vec<u8>, BatchError> {
        let mut line = Vec::new();
        line::write_front(0, &request.now.to_text(), &mut line);
        if request.all[place].ready.is_kept() {
            line.extend_from_slice(request.rest(place).trim_ascii_end());
        } else {
            let event = self.written(&request.events[place], request.by).map_err(|why| bad(why, place))?;
            line::write_rest(&event, &complete(&event, request.now), &mut line)
                .map_err(|error| bad(Why::Bad(error.into()), place))?;
        }
        Ok(line)
    }

    /// Puts what is new into the handoff as one frame. Returns the first index; any, if nothing is new.
    fn push_new(&self, request: &Request<'_>, room_wait: Duration) -> Result<u64, RecordError> {
        let (mut ends, mut bytes) = (Vec::with_capacity(request.all.len()), Vec::new());
        let flags = request.flags();
        let is_all_new = request.known.is_empty();
        request.each_kept(|place, _| {
            if !is_all_new {
                bytes.extend_from_slice(request.rest(place));
            }
            ends.push(if is_all_new { request.all[place].end } else { bytes.len() });
        });
        if ends.is_empty() {
            return Ok(0);
        }
        let bytes = if is_all_new { &request.bytes } else { &bytes };
        self.inner.push(&flags, Frame { bytes, ends: &ends, now: request.now }, room_wait)
    }

    fn outcome(&self, request: Request<'_>, policy: &InForce, first: u64, ack: Ack) -> HandedInBatch {
        let mut events: Vec<Submission> = Vec::with_capacity(request.all.len());
        let (mut next, mut newest, mut masked): (u64, Option<Wanted>, u64) = (first, None, 0);
        for (place, one) in request.all.iter().enumerate() {
            let id = one.ready.stamp.id.clone();
            let Decision { keep, then, rule, .. } = one.ready.decision;
            if !request.known.contains_key(&place) {
                policy.count(rule, keep);
            }
            let (index, status) = match request.known.get(&place) {
                Some(Known::InTrail { index, retired }) => {
                    let (index, retired) = (Index::new(*index), *retired);
                    newest = Wanted::later(newest, index, ack, then);
                    events.push(Submission::Repeated { index, id: id.as_str().to_owned(), retired });
                    continue;
                }
                Some(Known::Earlier(earlier)) => {
                    events.push(repeat_of(&events[*earlier], id));
                    continue;
                }
                None => match self.inner.count_dropped(keep) {
                    Some(status) => (None, status),
                    None => {
                        next += 1;
                        masked += u64::from(one.ready.is_masked());
                        (Some(Index::new(next - 1)), Status::Accepted)
                    }
                },
            };
            if let Some(index) = index {
                newest = Wanted::later(newest, index, level(then, ack), then);
            }
            events.push(Submission::New(Receipt { index, id, status }));
        }
        self.inner.count_masked(masked);
        self.inner.count_warnings(request.warnings.iter().map(|(_, warnings)| warnings.count()).sum());
        HandedInBatch { events, warnings: request.warnings, newest: newest.map(Wanted::into_handed_in) }
    }
}

/// The result for a repeat of an earlier event of the same request.
fn repeat_of(earlier: &Submission, id: EventId) -> Submission {
    match earlier {
        Submission::New(Receipt { index: Some(index), .. }) => {
            Submission::Repeated { index: *index, id: id.as_str().to_owned(), retired: false }
        }
        Submission::Repeated { index, retired, .. } => {
            Submission::Repeated { index: *index, id: id.as_str().to_owned(), retired: *retired }
        }
        Submission::New(receipt) => Submission::New(Receipt { id, ..receipt.clone() }),
    }
}

/// What to wait for, for all events of a request.
struct Wanted {
    index: Index,
    ack: Ack,
    timeout: Duration,
    on_failure: OnFailure,
    events: u64,
}

impl Wanted {
    fn later(so_far: Option<Wanted>, index: Index, ack: Ack, then: &Treatment) -> Option<Wanted> {
        let (timeout, on_failure) = (then.timeout, OnFailure::Allow);
        let mut wanted = so_far.unwrap_or(Wanted { index, ack, timeout, on_failure, events: 0 });
        wanted.events += 1;
        wanted.index = wanted.index.max(index);
        wanted.ack = wanted.ack.max(ack);
        wanted.timeout = wanted.timeout.max(then.timeout);
        // One event whose caller must learn of a failure decides for all.
        if then.on_failure == OnFailure::Deny {
            wanted.on_failure = OnFailure::Deny;
        }
        Some(wanted)
    }

    fn into_handed_in(self) -> HandedIn {
        let Wanted { index, ack, timeout, on_failure, events } = self;
        let receipt =
            Receipt { index: Some(index), id: EventId::given(&index.to_string()), status: Status::Accepted };
        HandedIn { receipt, ack, timeout, on_failure, events }
    }
}

/// A request in progress.
struct Request<'a> {
    events: &'a [Submitted<'a>],
    by: &'a Submitter,
    now: Timestamp,
    /// The rests of all its events, each with its newline.
    bytes: Vec<u8>,
    all: Vec<One<'a>>,
    warnings: Vec<(usize, Warnings)>,
    /// Places of those that add nothing.
    known: HashMap<usize, Known>,
}

fn bad(why: Why, place: usize) -> BatchError {
    match why {
        Why::Bad(source) => BatchError::Bad { place, source },
        Why::OtherTenant => BatchError::OtherTenant { place },
    }
}

/// Where an event is that adds nothing.
enum Known {
    InTrail {
        index: u64,
        retired: bool,
    },
    /// At an earlier place of the request.
    Earlier(usize),
}

impl Request<'_> {
    fn rest(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.all[before].end);
        &self.bytes[start..self.all[place].end]
    }

    /// Places and keys of events that were not known.
    fn new_keys(&self) -> impl Iterator<Item = (usize, u128)> {
        let keys = self.all.iter().enumerate().filter_map(|(place, one)| Some((place, one.key?)));
        keys.filter(|(place, _)| !self.known.contains_key(place))
    }

    /// What rules ask for, for the events that go into the trail.
    fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        if self.all.iter().any(|one| one.ready.flag.is_some()) {
            self.each_kept(|place, nth| {
                flags.extend(
                    self.all[place].ready.flag.as_deref().map(|flag| Flag { place: nth, ..flag.clone() }),
                );
            });
        }
        flags
    }

    /// Calls `each` with the place of every event that goes into the trail, and how many went before it.
    fn each_kept(&self, mut each: impl FnMut(usize, u64)) {
        let kept = (0..self.all.len())
            .filter(|place| self.all[*place].ready.is_kept() && !self.known.contains_key(place));
        kept.zip(0..).for_each(|(place, nth)| each(place, nth));
    }
}
