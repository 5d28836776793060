//! Events for which the buffer has no room: a thread records them as soon as it has.
//!
//! Whoever asked for them may be cancelled, and its loop may end: they are recorded all the same. The thread lives as
//! long as something waits, and never attaches.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use trailseal_core::{Held, HeldAll, PendingReceipt, PendingReceipts, Receipt, RecordError, fork};

use crate::notices;

/// The lines that wait have at most so many bytes together. What is beyond is refused.
const BYTES_MAX: usize = 64 << 20;

/// What found no room.
pub(crate) enum NoRoom {
    One(Box<Held>),
    All(Box<HeldAll>),
}

/// What is recorded, and can be waited for.
pub(crate) enum Placed {
    One(PendingReceipt),
    All(PendingReceipts),
}

/// The receipts of what need not be waited for any more.
pub(crate) enum Reached {
    One(Receipt),
    /// Of events that were recorded as one.
    All(Vec<Receipt>),
}

impl NoRoom {
    fn bytes(&self) -> usize {
        match self {
            NoRoom::One(held) => held.bytes(),
            NoRoom::All(held) => held.bytes(),
        }
    }

    /// Waits for room, as long as the trail does. Detached.
    pub(crate) fn record(self) -> Result<Placed, RecordError> {
        match self {
            NoRoom::One(held) => held.record().map(Placed::One),
            NoRoom::All(held) => held.record().map(Placed::All),
        }
    }

    fn record_within(self, room_wait: Duration) -> Result<Placed, RecordError> {
        match self {
            NoRoom::One(held) => held.record_within(room_wait).map(Placed::One),
            NoRoom::All(held) => held.record_within(room_wait).map(Placed::All),
        }
    }
}

impl Placed {
    /// Waits until the level is reached. Detached.
    pub(crate) fn wait(self) -> Result<Reached, RecordError> {
        match self {
            Placed::One(pending) => pending.wait().map(Reached::One),
            Placed::All(pending) => pending.wait().map(Reached::All),
        }
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Reached, RecordError>> {
        match self {
            Placed::One(pending) => Pin::new(pending).poll(context).map_ok(Reached::One),
            Placed::All(pending) => Pin::new(pending).poll(context).map_ok(Reached::All),
        }
    }
}

/// Those that wait for room in one trail, in one process.
pub(crate) struct Room {
    fork: u32,
    /// How long the trail lets a caller wait for room.
    room_wait: Duration,
    state: Mutex<State>,
    is_idle: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    is_running: bool,
}

struct Waiting {
    events: NoRoom,
    deadline: Instant,
    outcome: Arc<Outcome>,
}

impl Room {
    pub(crate) fn new(room_wait: Duration) -> Room {
        Room { fork: fork::generation(), room_wait, state: Mutex::default(), is_idle: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has events recorded. Dropping what is returned only ends the waiting.
    pub(crate) fn wait(self: &Arc<Self>, events: NoRoom) -> Arrival {
        let outcome = Arc::new(Outcome::default());
        let arrival = Arrival(outcome.clone());
        // In a forked child there is no thread, and its parent's may have held the lock.
        if self.fork != fork::generation() {
            outcome.set(events.record_within(Duration::ZERO));
            return arrival;
        }
        let (bytes, deadline) = (events.bytes(), Instant::now() + self.room_wait);
        let mut state = self.state();
        if state.bytes + bytes > BYTES_MAX {
            drop(state);
            // Refused as the policy says, unless there is room after all.
            outcome.set(events.record_within(Duration::ZERO));
            return arrival;
        }
        state.bytes += bytes;
        state.waiting.push_back(Waiting { events, deadline, outcome });
        let begins = !std::mem::replace(&mut state.is_running, true);
        drop(state);
        if begins {
            let room = self.clone();
            let thread =
                std::thread::Builder::new().name("trailseal-room".into()).spawn(move || room.run(true));
            if thread.is_err() {
                self.run(false);
            }
        }
        arrival
    }

    /// Records what waits, in its order, until nothing does.
    fn run(&self, may_wait: bool) {
        loop {
            let mut state = self.state();
            let Some(next) = state.waiting.pop_front() else {
                state.is_running = false;
                self.is_idle.notify_all();
                return;
            };
            drop(state);
            let left = if may_wait {
                next.deadline.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            let bytes = next.events.bytes();
            next.outcome.set(next.events.record_within(left));
            self.state().bytes -= bytes;
        }
    }

    /// Waits until nothing waits for room any more.
    pub(crate) fn empty(&self, within: Duration) {
        if self.fork == fork::generation() {
            let state = self.state();
            let _ = self.is_idle.wait_timeout_while(state, within, |state| state.is_running);
        }
    }
}

/// What became of events that waited.
#[derive(Default)]
struct Outcome(Mutex<Place>);

#[derive(Default)]
struct Place {
    outcome: Option<Result<Placed, RecordError>>,
    waker: Option<Waker>,
}

impl Outcome {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, outcome: Result<Placed, RecordError>) {
        let mut place = self.place();
        place.outcome = Some(outcome);
        let waker = place.waker.take();
        drop(place);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let place = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = place.outcome.take() {
            notices::told_nobody(&error);
        }
    }
}

/// The future of what became of events that wait for room.
pub(crate) struct Arrival(Arc<Outcome>);

impl Future for Arrival {
    type Output = Result<Placed, RecordError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut place = self.0.place();
        match place.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                place.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
