//! One order from several trails: each gives its matches in chunks, and the first of them all comes next.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Instant;

use trailseal_core::filter::Filter;

use super::member::Member;
use super::{Cursor, Hit, Left, SearchError};
use crate::Order;

/// Matches that are fetched from a trail at once, at first and at most. They double: a page takes few, an
/// export all.
const CHUNK_MIN: usize = 64;
const CHUNK_MAX: usize = 4_096;
/// Of long lines it is fewer: so many bytes at most, going by those that were fetched before, and at first fewer, too.
const CHUNK_BYTES_MAX: usize = 4 << 20;
const CHUNK_AT_FIRST_MAX: usize = 256;

/// A walk through the matches of several trails.
pub(super) struct Walk<'a> {
    filter: &'a Filter,
    order: Order,
    deadline: Option<Instant>,
    scanned: u64,
    lanes: Vec<Lane<'a>>,
}

struct Lane<'a> {
    member: &'a mut Member,
    /// Matches that were found and not given yet.
    waiting: VecDeque<Hit>,
    /// What was not looked at yet.
    left: Left,
    chunk: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        members: &'a mut [Member],
        filter: &'a Filter,
        order: Order,
        cursor: Option<&Cursor>,
        limit: usize,
        deadline: Option<Instant>,
    ) -> Self {
        // One more than asked for tells whether there is a next page.
        let chunk = if members.len() == 1 { limit.saturating_add(1) } else { CHUNK_MIN };
        let chunk = if limit == usize::MAX { CHUNK_MIN } else { chunk.min(CHUNK_AT_FIRST_MAX) };
        let lanes = members
            .iter_mut()
            .map(|member| {
                let end = member.end();
                let is_asked_for =
                    filter.origin.is_empty() || filter.origin.iter().any(|origin| **origin == *member.origin);
                let left = match (is_asked_for, cursor) {
                    (false, _) => 0..0,
                    (true, None) => 0..end,
                    (true, Some(cursor)) => cursor.left_of(&member.origin, end),
                };
                let possible = filter.index_range();
                let left = left.start.max(possible.start)..left.end.min(possible.end);
                Lane { member, waiting: VecDeque::new(), left, chunk }
            })
            .collect();
        Walk { filter, order, deadline, scanned: 0, lanes }
    }

    /// The next match; `None` at the end, or when there is no time left.
    pub(super) fn next(&mut self) -> Result<Option<Hit>, SearchError> {
        if !self.fill()? {
            return Ok(None);
        }
        let order = self.order;
        let first = (0..self.lanes.len())
            .filter_map(|at| self.lanes[at].waiting.front().map(|hit| (at, hit)))
            .min_by(|(_, left), (_, right)| compare(left, right, order))
            .map(|(at, _)| at);
        Ok(first.and_then(|at| self.lanes[at].waiting.pop_front()))
    }

    /// Looks until each trail has a match waiting or is at its end; false if the time is over before that.
    fn fill(&mut self) -> Result<bool, SearchError> {
        for lane in &mut self.lanes {
            while lane.waiting.is_empty() && !lane.left.is_empty() {
                if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return Ok(false);
                }
                let (filter, order) = (self.filter, self.order);
                self.scanned += lane.member.matches(
                    filter,
                    order,
                    &mut lane.left,
                    lane.chunk,
                    self.deadline,
                    &mut lane.waiting,
                )?;
                let bytes: usize = lane.waiting.iter().map(|hit| hit.line.len()).sum();
                let fitting = CHUNK_BYTES_MAX * lane.waiting.len() / bytes.max(1);
                lane.chunk = (lane.chunk * 2).min(CHUNK_MAX);
                if !lane.waiting.is_empty() {
                    lane.chunk = lane.chunk.min(fitting.max(1));
                }
            }
        }
        Ok(true)
    }

    /// How many events were looked at so far.
    pub(super) fn scanned(&self) -> u64 {
        self.scanned
    }

    /// Where the next page begins, if there is one, and how much was passed over if this one ended for time.
    pub(super) fn rest(mut self) -> Result<(Option<Cursor>, Option<u64>), SearchError> {
        let is_whole = self.fill()?;
        if is_whole && self.lanes.iter().all(|lane| lane.waiting.is_empty()) {
            return Ok((None, None));
        }
        let order = self.order;
        let left = self.lanes.iter().map(|lane| (lane.member.origin.clone(), lane.not_given(order)));
        Ok((Some(Cursor::new(order, left)), (!is_whole).then_some(self.scanned)))
    }
}

impl Lane<'_> {
    /// What was not looked at, and what was found there and not given.
    fn not_given(&self, order: Order) -> Left {
        let front = self.waiting.front().map(|hit| hit.index.get());
        match order {
            // Open to what arrives meanwhile, which comes after everything else.
            Order::OldestFirst => front.unwrap_or(self.left.start)..u64::MAX,
            Order::NewestFirst => match (front, self.waiting.back()) {
                (Some(front), Some(last)) if self.left.is_empty() => last.index.get()..front + 1,
                (Some(front), _) => self.left.start..front + 1,
                (None, _) => self.left.clone(),
            },
        }
    }
}

fn compare(left: &Hit, right: &Hit, order: Order) -> Ordering {
    let ascending =
        (left.recorded, &left.origin, left.index).cmp(&(right.recorded, &right.origin, right.index));
    if order == Order::OldestFirst { ascending } else { ascending.reverse() }
}
