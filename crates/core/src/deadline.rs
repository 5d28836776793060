//! Deadlines for futures, without a runtime: one thread that sleeps until the next one.
//!
//! A future that waits for the disk must wake at its deadline although the disk, and with it the writer
//! thread, may hang. The thread is started by the first such future and lives as long as the process.

use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

struct Timers {
    /// Ordered by deadline, the earliest on top.
    heap: Mutex<BinaryHeap<Timer>>,
    added: Condvar,
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

static TIMERS: OnceLock<Timers> = OnceLock::new();

/// Wakes `waker` at `at`, or soon after. If no thread can be had it is woken at once, so that the future
/// looks at the clock itself rather than sleeping for ever.
pub(crate) fn wake_at(at: Instant, waker: Waker) {
    let mut is_running = true;
    let timers = TIMERS.get_or_init(|| Timers { heap: Mutex::default(), added: Condvar::new() });
    static THREAD: std::sync::Once = std::sync::Once::new();
    THREAD.call_once(|| {
        is_running = std::thread::Builder::new()
            .name("trailseal-deadline".into())
            .spawn(move || serve(timers))
            .is_ok();
    });
    if !is_running {
        return waker.wake();
    }
    let mut heap = timers.heap.lock().unwrap_or_else(PoisonError::into_inner);
    let is_earliest = heap.peek().is_none_or(|first| at < first.at);
    heap.push(Timer { at, waker });
    if is_earliest {
        timers.added.notify_one();
    }
}

fn serve(timers: &Timers) {
    let mut heap = timers.heap.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let now = Instant::now();
        while heap.peek().is_some_and(|first| first.at <= now) {
            if let Some(timer) = heap.pop() {
                timer.waker.wake();
            }
        }
        let wait = heap.peek().map_or(Duration::from_secs(3600), |first| first.at - now);
        heap = timers.added.wait_timeout(heap, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}
