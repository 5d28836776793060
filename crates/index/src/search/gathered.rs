//! What a scan by time has found: the places of matches, kept between chunks and pages, so that each line is read once.

use std::collections::BTreeSet;
use std::ops::Range;

use trailseal_event::filter::Filter;

use super::remaining::{Left, Looked, NONE_BELOW};
use super::wanted::Wanted;
use crate::First;
use crate::view::Key;

/// Lines read between two checks of the clock; they share one record of their earliest and latest time.
pub(super) const BLOCK_LINES: u64 = 1_024;

/// How many places of matches are kept per trail: with their tree about 6 MiB. If there are more, the first of them are
/// kept, and the lines are read again for the rest.
pub(super) const MATCHES_MAX: usize = 1 << 18;

/// The matches among the lines `looked`. Places are turned.
pub(super) struct Gathered {
    filter: Filter,
    first: First,
    /// Matches at this place and above were not wanted.
    below: Key,
    /// One contiguous range of lines: it grows at its end as events arrive, and downward until everything is read.
    looked: Range<u64>,
    /// Of the matches in `looked`, all from this place on are kept.
    floor: Key,
    places: BTreeSet<Key>,
    matches_max: usize,
    /// A time at or before which no line after the first in `looked` was recorded.
    begun: Option<i64>,
}

impl Gathered {
    /// Continues from the `looked` in a cursor, or begins at the end of `part`.
    fn begin(
        wanted: &Wanted<'_>,
        part: &Range<u64>,
        below: Key,
        looked: &Looked,
        matches_max: usize,
    ) -> Self {
        let is_told = looked.is_of(part, below);
        let mut places = BTreeSet::new();
        if is_told && looked.best != NONE_BELOW {
            places.insert(looked.best);
        }
        Gathered {
            filter: wanted.filter.clone(),
            first: wanted.first,
            below,
            looked: if is_told { looked.indexes.clone() } else { part.end..part.end },
            floor: if is_told { looked.best } else { NONE_BELOW },
            places,
            matches_max: matches_max.max(1),
            begun: None,
        }
    }

    /// The one that was kept, if it is useful here and the cursor does not know more; otherwise a new one.
    pub(super) fn of(
        kept: Option<Gathered>,
        wanted: &Wanted<'_>,
        part: &Range<u64>,
        left: &Left,
        matches_max: usize,
    ) -> Self {
        let new = Gathered::begin(wanted, part, left.below, &left.looked, matches_max);
        match kept {
            Some(kept)
                if kept.is_for(wanted, left.below)
                    && Looked { indexes: kept.looked.clone(), best: kept.floor }.is_of(part, left.below)
                    && kept.to_look_at(part) <= new.to_look_at(part) =>
            {
                kept
            }
            _ => new,
        }
    }

    fn to_look_at(&self, part: &Range<u64>) -> u64 {
        let both = self.looked.start.max(part.start)..self.looked.end.min(part.end);
        (part.end - part.start) - both.end.saturating_sub(both.start)
    }

    /// The lines of `part` to read next: first what arrived, then downward.
    pub(super) fn next_lines(&self, part: &Range<u64>) -> Option<Range<u64>> {
        let Range { start, end } = self.looked;
        if end < part.end {
            return Some(end..part.end.min((end / BLOCK_LINES + 1) * BLOCK_LINES));
        }
        (part.start < start).then(|| part.start.max((start - 1) / BLOCK_LINES * BLOCK_LINES)..start)
    }

    /// Records that these lines were read, and when the first of them was recorded.
    pub(super) fn pass(&mut self, lines: &Range<u64>, begun: Option<i64>) {
        if lines.start < self.looked.start {
            self.begun = begun.or(self.begun);
        }
        self.looked = self.looked.start.min(lines.start)..self.looked.end.max(lines.end);
    }

    /// Whether a match at this place would be kept.
    pub(super) fn wants(&self, place: Key) -> bool {
        (self.floor..self.below).contains(&place)
    }

    /// Whether a match at one of the places from `least` to `most` would be kept.
    pub(super) fn wants_any(&self, least: Key, most: Key) -> bool {
        least < self.below && self.floor <= most
    }

    pub(super) fn add(&mut self, place: Key) {
        self.places.insert(place);
        if self.places.len() > self.matches_max {
            self.places.pop_first();
            self.floor = self.places.first().map_or(self.floor, |first| *first);
        }
    }

    /// Whether all matches in `part` from this place on, and below `below`, are known.
    pub(super) fn down_to(&self, part: &Range<u64>) -> Key {
        let nothing = (i64::MAX, u64::MAX);
        let settled = match self.first {
            _ if self.looked.end < part.end => nothing,
            _ if self.looked.start <= part.start => NONE_BELOW,
            // An event's time is never later than its recording: none of the earlier lines comes after this place.
            First::Newest => self.begun.map_or(nothing, |begun| (begun, u64::MAX)),
            // Any of the remaining ones may be the oldest.
            First::Oldest => nothing,
        };
        settled.max(self.floor)
    }

    /// Whether reading more lines of `part` would find nothing that is wanted.
    pub(super) fn is_enough(&self, part: &Range<u64>, below: Key, chunk: usize) -> bool {
        let down_to = self.down_to(part);
        down_to == self.floor || self.known(down_to, below).take(chunk).count() == chunk
    }

    /// The matches from `down_to` on and below `below`, in order.
    pub(super) fn known(&self, down_to: Key, below: Key) -> impl Iterator<Item = Key> {
        self.places.range(down_to.min(below)..below).rev().copied()
    }

    /// Whether it holds the wanted matches below a place.
    pub(super) fn is_for(&self, wanted: &Wanted<'_>, below: Key) -> bool {
        self.first == wanted.first && self.below >= below && self.filter == *wanted.filter
    }

    /// What a cursor passes on to whoever continues below a place.
    pub(super) fn told(&self, below: Key) -> Looked {
        let best = self.places.range(..below).next_back().copied().unwrap_or(self.floor);
        let looked = Looked { indexes: self.looked.clone(), best };
        if best < below && !self.looked.is_empty() { looked } else { Looked::default() }
    }
}
