//! `record`: complete, serialise, hand off and, if requested, wait.
//!
//! No disk, network or system call on the ordinary path of an async event: one reading of the clock (which the kernel
//! serves without a call), serialisation into a buffer of the thread, and a lock around a copy.

use std::time::Instant;

use trailseal_event::complete::EventId;
use trailseal_event::policy::{Decision, OnFailure, Treatment};
use trailseal_event::{Event, Index, NoAction};

use super::frame::Frame;
use super::ready_event::{Ready, Sent, with_line};
use super::receipt::{HandedIn, Receipt, Status};
use super::record_options::{Ack, How};
use crate::deadline;
use crate::trail::error::RecordError;
use crate::trail::open_trail::Inner;
use crate::trail::policy::in_force::InForce;

/// What becomes of an event that was put into the handoff, or could not be.
#[inline(always)]
pub(super) fn handed_in(
    pushed: Result<u64, RecordError>,
    id: EventId,
    then: &Treatment,
    how: How,
) -> Result<HandedIn, RecordError> {
    let (index, status) = match pushed {
        Ok(index) => (Some(Index::new(index)), Status::Accepted),
        Err(_) if then.on_failure == OnFailure::Allow => (None, Status::Refused),
        Err(error) => return Err(error),
    };
    Ok(HandedIn::new(Receipt::new(index, id, status), then, how))
}

impl Ready<'_> {
    /// What the caller of an event gets that is not kept.
    fn into_dropped(self, status: Status, how: How) -> HandedIn {
        HandedIn::new(Receipt::new(None, self.stamp.id, status), self.decision.then, how)
    }
}

impl Inner {
    /// Hands an event in as the policy says, and waits for nothing but room in the buffer.
    pub(super) fn hand_in(&self, event: &Event, how: How) -> Result<HandedIn, RecordError> {
        self.policy.with(|policy| {
            with_line(|line| {
                let key_place = self.expect_key(policy.personal.as_ref(), event);
                let sent = Sent::new(event).asked(how).expecting(key_place);
                let mut ready = Ready::decide(policy, sent, self.log.clock.now());
                // A forked child is refused, and may meet locks of masking that nobody there releases.
                let written = if self.is_forked() { Ok(()) } else { self.write(&mut ready, sent, line) };
                self.hand_over(policy, ready, written, line, how)
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
        how: How,
    ) -> Result<HandedIn, RecordError> {
        let Decision { keep, rule, .. } = ready.decision;
        policy.count(rule, keep);
        let pushed = match (self.count_dropped(keep), written) {
            (Some(status), _) => return Ok(ready.into_dropped(status, how)),
            (None, Ok(())) => {
                let frame = Frame { bytes: line, ends: &[line.len()], now: ready.stamp.now };
                self.push(ready.flags(), frame, how.room_wait)
            }
            (None, Err(error)) => Err(self.refused(1, error.into())),
        };
        if pushed.is_ok() {
            self.count_masked(ready.is_masked().into());
        }
        handed_in(pushed, ready.stamp.id, ready.decision.then, how)
    }

    /// Waits until an event that was handed in has reached its level.
    pub(super) fn finish(&self, handed_in: HandedIn) -> Result<Receipt, RecordError> {
        // Mostly this is all, and then the clock need not be read for a deadline.
        if handed_in.ack == Ack::Accepted {
            return Ok(handed_in.receipt);
        }
        let Some(index) = handed_in.receipt.index else { return Ok(handed_in.receipt) };
        let deadline = deadline::after(handed_in.timeout);
        let status = self.wait_for(handed_in.ack, index.get(), deadline, handed_in.events);
        handed_in.confirmed(status)
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
