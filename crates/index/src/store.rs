//! The files of the index: names, modes, and the set-up of SQLite.
//!
//! ```text
//! main.db   meta(k, v)                format, origin, seed, and `state`: cursor, last leaf, how much the dictionaries hold
//!           dict(c, i, s)             value `s` of column `c` has the code `i`
//!           tail(first, n, b)         batch blobs of the open range (`rows.rs`)
//!           ranges(lo, n, b)          closed ranges, each in r<lo>.db; `b` is the earliest and latest time in it
//! ```
//!
//! What must hold: cursor, blobs and dictionary change in one transaction; a range file is complete and synced before
//! `ranges` names it. Seed, state, times and blobs end with their checksum (`codec.rs`), and the state holds a checksum
//! of all values: damage, or data missing because of a damaged page, is an error. Everything is derived from the trail
//! and only its owner can read it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use trailseal_tlog::Hash;

use crate::codec::{Bytes, put_i64, put_u32, put_u64, seal, unseal};
use crate::dictionary::Dictionary;
use crate::error::{IndexError, io_at, sqlite_at};
use crate::schema::{DICTIONARIES, FIRST_CODE, FORMAT, Hasher, Piece, RANGE_ROWS_MAX};

const MAIN: &str = "main.db";

pub(crate) fn main_path(folder: &Path) -> PathBuf {
    folder.join(MAIN)
}

pub(crate) fn range_path(folder: &Path, lo: u64) -> PathBuf {
    folder.join(format!("r{lo}.db"))
}

/// Where a range is built before it gets its name.
pub(crate) fn new_range_path(folder: &Path, lo: u64) -> PathBuf {
    folder.join(format!("r{lo}.db.tmp"))
}

/// The first index of the range in a file of this name.
fn range_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix('r')?;
    digits.strip_suffix(".db.tmp").or_else(|| digits.strip_suffix(".db"))?.parse().ok()
}

fn is_ours(name: &str) -> bool {
    name.strip_prefix(MAIN).is_some_and(|rest| ["", "-wal", "-shm", "-journal"].contains(&rest))
        || name.strip_suffix("-journal").and_then(range_of_name).is_some()
        || range_of_name(name).is_some()
}

/// Creates an empty file that only its owner can open.
pub(crate) fn create_private(path: &Path) -> Result<File, IndexError> {
    let failed = io_at("make", path);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)
}

pub(crate) fn create_folder(folder: &Path) -> Result<(), IndexError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(io_at("make", folder)),
    }
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), IndexError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_at("sync", folder))
}

/// Removes the index in `folder`: all of its files, and the folder if nothing else is in it. The trail loses nothing.
/// No process may be writing to the index.
///
/// # Errors
/// When a file cannot be removed.
pub fn remove(folder: impl AsRef<Path>) -> Result<(), IndexError> {
    let folder = folder.as_ref();
    // The main file first: without it the rest is not an index.
    let mut names: Vec<String> = ours_in(folder)?;
    names.sort_by_key(|name| name != MAIN);
    for name in names {
        let path = folder.join(name);
        std::fs::remove_file(&path).map_err(io_at("remove", &path))?;
    }
    match std::fs::remove_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Ok(())
        }
        other => other.map_err(io_at("remove", folder)),
    }
}

fn ours_in(folder: &Path) -> Result<Vec<String>, IndexError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io_at("list", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(io_at("list", folder))?.file_name();
        names.extend(name.into_string().ok().filter(|name| is_ours(name)));
    }
    Ok(names)
}

/// Removes range files that no row names, left by a killed process.
pub(crate) fn remove_strays(folder: &Path, ranges: &[RangeRow]) -> Result<(), IndexError> {
    for name in ours_in(folder)? {
        let Some(lo) = range_of_name(name.trim_end_matches("-journal")) else { continue };
        let path = folder.join(&name);
        let is_named = path == range_path(folder, lo) && ranges.iter().any(|range| range.lo == lo);
        if !is_named {
            std::fs::remove_file(&path).map_err(io_at("remove", &path))?;
        }
    }
    Ok(())
}

/// SQLite would wait forever for a writer to open a FIFO.
fn check_ordinary(path: &Path) -> Result<(), IndexError> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(IndexError::Damaged { path: path.to_owned(), what: "it is not a regular file" })
        }
        _ => Ok(()),
    }
}

/// Opens a file that never changes, without locks.
pub(crate) fn open_immutable(path: &Path) -> Result<Connection, IndexError> {
    check_ordinary(path)?;
    let failed = sqlite_at(path);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let connection = Connection::open_with_flags(uri, flags).map_err(&failed)?;
    // Not mapped: a failing disk or a truncated file must be an error, not a signal that ends the host program. This
    // makes a selective query a third slower.
    connection.execute_batch("PRAGMA mmap_size = 0; PRAGMA cache_size = -256;").map_err(&failed)?;
    Ok(connection)
}

/// The main file, open.
pub(crate) struct Main {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
}

/// What the main file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) cursor: u64,
    pub(crate) last_leaf: Option<Hash>,
    pub(crate) ranges: Vec<RangeRow>,
    /// How many values each dictionary has, and the checksum of all of them.
    pub(crate) values: [(u32, u32); DICTIONARIES],
}

/// A closed range, as the main file names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeRow {
    /// Its first index.
    pub(crate) lo: u64,
    /// How many rows it has.
    pub(crate) n: u32,
    /// Its earliest and latest time, kept here so that a range without candidates is not opened.
    pub(crate) earliest: i64,
    pub(crate) latest: i64,
}

impl RangeRow {
    /// The index after its last row.
    pub(crate) fn end(&self) -> u64 {
        self.lo + u64::from(self.n)
    }

    pub(crate) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut times = Vec::new();
        put_i64(self.earliest, &mut times);
        put_i64(self.latest, &mut times);
        seal(Piece::RangeTimes, &[self.lo, self.n.into()], &mut times);
        let mut insert = connection.prepare_cached("INSERT INTO ranges VALUES (?1, ?2, ?3)")?;
        insert.execute(params![self.lo.cast_signed(), self.n, times]).map(drop)
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Self>> {
        let (lo, n): (i64, u32) = (row.get(0)?, row.get(1)?);
        let lo = lo.cast_unsigned();
        let times = row.get_ref(2)?.as_blob().ok();
        let times = times.and_then(|times| unseal(Piece::RangeTimes, &[lo, n.into()], times));
        Ok(times.and_then(|times| {
            let mut times = Bytes::new(times);
            Some(RangeRow { lo, n, earliest: times.i64()?, latest: times.i64()? })
        }))
    }
}

impl State {
    pub(crate) fn new() -> Self {
        State { cursor: 0, last_leaf: None, ranges: Vec::new(), values: [(0, 0); DICTIONARIES] }
    }

    /// Everything except the ranges, as a piece.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(self.cursor, &mut out);
        for (len, crc) in self.values {
            put_u32(len, &mut out);
            put_u32(crc, &mut out);
        }
        out.extend(self.last_leaf.iter().flat_map(|leaf| leaf.0));
        seal(Piece::State, &[], &mut out);
        out
    }

    fn decode(piece: &[u8]) -> Option<Self> {
        let mut bytes = Bytes::new(unseal(Piece::State, &[], piece)?);
        let mut state = State { cursor: bytes.u64()?, ..State::new() };
        for (len, crc) in &mut state.values {
            (*len, *crc) = (bytes.u32()?, bytes.u32()?);
        }
        if !bytes.is_empty() {
            state.last_leaf = Some(Hash(bytes.take(32)?.try_into().ok()?));
        }
        bytes.is_empty().then_some(state)
    }

    /// Replaces everything except the ranges.
    pub(crate) fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut meta = connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('state', ?1)")?;
        meta.execute(params![self.encode()]).map(drop)
    }

    /// The cursor as it is on disk now.
    pub(crate) fn cursor_of(connection: &Connection) -> rusqlite::Result<Option<u64>> {
        let mut statement = connection.prepare_cached("SELECT v FROM meta WHERE k = 'state'")?;
        let piece: Option<Vec<u8>> = statement.query_row([], |row| row.get(0)).optional()?;
        Ok(piece.and_then(|piece| State::decode(&piece)).map(|state| state.cursor))
    }

    /// The index after the last closed range.
    pub(crate) fn closed_end(&self) -> u64 {
        self.ranges.last().map_or(0, RangeRow::end)
    }
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
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(&failed)?;
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
        if end > state.cursor || (state.cursor > 0 && state.last_leaf.is_none()) {
            return Err(self.damaged("its cursor contradicts its ranges"));
        }
        Ok(State { ranges, ..state })
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

fn is_read_only(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

/// Identifies the state of a main file that nobody writes to; `None` while somebody may be writing: only then there is
/// shared memory or a log beside it.
pub(crate) fn stillness(folder: &Path) -> Option<(std::time::SystemTime, u64, u64)> {
    let path = main_path(folder);
    let mut shared = path.as_os_str().to_owned();
    shared.push("-shm");
    if wal_has_bytes(&path) || Path::new(&shared).exists() {
        return None;
    }
    let found = std::fs::metadata(&path).ok().filter(|found| found.len() > 0)?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

fn wal_has_bytes(main: &Path) -> bool {
    let mut wal = main.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|found| found.len() > 0)
}

fn open_shared(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.execute_batch("PRAGMA cache_size = -2048;")?;
    // SQLite opens the file only now.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}
