//! What one chunk of matches is to hold, and when it is enough.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use trailseal_event::filter::Filter;
use trailseal_event::{Hit, Index};

use crate::{By, First, Order};

/// How many lines or candidates are checked between two looks at the clock and at whether anybody still waits.
pub(super) const LOOK_EVERY: u64 = 64;

/// What one chunk should hold.
pub(super) struct Wanted<'a> {
    pub(super) filter: &'a Filter,
    pub(super) first: First,
    pub(super) chunk: usize,
    pub(super) deadline: Option<Instant>,
    pub(super) stopped: &'a AtomicBool,
}

impl Wanted<'_> {
    /// The event on a line, if it is wanted.
    pub(super) fn hit(&self, origin: &Arc<str>, index: Index, line: &[u8]) -> Option<Hit> {
        if !self.filter.accepts(line) {
            return None;
        }
        Hit::new(origin.clone(), index, line.to_vec())
    }

    pub(super) fn by_recorded(&self) -> Order {
        Order { by: By::Recorded, first: self.first }
    }

    pub(super) fn flow(&self, found: usize, looked: u64) -> ControlFlow<()> {
        let is_enough = found >= self.chunk || (looked.is_multiple_of(LOOK_EVERY) && self.is_late());
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    pub(super) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.stopped.load(Ordering::Relaxed)
    }
}
