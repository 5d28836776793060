//! How many range files all of a process keep open.
//!
//! Each reader keeps those that it has read, and there are many readers in a server: together they must leave files for
//! whoever writes the trail.

use std::sync::atomic::{AtomicU64, Ordering};

use trailseal_core::file::open_files_max;

/// Of the files that a process may open, so many may be ranges that are kept: one in eight.
const SHARE: u64 = 8;

static OPEN: AtomicU64 = AtomicU64::new(0);

/// Counts one that is open.
pub(super) struct Counted;

impl Counted {
    pub(super) fn new() -> Counted {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether another one may be kept; one at a time can always be opened.
pub(crate) fn may_keep() -> bool {
    OPEN.load(Ordering::Relaxed) < open_files_max() / SHARE
}
