//! Deadlines for futures, without a runtime: one thread that sleeps until the next one.
//!
//! A future that waits for the disk must wake at its deadline although the disk, and with it the writer
//! thread, may hang. The thread is started by the first such future and lives as long as the process; a
//! forked child starts its own.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::progress::Waiter;

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
    /// The earliest first.
    timers: BTreeMap<(Instant, Waiter), Waker>,
    /// The fork generation in which the thread runs; a forked child has none of its parent's threads.
    running_in: Option<u32>,
}

static TIMERS: Timers =
    Timers { state: Mutex::new(State { timers: BTreeMap::new(), running_in: None }), added: Condvar::new() };

/// Wakes `waker` at `at`, or soon after. If no thread can be had it is woken at once, so that the future
/// looks at the clock itself rather than sleeping for ever.
///
/// One deadline and `waiter` have one waker: the last.
pub(crate) fn wake_at(at: Instant, waiter: Waiter, waker: Waker) {
    let mut state = lock();
    let generation = trailseal_event::fork::generation();
    if state.running_in != Some(generation) {
        if std::thread::Builder::new().name("trailseal-deadline".into()).spawn(serve).is_err() {
            drop(state);
            return waker.wake();
        }
        state.running_in = Some(generation);
    }
    let is_earliest = state.timers.first_key_value().is_none_or(|((first, _), _)| at < *first);
    let before = state.timers.insert((at, waiter), waker);
    if is_earliest {
        TIMERS.added.notify_one();
    }
    // Only then may it go: with it may go whatever holds other timers.
    drop(state);
    drop(before);
}

/// What waited until `at` does not any more.
pub(crate) fn cancel(at: Instant, waiter: Waiter) {
    let waker = lock().timers.remove(&(at, waiter));
    drop(waker);
}

fn lock() -> MutexGuard<'static, State> {
    TIMERS.state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve() {
    let mut state = lock();
    loop {
        let now = Instant::now();
        let mut due = Vec::new();
        while let Some(first) = state.timers.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        if !due.is_empty() {
            // Without the lock: whoever is woken may ask for another deadline on this very thread.
            drop(state);
            due.into_iter().for_each(Waker::wake);
            state = lock();
            continue;
        }
        let first = state.timers.first_key_value();
        let wait = first.map_or(Duration::from_secs(3600), |((at, _), _)| *at - now);
        state = TIMERS.added.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}
