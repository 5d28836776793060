//! What is left of a trail for a walk.

use std::ops::Range;

use crate::view::Key;

/// The place below which nothing is.
pub(super) const NONE_BELOW: Key = (i64::MIN, 0);

/// What is left of a trail for a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// These indexes. A walk by recording removes them from its end.
    pub(super) indexes: Range<u64>,
    /// In a walk by time: events whose turned place is below this one.
    pub(super) below: Key,
    /// In a walk by time: what was already read for the events below that place.
    pub(super) looked: Looked,
}

/// Unindexed lines that a walk by time has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) indexes: Range<u64>,
    /// The turned place of the first match among them. Matches after it may have been dropped.
    pub(super) best: Key,
}

impl Default for Looked {
    fn default() -> Self {
        Looked { indexes: 0..0, best: NONE_BELOW }
    }
}

impl Looked {
    /// Whether it says something about what is below a place, and leaves no gap in `part`.
    pub(super) fn is_of(&self, part: &Range<u64>, below: Key) -> bool {
        let Range { start, end } = self.indexes;
        start < end && self.best < below && start <= part.end && part.start <= end
    }
}

impl Left {
    /// All of a trail that ends at `end`.
    pub(super) fn of(end: u64) -> Self {
        Left { indexes: 0..end, below: (i64::MAX, u64::MAX), looked: Looked::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.indexes.is_empty() || self.below == NONE_BELOW
    }

    /// The same, restricted to `range`.
    pub(super) fn within(&mut self, range: &Range<u64>) {
        self.indexes = self.indexes.start.max(range.start)..self.indexes.end.min(range.end);
    }
}
