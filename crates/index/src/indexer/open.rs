//! The open range: rows in memory, and the transaction that stores a batch of them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior, params};
use trailseal_core::Folder;
use trailseal_core::deliver::{BatchLine, Follower, Lines};
use trailseal_event::Index;
use trailseal_tlog::{Hash, leaf_hash};

use super::options::IndexOptions;
use crate::codec::seal;
use crate::dictionary::GrowingDictionary;
use crate::error::{IndexError, io_at, sqlite_at};
use crate::rows::{Coder, Rows, extent};
use crate::schema::{Piece, RANGE_KEYS_MAX, RANGE_ROWS_MAX};
use crate::store::{Main, RangeRow, State, put_retired};

/// Blobs grow by merging up to this many rows.
const BLOB_ROWS_MAX: usize = 4_096;
/// How much of the segments is read at once.
const READ_BYTES: usize = 4 << 20;

/// What memory holds of the state on disk.
pub(super) struct Open {
    pub(super) state: State,
    /// Ranges that are full but not closed yet; on disk they are still blobs of the tail.
    pub(super) full: VecDeque<Arc<Rows>>,
    /// The range that new rows go into.
    rows: Rows,
    coder: Coder,
    /// The first row number of each blob of `rows`.
    blobs: Vec<u32>,
    range_events: usize,
}

impl Open {
    pub(super) fn load(main: &Main, options: &IndexOptions) -> Result<Self, IndexError> {
        let state = main.state()?;
        let hasher = main.hasher()?;
        let values_max = options.dictionary_values_max;
        let dictionaries = main.dictionaries(&state)?;
        let dictionaries = dictionaries.map(|values| GrowingDictionary::new(values, values_max, hasher));
        let mut open = Open {
            full: VecDeque::new(),
            rows: Rows::new(state.closed_end()),
            coder: Coder::new(dictionaries, hasher),
            blobs: Vec::new(),
            range_events: options.range_events,
            state,
        };
        main.tail_from(open.rows.lo, |first, n, blob| {
            let end = open.rows.end();
            let more = Rows::decode(first, blob).filter(|more| first == end && more.len() == n as usize);
            let more = more.ok_or_else(|| main.damaged("a blob of its tail cannot be read"))?;
            open.make_room(more.len());
            open.blobs.push(open.rows.len() as u32);
            open.rows.append(&more, 0);
            open.make_room(0);
            Ok(())
        })?;
        if open.rows.end() != open.state.cursor {
            return Err(main.damaged("its tail does not end at its cursor"));
        }
        Ok(open)
    }

    /// Starts a new range if the open one is full or has no room for this many more rows.
    fn make_room(&mut self, more: usize) {
        let len = self.rows.len();
        let is_full = len >= self.range_events || self.rows.keys_len() >= RANGE_KEYS_MAX;
        if len > 0 && (is_full || len + more > RANGE_ROWS_MAX) {
            let next = Rows::new(self.rows.end());
            self.full.push_back(Arc::new(std::mem::replace(&mut self.rows, next)));
            self.blobs.clear();
        }
    }

    /// The seed of the hashes.
    pub(super) fn seed(&self) -> u64 {
        self.coder.hasher.seed
    }

    /// Stores lines that follow the cursor, in one transaction, with rows for retired lines between them. After an error,
    /// memory must be loaded again.
    pub(super) fn store(&mut self, main: &mut Main, lines: &[BatchLine<'_>]) -> Result<(), IndexError> {
        let Some(last) = lines.last() else { return Ok(()) };
        let end = last.index.get() + 1;
        self.make_room((end - self.rows.end()) as usize);
        let from = self.rows.len() as u32;
        for line in lines {
            while self.rows.end() < line.index.get() {
                self.rows.push_retired();
            }
            self.rows.push(line, &mut self.coder);
        }
        self.commit(main, from, Some((leaf_hash(last.bytes), end)))?;
        self.make_room(0);
        Ok(())
    }

    /// Stores rows for retired lines up to `end`, or some of them.
    pub(super) fn store_retired(&mut self, main: &mut Main, end: u64) -> Result<(), IndexError> {
        let count = end.saturating_sub(self.rows.end()).min(BLOB_ROWS_MAX as u64) as usize;
        self.make_room(count);
        let from = self.rows.len() as u32;
        for _ in 0..count {
            self.rows.push_retired();
        }
        self.commit(main, from, None)?;
        self.make_room(0);
        Ok(())
    }

    /// The index of the next row.
    pub(super) fn next(&self) -> u64 {
        self.rows.end()
    }

    /// The first index of the open range.
    pub(super) fn open_lo(&self) -> u64 {
        self.rows.lo
    }

    /// The rows that the lines of a trail give for these indexes.
    pub(super) fn rows_again(&mut self, trail: &Folder, range: Range<u64>) -> Result<Rows, IndexError> {
        let failed = io_at("read the segments of", trail.root());
        let mut rows = Rows::new(range.start);
        let mut follower = Follower::new(trail.clone(), Index::new(range.start)).map_err(&failed)?;
        let mut lines = Lines::default();
        while follower.next().get() < range.end {
            lines.clear();
            follower.read(Index::new(range.end), BLOB_ROWS_MAX, READ_BYTES, &mut lines).map_err(&failed)?;
            for line in lines.as_batch_lines() {
                while rows.end() < line.index.get() {
                    rows.push_retired();
                }
                rows.push(&line, &mut self.coder);
            }
        }
        while rows.end() < range.end {
            rows.push_retired();
        }
        Ok(rows)
    }

    /// Replaces rows: those of a closed range, whose file is already there, or those of the open one. Notes how many
    /// lines of them are retired.
    pub(super) fn replace(
        &mut self,
        main: &mut Main,
        rows: Rows,
        retired: &BTreeMap<u64, u64>,
    ) -> Result<(), IndexError> {
        let (earliest, latest) = extent(&rows.times);
        let range = RangeRow { lo: rows.lo, n: rows.len() as u32, earliest, latest };
        let at = self.state.ranges.iter().position(|other| other.lo == range.lo);
        let mut state = State { cleared: self.state.cleared + 1, ..self.state.clone() };
        if let Some(range_at) = at.and_then(|at| state.ranges.get_mut(at)) {
            *range_at = range;
        } else {
            self.rows = rows;
        }
        let failed = sqlite_at(&main.path);
        let transaction = begin(&mut main.connection).map_err(&failed)?;
        let put = match at {
            Some(_) => transaction
                .execute("DELETE FROM ranges WHERE lo = ?1", [range.lo.cast_signed()])
                .and_then(|_| range.insert(&transaction)),
            None => self.put(&transaction, 0, range.lo),
        };
        put.and_then(|()| state.put(&transaction))
            .and_then(|()| put_retired(retired, &transaction))
            .map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        if at.is_none() {
            self.blobs = vec![0];
        }
        for dictionary in &mut self.coder.dictionaries {
            dictionary.stored = dictionary.values().len();
        }
        self.state = state;
        Ok(())
    }

    /// Replaces the blobs of the first full range by its file.
    pub(super) fn switch(&mut self, main: &mut Main) -> Result<(), IndexError> {
        let Some(rows) = self.full.front() else { return Ok(()) };
        let (earliest, latest) = extent(&rows.times);
        let range = RangeRow { lo: rows.lo, n: rows.len() as u32, earliest, latest };
        let failed = sqlite_at(&main.path);
        let transaction = begin(&mut main.connection).map_err(&failed)?;
        range
            .insert(&transaction)
            .and_then(|()| {
                transaction.execute("DELETE FROM tail WHERE first < ?1", [range.end().cast_signed()])
            })
            .map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        self.state.ranges.push(range);
        self.full.pop_front();
        Ok(())
    }

    /// Stores the rows from `from` on.
    fn commit(
        &mut self,
        main: &mut Main,
        from: u32,
        delivered: Option<(Hash, u64)>,
    ) -> Result<(), IndexError> {
        let failed = sqlite_at(&main.path);
        let transaction = begin(&mut main.connection).map_err(&failed)?;
        // The trail's lock keeps other writers out; this check notices if it did not.
        let cursor = State::cursor_of(&transaction).map_err(&failed)?;
        if cursor != Some(self.state.cursor) {
            let what = "another process writes to it";
            return Err(IndexError::Damaged { path: main.path.clone(), what });
        }
        let keep = self.blobs_to_keep(from);
        let begin = self.blobs.get(keep).copied().unwrap_or(from);
        let first = self.rows.lo + u64::from(begin);
        self.put(&transaction, begin, first).map_err(&failed)?;
        let state = self.next_state(delivered);
        let is_apart = cfg!(trailseal_fault = "index_cursor_apart");
        if !is_apart {
            state.put(&transaction).map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)?;
        if is_apart {
            state.put(&main.connection).map_err(&failed)?;
        }
        self.blobs.truncate(keep);
        self.blobs.push(begin);
        for dictionary in &mut self.coder.dictionaries {
            dictionary.stored = dictionary.values().len();
        }
        self.state = state;
        Ok(())
    }

    /// Merges the new blob with blobs that are about as small. So there are few blobs even if events come one by one,
    /// and each row is rewritten only a few times.
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
        let n = self.rows.len() as u32 - begin;
        let mut blob = self.rows.encode_from(begin as usize);
        seal(Piece::Tail, &[first, n.into()], &mut blob);
        connection.prepare_cached("INSERT INTO tail VALUES (?1, ?2, ?3)")?.execute(params![
            first.cast_signed(),
            n,
            blob
        ])?;
        let mut value = connection.prepare_cached("INSERT INTO dict VALUES (?1, ?2, ?3)")?;
        for (column, dictionary) in (0_u32..).zip(&self.coder.dictionaries) {
            for (code, bytes) in dictionary.unstored() {
                value.execute(params![column, code, bytes])?;
            }
        }
        Ok(())
    }

    /// The state after the rows are stored.
    fn next_state(&mut self, delivered: Option<(Hash, u64)>) -> State {
        let mut values = self.state.values;
        for (known, dictionary) in values.iter_mut().zip(&mut self.coder.dictionaries) {
            *known = dictionary.checked();
        }
        let mut state = State { cursor: self.rows.end(), values, ..self.state.clone() };
        if let Some((leaf, end)) = delivered {
            (state.last_leaf, state.delivered) = (Some(leaf), end);
        }
        state
    }
}

fn begin(connection: &mut Connection) -> rusqlite::Result<rusqlite::Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}
