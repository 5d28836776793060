//! Events that are handed in as one: those that the policy keeps get consecutive indexes, or none gets any.

use std::sync::Arc;
use std::time::Duration;

use trailseal_event::policy::{Decision, OnFailure, Treatment};
use trailseal_event::{Event, Index, Timestamp};

use super::error::RecordError;
use super::flag::Flag;
use super::frame::Frame;
use super::inner::{Inner, Trail};
use super::ready::{Ready, Sent};
use super::receipt::{Ack, HandedIn, Receipt, Status, level};

/// What became of events that were handed in as one without waiting for room.
#[derive(Debug)]
pub enum TriedAll {
    /// They are in the handoff, or are not to be kept: their receipts, and what to wait for, as
    /// [`Trail::hand_in_all`] returns them.
    HandedIn(Vec<Receipt>, Option<HandedIn>),
    /// There is no room for them now. Nothing was recorded, and nothing counted.
    NoRoom(Box<HeldAll>),
}

/// Events that are ready, and for which there was no room. They keep their ids, and what was decided about them.
///
/// Dropping it refuses them, and counts that.
#[must_use = "the events are not recorded yet: see HeldAll::hand_in"]
pub struct HeldAll {
    inner: Arc<Inner>,
    /// `None` once they were handed in.
    events: Option<Together>,
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
    /// The level and the treatment that suit all of them.
    ack: Ack,
    then: Treatment,
}

impl Trail {
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
        let together = self.inner.together(events, ack)?;
        let pushed = match together.frame() {
            Some(frame) => self.inner.push(&together.flags, frame, room_wait),
            None => Ok(0),
        };
        together.handed_in(&self.inner, pushed)
    }

    /// The same if there is room for them now. Waits for nothing.
    ///
    /// # Errors
    /// All were refused, for another reason.
    pub fn try_hand_in_all(&self, events: &[Event], ack: Ack) -> Result<TriedAll, RecordError> {
        let together = self.inner.together(events, ack)?;
        let pushed = match together.frame() {
            Some(frame) => self.inner.try_push(&together.flags, frame, Duration::ZERO),
            None => Ok(0),
        };
        let pushed = match pushed {
            Err(RecordError::Full) if !cfg!(trailseal_fault = "no_room_for_all_is_refusal") => {
                let (inner, events) = (self.inner.clone(), Some(together));
                return Ok(TriedAll::NoRoom(Box::new(HeldAll { inner, events })));
            }
            pushed => pushed.map_err(|error| self.inner.refused(together.ends.len() as u64, error)),
        };
        let (receipts, newest) = together.handed_in(&self.inner, pushed)?;
        Ok(TriedAll::HandedIn(receipts, newest))
    }
}

impl Inner {
    /// Makes events ready.
    fn together(&self, events: &[Event], ack: Ack) -> Result<Together, RecordError> {
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
            ack,
            then: policy.policy.otherwise,
        };
        for event in events {
            let sent = Sent::new(event);
            let mut ready = Ready::decide(&policy, sent, together.now);
            let Decision { keep, then, rule, .. } = ready.decision;
            policy.count(rule, keep);
            let status = self.count_dropped(keep);
            if status.is_none() {
                self.write(&mut ready, sent, &mut together.bytes)
                    .map_err(|error| self.refused(count, error.into()))?;
                together.keep(&mut ready, then);
            }
            let status = status.unwrap_or(Status::Accepted);
            together.receipts.push(Receipt { index: None, id: ready.stamp.id, status });
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

    /// What became of them, once they were put into the handoff, or could not be.
    fn handed_in(
        mut self,
        inner: &Inner,
        pushed: Result<u64, RecordError>,
    ) -> Result<(Vec<Receipt>, Option<HandedIn>), RecordError> {
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
        let Treatment { timeout, on_failure, .. } = self.then;
        let (ack, events) = (self.ack, kept().count() as u64);
        let newest = kept().next_back().cloned();
        let newest = newest.map(|receipt| HandedIn { receipt, ack, timeout, on_failure, events });
        Ok((self.receipts, newest))
    }
}

impl HeldAll {
    /// Hands them in, waiting for room up to `room_wait`.
    ///
    /// # Errors
    /// All were refused.
    pub fn hand_in(mut self, room_wait: Duration) -> Result<(Vec<Receipt>, Option<HandedIn>), RecordError> {
        let Some(events) = self.events.take() else { return Ok((Vec::new(), None)) };
        let pushed = match events.frame() {
            Some(frame) => self.inner.push(&events.flags, frame, room_wait),
            None => Ok(0),
        };
        events.handed_in(&self.inner, pushed)
    }

    /// How many bytes their lines have.
    pub fn bytes(&self) -> usize {
        self.events.as_ref().map_or(0, |events| events.bytes.len())
    }

    /// The trail that they are to be handed in to.
    pub fn trail(&self) -> Trail {
        Trail { inner: self.inner.clone() }
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
