//! Candidates in order of time, from the closed ranges and the pieces of the open one, whichever has the next.
//!
//! What must hold: a piece is opened only when nothing found so far comes before what it may hold. So if events arrive
//! roughly in the order of their times, a page opens one range, however many there are. If they do not, each range
//! returns its next row by its own order of time, and only the times of wanted rows are read.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::{ControlFlow, Range};

use roaring::RoaringBitmap;
use trailseal_event::First;
use trailseal_event::filter::Filter;

use super::order::{Key, Turn as _, after};
use super::plan::Plan;
use super::{Candidate, IndexView, Piece};
use crate::error::IndexError;
use crate::range::{HeldBlock, RangeFile};
use crate::rows::extent;
use crate::schema::{BLOCK_ROWS, SPAN_ROWS};

/// The open range is searched in pieces of this many rows.
const TAIL_ROWS: usize = 1_024;
/// Up to this many rows of a range are sorted by reading each row's time: that is less than reading its order of time
/// up to the first of them. Fewer in debug builds, so that small tests cover both ways.
const FEW_ROWS: u64 = if cfg!(debug_assertions) { 4 } else { 32 };

/// A piece that may have the next row, with the place from which on it may have one.
struct Next {
    /// Turned.
    place: Key,
    what: What,
}

enum What {
    /// Not searched yet.
    Piece(Piece, Range<u32>),
    /// This row, and those after it.
    Row(u32, Behind),
}

/// The remaining rows of a piece.
enum Behind {
    /// With their turned places, the next one last.
    Few(Piece, Vec<(Key, u32)>),
    Ranked(Box<Ranked>),
}

/// Rows of a closed range, by its order of time.
struct Ranked {
    at: usize,
    found: RoaringBitmap,
    /// The remaining places in the order of time.
    ranks: Range<u32>,
    order: OrderBlock,
    times: HeldBlock,
}

impl IndexView {
    /// Calls `each` with every candidate in `bounds` and its place, in order of time from this end, until it breaks:
    /// those whose turned place is in `turned`.
    pub(crate) fn candidates_by_time(
        &mut self,
        filter: &Filter,
        first: First,
        bounds: Range<u64>,
        turned: Range<Key>,
        each: &mut dyn FnMut(Candidate, Key) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        let Some(plan) = self.plan(filter) else { return Ok(()) };
        let (plan, times) = plan.without_times();
        let places = match first {
            First::Newest => turned,
            First::Oldest => after(first.turn(turned.end))..after(first.turn(turned.start)),
        };
        let places = places.start.max(times.start)..places.end.min(times.end);
        let mut ahead = self.ahead(&plan, bounds, &places, first);
        while let Some(Next { place, what }) = ahead.pop() {
            let next = match what {
                What::Piece(piece, rows) => self.begin(piece, rows, &plan, &places, first)?,
                What::Row(row, behind) => {
                    if each(self.candidate(behind.piece(), row)?, first.turn(place)).is_break() {
                        return Ok(());
                    }
                    behind
                }
            };
            ahead.extend(self.step(next, first)?);
        }
        Ok(())
    }

    /// All pieces that may hold rows.
    fn ahead(&self, plan: &Plan, bounds: Range<u64>, places: &Range<Key>, first: First) -> BinaryHeap<Next> {
        let mut ahead = BinaryHeap::new();
        let mut add = |piece, rows, (earliest, latest): (i64, i64)| {
            if (latest, u64::MAX) >= places.start && (earliest, 0) < places.end {
                let best = if first == First::Newest { (latest, u64::MAX) } else { (earliest, 0) };
                ahead.push(Next { place: first.turn(best), what: What::Piece(piece, rows) });
            }
        };
        for (piece, rows) in self.pieces(plan, bounds, first) {
            if let Piece::Closed(at) = piece {
                let range = self.range(at);
                add(piece, rows, (range.earliest, range.latest));
                continue;
            }
            for begin in rows.clone().step_by(TAIL_ROWS) {
                let part = begin..rows.end.min(begin + TAIL_ROWS as u32);
                let times = self.tail.times.get(part.start as usize..part.end as usize);
                add(piece, part, extent(times.unwrap_or_default()));
            }
        }
        ahead
    }

    /// The candidate rows of a piece, ready to be taken one by one.
    fn begin(
        &mut self,
        piece: Piece,
        rows: Range<u32>,
        plan: &Plan,
        places: &Range<Key>,
        first: First,
    ) -> Result<Behind, IndexError> {
        let found = self.rows_of(piece, rows, plan)?.all;
        let lo = self.extent(piece).start;
        let mut few = Vec::new();
        let mut add = |time, row: u32| {
            let place = (time, lo + u64::from(row));
            if places.contains(&place) {
                few.push((first.turn(place), row));
            }
        };
        if let Piece::Closed(at) = piece {
            let file = self.file(at)?;
            let mut times = HeldBlock::default();
            if found.len() > FEW_ROWS {
                let mut order = OrderBlock::default();
                let ranks = rank(file, places.start, &mut order, &mut times)?
                    ..rank(file, places.end, &mut order, &mut times)?;
                return Ok(Behind::Ranked(Box::new(Ranked { at, found, ranks, order, times })));
            }
            for row in found {
                add(file.time(row, &mut times)?, row);
            }
        } else {
            found.iter().for_each(|row| add(self.tail.times[row as usize], row));
        }
        few.sort_unstable();
        Ok(Behind::Few(piece, few))
    }

    /// Takes the next row of a piece; `None` if there is none left.
    fn step(&mut self, mut behind: Behind, first: First) -> Result<Option<Next>, IndexError> {
        let next = match &mut behind {
            Behind::Few(_, few) => few.pop(),
            Behind::Ranked(ranked) => {
                let lo = self.range(ranked.at).lo;
                let next = ranked.next(self.file(ranked.at)?, first)?;
                next.map(|(time, row)| (first.turn((time, lo + u64::from(row))), row))
            }
        };
        Ok(next.map(|(place, row)| Next { place, what: What::Row(row, behind) }))
    }
}

impl Behind {
    fn piece(&self) -> Piece {
        match self {
            Behind::Few(piece, _) => *piece,
            Behind::Ranked(ranked) => Piece::Closed(ranked.at),
        }
    }
}

impl Ranked {
    /// The next row found, and its time.
    fn next(&mut self, file: &RangeFile, first: First) -> Result<Option<(i64, u32)>, IndexError> {
        let left = &mut self.ranks;
        while let Some(rank) = if first == First::Newest { left.next_back() } else { left.next() } {
            let row = self.order.row(file, rank)?;
            if self.found.contains(row) {
                return Ok(Some((file.time(row, &mut self.times)?, row)));
            }
        }
        Ok(None)
    }
}

/// A block of the order of time.
#[derive(Default)]
struct OrderBlock {
    number: Option<u32>,
    rows: Vec<u32>,
}

impl OrderBlock {
    /// The row at a place in the order of time.
    fn row(&mut self, file: &RangeFile, rank: u32) -> Result<u32, IndexError> {
        if file.head.is_sorted {
            return Ok(rank);
        }
        let number = rank / BLOCK_ROWS as u32;
        if self.number != Some(number) {
            self.number = None;
            file.rows_by_time(number, &mut self.rows)?;
            self.number = Some(number);
        }
        let row = self.rows.get(rank as usize % BLOCK_ROWS).copied();
        row.ok_or_else(|| file.damaged("a block of its order of time is short"))
    }
}

/// How many rows of the range come before a place, by time.
fn rank(
    file: &RangeFile,
    place: Key,
    order: &mut OrderBlock,
    times: &mut HeldBlock,
) -> Result<u32, IndexError> {
    let head = &file.head;
    if place <= (head.earliest, head.lo) {
        return Ok(0);
    }
    if place > (head.latest, u64::MAX - 1) {
        return Ok(head.n);
    }
    let before = head.marks.partition_point(|mark| *mark < place.0).saturating_sub(1) * SPAN_ROWS;
    let behind = head.marks.partition_point(|mark| *mark <= place.0) * SPAN_ROWS;
    let (mut low, mut high) = (before as u32, head.n.min(behind as u32));
    while low < high {
        let middle = low.midpoint(high);
        let row = order.row(file, middle)?;
        let is_before = (file.time(row, times)?, head.lo + u64::from(row)) < place;
        if is_before { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

impl PartialEq for Next {
    fn eq(&self, other: &Next) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next {}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Next) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Next {
    /// A piece that may have a row at a place is searched before a row found there is returned.
    fn cmp(&self, other: &Next) -> Ordering {
        let is_piece = |next: &Next| matches!(next.what, What::Piece(..));
        self.place.cmp(&other.place).then(is_piece(self).cmp(&is_piece(other)))
    }
}
