//! Handing in an event whose parts the caller has written as JSON text, and handing in without waiting for room.
//!
//! No id is looked up, so no lock of the process is taken but that of the handoff.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use trailseal_event::complete::EventId;
use trailseal_event::policy::{Decision, Treatment};
use trailseal_event::{BadLine, Event, EventText, NoAction, line};

use super::error::RecordError;
use super::flag::Flag;
use super::frame::Frame;
use super::in_force::InForce;
use super::inner::{Inner, Trail};
use super::ready::{Ready, Sent, with_line};
use super::receipt::{Ack, HandedIn};
use super::recording::handed_in;
use super::submitted::Submitter;

/// A thread's buffer larger than this is freed after use.
const TEXT_BUFFER_KEPT: usize = 1 << 18;

thread_local! {
    static TEXT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Why an event that was given as text was not handed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandInTextError {
    /// It is no event: it has no action, or it was read strictly and has a name that no event has.
    #[error(transparent)]
    Bad(BadLine),
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] RecordError),
}

/// What became of an event that was handed in without waiting for room.
#[derive(Debug)]
pub enum Tried {
    /// It is in the handoff, or is not to be kept.
    HandedIn(HandedIn),
    /// There is no room for it now. Nothing was recorded, and nothing counted.
    NoRoom(Box<Held>),
}

/// An event that is ready, and for which there was no room. It keeps its id, and what was decided about it.
///
/// Dropping it refuses it, and counts that.
#[must_use = "the event is not recorded yet: see Held::hand_in"]
pub struct Held {
    inner: Arc<Inner>,
    /// Its line, with the newline. Empty once it was handed in.
    line: Vec<u8>,
    now: trailseal_event::Timestamp,
    id: EventId,
    flag: Option<Box<Flag>>,
    then: Treatment,
    ack: Ack,
    is_masked: bool,
}

impl Trail {
    /// Hands in an event given as text, and waits only for room in the buffer, up to `room_wait`. Then wait with
    /// [`finish`](Trail::finish) or [`confirm`](Trail::confirm).
    ///
    /// Like [`hand_in_json_once`](Trail::hand_in_json_once), but an id is not looked up.
    ///
    /// ```
    /// use std::time::Duration;
    /// use trailseal_core::{Ack, Options, Trail};
    /// use trailseal_event::EventText;
    /// # let folder = tempfile::tempdir()?;
    /// let trail = Trail::open(folder.path(), Options::default())?;
    /// let event = EventText { action: "invoice.approve", details: Some(r#"{"amount":12.50}"#), ..EventText::default() };
    /// let handed_in = trail.hand_in_text(&event, Ack::Durable, Duration::from_secs(1))?;
    /// assert_eq!(trail.finish(handed_in)?.index.map(|index| index.get()), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When it is no event, or was refused.
    pub fn hand_in_text(
        &self,
        event: &EventText<'_>,
        ack: Ack,
        room_wait: Duration,
    ) -> Result<HandedIn, HandInTextError> {
        match self.try_hand_in_text(event, ack)? {
            Tried::HandedIn(handed_in) => Ok(handed_in),
            Tried::NoRoom(held) => Ok(held.hand_in(room_wait)?),
        }
    }

    /// Hands in an event given as text if there is room for it now. Waits for nothing: for callers who hold what others
    /// need, and let go of it before they [wait](Held::hand_in).
    ///
    /// # Errors
    /// As [`hand_in_text`](Trail::hand_in_text).
    pub fn try_hand_in_text(&self, event: &EventText<'_>, ack: Ack) -> Result<Tried, HandInTextError> {
        let inner = &self.inner;
        // A forked child is refused, and may meet locks of masking that nobody there releases.
        if inner.is_forked() {
            return Err(inner.refused(1, RecordError::Forked).into());
        }
        with_text(|text| {
            let ends = event.write(text);
            if let Some(ends) = ends
                && let Some(tried) = inner.try_ordinary_text((text, &ends), ack)?
            {
                return Ok(tried);
            }
            let (event, warnings) = self.read_sent(&event.to_json(), inner.strict).map_err(|error| {
                inner.log.counters.refused.add(1);
                HandInTextError::Bad(error)
            })?;
            let tried = self.try_hand_in(&event, ack)?;
            inner.count_warnings(warnings.count());
            Ok(tried)
        })
    }

    /// Hands in an event if there is room for it now. Waits for nothing.
    ///
    /// # Errors
    /// When it was refused for another reason.
    pub fn try_hand_in(&self, event: &Event, ack: Ack) -> Result<Tried, RecordError> {
        let inner = &self.inner;
        inner.refuse_forked().map_err(|error| inner.refused(1, error))?;
        inner.policy.with(|policy| {
            with_line(|line| {
                let sent = Sent::new(event);
                let mut ready = Ready::decide(policy, sent, inner.log.clock.now());
                let written = inner.write(&mut ready, sent, line);
                inner.try_hand_over(policy, ready, written, line, ack)
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
    fn try_ordinary_text(
        self: &Arc<Self>,
        (text, ends): (&[u8], &trailseal_event::Ends),
        ack: Ack,
    ) -> Result<Option<Tried>, RecordError> {
        self.policy.with(|policy| {
            with_line(|bytes| {
                let (by, now) = (Submitter::default(), self.log.clock.now());
                let event = line::rewrite_clean_text(&self.masker, (text, ends), now, bytes);
                let ready = event.and_then(|event| self.ready_from_clean(policy, event, &by, now, 0, bytes));
                let Some(Ok((ready, _))) = ready else { return Ok(None) };
                self.try_hand_over(policy, ready, Ok(()), bytes, ack).map(Some)
            })
        })
    }

    #[inline(always)]
    fn try_hand_over(
        self: &Arc<Self>,
        policy: &InForce,
        ready: Ready<'_>,
        written: Result<(), NoAction>,
        line: &[u8],
        ack: Ack,
    ) -> Result<Tried, RecordError> {
        let Decision { keep, then, rule, .. } = ready.decision;
        if !ready.is_kept() || written.is_err() {
            return self.hand_over(policy, ready, written, line, ack, Duration::ZERO).map(Tried::HandedIn);
        }
        policy.count(rule, keep);
        let frame = Frame { bytes: line, ends: &[line.len()], now: ready.stamp.now };
        let is_masked = ready.is_masked();
        let pushed = match self.try_push(ready.flags(), frame, Duration::ZERO) {
            Ok(index) => {
                self.count_masked(is_masked.into());
                Ok(index)
            }
            Err(RecordError::Full) if !cfg!(trailseal_fault = "no_room_is_refusal") => {
                let (inner, line, now) = (self.clone(), line.to_vec(), ready.stamp.now);
                let (id, flag, then) = (ready.stamp.id, ready.flag, *then);
                return Ok(Tried::NoRoom(Box::new(Held {
                    inner,
                    line,
                    now,
                    id,
                    flag,
                    then,
                    ack,
                    is_masked,
                })));
            }
            Err(error) => Err(self.refused(1, error)),
        };
        handed_in(pushed, ready.stamp.id, then, ack).map(Tried::HandedIn)
    }
}

impl Held {
    /// Hands it in, waiting for room up to `room_wait`.
    ///
    /// # Errors
    /// When it was refused.
    pub fn hand_in(mut self, room_wait: Duration) -> Result<HandedIn, RecordError> {
        let line = std::mem::take(&mut self.line);
        let frame = Frame { bytes: &line, ends: &[line.len()], now: self.now };
        let flags = self.flag.as_deref().map_or(&[][..], std::slice::from_ref);
        let pushed = self.inner.push(flags, frame, room_wait);
        if pushed.is_ok() {
            self.inner.count_masked(self.is_masked.into());
        }
        handed_in(pushed, self.id.clone(), &self.then, self.ack)
    }

    /// Its id.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// How many bytes its line has.
    pub fn bytes(&self) -> usize {
        self.line.len()
    }

    /// The trail that it is to be handed in to.
    pub fn trail(&self) -> Trail {
        Trail { inner: self.inner.clone() }
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
        formatter.debug_struct("Held").field("id", &self.id).field("ack", &self.ack).finish_non_exhaustive()
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
