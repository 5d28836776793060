//! Counters along an event's path. Plain numbers; whoever shows them names them.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters that every part of a trail adds to.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($(#[$doc])* pub(crate) $name: Count),* }

        /// What was counted since the trail was opened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        pub struct Counted { $($(#[$doc])* pub $name: u64),* }

        impl Counters {
            pub(crate) fn read(&self) -> Counted {
                Counted { $($name: self.$name.get()),* }
            }
        }
    };
}

counters! {
    /// Events that were refused; they have no index.
    refused,
    /// Events that have an index, but did not reach the level asked for in time.
    unconfirmed,
    /// Events that sampling left out.
    sampled_out,
    /// Events that the policy does not record.
    off,
    /// Events in which something was masked, including the trail's own.
    masked,
    /// Warnings about fields that were sent in the wrong place or form.
    warnings,
    /// Commits: groups of lines written and synced together.
    commits,
    /// Bytes of lines made durable.
    durable_bytes,
    /// Writes or syncs of a segment that failed.
    segment_failures,
    /// Writes of a commit, including their sync, that took over a second, whether they succeeded or not.
    slow_writes,
    /// Segments that were deleted, replaced or truncated while they were written.
    segments_replaced,
    /// How often the handoff was removed or replaced while in use, and recreated.
    handoffs_remade,
    /// How often a file of the tree was removed, replaced or truncated, and rebuilt from the lines.
    trees_remade,
    /// Signed checkpoints.
    checkpoints,
    /// Rounds of sealing that failed and were retried.
    seal_failures,
    /// Deliveries of a checkpoint to an anchor that failed.
    anchor_failures,
    /// How often the wall clock was seen to go back or jump.
    clock_jumps,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
