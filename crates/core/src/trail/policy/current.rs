//! The policy in force, read by every `record` and replaceable at run time.
//!
//! Each thread keeps the one that it read last, so that reading is a comparison of two numbers: no lock, and no
//! instruction that waits until everything stored before it has left the core.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::in_force::InForce;

thread_local! {
    static LAST: Cell<Option<Arc<InForce>>> = const { Cell::new(None) };
}

/// The policy in force.
pub(crate) struct Current {
    policy: ArcSwap<InForce>,
    /// The number of `policy`, which no other in this process has; briefly behind it during a replacement.
    id: AtomicU64,
}

impl Current {
    pub(crate) fn new(policy: InForce) -> Self {
        Current { id: AtomicU64::new(policy.id), policy: ArcSwap::from_pointee(policy) }
    }

    /// Calls `read` with the current policy, or a slightly later one.
    #[inline]
    pub(crate) fn with<T>(&self, read: impl FnOnce(&InForce) -> T) -> T {
        let id = self.id.load(Ordering::Acquire);
        let last = LAST.try_with(Cell::take).ok().flatten().filter(|last| last.id == id);
        let policy = last.unwrap_or_else(|| self.load());
        let result = read(&policy);
        // A thread that is ending keeps nothing.
        let _ = LAST.try_with(|last| last.set(Some(policy)));
        result
    }

    /// Whether this is still the one in force.
    #[inline]
    pub(crate) fn is(&self, policy: &InForce) -> bool {
        self.id.load(Ordering::Acquire) == policy.id
    }

    /// The current policy, for keeping. Takes no lock, since nobody might ever release it in a forked child.
    #[cold]
    pub(crate) fn load(&self) -> Arc<InForce> {
        self.policy.load_full()
    }

    /// Puts another one in force: every later [`with`](Current::with) reads it.
    pub(crate) fn store(&self, policy: InForce) {
        let id = policy.id;
        self.policy.store(Arc::new(policy));
        self.id.store(id, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trailseal_event::policy::{Policy, Sampler};

    fn in_force(rules: &str) -> InForce {
        InForce::new(Policy::from_toml(rules).unwrap(), Arc::new(Sampler::new([0; 16])))
    }

    #[test]
    fn each_thread_reads_what_was_stored_before_also_of_several_trails_in_turn() {
        let modes = ["async", "sync", "off", "async", "sync"];
        let text = |mode: &str| format!("mode = \"{mode}\"");
        let read = |current: &Current| current.with(|policy| policy.policy.to_toml());
        let (one, other) = (Current::new(in_force(&text("off"))), Current::new(in_force(&text("sync"))));
        for mode in modes {
            one.store(in_force(&text(mode)));
            let expected = Policy::from_toml(&text(mode)).unwrap().to_toml();
            assert_eq!(read(&one), expected);
            assert_eq!(one.load().policy.to_toml(), expected);
            assert_eq!(read(&other), Policy::from_toml(&text("sync")).unwrap().to_toml());
            std::thread::scope(|scope| {
                scope.spawn(|| assert_eq!(read(&one), expected));
            });
            // One inside of the other.
            one.with(|_| assert_eq!(read(&one), expected));
        }
    }
}
