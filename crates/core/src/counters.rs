//! What is counted on an event's way. Plain numbers; whoever shows them gives them names.

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
    /// Events that went in with something masked, the trail's own included.
    masked,
    /// Warnings about fields that were sent in the wrong place or form.
    warnings,
    /// Commits: groups of lines written and synced together.
    commits,
    /// Bytes of lines made durable.
    durable_bytes,
    /// Writes or syncs of a segment that failed.
    segment_failures,
    /// Writes of a commit, with their sync, that took over a second, whether they succeeded or not.
    slow_writes,
    /// Segments that were deleted, replaced or cut while they were written.
    segments_replaced,
    /// Times that the handoff was removed or replaced while it was in use, and made anew.
    handoffs_remade,
    /// Times that a file of the tree was removed, replaced or cut, and made again from the lines.
    trees_remade,
    /// Signed checkpoints.
    checkpoints,
    /// Rounds of sealing that failed and were tried again.
    seal_failures,
    /// Deliveries of a checkpoint to an anchor that failed.
    anchor_failures,
    /// Times that the wall clock was seen to go back or jump.
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
