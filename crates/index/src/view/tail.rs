//! The rows of the open range that a plan finds, by searching its columns.

use std::ops::Range;

use super::plan::{Condition, Plan};
use super::rowset::RowSet;
use crate::rows::Rows;
use crate::schema::{Coded, OTHER, is_wide};

/// The rows among `range`.
pub(super) fn rows(tail: &Rows, range: Range<u32>, plan: &Plan) -> RowSet {
    let marks = &tail.codes[Coded::Mark.at()];
    let mut found: Vec<u32> = range.clone().filter(|row| plan.shows(marks[*row as usize])).collect();
    if plan.since > i64::MIN || plan.until.is_some() {
        found.retain(|row| plan.has_time(tail.times[*row as usize]));
    }
    let mut set = RowSet::default();
    for condition in &plan.conditions {
        if found.is_empty() {
            return set;
        }
        let (sure, maybe) = fulfilling(tail, &range, condition, &found);
        set.unsure.extend(maybe.iter().copied());
        found = sure;
        if !maybe.is_empty() {
            found.extend(maybe);
            found.sort_unstable();
        }
    }
    // They ascend, so none is left out.
    let _ = set.all.append(found);
    set.unsure &= &set.all;
    set
}

/// Which of `rows` fulfil the condition, and which others may.
fn fulfilling(tail: &Rows, range: &Range<u32>, condition: &Condition, rows: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut more = Vec::new();
    let codes = condition.column.map(|column| &tail.codes[column.at()]);
    if condition.column == Some(Coded::Kind) {
        let kinds = tail.more_kinds_in(range).iter();
        more.extend(kinds.filter(|(_, code)| condition.codes.contains(code)).map(|(row, _)| *row));
    }
    let is_wanted = wanted_codes(&condition.codes);
    let wide = keyed_rows(tail, range, condition, true);
    let narrow = keyed_rows(tail, range, condition, false);
    let is_in = |rows: &[u32], row: u32| rows.binary_search(&row).is_ok();
    if condition.codes.is_empty() && condition.indexes.is_empty() && !condition.other {
        // The usual look-up: few rows have the key.
        let sure = wide.iter().copied().filter(|row| is_in(rows, *row)).collect();
        let maybe = narrow.into_iter().filter(|row| is_in(rows, *row) && !is_in(&wide, *row)).collect();
        return (sure, maybe);
    }
    let is_sure = |row: u32| {
        codes.is_some_and(|codes| is_wanted.has(codes[row as usize]))
            || is_in(&more, row)
            || is_in(&wide, row)
            || condition.indexes.contains(&(tail.lo + u64::from(row)))
    };
    let sure: Vec<u32> = rows.iter().copied().filter(|row| is_sure(*row)).collect();
    if narrow.is_empty() && !condition.other {
        return (sure, Vec::new());
    }
    let is_other = |row: u32| condition.other && codes.is_some_and(|codes| codes[row as usize] == OTHER);
    let is_maybe = |row: &u32| !is_sure(*row) && (is_in(&narrow, *row) || is_other(*row));
    let maybe = rows.iter().copied().filter(is_maybe).collect();
    (sure, maybe)
}

/// Rows in `range` that have one of the condition's keys, of wide or of other kinds, ascending.
fn keyed_rows(tail: &Rows, range: &Range<u32>, condition: &Condition, wide: bool) -> Vec<u32> {
    let mut found = Vec::new();
    for &(kind, hash) in condition.keys.iter().filter(|(kind, _)| is_wide(*kind) == wide) {
        let keys = &tail.keys[kind];
        let begin = keys.rows.partition_point(|row| *row < range.start);
        let end = keys.rows.partition_point(|row| *row < range.end).max(begin);
        let hits = keys.hashes[begin..end].iter().zip(&keys.rows[begin..end]).filter(|(it, _)| **it == hash);
        found.extend(hits.map(|(_, row)| *row));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A set of codes with fast look-up.
enum Codes {
    One(u32),
    Bits(Vec<u64>),
}

impl Codes {
    #[inline]
    fn has(&self, code: u32) -> bool {
        match self {
            Codes::One(one) => *one == code,
            Codes::Bits(bits) => {
                bits.get(code as usize / 64).is_some_and(|word| word >> (code % 64) & 1 == 1)
            }
        }
    }
}

fn wanted_codes(codes: &[u32]) -> Codes {
    if let [one] = codes {
        return Codes::One(*one);
    }
    let mut bits = vec![0; codes.iter().max().map_or(0, |max| *max as usize / 64 + 1)];
    for &code in codes {
        bits[code as usize / 64] |= 1 << (code % 64);
    }
    Codes::Bits(bits)
}
