//! Reading a closed range.

use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;
use rusqlite::{Connection, OptionalExtension, params};

use super::bucket::{bucket_of, each_key, print_of};
use super::kept::Counted;
use super::{
    BLOCK_CODED, BLOCK_OFFSET, BLOCK_ORDER, BLOCK_TIME, Head, IdFilter, LEN_UNCHECKED_MAX, Part,
    SYSTEM_POSTINGS, WITH_BLOCKS, len_cell,
};
use crate::codec::{Bytes, Column, unseal};
use crate::error::{IndexError, sqlite_at};
use crate::posting;
use crate::schema::{BLOCK_ROWS, Coded, Hasher, KEY_ID, Piece};
use crate::store::{RangeRow, open_immutable, range_path};

/// An open file of a closed range.
pub(crate) struct RangeFile {
    pub(crate) head: Head,
    path: PathBuf,
    connection: Connection,
    _counted: Counted,
}

/// A column block that was read and checked, for reading single rows of it.
#[derive(Default)]
pub(crate) struct HeldBlock {
    /// The first index of its range, and its key there.
    place: Option<(u64, u32)>,
    bytes: Vec<u8>,
}

impl RangeFile {
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let failed = sqlite_at(path);
        let connection = open_immutable(path)?;
        let sql = "SELECT b FROM head";
        let blob: Option<Vec<u8>> =
            connection.query_row(sql, [], |row| row.get(0)).optional().map_err(&failed)?;
        let head = blob
            .and_then(|blob| unseal(Piece::Head, &[], &blob).and_then(Head::decode))
            .ok_or(IndexError::Damaged { path: path.to_owned(), what: "its head cannot be read" })?;
        Ok(RangeFile { head, path: path.to_owned(), connection, _counted: Counted::new() })
    }

    /// Opens the file of a range that the main file names.
    pub(crate) fn open_in(folder: &Path, row: &RangeRow, hasher: Hasher) -> Result<Self, IndexError> {
        let path = range_path(folder, row.lo);
        if !path.exists() {
            return Err(IndexError::Replaced { path });
        }
        let file = RangeFile::open(&path)?;
        if file.head.seed != hasher.seed {
            return Err(IndexError::Replaced { path });
        }
        // Its times may be others: it is replaced before the main file says so when lines of it are retired.
        if (row.lo, row.n) != (file.head.lo, file.head.n) {
            return Err(file.damaged("it is not the range in its name"));
        }
        Ok(file)
    }

    pub(crate) fn damaged(&self, what: &'static str) -> IndexError {
        IndexError::Damaged { path: self.path.clone(), what }
    }

    /// The content of the piece with this key; `None` if there is none.
    fn with_blob<T>(
        &self,
        sql: &str,
        kind: Piece,
        key: u32,
        with: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, IndexError> {
        let failed = sqlite_at(&self.path);
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let found = statement
            .query_row(params![key], |row| {
                let piece = row.get_ref(0)?.as_blob().ok();
                Ok(piece.and_then(|piece| unseal(kind, &[key.into()], piece)).and_then(with))
            })
            .optional()
            .map_err(&failed)?;
        match found {
            Some(None) => Err(self.damaged("a blob cannot be read")),
            Some(found) => Ok(found),
            None => Ok(None),
        }
    }

    /// Adds the rows with this code, of ordinary events and, if wanted, of the trail's own.
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
        for number in self.numbers(column, code, system) {
            let found = statement
                .query_row(params![number, code], |row| {
                    Ok(self.list(number, code, row.get(0)?, row.get_ref(1)?.as_blob()?))
                })
                .optional()
                .map_err(&failed)?;
            match found.flatten() {
                Some(found) if rows.is_empty() => *rows = found,
                Some(found) => *rows |= found,
                None => return Err(self.damaged("a posting list cannot be read")),
            }
        }
        Ok(())
    }

    fn list(&self, number: u32, code: u32, cell: i64, piece: &[u8]) -> Option<RoaringBitmap> {
        let n = cell as u32;
        let blob = unseal(Piece::Posting, &[number.into(), code.into(), n.into()], piece)?;
        (cell == len_cell(number, code, n)).then(|| posting::decode(n as usize, blob, self.head.n))?
    }

    /// How many rows have this code.
    pub(crate) fn posting_len(&self, column: Coded, code: u32, system: bool) -> Result<u64, IndexError> {
        let failed = sqlite_at(&self.path);
        // A short list is read to check its length.
        let sql = "SELECT n, CASE WHEN n >= 0 AND n < ?3 THEN b END FROM post WHERE col = ?1 AND val = ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut len = 0;
        for number in self.numbers(column, code, system) {
            let n = statement
                .query_row(params![number, code, LEN_UNCHECKED_MAX], |row| {
                    let (cell, piece): (i64, _) = (row.get(0)?, row.get_ref(1)?.as_blob_or_null()?);
                    Ok(match piece {
                        Some(piece) => self.list(number, code, cell, piece).map(|rows| rows.len()),
                        None => {
                            (cell == len_cell(number, code, cell as u32)).then_some(u64::from(cell as u32))
                        }
                    })
                })
                .optional()
                .map_err(&failed)?;
            len += n.flatten().ok_or_else(|| self.damaged("the length of a posting list cannot be read"))?;
        }
        Ok(len)
    }

    /// The numbers under which rows with this code are listed, among those that exist.
    fn numbers(&self, column: Coded, code: u32, system: bool) -> impl Iterator<Item = u32> + use<> {
        let number = column.at() as u32;
        let is_listed = |system| self.head.listed(column, system).contains(code);
        let own = (system && is_listed(true)).then_some(number + SYSTEM_POSTINGS);
        is_listed(false).then_some(number).into_iter().chain(own)
    }

    /// Adds the rows that have a key with this hash.
    pub(crate) fn add_key(&self, kind: usize, hash: u64, rows: &mut RoaringBitmap) -> Result<(), IndexError> {
        let Some(bits) = self.head.bucket_bits[kind] else { return Ok(()) };
        let bucket = bucket_of(kind, hash, bits);
        if !self.head.buckets[kind].contains(bucket) {
            return Ok(());
        }
        let key = (kind as u32) << 20 | bucket;
        let (print, n) = (print_of(kind, hash), self.head.n);
        // They ascend within a bucket. A row that has the key twice, because of a related resource, is there twice.
        let mut found: Vec<u32> = Vec::new();
        let looked = self.with_blob("SELECT b FROM hb WHERE k = ?1", Piece::Bucket, key, |blob| {
            each_key(kind, blob, |row, other| {
                if other == print && found.last() != Some(&row) {
                    found.push(row);
                }
            })
        })?;
        looked.ok_or_else(|| self.damaged("a bucket of keys is missing"))?;
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
        let (from, mut buckets) = ((KEY_ID as u32) << 20, 0);
        let sql = "SELECT k - ?1, b FROM hb WHERE k >= ?1 AND k < ?1 + (1 << 20)";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut found = statement.query(params![from]).map_err(&failed)?;
        while let Some(row) = found.next().map_err(&failed)? {
            let bucket: u32 = row.get(0).map_err(&failed)?;
            let piece = row.get_ref(1).map_err(&failed)?.as_blob().ok();
            let blob = piece.and_then(|piece| unseal(Piece::Bucket, &[(from | bucket).into()], piece));
            let blob = blob.ok_or_else(|| self.damaged("a bucket of keys cannot be read"))?;
            each_key(KEY_ID, blob, |_, print| filter.insert(bucket, print))
                .ok_or_else(|| self.damaged("a bucket of keys cannot be read"))?;
            buckets += 1;
        }
        if buckets != self.head.buckets[KEY_ID].len() {
            return Err(self.damaged("a bucket of keys is missing"));
        }
        Ok(filter)
    }

    fn with_block<T>(
        &self,
        column: u32,
        block: u32,
        with: impl FnOnce(Column<'_>) -> Option<T>,
    ) -> Result<T, IndexError> {
        let n = self.block_rows(block);
        let sql = "SELECT b FROM colb WHERE k = ?1";
        self.with_blob(sql, Piece::Block, column << 16 | block, |blob| {
            let mut bytes = Bytes::new(blob);
            let column = bytes.column(n)?;
            bytes.is_empty().then_some(())?;
            with(column)
        })?
        .ok_or_else(|| self.damaged("a column block is missing"))
    }

    /// Reads the times of a block's rows into `times`.
    pub(crate) fn times(&self, block: u32, times: &mut Vec<i64>) -> Result<(), IndexError> {
        times.clear();
        self.with_block(BLOCK_TIME, block, |column| {
            column.for_each(|time| times.push(time));
            Some(())
        })
    }

    /// Reads the codes of a block's rows into `codes`. The column must be one that has blocks.
    pub(crate) fn codes(&self, column: Coded, block: u32, codes: &mut Vec<u32>) -> Result<(), IndexError> {
        codes.clear();
        self.with_block(BLOCK_CODED + column.at() as u32, block, |column| {
            column.for_each(|code| codes.push(code as u32));
            Some(())
        })
    }

    /// Where the row's line begins in its segment. To read many, keep the last block.
    pub(crate) fn offset(&self, row: u32, held: &mut HeldBlock) -> Result<u64, IndexError> {
        self.held(BLOCK_OFFSET, row, held).map(i64::cast_unsigned)
    }

    /// The row's time.
    pub(crate) fn time(&self, row: u32, held: &mut HeldBlock) -> Result<i64, IndexError> {
        self.held(BLOCK_TIME, row, held)
    }

    /// Reads the rows at the places of a block in the order of time into `rows`. Only for a range that is not sorted.
    pub(crate) fn rows_by_time(&self, block: u32, rows: &mut Vec<u32>) -> Result<(), IndexError> {
        rows.clear();
        let mut rank = i64::from(block) * BLOCK_ROWS as i64;
        let n = i64::from(self.head.n);
        self.with_block(BLOCK_ORDER, block, |column| {
            let mut are_rows = true;
            column.for_each(|away| {
                let row = rank.wrapping_add(away);
                are_rows &= (0..n).contains(&row);
                rows.push(row as u32);
                rank += 1;
            });
            are_rows.then_some(())
        })
    }

    /// One number of a column.
    fn held(&self, column: u32, row: u32, held: &mut HeldBlock) -> Result<i64, IndexError> {
        let (block, at) = (row / BLOCK_ROWS as u32, row as usize % BLOCK_ROWS);
        let key = column << 16 | block;
        let place = Some((self.head.lo, key));
        if held.place != place {
            held.place = None;
            let read = self.with_blob("SELECT b FROM colb WHERE k = ?1", Piece::Block, key, |blob| {
                held.bytes.clear();
                held.bytes.extend_from_slice(blob);
                Some(())
            })?;
            read.ok_or_else(|| self.damaged("a column block is missing"))?;
            held.place = place;
        }
        let column = Bytes::new(&held.bytes).column(self.block_rows(block));
        let number = column.and_then(|column| column.get(at));
        number.ok_or_else(|| self.damaged("a column block cannot be read"))
    }

    fn block_rows(&self, block: u32) -> usize {
        (self.head.n as usize).saturating_sub(block as usize * BLOCK_ROWS).min(BLOCK_ROWS)
    }

    /// Whether [`sums`](RangeFile::sums) knows this column.
    pub(crate) fn has_sums(&self, column: Coded) -> bool {
        WITH_BLOCKS.contains(&column)
    }

    /// Codes and counts of a column's values among ordinary events.
    pub(crate) fn sums(&self, column: Coded, mut each: impl FnMut(u32, u64)) -> Result<(), IndexError> {
        if self.head.ordinary() == 0 {
            return Ok(());
        }
        let sql = "SELECT b FROM sums WHERE col = ?1";
        let found = self.with_blob(sql, Piece::Sums, column.at() as u32, |blob| {
            let mut bytes = Bytes::new(blob);
            while !bytes.is_empty() {
                let (code, n) = (bytes.varint()?, bytes.varint()?);
                each(code, u64::from(n));
            }
            Some(())
        })?;
        found.ok_or_else(|| self.damaged("the sums of a column are missing"))
    }

    /// Whether the file holds exactly this piece.
    pub(crate) fn holds(&self, part: Part, piece: &[u8]) -> Result<bool, IndexError> {
        let is_same = |sql, key: u32| {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_row(params![key, piece], |row| row.get(0)).optional()
        };
        let found = match part {
            Part::Head => is_same("SELECT b = ?2 FROM head WHERE rowid > ?1", 0),
            Part::Bucket { key } => is_same("SELECT b = ?2 FROM hb WHERE k = ?1", key),
            Part::Block { key } => is_same("SELECT b = ?2 FROM colb WHERE k = ?1", key),
            Part::Sums { column } => is_same("SELECT b = ?2 FROM sums WHERE col = ?1", column),
            Part::Posting { column, code, n } => {
                let sql = "SELECT n = ?3 AND b = ?4 FROM post WHERE col = ?1 AND val = ?2";
                self.connection.prepare_cached(sql).and_then(|mut statement| {
                    let cell = len_cell(column, code, n);
                    statement.query_row(params![column, code, cell, piece], |row| row.get(0)).optional()
                })
            }
        };
        let found: Option<bool> = found.map_err(sqlite_at(&self.path))?;
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
