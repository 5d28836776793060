//! The reading side: answers filters, from any process, beside a running writer.
//!
//! In: a [`Filter`] and bounds. Out: indexes with the places of their lines, counts, facets, histograms. What must
//! hold: no event below the cursor that [`Filter::accept`] takes is left out; answers given without reading lines are
//! exact.

mod by_time;
mod check;
mod order;
mod plan;
mod rowset;
mod summary;
mod tail;

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use trailseal_core::Place;
use trailseal_event::Index;
use trailseal_event::filter::Filter;

pub use check::RangeCheck;
pub(crate) use order::{Key, Turn, after};
pub(crate) use summary::Wanted;
pub use summary::{Count, Facets};
pub use trailseal_event::count::{FacetField, HISTOGRAM_BUCKETS_MAX};
pub use trailseal_event::{By, First, Order};

use crate::dictionary::Dictionary;
use crate::error::IndexError;
use crate::range::{HeldBlock, RangeFile, may_keep};
use crate::rows::{Rows, segment_of};
use crate::schema::{Coded, DICTIONARIES, Hasher};
use crate::store::{Main, RangeRow, State, main_path, stillness};
use plan::Plan;
use rowset::RowSet;

/// Up to this many range files are kept open.
const OPEN_RANGES_MAX: usize = 256;
/// The open range is searched in steps of this many rows.
const TAIL_STEP_ROWS: u32 = 8_192;

/// An event that can match, and where its line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The event.
    pub index: Index,
    /// Its line.
    pub place: Place,
}

/// Where a field's values are.
fn column_of(field: FacetField) -> Coded {
    match field {
        FacetField::Tenant => Coded::Tenant,
        FacetField::Actor => Coded::Actor,
        FacetField::Action => Coded::Action,
        FacetField::Category => Coded::Category,
        FacetField::ResourceType => Coded::Kind,
        FacetField::Outcome => Coded::Outcome,
        FacetField::Severity => Coded::Severity,
        FacetField::Ip => Coded::Ip,
    }
}

/// Checks a candidate's line if the columns alone cannot decide: returns whether it matches, or breaks to stop.
pub type Checker<'a> = dyn FnMut(Candidate) -> ControlFlow<(), bool> + 'a;

/// The reading side of a trail's index. It stands still until [`refresh`](IndexView::refresh).
///
/// ```
/// use std::ops::ControlFlow;
/// use trailseal_core::deliver::{Batch, BatchLine, Sink};
/// use trailseal_event::{Index, Timestamp};
/// use trailseal_event::filter::Filter;
/// use trailseal_index::{IndexOptions, IndexView, Indexer, Order};
///
/// let folder = tempfile::tempdir()?;
/// let folder = folder.path().join("index");
/// let line = br#"{"v":1,"index":0,"recorded":"2026-01-02T03:04:05.000006Z","id":"a","action":"invoice.pay"}"#;
/// let mut indexer = Indexer::open(&folder, IndexOptions::new("example.org/a"))?;
/// let line = BatchLine { index: Index::new(0), bytes: line, segment: Index::new(0), offset: 0 };
/// indexer.deliver(&Batch { first: Index::new(0), lines: &[line] })?;
///
/// let mut view = IndexView::open(&folder, "example.org/a")?.ok_or("no index")?;
/// let filter = Filter::from_pairs([("action", "invoice.*")], Timestamp::from_micros(0))?;
/// let mut found = Vec::new();
/// view.candidates(&filter, Order::NEWEST, 0..u64::MAX, &mut |candidate| {
///     found.push(candidate.index.get());
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(found, [0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct IndexView {
    folder: PathBuf,
    origin: String,
    main: Option<Opened>,
    state: State,
    hasher: Hasher,
    dictionaries: [Dictionary; DICTIONARIES],
    tail: Rows,
    files: HashMap<u64, RangeFile>,
    offsets: HeldBlock,
    /// The state of the main file when it was read while nobody wrote; all of it is in memory then.
    still: Option<(std::time::SystemTime, u64, u64)>,
}

/// The main file, and what distinguishes it from another one of the same name.
struct Opened {
    main: Main,
    inode: (u64, u64),
    version: i64,
}

/// A part of the index with its own row numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// A closed range, by its position in the list.
    Closed(usize),
    Tail,
}

impl IndexView {
    /// Opens the index in `folder`, usually `<trail>/index`, of the trail with this origin. `None` if there is none
    /// yet.
    ///
    /// # Errors
    /// When it is damaged or another trail's, or when the system or SQLite refuses.
    pub fn open(folder: impl AsRef<Path>, origin: &str) -> Result<Option<IndexView>, IndexError> {
        let mut view = IndexView {
            folder: folder.as_ref().to_owned(),
            origin: origin.to_owned(),
            main: None,
            state: State::new(),
            hasher: Hasher { seed: 0 },
            dictionaries: Default::default(),
            tail: Rows::default(),
            files: HashMap::new(),
            offsets: HeldBlock::default(),
            still: None,
        };
        view.refresh()?;
        Ok(view.main.is_some().then_some(view))
    }

    /// Everything below is indexed, as of the last refresh.
    pub fn cursor(&self) -> Index {
        Index::new(self.state.cursor)
    }

    /// Picks up what was indexed since, and notices if the index was rebuilt. If it is gone, nothing is indexed.
    ///
    /// # Errors
    /// As [`open`](IndexView::open).
    pub fn refresh(&mut self) -> Result<(), IndexError> {
        let still = stillness(&self.folder);
        if still.is_some() {
            if still != self.still {
                self.forget();
                self.open_main(Main::open_still)?;
            }
            // It was read while nobody wrote, so it is complete.
            if stillness(&self.folder) == still {
                self.still = still;
                return Ok(());
            }
        }
        if self.still.take().is_some() {
            self.forget();
        }
        let path = main_path(&self.folder);
        let inode = std::fs::metadata(&path).ok().map(|found| (found.dev(), found.ino()));
        if self.main.as_ref().map(|opened| opened.inode) != inode || inode.is_none() {
            self.forget();
            return self.open_main(Main::open_read_only);
        }
        self.read_main().inspect_err(|_| self.forget())
    }

    fn open_main(
        &mut self,
        open: impl FnOnce(&Path, &str) -> Result<Option<Main>, IndexError>,
    ) -> Result<(), IndexError> {
        let found = std::fs::metadata(main_path(&self.folder)).ok();
        let Some(inode) = found.map(|found| (found.dev(), found.ino())) else { return Ok(()) };
        let Some(main) = open(&self.folder, &self.origin)? else { return Ok(()) };
        self.hasher = main.hasher()?;
        self.main = Some(Opened { main, inode, version: -1 });
        self.read_main().inspect_err(|_| self.forget())
    }

    fn forget(&mut self) {
        self.main = None;
        self.state = State::new();
        self.dictionaries = Default::default();
        self.tail = Rows::default();
        self.files.clear();
        self.offsets = HeldBlock::default();
    }

    /// Reads what the main file has beyond memory, all as of one moment.
    fn read_main(&mut self) -> Result<(), IndexError> {
        let Some(opened) = &mut self.main else { return Ok(()) };
        let main = &opened.main;
        let failed = crate::error::sqlite_at(&main.path);
        let version: i64 =
            main.connection.query_row("PRAGMA data_version", [], |row| row.get(0)).map_err(&failed)?;
        if version == opened.version {
            return Ok(());
        }
        let moment = main.connection.unchecked_transaction().map_err(&failed)?;
        let state = main.state()?;
        main.load_values(&state, self.dictionaries.each_mut())?;
        if state.cleared != self.state.cleared {
            // Files of ranges were replaced by others of the same name, and blobs by others.
            self.files.clear();
            self.tail = Rows::default();
            self.offsets = HeldBlock::default();
        }
        let closed_end = state.closed_end();
        if self.tail.lo != closed_end || self.tail.end() > state.cursor {
            self.tail = Rows::new(closed_end);
        }
        let tail = &mut self.tail;
        main.tail_from(tail.end(), |first, n, blob| {
            let unread = || main.damaged("a blob of its tail cannot be read");
            if first + u64::from(n) <= tail.end() {
                return Ok(());
            }
            let more =
                Rows::decode(first, blob).filter(|more| more.len() == n as usize).ok_or_else(unread)?;
            let from = tail.end().checked_sub(first).ok_or_else(unread)?;
            tail.append(&more, from as usize);
            Ok(())
        })?;
        if tail.end() != state.cursor {
            return Err(main.damaged("its tail does not end at its cursor"));
        }
        moment.finish().map_err(&failed)?;
        opened.version = version;
        self.state = state;
        Ok(())
    }

    /// Calls `each` with every candidate in `bounds`, in order, until it breaks. [`Filter::accept`] decides with the
    /// line whether it matches: values kept as hashes can, rarely, be mistaken, and `text` is not checked here. Nothing
    /// that matches is left out.
    ///
    /// # Errors
    /// When a file cannot be read; [`IndexError::Replaced`] if the index was rebuilt since the last refresh.
    pub fn candidates(
        &mut self,
        filter: &Filter,
        order: Order,
        bounds: Range<u64>,
        each: &mut dyn FnMut(Candidate) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        if order.by == By::Time {
            return self.candidates_by_time(filter, order.first, bounds, order::ALL, &mut |candidate, _| {
                each(candidate)
            });
        }
        let Some(plan) = self.plan(filter) else { return Ok(()) };
        for (piece, rows) in self.pieces(&plan, bounds, order.first) {
            if self.candidates_of(piece, rows, &plan, order.first, each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn candidates_of(
        &mut self,
        piece: Piece,
        rows: Range<u32>,
        plan: &Plan,
        first: First,
        each: &mut dyn FnMut(Candidate) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, IndexError> {
        for rows in steps(piece, rows, first) {
            let found = self.rows_of(piece, rows, plan)?.all;
            let mut ahead = found.iter();
            while let Some(row) = if first == First::Oldest { ahead.next() } else { ahead.next_back() } {
                if each(self.candidate(piece, row)?).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Where the line of an event is; `None` if it is not indexed.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn place(&mut self, index: Index) -> Result<Option<Place>, IndexError> {
        let at = index.get();
        if at >= self.state.cursor {
            return Ok(None);
        }
        let after = self.state.ranges.partition_point(|range| range.lo <= at);
        let piece = match after.checked_sub(1) {
            Some(range) if at < self.state.closed_end() => Piece::Closed(range),
            _ => Piece::Tail,
        };
        let row = at - self.extent(piece).start;
        self.candidate(piece, row as u32).map(|candidate| Some(candidate.place))
    }

    fn plan(&self, filter: &Filter) -> Option<Plan> {
        Plan::new(filter, &self.dictionaries, self.hasher)
    }

    /// The pieces that `bounds` touch, in order, each with the rows to search.
    fn pieces(&self, plan: &Plan, bounds: Range<u64>, first: First) -> Vec<(Piece, Range<u32>)> {
        let from = bounds.start.max(plan.bounds.start);
        let to = bounds.end.min(plan.bounds.end).min(self.state.cursor);
        let closed = (0..self.state.ranges.len()).map(Piece::Closed);
        let touched = closed.chain([Piece::Tail]).filter_map(|piece| {
            let extent = self.extent(piece);
            let (from, to) = (from.max(extent.start), to.min(extent.end));
            (from < to).then(|| (piece, (from - extent.start) as u32..(to - extent.start) as u32))
        });
        let mut pieces: Vec<_> = touched.collect();
        if first == First::Newest {
            pieces.reverse();
        }
        pieces
    }

    /// The indexes in a piece.
    fn extent(&self, piece: Piece) -> Range<u64> {
        match piece {
            Piece::Tail => self.tail.lo..self.tail.end(),
            Piece::Closed(at) => {
                let range = self.range(at);
                range.lo..range.end()
            }
        }
    }

    /// The rows in `rows` that can match.
    fn rows_of(&mut self, piece: Piece, rows: Range<u32>, plan: &Plan) -> Result<RowSet, IndexError> {
        match piece {
            Piece::Tail => Ok(tail::rows(&self.tail, rows, plan)),
            Piece::Closed(at) => rowset::rows(self.file(at)?, rows, plan),
        }
    }

    fn candidate(&mut self, piece: Piece, row: u32) -> Result<Candidate, IndexError> {
        let index = Index::new(self.extent(piece).start + u64::from(row));
        let (segment, offset) = match piece {
            Piece::Tail => {
                (self.tail.segment(row), self.tail.offsets.get(row as usize).copied().unwrap_or_default())
            }
            Piece::Closed(at) => {
                let mut offsets = std::mem::take(&mut self.offsets);
                let file = self.file(at)?;
                let found = (segment_of(&file.head.segments, row), file.offset(row, &mut offsets)?);
                self.offsets = offsets;
                found
            }
        };
        Ok(Candidate { index, place: Place { segment: Index::new(segment), offset } })
    }

    fn range(&self, at: usize) -> RangeRow {
        self.state.ranges.get(at).copied().unwrap_or_default()
    }

    /// The file of a closed range, opened if necessary.
    fn file(&mut self, at: usize) -> Result<&RangeFile, IndexError> {
        let range = self.range(at);
        let has_room = self.files.len() < OPEN_RANGES_MAX && may_keep();
        if !has_room && !self.files.contains_key(&range.lo) {
            self.files.clear();
        }
        if !self.files.contains_key(&range.lo) {
            let file = match RangeFile::open_in(&self.folder, &range, self.hasher) {
                Err(error) if error.may_be_shortage() && !self.files.is_empty() => {
                    self.files.clear();
                    RangeFile::open_in(&self.folder, &range, self.hasher)?
                }
                opened => opened?,
            };
            self.files.insert(range.lo, file);
        }
        let missing = || IndexError::Replaced { path: crate::store::range_path(&self.folder, range.lo) };
        self.files.get(&range.lo).ok_or_else(missing)
    }
}

/// A closed range is searched as a whole, the open one step by step, since a page often ends early.
fn steps(piece: Piece, rows: Range<u32>, first: First) -> Vec<Range<u32>> {
    if piece != Piece::Tail {
        return vec![rows];
    }
    let begins = rows.clone().step_by(TAIL_STEP_ROWS as usize);
    let mut steps: Vec<_> = begins.map(|from| from..rows.end.min(from + TAIL_STEP_ROWS)).collect();
    if first == First::Newest {
        steps.reverse();
    }
    steps
}
