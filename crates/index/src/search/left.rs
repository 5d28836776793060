//! What is left of a trail for a walk.

use std::ops::Range;

use crate::view::Key;

/// The place below which there is none.
pub(super) const NONE_BELOW: Key = (i64::MIN, 0);

/// What is left of a trail for a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// These indexes. A walk by recording takes them away from its end.
    pub(super) indexes: Range<u64>,
    /// Of a walk by time: events whose place, turned, is below this one.
    pub(super) below: Key,
}

impl Left {
    /// All of a trail that ends at `end`.
    pub(super) fn of(end: u64) -> Self {
        Left { indexes: 0..end, below: (i64::MAX, u64::MAX) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.indexes.is_empty() || self.below == NONE_BELOW
    }

    /// The same within `range`.
    pub(super) fn within(&mut self, range: &Range<u64>) {
        self.indexes = self.indexes.start.max(range.start)..self.indexes.end.min(range.end);
    }
}
