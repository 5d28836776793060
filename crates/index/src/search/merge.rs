//! One order across several trails: each returns its matches in chunks, and the first of all comes next.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Instant;

use trailseal_event::Hit;
use trailseal_event::filter::Filter;

use super::by_time::place_of;
use super::cursor::Cursor;
use super::error::SearchError;
use super::member::Member;
use super::remaining::{Left, NONE_BELOW};
use crate::view::{Key, Turn as _, after};
use crate::{By, First, Order};

/// How many matches are fetched from a trail at once, at first and at most. The number doubles: a page needs few, an
/// export all.
const CHUNK_MIN: usize = 64;
const CHUNK_MAX: usize = 4_096;
/// Fewer if lines are long: at most this many bytes, estimated from those fetched before, and at first also fewer.
const CHUNK_BYTES_MAX: usize = 4 << 20;
const CHUNK_AT_FIRST_MAX: usize = 256;

/// A walk through the matches of several trails.
pub(super) struct Walk<'a> {
    order: Order,
    deadline: Option<Instant>,
    scanned: u64,
    /// The time of the last match returned.
    last: Option<i64>,
    lanes: Vec<Lane<'a>>,
}

struct Lane<'a> {
    member: &'a mut Member,
    /// The filter in terms of what this trail's lines hold.
    filter: Filter,
    /// Matches that were found but not returned yet.
    waiting: VecDeque<Hit>,
    /// What was not checked yet.
    left: Left,
    /// In a walk by time, everything at this place and above was returned.
    given: Key,
    chunk: usize,
    /// Whether this walk has checked it.
    is_begun: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        members: &'a mut [Member],
        filter: &Filter,
        order: Order,
        cursor: Option<&Cursor>,
        limit: usize,
        deadline: Option<Instant>,
    ) -> Result<Self, SearchError> {
        // One more than requested shows whether there is a next page.
        let chunk = if members.len() == 1 { limit.saturating_add(1) } else { CHUNK_MIN };
        let chunk = if limit == usize::MAX { CHUNK_MIN } else { chunk.min(CHUNK_AT_FIRST_MAX) };
        let lane = |member: &'a mut Member| {
            let end = member.end();
            let mut left = match cursor {
                _ if !member.is_asked_for(filter) => Left::of(0),
                None => Left::of(end),
                Some(cursor) => cursor.left_of(&member.origin, end),
            };
            left.within(&filter.index_range());
            if let Some(range) = member.recorded_range(filter)? {
                left.within(&range);
            }
            let filter = member.as_stored(filter);
            Ok(Lane {
                member,
                filter,
                waiting: VecDeque::new(),
                given: left.below,
                left,
                chunk,
                is_begun: false,
            })
        };
        let lanes = members.iter_mut().map(lane).collect::<Result<_, SearchError>>()?;
        Ok(Walk { order, deadline, scanned: 0, last: None, lanes })
    }

    /// The next match; `None` at the end or when time has run out.
    pub(super) fn next(&mut self) -> Result<Option<Hit>, SearchError> {
        if !self.fill()? {
            return Ok(None);
        }
        let order = self.order;
        let first = (0..self.lanes.len())
            .filter_map(|at| self.lanes[at].waiting.front().map(|hit| (at, hit)))
            .min_by(|(_, left), (_, right)| compare(left, right, order))
            .map(|(at, _)| at);
        let Some(lane) = first.and_then(|at| self.lanes.get_mut(at)) else { return Ok(None) };
        let hit = lane.waiting.pop_front();
        if let Some(hit) = &hit {
            lane.given = place_of(hit, order.first);
            self.last = Some(hit.time.as_micros());
        }
        Ok(hit)
    }

    /// Searches until each trail has a match waiting or is at its end; false if time runs out first.
    fn fill(&mut self) -> Result<bool, SearchError> {
        let mut is_whole = true;
        for lane in &mut self.lanes {
            while lane.waiting.is_empty() && !lane.left.is_empty() {
                // Each trail makes progress on every page, however long the others take.
                let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
                if is_late && lane.is_begun {
                    is_whole = false;
                    break;
                }
                lane.is_begun = true;
                self.scanned += lane.member.matches(
                    &lane.filter,
                    self.order,
                    &mut lane.left,
                    lane.chunk,
                    self.deadline,
                    &mut lane.waiting,
                )?;
                let bytes: usize = lane.waiting.iter().map(|hit| hit.exact_line().len()).sum();
                let fitting = CHUNK_BYTES_MAX * lane.waiting.len() / bytes.max(1);
                lane.chunk = (lane.chunk * 2).min(CHUNK_MAX);
                if !lane.waiting.is_empty() {
                    lane.chunk = lane.chunk.min(fitting.max(1));
                }
            }
        }
        Ok(is_whole)
    }

    /// How many events were checked so far.
    pub(super) fn scanned(&self) -> u64 {
        self.scanned
    }

    /// Where the next page begins, if there is one, and how much was passed over if this page ended for lack of time.
    pub(super) fn rest(mut self) -> Result<(Option<Cursor>, Option<u64>), SearchError> {
        let is_whole = self.fill()?;
        if is_whole && self.lanes.iter().all(|lane| lane.waiting.is_empty()) {
            return Ok((None, None));
        }
        let (order, last) = (self.order, self.last);
        let left = self.lanes.iter().map(|lane| (lane.member.origin.clone(), lane.not_given(order, last)));
        Ok((Some(Cursor::new(order, left)), (!is_whole).then_some(self.scanned)))
    }
}

impl Lane<'_> {
    /// What was not checked, and what was found there but not returned. `last` is the time of the last match returned.
    fn not_given(&self, order: Order, last: Option<i64>) -> Left {
        let front = self.waiting.front();
        let Left { mut indexes, mut below, mut looked } = self.left.clone();
        match (order.by, order.first) {
            (By::Time, first) => {
                let is_at_end = front.is_none() && self.left.is_empty();
                if front.is_some() || (is_at_end && first == First::Oldest && last.is_some()) {
                    // What arrives meanwhile may belong between what was returned and what was found.
                    let reached = last.map(|time| after((first.turn((time, 0)).0, u64::MAX)));
                    below = reached.map_or(self.given, |reached| reached.min(self.given));
                    looked.best = front.map_or(NONE_BELOW, |hit| place_of(hit, first));
                }
                if first == First::Oldest {
                    indexes.end = u64::MAX;
                }
            }
            // Open to what arrives meanwhile, which comes after everything else.
            (By::Recorded, First::Oldest) => {
                indexes = front.map_or(indexes.start, |hit| hit.index.get())..u64::MAX;
            }
            (By::Recorded, First::Newest) => {
                if let (Some(front), Some(last)) = (front, self.waiting.back()) {
                    let start = if indexes.is_empty() { last.index.get() } else { indexes.start };
                    indexes = start..front.index.get() + 1;
                }
            }
        }
        Left { indexes, below, looked }
    }
}

fn compare(left: &Hit, right: &Hit, order: Order) -> Ordering {
    let by_recorded =
        || (left.recorded, &left.origin, left.index).cmp(&(right.recorded, &right.origin, right.index));
    let ascending = match order.by {
        By::Time => left.time.cmp(&right.time).then_with(by_recorded),
        By::Recorded => by_recorded(),
    };
    if order.first == First::Oldest { ascending } else { ascending.reverse() }
}
