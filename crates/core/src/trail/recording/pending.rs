//! Events that are recorded and have not reached their level yet. Whoever holds one can block or await it.
//!
//! The futures need no runtime, and leave nothing behind when they end or are dropped.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use trailseal_event::policy::OnFailure;

use super::receipt::{HandedIn, Receipt, Status};
use super::record_options::Ack;
use crate::deadline;
use crate::progress::Waiter;
use crate::trail::error::RecordError;
use crate::trail::open_trail::Inner;

/// A recorded event, and the future of its receipt: ready when the event has reached its level, or when time is up.
/// Dropping it only ends the waiting.
#[must_use = "the event is already recorded; wait for this, or await it, to learn when it has reached its level"]
pub struct PendingReceipt {
    /// `None` if there is nothing to wait for.
    inner: Option<Arc<Inner>>,
    handed_in: HandedIn,
    /// Set when the future is ready.
    is_ready: bool,
    /// Set when the wait begins.
    deadline: Option<Instant>,
    /// Set once it had to wait.
    waiting: Option<Waiting>,
}

/// What a future has registered where it waits.
struct Waiting {
    waiter: Waiter,
    index: u64,
    /// Who is woken by the deadline.
    timer: Option<Waker>,
}

impl fmt::Debug for PendingReceipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HandedIn { receipt, ack, .. } = &self.handed_in;
        formatter
            .debug_struct("PendingReceipt")
            .field("receipt", receipt)
            .field("level", ack)
            .finish_non_exhaustive()
    }
}

impl Drop for PendingReceipt {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

impl PendingReceipt {
    /// If it lingers, the wait begins, and the writer is woken, only when somebody waits.
    pub(super) fn new(inner: &Arc<Inner>, handed_in: HandedIn, lingers: bool) -> Self {
        let inner = (!handed_in.is_done()).then(|| inner.clone());
        let mut pending = PendingReceipt { inner, handed_in, is_ready: false, deadline: None, waiting: None };
        if !lingers {
            pending.begin();
        }
        pending
    }

    /// The receipt so far.
    pub fn receipt(&self) -> &Receipt {
        &self.handed_in.receipt
    }

    /// The level that the event must reach: the caller's, or a higher one that the policy asks for.
    pub fn level(&self) -> Ack {
        self.handed_in.ack
    }

    /// How long that may take.
    pub fn timeout(&self) -> Duration {
        self.handed_in.timeout
    }

    /// What the caller gets if it takes longer.
    pub fn on_failure(&self) -> OnFailure {
        self.handed_in.on_failure
    }

    /// Blocks until the event has reached its level, or time is up.
    ///
    /// # Errors
    /// [`RecordError::Unconfirmed`] if that took too long and the policy says `deny`.
    pub fn wait(mut self) -> Result<Receipt, RecordError> {
        self.stop_waiting();
        let handed_in = self.handed_in.clone();
        match &self.inner {
            Some(inner) => inner.finish(handed_in),
            None => Ok(handed_in.receipt),
        }
    }

    /// Begins the wait, unless it has begun.
    fn begin(&mut self) {
        if let (Some(inner), None) = (&self.inner, self.deadline) {
            self.deadline = Some(deadline::after(self.handed_in.timeout));
            inner.log.wake_writer();
        }
    }

    /// Nothing of it stays behind: the store may be down for days, and a deadline far away.
    fn stop_waiting(&mut self) {
        let Some(waiting) = self.waiting.take() else { return };
        // In a forked child they are copies that nobody wakes, under a lock that nobody may ever release.
        if let (Some(inner), Some(deadline)) = (&self.inner, self.deadline)
            && !inner.is_forked()
        {
            inner.log.progress.forget(waiting.index, waiting.waiter);
            deadline::cancel(deadline, waiting.waiter);
        }
    }

    fn poll_status(&mut self, waker: &Waker) -> Option<Status> {
        self.begin();
        let HandedIn { receipt, ack, .. } = &self.handed_in;
        let (Some(inner), Some(index), Some(deadline)) = (&self.inner, receipt.index, self.deadline) else {
            return Some(receipt.status);
        };
        let index = index.get();
        let waiting =
            self.waiting.get_or_insert_with(|| Waiting { waiter: Waiter::new(), index, timer: None });
        let reached = inner.poll_for(*ack, index, waiting.waiter, waker);
        if reached.is_some() {
            return reached;
        }
        if Instant::now() >= deadline {
            return Some(Status::Unconfirmed);
        }
        // The task that polled last is woken: a future may move from one to another.
        if waiting.timer.as_ref().is_none_or(|timer| !timer.will_wake(waker)) {
            deadline::wake_at(deadline, waiting.waiter, waker.clone());
            waiting.timer = Some(waker.clone());
        }
        None
    }
}

impl Future for PendingReceipt {
    type Output = Result<Receipt, RecordError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_ready {
            // Polled again after it was ready: the contract of Future allows any answer except a wrong one.
            return Poll::Pending;
        }
        let Some(status) = self.poll_status(context.waker()) else { return Poll::Pending };
        self.stop_waiting();
        self.is_ready = true;
        let handed_in = self.handed_in.clone();
        let Some(inner) = &self.inner else { return Poll::Ready(Ok(handed_in.receipt)) };
        if status == Status::Unconfirmed {
            inner.log.counters.unconfirmed.add(handed_in.events);
        }
        Poll::Ready(handed_in.confirmed(status))
    }
}

/// Several events that were recorded as one, and the future of their receipts: ready when all of them have reached their
/// level, or when time is up. Dropping it only ends the waiting.
#[must_use = "the events are already recorded; wait for this, or await it, to learn when they have reached their level"]
#[derive(Debug)]
pub struct PendingReceipts {
    receipts: Vec<Receipt>,
    /// What holds for it holds for all of them; `None` if there is nothing to wait for.
    newest: Option<PendingReceipt>,
}

impl PendingReceipts {
    pub(super) fn new(
        inner: &Arc<Inner>,
        receipts: Vec<Receipt>,
        newest: Option<HandedIn>,
        lingers: bool,
    ) -> Self {
        let newest = newest.filter(|newest| !newest.is_done());
        let newest = newest.map(|newest| PendingReceipt::new(inner, newest, lingers));
        PendingReceipts { receipts, newest }
    }

    /// The receipts so far, in the order of the events.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// The receipts so far, and what to wait for, if anything: its status is then that of all events that are new.
    pub fn into_parts(self) -> (Vec<Receipt>, Option<PendingReceipt>) {
        (self.receipts, self.newest)
    }

    /// Blocks until all of them have reached their level, or time is up.
    ///
    /// # Errors
    /// [`RecordError::Unconfirmed`], with the last one's index, if that took too long and the policy says `deny`.
    pub fn wait(mut self) -> Result<Vec<Receipt>, RecordError> {
        match self.newest.take() {
            Some(newest) => newest.wait().map(|newest| self.reached(newest.status)),
            None => Ok(self.receipts),
        }
    }

    fn reached(&mut self, status: Status) -> Vec<Receipt> {
        let waiting =
            |receipt: &&mut Receipt| matches!(receipt.status, Status::Accepted | Status::Repeated { .. });
        self.receipts
            .iter_mut()
            .filter(waiting)
            .for_each(|receipt| receipt.status = receipt.status.after(status));
        std::mem::take(&mut self.receipts)
    }
}

impl Future for PendingReceipts {
    type Output = Result<Vec<Receipt>, RecordError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(newest) = &mut self.newest else {
            return Poll::Ready(Ok(std::mem::take(&mut self.receipts)));
        };
        let newest = std::task::ready!(Pin::new(newest).poll(context));
        self.newest = None;
        Poll::Ready(newest.map(|newest| self.reached(newest.status)))
    }
}

impl Inner {
    /// The same for a future: `None` while it must continue waiting, and then `waker` is woken at each step.
    fn poll_for(&self, ack: Ack, index: u64, waiter: Waiter, waker: &Waker) -> Option<Status> {
        if self.is_forked() {
            return Some(Status::Unconfirmed);
        }
        let progress = &self.log.progress;
        match ack {
            Ack::Accepted => Some(Status::Accepted),
            Ack::Durable => progress.poll_durable(index, waiter, waker).map(|durable| match durable {
                true => Status::Durable,
                false => Status::Unconfirmed,
            }),
            Ack::Store => {
                if progress.poll_durable(index, waiter, waker)? && self.log.has_store() {
                    self.log.wake_store();
                    return progress.poll_stored(index, waiter, waker).then_some(Status::Stored);
                }
                Some(Status::Unconfirmed)
            }
        }
    }
}
