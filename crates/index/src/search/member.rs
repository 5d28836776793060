//! One trail of a search: its lines, and its index if there is one.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use trailseal_core::file::Files;
use trailseal_core::{LineAt, Reader, load_mask_key};
use trailseal_event::filter::Filter;
use trailseal_event::line::parse_front;
use trailseal_event::mask::MaskKey;
use trailseal_event::{Hit, Index, Timestamp};

use super::error::{SearchError, TellTrouble};
use super::gathered::{Gathered, MATCHES_MAX};
use super::remaining::Left;
use super::wanted::Wanted;
use crate::{By, Candidate, FOLDER, First, IndexError, IndexView, Order};

/// This many lines that the index proposes are checked however late it is: a search that runs out of time continues
/// from there.
pub(super) const LINES_AT_LEAST: usize = 256;

/// One trail.
pub(super) struct Member {
    pub(super) origin: Arc<str>,
    pub(super) reader: Reader,
    /// `None` if there is no index or it cannot be read: then everything is scanned.
    pub(super) view: Option<IndexView>,
    pub(super) line_at: LineAt,
    /// What the last scan by time found.
    pub(super) gathered: Option<Gathered>,
    pub(super) matches_max: usize,
    /// The earliest and latest time of scanned blocks of lines, by block number.
    pub(super) blocks: HashMap<u64, (i64, i64)>,
    /// Hashes filter values as masking does; `None` if the key is missing or unreadable.
    key: Option<MaskKey>,
    /// Why an existing index cannot be used, until it is reported.
    trouble: Option<IndexError>,
    told: Option<Arc<TellTrouble>>,
    /// Set when nobody wants an answer any more.
    pub(super) stopped: Arc<AtomicBool>,
}

impl Member {
    pub(super) fn open(folder: &Path, files: &Arc<dyn Files>) -> Result<Member, SearchError> {
        let reader = Reader::open(folder, files.clone())?;
        let (line_at, stopped) = (LineAt::default(), Arc::default());
        let origin = reader.origin().into();
        let (blocks, key) = (HashMap::new(), None);
        let mut member = Member {
            origin,
            reader,
            view: None,
            line_at,
            gathered: None,
            matches_max: MATCHES_MAX,
            blocks,
            key,
            trouble: None,
            told: None,
            stopped,
        };
        member.look_at_index();
        member.look_for_key();
        Ok(member)
    }

    pub(super) fn refresh(&mut self) -> Result<(), SearchError> {
        self.reader.refresh()?;
        self.line_at = LineAt::default();
        self.look_at_index();
        self.look_for_key();
        Ok(())
    }

    fn look_for_key(&mut self) {
        if self.key.is_none() {
            self.key = load_mask_key(self.reader.folder()).ok().flatten();
        }
    }

    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The filter in terms of what this trail's lines hold.
    pub(super) fn as_stored(&self, filter: &Filter) -> Filter {
        filter.as_stored(self.key.as_ref())
    }

    fn look_at_index(&mut self) {
        let is_good = self.view.as_mut().is_some_and(|view| view.refresh().is_ok());
        if !is_good {
            let folder = self.reader.folder().root().join(FOLDER);
            // Without it, answers are slower but the same.
            self.view = match IndexView::open(&folder, &self.origin) {
                Ok(view) => view,
                Err(error) => {
                    self.note(error);
                    None
                }
            };
        }
    }

    /// From now on, `tell` is called when the index cannot be used, and now if it already could not be.
    pub(super) fn tell_trouble(&mut self, tell: &Arc<TellTrouble>) {
        self.told = Some(tell.clone());
        if let Some(error) = self.trouble.take() {
            tell(&error);
        }
    }

    /// An index that only a rebuild helps. One that is being rebuilt is not a problem.
    pub(super) fn note(&mut self, error: IndexError) {
        match &self.told {
            _ if !error.needs_reindex() => {}
            Some(tell) => tell(&error),
            None => self.trouble = Some(error),
        }
    }

    pub(super) fn check_stopped(&self) -> Result<(), SearchError> {
        if self.stopped.load(Ordering::Relaxed) { Err(SearchError::Stopped) } else { Ok(()) }
    }

    /// The index after the last readable line.
    pub(super) fn end(&self) -> u64 {
        self.reader.end().get()
    }

    /// Everything below is in the index.
    pub(super) fn indexed(&self) -> u64 {
        self.view.as_ref().map_or(0, |view| view.cursor().get().min(self.end()))
    }

    /// Adds up to about `chunk` matches from `left` to `found`, in order, and removes what was checked from `left`.
    /// Returns how many events were passed over.
    pub(super) fn matches(
        &mut self,
        filter: &Filter,
        order: Order,
        left: &mut Left,
        chunk: usize,
        deadline: Option<Instant>,
        found: &mut VecDeque<Hit>,
    ) -> Result<u64, SearchError> {
        if order.by == By::Time {
            return self.matches_by_time(filter, order.first, left, chunk, deadline, found);
        }
        let left = &mut left.indexes;
        let before = left.end - left.start;
        let indexed = if filter.has_columns() { self.indexed() } else { 0 };
        if cfg!(trailseal_fault = "tail_not_searched") && filter.has_columns() {
            left.end = left.end.min(indexed.max(left.start));
        }
        self.check_stopped()?;
        let first = order.first;
        let wanted = Wanted { filter, first, chunk, deadline, stopped: &self.stopped.clone() };
        let (part, is_indexed) = match first {
            First::Newest if left.end > indexed => (left.start.max(indexed)..left.end, false),
            First::Oldest if left.start >= indexed => (left.clone(), false),
            First::Oldest => (left.start..left.end.min(indexed), true),
            First::Newest => (left.clone(), true),
        };
        let rest = match is_indexed {
            true => self.by_index(&wanted, part, found)?,
            false => self.by_scan(&wanted, part, found)?,
        };
        match first {
            First::Newest if rest.is_empty() => left.end = rest.start.max(left.start),
            First::Newest => left.end = rest.end,
            First::Oldest => left.start = rest.start,
        }
        Ok(before - (left.end - left.start))
    }

    /// Checks every line of `part`. Returns what of it was not checked.
    fn by_scan(
        &mut self,
        wanted: &Wanted<'_>,
        part: Range<u64>,
        found: &mut VecDeque<Hit>,
    ) -> Result<Range<u64>, SearchError> {
        let (mut rest, origin) = (part.clone(), self.origin.clone());
        let mut looked = 0;
        let mut look = |index: Index, line: &[u8]| {
            match wanted.first {
                First::Newest => rest.end = index.get(),
                First::Oldest => rest.start = index.get() + 1,
            }
            found.extend(wanted.hit(&origin, index, line));
            looked += 1;
            wanted.flow(found.len(), looked)
        };
        let ends = part.clone();
        match wanted.first {
            First::Newest => self.reader.for_each_newest_first(part, &mut look)?,
            First::Oldest => self.reader.for_each(part, &mut look)?,
        }
        // There was nothing to check: it is done.
        Ok(match wanted.first {
            _ if looked > 0 => rest,
            First::Newest => ends.start..ends.start,
            First::Oldest => ends.end..ends.end,
        })
    }

    /// Checks the lines in `part` that the index proposes.
    fn by_index(
        &mut self,
        wanted: &Wanted<'_>,
        part: Range<u64>,
        found: &mut VecDeque<Hit>,
    ) -> Result<Range<u64>, SearchError> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let (mut looked, mut is_cut) = (0, false);
        let proposed = match &mut self.view {
            Some(view) => {
                view.candidates(wanted.filter, wanted.by_recorded(), part.clone(), &mut |candidate| {
                    candidates.push(candidate);
                    looked += 1;
                    let flow = wanted.flow(candidates.len(), looked);
                    is_cut = flow.is_break();
                    flow
                })
            }
            None => return self.by_scan(wanted, part, found),
        };
        if let Err(error) = proposed {
            return self.without_index(error, wanted, part, found);
        }
        let mut last = candidates.last().filter(|_| is_cut).map(|candidate| candidate.index.get());
        for (number, candidate) in candidates.into_iter().enumerate() {
            let line = self.line(candidate)?;
            found.extend(line.and_then(|line| wanted.hit(&self.origin, candidate.index, &line)));
            // These lines are slow to read: a short answer is better than a late one. But each answer makes progress.
            if number + 1 >= LINES_AT_LEAST && wanted.is_late() {
                last = Some(candidate.index.get());
                break;
            }
        }
        Ok(match (wanted.first, last) {
            (First::Newest, Some(last)) => part.start..last,
            (First::Oldest, Some(last)) => last + 1..part.end,
            (First::Newest, None) => part.start..part.start,
            (First::Oldest, None) => part.end..part.end,
        })
    }

    /// The index was rebuilt or damaged meanwhile. Answers stay the same, but slower.
    fn without_index(
        &mut self,
        error: IndexError,
        wanted: &Wanted<'_>,
        part: Range<u64>,
        found: &mut VecDeque<Hit>,
    ) -> Result<Range<u64>, SearchError> {
        self.lose_index(error);
        self.by_scan(wanted, part, found)
    }

    pub(super) fn lose_index(&mut self, error: IndexError) {
        self.view = None;
        if !error.needs_reindex() {
            self.look_at_index();
        }
        self.note(error);
    }

    pub(super) fn line(&mut self, candidate: Candidate) -> Result<Option<Vec<u8>>, SearchError> {
        Ok(self.line_at.get(&mut self.reader, candidate.index, candidate.place)?)
    }

    /// The indexes of events recorded within the filter's bounds. A few lines tell, since `recorded` never goes back.
    /// `None` if the filter has no such bounds, or one of those lines cannot be read.
    pub(super) fn recorded_range(&mut self, filter: &Filter) -> Result<Option<Range<u64>>, SearchError> {
        if filter.recorded_since.is_none() && filter.recorded_until.is_none() {
            return Ok(None);
        }
        let end = self.end();
        let mut edge = |time: Option<Timestamp>, open: u64| -> Result<Option<u64>, SearchError> {
            let Some(time) = time else { return Ok(Some(open)) };
            let (mut low, mut high) = (0, end);
            while low < high {
                let middle = low.midpoint(high);
                // The next one that is left, if it was retired.
                let Some(line) = self.reader.line_from(Index::new(middle))? else {
                    high = middle;
                    continue;
                };
                let Some(front) = parse_front(&line) else { return Ok(None) };
                if front.recorded < time { low = middle.max(front.index) + 1 } else { high = middle }
            }
            Ok(Some(low))
        };
        let (from, to) = (edge(filter.recorded_since, 0)?, edge(filter.recorded_until, end)?);
        Ok(from.zip(to).map(|(from, to)| from..to.max(from)))
    }

    pub(super) fn is_asked_for(&self, filter: &Filter) -> bool {
        filter.origin.is_empty() || filter.origin.iter().any(|origin| **origin == *self.origin)
    }
}
