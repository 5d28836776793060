//! Waiting without blocking: the future of an event that was handed in. It needs no runtime, and leaves nothing behind
//! when it ends or is dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::error::RecordError;
use super::inner::Inner;
use super::receipt::{Ack, HandedIn, Receipt, Status, confirmed};
use crate::deadline;
use crate::progress::Waiter;

/// The future of a [`Receipt`]; see [`Trail::record_async`](super::Trail::record_async).
#[must_use = "the event is already recorded; await this to learn when it is durable"]
pub struct Recording {
    inner: Arc<Inner>,
    /// Taken when the future is ready.
    handed_in: Option<HandedIn>,
    deadline: Instant,
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

impl Drop for Recording {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

impl Recording {
    pub(super) fn new(inner: Arc<Inner>, handed_in: HandedIn, deadline: Instant) -> Self {
        Recording { inner, handed_in: Some(handed_in), deadline, waiting: None }
    }

    /// Nothing of it stays behind: the store may be down for days, and a deadline far away.
    fn stop_waiting(&mut self) {
        // In a forked child they are copies that nobody wakes, under a lock that nobody may ever release.
        if let Some(waiting) = self.waiting.take().filter(|_| !self.inner.is_forked()) {
            self.inner.log.progress.forget(waiting.index, waiting.waiter);
            deadline::cancel(self.deadline, waiting.waiter);
        }
    }

    fn poll_status(&mut self, waker: &Waker) -> Option<Status> {
        let HandedIn { receipt, ack, .. } = self.handed_in.as_ref()?;
        let (Some(index), ack) = (receipt.index, *ack) else { return Some(receipt.status) };
        if ack == Ack::Accepted {
            return Some(Status::Accepted);
        }
        let index = index.get();
        let waiting =
            self.waiting.get_or_insert_with(|| Waiting { waiter: Waiter::new(), index, timer: None });
        let reached = self.inner.poll_for(ack, index, waiting.waiter, waker);
        if reached.is_some() {
            return reached;
        }
        if Instant::now() >= self.deadline {
            return Some(Status::Unconfirmed);
        }
        // The task that polled last is woken: a future may move from one to another.
        if waiting.timer.as_ref().is_none_or(|timer| !timer.will_wake(waker)) {
            deadline::wake_at(self.deadline, waiting.waiter, waker.clone());
            waiting.timer = Some(waker.clone());
        }
        None
    }
}

impl Future for Recording {
    type Output = Result<Receipt, RecordError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Polled again after it was ready: the contract of Future allows any answer except a wrong one.
        let Some(status) = self.poll_status(context.waker()) else { return Poll::Pending };
        self.stop_waiting();
        if status == Status::Unconfirmed {
            let events = self.handed_in.as_ref().map_or(1, |handed_in| handed_in.events);
            self.inner.log.counters.unconfirmed.add(events);
        }
        match self.handed_in.take() {
            Some(HandedIn { receipt, on_failure, .. }) => {
                Poll::Ready(confirmed(Receipt { status, ..receipt }, on_failure))
            }
            None => Poll::Pending,
        }
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
