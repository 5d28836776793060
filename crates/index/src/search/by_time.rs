//! Matches of one trail in order of time: what the index does not have yet is scanned, the rest is looked up in the
//! index.
//!
//! Places are turned here (`First::turn`), so that both orders go downward. What must hold: after each step, everything
//! in both parts that lies above the place reached has been returned.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::time::Instant;

use trailseal_event::filter::Filter;
use trailseal_event::line::{effective_time, parse_front};
use trailseal_event::{Hit, Index};

use super::error::SearchError;
use super::gathered::{BLOCK_LINES, Gathered};
use super::member::{LINES_AT_LEAST, Member};
use super::remaining::{Left, NONE_BELOW};
use super::wanted::Wanted;
use crate::view::{Key, Turn as _};
use crate::{Candidate, First};

/// Lines this close to each other are read together.
const NEAR_LINES: u64 = 256;
/// With little time left, this many lines are read between two checks of the clock.
const FEW_LINES: usize = 64;

/// Matches by turned place.
struct Found {
    hits: BTreeMap<Key, Hit>,
    /// Everything at this place and above was checked.
    down_to: Key,
    looked: u64,
}

impl Member {
    /// Like [`matches`](Member::matches), by time.
    pub(super) fn matches_by_time(
        &mut self,
        filter: &Filter,
        first: First,
        left: &mut Left,
        chunk: usize,
        deadline: Option<Instant>,
        found: &mut VecDeque<Hit>,
    ) -> Result<u64, SearchError> {
        self.check_stopped()?;
        let wanted = Wanted { filter, first, chunk, deadline, stopped: &self.stopped.clone() };
        let all = left.indexes.clone();
        let indexed = self.indexed().clamp(all.start, all.end);
        let mut unindexed = indexed..all.end;
        if cfg!(trailseal_fault = "tail_not_searched") {
            unindexed.end = unindexed.start;
        }
        let scanned = self.scan_by_time(&wanted, unindexed, left)?;
        let among = scanned.down_to..left.below;
        let Found { mut hits, down_to, looked } =
            match self.ask_by_time(&wanted, all.start..indexed, among)? {
                Some(mut proposed) => {
                    proposed.hits.extend(scanned.hits);
                    proposed.looked += scanned.looked;
                    proposed
                }
                // The index was rebuilt or damaged meanwhile. Answers stay the same, but slower.
                None => self.scan_by_time(&wanted, all, left)?,
            };
        found.extend(hits.split_off(&down_to).into_values().rev());
        self.check_stopped()?;
        left.below = down_to;
        if let Some(gathered) = self.gathered.as_ref().filter(|gathered| gathered.is_for(&wanted, down_to)) {
            left.looked = gathered.told(down_to);
        }
        Ok(looked)
    }

    /// Checks the lines in `part` that the index proposes, among these places. `None` if the index cannot be used.
    fn ask_by_time(
        &mut self,
        wanted: &Wanted<'_>,
        part: Range<u64>,
        among: Range<Key>,
    ) -> Result<Option<Found>, SearchError> {
        let mut found = Found { hits: BTreeMap::new(), down_to: among.start, looked: 0 };
        if part.is_empty() || among.is_empty() {
            return Ok(Some(found));
        }
        let Some(view) = &mut self.view else { return Ok(None) };
        let mut candidates: Vec<(Key, Candidate)> = Vec::new();
        let asked =
            view.candidates_by_time(wanted.filter, wanted.first, part, among, &mut |candidate, key| {
                candidates.push((wanted.first.turn(key), candidate));
                found.looked += 1;
                let flow = wanted.flow(candidates.len(), found.looked);
                if flow.is_break() {
                    found.down_to = wanted.first.turn(key);
                }
                flow
            });
        if let Err(error) = asked {
            self.lose_index(error);
            return Ok(None);
        }
        for (number, (place, candidate)) in candidates.into_iter().enumerate() {
            let line = self.line(candidate)?;
            let hit = line.and_then(|line| wanted.hit(&self.origin, candidate.index, &line));
            found.hits.extend(hit.map(|hit| (place, hit)));
            // These lines are slow to read: a short answer is better than a late one. But each answer makes progress.
            if number + 1 >= LINES_AT_LEAST && wanted.is_late() {
                found.down_to = found.down_to.max(place);
                break;
            }
        }
        Ok(Some(found))
    }

    /// Reads the lines of `part`, each once per walk, and returns the first matches below a place.
    fn scan_by_time(
        &mut self,
        wanted: &Wanted<'_>,
        part: Range<u64>,
        left: &mut Left,
    ) -> Result<Found, SearchError> {
        let mut found = Found { hits: BTreeMap::new(), down_to: NONE_BELOW, looked: 0 };
        if part.is_empty() {
            return Ok(found);
        }
        let mut gathered = Gathered::of(self.gathered.take(), wanted, &part, left, self.matches_max);
        while !gathered.is_enough(&part, left.below, wanted.chunk) {
            let Some(lines) = gathered.next_lines(&part) else { break };
            found.looked += self.gather(wanted, lines, &mut gathered)?;
            self.check_stopped()?;
            if wanted.is_late() {
                break;
            }
        }
        found.down_to = gathered.down_to(&part).min(left.below);
        let is_left = |place: &Key| left.indexes.contains(&wanted.first.turn(*place).1);
        let places = gathered.known(found.down_to, left.below).filter(is_left).take(wanted.chunk);
        let places: Vec<Key> = places.collect();
        if let Some(last) = places.last().filter(|_| places.len() == wanted.chunk) {
            found.down_to = *last;
        }
        // These lines are slow to read: a short answer is better than a late one.
        let at_once = if wanted.deadline.is_some() { FEW_LINES } else { places.len().max(1) };
        for some in places.chunks(at_once) {
            self.read_again(wanted, some, &mut found.hits)?;
            if let Some(last) = some.last().filter(|_| wanted.is_late()) {
                found.down_to = found.down_to.max(*last);
                break;
            }
        }
        self.gathered = Some(gathered);
        Ok(found)
    }

    /// Reads consecutive lines. Returns how many were read: none if their known times are enough.
    fn gather(
        &mut self,
        wanted: &Wanted<'_>,
        lines: Range<u64>,
        gathered: &mut Gathered,
    ) -> Result<u64, SearchError> {
        let number = lines.start / BLOCK_LINES;
        if let Some(&(earliest, latest)) = self.blocks.get(&number) {
            let (one, other) = (wanted.first.turn((earliest, 0)), wanted.first.turn((latest, u64::MAX)));
            if !gathered.wants_any(one.min(other), one.max(other)) {
                gathered.pass(&lines, None);
                return Ok(0);
            }
        }
        let (mut earliest, mut latest, mut begun, mut seen) = (i64::MAX, i64::MIN, None, 0);
        self.reader.for_each(lines.clone(), &mut |index: Index, line: &[u8]| {
            seen += 1;
            if begun.is_none() {
                begun = parse_front(line).map(|front| front.recorded.as_micros());
            }
            if let Some(time) = effective_time(line) {
                let time = time.as_micros();
                (earliest, latest) = (earliest.min(time), latest.max(time));
                let place = wanted.first.turn((time, index.get()));
                if gathered.wants(place) && wanted.filter.accepts(line) {
                    gathered.add(place);
                }
            }
            ControlFlow::Continue(())
        })?;
        if seen == BLOCK_LINES {
            self.blocks.insert(number, (earliest, latest));
        }
        gathered.pass(&lines, begun);
        Ok(seen)
    }

    /// Reads the lines at these places, in the order of their position in the file.
    fn read_again(
        &mut self,
        wanted: &Wanted<'_>,
        places: &[Key],
        hits: &mut BTreeMap<Key, Hit>,
    ) -> Result<(), SearchError> {
        let mut indexes: Vec<u64> = places.iter().map(|place| wanted.first.turn(*place).1).collect();
        indexes.sort_unstable();
        let origin = self.origin.clone();
        for near in indexes.chunk_by(|one, next| next - one < NEAR_LINES) {
            let (Some(first), Some(last)) = (near.first(), near.last()) else { continue };
            self.check_stopped()?;
            let mut rest = near.iter().peekable();
            self.reader.for_each(*first..last.saturating_add(1), &mut |index, line| {
                if rest.next_if_eq(&&index.get()).is_some() {
                    let hit = wanted.hit(&origin, index, line);
                    let hit = hit.map(|hit| (place_of(&hit, wanted.first), hit));
                    // A place from a cursor is only a hint.
                    hits.extend(
                        hit.filter(|(place, _)| places.binary_search_by(|other| place.cmp(other)).is_ok()),
                    );
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }
}

/// A hit's place in its trail by time, counted from this end.
pub(super) fn place_of(hit: &Hit, first: First) -> Key {
    first.turn((hit.time.as_micros(), hit.index.get()))
}
