//! `record`: complete, serialise, hand off, and, if asked for, wait.
//!
//! No disk, network or system call on the ordinary path of an async event: one clock reading (which the
//! kernel serves without a call), serialisation into a buffer of the thread, a lock around a copy.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::error::RecordError;
use super::options::{Full, Mode};
use super::shared::{Shared, Shut};
use super::{Inner, Trail};
use crate::Index;
use crate::complete::{EventId, Stamp, complete};
use crate::deadline;
use crate::event::Event;
use crate::handoff::{self, Given, Refused, Rests};
use crate::line;

/// The level that a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// In the handoff: a killed process does not lose it. Power loss may.
    Accepted,
    /// On disk: power loss does not lose it.
    Durable,
    /// In the store that is attached to the trail. Without one this is never reached in time.
    Store,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In the handoff.
    Accepted,
    /// On disk.
    Durable,
    /// In the store.
    Stored,
    /// It has an index and is kept, but did not reach the level asked for in time.
    Unconfirmed,
}

/// What a caller gets for an event that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its position. Until the event is durable this is provisional: power loss may take it back.
    pub index: Index,
    /// Its id, which is never provisional.
    pub id: EventId,
    /// The level reached.
    pub status: Status,
}

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A thread's line buffer larger than this is given back after use.
const LINE_BUFFER_KEPT: usize = 1 << 20;

impl Trail {
    /// Records an event; returns when the trail's [`Mode`] says so.
    ///
    /// In mode async that is about a microsecond: no disk, network or system call.
    ///
    /// # Errors
    /// The event was *refused*: it has no index, will never be recorded, and was counted.
    pub fn record(&self, event: &Event) -> Result<Receipt, RecordError> {
        match self.inner.shared.options.mode {
            Mode::Async => self.record_ack(event, Ack::Accepted),
            Mode::Sync => self.record_ack(event, Ack::Durable),
        }
    }

    /// Records an event and returns when it has reached the level `ack`, or *unconfirmed* at the trail's
    /// timeout.
    ///
    /// # Errors
    /// As [`record`](Trail::record).
    pub fn record_ack(&self, event: &Event, ack: Ack) -> Result<Receipt, RecordError> {
        let inner = &*self.inner;
        let (index, id) = inner.accept(event, inner.room_wait())?;
        let status = inner.wait_for(ack, index, deadline::after(inner.shared.options.timeout));
        Ok(Receipt { index: Index::new(index), id, status })
    }

    /// Records events as one: all of them get consecutive indexes, or none gets any; after a crash all of
    /// them are there or none is, until they are durable.
    ///
    /// # Errors
    /// All were refused: for the reasons of [`record`](Trail::record), or as too large together.
    pub fn record_batch(&self, events: &[Event], ack: Ack) -> Result<Vec<Receipt>, RecordError> {
        let inner = &*self.inner;
        let Some(last) = (events.len() as u64).checked_sub(1) else { return Ok(Vec::new()) };
        let (first, ids) = inner.accept_batch(events)?;
        let status = inner.wait_for(ack, first + last, deadline::after(inner.shared.options.timeout));
        Ok((first..).zip(ids).map(|(index, id)| Receipt { index: Index::new(index), id, status }).collect())
    }

    /// Records an event now and returns a future of its receipt, for callers that must not block. Needs
    /// no runtime. Dropping the future stops the waiting only: the event is recorded either way.
    ///
    /// # Errors
    /// As [`record`](Trail::record); a full buffer refuses at once, since waiting would block.
    pub fn record_async(&self, event: &Event, ack: Ack) -> Result<Recording, RecordError> {
        let inner = &self.inner;
        let (index, id) = inner.accept(event, Duration::ZERO)?;
        let receipt = Receipt { index: Index::new(index), id, status: Status::Accepted };
        let deadline = deadline::after(inner.shared.options.timeout);
        if ack > Ack::Accepted {
            inner.shared.wake_writer();
        }
        Ok(Recording { inner: inner.clone(), receipt: Some(receipt), ack, deadline, timer: None })
    }
}

/// The future of a [`Receipt`]; see [`Trail::record_async`].
#[must_use = "the event is recorded already; await this to learn when it is durable"]
pub struct Recording {
    inner: Arc<Inner>,
    /// Taken when the future is ready.
    receipt: Option<Receipt>,
    ack: Ack,
    deadline: Instant,
    /// Whom the deadline wakes.
    timer: Option<Waker>,
}

impl Future for Recording {
    type Output = Receipt;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Receipt> {
        let Some(receipt) = &self.receipt else {
            // Polled again after it was ready: the contract of Future allows any answer but a wrong one.
            return Poll::Pending;
        };
        let index = receipt.index.get();
        let status = match self.inner.poll_for(self.ack, index, context.waker()) {
            None if Instant::now() >= self.deadline => Some(Status::Unconfirmed),
            other => other,
        };
        let Some(status) = status else {
            // The task that polled last is the one to be woken: a future may move from one to another.
            if self.timer.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
                deadline::wake_at(self.deadline, context.waker().clone());
                self.timer = Some(context.waker().clone());
            }
            return Poll::Pending;
        };
        if status == Status::Unconfirmed {
            self.inner.shared.counters.unconfirmed.add(1);
        }
        match self.receipt.take() {
            Some(receipt) => Poll::Ready(Receipt { status, ..receipt }),
            None => Poll::Pending,
        }
    }
}

impl Inner {
    fn room_wait(&self) -> Duration {
        match self.shared.options.handoff.full {
            Full::Block => self.shared.options.handoff.timeout,
            Full::Refuse => Duration::ZERO,
        }
    }

    /// Whether an event may come in now.
    fn admit(&self) -> Result<(), RecordError> {
        if self.fork != crate::fork::generation() && !cfg!(trailseal_fault = "fork_not_noticed") {
            return Err(RecordError::Forked);
        }
        let Some(shut) = self.shared.gate.shut() else { return Ok(()) };
        Err(self.refused(
            1,
            match shut {
                Shut::Closed => RecordError::Closed,
                Shut::DiskReserve => RecordError::DiskReserve,
                Shut::DiskFailing | Shut::WriterDied => RecordError::DiskFailing,
            },
        ))
    }

    fn refused(&self, events: u64, error: RecordError) -> RecordError {
        self.shared.counters.refused.add(events);
        error
    }

    fn accept(&self, event: &Event, wait: Duration) -> Result<(u64, EventId), RecordError> {
        self.admit()?;
        let now = self.shared.options.clock.now();
        let stamp = complete(event, now);
        let pushed = LINE.with_borrow_mut(|rest| {
            rest.clear();
            line::write_rest(event, &stamp, rest)?;
            let given = push_one(&self.shared, rest, now, wait);
            rest.shrink_to(LINE_BUFFER_KEPT);
            Ok::<_, crate::event::NoAction>(given)
        });
        let given = pushed
            .map_err(|error| self.refused(1, error.into()))?
            .map_err(|why| self.refused(1, why_refused(&self.shared, why)))?;
        if given.wake_writer {
            self.shared.wake_writer();
        }
        Ok((given.first, stamp.id))
    }

    fn accept_batch(&self, events: &[Event]) -> Result<(u64, Vec<EventId>), RecordError> {
        self.admit()?;
        let count = events.len() as u64;
        let now = self.shared.options.clock.now();
        let mut bytes = Vec::with_capacity(events.len() * 512);
        let mut ends = Vec::with_capacity(events.len());
        let mut ids = Vec::with_capacity(events.len());
        for event in events {
            let stamp = complete(event, now);
            line::write_rest(event, &stamp, &mut bytes).map_err(|error| self.refused(count, error.into()))?;
            bytes.push(b'\n');
            ends.push(bytes.len());
            ids.push(stamp.id);
        }
        let rests = Rests { bytes: &bytes, ends: &ends, crc: handoff::checksum(&bytes), now };
        let given = self
            .shared
            .handoff
            .push(&rests, self.room_wait(), || self.shared.wake_writer())
            .map_err(|why| self.refused(count, why_refused(&self.shared, why)))?;
        if given.wake_writer {
            self.shared.wake_writer();
        }
        Ok((given.first, ids))
    }

    /// Waits until the event at `index` has reached `ack`.
    pub(super) fn wait_for(&self, ack: Ack, index: u64, deadline: Instant) -> Status {
        if ack == Ack::Accepted {
            return Status::Accepted;
        }
        let progress = &self.shared.progress;
        self.shared.wake_writer();
        let mut reached = progress.wait_durable(index, deadline).then_some(Status::Durable);
        if ack == Ack::Store && reached.is_some() {
            self.shared.wake_store();
            reached = progress.wait_stored(index, deadline).then_some(Status::Stored);
        }
        reached.unwrap_or_else(|| {
            self.shared.counters.unconfirmed.add(1);
            Status::Unconfirmed
        })
    }

    /// The same for a future: `None` while it must wait on, and then `waker` is woken at each step.
    fn poll_for(&self, ack: Ack, index: u64, waker: &Waker) -> Option<Status> {
        let progress = &self.shared.progress;
        match ack {
            Ack::Accepted => Some(Status::Accepted),
            Ack::Durable => progress.poll_durable(index, waker).map(|durable| match durable {
                true => Status::Durable,
                false => Status::Unconfirmed,
            }),
            Ack::Store => {
                if progress.poll_durable(index, waker)? {
                    self.shared.wake_store();
                    return progress.poll_stored(index, waker).then_some(Status::Stored);
                }
                Some(Status::Unconfirmed)
            }
        }
    }
}

/// Records one of the trail's own events; these come in while the gate is shut, too.
pub(super) fn push_system(shared: &Shared, event: &Event) -> Result<u64, RecordError> {
    let now = shared.options.clock.now();
    let stamp = Stamp { system: true, ..complete(event, now) };
    let mut rest = Vec::new();
    line::write_rest(event, &stamp, &mut rest)?;
    let given = push_one(shared, &mut rest, now, shared.options.handoff.timeout)
        .map_err(|why| why_refused(shared, why))?;
    Ok(given.first)
}

fn push_one(
    shared: &Shared,
    rest: &mut Vec<u8>,
    now: crate::clock::Timestamp,
    wait: Duration,
) -> Result<Given, Refused> {
    rest.push(b'\n');
    let rests = Rests { bytes: rest, ends: &[rest.len()], crc: handoff::checksum(rest), now };
    shared.handoff.push(&rests, wait, || shared.wake_writer())
}

fn why_refused(shared: &Shared, why: Refused) -> RecordError {
    match why {
        Refused::Full => RecordError::Full,
        Refused::Closed => RecordError::Closed,
        Refused::TooLarge => RecordError::TooLarge { max_bytes: shared.handoff.payload_max() },
    }
}
