//! Hands in the events of one request: all of them, or none.
//!
//! In: events, and who hands them in. Out: a receipt for each, in order. What must hold: a request in which one
//! event is bad, conflicts with another, or has no room leaves nothing behind; a repeat adds nothing.

mod at_once;
mod sent;

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use trailseal_event::complete::{EventId, complete};
use trailseal_event::line::{self, same_content};
use trailseal_event::policy::{Decision, OnFailure, Treatment};
use trailseal_event::{Index, Timestamp, Warnings};

use super::any_event::{AnyEvent, Submission, Submitted, Submitter};
use super::frame::Frame;
use super::ids::Ids;
use super::receipt::{HandedIn, Receipt, Status, level};
use super::record_once::Compared;
use super::record_options::{Ack, How};
use super::review_flag::Flag;
use crate::trail::error::RecordError;
use crate::trail::open_trail::Trail;
use crate::trail::policy::in_force::InForce;
use crate::trail::reading::reader::ReadError;
use sent::One;

/// The receipts of several events, in order, and what to wait for: it holds for all of them.
pub(super) type HandedInAll = (Vec<Receipt>, Option<HandedIn>);

/// The maximum number of warnings listed for the events of one request.
const BATCH_WARNINGS_MAX: usize = 100;

impl Trail {
    /// Hands in the events of one request, unless they are already there; waits only for room in the buffer.
    ///
    /// When one event is bad or conflicts with another, or there is no room, nothing is recorded. If `may_be_refused`, a
    /// refusal that the policy allows for all of them is no error.
    pub(super) fn hand_in_submission(
        &self,
        submission: Submission<'_>,
        how: How,
        may_be_refused: bool,
    ) -> Result<HandedInAll, RecordError> {
        let policy = self.inner.policy.load();
        let mut request = self.make_request(submission, &policy)?;
        if request.all.iter().any(|one| one.key.is_some()) {
            self.compare_within(&mut request)?;
            self.compare_with_trail(&mut request, None)?;
        }
        loop {
            // Held until the events are in, so that two callers with one id cannot both find it absent.
            let mut ids = self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner);
            let found = self.find_new(&request, &mut ids)?;
            if found.is_empty() {
                return match self.push_with_ids(&request, ids, how.room_wait) {
                    Ok(first) => Ok(self.outcome(request, &policy, Some(first), how)),
                    Err(_) if may_be_refused && request.allows_refusal() => {
                        Ok(self.outcome(request, &policy, None, how))
                    }
                    Err(error) => Err(error),
                };
            }
            drop(ids);
            self.compare_with_trail(&mut request, Some(found))?;
        }
    }

    /// Prepares the events of a request, outside any lock.
    fn make_request<'a>(
        &self,
        Submission { events, by }: Submission<'a>,
        policy: &'a InForce,
    ) -> Result<Request<'a>, RecordError> {
        let inner = &*self.inner;
        if inner.is_forked() {
            // Before any lock: in a child nobody may ever release it.
            return Err(RecordError::Forked);
        }
        let now = inner.log.clock.now();
        let mut bytes = Vec::with_capacity(events.iter().map(|event| size_hint(event) + 256).sum());
        let (mut all, mut warnings) = (Vec::with_capacity(events.len()), Vec::new());
        let mut room = BATCH_WARNINGS_MAX;
        for (place, event) in events.iter().enumerate() {
            let (one, told) =
                self.make_ready(event, by, policy, now, &mut bytes).map_err(|error| error.at(place))?;
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
    ) -> Result<(), RecordError> {
        let found = match found {
            Some(found) => found,
            None => {
                let mut ids = self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner);
                self.find_new(request, &mut ids)?
            }
        };
        for (place, index) in found {
            let event = self.written(&request.events[place], request.by).map_err(|error| error.at(place))?;
            let id = request.all[place].ready.stamp.id.as_str();
            match self.compare(&event, index, id)? {
                Compared::Differs => {
                    let index = Some(Index::new(index));
                    return Err(RecordError::Conflict { id: id.to_owned(), index }.at(place));
                }
                Compared::Same { retired } => {
                    request.known.insert(place, Known::InTrail { index, retired });
                }
            }
        }
        Ok(())
    }

    /// Compares events of the request that have the same id.
    fn compare_within(&self, request: &mut Request<'_>) -> Result<(), RecordError> {
        let mut firsts = HashMap::new();
        for place in 0..request.all.len() {
            let Some(key) = request.all[place].key else { continue };
            let Some(&first) = firsts.get(&key) else {
                firsts.insert(key, place);
                continue;
            };
            let event = self.written(&request.events[place], request.by).map_err(|error| error.at(place))?;
            let policy = self.inner.policy.load();
            if !same_content(&event, &self.line_of(request, first)?, self.inner.compared(&policy)) {
                let id = request.all[place].ready.stamp.id.as_str().to_owned();
                return Err(RecordError::Conflict { id, index: None }.at(place));
            }
            request.known.insert(place, Known::Earlier(first));
        }
        Ok(())
    }

    /// The line of an event of the request, as it would be the first of a trail. What is not kept was not written yet.
    fn line_of(&self, request: &Request<'_>, place: usize) -> Result<Vec<u8>, RecordError> {
        let mut line = Vec::new();
        line::write_front(0, &request.now.to_text(), &mut line);
        if request.all[place].ready.is_kept() {
            line.extend_from_slice(request.rest(place).trim_ascii_end());
        } else {
            let event = self.written(&request.events[place], request.by).map_err(|error| error.at(place))?;
            line::write_rest(&event, &complete(&event, request.now), &mut line)
                .map_err(|error| RecordError::from(error).at(place))?;
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

    /// `first` is the index of the first event that was put into the handoff; `None` if they were refused.
    fn outcome(&self, request: Request<'_>, policy: &InForce, first: Option<u64>, how: How) -> HandedInAll {
        let mut receipts: Vec<Receipt> = Vec::with_capacity(request.all.len());
        let (mut next, mut newest, mut masked): (Option<u64>, Option<Wanted>, u64) = (first, None, 0);
        for (place, one) in request.all.iter().enumerate() {
            let id = one.ready.stamp.id.clone();
            let Decision { keep, then, rule, .. } = one.ready.decision;
            if !request.known.contains_key(&place) {
                policy.count(rule, keep);
            }
            let (index, status) = match request.known.get(&place) {
                Some(Known::InTrail { index, retired }) => {
                    let index = Index::new(*index);
                    let is_early = cfg!(trailseal_fault = "repeat_confirmed_early");
                    let ack = if is_early { how.ack } else { level(then, how.ack) };
                    newest = Wanted::later(newest, index, ack, then);
                    receipts.push(Receipt::new(Some(index), id, Status::Repeated { retired: *retired }));
                    continue;
                }
                Some(Known::Earlier(earlier)) => {
                    receipts.push(repeat_of(&receipts[*earlier], id));
                    continue;
                }
                None => match (self.inner.count_dropped(keep), &mut next) {
                    (Some(status), _) => (None, status),
                    (None, None) => (None, Status::Refused),
                    (None, Some(next)) => {
                        masked += u64::from(one.ready.is_masked());
                        *next += 1;
                        (Some(Index::new(*next - 1)), Status::Accepted)
                    }
                },
            };
            if let Some(index) = index {
                newest = Wanted::later(newest, index, level(then, how.ack), then);
            }
            receipts.push(Receipt::new(index, id, status));
        }
        self.inner.count_masked(masked);
        self.inner.count_warnings(request.warnings.iter().map(|(_, warnings)| warnings.count()).sum());
        for (place, warnings) in request.warnings {
            receipts[place].warnings = Some(Box::new(warnings));
        }
        (receipts, newest.map(|newest| newest.into_handed_in(how)))
    }
}

/// What the caller gets for a repeat of an earlier event of the same request.
fn repeat_of(earlier: &Receipt, id: EventId) -> Receipt {
    let status = match (earlier.index, earlier.status) {
        (Some(_), Status::Repeated { retired }) => Status::Repeated { retired },
        (Some(_), _) => Status::Repeated { retired: false },
        (None, status) => status,
    };
    Receipt::new(earlier.index, id, status)
}

/// About how long the line of an event will be.
fn size_hint(submitted: &Submitted<'_>) -> usize {
    match submitted.event {
        AnyEvent::Json(text) => text.len(),
        AnyEvent::Event(_) | AnyEvent::Text(_) => 256,
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

    fn into_handed_in(self, how: How) -> HandedIn {
        let Wanted { index, ack, timeout, on_failure, events } = self;
        let id = EventId::given(&index.to_string());
        let (receipt, timeout) =
            (Receipt::new(Some(index), id, Status::Accepted), how.timeout.unwrap_or(timeout));
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

    /// Whether the policy lets all callers of these events continue without them.
    fn allows_refusal(&self) -> bool {
        let kept = self.all.iter().filter(|one| one.ready.is_kept());
        kept.map(|one| one.ready.decision.then.on_failure).all(|on_failure| on_failure == OnFailure::Allow)
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
