//! Events that are recorded as one: those that the policy keeps get consecutive indexes, or none gets any.

use std::sync::Arc;
use std::time::Duration;

use trailseal_event::policy::{Decision, OnFailure, Treatment};
use trailseal_event::{Event, Index, Timestamp};

use super::batch::HandedInAll;
use super::frame::Frame;
use super::pending::PendingReceipts;
use super::ready_event::{Ready, Sent};
use super::receipt::{HandedIn, Receipt, Status, level};
use super::record_options::{Ack, How, RecordOptions};
use super::review_flag::Flag;
use crate::trail::error::RecordError;
use crate::trail::open_trail::{Inner, Trail};

/// What became of events that were recorded as one without waiting for room.
#[derive(Debug)]
pub enum TriedAll {
    /// They have reached their level, or are not to be kept.
    Done(Vec<Receipt>),
    /// They are recorded, and have not reached their level yet.
    Pending(PendingReceipts),
    /// There is no room for all of them now. Nothing was recorded, and no refusal counted.
    NoRoom(Box<HeldAll>),
}

/// Events that are ready, and for which there was no room. They keep their ids, and what was decided about them.
///
/// Dropping it refuses them, and counts that.
#[must_use = "the events are not recorded yet: see HeldAll::record"]
pub struct HeldAll {
    inner: Arc<Inner>,
    /// `None` once they were handed in.
    events: Option<Together>,
    lingers: bool,
}

/// Events that are ready.
struct Together {
    receipts: Vec<Receipt>,
    /// The lines of those that are kept.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    flags: Vec<Flag>,
    now: Timestamp,
    masked: u64,
    how: How,
    /// The level and the treatment that suit all of them.
    ack: Ack,
    then: Treatment,
}

impl Trail {
    /// Hands events in as one if there is room for them now. Waits for nothing.
    pub(super) fn try_hand_in_events(
        &self,
        events: &[Event],
        options: RecordOptions,
    ) -> Result<TriedAll, RecordError> {
        let (inner, lingers) = (&self.inner, options.lingers);
        // What is held waits for room later.
        let together = inner.together(events, options.how(inner.room_wait))?;
        let pushed = match together.frame() {
            Some(frame) => inner.try_push(&together.flags, frame, Duration::ZERO),
            None => Ok(0),
        };
        let pushed = match pushed {
            Err(RecordError::Full) if !cfg!(trailseal_fault = "no_room_for_all_is_refusal") => {
                let held = HeldAll { inner: inner.clone(), events: Some(together), lingers };
                return Ok(TriedAll::NoRoom(Box::new(held)));
            }
            pushed => pushed.map_err(|error| inner.refused(together.ends.len() as u64, error)),
        };
        let (receipts, newest) = together.handed_in(inner, pushed)?;
        Ok(match newest.filter(|newest| !newest.is_done()) {
            None => TriedAll::Done(receipts),
            newest => TriedAll::Pending(PendingReceipts::new(inner, receipts, newest, lingers)),
        })
    }
}

impl Inner {
    /// Hands events in as one, and waits only for room in the buffer. Returns their receipts, and what to wait for: it
    /// suits all of them.
    pub(super) fn hand_in_events(&self, events: &[Event], how: How) -> Result<HandedInAll, RecordError> {
        self.together(events, how)?.hand_in(self)
    }

    /// Makes events ready.
    fn together(&self, events: &[Event], how: How) -> Result<Together, RecordError> {
        let count = events.len() as u64;
        // A forked child may meet locks of masking that nobody there releases.
        self.refuse_forked().map_err(|error| self.refused(count, error))?;
        let policy = self.policy.load();
        let mut together = Together {
            receipts: Vec::with_capacity(events.len()),
            bytes: Vec::with_capacity(events.len() * 512),
            ends: Vec::with_capacity(events.len()),
            flags: Vec::new(),
            now: self.log.clock.now(),
            masked: 0,
            how,
            ack: how.ack,
            then: policy.policy.otherwise,
        };
        for (place, event) in events.iter().enumerate() {
            let sent = Sent::new(event).asked(how);
            let mut ready = Ready::decide(&policy, sent, together.now);
            let Decision { keep, then, rule, .. } = ready.decision;
            policy.count(rule, keep);
            let status = self.count_dropped(keep);
            if status.is_none() {
                self.write(&mut ready, sent, &mut together.bytes)
                    .map_err(|error| self.refused(count, RecordError::from(error).at(place)))?;
                together.keep(&mut ready, then);
            }
            let status = status.unwrap_or(Status::Accepted);
            together.receipts.push(Receipt::new(None, ready.stamp.id, status));
        }
        Ok(together)
    }
}

impl Together {
    /// Takes an event among those that are kept, after its line was written.
    fn keep(&mut self, ready: &mut Ready<'_>, then: &Treatment) {
        self.masked += u64::from(ready.is_masked());
        self.flags.extend(ready.flag.take().map(|flag| Flag { place: self.ends.len() as u64, ..*flag }));
        self.ends.push(self.bytes.len());
        let level = level(then, self.ack);
        let (is_first, denies) = (self.ends.len() == 1, self.then.on_failure == OnFailure::Deny);
        if is_first || level > self.ack {
            self.then = *then;
        }
        // One event whose caller must learn of a failure decides for all.
        if !is_first && denies || then.on_failure == OnFailure::Deny {
            self.then.on_failure = OnFailure::Deny;
        }
        self.ack = self.ack.max(level);
    }

    /// `None` if no event is kept.
    fn frame(&self) -> Option<Frame<'_>> {
        let frame = Frame { bytes: &self.bytes, ends: &self.ends, now: self.now };
        (!self.ends.is_empty()).then_some(frame)
    }

    /// Puts them into the handoff, waiting for room.
    fn hand_in(self, inner: &Inner) -> Result<HandedInAll, RecordError> {
        let pushed = match self.frame() {
            Some(frame) => inner.push(&self.flags, frame, self.how.room_wait),
            None => Ok(0),
        };
        self.handed_in(inner, pushed)
    }

    /// What became of them, once they were put into the handoff, or could not be.
    fn handed_in(
        mut self,
        inner: &Inner,
        pushed: Result<u64, RecordError>,
    ) -> Result<HandedInAll, RecordError> {
        let kept = self.receipts.iter_mut().filter(|receipt| receipt.status == Status::Accepted);
        match pushed {
            Ok(first) => {
                inner.count_masked(self.masked);
                for (receipt, index) in kept.zip(first..) {
                    receipt.index = Some(Index::new(index));
                }
            }
            Err(_) if self.then.on_failure == OnFailure::Allow => {
                kept.for_each(|receipt| receipt.status = Status::Refused);
            }
            Err(error) => return Err(error),
        }
        let kept = || self.receipts.iter().filter(|receipt| receipt.index.is_some());
        let (ack, events) = (self.ack, kept().count() as u64);
        let newest = kept().next_back().cloned();
        let newest =
            newest.map(|newest| HandedIn { ack, events, ..HandedIn::new(newest, &self.then, self.how) });
        Ok((self.receipts, newest))
    }
}

impl HeldAll {
    /// Records them, waiting for room for as long as the options say.
    ///
    /// # Errors
    /// All were refused.
    pub fn record(mut self) -> Result<PendingReceipts, RecordError> {
        let handed_in = self.events.take().map(|events| events.hand_in(&self.inner)).transpose()?;
        let (receipts, newest) = handed_in.unwrap_or_default();
        Ok(PendingReceipts::new(&self.inner, receipts, newest, self.lingers))
    }

    /// The same, waiting for room up to `room_wait` instead.
    ///
    /// # Errors
    /// All were refused.
    pub fn record_within(mut self, room_wait: Duration) -> Result<PendingReceipts, RecordError> {
        if let Some(events) = &mut self.events {
            events.how.room_wait = room_wait;
        }
        self.record()
    }

    /// How many bytes their lines have.
    pub fn bytes(&self) -> usize {
        self.events.as_ref().map_or(0, |events| events.bytes.len())
    }
}

impl Drop for HeldAll {
    fn drop(&mut self) {
        if let Some(events) = &self.events {
            self.inner.log.counters.refused.add(events.ends.len() as u64);
        }
    }
}

impl std::fmt::Debug for HeldAll {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HeldAll").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
