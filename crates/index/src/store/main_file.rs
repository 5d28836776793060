//! The main file: made, opened and read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::connect::{
    check_ordinary, is_read_only, open_connection, open_immutable, open_shared, wal_has_bytes,
};
use super::files::{create_folder, create_private, main_path, remove_strays};
use super::state::{RangeRow, State, decode_retired};
use crate::codec::{Bytes, seal, unseal};
use crate::dictionary::Dictionary;
use crate::error::{IndexError, io_at, sqlite_at};
use crate::schema::{DICTIONARIES, FIRST_CODE, FORMAT, Hasher, Piece, RANGE_ROWS_MAX};

/// The main file, open.
pub(crate) struct Main {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
}

impl Main {
    /// Opens the main file for writing, and creates it if there is none.
    pub(crate) fn open_or_create(folder: &Path, origin: &str) -> Result<Self, IndexError> {
        create_folder(folder)?;
        let path = main_path(folder);
        if !path.exists() {
            remove_strays(folder, &[])?;
            drop(create_private(&path)?);
        }
        check_ordinary(&path)?;
        let failed_at = path.clone();
        let failed = sqlite_at(&failed_at);
        let connection = open_connection(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(&failed)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(&failed)?;
        connection
            .execute_batch(
                "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
                 PRAGMA wal_autocheckpoint = 4096; PRAGMA journal_size_limit = 67108864;
                 PRAGMA cache_size = -8192;",
            )
            .map_err(&failed)?;
        let mut main = Main { connection, path };
        main.create_tables(origin)?;
        main.check_origin(origin)?;
        Ok(main)
    }

    /// Opens the main file for reading. `None` if there is none or it was only just created.
    pub(crate) fn open_read_only(folder: &Path, origin: &str) -> Result<Option<Self>, IndexError> {
        let path = main_path(folder);
        check_ordinary(&path)?;
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(found) if found.len() == 0 && !wal_has_bytes(&path) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(io_at("open", &path)(error)),
        }
        let connection = match open_shared(&path) {
            // A read-only file system can have no shared memory. Without a log beside it, the file is complete.
            Err(error) if is_read_only(&error) && !wal_has_bytes(&path) => open_immutable(&path)?,
            other => other.map_err(sqlite_at(&path))?,
        };
        let main = Main { connection, path };
        if !main.has_tables()? {
            return Ok(None);
        }
        main.check_origin(origin)?;
        Ok(Some(main))
    }

    /// Opens the main file while nobody writes, so that nothing is created beside it, not even SQLite's shared memory.
    pub(crate) fn open_still(folder: &Path, origin: &str) -> Result<Option<Self>, IndexError> {
        let path = main_path(folder);
        let main = Main { connection: open_immutable(&path)?, path };
        if !main.has_tables()? {
            return Ok(None);
        }
        main.check_origin(origin)?;
        Ok(Some(main))
    }

    fn has_tables(&self) -> Result<bool, IndexError> {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'";
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(sqlite_at(&self.path))
    }

    fn create_tables(&mut self, origin: &str) -> Result<(), IndexError> {
        if self.has_tables()? {
            return Ok(());
        }
        let mut seed = vec![0; 8];
        getrandom::fill(&mut seed)
            .map_err(|error| io_at("choose a seed for", &self.path)(io::Error::other(error.to_string())))?;
        seal(Piece::Seed, &[], &mut seed);
        let failed = sqlite_at(&self.path);
        let transaction = self.connection.transaction().map_err(&failed)?;
        transaction
            .execute_batch(
                "CREATE TABLE meta (k TEXT PRIMARY KEY, v ANY NOT NULL) WITHOUT ROWID;
                 CREATE TABLE dict (c INTEGER NOT NULL, i INTEGER NOT NULL, s BLOB NOT NULL, PRIMARY KEY (c, i))
                     WITHOUT ROWID;
                 CREATE TABLE tail (first INTEGER PRIMARY KEY, n INTEGER NOT NULL, b BLOB NOT NULL);
                 CREATE TABLE ranges (lo INTEGER PRIMARY KEY, n INTEGER NOT NULL, b BLOB NOT NULL);",
            )
            .and_then(|()| {
                let mut put = transaction.prepare("INSERT INTO meta VALUES (?1, ?2)")?;
                put.execute(params!["format", FORMAT])?;
                put.execute(params!["origin", origin])?;
                put.execute(params!["seed", seed])?;
                State::new().put(&transaction)
            })
            .map_err(&failed)?;
        transaction.commit().map_err(&failed)
    }

    fn meta<T: rusqlite::types::FromSql>(&self, name: &str) -> Result<Option<T>, IndexError> {
        self.connection
            .prepare_cached("SELECT v FROM meta WHERE k = ?1")
            .and_then(|mut statement| statement.query_row([name], |row| row.get(0)).optional())
            .map_err(sqlite_at(&self.path))
    }

    pub(crate) fn damaged(&self, what: &'static str) -> IndexError {
        IndexError::Damaged { path: self.path.clone(), what }
    }

    fn check_origin(&self, origin: &str) -> Result<(), IndexError> {
        let path = || self.path.clone();
        match self.meta("format")? {
            Some(FORMAT) => {}
            Some(found) => return Err(IndexError::Format { path: path(), found, known: FORMAT }),
            None => return Err(self.damaged("it has no format")),
        }
        match self.meta::<String>("origin")? {
            Some(found) if found == origin => Ok(()),
            Some(found) => Err(IndexError::Foreign { path: path(), found, wanted: origin.to_owned() }),
            None => Err(self.damaged("it has no origin")),
        }
    }

    pub(crate) fn hasher(&self) -> Result<Hasher, IndexError> {
        let piece: Option<Vec<u8>> = self.meta("seed")?;
        let seed = piece.as_deref().and_then(|piece| Bytes::new(unseal(Piece::Seed, &[], piece)?).u64());
        seed.map(|seed| Hasher { seed }).ok_or_else(|| self.damaged("its seed cannot be read"))
    }

    /// Cursor, last leaf and ranges.
    pub(crate) fn state(&self) -> Result<State, IndexError> {
        let piece: Option<Vec<u8>> = self.meta("state")?;
        let state = piece.as_deref().and_then(State::decode);
        let state = state.ok_or_else(|| self.damaged("its cursor cannot be read"))?;
        let ranges: Vec<Option<RangeRow>> = self
            .connection
            .prepare_cached("SELECT lo, n, b FROM ranges ORDER BY lo")
            .and_then(|mut statement| statement.query_map([], RangeRow::read)?.collect())
            .map_err(sqlite_at(&self.path))?;
        let ranges: Option<Vec<RangeRow>> = ranges.into_iter().collect();
        let ranges = ranges.ok_or_else(|| self.damaged("one of its ranges cannot be read"))?;
        let mut end = 0;
        for range in &ranges {
            if range.lo != end || range.n as usize > RANGE_ROWS_MAX {
                return Err(self.damaged("its ranges are not contiguous"));
            }
            end = range.end();
        }
        if end > state.cursor || (state.delivered > 0 && state.last_leaf.is_none()) {
            return Err(self.damaged("its cursor contradicts its ranges"));
        }
        Ok(State { ranges, ..state })
    }

    /// For each range, by its first index, how many of its lines were retired when its rows were made.
    pub(crate) fn retired(&self) -> Result<BTreeMap<u64, u64>, IndexError> {
        let piece: Option<Vec<u8>> = self.meta("retired")?;
        Ok(piece.and_then(|piece| decode_retired(&piece)).unwrap_or_default())
    }

    /// Both from the same moment.
    pub(crate) fn state_and_hasher(&self) -> Result<(State, Hasher), IndexError> {
        let moment = self.connection.unchecked_transaction().map_err(sqlite_at(&self.path))?;
        let found = (self.state()?, self.hasher()?);
        moment.finish().map_err(sqlite_at(&self.path))?;
        Ok(found)
    }

    /// Adds the values that are not in the dictionaries yet, up to what they hold in this state.
    pub(crate) fn load_values(
        &self,
        state: &State,
        dictionaries: [&mut Dictionary; DICTIONARIES],
    ) -> Result<(), IndexError> {
        let failed = sqlite_at(&self.path);
        let mut statement = self
            .connection
            .prepare_cached("SELECT i, s FROM dict WHERE c = ?1 AND i >= ?2 ORDER BY i")
            .map_err(&failed)?;
        for ((column, dictionary), known) in (0_u32..).zip(dictionaries).zip(state.values) {
            let mut found = statement.query(params![column, dictionary.next_code()]).map_err(&failed)?;
            while let Some(row) = found.next().map_err(&failed)? {
                let code: u32 = row.get(0).map_err(&failed)?;
                let value = row.get_ref(1).map_err(&failed)?.as_blob();
                let value = value.map_err(|_| self.damaged("its dictionary has a value of another type"))?;
                if code != dictionary.next_code() {
                    return Err(self.damaged("its dictionary has a gap"));
                }
                dictionary.push(value);
            }
            if dictionary.checked() != known {
                return Err(self.damaged("its dictionary has values other than those written"));
            }
        }
        Ok(())
    }

    /// Calls `each` with the blobs that hold rows from index `from` on: first index, rows, bytes.
    pub(crate) fn tail_from(
        &self,
        from: u64,
        mut each: impl FnMut(u64, u32, &[u8]) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let failed = sqlite_at(&self.path);
        let sql = "SELECT first, n, b FROM tail WHERE first >=
                   coalesce((SELECT max(first) FROM tail WHERE first <= ?1), ?1) ORDER BY first";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut found = statement.query(params![from.cast_signed()]).map_err(&failed)?;
        while let Some(row) = found.next().map_err(&failed)? {
            let (first, n): (i64, u32) = (row.get(0).map_err(&failed)?, row.get(1).map_err(&failed)?);
            let place = [first.cast_unsigned(), n.into()];
            let piece = row.get_ref(2).map_err(&failed)?.as_blob().ok();
            let blob = piece.and_then(|piece| unseal(Piece::Tail, &place, piece));
            each(
                first.cast_unsigned(),
                n,
                blob.ok_or_else(|| self.damaged("a blob of its tail cannot be read"))?,
            )?;
        }
        Ok(())
    }

    /// The complete dictionaries; codes begin with [`FIRST_CODE`].
    pub(crate) fn dictionaries(&self, state: &State) -> Result<[Dictionary; DICTIONARIES], IndexError> {
        let mut dictionaries: [Dictionary; DICTIONARIES] = Default::default();
        self.load_values(state, dictionaries.each_mut())?;
        debug_assert!(dictionaries.iter().all(|it| it.next_code() == FIRST_CODE + it.len() as u32));
        Ok(dictionaries)
    }
}
