//! Matches of one trail in the order of time: what the index has not got yet is scanned, the rest is asked of the index.
//!
//! Places are turned here (`First::turn`), so that both orders go downward. What must hold: after each step everything of
//! both parts that lies above the place reached was given.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Instant;

use trailseal_core::Index;
use trailseal_core::filter::Filter;
use trailseal_core::line::{effective_time, parse_front};

use super::left::NONE_BELOW;
use super::member::{Member, Wanted};
use super::{Hit, Left, SearchError};
use crate::view::Key;
use crate::{Candidate, First};

/// Lines that share one note of their earliest and latest time, once they were scanned.
const BLOCK_LINES: u64 = 1_024;

/// What was found, by turned place.
struct Found {
    hits: BTreeMap<Key, Hit>,
    /// Everything at this place and above was looked at.
    down_to: Key,
    looked: u64,
}

impl Member {
    /// As [`matches`](Member::matches), by time.
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
        let scanned = self.scan_by_time(&wanted, unindexed, left.below)?;
        let among = scanned.down_to..left.below;
        let Found { mut hits, down_to, looked } =
            match self.ask_by_time(&wanted, all.start..indexed, among)? {
                Some(mut proposed) => {
                    proposed.hits.extend(scanned.hits);
                    proposed.looked += scanned.looked;
                    proposed
                }
                // The index was rebuilt or damaged meanwhile. Answers go on, slower and the same.
                None => self.scan_by_time(&wanted, all, left.below)?,
            };
        found.extend(hits.split_off(&down_to).into_values().rev());
        self.check_stopped()?;
        left.below = down_to;
        Ok(looked)
    }

    /// Looks at the lines in `part` that the index proposes, among these places. `None` if it cannot be asked.
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
        for (place, candidate) in candidates {
            let line = self.line(candidate)?;
            let hit = line.and_then(|line| wanted.hit(&self.origin, candidate.index, &line));
            found.hits.extend(hit.map(|hit| (place, hit)));
            // Lines that are slow to come by: better a short answer than a late one.
            if wanted.is_late() {
                found.down_to = found.down_to.max(place);
                break;
            }
        }
        Ok(Some(found))
    }

    /// Looks at every line of `part`, for the matches that come first below a place.
    fn scan_by_time(
        &mut self,
        wanted: &Wanted<'_>,
        part: Range<u64>,
        below: Key,
    ) -> Result<Found, SearchError> {
        let mut found = Found { hits: BTreeMap::new(), down_to: NONE_BELOW, looked: 0 };
        let numbers = part.start / BLOCK_LINES..part.end.div_ceil(BLOCK_LINES);
        let numbers: Box<dyn Iterator<Item = u64>> = match wanted.first {
            _ if part.is_empty() => return Ok(found),
            First::Newest => Box::new(numbers.rev()),
            First::Oldest => Box::new(numbers),
        };
        for number in numbers {
            // The least of what is kept, once that is as much as is wanted.
            let least = found.hits.first_key_value().map(|(least, _)| *least);
            let least = least.filter(|_| found.hits.len() >= wanted.chunk);
            if let Some(&(earliest, latest)) = self.blocks.get(&number) {
                let (best, worst) = match wanted.first {
                    First::Newest => ((latest, u64::MAX), (earliest, 0)),
                    First::Oldest => ((earliest, 0), (latest, u64::MAX)),
                };
                if wanted.first.turn(worst) >= below {
                    continue;
                }
                if least.is_some_and(|least| wanted.first.turn(best) < least) {
                    found.down_to = found.down_to.max(least.unwrap_or(NONE_BELOW));
                    continue;
                }
            }
            let whole = number * BLOCK_LINES..(number + 1) * BLOCK_LINES;
            let lines = whole.start.max(part.start)..whole.end.min(part.end);
            let Some(begun) = self.scan_block(wanted, number, lines, below, &mut found)? else { continue };
            self.check_stopped()?;
            // An event is never later than it was recorded: none of those before this block.
            let highest = (begun, u64::MAX);
            if wanted.first == First::Newest && whole.start > part.start {
                let is_full = found.hits.len() >= wanted.chunk;
                let is_all =
                    is_full && found.hits.first_key_value().is_some_and(|(least, _)| *least > highest);
                if is_all || (highest < below && wanted.is_late()) {
                    found.down_to = found.down_to.max(highest);
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Looks at the lines of one block, and keeps the matches that come first. Gives when the first line was recorded.
    fn scan_block(
        &mut self,
        wanted: &Wanted<'_>,
        number: u64,
        lines: Range<u64>,
        below: Key,
        found: &mut Found,
    ) -> Result<Option<i64>, SearchError> {
        let (mut earliest, mut latest, mut begun, mut seen) = (i64::MAX, i64::MIN, None, 0);
        let origin = self.origin.clone();
        self.reader.for_each(lines, &mut |index: Index, line: &[u8]| {
            seen += 1;
            if begun.is_none() {
                begun = parse_front(line).map(|front| front.recorded.as_micros());
            }
            if let Some(time) = effective_time(line) {
                let time = time.as_micros();
                (earliest, latest) = (earliest.min(time), latest.max(time));
                let place = wanted.first.turn((time, index.get()));
                let is_kept = place < below && place > found.down_to;
                if let Some(hit) = wanted.hit(&origin, index, line).filter(|_| is_kept) {
                    found.hits.insert(place, hit);
                    if found.hits.len() > wanted.chunk {
                        found.hits.pop_first();
                        // What was taken away comes below this one.
                        let least = found.hits.first_key_value().map(|(least, _)| *least);
                        found.down_to = least.unwrap_or(found.down_to);
                    }
                }
            }
            std::ops::ControlFlow::Continue(())
        })?;
        found.looked += seen;
        if seen == BLOCK_LINES {
            self.blocks.insert(number, (earliest, latest));
        }
        Ok(begun)
    }
}
