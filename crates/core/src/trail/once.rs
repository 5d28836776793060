//! Recording an event once: the ways in that promise retry safety look up the id that the caller gave.
//!
//! The set of ids is built by one scan of the trail, the first time that an id must be checked.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::masking;
use super::recording::{Ack, HandedIn, LINE, Receipt, Status, level};
use super::{ReadError, Reader, RecordError, Trail};
use crate::Index;
use crate::clock::Timestamp;
use crate::complete::EventId;
use crate::event::{Event, held_id, same_content};
use crate::line;
use crate::policy::{Facts, OnFailure};

/// What came of recording an event once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once {
    /// It was not there yet.
    New(Receipt),
    /// It is there already, with the same content; nothing was added.
    Repeated {
        /// Its index.
        index: Index,
        /// Its id.
        id: String,
    },
    /// Another event has this id; nothing was added.
    Conflict {
        /// The other one's index.
        index: Index,
        /// The id.
        id: String,
    },
}

/// What came of handing an event in once.
#[derive(Clone, Debug)]
pub enum HandedInOnce {
    /// It was not there yet.
    New(HandedIn),
    /// As [`Once::Repeated`].
    Repeated {
        /// Its index.
        index: Index,
        /// Its id.
        id: String,
    },
    /// As [`Once::Conflict`].
    Conflict {
        /// The other one's index.
        index: Index,
        /// The id.
        id: String,
    },
}

/// Bytes of a tenant's name that tell it from others here; fewer than are ever cut off.
const TENANT_BYTES: usize = 512;

/// Ids of the trail's events: half of SHA-256(length of tenant ‖ tenant ‖ id) to index.
#[derive(Default)]
pub(super) struct Ids {
    by_hash: HashMap<u128, u64>,
    /// Everything below is in the map.
    scanned: u64,
    /// Indexes from `scanned` on that were recorded under this lock, and so need not be read.
    passed: BTreeSet<u64>,
    /// The rests of lines that were recorded under this lock and may not be on disk yet, by index. No more than
    /// the handoff holds.
    fresh: VecDeque<(u64, Box<[u8]>)>,
    lines: Lines,
}

/// How many indexes are remembered as passed; more are read from the disk.
const PASSED_MAX: usize = 1 << 16;

/// Lines that repeats are compared with. Who sends a file again asks for one line after the other.
#[derive(Default)]
struct Lines {
    reader: Option<Reader>,
    /// Index of the first of `ahead`.
    first: u64,
    ahead: Vec<Vec<u8>>,
}

/// How many lines are read at once.
const LINES_AHEAD: u64 = 256;

impl Lines {
    /// The line at `index`, which is on disk; `None` if it is not.
    fn get(&mut self, trail: &Trail, index: u64) -> Result<Option<&[u8]>, ReadError> {
        if index.checked_sub(self.first).is_none_or(|at| at >= self.ahead.len() as u64) {
            let (mut ahead, range) = (Vec::new(), index..index.saturating_add(LINES_AHEAD));
            self.read(trail, index + 1, range, &mut |_, line| ahead.push(line.to_vec()))?;
            (self.first, self.ahead) = (index, ahead);
        }
        Ok(self.ahead.get((index - self.first) as usize).map(Vec::as_slice))
    }

    /// Reads what there is of `range`, in a view that should have the lines below `least`, and returns where
    /// the view ends.
    fn read(
        &mut self,
        trail: &Trail,
        least: u64,
        range: Range<u64>,
        each: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<u64, ReadError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => trail.reader()?,
        };
        let mut next = range.start;
        let mut visit = |index: Index, line: &[u8]| {
            next = index.get() + 1;
            each(index.get(), line);
            ControlFlow::Continue(())
        };
        let is_old = reader.end().get() < least;
        if is_old || reader.for_each(range.clone(), &mut visit).is_err() {
            // New lines, or a segment that was compressed meanwhile and has another name now.
            reader.refresh()?;
            reader.for_each(next..range.end, &mut |index, line| {
                each(index.get(), line);
                ControlFlow::Continue(())
            })?;
        }
        let end = reader.end().get();
        self.reader = Some(reader);
        Ok(end)
    }
}

impl Ids {
    pub(super) fn key(tenant: Option<&str>, id: &str) -> u128 {
        let tenant =
            if cfg!(trailseal_fault = "tenants_share_ids") { "" } else { tenant.unwrap_or_default() };
        let mut hasher = Sha256::new();
        // A tenant's name that was cut when it was stored must still be found by the whole one.
        let tenant = &tenant.as_bytes()[..tenant.floor_char_boundary(TENANT_BYTES)];
        // Its length, since any byte that could separate the two may be in either.
        hasher.update((tenant.len() as u64).to_be_bytes());
        hasher.update(tenant);
        hasher.update(id.as_bytes());
        let digest = hasher.finalize();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        u128::from_le_bytes(half)
    }

    /// An event that was recorded under this lock need not be read again.
    pub(super) fn pass(&mut self, index: Index) {
        if self.passed.len() < PASSED_MAX {
            self.passed.insert(index.get());
        }
        self.skip_passed();
    }

    /// Whether an event of this key is there.
    pub(super) fn has(&self, key: u128) -> bool {
        self.by_hash.contains_key(&key)
    }

    /// The index of the event of this key.
    pub(super) fn get(&self, key: u128) -> Option<u64> {
        self.by_hash.get(&key).copied()
    }

    /// Adds an event that was recorded under this lock, with the rest of its line. Everything below `durable` can be
    /// read from the disk.
    pub(super) fn insert(&mut self, key: u128, index: Index, rest: &[u8], durable: u64) {
        self.by_hash.insert(key, index.get());
        self.pass(index);
        while self.fresh.front().is_some_and(|(index, _)| *index < durable) {
            self.fresh.pop_front();
        }
        self.fresh.push_back((index.get(), rest.trim_ascii_end().into()));
    }

    /// The line at `index`, if it was recorded under this lock and is still remembered.
    fn fresh_line(&self, index: u64) -> Option<Vec<u8>> {
        let at = self.fresh.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        let mut line = Vec::new();
        line::write_front(index, &Timestamp::default().to_text(), &mut line);
        line.extend_from_slice(&self.fresh.get(at)?.1);
        Some(line)
    }

    fn skip_passed(&mut self) {
        while let Some(&index) = self.passed.first().filter(|index| **index <= self.scanned) {
            self.passed.pop_first();
            self.scanned = self.scanned.max(index + 1);
        }
    }

    fn add(&mut self, index: u64, line: &[u8]) {
        let Ok(recorded) = Event::from_line(line) else { return };
        if let (false, Some(id)) = (recorded.system, &recorded.event.id) {
            // The first one counts, if an id came in twice.
            self.by_hash.entry(Self::key(recorded.event.tenant.as_deref(), id)).or_insert(index);
        }
    }
}

impl Trail {
    /// Records `event` unless an event with its id is there already for its tenant. An event without an
    /// id of its own is simply recorded.
    ///
    /// # Errors
    /// It was refused or is unconfirmed, or the trail could not be read to look the id up.
    pub fn record_once(&self, event: &Event, ack: Ack) -> Result<Once, RecordOnceError> {
        Ok(match self.hand_in_once(event, ack)? {
            HandedInOnce::New(handed_in) => Once::New(self.finish(handed_in)?),
            HandedInOnce::Repeated { index, id } => Once::Repeated { index, id },
            HandedInOnce::Conflict { index, id } => Once::Conflict { index, id },
        })
    }

    /// The same, without waiting for the level that the policy asks for: for callers that hand in many and
    /// wait once.
    ///
    /// # Errors
    /// As [`record_once`](Trail::record_once), but for unconfirmed.
    pub fn hand_in_once(&self, event: &Event, ack: Ack) -> Result<HandedInOnce, RecordOnceError> {
        let inner = &*self.inner;
        if inner.is_forked() {
            // Refused in there; the ids are under a lock.
            return Ok(HandedInOnce::New(inner.hand_in(event, ack, Duration::ZERO, None)?));
        }
        // Before the id is looked up and contents are compared: what is stored is masked.
        let masked = masking::masked(&inner.shared.masker, event);
        let masked = masked.as_ref();
        let written = masked.map_or(event, |(written, _)| written);
        let Some(id) = &written.id else {
            let mut guard = inner.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let handed_in = inner.hand_in(event, ack, inner.room_wait(), masked)?;
            if let (Some(ids), Some(index)) = (guard.as_mut(), handed_in.receipt.index) {
                ids.pass(index);
            }
            return Ok(HandedInOnce::New(handed_in));
        };
        let id = held_id(id);
        let key = Ids::key(written.tenant.as_deref(), &id);
        // Held until the event is recorded, so that two callers with one id cannot both find it absent.
        let mut guard = inner.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ids = guard.get_or_insert_with(Ids::default);
        self.catch_up(ids)?;
        if let Some(&index) = ids.by_hash.get(&key) {
            drop(guard);
            let repeated = self.compare(written, index, id.into_owned())?;
            self.wait_for_first(event, ack, &repeated)?;
            return Ok(repeated);
        }
        let handed_in = inner.hand_in(event, ack, inner.room_wait(), masked)?;
        if let Some(index) = handed_in.receipt.index {
            // The line that was handed in is still in this thread's buffer.
            LINE.with_borrow(|rest| ids.insert(key, index, rest, inner.shared.progress.durable()));
        }
        Ok(HandedInOnce::New(handed_in))
    }

    pub(super) fn catch_up(&self, ids: &mut Ids) -> Result<(), ReadError> {
        // What this process records once is added as it is recorded; what came in by `record` is read.
        let durable = self.inner.shared.progress.durable();
        ids.skip_passed();
        while ids.scanned < durable {
            let to = ids.passed.first().map_or(durable, |&passed| passed.min(durable));
            let mut lines = std::mem::take(&mut ids.lines);
            let read = lines.read(self, to, ids.scanned..to, &mut |index, line| ids.add(index, line));
            ids.lines = lines;
            let end = read?;
            ids.scanned = to.min(end.max(ids.scanned));
            ids.skip_passed();
            if end < to {
                // The view lags behind for a moment; the next look reads on from here.
                break;
            }
        }
        Ok(())
    }

    /// Compares an event with the one that has its id, which may still be on its way to the disk.
    pub(super) fn compare(
        &self,
        event: &Event,
        index: u64,
        id: String,
    ) -> Result<HandedInOnce, RecordOnceError> {
        let mut guard = self.inner.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ids = guard.get_or_insert_with(Ids::default);
        let is_same = match ids.fresh_line(index) {
            Some(line) => Some(same_content(event, &line)),
            None => ids.lines.get(self, index)?.map(|line| same_content(event, line)),
        };
        let index = Index::new(index);
        match is_same {
            Some(true) => Ok(HandedInOnce::Repeated { index, id }),
            Some(false) => Ok(HandedInOnce::Conflict { index, id }),
            // Never a repeat unseen: what cannot be compared may be another event.
            None => Err(RecordError::Unconfirmed { index, id: EventId::given(&id) }.into()),
        }
    }

    /// A repeat is told only when the first has reached what the repeat asks for.
    fn wait_for_first(
        &self,
        event: &Event,
        ack: Ack,
        repeated: &HandedInOnce,
    ) -> Result<(), RecordOnceError> {
        let HandedInOnce::Repeated { index, id } = repeated else { return Ok(()) };
        let policy = self.inner.shared.policy.load();
        let then = policy.decide(&Facts::of(event)).then;
        let level = level(then, ack);
        let status = self.wait_for(level.min(Ack::Durable), *index, then.timeout);
        match (status, then.on_failure) {
            (Status::Unconfirmed, OnFailure::Deny) => {
                Err(RecordError::Unconfirmed { index: *index, id: EventId::given(id) }.into())
            }
            _ => Ok(()),
        }
    }
}

/// Why an event was not recorded once.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordOnceError {
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] RecordError),
    /// The trail could not be read to look the id up; nothing was recorded.
    #[error("could not read the trail to look the id up")]
    Read(#[from] ReadError),
}
