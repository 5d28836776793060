//! Operations that take a while: an event at the beginning, and one at the end.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::complete::EventId;

use crate::context::{fill, within};
use crate::into_event::IntoEvent;
use crate::{Event, Index, Number, Outcome, Receipt, ReceiptFuture, RecordError, RequestContext, Trail};

impl Trail {
    /// Records that an operation begins, and returns a handle with which to record how it ended. If the process dies in
    /// between, an event with the outcome `unknown` remains.
    ///
    /// ```
    /// use trailseal::{Event, Outcome, Query, Trail};
    ///
    /// let trail = Trail::temporary()?;
    /// let transfer = trail.begin(Event::new("money.transfer").resource("account", "7"))?;
    /// // … the transfer …
    /// transfer.succeed()?;
    /// let page = trail.query(Query::new().outcome(Outcome::Success))?;
    /// assert_eq!(page.events[0].event.action, "money.transfer");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`record`](Trail::record).
    pub fn begin<'a>(&self, event: impl IntoEvent<'a>) -> Result<Begun, RecordError> {
        let (beginning, rest) = Rest::of(self, event.into_event().into_owned());
        Ok(rest.after(self.record(beginning)?))
    }

    /// Like [`begin`](Trail::begin), for callers that must not block: the beginning is recorded when this returns, and the
    /// future is ready when it has reached its level. If the future is dropped earlier, the beginning has no end, as if the
    /// process had died. A full buffer refuses at once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use trailseal::{Event, Outcome, Trail};
    ///
    /// let trail = Trail::temporary()?;
    /// let transfer = trail.begin_async(Event::new("money.transfer").resource("account", "7")).await?;
    /// // … the transfer …
    /// transfer.end_async(Outcome::Success).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn begin_async<'a>(&self, event: impl IntoEvent<'a>) -> Beginning {
        let (beginning, rest) = Rest::of(self, event.into_event().into_owned());
        Beginning { recording: self.record_async(beginning), rest: Some(rest) }
    }
}

/// The future of a begun operation; see [`Trail::begin_async`].
#[must_use = "the beginning is recorded already; await this to go on"]
pub struct Beginning {
    recording: ReceiptFuture,
    /// Taken when the beginning has reached its level.
    rest: Option<Rest>,
}

impl Future for Beginning {
    type Output = Result<Begun, RecordError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let receipt = std::task::ready!(Pin::new(&mut self.recording).poll(context));
        match self.rest.take() {
            Some(rest) => Poll::Ready(receipt.map(|receipt| rest.after(receipt))),
            None => Poll::Pending,
        }
    }
}

/// What to record at the end of an operation whose beginning is being recorded.
struct Rest {
    trail: Trail,
    context: Option<RequestContext>,
    event: Event,
}

impl Rest {
    /// The event of the beginning, and what is left for the end.
    fn of(trail: &Trail, event: Event) -> (Event, Rest) {
        let mut event = Cow::Owned(event);
        fill(&mut event);
        let mut event = event.into_owned();
        let id = event.id.get_or_insert_with(|| EventId::new(SystemClock.now()).to_string());
        // Readers find one by the other; and a rule that samples both keeps both or none.
        event.context.correlation_id.get_or_insert_with(|| id.clone());
        let beginning = event.clone().outcome(Outcome::Unknown).detail("phase", "begun");
        event.id = None;
        event.time = None;
        (beginning, Rest { trail: trail.clone(), context: RequestContext::current(), event })
    }

    fn after(self, receipt: Receipt) -> Begun {
        let Rest { trail, context, event } = self;
        let mut began = crate::Object::from_iter([("id", receipt.id.to_string())]);
        if let Some(index) = receipt.index {
            began.insert("index", index.get());
        }
        let end = event.detail("phase", "ended").detail("began", began);
        Begun { trail, context, end: Some(end), begun: Instant::now(), receipt }
    }
}

/// An operation that has begun. Record how it ended with [`succeed`](Begun::succeed) or [`fail`](Begun::fail). Made by
/// [`Trail::begin`] and [`Trail::begin_async`].
///
/// There are two events: the first has the outcome `unknown` and `details.phase` `begun`; the last has `phase` `ended`, the
/// outcome, the duration, and the first one's index and id in `details.began`. Both have the same `correlation_id` and the
/// [context](RequestContext) of the request in which the operation began, wherever it ends. If the handle is dropped, the
/// outcome is `unknown`, or `failure` if the thread panics.
#[must_use = "say how it ended, with `succeed` or `fail`"]
pub struct Begun {
    trail: Trail,
    /// That of its own request: it may end while another one is being handled.
    context: Option<RequestContext>,
    /// Taken when the end is recorded.
    end: Option<Event>,
    begun: Instant,
    receipt: Receipt,
}

impl Begun {
    /// The receipt of the beginning.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The index of the beginning, if it is kept.
    pub fn index(&self) -> Option<Index> {
        self.receipt.index
    }

    /// Changes the event of the end, for example to add the result or the state after.
    pub fn change(&mut self, change: impl FnOnce(Event) -> Event) {
        self.end = self.end.take().map(change);
    }

    /// Records that it succeeded.
    ///
    /// # Errors
    /// As [`Trail::record`].
    pub fn succeed(self) -> Result<Receipt, RecordError> {
        self.end_with(Outcome::Success, None)
    }

    /// Records that it failed, for this reason.
    ///
    /// # Errors
    /// As [`Trail::record`].
    pub fn fail(self, error: impl Into<String>) -> Result<Receipt, RecordError> {
        self.end_with(Outcome::Failure, Some(error.into()))
    }

    /// Records that it ended with this outcome.
    ///
    /// # Errors
    /// As [`Trail::record`].
    pub fn end(self, outcome: Outcome) -> Result<Receipt, RecordError> {
        self.end_with(outcome, None)
    }

    /// Like [`end`](Begun::end), for callers that must not block.
    pub fn end_async(mut self, outcome: Outcome) -> ReceiptFuture {
        let ended = self.ended(outcome, None).unwrap_or_default();
        within(self.context.take(), || self.ending().record_async(ended))
    }

    fn end_with(mut self, outcome: Outcome, error: Option<String>) -> Result<Receipt, RecordError> {
        let ended = self.ended(outcome, error).unwrap_or_default();
        within(self.context.take(), || self.ending().record(ended))
    }

    /// The trail, for the event of the end.
    fn ending(&self) -> Trail {
        match self.receipt.index {
            Some(_) => self.trail.with(self.trail.options.ends_kept()),
            None => self.trail.clone(),
        }
    }

    fn ended(&mut self, outcome: Outcome, error: Option<String>) -> Option<Event> {
        let mut event = self.end.take()?.outcome(outcome);
        let took = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        event.duration_ms.get_or_insert_with(|| Number::from(took));
        event.error = error.or(event.error);
        Some(event)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let (outcome, why) = match std::thread::panicking() {
            true => (Outcome::Failure, "it panicked"),
            false => (Outcome::Unknown, "it ended without saying how"),
        };
        if let Some(event) = self.ended(outcome, Some(why.into())) {
            // Nobody is there to hear of a failure; the beginning stands with the same outcome. Nor may a drop block.
            drop(within(self.context.take(), || self.ending().record_async(event)));
        }
    }
}
