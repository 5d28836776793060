//! The writing side: a sink that stores batches of lines.
//!
//! A batch is one transaction: its rows as a blob, new values of the dictionaries, the cursor and the last
//! leaf hash. When the open range is full it is closed: a file of its own is built, synced and named, and then
//! one transaction puts it in the place of the blobs.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior, params};
use trailseal_core::Index;
use trailseal_core::deliver::{Batch, Position, Sink, SinkError};
use trailseal_tlog::{Hash, leaf_hash};

use crate::dictionary::GrowingDictionary;
use crate::error::{IndexError, io_at, sqlite_at};
use crate::range;
use crate::rows::{Coder, Rows};
use crate::schema::{RANGE_KEYS_MAX, RANGE_ROWS_MAX};
use crate::store::{Main, State, new_range_path, range_path, remove_strays, sync_folder};

/// A batch may hold at most this many events.
pub const BATCH_EVENTS_MAX: usize = 10_000;
/// Blobs grow by merging up to this many rows.
const BLOB_ROWS_MAX: usize = 4_096;

/// How an index is written.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// The trail's origin. An index of another trail is refused.
    pub origin: String,
    /// A range is closed at this many events: 250,000, and fewer in tests. At least 1, at most 250,000.
    pub range_events: usize,
    /// A batch holds at most this many events: 1,000, more to build an index faster. At most
    /// [`BATCH_EVENTS_MAX`].
    pub batch_events_max: usize,
    /// A dictionary holds at most this many values of its column: 250,000. Further ones are found by their
    /// hashes, like ids.
    pub dictionary_values_max: usize,
}

impl IndexOptions {
    /// The defaults for the trail of this origin.
    pub fn new(origin: impl Into<String>) -> Self {
        IndexOptions {
            origin: origin.into(),
            range_events: 250_000,
            batch_events_max: 1_000,
            dictionary_values_max: 250_000,
        }
    }
}

/// The writing side of a trail's index. One process at a time may have it open: the one that holds the trail.
pub struct Indexer {
    folder: PathBuf,
    options: IndexOptions,
    main: Main,
    open: Open,
    /// Something failed, so that memory may differ from the disk: read it again before going on.
    is_stale: bool,
}

/// What stands in memory of what is on disk.
struct Open {
    state: State,
    rows: Rows,
    coder: Coder,
    /// Number of the first row of each blob.
    blobs: Vec<u32>,
}

impl Indexer {
    /// Opens the index in `folder`, usually `<trail>/index`, and makes it if there is none.
    ///
    /// # Errors
    /// When it is damaged, or another trail's, or the system or SQLite refuse.
    pub fn open(folder: impl AsRef<Path>, options: IndexOptions) -> Result<Indexer, IndexError> {
        let folder = folder.as_ref().to_owned();
        let main = Main::open_or_create(&folder, &options.origin)?;
        let open = Open::load(&main, &options)?;
        remove_strays(&folder, &open.state.ranges)?;
        Ok(Indexer { folder, options, main, open, is_stale: false })
    }

    /// Everything below is indexed.
    pub fn cursor(&self) -> Index {
        Index::new(self.open.state.cursor)
    }

    fn reload(&mut self) -> Result<(), IndexError> {
        if self.is_stale {
            self.open = Open::load(&self.main, &self.options)?;
            self.is_stale = false;
        }
        Ok(())
    }

    fn store(&mut self, batch: &Batch<'_>) -> Result<(), IndexError> {
        self.is_stale = true;
        if self.open.rows.len() + batch.lines.len() > RANGE_ROWS_MAX {
            self.close_range()?;
        }
        let from = self.open.rows.len() as u32;
        for line in batch.lines {
            self.open.rows.push(line, &mut self.open.coder);
        }
        let leaf = batch.lines.last().map(|line| leaf_hash(line.bytes));
        self.open.commit(&mut self.main, from, leaf)?;
        self.is_stale = false;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.open.rows.len() >= self.options.range_events || self.open.rows.keys_len() >= RANGE_KEYS_MAX
    }

    /// Puts the open range into a file of its own.
    fn close_range(&mut self) -> Result<(), IndexError> {
        self.is_stale = true;
        let is_late = cfg!(trailseal_fault = "index_range_written_late");
        if !is_late {
            self.write_range()?;
        }
        let (lo, n) = (self.open.rows.lo, self.open.rows.len() as u32);
        let end = lo + u64::from(n);
        let failed = sqlite_at(&self.main.path);
        let transaction = begin(&mut self.main.connection).map_err(&failed)?;
        transaction
            .execute("INSERT INTO ranges VALUES (?1, ?2)", params![lo.cast_signed(), n])
            .and_then(|_| transaction.execute("DELETE FROM tail WHERE first < ?1", [end.cast_signed()]))
            .map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        if is_late {
            self.write_range()?;
        }
        self.open.state.ranges.push((lo, n));
        self.open.rows = Rows::new(end);
        self.open.blobs.clear();
        self.is_stale = false;
        Ok(())
    }

    /// Writes the open range's file: whole and synced before it has its name, and the name synced, too.
    fn write_range(&self) -> Result<(), IndexError> {
        let rows = &self.open.rows;
        let (new, path) = (new_range_path(&self.folder, rows.lo), range_path(&self.folder, rows.lo));
        range::write(rows, self.open.coder.hasher.seed, &new)?;
        std::fs::rename(&new, &path).map_err(io_at("name", &path))?;
        sync_folder(&self.folder)
    }
}

impl Open {
    fn load(main: &Main, options: &IndexOptions) -> Result<Self, IndexError> {
        let state = main.state()?;
        let hasher = main.hasher()?;
        let values_max = options.dictionary_values_max;
        let dictionaries = main.dictionaries()?;
        let dictionaries = dictionaries.map(|values| GrowingDictionary::new(values, values_max, hasher));
        let mut rows = Rows::new(state.closed_end());
        let mut blobs = Vec::new();
        main.tail_from(rows.lo, |first, n, blob| {
            let more =
                Rows::decode(first, blob).filter(|more| first == rows.end() && more.len() == n as usize);
            let more = more.ok_or_else(|| main.damaged("a blob of its tail cannot be read"))?;
            blobs.push(rows.len() as u32);
            rows.append(&more, 0);
            Ok(())
        })?;
        if rows.end() != state.cursor {
            return Err(main.damaged("its tail ends elsewhere than its cursor"));
        }
        Ok(Open { state, rows, coder: Coder::new(dictionaries, hasher), blobs })
    }

    /// Stores the rows from `from` on.
    fn commit(&mut self, main: &mut Main, from: u32, leaf: Option<Hash>) -> Result<(), IndexError> {
        let failed = sqlite_at(&main.path);
        let transaction = begin(&mut main.connection).map_err(&failed)?;
        // The trail's lock keeps other writers out; this notices if it did not.
        let cursor: i64 = transaction
            .prepare_cached("SELECT v FROM meta WHERE k = 'cursor'")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(&failed)?;
        if cursor.cast_unsigned() != self.state.cursor {
            let what = "another process writes to it";
            return Err(IndexError::Damaged { path: main.path.clone(), what });
        }
        let keep = self.blobs_to_keep(from);
        let begin = self.blobs.get(keep).copied().unwrap_or(from);
        let first = self.rows.lo + u64::from(begin);
        self.put(&transaction, begin, first).map_err(&failed)?;
        let is_apart = cfg!(trailseal_fault = "index_cursor_apart");
        if !is_apart {
            self.put_cursor(&transaction, leaf).map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)?;
        if is_apart {
            self.put_cursor(&main.connection, leaf).map_err(&failed)?;
        }
        self.blobs.truncate(keep);
        self.blobs.push(begin);
        for dictionary in &mut self.coder.dictionaries {
            dictionary.stored = dictionary.values().len();
        }
        self.state.cursor = self.rows.end();
        self.state.last_leaf = leaf.or(self.state.last_leaf);
        Ok(())
    }

    /// Blobs that are as small as what comes are merged with it, so that there are few of them even when
    /// events come one by one, and each row is written again only a few times.
    fn blobs_to_keep(&self, from: u32) -> usize {
        let end = self.rows.len() as u32;
        let (mut keep, mut begin) = (self.blobs.len(), from);
        while let Some(&before) = keep.checked_sub(1).and_then(|at| self.blobs.get(at)) {
            if (end - before) as usize > BLOB_ROWS_MAX || begin - before > end - begin {
                break;
            }
            (keep, begin) = (keep - 1, before);
        }
        keep
    }

    fn put(&self, connection: &Connection, begin: u32, first: u64) -> rusqlite::Result<()> {
        connection.prepare_cached("DELETE FROM tail WHERE first >= ?1")?.execute([first.cast_signed()])?;
        connection.prepare_cached("INSERT INTO tail VALUES (?1, ?2, ?3)")?.execute(params![
            first.cast_signed(),
            self.rows.len() as u32 - begin,
            self.rows.encode_from(begin as usize)
        ])?;
        let mut value = connection.prepare_cached("INSERT INTO dict VALUES (?1, ?2, ?3)")?;
        for (column, dictionary) in (0_u32..).zip(&self.coder.dictionaries) {
            for (code, bytes) in dictionary.unstored() {
                value.execute(params![column, code, bytes])?;
            }
        }
        Ok(())
    }

    fn put_cursor(&self, connection: &Connection, leaf: Option<Hash>) -> rusqlite::Result<()> {
        let mut meta = connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
        meta.execute(params!["cursor", self.rows.end().cast_signed()])?;
        if let Some(leaf) = leaf {
            meta.execute(params!["last_leaf", leaf.0])?;
        }
        Ok(())
    }
}

fn begin(connection: &mut Connection) -> rusqlite::Result<rusqlite::Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

impl Sink for Indexer {
    fn name(&self) -> &str {
        "index"
    }

    fn position(&mut self) -> Result<Position, SinkError> {
        self.reload()?;
        let State { cursor, last_leaf, .. } = self.open.state;
        Ok(Position { cursor: Index::new(cursor), last_leaf })
    }

    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        self.reload()?;
        if batch.first != self.cursor() {
            return Err(SinkError::Gap { first: batch.first, cursor: self.cursor() });
        }
        // Here, should it not have come to it after the batch before.
        if self.is_full() {
            self.close_range()?;
        }
        for lines in batch.lines.chunks(BATCH_EVENTS_MAX) {
            self.store(&Batch { first: self.cursor(), lines })?;
        }
        if self.is_full() {
            self.close_range()?;
        }
        Ok(())
    }

    fn batch_events_max(&self) -> usize {
        self.options.batch_events_max.clamp(1, BATCH_EVENTS_MAX)
    }

    fn uses_trail_disk(&self) -> bool {
        true
    }
}

impl From<IndexError> for SinkError {
    fn from(error: IndexError) -> Self {
        SinkError::Store(Box::new(error))
    }
}
