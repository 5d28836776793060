//! Deadlines for futures, without a runtime: one thread that sleeps until the next one.
//!
//! A future that waits for the disk must wake at its deadline although the disk, and with it the writer
//! thread, may hang. The thread is started by the first such future and lives as long as the process; a
//! forked child starts its own.

use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Longer waits than this are not told from waiting for ever.
const WAIT_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The point in time `wait` from now, however long that is.
pub(crate) fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait.min(WAIT_MAX)).unwrap_or(now)
}

struct Timers {
    state: Mutex<State>,
    added: Condvar,
}

struct State {
    /// Ordered by deadline, the earliest on top.
    heap: BinaryHeap<Timer>,
    /// The fork generation in which the thread runs; a forked child has none of its parent's threads.
    running_in: Option<u32>,
}

struct Timer {
    at: Instant,
    waker: Waker,
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

static TIMERS: Timers =
    Timers { state: Mutex::new(State { heap: BinaryHeap::new(), running_in: None }), added: Condvar::new() };

/// Wakes `waker` at `at`, or soon after. If no thread can be had it is woken at once, so that the future
/// looks at the clock itself rather than sleeping for ever.
pub(crate) fn wake_at(at: Instant, waker: Waker) {
    let mut state = lock();
    let generation = crate::fork::generation();
    if state.running_in != Some(generation) {
        if std::thread::Builder::new().name("trailseal-deadline".into()).spawn(serve).is_err() {
            drop(state);
            return waker.wake();
        }
        state.running_in = Some(generation);
    }
    let is_earliest = state.heap.peek().is_none_or(|first| at < first.at);
    state.heap.push(Timer { at, waker });
    if is_earliest {
        TIMERS.added.notify_one();
    }
}

fn lock() -> MutexGuard<'static, State> {
    TIMERS.state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve() {
    let mut state = lock();
    loop {
        let now = Instant::now();
        let mut due = Vec::new();
        while state.heap.peek().is_some_and(|first| first.at <= now) {
            due.extend(state.heap.pop());
        }
        if !due.is_empty() {
            // Without the lock: whoever is woken may ask for another deadline on this very thread.
            drop(state);
            due.into_iter().for_each(|timer| timer.waker.wake());
            state = lock();
            continue;
        }
        let wait = state.heap.peek().map_or(Duration::from_secs(3600), |first| first.at - now);
        state = TIMERS.added.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}
