//! The open range: rows in memory, and the transaction that stores a batch of them.

use std::collections::VecDeque;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior, params};
use trailseal_core::deliver::BatchLine;
use trailseal_tlog::{Hash, leaf_hash};

use super::options::IndexOptions;
use crate::codec::seal;
use crate::dictionary::GrowingDictionary;
use crate::error::{IndexError, sqlite_at};
use crate::rows::{Coder, Rows, extent};
use crate::schema::{Piece, RANGE_KEYS_MAX, RANGE_ROWS_MAX};
use crate::store::{Main, RangeRow, State};

/// Blobs grow by merging up to this many rows.
const BLOB_ROWS_MAX: usize = 4_096;

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

    /// Stores lines that follow the cursor, in one transaction. After an error, memory must be loaded again.
    pub(super) fn store(&mut self, main: &mut Main, lines: &[BatchLine<'_>]) -> Result<(), IndexError> {
        self.make_room(lines.len());
        let from = self.rows.len() as u32;
        for line in lines {
            self.rows.push(line, &mut self.coder);
        }
        let leaf = lines.last().map(|line| leaf_hash(line.bytes));
        self.commit(main, from, leaf)?;
        self.make_room(0);
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
    fn commit(&mut self, main: &mut Main, from: u32, leaf: Option<Hash>) -> Result<(), IndexError> {
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
        let state = self.next_state(leaf);
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
    fn next_state(&mut self, leaf: Option<Hash>) -> State {
        let mut values = self.state.values;
        for (known, dictionary) in values.iter_mut().zip(&mut self.coder.dictionaries) {
            *known = dictionary.checked();
        }
        let (cursor, last_leaf) = (self.rows.end(), leaf.or(self.state.last_leaf));
        State { cursor, last_leaf, values, ranges: self.state.ranges.clone() }
    }
}

fn begin(connection: &mut Connection) -> rusqlite::Result<rusqlite::Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}
