//! Handing in the events of one request: all of them, or none.
//!
//! In: JSON texts, and who hands them in. Out: an outcome for each, in their order. What must hold: a request of
//! which one event is bad, conflicts with another, or has no room leaves nothing behind; a repeat adds nothing.

mod at_once;
mod ready;

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use trailseal_event::complete::EventId;
use trailseal_event::line::{self, same_content};
use trailseal_event::policy::{Keep, OnFailure, Treatment};
use trailseal_event::{BadLine, Index, Timestamp, Warnings};

use super::error::RecordError;
use super::flag::Flag;
use super::once::{HandedInOnce, Ids, RecordOnceError};
use super::recording::{Ack, HandedIn, Receipt, Status, level};
use super::{ReadError, Trail};
use crate::trail::in_force::InForce;
use ready::Ready;

/// Who hands events in.
#[derive(Clone, Debug, Default)]
pub struct Submitter {
    /// What stands in `recorded_by`: the name of a token, or of a process.
    pub recorded_by: Option<Arc<str>>,
    /// The only tenant it may write for. An event without a tenant gets this one.
    pub tenant: Option<Arc<str>>,
    /// Whether its events are read strictly, even if the trail's [`Options`](super::Options) do not say so.
    pub strict: bool,
}

/// One event of a request.
#[derive(Clone, Debug)]
pub struct Submitted<'a> {
    /// The event as JSON text.
    pub json: &'a [u8],
    /// Its id, if it has none of its own.
    pub id: Option<String>,
}

/// What became of one event of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// It was not there yet.
    New(Receipt),
    /// It is there already, with the same content; nothing was added.
    Repeated {
        /// Its index.
        index: Index,
        /// Its id.
        id: String,
    },
}

/// So many warnings are told of the events of one request.
pub const BATCH_WARNINGS_MAX: usize = 100;

/// A request that was handed in, before anybody waited for the level that the policy asks for.
#[derive(Debug)]
pub struct HandedInBatch {
    /// What became of each event, in their order.
    pub events: Vec<Submission>,
    /// What the author of the program that sent them should know, by the places of the events; only those with any. At
    /// most [`BATCH_WARNINGS_MAX`] are told, the others are counted.
    pub warnings: Vec<(usize, Warnings)>,
    /// What is to be waited for, with [`Trail::finish`] or [`Trail::confirm`]: it holds for all of them.
    pub newest: Option<HandedIn>,
}

/// Why nothing of a request was recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// One of its events is no event.
    #[error("event {place}: {source}")]
    Bad {
        /// Its place, from 0.
        place: usize,
        /// What is wrong with it.
        source: BadLine,
    },
    /// One of its events is of another tenant than its submitter.
    #[error("event {place} is of another tenant")]
    OtherTenant {
        /// Its place, from 0.
        place: usize,
    },
    /// An event with the id of one of them is there already, or comes earlier in the request, with other content.
    #[error("event {place}: its id {id} is that of an event with other content")]
    Conflict {
        /// Its place, from 0.
        place: usize,
        /// The id.
        id: String,
        /// The other one's index, if it is not of this request.
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
    /// Hands in the events of one request, unless they are there already; waits for nothing but, up to
    /// `room_wait`, room in the buffer.
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
        let (mut request, policy) = self.make_request(events, by)?;
        if request.ready.iter().any(|one| one.key.is_some()) {
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

    /// Makes the events of a request ready, outside of any lock.
    fn make_request<'a>(
        &self,
        events: &'a [Submitted<'a>],
        by: &'a Submitter,
    ) -> Result<(Request<'a>, Arc<InForce>), BatchError> {
        let inner = &*self.inner;
        if inner.is_forked() {
            // Before any lock: in a child nobody may ever give it free.
            return Err(RecordError::Forked.into());
        }
        let policy = inner.shared.policy.load();
        let now = inner.shared.options.clock.now();
        let mut bytes = Vec::with_capacity(events.iter().map(|event| event.json.len() + 256).sum());
        let (mut ready, mut warnings) = (Vec::with_capacity(events.len()), Vec::new());
        let mut room = BATCH_WARNINGS_MAX;
        for (place, event) in events.iter().enumerate() {
            let (one, told) =
                self.make_ready(event, by, &policy, now, &mut bytes).map_err(|why| why.at(place))?;
            ready.push(one);
            if !told.is_empty() {
                warnings.push((place, told.within(&mut room)));
            }
        }
        Ok((Request { events, by, now, bytes, ready, warnings, known: HashMap::new() }, policy))
    }

    /// Puts what is new into the handoff, and its ids among those that are known. Returns as [`push_new`](Self::push_new).
    fn push_with_ids(
        &self,
        request: &Request<'_>,
        mut ids: MutexGuard<'_, Ids>,
        room_wait: Duration,
    ) -> Result<u64, RecordError> {
        let first = self.push_new(request, room_wait)?;
        let durable = self.inner.shared.progress.durable();
        request.each_kept(|place, nth| match request.ready[place].key {
            Some(key) => ids.insert(key, Index::new(first + nth), request.rest(place), durable),
            None => ids.pass(Index::new(first + nth)),
        });
        Ok(first)
    }

    /// Places and indexes of events that are not known to be anywhere, and are in the trail.
    fn find_new(&self, request: &Request<'_>, ids: &mut Ids) -> Result<Vec<(usize, u64)>, ReadError> {
        if request.new_keys().next().is_some() {
            self.catch_up(ids)?;
        }
        let mut found = Vec::new();
        for (place, key) in request.new_keys() {
            let index = self.find(ids, key, request.ready[place].id.as_str())?;
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
            let event = self.written(&request.events[place], request.by).map_err(|why| why.at(place))?;
            let id = request.ready[place].id.as_str().to_owned();
            match self.compare(&event, index, id.clone())? {
                HandedInOnce::Conflict { index, id } => {
                    return Err(BatchError::Conflict { place, id, index: Some(index) });
                }
                _ => drop(request.known.insert(place, Known::InTrail(index))),
            }
        }
        Ok(())
    }

    /// Compares events of the request that have the same id.
    fn compare_within(&self, request: &mut Request<'_>) -> Result<(), BatchError> {
        let mut firsts = HashMap::new();
        for place in 0..request.ready.len() {
            let Some(key) = request.ready[place].key else { continue };
            let Some(&first) = firsts.get(&key) else {
                firsts.insert(key, place);
                continue;
            };
            let event = self.written(&request.events[place], request.by).map_err(|why| why.at(place))?;
            let mut line = Vec::new();
            line::write_front(0, &request.now.to_text(), &mut line);
            line.extend_from_slice(request.rest(first).trim_ascii_end());
            if !same_content(&event, &line) {
                let id = request.ready[place].id.as_str().to_owned();
                return Err(BatchError::Conflict { place, id, index: None });
            }
            request.known.insert(place, Known::Earlier(first));
        }
        Ok(())
    }

    /// Puts what is new into the handoff, as one frame. Returns the first index; any, if nothing is new.
    fn push_new(&self, request: &Request<'_>, room_wait: Duration) -> Result<u64, RecordError> {
        let (mut ends, mut bytes) = (Vec::with_capacity(request.ready.len()), Vec::new());
        let flags = request.flags();
        if request.is_all_kept() {
            ends.extend(request.ready.iter().map(|one| one.end));
            return self.inner.accept_batch(&flags, &request.bytes, &ends, request.now, room_wait);
        }
        request.each_kept(|place, _| {
            bytes.extend_from_slice(request.rest(place));
            ends.push(bytes.len());
        });
        if ends.is_empty() {
            return Ok(0);
        }
        self.inner.accept_batch(&flags, &bytes, &ends, request.now, room_wait)
    }

    fn outcome(&self, request: Request<'_>, policy: &InForce, first: u64, ack: Ack) -> HandedInBatch {
        let counters = &self.inner.shared.counters;
        let mut events: Vec<Submission> = Vec::with_capacity(request.ready.len());
        let (mut next, mut newest, mut masked): (u64, Option<Wanted>, u64) = (first, None, 0);
        for (place, one) in request.ready.iter().enumerate() {
            let id = one.id.clone();
            if !request.known.contains_key(&place) {
                policy.count(one.rule, one.keep);
            }
            let (index, status) = match (request.known.get(&place), one.keep) {
                (Some(Known::InTrail(index)), _) => {
                    let index = Index::new(*index);
                    newest = Wanted::later(newest, index, ack, &one.then);
                    events.push(Submission::Repeated { index, id: id.as_str().to_owned() });
                    continue;
                }
                (Some(Known::Earlier(earlier)), _) => {
                    events.push(repeat_of(&events[*earlier], id));
                    continue;
                }
                (None, Keep::Kept) => {
                    next += 1;
                    masked += u64::from(one.is_masked);
                    (Some(Index::new(next - 1)), Status::Accepted)
                }
                (None, Keep::SampledOut) => {
                    counters.sampled_out.add(1);
                    (None, Status::SampledOut)
                }
                (None, Keep::Off) => {
                    counters.off.add(1);
                    (None, Status::Off)
                }
            };
            if let Some(index) = index {
                newest = Wanted::later(newest, index, level(&one.then, ack), &one.then);
            }
            events.push(Submission::New(Receipt { index, id, status }));
        }
        self.inner.count_masked(masked);
        self.inner.count_warnings(request.warnings.iter().map(|(_, warnings)| warnings.count()).sum());
        HandedInBatch { events, warnings: request.warnings, newest: newest.map(Wanted::into_handed_in) }
    }
}

/// What a repeat of an earlier event of the same request is answered.
fn repeat_of(earlier: &Submission, id: EventId) -> Submission {
    match earlier {
        Submission::New(Receipt { index: Some(index), .. }) | Submission::Repeated { index, .. } => {
            Submission::Repeated { index: *index, id: id.as_str().to_owned() }
        }
        Submission::New(receipt) => Submission::New(Receipt { id, ..receipt.clone() }),
    }
}

/// What is to be waited for, for all events of a request.
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
        // One event whose caller must hear of a failure decides for all.
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

/// A request on its way.
struct Request<'a> {
    events: &'a [Submitted<'a>],
    by: &'a Submitter,
    now: Timestamp,
    /// The rests of all its events, each with its newline.
    bytes: Vec<u8>,
    ready: Vec<Ready>,
    warnings: Vec<(usize, Warnings)>,
    /// Places of those that add nothing.
    known: HashMap<usize, Known>,
}

/// Where an event is that adds nothing.
enum Known {
    InTrail(u64),
    /// At an earlier place of the request.
    Earlier(usize),
}

impl Request<'_> {
    fn rest(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ready[before].end);
        &self.bytes[start..self.ready[place].end]
    }

    /// Places and keys of events that are not known to be anywhere.
    fn new_keys(&self) -> impl Iterator<Item = (usize, u128)> {
        let keys = self.ready.iter().enumerate().filter_map(|(place, one)| Some((place, one.key?)));
        keys.filter(|(place, _)| !self.known.contains_key(place))
    }

    fn is_all_kept(&self) -> bool {
        self.known.is_empty() && self.ready.iter().all(|one| one.keep == Keep::Kept)
    }

    /// What rules ask for of the events that go into the trail.
    fn flags(&self) -> Vec<Flag> {
        let mut flags = Vec::new();
        if self.ready.iter().any(|one| one.flag.is_some()) {
            self.each_kept(|place, nth| {
                flags.extend(
                    self.ready[place].flag.as_deref().map(|flag| Flag { place: nth, ..flag.clone() }),
                );
            });
        }
        flags
    }

    /// Calls `each` with the place of every event that goes into the trail, and how many went before it.
    fn each_kept(&self, mut each: impl FnMut(usize, u64)) {
        let kept = (0..self.ready.len())
            .filter(|place| self.ready[*place].keep == Keep::Kept && !self.known.contains_key(place));
        kept.zip(0..).for_each(|(place, nth)| each(place, nth));
    }
}
