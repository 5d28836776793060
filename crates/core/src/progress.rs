//! How far the trail is, and those who wait for it to get further.
//!
//! *watermarks*: `sealed ≤ durable ≤ accepted` and `stored ≤ durable`, all half-open: "everything below".

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Watermarks and waiters.
#[derive(Default)]
pub(crate) struct Progress {
    durable: AtomicU64,
    sealed: AtomicU64,
    stored: AtomicU64,
    /// Set while the disk does not take lines: nobody should wait for what cannot come soon.
    failing: AtomicBool,
    /// How many wait in `changed` or have a waker in `wakers`; lets the writer skip the lock.
    waiting: AtomicUsize,
    wakers: Mutex<Wakers>,
    changed: Condvar,
}

/// Wakers of futures, by the step that each waits for, and whose it is.
#[derive(Default)]
struct Wakers {
    durable: BTreeMap<(Step, Waiter), Waker>,
    stored: BTreeMap<(Step, Waiter), Waker>,
}

impl Wakers {
    fn of(&mut self, step: Step) -> &mut BTreeMap<(Step, Waiter), Waker> {
        match step {
            Step::Durable(_) => &mut self.durable,
            Step::Stored(_) => &mut self.stored,
        }
    }
}

/// A future that waits, told from all others of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Waiter(u64);

impl Waiter {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Waiter(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A step that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The event at this index is on disk.
    Durable(u64),
    /// The event at this index is in the store.
    Stored(u64),
}

impl Progress {
    pub(crate) fn new(durable: u64, sealed: u64) -> Self {
        let progress = Progress::default();
        progress.durable.store(durable, Ordering::Release);
        progress.sealed.store(sealed, Ordering::Release);
        progress
    }

    /// Everything below is on disk.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }

    /// Everything below is covered by a signed checkpoint that is on disk.
    pub(crate) fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::SeqCst)
    }

    /// Everything below is in the store that was attached; 0 without one.
    pub(crate) fn stored(&self) -> u64 {
        self.stored.load(Ordering::SeqCst)
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::SeqCst)
    }

    /// The writer's word that everything below `durable` is on disk.
    pub(crate) fn set_durable(&self, durable: u64) {
        self.failing.store(false, Ordering::SeqCst);
        self.durable.store(durable, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn set_sealed(&self, sealed: u64) {
        self.sealed.store(sealed, Ordering::SeqCst);
        self.wake();
    }

    /// The word of the store's delivery. It goes back when a store is attached that has less.
    pub(crate) fn set_stored(&self, stored: u64) {
        self.stored.store(stored, Ordering::SeqCst);
        self.wake();
    }

    /// The writer's word that the disk does not take lines now.
    pub(crate) fn set_failing(&self) {
        self.failing.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // SeqCst orders this load after the stores above and the waiter's own increment before its check,
        // so a waiter either sees the new watermark or is seen here.
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.notify_all();
        let mut ready = Vec::new();
        let Wakers { durable, stored } = &mut *wakers;
        for steps in [durable, stored] {
            // In their order: those behind the first that must wait on are not looked at.
            while let Some(entry) = steps.first_entry()
                && self.outcome(entry.key().0).is_some()
            {
                ready.push(entry.remove());
            }
        }
        self.waiting.fetch_sub(ready.len(), Ordering::SeqCst);
        drop(wakers);
        ready.into_iter().for_each(Waker::wake);
    }

    /// How a wait for this step ends at this moment: reached, or in vain while the disk fails.
    fn outcome(&self, step: Step) -> Option<bool> {
        match step {
            Step::Durable(index) if index < self.durable() => Some(true),
            Step::Durable(_) => self.is_failing().then_some(false),
            Step::Stored(index) => (index < self.stored()).then_some(true),
        }
    }

    /// Blocks until index `index` is durable; `false` if the deadline came first, or the disk fails.
    pub(crate) fn wait_durable(&self, index: u64, deadline: Instant) -> bool {
        self.wait(deadline, || self.outcome(Step::Durable(index))).unwrap_or(false)
    }

    /// Blocks until index `index` is in the store; `false` if the deadline came first.
    pub(crate) fn wait_stored(&self, index: u64, deadline: Instant) -> bool {
        self.wait(deadline, || self.outcome(Step::Stored(index))).unwrap_or(false)
    }

    /// Blocks until everything below `size` is sealed; `false` if the deadline came first.
    pub(crate) fn wait_sealed(&self, size: u64, deadline: Instant) -> bool {
        self.wait(deadline, || (self.sealed() >= size).then_some(())).is_some()
    }

    fn wait<T>(&self, deadline: Instant, done: impl Fn() -> Option<T>) -> Option<T> {
        if let Some(result) = done() {
            return Some(result);
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        let result = loop {
            if let Some(result) = done() {
                break Some(result);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                break None;
            }
            guard = self.changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(guard);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        result
    }

    /// For a future: whether `index` has become durable, or the disk fails. Before that `None`, and `waker` is
    /// woken then.
    pub(crate) fn poll_durable(&self, index: u64, waiter: Waiter, waker: &Waker) -> Option<bool> {
        self.poll(Step::Durable(index), waiter, waker)
    }

    /// For a future: whether `index` is in the store. If not, `waker` is woken when it is.
    pub(crate) fn poll_stored(&self, index: u64, waiter: Waiter, waker: &Waker) -> bool {
        self.poll(Step::Stored(index), waiter, waker).is_some()
    }

    fn poll(&self, step: Step, waiter: Waiter, waker: &Waker) -> Option<bool> {
        if let Some(outcome) = self.outcome(step) {
            return Some(outcome);
        }
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        if let Some(outcome) = self.outcome(step) {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Some(outcome);
        }
        // A future that is polled again replaces its waker.
        let before = wakers.of(step).insert((step, waiter), waker.clone());
        if before.is_some() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        // Only then may the other go: with it may go a task, and with that other futures that wait.
        drop(wakers);
        drop(before);
        None
    }

    /// A future that waited for `index` does not any more: its waker goes, though the step may never be reached.
    pub(crate) fn forget(&self, index: u64, waiter: Waiter) {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        let gone =
            [Step::Durable(index), Step::Stored(index)].map(|step| wakers.of(step).remove(&(step, waiter)));
        self.waiting.fetch_sub(gone.iter().flatten().count(), Ordering::SeqCst);
        drop(wakers);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakers_of_those_who_gave_up_are_not_kept() {
        let progress = Progress::new(5, 0);
        let (one, other) = (Waiter::new(), Waiter::new());
        assert_eq!(progress.poll_durable(7, one, Waker::noop()), None);
        assert_eq!(progress.poll_durable(7, one, Waker::noop()), None);
        assert_eq!(progress.poll_durable(7, other, Waker::noop()), None);
        assert!(!progress.poll_stored(3, one, Waker::noop()));
        assert_eq!(progress.waiting.load(Ordering::SeqCst), 3);
        progress.forget(7, one);
        progress.forget(3, one);
        assert_eq!(progress.waiting.load(Ordering::SeqCst), 1);
        progress.set_durable(7);
        assert_eq!(progress.waiting.load(Ordering::SeqCst), 1);
        progress.set_failing();
        assert_eq!(progress.waiting.load(Ordering::SeqCst), 0);
        progress.forget(7, other);
        assert_eq!(progress.waiting.load(Ordering::SeqCst), 0);
    }
}
