//! `record`: complete, serialise, hand off and, if requested, wait.
//!
//! No disk, network or system call on the ordinary path of an async event: one reading of the clock (which the kernel
//! serves without a call), serialisation into a buffer of the thread, and a lock around a copy.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use trailseal_event::complete::{EventId, Stamp, complete};
use trailseal_event::policy::{Acknowledge, Decision, Facts, Keep, Mode, OnFailure, Treatment};
use trailseal_event::{Event, Index, line};

use super::error::RecordError;
use super::flag::Flag;
use super::options::Full;
use super::shared::{Shared, Shut};
use super::waiting::Recording;
use super::{Inner, Trail};
use crate::deadline;
use crate::handoff::{self, Given, Refused, Rests};
use crate::trail::in_force::InForce;

/// The level that a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// In the handoff: survives a killed process, but not power loss.
    Accepted,
    /// On disk: survives power loss.
    Durable,
    /// In the store attached to the trail. Without one, this level is never reached in time.
    Store,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In the handoff.
    Accepted,
    /// On disk.
    Durable,
    /// In the store.
    Stored,
    /// It has an index and is kept, but did not reach the requested level in time.
    Unconfirmed,
    /// It has no index and will never be recorded; the policy lets the caller continue.
    Refused,
    /// It was sampled out.
    SampledOut,
    /// The policy does not record such events.
    Off,
}

/// What a caller gets for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its position; `None` if it is not kept. Provisional until the event is durable: a power loss may take it back.
    pub index: Option<Index>,
    /// Its id, which is never provisional.
    pub id: EventId,
    /// What became of it.
    pub status: Status,
}

/// An event that was handed in, before anybody waited for the level that the policy asks for.
#[derive(Clone, Debug)]
#[must_use = "nobody has waited yet for the level that the event must reach: see Trail::finish"]
pub struct HandedIn {
    /// The receipt so far.
    pub receipt: Receipt,
    /// The level to reach.
    pub ack: Ack,
    /// How long that may take.
    pub timeout: Duration,
    /// What the caller gets if it takes longer.
    pub on_failure: OnFailure,
    /// How many events wait with this one, including itself: it is the newest of a request.
    pub events: u64,
}

thread_local! {
    pub(super) static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A thread's line buffer larger than this is freed after use.
const LINE_BUFFER_KEPT: usize = 1 << 20;

impl Trail {
    /// Records an event; returns when the policy says so.
    ///
    /// In mode async that takes about a microsecond: no disk, network or system call.
    ///
    /// # Errors
    /// The event was *refused*: it has no index, will never be recorded, and was counted. Or it is *unconfirmed*: kept,
    /// but not seen at its level in time ([`RecordError::Unconfirmed`]). If the policy says `allow`, both are receipts
    /// instead.
    pub fn record(&self, event: &Event) -> Result<Receipt, RecordError> {
        self.record_ack(event, Ack::Accepted)
    }

    /// Records an event and returns when it has reached the level `ack`, or a higher one that the policy asks
    /// for.
    ///
    /// # Errors
    /// As [`record`](Trail::record).
    pub fn record_ack(&self, event: &Event, ack: Ack) -> Result<Receipt, RecordError> {
        let handed_in = self.inner.hand_in(event, ack, self.inner.room_wait(), None)?;
        self.finish(handed_in)
    }

    /// Records events as one: those that the policy keeps get consecutive indexes, or none gets any; until they are
    /// durable, after a crash either all of them are there or none is.
    ///
    /// # Errors
    /// All were refused: for the reasons of [`record`](Trail::record), or because they are too large together. Or they
    /// are unconfirmed; then the error has the last one's index.
    pub fn record_batch(&self, events: &[Event], ack: Ack) -> Result<Vec<Receipt>, RecordError> {
        let (mut receipts, newest) = self.hand_in_all(events, ack, self.inner.room_wait())?;
        if let Some(newest) = newest {
            let status = self.finish(newest)?.status;
            receipts
                .iter_mut()
                .filter(|receipt| receipt.index.is_some())
                .for_each(|kept| kept.status = status);
        }
        Ok(receipts)
    }

    /// Hands events in as one, and waits only for room in the buffer, up to `room_wait`. Then wait for what is returned
    /// beside their receipts, with [`finish`](Trail::finish) or [`confirm`](Trail::confirm): it holds for all of them.
    /// `None` if none of them is kept.
    ///
    /// # Errors
    /// All were refused.
    pub fn hand_in_all(
        &self,
        events: &[Event],
        ack: Ack,
        room_wait: Duration,
    ) -> Result<(Vec<Receipt>, Option<HandedIn>), RecordError> {
        let (receipts, ack, then) = self.inner.hand_in_batch(events, ack, room_wait)?;
        let kept = || receipts.iter().filter(|receipt| receipt.index.is_some());
        let (timeout, on_failure, events) = (then.timeout, then.on_failure, kept().count() as u64);
        let newest = kept().next_back().cloned();
        let newest = newest.map(|receipt| HandedIn { receipt, ack, timeout, on_failure, events });
        Ok((receipts, newest))
    }

    /// Records an event now and returns a future of its receipt, for callers that must not block. Needs no runtime.
    /// Dropping the future only stops the waiting: the event is recorded either way.
    ///
    /// # Errors
    /// As [`record`](Trail::record); a full buffer refuses at once, since waiting would block.
    pub fn record_async(&self, event: &Event, ack: Ack) -> Result<Recording, RecordError> {
        let handed_in = self.inner.hand_in(event, ack, Duration::ZERO, None)?;
        Ok(self.confirm(handed_in))
    }

    /// The future of the receipt of an event that was handed in: ready when it has reached its level, or when time is
    /// up.
    pub fn confirm(&self, handed_in: HandedIn) -> Recording {
        let deadline = deadline::after(handed_in.timeout);
        if handed_in.ack > Ack::Accepted && handed_in.receipt.index.is_some() {
            self.inner.shared.wake_writer();
        }
        Recording::new(self.inner.clone(), handed_in, deadline)
    }

    /// Waits until an event that was handed in has reached its level.
    ///
    /// # Errors
    /// [`RecordError::Unconfirmed`] if that took too long and the policy says `deny`.
    pub fn finish(&self, handed_in: HandedIn) -> Result<Receipt, RecordError> {
        let HandedIn { receipt, ack, timeout, on_failure, events } = handed_in;
        // Mostly this is all, and then the clock need not be read for a deadline.
        if ack == Ack::Accepted {
            return Ok(receipt);
        }
        let Some(index) = receipt.index else { return Ok(receipt) };
        let status = self.inner.wait_for(ack, index.get(), deadline::after(timeout), events);
        confirmed(Receipt { status, ..receipt }, on_failure)
    }

    /// Waits until the event at `index` has reached the level `ack`, at most for `timeout`.
    pub fn wait_for(&self, ack: Ack, index: Index, timeout: Duration) -> Status {
        self.inner.wait_for(ack, index.get(), deadline::after(timeout), 1)
    }
}

pub(super) fn confirmed(receipt: Receipt, on_failure: OnFailure) -> Result<Receipt, RecordError> {
    match (receipt.status, receipt.index) {
        (Status::Unconfirmed, Some(index)) if on_failure == OnFailure::Deny => {
            Err(RecordError::Unconfirmed { index, id: receipt.id })
        }
        _ => Ok(receipt),
    }
}

/// The level that a treatment asks for, raised to the caller's.
pub(super) fn level(then: &Treatment, ack: Ack) -> Ack {
    ack.max(match (then.mode, then.acknowledge) {
        (Mode::Sync, Acknowledge::Durable) => Ack::Durable,
        (Mode::Sync, Acknowledge::Store) => Ack::Store,
        (Mode::Async | Mode::Sampled | Mode::Off, _) => Ack::Accepted,
    })
}

impl Inner {
    pub(super) fn room_wait(&self) -> Duration {
        match self.shared.options.handoff.full {
            Full::Block => self.shared.options.handoff.timeout,
            Full::Refuse => Duration::ZERO,
        }
    }

    /// Whether this process is a forked child of the one that opened the trail. Check this before taking any lock: a
    /// thread of the parent may have held it at the fork, and in the child nobody releases it.
    pub(super) fn is_forked(&self) -> bool {
        self.fork != trailseal_event::fork::generation() && !cfg!(trailseal_fault = "fork_not_noticed")
    }

    pub(super) fn refuse_forked(&self) -> Result<(), RecordError> {
        if self.is_forked() { Err(RecordError::Forked) } else { Ok(()) }
    }

    /// Whether this many events may come in now.
    pub(super) fn admit(&self, events: u64) -> Result<(), RecordError> {
        self.refuse_forked()?;
        let Some(shut) = self.shared.gate.shut() else { return Ok(()) };
        Err(self.refused(
            events,
            match shut {
                Shut::Closed => RecordError::Closed,
                Shut::DiskReserve => RecordError::DiskReserve,
                Shut::FolderMoved => RecordError::FolderMoved,
                Shut::DiskFailing | Shut::WriterDied => RecordError::DiskFailing,
            },
        ))
    }

    /// Counts events in which something was masked.
    pub(super) fn count_masked(&self, events: u64) {
        if events > 0 {
            self.shared.counters.masked.add(events);
        }
    }

    /// Counts warnings about accepted events.
    pub(super) fn count_warnings(&self, warnings: u64) {
        if warnings > 0 {
            self.shared.counters.warnings.add(warnings);
        }
    }

    pub(super) fn refused(&self, events: u64, error: RecordError) -> RecordError {
        self.shared.counters.refused.add(events);
        error
    }

    /// Hands in an event as the policy says, and waits only for room in the buffer. `masked` is the event as it will be
    /// written and the masked paths, if that was done before. The policy uses what was sent: masked ids are all alike,
    /// and one could then choose to be sampled with the others.
    pub(super) fn hand_in(
        &self,
        event: &Event,
        ack: Ack,
        room_wait: Duration,
        masked: Option<&(Event, Vec<String>)>,
    ) -> Result<HandedIn, RecordError> {
        self.shared.policy.with(|policy| self.hand_in_by(policy, event, ack, room_wait, masked))
    }

    fn hand_in_by(
        &self,
        policy: &InForce,
        event: &Event,
        ack: Ack,
        room_wait: Duration,
        masked: Option<&(Event, Vec<String>)>,
    ) -> Result<HandedIn, RecordError> {
        let decision = policy.decide(&Facts::of(event));
        policy.count(decision.rule, decision.keep);
        let then = decision.then;
        let now = self.shared.options.clock.now();
        let receipt = match self.not_kept(&decision) {
            Some(status) => {
                let written = masked.map_or(event, |(masked, _)| masked);
                Receipt { index: None, id: complete(written, now).id, status }
            }
            None => {
                let (written, paths) = masked.map_or((event, &[][..]), |(masked, paths)| (masked, paths));
                // Filled in place: a copy would wait for the id, which has just been stored word by word.
                let mut stamp = complete(written, now);
                stamp.sample_rate = decision.sample_rate;
                stamp.masked.extend_from_slice(paths);
                match self.accept(written, &mut stamp, masked.is_some(), decision.review, room_wait) {
                    Ok(index) => {
                        Receipt { index: Some(Index::new(index)), id: stamp.id, status: Status::Accepted }
                    }
                    Err(_) if then.on_failure == OnFailure::Allow => {
                        Receipt { index: None, id: stamp.id, status: Status::Refused }
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let (timeout, on_failure) = (then.timeout, then.on_failure);
        Ok(HandedIn { receipt, ack: level(then, ack), timeout, on_failure, events: 1 })
    }

    /// Counts an event that is not kept.
    pub(super) fn not_kept(&self, decision: &Decision<'_>) -> Option<Status> {
        match decision.keep {
            Keep::Kept => None,
            Keep::SampledOut => {
                self.shared.counters.sampled_out.add(1);
                Some(Status::SampledOut)
            }
            Keep::Off => {
                self.shared.counters.off.add(1);
                Some(Status::Off)
            }
        }
    }

    fn accept(
        &self,
        event: &Event,
        stamp: &mut Stamp,
        is_masked: bool,
        review: Option<&str>,
        room_wait: Duration,
    ) -> Result<u64, RecordError> {
        self.admit(1)?;
        LINE.with_borrow_mut(|rest| {
            rest.clear();
            let written = match is_masked {
                true => line::write_rest(event, stamp, rest),
                false => line::write_masked(&self.shared.masker, event, stamp, rest),
            };
            written.map_err(|error| self.refused(1, error.into()))?;
            let flag = review.map(|reason| Flag::new(reason, &stamp.id, event.tenant.as_deref()));
            let pushed = self.push_line(rest, flag, stamp.now, room_wait);
            rest.shrink_to(LINE_BUFFER_KEPT);
            self.count_masked((pushed.is_ok() && !stamp.masked.is_empty()).into());
            pushed
        })
    }

    /// Puts the rest of a line into the handoff, preceded by its event's flag, if any.
    pub(super) fn push_line(
        &self,
        rest: &mut Vec<u8>,
        flag: Option<Flag>,
        now: trailseal_event::Timestamp,
        room_wait: Duration,
    ) -> Result<u64, RecordError> {
        if let Some(flag) = flag {
            rest.push(b'\n');
            return self.accept_flagged(&[flag], rest, &[rest.len()], now, room_wait);
        }
        let given = push_one(&self.shared, rest, now, room_wait)
            .map_err(|why| self.refused(1, why_refused(&self.shared, why)))?;
        if given.wake_writer {
            self.shared.wake_writer();
        }
        Ok(given.first)
    }

    /// Hands in events as one. Returns their receipts, and the level and treatment that suit all of them.
    fn hand_in_batch(
        &self,
        events: &[Event],
        mut ack: Ack,
        room_wait: Duration,
    ) -> Result<(Vec<Receipt>, Ack, Treatment), RecordError> {
        let policy = self.shared.policy.load();
        let now = self.shared.options.clock.now();
        let mut strictest = policy.policy.otherwise;
        let mut receipts = Vec::with_capacity(events.len());
        let (mut bytes, mut ends, mut flags) =
            (Vec::with_capacity(events.len() * 512), Vec::with_capacity(events.len()), Vec::new());
        let (count, mut masked) = (events.len() as u64, 0);
        for event in events {
            let decision = policy.decide(&Facts::of(event));
            policy.count(decision.rule, decision.keep);
            let status = self.not_kept(&decision);
            let mut stamp = Stamp { sample_rate: decision.sample_rate, ..complete(event, now) };
            if status.is_none() {
                line::write_masked(&self.shared.masker, event, &mut stamp, &mut bytes)
                    .map_err(|error| self.refused(count, error.into()))?;
                masked += u64::from(!stamp.masked.is_empty());
                bytes.push(b'\n');
                if let Some(reason) = decision.review {
                    let flag = Flag::new(reason, &stamp.id, event.tenant.as_deref());
                    flags.push(Flag { place: ends.len() as u64, ..flag });
                }
                ends.push(bytes.len());
                let level = level(decision.then, ack);
                let (is_first, denies) = (ends.len() == 1, strictest.on_failure == OnFailure::Deny);
                if is_first || level > ack {
                    strictest = *decision.then;
                }
                // One event whose caller must learn of a failure decides for all.
                if !is_first && denies || decision.then.on_failure == OnFailure::Deny {
                    strictest.on_failure = OnFailure::Deny;
                }
                ack = ack.max(level);
            }
            receipts.push(Receipt { index: None, id: stamp.id, status: status.unwrap_or(Status::Accepted) });
        }
        if ends.is_empty() {
            return Ok((receipts, ack, strictest));
        }
        let first = match self.accept_batch(&flags, &bytes, &ends, now, room_wait) {
            Ok(first) => first,
            Err(_) if strictest.on_failure == OnFailure::Allow => {
                let kept = receipts.iter_mut().filter(|receipt| receipt.status == Status::Accepted);
                kept.for_each(|receipt| receipt.status = Status::Refused);
                return Ok((receipts, ack, strictest));
            }
            Err(error) => return Err(error),
        };
        self.count_masked(masked);
        let kept = receipts.iter_mut().filter(|receipt| receipt.status == Status::Accepted);
        for (receipt, index) in kept.zip(first..) {
            receipt.index = Some(Index::new(index));
        }
        Ok((receipts, ack, strictest))
    }

    pub(super) fn accept_batch(
        &self,
        flags: &[Flag],
        bytes: &[u8],
        ends: &[usize],
        now: trailseal_event::Timestamp,
        room_wait: Duration,
    ) -> Result<u64, RecordError> {
        if !flags.is_empty() {
            return self.accept_flagged(flags, bytes, ends, now, room_wait);
        }
        let count = ends.len() as u64;
        self.admit(count)?;
        let rests = Rests { bytes, ends, crc: handoff::checksum(bytes), now };
        let given = self
            .shared
            .handoff
            .push(&rests, room_wait, || self.shared.wake_writer())
            .map_err(|why| self.refused(count, why_refused(&self.shared, why)))?;
        if given.wake_writer {
            self.shared.wake_writer();
        }
        Ok(given.first)
    }

    /// Waits until the event at `index`, the newest of `events`, has reached `ack`.
    pub(super) fn wait_for(&self, ack: Ack, index: u64, deadline: Instant, events: u64) -> Status {
        if ack == Ack::Accepted {
            return Status::Accepted;
        }
        if self.is_forked() {
            // Neither its writer nor the locks of a wait can be relied on here.
            return Status::Unconfirmed;
        }
        let progress = &self.shared.progress;
        self.shared.wake_writer();
        let mut reached = progress.wait_durable(index, deadline).then_some(Status::Durable);
        if ack == Ack::Store && reached.is_some() && !cfg!(trailseal_fault = "store_not_waited_for") {
            self.shared.wake_store();
            // Without a store nobody should wait for one.
            let is_stored = self.shared.has_store() && progress.wait_stored(index, deadline);
            reached = is_stored.then_some(Status::Stored);
        }
        reached.unwrap_or_else(|| {
            self.shared.counters.unconfirmed.add(events);
            Status::Unconfirmed
        })
    }
}

/// Records one of the trail's own events; these are also accepted while the gate is closed.
pub(super) fn push_system(shared: &Shared, event: &Event) -> Result<u64, RecordError> {
    let now = shared.options.clock.now();
    let stamp = Stamp { system: true, ..complete(event, now) };
    let mut rest = Vec::new();
    line::write_rest(event, &stamp, &mut rest)?;
    let given = push_one(shared, &mut rest, now, shared.options.handoff.timeout)
        .map_err(|why| why_refused(shared, why))?;
    Ok(given.first)
}

/// Records the trail's last event, after which nothing comes, and closes the handoff: threads that were let in before
/// the gate was closed may still be on their way. Without room in time it closes without the event; then the next
/// opening says that the stop was not clean. Returns the number of events.
pub(super) fn push_closing(shared: &Shared, event: &Event) -> u64 {
    let now = shared.options.clock.now();
    let stamp = Stamp { system: true, ..complete(event, now) };
    let mut rest = Vec::new();
    if line::write_rest(event, &stamp, &mut rest).is_err() {
        return shared.handoff.close();
    }
    rest.push(b'\n');
    let rests = Rests { bytes: &rest, ends: &[rest.len()], crc: handoff::checksum(&rest), now };
    shared.handoff.close_with(&rests, shared.options.handoff.timeout, || shared.wake_writer())
}

fn push_one(
    shared: &Shared,
    rest: &mut Vec<u8>,
    now: trailseal_event::Timestamp,
    wait: Duration,
) -> Result<Given, Refused> {
    rest.push(b'\n');
    let rests = Rests { bytes: rest, ends: &[rest.len()], crc: handoff::checksum(rest), now };
    shared.handoff.push(&rests, wait, || shared.wake_writer())
}

pub(super) fn why_refused(shared: &Shared, why: Refused) -> RecordError {
    match why {
        Refused::Full => RecordError::Full,
        Refused::Closed => RecordError::Closed,
        Refused::TooLarge => RecordError::TooLarge { max_bytes: shared.handoff.payload_max() },
    }
}
