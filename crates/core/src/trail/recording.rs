//! `record`: complete, serialise, hand off and, if requested, wait.
//!
//! No disk, network or system call on the ordinary path of an async event: one reading of the clock (which the kernel
//! serves without a call), serialisation into a buffer of the thread, and a lock around a copy.

use std::time::{Duration, Instant};

use trailseal_event::complete::EventId;
use trailseal_event::policy::{Decision, OnFailure, Treatment};
use trailseal_event::{Event, Index, NoAction};

use super::error::RecordError;
use super::frame::Frame;
use super::in_force::InForce;
use super::inner::{Inner, Trail};
use super::ready::{Ready, Sent, with_line};
use super::receipt::{Ack, HandedIn, Receipt, Status, confirmed, level};
use super::waiting::Recording;
use crate::deadline;

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
        let handed_in = self.inner.hand_in(event, ack, self.inner.room_wait)?;
        self.finish(handed_in)
    }

    /// Records events as one: those that the policy keeps get consecutive indexes, or none gets any; until they are
    /// durable, after a crash either all of them are there or none is.
    ///
    /// # Errors
    /// All were refused: for the reasons of [`record`](Trail::record), or because they are too large together. Or they
    /// are unconfirmed; then the error has the last one's index.
    pub fn record_all(&self, events: &[Event], ack: Ack) -> Result<Vec<Receipt>, RecordError> {
        let (mut receipts, newest) = self.hand_in_all(events, ack, self.inner.room_wait)?;
        if let Some(newest) = newest {
            let status = self.finish(newest)?.status;
            receipts
                .iter_mut()
                .filter(|receipt| receipt.index.is_some())
                .for_each(|kept| kept.status = status);
        }
        Ok(receipts)
    }

    /// Records an event now and returns a future of its receipt, for callers that must not block. Needs no runtime.
    /// Dropping the future only stops the waiting: the event is recorded either way.
    ///
    /// # Errors
    /// As [`record`](Trail::record); a full buffer refuses at once, since waiting would block.
    pub fn record_async(&self, event: &Event, ack: Ack) -> Result<Recording, RecordError> {
        let handed_in = self.inner.hand_in(event, ack, Duration::ZERO)?;
        Ok(self.confirm(handed_in))
    }

    /// The future of the receipt of an event that was handed in: ready when it has reached its level, or when time is
    /// up.
    pub fn confirm(&self, handed_in: HandedIn) -> Recording {
        let deadline = deadline::after(handed_in.timeout);
        if handed_in.ack > Ack::Accepted && handed_in.receipt.index.is_some() {
            self.inner.log.wake_writer();
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

/// What becomes of an event that was put into the handoff, or could not be.
#[inline(always)]
pub(super) fn handed_in(
    pushed: Result<u64, RecordError>,
    id: EventId,
    then: &Treatment,
    ack: Ack,
) -> Result<HandedIn, RecordError> {
    let (index, status) = match pushed {
        Ok(index) => (Some(Index::new(index)), Status::Accepted),
        Err(_) if then.on_failure == OnFailure::Allow => (None, Status::Refused),
        Err(error) => return Err(error),
    };
    let receipt = Receipt { index, id, status };
    let (timeout, on_failure) = (then.timeout, then.on_failure);
    Ok(HandedIn { receipt, ack: level(then, ack), timeout, on_failure, events: 1 })
}

impl Ready<'_> {
    /// What the caller of an event gets that is not kept.
    fn into_dropped(self, status: Status, ack: Ack) -> HandedIn {
        let then = self.decision.then;
        let receipt = Receipt { index: None, id: self.stamp.id, status };
        let (timeout, on_failure) = (then.timeout, then.on_failure);
        HandedIn { receipt, ack: level(then, ack), timeout, on_failure, events: 1 }
    }
}

impl Inner {
    /// Hands an event in as the policy says, and waits for nothing but room in the buffer.
    pub(super) fn hand_in(
        &self,
        event: &Event,
        ack: Ack,
        room_wait: Duration,
    ) -> Result<HandedIn, RecordError> {
        self.policy.with(|policy| {
            with_line(|line| {
                let sent = Sent::new(event);
                let mut ready = Ready::decide(policy, sent, self.log.clock.now());
                // A forked child is refused, and may meet locks of masking that nobody there releases.
                let written = if self.is_forked() { Ok(()) } else { self.write(&mut ready, sent, line) };
                self.hand_over(policy, ready, written, line, ack, room_wait)
            })
        })
    }

    /// Hands in an event whose line, if it is kept, is `line`, unless that could not be written.
    #[inline(always)]
    pub(super) fn hand_over(
        &self,
        policy: &InForce,
        ready: Ready<'_>,
        written: Result<(), NoAction>,
        line: &[u8],
        ack: Ack,
        room_wait: Duration,
    ) -> Result<HandedIn, RecordError> {
        let Decision { keep, rule, .. } = ready.decision;
        policy.count(rule, keep);
        let pushed = match (self.count_dropped(keep), written) {
            (Some(status), _) => return Ok(ready.into_dropped(status, ack)),
            (None, Ok(())) => {
                let frame = Frame { bytes: line, ends: &[line.len()], now: ready.stamp.now };
                self.push(ready.flags(), frame, room_wait)
            }
            (None, Err(error)) => Err(self.refused(1, error.into())),
        };
        if pushed.is_ok() {
            self.count_masked(ready.is_masked().into());
        }
        handed_in(pushed, ready.stamp.id, ready.decision.then, ack)
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
        let progress = &self.log.progress;
        self.log.wake_writer();
        let mut reached = progress.wait_durable(index, deadline).then_some(Status::Durable);
        if ack == Ack::Store && reached.is_some() && !cfg!(trailseal_fault = "store_not_waited_for") {
            self.log.wake_store();
            // Without a store nobody should wait for one.
            let is_stored = self.log.has_store() && progress.wait_stored(index, deadline);
            reached = is_stored.then_some(Status::Stored);
        }
        reached.unwrap_or_else(|| {
            self.log.counters.unconfirmed.add(events);
            Status::Unconfirmed
        })
    }
}
