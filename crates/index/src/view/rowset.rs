//! The rows of a closed range that a plan finds.

use std::ops::Range;

use roaring::{MultiOps as _, RoaringBitmap};

use super::plan::{Condition, Plan};
use crate::error::IndexError;
use crate::range::RangeFile;
use crate::schema::{BLOCK_ROWS, OTHER, SPAN_ROWS, is_wide};

/// Rows that can match.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RowSet {
    pub(super) all: RoaringBitmap,
    /// Those among them that only the line can decide.
    pub(super) unsure: RoaringBitmap,
}

/// The rows among `rows`.
pub(super) fn rows(file: &RangeFile, rows: Range<u32>, plan: &Plan) -> Result<RowSet, IndexError> {
    let head = &file.head;
    let Some(times) = times(file, &rows, plan)? else { return Ok(RowSet::default()) };
    let mut found: Option<RoaringBitmap> = None;
    let mut unsure = RoaringBitmap::new();
    for condition in &plan.conditions {
        let sure = sure_rows(file, condition, plan)?;
        let mut with = RoaringBitmap::new();
        maybe_rows(file, condition, plan, &mut with)?;
        if !with.is_empty() {
            unsure |= &with - &sure;
        }
        with |= sure;
        let left = match found {
            Some(found) => found & with,
            None => with,
        };
        if left.is_empty() {
            return Ok(RowSet::default());
        }
        found = Some(left);
    }
    let mut all = match found {
        Some(mut found) => {
            found.remove_range(..rows.start);
            found.remove_range(rows.end..);
            found
        }
        None => {
            let mut all = RoaringBitmap::new();
            all.insert_range(rows);
            all
        }
    };
    if let Some(times) = times.some() {
        all &= times;
    }
    all -= &head.unreadable;
    if !plan.system {
        all -= &head.system;
    }
    unsure &= &all;
    Ok(RowSet { all, unsure })
}

/// Rows that fulfil the condition.
fn sure_rows(file: &RangeFile, condition: &Condition, plan: &Plan) -> Result<RoaringBitmap, IndexError> {
    let mut sure = RoaringBitmap::new();
    if let Some(column) = condition.column {
        let mut lists = Vec::new();
        for &code in &condition.codes {
            let mut rows = RoaringBitmap::new();
            file.add_posting(column, code, plan.system, &mut rows)?;
            if !rows.is_empty() {
                lists.push(rows);
            }
        }
        sure = lists.union();
    }
    for &(kind, hash) in condition.keys.iter().filter(|(kind, _)| is_wide(*kind)) {
        file.add_key(kind, hash, &mut sure)?;
    }
    for index in &condition.indexes {
        if let Some(row) = index.checked_sub(file.head.lo).filter(|row| *row < u64::from(file.head.n)) {
            sure.insert(row as u32);
        }
    }
    Ok(sure)
}

/// Rows that may fulfil it.
fn maybe_rows(
    file: &RangeFile,
    condition: &Condition,
    plan: &Plan,
    rows: &mut RoaringBitmap,
) -> Result<(), IndexError> {
    if let (Some(column), true) = (condition.column, condition.other) {
        file.add_posting(column, OTHER, plan.system, rows)?;
    }
    for &(kind, hash) in condition.keys.iter().filter(|(kind, _)| !is_wide(*kind)) {
        file.add_key(kind, hash, rows)?;
    }
    Ok(())
}

/// What a plan's times leave of a range.
pub(super) enum Times {
    All,
    Some(RoaringBitmap),
}

impl Times {
    fn some(self) -> Option<RoaringBitmap> {
        match self {
            Times::All => None,
            Times::Some(rows) => Some(rows),
        }
    }
}

/// Rows whose time the plan asks for; `None` if there is none. The times themselves are read only for a span of rows
/// that crosses an edge.
pub(super) fn times(file: &RangeFile, rows: &Range<u32>, plan: &Plan) -> Result<Option<Times>, IndexError> {
    let head = &file.head;
    if plan.has_time(head.earliest) && plan.has_time(head.latest) {
        return Ok(Some(Times::All));
    }
    let is_apart =
        |low: i64, high: i64| high < plan.since || plan.until.is_some_and(|until| low >= until) || low > high;
    if is_apart(head.earliest, head.latest) {
        return Ok(None);
    }
    let mut found = RoaringBitmap::new();
    let mut block = Block::default();
    for (span, &(low, high)) in (0_u32..).zip(&head.spans) {
        let first = span * SPAN_ROWS as u32;
        let of_span = first..head.n.min(first + SPAN_ROWS as u32);
        if is_apart(low, high) || of_span.end <= rows.start || rows.end <= of_span.start {
            continue;
        }
        if plan.has_time(low) && plan.has_time(high) {
            found.insert_range(of_span);
            continue;
        }
        for row in of_span {
            if plan.has_time(block.time(file, row)?) {
                found.insert(row);
            }
        }
    }
    Ok((!found.is_empty()).then_some(Times::Some(found)))
}

/// The times of one block of rows.
#[derive(Default)]
pub(super) struct Block {
    number: Option<u32>,
    times: Vec<i64>,
}

impl Block {
    /// The row's time.
    pub(super) fn time(&mut self, file: &RangeFile, row: u32) -> Result<i64, IndexError> {
        let number = row / BLOCK_ROWS as u32;
        if self.number != Some(number) {
            self.number = None;
            file.times(number, &mut self.times)?;
            self.number = Some(number);
        }
        let time = self.times.get(row as usize % BLOCK_ROWS);
        time.copied().ok_or_else(|| file.damaged("a block of times is short"))
    }
}
