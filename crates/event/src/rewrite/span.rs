//! A part of a text.

use std::ops::Range;

/// A part of the output. Half-wide, since many are kept; the texts are far shorter than this holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Span {
    #[inline(always)]
    pub(super) const fn new(from: usize, to: usize) -> Self {
        Span { from: from as u32, to: to as u32 }
    }

    #[inline(always)]
    pub(super) const fn range(self) -> Range<usize> {
        self.from as usize..self.to as usize
    }

    #[inline(always)]
    pub(super) const fn len(self) -> usize {
        (self.to - self.from) as usize
    }
}
