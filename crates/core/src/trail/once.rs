//! Recording an event once: the ways in that promise retry safety look up the id that the caller gave.
//!
//! Older ids are asked of [`KnownIds`] where a trail was given one; the others are in memory, from one scan, the first
//! time that an id must be checked.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use sha2::{Digest, Sha256};
use trailseal_event::complete::EventId;
use trailseal_event::line::{self, same_content};
use trailseal_event::policy::{Facts, OnFailure};
use trailseal_event::{Event, Index, Timestamp, held_id, held_identifier};
use trailseal_tlog::leaf_hash;

use super::known_ids::{Known, KnownIds};
use super::options::Notice;
use super::recording::{Ack, HandedIn, LINE, Receipt, Status, level};
use super::{ReadError, Reader, RecordError, Trail};

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

/// Ids of the trail's events.
#[derive(Default)]
pub(super) struct Ids {
    /// Whether an id was ever looked up.
    is_used: bool,
    older: Option<Box<dyn KnownIds>>,
    /// Everything below is known by `older`.
    known: u64,
    /// When `older` is asked again how far it knows, by [`Trail::progress_of_ids`].
    look_at: u64,
    /// Half of SHA-256(length of tenant ‖ tenant ‖ id) to index.
    by_hash: HashMap<u128, u64>,
    /// Everything from `known` to here is in the map.
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
            self.read(trail, index + 1, range, &mut |at, line| {
                // Where a segment is missing, those behind it are other lines.
                if at == index + ahead.len() as u64 {
                    ahead.push(line.to_vec());
                }
            })?;
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
        // As it is stored, so that the line gives the same key as the event did.
        let tenant = &*held_identifier(tenant);
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
        if !self.is_used {
            return;
        }
        if self.passed.len() < PASSED_MAX {
            self.passed.insert(index.get());
        }
        self.skip_passed();
    }

    /// The ids of all events below `end` are known elsewhere.
    fn forget_below(&mut self, end: u64) {
        if end > self.known {
            self.by_hash.retain(|_, index| *index >= end);
            self.by_hash.shrink_to(2 * self.by_hash.len());
            self.known = end;
            self.scanned = self.scanned.max(end);
        }
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

    /// Whether an event with this key is in memory.
    pub(super) fn has(&self, key: u128) -> bool {
        self.by_hash.contains_key(&key)
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
        if let Some(key) = Self::key_of_line(line) {
            // The first one counts, if an id came in twice.
            let first = self.by_hash.entry(key).or_insert(index);
            *first = index.min(*first);
        }
    }

    fn key_of_line(line: &[u8]) -> Option<u128> {
        let recorded = Event::from_line(line).ok().filter(|recorded| !recorded.system)?;
        Some(Self::key(recorded.event.tenant.as_deref(), &recorded.event.id?))
    }
}

impl Trail {
    /// Lets `older` be asked for the ids of events that it knows, so that memory holds only those that it does not know
    /// yet. Usually it is the index of the same trail, which [`deliver_to`](Trail::deliver_to) keeps growing.
    pub fn look_ids_up_in(&self, older: Box<dyn KnownIds>) {
        let mut ids = self.inner.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (ids.older, ids.look_at) = (Some(older), 0);
    }

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
        let masked = line::masked(&inner.shared.masker, event);
        let masked = masked.as_ref();
        let written = masked.map_or(event, |(written, _)| written);
        let Some(id) = &written.id else {
            let mut ids = inner.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let handed_in = inner.hand_in(event, ack, inner.room_wait(), masked)?;
            if let Some(index) = handed_in.receipt.index {
                ids.pass(index);
            }
            return Ok(HandedInOnce::New(handed_in));
        };
        let id = held_id(id);
        let key = Ids::key(written.tenant.as_deref(), &id);
        // Held until the event is recorded, so that two callers with one id cannot both find it absent.
        let mut ids = inner.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.catch_up(&mut ids)?;
        if let Some(index) = self.find(&mut ids, key, &id)? {
            drop(ids);
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
        ids.is_used = true;
        if self.progress_of_ids() >= ids.look_at {
            self.look(ids)?;
        }
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

    /// Whether memory has the ids of all events: then nothing need be read, and nobody asked, to look one up.
    pub(super) fn has_ids_at_hand(&self, ids: &mut Ids) -> bool {
        ids.skip_passed();
        let is_looked = ids.older.is_none() || self.progress_of_ids() < ids.look_at;
        ids.is_used && ids.known == 0 && is_looked && ids.scanned >= self.inner.shared.progress.durable()
    }

    /// Grows with the trail and with its index: either can be the reason for another look.
    fn progress_of_ids(&self) -> u64 {
        let progress = &self.inner.shared.progress;
        progress.durable() + progress.stored()
    }

    /// Looks how far the older ids are known, and forgets those. Whoever knows another trail's is not asked.
    fn look(&self, ids: &mut Ids) -> Result<(), ReadError> {
        let Some(older) = &mut ids.older else { return Ok(()) };
        ids.look_at = self.progress_of_ids() + older.look_every();
        let looked = older.look();
        // After the look, so that what it was made from is durable if it is this trail.
        let durable = self.inner.shared.progress.durable();
        // What cannot be told now was not forgotten.
        let Ok(Known { end, position }) = looked else { return Ok(()) };
        let is_ours = match (position.cursor.get().checked_sub(1), position.last_leaf) {
            (None, _) => return Ok(()),
            (Some(last), Some(leaf)) if last < durable => match ids.lines.get(self, last)? {
                Some(line) => leaf_hash(line) == leaf,
                // The view lags behind for a moment.
                None => return Ok(()),
            },
            _ => false,
        };
        match is_ours && end.get() <= durable {
            true if cfg!(trailseal_fault = "ids_forgotten_early") => ids.forget_below(durable),
            true => ids.forget_below(end.get()),
            false => self.give_up(ids, "it is of another trail, or of another state of this one"),
        }
        Ok(())
    }

    /// From now on all ids are in memory: the trail is scanned for them.
    fn give_up(&self, ids: &mut Ids, reason: &str) {
        ids.older = None;
        if ids.known > 0 {
            (ids.known, ids.scanned) = (0, 0);
        }
        self.inner.shared.notice(&Notice::IdsInMemory { reason: reason.to_owned() });
    }

    /// The index of the first event with this id; its key says of which tenant. `ids` has caught up.
    pub(super) fn find(&self, ids: &mut Ids, key: u128, id: &str) -> Result<Option<u64>, ReadError> {
        if ids.known > 0
            && let Some(index) = self.find_older(ids, key, id)?
        {
            return Ok(Some(index));
        }
        Ok(ids.by_hash.get(&key).copied())
    }

    fn find_older(&self, ids: &mut Ids, key: u128, id: &str) -> Result<Option<u64>, ReadError> {
        let Some(older) = &mut ids.older else { return Ok(None) };
        let mut found = Vec::new();
        if let Err(error) = older.find(id, &mut found) {
            self.give_up(ids, &error.to_string());
            self.catch_up(ids)?;
            return Ok(None);
        }
        found.sort_unstable();
        for index in found.into_iter().map(Index::get).filter(|index| *index < ids.known) {
            match ids.lines.get(self, index)? {
                // They are found by a part of a hash, and of any tenant.
                Some(line) if Ids::key_of_line(line) != Some(key) => {}
                // Where the line cannot be read, it may be the one.
                _ => return Ok(Some(index)),
            }
        }
        Ok(None)
    }

    /// Compares an event with the one that has its id, which may still be on its way to the disk.
    pub(super) fn compare(
        &self,
        event: &Event,
        index: u64,
        id: String,
    ) -> Result<HandedInOnce, RecordOnceError> {
        let mut guard = self.inner.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ids = &mut *guard;
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
