//! Reading a closed range.

use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    BLOCK_CODED, BLOCK_OFFSET, BLOCK_TIME, ENTRY_BYTES, Head, IdFilter, Part, SYSTEM_POSTINGS,
    WIDE_ENTRY_BYTES, WITH_BLOCKS, bucket_of, print_of,
};
use crate::codec::{Bytes, Column};
use crate::error::{IndexError, sqlite_at};
use crate::posting;
use crate::schema::{BLOCK_ROWS, Coded, Hasher, KEY_ID, ROW_BITS, is_wide};
use crate::store::{open_immutable, range_path};

/// An open file of a closed range.
pub(crate) struct RangeFile {
    pub(crate) head: Head,
    path: PathBuf,
    connection: Connection,
}

impl RangeFile {
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let failed = sqlite_at(path);
        let connection = open_immutable(path)?;
        let sql = "SELECT b FROM head";
        let blob: Vec<u8> = connection.query_row(sql, [], |row| row.get(0)).map_err(&failed)?;
        let head = Head::decode(&blob)
            .ok_or(IndexError::Damaged { path: path.to_owned(), what: "its head cannot be read" })?;
        Ok(RangeFile { head, path: path.to_owned(), connection })
    }

    /// Opens the file of a range that the main file names.
    pub(crate) fn open_in(folder: &Path, lo: u64, n: u32, hasher: Hasher) -> Result<Self, IndexError> {
        let path = range_path(folder, lo);
        if !path.exists() {
            return Err(IndexError::Replaced { path });
        }
        let file = RangeFile::open(&path)?;
        if file.head.seed != hasher.seed {
            return Err(IndexError::Replaced { path });
        }
        if (file.head.lo, file.head.n) != (lo, n) {
            return Err(file.damaged("it is another range than its name says"));
        }
        Ok(file)
    }

    pub(crate) fn damaged(&self, what: &'static str) -> IndexError {
        IndexError::Damaged { path: self.path.clone(), what }
    }

    fn with_blob<T>(
        &self,
        sql: &str,
        key: u32,
        with: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, IndexError> {
        let failed = sqlite_at(&self.path);
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let found = statement
            .query_row(params![key], |row| Ok(row.get_ref(0)?.as_blob().ok().and_then(with)))
            .optional()
            .map_err(&failed)?;
        match found {
            Some(None) => Err(self.damaged("a blob cannot be read")),
            Some(found) => Ok(found),
            None => Ok(None),
        }
    }

    /// Adds the rows with this code, of ordinary events and if asked for of the trail's own.
    pub(crate) fn add_posting(
        &self,
        column: Coded,
        code: u32,
        system: bool,
        rows: &mut RoaringBitmap,
    ) -> Result<(), IndexError> {
        let failed = sqlite_at(&self.path);
        let sql = "SELECT n, b FROM post WHERE col = ?1 AND val = ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        for number in self.numbers(column, system) {
            let found = statement
                .query_row(params![number, code], |row| {
                    let n: u32 = row.get(0)?;
                    let blob = row.get_ref(1)?.as_blob()?;
                    Ok(posting::decode(n as usize, blob, self.head.n))
                })
                .optional()
                .map_err(&failed)?;
            match found {
                Some(Some(found)) if rows.is_empty() => *rows = found,
                Some(Some(found)) => *rows |= found,
                Some(None) => return Err(self.damaged("a posting list cannot be read")),
                None => {}
            }
        }
        Ok(())
    }

    /// How many rows have this code.
    pub(crate) fn posting_len(&self, column: Coded, code: u32, system: bool) -> Result<u64, IndexError> {
        let failed = sqlite_at(&self.path);
        let sql = "SELECT n FROM post WHERE col = ?1 AND val = ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut len = 0;
        for number in self.numbers(column, system) {
            let n: Option<u32> =
                statement.query_row(params![number, code], |row| row.get(0)).optional().map_err(&failed)?;
            len += u64::from(n.unwrap_or(0));
        }
        Ok(len)
    }

    fn numbers(&self, column: Coded, system: bool) -> impl Iterator<Item = u32> + use<> {
        let number = column.at() as u32;
        let system = system && !self.head.system.is_empty();
        std::iter::once(number).chain(system.then_some(number + SYSTEM_POSTINGS))
    }

    /// Adds the rows that have a key with this hash.
    pub(crate) fn add_key(&self, kind: usize, hash: u64, rows: &mut RoaringBitmap) -> Result<(), IndexError> {
        let Some(bits) = self.head.bucket_bits[kind] else { return Ok(()) };
        let key = (kind as u32) << 20 | bucket_of(kind, hash, bits);
        let (print, n) = (print_of(kind, hash), self.head.n);
        // They ascend within a bucket. A row that has the key twice, by a related resource, stands there twice.
        let mut found: Vec<u32> = Vec::new();
        let mut look = |entry: u64| {
            let row = (entry & ((1 << ROW_BITS) - 1)) as u32;
            if entry >> ROW_BITS == print >> ROW_BITS && found.last() != Some(&row) {
                found.push(row);
            }
        };
        self.with_blob("SELECT b FROM hb WHERE k = ?1", key, |blob| {
            if is_wide(kind) {
                blob.as_chunks::<WIDE_ENTRY_BYTES>().0.iter().for_each(|it| look(u64::from_le_bytes(*it)));
            } else {
                blob.as_chunks::<ENTRY_BYTES>().0.iter().for_each(|it| look(entry(it)));
            }
            Some(())
        })?;
        let mut with = RoaringBitmap::new();
        if with.append(found).is_err() || with.max().is_some_and(|row| row >= n) {
            return Err(self.damaged("a bucket of keys cannot be read"));
        }
        match rows.is_empty() {
            true => *rows = with,
            false => *rows |= with,
        }
        Ok(())
    }

    /// A filter of all ids.
    pub(crate) fn id_filter(&self) -> Result<IdFilter, IndexError> {
        let failed = sqlite_at(&self.path);
        let bits = self.head.bucket_bits[KEY_ID].unwrap_or(0);
        let mut filter = IdFilter::for_ids(self.head.n as usize, bits);
        let from = (KEY_ID as u32) << 20;
        let sql = "SELECT k - ?1, b FROM hb WHERE k >= ?1 AND k < ?1 + (1 << 20)";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut found = statement.query(params![from]).map_err(&failed)?;
        while let Some(row) = found.next().map_err(&failed)? {
            let bucket = row.get(0).map_err(&failed)?;
            let blob = row.get_ref(1).map_err(&failed)?.as_blob();
            let blob = blob.map_err(|_| self.damaged("a bucket of keys cannot be read"))?;
            blob.as_chunks::<ENTRY_BYTES>().0.iter().for_each(|it| filter.insert(bucket, entry(it)));
        }
        Ok(filter)
    }

    fn with_block<T>(
        &self,
        column: u32,
        block: u32,
        with: impl FnOnce(Column<'_>) -> Option<T>,
    ) -> Result<T, IndexError> {
        let begin = block as usize * BLOCK_ROWS;
        let n = (self.head.n as usize).saturating_sub(begin).min(BLOCK_ROWS);
        self.with_blob("SELECT b FROM colb WHERE k = ?1", column << 16 | block, |blob| {
            let mut bytes = Bytes::new(blob);
            let column = bytes.column(n)?;
            bytes.is_empty().then_some(())?;
            with(column)
        })?
        .ok_or_else(|| self.damaged("a column block is missing"))
    }

    /// Times of the rows of a block, into `times`.
    pub(crate) fn times(&self, block: u32, times: &mut Vec<i64>) -> Result<(), IndexError> {
        times.clear();
        self.with_block(BLOCK_TIME, block, |column| {
            column.for_each(|time| times.push(time));
            Some(())
        })
    }

    /// Codes of the rows of a block, into `codes`. The column must be one that has blocks.
    pub(crate) fn codes(&self, column: Coded, block: u32, codes: &mut Vec<u32>) -> Result<(), IndexError> {
        codes.clear();
        self.with_block(BLOCK_CODED + column.at() as u32, block, |column| {
            column.for_each(|code| codes.push(code as u32));
            Some(())
        })
    }

    /// Where the row's line begins in its segment.
    pub(crate) fn offset(&self, row: u32) -> Result<u64, IndexError> {
        let (block, at) = (row / BLOCK_ROWS as u32, row as usize % BLOCK_ROWS);
        self.with_block(BLOCK_OFFSET, block, |column| column.get(at)).map(i64::cast_unsigned)
    }

    /// Whether [`sums`](RangeFile::sums) knows this column.
    pub(crate) fn has_sums(&self, column: Coded) -> bool {
        WITH_BLOCKS.contains(&column)
    }

    /// Codes and counts of a column's values among ordinary events.
    pub(crate) fn sums(&self, column: Coded, mut each: impl FnMut(u32, u64)) -> Result<(), IndexError> {
        self.with_blob("SELECT b FROM sums WHERE col = ?1", column.at() as u32, |blob| {
            let mut bytes = Bytes::new(blob);
            while !bytes.is_empty() {
                let (code, n) = (bytes.varint()?, bytes.varint()?);
                each(code, u64::from(n));
            }
            Some(())
        })?;
        Ok(())
    }

    /// Whether the file holds exactly this piece.
    pub(crate) fn holds(&self, part: Part, blob: &[u8]) -> Result<bool, IndexError> {
        let is_same = |found: &[u8]| Some(found == blob);
        let found = match part {
            Part::Head => self.with_blob("SELECT b FROM head WHERE rowid > ?1", 0, is_same)?,
            Part::Bucket { key } => self.with_blob("SELECT b FROM hb WHERE k = ?1", key, is_same)?,
            Part::Block { key } => self.with_blob("SELECT b FROM colb WHERE k = ?1", key, is_same)?,
            Part::Sums { column } => self.with_blob("SELECT b FROM sums WHERE col = ?1", column, is_same)?,
            Part::Posting { column, code, n } => {
                let failed = sqlite_at(&self.path);
                let sql = "SELECT n = ?3 AND b = ?4 FROM post WHERE col = ?1 AND val = ?2";
                self.connection
                    .prepare_cached(sql)
                    .and_then(|mut statement| {
                        statement.query_row(params![column, code, n, blob], |row| row.get(0)).optional()
                    })
                    .map_err(&failed)?
            }
        };
        Ok(found.unwrap_or(false))
    }

    /// How many pieces the file holds.
    pub(crate) fn pieces(&self) -> Result<u64, IndexError> {
        let sql =
            "SELECT (SELECT count(*) FROM head) + (SELECT count(*) FROM post) + (SELECT count(*) FROM hb)
                 + (SELECT count(*) FROM colb) + (SELECT count(*) FROM sums)";
        let pieces: i64 =
            self.connection.query_row(sql, [], |row| row.get(0)).map_err(sqlite_at(&self.path))?;
        Ok(pieces.unsigned_abs())
    }
}

/// An entry of a key that is not wide.
fn entry(&[a, b, c, d, e]: &[u8; ENTRY_BYTES]) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
}
