//! How many range files all views of a process keep open.
//!
//! Each reader keeps the ones it has read, and a server has many readers: together they must leave files for the writer
//! of the trail.

use std::sync::atomic::{AtomicU64, Ordering};

use trailseal_core::file::open_files_max;

/// Of the files that a process may open, one in eight may be kept ranges.
const SHARE: u64 = 8;

static OPEN: AtomicU64 = AtomicU64::new(0);

/// Counts an open one.
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
