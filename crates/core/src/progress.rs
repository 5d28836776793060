//! How far the trail is, and who waits for it to get further.
//!
//! *watermarks*: `sealed ≤ durable ≤ accepted` and `stored ≤ durable`, all half-open: "everything below".

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::Thread;
use std::time::Instant;

/// Watermarks and waiters.
#[derive(Default)]
pub(crate) struct Progress {
    durable: AtomicU64,
    sealed: AtomicU64,
    stored: AtomicU64,
    /// Set while the disk does not accept lines: nobody should wait for what cannot come soon.
    failing: AtomicBool,
    /// How many of `waiters` wait for a step; lets the writer skip the lock.
    waiting: AtomicUsize,
    waiters: Mutex<Waiters>,
}

/// The waiters, by the step they wait for. So a commit wakes only those whose events it covers.
#[derive(Default)]
struct Waiters {
    durable: BTreeMap<(Step, Waiter), Wake>,
    stored: BTreeMap<(Step, Waiter), Wake>,
    sealed: BTreeMap<(Step, Waiter), Wake>,
    /// Threads whose step is reached and that are still to be woken. Waking one takes microseconds; the writer wakes
    /// the first ones and continues with the next commit, and each thread that comes here wakes two more.
    to_wake: VecDeque<Thread>,
}

impl Waiters {
    fn of(&mut self, step: Step) -> &mut BTreeMap<(Step, Waiter), Wake> {
        match step {
            Step::Durable(_) => &mut self.durable,
            Step::Stored(_) => &mut self.stored,
            Step::Sealed(_) => &mut self.sealed,
        }
    }

    fn next_to_wake(&mut self) -> [Option<Thread>; 2] {
        [self.to_wake.pop_front(), self.to_wake.pop_front()]
    }
}

/// How a waiter is woken.
enum Wake {
    Task(Waker),
    Thread(Thread),
}

/// A future or thread that waits, with an identity unique in the process.
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
    /// The event at this index is covered by a signed checkpoint.
    Sealed(u64),
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

    /// Called by the writer: everything below `durable` is on disk.
    pub(crate) fn set_durable(&self, durable: u64) {
        self.failing.store(false, Ordering::SeqCst);
        self.durable.store(durable, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn set_sealed(&self, sealed: u64) {
        self.sealed.store(sealed, Ordering::SeqCst);
        self.wake();
    }

    /// Called by the store's delivery. It goes back if a store with fewer events is attached.
    pub(crate) fn set_stored(&self, stored: u64) {
        self.stored.store(stored, Ordering::SeqCst);
        self.wake();
    }

    /// Called by the writer: the disk does not accept lines now.
    pub(crate) fn set_failing(&self) {
        self.failing.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // SeqCst orders this load after the stores above, and the waiter's own increment before its check. So a waiter
        // either sees the new watermark or is seen here.
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut waiters = self.lock();
        let mut tasks = Vec::new();
        let Waiters { durable, stored, sealed, to_wake } = &mut *waiters;
        let mut ready = 0;
        for steps in [durable, stored, sealed] {
            // In order: those after the first that must continue waiting are not checked.
            while let Some(entry) = steps.first_entry()
                && self.outcome(entry.key().0).is_some()
            {
                match entry.remove() {
                    Wake::Task(waker) => tasks.push(waker),
                    Wake::Thread(thread) => to_wake.push_back(thread),
                }
                ready += 1;
            }
        }
        self.waiting.fetch_sub(ready, Ordering::SeqCst);
        let threads = waiters.next_to_wake();
        drop(waiters);
        threads.iter().flatten().for_each(Thread::unpark);
        tasks.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a wait for this step would end now: reached, or in vain while the disk fails.
    fn outcome(&self, step: Step) -> Option<bool> {
        match step {
            Step::Durable(index) if index < self.durable() => Some(true),
            Step::Durable(_) => self.is_failing().then_some(false),
            Step::Stored(index) => (index < self.stored()).then_some(true),
            Step::Sealed(index) => (index < self.sealed()).then_some(true),
        }
    }

    /// Blocks until index `index` is durable; `false` if the deadline came first, or the disk fails.
    pub(crate) fn wait_durable(&self, index: u64, deadline: Instant) -> bool {
        self.wait(Step::Durable(index), deadline)
    }

    /// Blocks until index `index` is in the store; `false` if the deadline came first.
    pub(crate) fn wait_stored(&self, index: u64, deadline: Instant) -> bool {
        self.wait(Step::Stored(index), deadline)
    }

    /// Blocks until everything below `size` is sealed; `false` if the deadline came first.
    pub(crate) fn wait_sealed(&self, size: u64, deadline: Instant) -> bool {
        size.checked_sub(1).is_none_or(|last| self.wait(Step::Sealed(last), deadline))
    }

    fn wait(&self, step: Step, deadline: Instant) -> bool {
        if let Some(outcome) = self.outcome(step) {
            return outcome;
        }
        let waiter = Waiter::new();
        loop {
            let wake = || Wake::Thread(std::thread::current());
            if let Some(outcome) = self.outcome_or_wake(step, waiter, wake) {
                return outcome;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                std::thread::park_timeout(left);
            }
            self.stop_waiting(step, waiter);
            if left.is_zero() {
                return self.outcome(step).unwrap_or(false);
            }
        }
    }

    /// A thread no longer waits, or starts again.
    ///
    /// Each thread that is put into `to_wake` comes here once afterwards, woken or by itself, and takes two out if
    /// there are any. So none stays in there: before the last could, more would have been taken out than were put in.
    fn stop_waiting(&self, step: Step, waiter: Waiter) {
        let mut waiters = self.lock();
        if waiters.of(step).remove(&(step, waiter)).is_some() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        let threads = waiters.next_to_wake();
        drop(waiters);
        threads.iter().flatten().for_each(Thread::unpark);
    }

    /// For a future: whether `index` has become durable, or the disk fails. Before that `None`, and `waker` is woken
    /// later.
    pub(crate) fn poll_durable(&self, index: u64, waiter: Waiter, waker: &Waker) -> Option<bool> {
        self.poll(Step::Durable(index), waiter, waker)
    }

    /// For a future: whether `index` is in the store. If not, `waker` is woken when it is.
    pub(crate) fn poll_stored(&self, index: u64, waiter: Waiter, waker: &Waker) -> bool {
        self.poll(Step::Stored(index), waiter, waker).is_some()
    }

    fn poll(&self, step: Step, waiter: Waiter, waker: &Waker) -> Option<bool> {
        self.outcome_or_wake(step, waiter, || Wake::Task(waker.clone()))
    }

    /// How the wait for this step ends, or `None`: then `waiter` is woken when that is known.
    fn outcome_or_wake(&self, step: Step, waiter: Waiter, wake: impl Fn() -> Wake) -> Option<bool> {
        if let Some(outcome) = self.outcome(step) {
            return Some(outcome);
        }
        let mut waiters = self.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        if let Some(outcome) = self.outcome(step) {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Some(outcome);
        }
        // A waiter that comes again, for example a future with another waker, replaces its earlier entry.
        let before = waiters.of(step).insert((step, waiter), wake());
        if before.is_some() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        // Dropped only now: dropping it may drop a task, and with that other futures that wait.
        drop(waiters);
        drop(before);
        None
    }

    /// A future no longer waits for `index`: its waker is dropped, even if the step is never reached.
    pub(crate) fn forget(&self, index: u64, waiter: Waiter) {
        let mut waiters = self.lock();
        let gone =
            [Step::Durable(index), Step::Stored(index)].map(|step| waiters.of(step).remove(&(step, waiter)));
        self.waiting.fetch_sub(gone.iter().flatten().count(), Ordering::SeqCst);
        drop(waiters);
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

    #[test]
    fn every_thread_is_woken_though_each_wakes_only_two() {
        let progress = Progress::new(0, 0);
        let threads = 40;
        let never = crate::deadline::after(std::time::Duration::MAX);
        std::thread::scope(|scope| {
            for index in 0..threads {
                let progress = &progress;
                scope.spawn(move || {
                    for round in 0..200 {
                        let index = round * threads + index;
                        if index % 7 == 0 {
                            // As if something else had woken it: then it may go before its turn.
                            std::thread::current().unpark();
                        }
                        assert!(progress.wait_durable(index, never));
                        assert!(progress.durable() > index);
                    }
                });
            }
            for durable in 0..=200 * threads {
                progress.set_durable(durable);
                if durable % 16 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        assert_eq!(progress.waiting.load(Ordering::SeqCst), 0);
        assert!(progress.lock().to_wake.is_empty());
    }

    #[test]
    fn a_thread_gives_up_at_its_deadline_or_when_the_disk_fails_and_leaves_nothing() {
        let progress = Progress::new(5, 0);
        assert!(progress.wait_durable(4, Instant::now()));
        assert!(!progress.wait_durable(5, Instant::now()));
        assert!(progress.wait_sealed(0, Instant::now()));
        assert!(!progress.wait_sealed(1, Instant::now()));
        let never = crate::deadline::after(std::time::Duration::MAX);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| progress.wait_durable(5, never));
            while progress.waiting.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            progress.set_failing();
            assert!(!waits.join().unwrap());
        });
        assert_eq!(progress.waiting.load(Ordering::SeqCst), 0);
    }
}
