//! The ids in a trail's closed ranges, which the trail itself looks up one at a time.
//!
//! Only closed ranges are consulted: their files never change, and their answers about a trail's events stay true. So
//! they are kept open, and rebuilding or removing the index invalidates nothing. The open range has few ids, which are
//! in the trail's memory. What must hold: the id of every event in a known range is found.

use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;
use trailseal_core::deliver::Position;
use trailseal_core::{Known, KnownIds, KnownIdsError};
use trailseal_event::Index;

use crate::error::IndexError;
use crate::indexer::IndexOptions;
use crate::range::{IdFilter, RangeFile, may_keep};
use crate::schema::{Hasher, KEY_ID};
use crate::store::{Main, RangeRow};

/// How many ranges' files are kept open: those of 64 million events, or fewer if the limit on open files is low. Files
/// of further ranges are opened on demand.
const OPEN_RANGES_MAX: usize = 256;
/// Reading all of a range's ids takes about as long as this many look-ups. After that many, a filter is built from
/// them.
const LOOK_UPS_BEFORE_FILTER: u32 = 500;
/// How many ranges can have a filter, of 300 KiB for 250,000 ids: those of 100 million events.
const FILTERS_MAX: usize = 400;

/// What a trail's index knows about ids, for [`Trail::look_ids_up_in`](trailseal_core::Trail::look_ids_up_in).
pub struct IndexedIds {
    folder: PathBuf,
    origin: String,
    look_every: u64,
    /// In order. Each begins where the previous one ends, or earlier.
    ranges: Vec<Range>,
}

struct Range {
    row: RangeRow,
    hasher: Hasher,
    file: Option<RangeFile>,
    look_ups: u32,
    filter: Option<IdFilter>,
}

impl IndexedIds {
    /// For the index in `folder`, usually `<trail>/index`, which is written with these options.
    pub fn new(folder: impl AsRef<Path>, options: &IndexOptions) -> IndexedIds {
        IndexedIds {
            folder: folder.as_ref().to_owned(),
            origin: options.origin.clone(),
            look_every: (options.range_events as u64 / 4).max(1),
            ranges: Vec::new(),
        }
    }

    fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |range| range.row.end())
    }

    /// Closes the files that are kept open, if that may help.
    fn should_try_again<T>(&mut self, looked: &Result<T, IndexError>) -> bool {
        let is_short = looked.as_ref().is_err_and(IndexError::may_be_shortage);
        if is_short {
            self.ranges.iter_mut().for_each(|range| range.file = None);
        }
        is_short
    }

    /// Adds ranges that were closed since the last call.
    fn take_in(&mut self) -> Result<Known, IndexError> {
        let mut position = Position::default();
        if let Some(main) = Main::open_read_only(&self.folder, &self.origin)? {
            let (state, hasher) = main.state_and_hasher()?;
            position = Position { cursor: Index::new(state.delivered), last_leaf: state.last_leaf };
            for row in state.ranges {
                // The ranges of a rebuilt index may have other bounds.
                if row.end() > self.end() {
                    let file = RangeFile::open_in(&self.folder, &row, hasher)?;
                    let is_kept = self.ranges.len() < OPEN_RANGES_MAX && may_keep();
                    let has_filter = !is_kept && self.ranges.len() < FILTERS_MAX;
                    let filter = has_filter.then(|| file.id_filter()).transpose()?;
                    let file = is_kept.then_some(file);
                    self.ranges.push(Range { row, hasher, file, look_ups: 0, filter });
                }
            }
        }
        Ok(Known { end: Index::new(self.end()), position })
    }

    fn find_in_ranges(&mut self, id: &str, found: &mut Vec<Index>) -> Result<(), IndexError> {
        let mut hashed: Option<(u64, u64)> = None;
        for (at, range) in self.ranges.iter_mut().enumerate() {
            let hash = match hashed {
                Some((seed, hash)) if seed == range.hasher.seed => hash,
                _ => range.hasher.key(KEY_ID, id),
            };
            hashed = Some((range.hasher.seed, hash));
            let rows = range.rows(&self.folder, hash, at < FILTERS_MAX)?;
            found.extend(rows.iter().map(|row| Index::new(range.row.lo + u64::from(row))));
        }
        Ok(())
    }
}

impl Range {
    /// The ranges that can have the id with this hash.
    fn rows(&mut self, folder: &Path, hash: u64, may_have_filter: bool) -> Result<RoaringBitmap, IndexError> {
        let mut rows = RoaringBitmap::new();
        if self.filter.as_ref().is_some_and(|filter| !filter.may_have(hash)) {
            return Ok(rows);
        }
        let Some(file) = &self.file else {
            RangeFile::open_in(folder, &self.row, self.hasher)?.add_key(KEY_ID, hash, &mut rows)?;
            return Ok(rows);
        };
        file.add_key(KEY_ID, hash, &mut rows)?;
        self.look_ups = self.look_ups.saturating_add(1);
        if self.look_ups == LOOK_UPS_BEFORE_FILTER && may_have_filter {
            self.filter = Some(file.id_filter()?);
        }
        Ok(rows)
    }
}

impl KnownIds for IndexedIds {
    fn look(&mut self) -> Result<Known, KnownIdsError> {
        let looked = self.take_in();
        Ok(if self.should_try_again(&looked) { self.take_in() } else { looked }?)
    }

    fn find(&mut self, id: &str, found: &mut Vec<Index>) -> Result<(), KnownIdsError> {
        let before = found.len();
        let looked = self.find_in_ranges(id, found);
        if self.should_try_again(&looked) {
            found.truncate(before);
            return Ok(self.find_in_ranges(id, found)?);
        }
        Ok(looked?)
    }

    fn look_every(&self) -> u64 {
        self.look_every
    }
}
