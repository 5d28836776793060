//! The position of an event in its trail.

use std::fmt;

/// The position of an event in its trail: 0, 1, 2, … without gaps.
///
/// Indexes are given in the order in which events were accepted, and never reused. The leaf of an
/// event in the Merkle tree (RFC 6962, section 2.1) has the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(u64);

impl Index {
    /// The index `index`.
    pub const fn new(index: u64) -> Self {
        Index(index)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Index {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
