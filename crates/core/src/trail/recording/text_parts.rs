//! Records an event whose parts the caller has written as JSON text, and records without waiting for room.
//!
//! No id is looked up, so no lock of the process is taken but that of the handoff.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use trailseal_event::complete::EventId;
use trailseal_event::policy::{Decision, Treatment};
use trailseal_event::{Event, EventText, NoAction, line};

use super::any_event::{AnyEvent, Submitter};
use super::frame::Frame;
use super::hand_in::handed_in;
use super::pending::PendingReceipt;
use super::ready_event::{Ready, Sent, with_line};
use super::receipt::{HandedIn, Receipt};
use super::record_options::{How, RecordOptions};
use super::review_flag::Flag;
use crate::trail::error::RecordError;
use crate::trail::open_trail::{Inner, Trail};
use crate::trail::policy::in_force::InForce;

/// A thread's buffer larger than this is freed after use.
const TEXT_BUFFER_KEPT: usize = 1 << 18;

thread_local! {
    static TEXT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What became of an event that was recorded without waiting for room.
#[derive(Debug)]
pub enum Tried {
    /// It has reached its level, or is not to be kept.
    Done(Receipt),
    /// It is recorded, and has not reached its level yet.
    Pending(PendingReceipt),
    /// There is no room for it now. Nothing was recorded, and nothing counted.
    NoRoom(Box<Held>),
}

/// An event that is ready, and for which there was no room. It keeps its id, and what was decided about it.
///
/// Dropping it refuses it, and counts that.
#[must_use = "the event is not recorded yet: see Held::record"]
pub struct Held {
    inner: Arc<Inner>,
    /// Its line, with the newline. Empty once it was handed in.
    line: Vec<u8>,
    now: trailseal_event::Timestamp,
    id: EventId,
    flag: Option<Box<Flag>>,
    then: Treatment,
    how: How,
    lingers: bool,
    is_masked: bool,
}

/// The same, before anybody waited for a level.
pub(super) enum Placed {
    HandedIn(HandedIn),
    NoRoom(Box<Held>),
}

impl Trail {
    /// Hands in an event given as text.
    pub(super) fn hand_in_text(&self, event: &EventText<'_>, how: How) -> Result<HandedIn, RecordError> {
        match self.place_text(event, how, false)? {
            Placed::HandedIn(handed_in) => Ok(handed_in),
            Placed::NoRoom(held) => held.hand_in(),
        }
    }

    /// Hands in an event if there is room for it now. Waits for nothing.
    #[inline(always)]
    pub(super) fn try_hand_in(
        &self,
        event: AnyEvent<'_>,
        options: RecordOptions,
    ) -> Result<Tried, RecordError> {
        // What is held waits for room later.
        let (how, lingers) = (options.how(self.inner.room_wait), options.lingers);
        let placed = match event {
            AnyEvent::Text(event) => self.place_text(event, how, lingers)?,
            AnyEvent::Event(event) => self.place_event(event, how, lingers)?,
            AnyEvent::Json(text) => {
                let (event, warnings) = self.read_sent(text, self.inner.strict)?;
                let placed = self.place_event(&event, how, lingers)?;
                self.inner.count_warnings(warnings.count());
                placed
            }
        };
        Ok(match placed {
            Placed::HandedIn(handed_in) if handed_in.is_done() => Tried::Done(handed_in.receipt),
            Placed::HandedIn(handed_in) => {
                Tried::Pending(PendingReceipt::new(&self.inner, handed_in, lingers))
            }
            Placed::NoRoom(held) => Tried::NoRoom(held),
        })
    }

    fn place_text(&self, event: &EventText<'_>, how: How, lingers: bool) -> Result<Placed, RecordError> {
        let inner = &self.inner;
        // A forked child is refused, and may meet locks of masking that nobody there releases.
        if inner.is_forked() {
            return Err(inner.refused(1, RecordError::Forked));
        }
        with_text(|text| {
            let ends = event.write(text);
            if let Some(ends) = ends
                && let Some(placed) = inner.place_ordinary_text((text, &ends), how, lingers)?
            {
                return Ok(placed);
            }
            let (event, warnings) = self
                .read_sent(&event.to_json(), inner.strict)
                .map_err(|error| inner.refused(1, error.into()))?;
            let placed = self.place_event(&event, how, lingers)?;
            inner.count_warnings(warnings.count());
            Ok(placed)
        })
    }

    fn place_event(&self, event: &Event, how: How, lingers: bool) -> Result<Placed, RecordError> {
        let inner = &self.inner;
        inner.refuse_forked().map_err(|error| inner.refused(1, error))?;
        inner.policy.with(|policy| {
            with_line(|line| {
                let sent = Sent::new(event).asked(how);
                let mut ready = Ready::decide(policy, sent, inner.log.clock.now());
                let written = inner.write(&mut ready, sent, line);
                inner.place(policy, ready, written, line, how, lingers)
            })
        })
    }

    /// Whether this process is a forked child of the one that opened the trail. In it, this handle takes no events and
    /// must not be dropped: its threads are the parent's.
    pub fn is_forked(&self) -> bool {
        self.inner.is_forked()
    }
}

impl Inner {
    /// `None` if the event is out of the ordinary; then nothing was done.
    #[inline(always)]
    fn place_ordinary_text(
        self: &Arc<Self>,
        (text, ends): (&[u8], &trailseal_event::Ends),
        how: How,
        lingers: bool,
    ) -> Result<Option<Placed>, RecordError> {
        self.policy.with(|policy| {
            with_line(|bytes| {
                let (by, now) = (Submitter::default(), self.log.clock.now());
                let event = line::rewrite_clean_text(&self.masker, (text, ends), now, bytes);
                let ready = event.and_then(|event| self.ready_from_clean(policy, event, &by, now, 0, bytes));
                let Some(Ok((ready, _))) = ready else { return Ok(None) };
                self.place(policy, ready, Ok(()), bytes, how, lingers).map(Some)
            })
        })
    }

    #[inline(always)]
    fn place(
        self: &Arc<Self>,
        policy: &InForce,
        ready: Ready<'_>,
        written: Result<(), NoAction>,
        line: &[u8],
        how: How,
        lingers: bool,
    ) -> Result<Placed, RecordError> {
        let Decision { keep, then, rule, .. } = ready.decision;
        if !ready.is_kept() || written.is_err() {
            return self.hand_over(policy, ready, written, line, how.at_once()).map(Placed::HandedIn);
        }
        policy.count(rule, keep);
        let frame = Frame { bytes: line, ends: &[line.len()], now: ready.stamp.now };
        let is_masked = ready.is_masked();
        let pushed = match self.try_push(ready.flags(), frame, how.at_once().room_wait) {
            Ok(index) => {
                self.count_masked(is_masked.into());
                Ok(index)
            }
            Err(RecordError::Full) if !cfg!(trailseal_fault = "no_room_is_refusal") => {
                let (inner, line, now) = (self.clone(), line.to_vec(), ready.stamp.now);
                let (id, flag, then) = (ready.stamp.id, ready.flag, *then);
                let held = Held { inner, line, now, id, flag, then, how, lingers, is_masked };
                return Ok(Placed::NoRoom(Box::new(held)));
            }
            Err(error) => Err(self.refused(1, error)),
        };
        handed_in(pushed, ready.stamp.id, then, how).map(Placed::HandedIn)
    }
}

impl Held {
    /// Records it, waiting for room for as long as the options say.
    ///
    /// # Errors
    /// When it was refused.
    pub fn record(self) -> Result<PendingReceipt, RecordError> {
        let (inner, lingers) = (self.inner.clone(), self.lingers);
        Ok(PendingReceipt::new(&inner, self.hand_in()?, lingers))
    }

    /// The same, waiting for room up to `room_wait` instead.
    ///
    /// # Errors
    /// When it was refused.
    pub fn record_within(mut self, room_wait: Duration) -> Result<PendingReceipt, RecordError> {
        self.how.room_wait = room_wait;
        self.record()
    }

    fn hand_in(mut self) -> Result<HandedIn, RecordError> {
        let line = std::mem::take(&mut self.line);
        let frame = Frame { bytes: &line, ends: &[line.len()], now: self.now };
        let flags = self.flag.as_deref().map_or(&[][..], std::slice::from_ref);
        let pushed = self.inner.push(flags, frame, self.how.room_wait);
        if pushed.is_ok() {
            self.inner.count_masked(self.is_masked.into());
        }
        handed_in(pushed, self.id.clone(), &self.then, self.how)
    }

    /// Its id.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// How many bytes its line has.
    pub fn bytes(&self) -> usize {
        self.line.len()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.inner.log.counters.refused.add(1);
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Held")
            .field("id", &self.id)
            .field("ack", &self.how.ack)
            .finish_non_exhaustive()
    }
}

/// Calls `work` with an empty buffer of the thread.
fn with_text<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    // A thread that is ending has none, and keeps none.
    let mut text = TEXT.try_with(Cell::take).unwrap_or_default();
    text.clear();
    let done = work(&mut text);
    text.shrink_to(TEXT_BUFFER_KEPT);
    let _ = TEXT.try_with(|kept| kept.set(text));
    done
}
