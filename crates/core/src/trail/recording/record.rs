//! The few ways to record: one event or several, and wait for their level or get a future of it.

use std::time::Duration;

use trailseal_event::{Event, Index};

use super::all_or_none::TriedAll;
use super::any_event::{AnyEvent, AnyEvents, Submission, Submitted, Submitter};
use super::pending::{PendingReceipt, PendingReceipts};
use super::receipt::{HandedIn, Receipt, Status};
use super::record_options::{Ack, How, RecordOptions};
use super::text_parts::Tried;
use crate::deadline;
use crate::trail::error::RecordError;
use crate::trail::open_trail::Trail;

/// A trail, and how events are recorded in it. Made by [`Trail::with`].
#[derive(Clone, Copy)]
pub struct TrailWith<'t> {
    trail: &'t Trail,
    options: RecordOptions,
}

impl Trail {
    /// The same trail, with options for what is recorded in it: an [`Ack`], or [`RecordOptions`].
    #[inline]
    pub fn with(&self, options: impl Into<RecordOptions>) -> TrailWith<'_> {
        TrailWith { trail: self, options: options.into() }
    }

    /// Records an event; returns when the policy says so.
    ///
    /// In mode async that takes about a microsecond: no disk, network or system call.
    ///
    /// # Errors
    /// The event was *refused*: it has no index, will never be recorded, and was counted. Or it is *unconfirmed*: kept,
    /// but not seen at its level in time ([`RecordError::Unconfirmed`]). If the policy says `allow`, both are receipts
    /// instead.
    pub fn record<'a>(&self, event: impl Into<AnyEvent<'a>>) -> Result<Receipt, RecordError> {
        self.with(RecordOptions::new()).record(event)
    }

    /// Records an event now and returns a future of its receipt, for callers that must not block.
    ///
    /// # Errors
    /// As [`record`](Trail::record); a full buffer refuses at once, since waiting would block.
    pub fn record_async<'a>(&self, event: impl Into<AnyEvent<'a>>) -> Result<PendingReceipt, RecordError> {
        self.with(RecordOptions::new()).record_async(event)
    }

    /// Records events as one: those that the policy keeps get consecutive indexes, or none gets any; until they are
    /// durable, after a crash either all of them are there or none is.
    ///
    /// # Errors
    /// All were refused: for the reasons of [`record`](Trail::record), or because they are too large together. Or they
    /// are unconfirmed; then the error has the last one's index.
    pub fn record_all<'a>(&self, events: impl Into<AnyEvents<'a>>) -> Result<Vec<Receipt>, RecordError> {
        self.with(RecordOptions::new()).record_all(events)
    }

    /// As [`record_all`](Trail::record_all), for callers that must not block; see
    /// [`record_async`](Trail::record_async).
    ///
    /// # Errors
    /// All were refused.
    pub fn record_all_async<'a>(
        &self,
        events: impl Into<AnyEvents<'a>>,
    ) -> Result<PendingReceipts, RecordError> {
        self.with(RecordOptions::new()).record_all_async(events)
    }

    /// Waits until the event at `index` has reached the level `ack`, at most for `timeout`.
    pub fn wait_for(&self, ack: Ack, index: Index, timeout: Duration) -> Status {
        self.inner.wait_for(ack, index.get(), deadline::after(timeout), 1)
    }
}

impl TrailWith<'_> {
    /// As [`Trail::record`].
    ///
    /// # Errors
    /// As there. With [`RecordOptions::once`], also if another event has its id ([`RecordError::Conflict`]), or if the
    /// trail cannot be read to look it up.
    #[inline]
    pub fn record<'a>(&self, event: impl Into<AnyEvent<'a>>) -> Result<Receipt, RecordError> {
        let handed_in = self.hand_in(event.into(), self.options.how(self.trail.inner.room_wait))?;
        self.trail.inner.finish(handed_in)
    }

    /// As [`Trail::record_async`].
    ///
    /// # Errors
    /// As [`record`](TrailWith::record).
    pub fn record_async<'a>(&self, event: impl Into<AnyEvent<'a>>) -> Result<PendingReceipt, RecordError> {
        let handed_in = self.hand_in(event.into(), self.options.how(Duration::ZERO))?;
        Ok(self.pending(handed_in))
    }

    /// As [`Trail::record_all`].
    ///
    /// # Errors
    /// As there. What concerns one of the events is in [`RecordError::At`].
    pub fn record_all<'a>(&self, events: impl Into<AnyEvents<'a>>) -> Result<Vec<Receipt>, RecordError> {
        self.put_all(events.into(), self.options.how(self.trail.inner.room_wait))?.wait()
    }

    /// As [`Trail::record_all_async`].
    ///
    /// # Errors
    /// All were refused.
    pub fn record_all_async<'a>(
        &self,
        events: impl Into<AnyEvents<'a>>,
    ) -> Result<PendingReceipts, RecordError> {
        self.put_all(events.into(), self.options.how(Duration::ZERO))
    }

    /// Records an event if there is room for it now. Waits for nothing, and looks no id up: for callers who hold what
    /// others need, and let go of it before they [wait](crate::Held::record).
    ///
    /// # Errors
    /// When it was refused for another reason than lack of room.
    #[inline]
    pub fn try_record<'a>(&self, event: impl Into<AnyEvent<'a>>) -> Result<Tried, RecordError> {
        self.trail.try_hand_in(event.into(), self.options)
    }

    /// Records events as one if there is room for all of them now. Waits for nothing, and looks no id up; see
    /// [`try_record`](TrailWith::try_record).
    ///
    /// # Errors
    /// When all were refused for another reason than lack of room.
    pub fn try_record_all(&self, events: &[Event]) -> Result<TriedAll, RecordError> {
        self.trail.try_hand_in_events(events, self.options)
    }

    /// Does what [`record_all_async`](TrailWith::record_all_async) does with a submission if no wait is needed at all:
    /// neither for room in the buffer, nor for id look-ups on the disk, for this submission or for another. Otherwise
    /// `None`, and nothing was recorded or counted.
    ///
    /// # Errors
    /// As [`record_all`](TrailWith::record_all).
    pub fn try_record_submission(
        &self,
        submission: Submission<'_>,
    ) -> Result<Option<PendingReceipts>, RecordError> {
        let handed_in = self.trail.hand_in_at_once(submission, self.options.how(Duration::ZERO))?;
        Ok(handed_in.map(|(receipts, newest)| self.pending_all(receipts, newest)))
    }

    #[inline]
    fn hand_in(&self, event: AnyEvent<'_>, how: How) -> Result<HandedIn, RecordError> {
        match (event, self.options.is_once) {
            (AnyEvent::Event(event), false) => self.trail.inner.hand_in(event, how),
            (AnyEvent::Event(event), true) => self.trail.hand_in_once(event, how),
            (AnyEvent::Json(text), is_once) => self.trail.hand_in_json(text, how, is_once),
            (AnyEvent::Text(text), false) => self.trail.hand_in_text(text, how),
            (AnyEvent::Text(text), true) => self.trail.hand_in_json(&text.to_json(), how, true),
        }
    }

    fn put_all(&self, events: AnyEvents<'_>, how: How) -> Result<PendingReceipts, RecordError> {
        let (receipts, newest) = match events {
            AnyEvents::Events(events) if self.options.is_once => {
                let by = Submitter::default();
                let one = |event| Submitted {
                    event: AnyEvent::Event(event),
                    id: None,
                    time: None,
                    masked: Vec::new(),
                };
                let events: Vec<Submitted<'_>> = events.iter().map(one).collect();
                self.trail.hand_in_submission(Submission { events: &events, by: &by }, how, true)?
            }
            AnyEvents::Events(events) => self.trail.inner.hand_in_events(events, how)?,
            AnyEvents::Submission(submission) => self.trail.hand_in_submission(submission, how, false)?,
        };
        Ok(self.pending_all(receipts, newest))
    }

    fn pending(&self, handed_in: HandedIn) -> PendingReceipt {
        PendingReceipt::new(&self.trail.inner, handed_in, self.options.lingers)
    }

    fn pending_all(&self, receipts: Vec<Receipt>, newest: Option<HandedIn>) -> PendingReceipts {
        PendingReceipts::new(&self.trail.inner, receipts, newest, self.options.lingers)
    }
}
