//! Checks the index against the lines.

use std::ops::Range;

use trailseal_core::deliver::BatchLine;
use trailseal_event::Index;

use super::{IndexView, Piece};
use crate::dictionary::GrowingDictionary;
use crate::error::IndexError;
use crate::range::Builder;
use crate::rows::{Coder, Rows};
use crate::schema::{Coded, MARK_UNREADABLE};

/// Compares the index with the lines of the trail. Created by [`IndexView::check`].
pub struct RangeCheck<'a> {
    view: &'a mut IndexView,
    coder: Coder,
    rows: Rows,
    differing: Vec<Range<u64>>,
}

impl IndexView {
    /// Starts comparing the whole index with the lines, as of the last refresh.
    pub fn check(&mut self) -> RangeCheck<'_> {
        // A value that is in no dictionary by now never was.
        let frozen = |values| GrowingDictionary::new(values, 0, self.hasher);
        let dictionaries = self.dictionaries.clone().map(frozen);
        let coder = Coder::new(dictionaries, self.hasher);
        RangeCheck { view: self, coder, rows: Rows::new(0), differing: Vec::new() }
    }
}

impl IndexView {
    /// The ranges of rows that were made when other lines were retired than now.
    ///
    /// # Errors
    /// When the main file cannot be read.
    pub(crate) fn lagging(&self, retired: &[Range<u64>]) -> Result<Vec<Range<u64>>, IndexError> {
        let known = match &self.main {
            Some(opened) => opened.main.retired()?,
            None => return Ok(Vec::new()),
        };
        let closed = self.state.ranges.iter().map(|range| range.lo..range.end());
        let all = closed.chain([self.tail.lo..self.tail.end()]);
        let lags = |range: &Range<u64>| {
            let overlap =
                |other: &Range<u64>| other.end.min(range.end).saturating_sub(other.start.max(range.start));
            retired.iter().map(overlap).sum::<u64>() != known.get(&range.start).copied().unwrap_or(0)
        };
        Ok(all.filter(lags).collect())
    }
}

impl RangeCheck<'_> {
    /// Takes the next line: from event 0 on, in order. Unindexed lines are skipped.
    ///
    /// # Errors
    /// When a file of the index cannot be read.
    pub fn line(&mut self, line: &BatchLine<'_>) -> Result<(), IndexError> {
        while self.rows.end() < line.index.get().min(self.view.state.cursor) {
            self.rows.push_retired();
            self.end_row()?;
        }
        if self.rows.end() >= self.view.state.cursor {
            return Ok(());
        }
        self.rows.push(line, &mut self.coder);
        self.end_row()
    }

    /// Compares a range once its rows are complete.
    fn end_row(&mut self) -> Result<(), IndexError> {
        let at = self.view.state.ranges.partition_point(|range| range.lo < self.rows.lo);
        if at < self.view.state.ranges.len() && self.rows.end() == self.view.extent(Piece::Closed(at)).end {
            let next = Rows::new(self.rows.end());
            let rows = std::mem::replace(&mut self.rows, next);
            let is_same = self.is_same_range(at, &rows)?;
            if !is_same {
                self.differing.push(rows.lo..rows.end());
            }
        }
        Ok(())
    }

    /// Whether the file of a closed range holds exactly what its lines give.
    fn is_same_range(&mut self, at: usize, rows: &Rows) -> Result<bool, IndexError> {
        let seed = self.coder.hasher.seed;
        let file = self.view.file(at)?;
        let (mut is_same, mut pieces) = (true, 0);
        Builder::new(rows, seed).build(&mut |part, blob| {
            pieces += 1;
            is_same = is_same && file.holds(part, blob)?;
            Ok(())
        })?;
        Ok(is_same && pieces == file.pieces()?)
    }

    /// Indexes of events for which the index differs from the lines, as narrow as is known; with the event after the
    /// last line if lines were missing.
    ///
    /// # Errors
    /// When a file of the index cannot be read.
    pub fn finish(mut self) -> Result<Vec<Range<u64>>, IndexError> {
        let tail = &self.view.tail;
        let is_tail = self.rows.lo == tail.lo;
        let n = self.rows.len().min(if is_tail { tail.len() } else { 0 });
        let differs = |row: &usize| row_of(&self.rows, *row) != row_of(tail, *row);
        self.differing.extend((0..n).filter(differs).map(|row| tail.lo + row as u64).map(|at| at..at + 1));
        let is_rest_same = n < tail.len() || !is_tail || same_lists(&self.rows, tail);
        let known = self.differing.last().is_some_and(|range| range.start >= tail.lo);
        if !is_rest_same && !known {
            self.differing.push(tail.lo..tail.end());
        }
        let end = self.rows.end();
        if end < self.view.state.cursor {
            self.differing.push(end..self.view.state.cursor);
        }
        self.differing.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in self.differing {
            match joined.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        Ok(joined)
    }

    /// The index of the next line needed.
    pub fn next(&self) -> Index {
        Index::new(self.rows.end())
    }
}

type Row = (i64, u64, u64, [u32; crate::schema::CODED]);

fn row_of(rows: &Rows, row: usize) -> Row {
    let codes = Coded::ALL.map(|column| rows.codes[column.at()][row]);
    // An unreadable line takes the time of the row before it in its range, so its time says nothing.
    let time = if codes[Coded::Mark.at()] == MARK_UNREADABLE { 0 } else { rows.times[row] };
    (time, rows.offsets[row], rows.segment(row as u32), codes)
}

fn same_lists(left: &Rows, right: &Rows) -> bool {
    left.more_kinds == right.more_kinds && left.keys == right.keys
}
