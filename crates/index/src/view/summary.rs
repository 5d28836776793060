//! Counts, facets and histograms.

use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range};

use trailseal_event::Timestamp;
use trailseal_event::count::{ByValue, HISTOGRAM_BUCKETS_MAX};
use trailseal_event::filter::Filter;

use super::plan::Plan;
use super::rowset::{Block, RowSet};
use super::{Checker, FacetField, First, IndexView, Piece, column_of};
use crate::dictionary::actor_parts;
use crate::error::IndexError;
use crate::schema::{ABSENT, BLOCK_ROWS, Coded, FIRST_CODE, OTHER, SPAN_ROWS, listed_name};

/// How many events match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The number.
    pub events: u64,
    /// Whether all were counted; if not, the checker stopped, and there may be more.
    pub is_complete: bool,
}

/// How many events have each value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// The most frequent values with their number of events, most frequent first, then by value.
    pub values: Vec<(String, u64)>,
    /// How many different values there are.
    pub distinct: u64,
    /// Events without a value.
    pub absent: u64,
    /// Events whose values the index does not hold because there are too many or they are long.
    pub others: u64,
    /// Whether all events were checked; if not, the checker stopped.
    pub is_complete: bool,
}

/// Whether a value, with a name that belongs to it, is wanted.
pub(crate) type Wanted<'a> = dyn Fn(&str, Option<&str>) -> bool + 'a;

impl IndexView {
    /// The exact number of matching events in `bounds`. `check` is called for those that only the line can decide:
    /// none, unless the filter has an id, a request, correlation or trace id, or `text`; or a glob meets actions that
    /// no dictionary holds. Resources and sessions are matched by a hash with a secret seed, of which at least 46 bits
    /// are kept: a mistake happens about once in a billion queries or less.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn count(
        &mut self,
        filter: &Filter,
        bounds: Range<u64>,
        check: &mut Checker<'_>,
    ) -> Result<Count, IndexError> {
        let Some(plan) = self.plan(filter) else { return Ok(Count { events: 0, is_complete: true }) };
        let mut events = 0;
        for (piece, rows) in self.pieces(&plan, bounds, First::Oldest) {
            if let Some(known) = self.known_count(piece, &rows, &plan)? {
                events += known;
                continue;
            }
            let (found, is_complete) = self.matching(piece, rows, &plan, check)?;
            events += found.all.len();
            if !is_complete {
                return Ok(Count { events, is_complete });
            }
        }
        Ok(Count { events, is_complete: true })
    }

    /// The count for a whole range by at most one value, without reading posting lists.
    fn known_count(
        &mut self,
        piece: Piece,
        rows: &Range<u32>,
        plan: &Plan,
    ) -> Result<Option<u64>, IndexError> {
        let Piece::Closed(at) = piece else { return Ok(None) };
        let file = self.file(at)?;
        let head = &file.head;
        let is_whole = *rows == (0..head.n) && plan.has_time(head.earliest) && plan.has_time(head.latest);
        if !is_whole || plan.line {
            return Ok(None);
        }
        let hidden = if plan.system { 0 } else { head.system.len() } + head.unreadable.len();
        let [condition] = plan.conditions.as_slice() else {
            return Ok(plan.conditions.is_empty().then_some(u64::from(head.n).saturating_sub(hidden)));
        };
        let has_keys = condition.keys.iter().any(|(kind, _)| head.bucket_bits[*kind].is_some());
        let is_one = condition.codes.len() == 1 || condition.column != Some(Coded::Kind);
        let (Some(column), false, true, true) =
            (condition.column, has_keys, is_one, condition.indexes.is_empty())
        else {
            return Ok(None);
        };
        if condition.other && file.posting_len(column, OTHER, plan.system)? > 0 {
            return Ok(None);
        }
        let mut events = 0;
        // Sums leave out the trail's own events and count only the event's own resource.
        let has_sums = file.has_sums(column) && column != Coded::Kind;
        if condition.codes.len() > 4 && has_sums && (!plan.system || head.system.is_empty()) {
            file.sums(column, |code, n| {
                if condition.codes.binary_search(&code).is_ok() {
                    events += n;
                }
            })?;
            return Ok(Some(events));
        }
        for &code in &condition.codes {
            events += file.posting_len(column, code, plan.system)?;
        }
        Ok(Some(events))
    }

    /// The matching rows, and whether all were checked.
    fn matching(
        &mut self,
        piece: Piece,
        rows: Range<u32>,
        plan: &Plan,
        check: &mut Checker<'_>,
    ) -> Result<(RowSet, bool), IndexError> {
        let mut found = self.rows_of(piece, rows, plan)?;
        let unsure = if plan.line { found.all.clone() } else { std::mem::take(&mut found.unsure) };
        let mut left = unsure.iter();
        while let Some(row) = left.next() {
            match check(self.candidate(piece, row)?) {
                ControlFlow::Continue(true) => {}
                ControlFlow::Continue(false) => _ = found.all.remove(row),
                ControlFlow::Break(()) => {
                    // Nothing is said about what was not checked.
                    found.all.remove(row);
                    found.all -= left.collect::<roaring::RoaringBitmap>();
                    return Ok((found, false));
                }
            }
        }
        Ok((found, true))
    }

    /// The `top` most frequent values of a field among the matching events in `bounds`. `check` is as for
    /// [`count`](IndexView::count).
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn facets(
        &mut self,
        filter: &Filter,
        bounds: Range<u64>,
        field: FacetField,
        top: usize,
        check: &mut Checker<'_>,
    ) -> Result<Facets, IndexError> {
        let (counts, is_complete) = self.counts(filter, bounds, field, check)?;
        Ok(self.facets_of(field, &counts, top, is_complete))
    }

    /// The same for all values that are wanted, with the names of actors. Also how many events have values that the index
    /// does not hold.
    pub(crate) fn named_facets(
        &mut self,
        filter: &Filter,
        bounds: Range<u64>,
        field: FacetField,
        is_wanted: &Wanted<'_>,
        check: &mut Checker<'_>,
    ) -> Result<(ByValue, u64), IndexError> {
        let (counts, _) = self.counts(filter, bounds, field, check)?;
        let mut by_value = ByValue::default();
        for (code, &n) in (0..).zip(&counts.by_code).filter(|(_, n)| **n > 0) {
            let Some((value, name)) = self.named_value(column_of(field), code) else { continue };
            if is_wanted(&value, name.as_deref()) {
                by_value.add(&value, name.as_deref(), n);
            }
        }
        Ok((by_value, counts.by_code.get(OTHER as usize).copied().unwrap_or(0)))
    }

    /// How often each code of a field comes, and whether all events were checked.
    fn counts(
        &mut self,
        filter: &Filter,
        bounds: Range<u64>,
        field: FacetField,
        check: &mut Checker<'_>,
    ) -> Result<(Counts, bool), IndexError> {
        let mut counts = Counts::new(self.codes_end(column_of(field)));
        let mut is_complete = true;
        if let Some(plan) = self.plan(filter) {
            for (piece, rows) in self.pieces(&plan, bounds, First::Oldest) {
                if self.known_sums(piece, &rows, &plan, field, &mut counts)? {
                    continue;
                }
                let (found, is_all) = self.matching(piece, rows, &plan, check)?;
                self.gather(piece, &found, column_of(field), &mut counts)?;
                if !is_all {
                    is_complete = false;
                    break;
                }
            }
        }
        if counts.unknown > 0 {
            let path = self.folder.clone();
            return Err(IndexError::Damaged { path, what: "it has codes that no dictionary has" });
        }
        Ok((counts, is_complete))
    }

    /// The code after the last one of a column.
    fn codes_end(&self, column: Coded) -> u32 {
        let listed = (FIRST_CODE..).find(|code| listed_name(column, *code).is_none()).unwrap_or(FIRST_CODE);
        self.dictionaries.get(column.at()).map_or(listed, |values| values.next_code())
    }

    /// Adds the stored sums of a range, if all of it is asked for.
    fn known_sums(
        &mut self,
        piece: Piece,
        rows: &Range<u32>,
        plan: &Plan,
        field: FacetField,
        counts: &mut Counts,
    ) -> Result<bool, IndexError> {
        let Piece::Closed(at) = piece else { return Ok(false) };
        let file = self.file(at)?;
        let head = &file.head;
        let is_whole = *rows == (0..head.n)
            && plan.has_time(head.earliest)
            && plan.has_time(head.latest)
            && plan.conditions.is_empty()
            && !plan.line
            && (!plan.system || head.system.is_empty());
        if is_whole {
            file.sums(column_of(field), |code, n| counts.add(code, n))?;
        }
        Ok(is_whole)
    }

    fn gather(
        &mut self,
        piece: Piece,
        found: &RowSet,
        column: Coded,
        counts: &mut Counts,
    ) -> Result<(), IndexError> {
        let Piece::Closed(at) = piece else {
            let codes = &self.tail.codes[column.at()];
            found.all.iter().for_each(|row| counts.add(codes[row as usize], 1));
            return Ok(());
        };
        let file = self.file(at)?;
        let mut codes = Vec::new();
        let mut of_block = u32::MAX;
        let (mut ahead, mut buffer) = (found.all.iter(), [0; 1_024]);
        loop {
            let mut rows = some_of(&mut ahead, &mut buffer);
            if rows.is_empty() {
                return Ok(());
            }
            while let Some(&first) = rows.first() {
                let block = first / BLOCK_ROWS as u32;
                if of_block != block {
                    file.codes(column, block, &mut codes)?;
                    of_block = block;
                }
                let begin = block * BLOCK_ROWS as u32;
                let end = begin + codes.len() as u32;
                let (here, after) = rows.split_at(rows.partition_point(|row| *row < end));
                here.iter().for_each(|row| counts.add(codes[(row - begin) as usize], 1));
                if here.is_empty() {
                    return Err(file.damaged("a column block is short"));
                }
                rows = after;
            }
        }
    }

    fn facets_of(&self, field: FacetField, counts: &Counts, top: usize, is_complete: bool) -> Facets {
        let mut by_value: HashMap<&[u8], u64> = HashMap::new();
        for (code, &n) in (0..).zip(&counts.by_code).filter(|(_, n)| **n > 0) {
            if let Some(value) = self.value_of(column_of(field), code) {
                *by_value.entry(value).or_default() += n;
            }
        }
        let mut sorted: Vec<(&[u8], u64)> = by_value.into_iter().collect();
        let distinct = sorted.len() as u64;
        let by_rank = |a: &(&[u8], u64), b: &(&[u8], u64)| b.1.cmp(&a.1).then(a.0.cmp(b.0));
        if top < sorted.len() && top > 0 {
            sorted.select_nth_unstable_by(top - 1, by_rank);
        }
        sorted.truncate(top);
        sorted.sort_unstable_by(by_rank);
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let of_code = |code: u32| counts.by_code.get(code as usize).copied().unwrap_or(0);
        Facets {
            values: sorted.into_iter().map(|(value, n)| (text(value), n)).collect(),
            distinct,
            absent: of_code(ABSENT),
            others: of_code(OTHER),
            is_complete,
        }
    }

    /// A value, and the name that belongs to it if it is an actor's id.
    fn named_value(&self, column: Coded, code: u32) -> Option<(String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if column != Coded::Actor {
            return self.value_of(column, code).map(|value| (text(value), None));
        }
        let actor = actor_parts(self.dictionaries.get(column.at())?.value(code)?)?;
        Some((text(actor.id.or(actor.name)?), actor.id.and(actor.name).map(text)))
    }

    fn value_of(&self, column: Coded, code: u32) -> Option<&[u8]> {
        if let Some(name) = listed_name(column, code) {
            return Some(name.as_bytes());
        }
        let value = self.dictionaries.get(column.at())?.value(code)?;
        if column != Coded::Actor {
            return Some(value);
        }
        let actor = actor_parts(value)?;
        actor.id.or(actor.name)
    }

    /// How many matching events in `bounds` fall into each time bucket: starts, which are multiples of `bucket_micros`,
    /// and counts, in order. Empty buckets are left out. `check` is as for [`count`](IndexView::count); if it stops,
    /// the counts until then are returned.
    ///
    /// # Errors
    /// [`IndexError::Buckets`] when there would be too many; or when a file cannot be read.
    pub fn histogram(
        &mut self,
        filter: &Filter,
        bounds: Range<u64>,
        bucket_micros: u64,
        check: &mut Checker<'_>,
    ) -> Result<Vec<(Timestamp, u64)>, IndexError> {
        let width = i64::try_from(bucket_micros).unwrap_or(i64::MAX).max(1);
        let mut buckets = Buckets { width, counts: BTreeMap::new(), last: (0, 0) };
        if let Some(plan) = self.plan(filter) {
            for (piece, rows) in self.pieces(&plan, bounds, First::Oldest) {
                let (found, is_complete) = self.matching(piece, rows, &plan, check)?;
                self.add_times(piece, &found, &mut buckets)?;
                if buckets.counts.len() > HISTOGRAM_BUCKETS_MAX {
                    return Err(IndexError::Buckets { max: HISTOGRAM_BUCKETS_MAX });
                }
                if !is_complete {
                    break;
                }
            }
        }
        Ok(buckets.finish())
    }

    fn add_times(&mut self, piece: Piece, found: &RowSet, buckets: &mut Buckets) -> Result<(), IndexError> {
        let Piece::Closed(at) = piece else {
            found.all.iter().for_each(|row| buckets.add(self.tail.times[row as usize], 1));
            return Ok(());
        };
        let file = self.file(at)?;
        let mut block = Block::default();
        for (span, &(low, high)) in (0_u32..).zip(&file.head.spans) {
            let first = span * SPAN_ROWS as u32;
            let rows = first..first + SPAN_ROWS as u32;
            let n = found.all.range_cardinality(rows.clone());
            if n == 0 {
                continue;
            }
            if buckets.begin(low) == buckets.begin(high) {
                buckets.add(low, n);
                continue;
            }
            for row in found.all.range(rows) {
                buckets.add(block.time(file, row)?, 1);
            }
        }
        Ok(())
    }
}

struct Counts {
    by_code: Vec<u64>,
    /// For codes that cannot exist.
    unknown: u64,
}

impl Counts {
    fn new(codes_end: u32) -> Self {
        Counts { by_code: vec![0; codes_end as usize], unknown: 0 }
    }

    #[inline]
    fn add(&mut self, code: u32, n: u64) {
        match self.by_code.get_mut(code as usize) {
            Some(count) => *count += n,
            None => self.unknown += n,
        }
    }
}

struct Buckets {
    width: i64,
    counts: BTreeMap<i64, u64>,
    /// The last bucket added to: its start, and what is not in `counts` yet.
    last: (i64, u64),
}

impl Buckets {
    #[inline]
    fn begin(&self, time: i64) -> i64 {
        time.div_euclid(self.width).saturating_mul(self.width)
    }

    #[inline]
    fn add(&mut self, time: i64, n: u64) {
        let (begin, _) = self.last;
        if time < begin || time.wrapping_sub(begin) >= self.width {
            self.put_last();
            self.last = (self.begin(time), 0);
        }
        self.last.1 += n;
    }

    fn put_last(&mut self) {
        let (begin, n) = self.last;
        if n > 0 {
            *self.counts.entry(begin).or_default() += n;
        }
    }

    fn finish(mut self) -> Vec<(Timestamp, u64)> {
        self.put_last();
        self.counts.into_iter().map(|(begin, n)| (Timestamp::from_micros(begin), n)).collect()
    }
}

/// The next rows, as many as there is room for. Not by the bitmap's `next_many`: in roaring 0.12.0 that skips runs of
/// 65,536 rows.
fn some_of<'a>(rows: &mut impl Iterator<Item = u32>, room: &'a mut [u32]) -> &'a [u32] {
    let count = room.iter_mut().zip(rows).map(|(place, row)| *place = row).count();
    &room[..count]
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;

    use super::some_of;

    #[test]
    fn full_runs_are_gathered_whole() {
        let mut rows: RoaringBitmap = (1..249_999).collect();
        rows.optimize();
        let (mut ahead, mut room, mut all) = (rows.iter(), [0; 1_024], Vec::new());
        loop {
            let some = some_of(&mut ahead, &mut room);
            if some.is_empty() {
                break;
            }
            all.extend_from_slice(some);
        }
        assert!(all.iter().copied().eq(1..249_999), "{} rows", all.len());
    }
}
