//! The writing side: a sink that stores batches of lines.
//!
//! A batch is one transaction: its rows as a blob, new dictionary values, the cursor and the last leaf hash. When the
//! open range is full, a thread builds a file from it, which is synced and named while the next range is filled; then
//! one transaction replaces the blobs by the file.

mod open;
mod options;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use trailseal_core::deliver::{Batch, BatchLine, Dropped, Gathering, Position, Sink, SinkError};
use trailseal_core::{Folder, RetiredSegment, is_retiring, retired_in};
use trailseal_event::Index;

use crate::error::{IndexError, io_at};
use crate::range;
use crate::rows::Rows;
use crate::store::{
    Main, State, new_range_path, range_path, remove, remove_strays, retired_around, sync_folder,
};

use open::Open;
pub use options::{BATCH_EVENTS_MAX, IndexOptions};

/// A commit takes as long as parsing hundreds of lines. Searches scan what is not indexed yet.
const GATHERING: Gathering = Gathering { events: 256, time: Duration::from_millis(100) };
/// Lines that are stored together are no further apart, retired ones between them included.
const EXTENT_MAX: u64 = 8_192;

/// The writing side of a trail's index. Only one process at a time may have it open: the one that holds the trail.
pub struct Indexer {
    folder: PathBuf,
    options: IndexOptions,
    main: Main,
    open: Open,
    /// Builds the file of the first full range.
    closing: Option<JoinHandle<Result<(), IndexError>>>,
    /// Something failed, so memory may differ from the disk: reload it before continuing.
    is_stale: bool,
}

impl Indexer {
    /// Opens the index in `folder`, usually `<trail>/index`, and creates it if there is none.
    ///
    /// # Errors
    /// When it is damaged or another trail's, or when the system or SQLite refuses.
    pub fn open(folder: impl AsRef<Path>, options: IndexOptions) -> Result<Indexer, IndexError> {
        let folder = folder.as_ref().to_owned();
        let main = match Main::open_or_create(&folder, &options.origin) {
            // Written by an earlier version: rebuilt, since everything in it is derived.
            Err(IndexError::Format { found, known, .. }) if found < known => {
                remove(&folder)?;
                Main::open_or_create(&folder, &options.origin)?
            }
            other => other?,
        };
        let open = Open::load(&main, &options)?;
        remove_strays(&folder, &open.state.ranges)?;
        Ok(Indexer { folder, options, main, open, closing: None, is_stale: false })
    }

    /// Everything below is indexed.
    pub fn cursor(&self) -> Index {
        Index::new(self.open.state.cursor)
    }

    /// Does `work`; if it fails, memory is reloaded from the disk before anything else.
    fn change<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, IndexError>) -> Result<T, IndexError> {
        if self.is_stale {
            if let Some(closing) = self.closing.take() {
                // Whatever came of it, it is built again.
                let _ = closing.join();
            }
            self.open = Open::load(&self.main, &self.options)?;
        }
        self.is_stale = true;
        let done = work(self)?;
        self.is_stale = false;
        Ok(done)
    }

    /// Continues closing full ranges, until at most `left` of them are left.
    fn close_ranges(&mut self, left: usize) -> Result<(), IndexError> {
        while let Some(rows) = self.open.full.front() {
            if cfg!(trailseal_fault = "index_range_written_late") {
                let rows = rows.clone();
                self.open.switch(&mut self.main)?;
                write_range(&self.folder, &rows, self.open.seed())?;
                continue;
            }
            let Some(closing) = self.closing.take() else {
                self.closing = Some(self.begin_to_close(rows.clone())?);
                continue;
            };
            if self.open.full.len() <= left && !closing.is_finished() {
                self.closing = Some(closing);
                break;
            }
            let panicked = |_| io_at("write", &self.folder)(std::io::Error::other("its thread panicked"));
            closing.join().map_err(panicked)??;
            self.open.switch(&mut self.main)?;
        }
        Ok(())
    }

    /// Makes the rows of each range again if more lines of its segments are retired than when they were made: then lines
    /// are gone, or elsewhere in their segment.
    fn make_again(&mut self, trail: &Folder, retired: &[RetiredSegment]) -> Result<(), IndexError> {
        self.close_ranges(0)?;
        let mut known = self.main.retired()?;
        let closed = self.open.state.ranges.iter().map(|range| range.lo..range.end());
        let open = self.open.open_lo()..self.open.next();
        for range in closed.chain(std::iter::once(open)).collect::<Vec<_>>() {
            let count = retired_around(retired, &range);
            if known.get(&range.start).copied().unwrap_or(0) == count {
                continue;
            }
            known.insert(range.start, count);
            let rows = self.open.rows_again(trail, range.clone())?;
            if range.start < self.open.open_lo() {
                write_range(&self.folder, &rows, self.open.seed())?;
            }
            self.open.replace(&mut self.main, rows, &known)?;
        }
        Ok(())
    }

    fn begin_to_close(&self, rows: Arc<Rows>) -> Result<JoinHandle<Result<(), IndexError>>, IndexError> {
        let (folder, seed) = (self.folder.clone(), self.open.seed());
        std::thread::Builder::new()
            .name("trailseal-index-close".to_owned())
            .spawn(move || write_range(&folder, &rows, seed))
            .map_err(io_at("start a thread for", &self.folder))
    }
}

/// Writes a range's file: complete and synced before it gets its name, and then the name is synced too.
fn write_range(folder: &Path, rows: &Rows, seed: u64) -> Result<(), IndexError> {
    let (new, path) = (new_range_path(folder, rows.lo), range_path(folder, rows.lo));
    range::write(rows, seed, &new)?;
    std::fs::rename(&new, &path).map_err(io_at("name", &path))?;
    sync_folder(folder)
}

impl Drop for Indexer {
    /// Waits for the thread, so that nothing is written after the trail was released.
    fn drop(&mut self) {
        let _ = self.change(|indexer| indexer.close_ranges(0));
        if let Some(closing) = self.closing.take() {
            let _ = closing.join();
        }
    }
}

impl Sink for Indexer {
    fn name(&self) -> &str {
        crate::SINK_NAME
    }

    fn position(&mut self) -> Result<Position, SinkError> {
        self.change(|_| Ok(()))?;
        let State { delivered, last_leaf, .. } = self.open.state;
        Ok(Position { cursor: Index::new(delivered), last_leaf })
    }

    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        self.change(|_| Ok(()))?;
        let cursor = Index::new(self.open.state.delivered);
        if batch.first != cursor {
            return Err(SinkError::Gap { first: batch.first, cursor });
        }
        let mut left = batch.lines;
        while let Some(first) = left.first().map(|line| line.index.get()) {
            while first.saturating_sub(self.open.next()) > EXTENT_MAX {
                self.change(|indexer| {
                    indexer.close_ranges(1)?;
                    indexer.open.store_retired(&mut indexer.main, first)
                })?;
            }
            let is_near = |line: &&BatchLine<'_>| line.index.get() - first < EXTENT_MAX;
            let count = left.iter().take(BATCH_EVENTS_MAX).take_while(is_near).count();
            let (lines, later) = left.split_at(count);
            self.change(|indexer| {
                // Two full ranges never wait at once, so memory is bounded.
                indexer.close_ranges(1)?;
                indexer.open.store(&mut indexer.main, lines)
            })?;
            left = later;
        }
        Ok(())
    }

    fn drop_retired(&mut self, trail: &Folder) -> Result<Dropped, SinkError> {
        let retired = retired_in(trail)?;
        // Asked after the lists were read: their lines may still be there, and would be noted as gone. Its end calls again.
        if is_retiring(trail)? || retired.is_empty() || cfg!(trailseal_fault = "index_keeps_retired") {
            return Ok(Dropped::All);
        }
        self.change(|indexer| indexer.make_again(trail, &retired))?;
        Ok(Dropped::All)
    }

    fn needs_all(&self) -> bool {
        false
    }

    fn batch_events_max(&self) -> usize {
        self.options.batch_events_max.clamp(1, BATCH_EVENTS_MAX)
    }

    fn gathers(&self) -> Gathering {
        GATHERING
    }

    fn uses_trail_disk(&self) -> bool {
        true
    }

    fn idle(&mut self) -> Result<(), SinkError> {
        self.change(|indexer| indexer.close_ranges(usize::MAX)).map_err(SinkError::from)
    }
}

impl From<IndexError> for SinkError {
    fn from(error: IndexError) -> Self {
        SinkError::Store(Box::new(error))
    }
}
