//! Builds a closed range from its rows. The same rows always give the same bytes, so a range can be checked by building
//! it again.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::bucket::{BUCKET_KEYS, bucket_of, put_bucket};
use super::{
    BLOCK_CODED, BLOCK_OFFSET, BLOCK_ORDER, BLOCK_TIME, Head, SYSTEM_POSTINGS, WITH_BLOCKS, len_cell,
};
use crate::codec::{put_column, put_varint, seal};
use crate::error::{IndexError, io_at, sqlite_at};
use crate::posting;
use crate::rows::{Keys, Rows};
use crate::schema::{BLOCK_ROWS, Coded, KEYS, MARK_NONE, MARK_SYSTEM, Piece};
use crate::store::{create_private, open_connection};

/// One piece of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Head,
    Posting { column: u32, code: u32, n: u32 },
    Bucket { key: u32 },
    Block { key: u32 },
    Sums { column: u32 },
}

impl Part {
    /// Appends this piece's checksum to `bytes`.
    fn seal(self, bytes: &mut Vec<u8>) {
        match self {
            Part::Head => seal(Piece::Head, &[], bytes),
            Part::Posting { column, code, n } => {
                seal(Piece::Posting, &[column.into(), code.into(), n.into()], bytes);
            }
            Part::Bucket { key } => seal(Piece::Bucket, &[key.into()], bytes),
            Part::Block { key } => seal(Piece::Block, &[key.into()], bytes),
            Part::Sums { column } => seal(Piece::Sums, &[column.into()], bytes),
        }
    }
}

/// Builds the pieces of a range: the head last, and the others of each kind in the order of their keys.
pub(crate) struct Builder<'a> {
    rows: &'a Rows,
    /// The rows in order of time, unless they already are.
    order: Option<Vec<u32>>,
    blob: Vec<u8>,
    sorted: Sorted,
    head: Head,
}

/// Takes a piece that has its checksum.
type PutSealed<'a> = dyn FnMut(Part, &[u8]) -> Result<(), IndexError> + 'a;
/// Takes a piece and adds its checksum.
type Put<'a> = dyn FnMut(Part, &mut Vec<u8>) -> Result<(), IndexError> + 'a;

impl<'a> Builder<'a> {
    pub(crate) fn new(rows: &'a Rows, seed: u64) -> Self {
        let bucket_bits = std::array::from_fn(|kind| bits(&rows.keys[kind]));
        let order = in_order_of_time(&rows.times);
        let head = Head::of(rows, order.as_deref(), seed, bucket_bits);
        Builder { rows, order, blob: Vec::new(), sorted: Sorted::default(), head }
    }

    /// Calls `put` with each piece.
    pub(crate) fn build(mut self, put: &mut PutSealed<'_>) -> Result<(), IndexError> {
        let put = &mut |part: Part, blob: &mut Vec<u8>| {
            part.seal(blob);
            put(part, blob)
        };
        self.lists(put)?;
        let bucket_bits: [Option<u8>; KEYS] = self.head.bucket_bits;
        for (kind, bits) in bucket_bits.into_iter().enumerate() {
            if let Some(bits) = bits {
                self.buckets(kind, bits, put)?;
            }
        }
        let Rows { times, offsets, codes, .. } = self.rows;
        self.blocks(BLOCK_TIME, times, |time| *time, put)?;
        self.blocks(BLOCK_OFFSET, offsets, |offset| offset.cast_signed(), put)?;
        for column in WITH_BLOCKS {
            let number = BLOCK_CODED + column.at() as u32;
            self.blocks(number, &codes[column.at()], |code| i64::from(*code), put)?;
        }
        if let Some(order) = self.order.take() {
            let away: Vec<i64> = (0..).zip(&order).map(|(rank, row)| i64::from(*row) - rank).collect();
            self.blocks(BLOCK_ORDER, &away, |away| *away, put)?;
        }
        put(Part::Head, &mut self.head.encode())
    }

    fn lists(&mut self, put: &mut Put<'_>) -> Result<(), IndexError> {
        let columns = Coded::ALL.into_iter().filter(|column| *column != Coded::Mark);
        for column in columns.clone() {
            self.postings(column, MARK_NONE, put)?;
        }
        for column in columns {
            self.postings(column, MARK_SYSTEM, put)?;
        }
        Ok(())
    }

    /// The posting lists of a column among rows with this mark, and the sums of the ordinary ones.
    fn postings(&mut self, column: Coded, mark: u32, put: &mut Put<'_>) -> Result<(), IndexError> {
        let marks = &self.rows.codes[Coded::Mark.at()];
        if !marks.contains(&mark) {
            return Ok(());
        }
        let codes = &self.rows.codes[column.at()];
        let own = (0..).zip(codes.iter().zip(marks)).filter(|(_, (_, it))| **it == mark);
        let own = own.map(|(row, (code, _))| (*code, row));
        let mut more = Vec::new();
        if column == Coded::Kind {
            let kinds = self.rows.more_kinds.iter();
            more.extend(
                kinds.filter(|(row, _)| marks[*row as usize] == mark).map(|(row, code)| (*code, *row)),
            );
        }
        let mut sums = Vec::new();
        if mark == MARK_NONE && WITH_BLOCKS.contains(&column) {
            self.sorted.sort(own.clone());
            for (code, rows) in self.sorted.groups() {
                put_varint(code, &mut sums);
                put_varint(rows.len() as u32, &mut sums);
            }
        }
        if sums.is_empty() || !more.is_empty() {
            let mut pairs: Vec<(u32, u32)> = own.collect();
            pairs.append(&mut more);
            pairs.sort_unstable_by_key(|(_, row)| *row);
            self.sorted.sort(pairs.iter().copied());
        }
        let number = column.at() as u32 + if mark == MARK_SYSTEM { SYSTEM_POSTINGS } else { 0 };
        let listed = self.head.listed_mut(column, mark == MARK_SYSTEM);
        for (code, rows) in self.sorted.groups().filter(|(code, _)| *code > 0) {
            listed.insert(code);
            posting::encode(rows, &mut self.blob);
            put(Part::Posting { column: number, code, n: rows.len() as u32 }, &mut self.blob)?;
        }
        if !sums.is_empty() {
            put(Part::Sums { column: number }, &mut sums)?;
        }
        Ok(())
    }

    fn buckets(&mut self, kind: usize, bits: u8, put: &mut Put<'_>) -> Result<(), IndexError> {
        let keys = &self.rows.keys[kind];
        let places = (0..).zip(&keys.hashes).map(|(place, hash)| (bucket_of(kind, *hash, bits), place));
        self.sorted.sort(places);
        for (bucket, places) in self.sorted.groups() {
            self.head.buckets[kind].insert(bucket);
            self.blob.clear();
            let keys = places.iter().map(|at| (keys.rows[*at as usize], keys.hashes[*at as usize]));
            put_bucket(kind, keys, &mut self.blob);
            put(Part::Bucket { key: (kind as u32) << 20 | bucket }, &mut self.blob)?;
        }
        Ok(())
    }

    fn blocks<T>(
        &mut self,
        column: u32,
        values: &[T],
        number: impl Fn(&T) -> i64,
        put: &mut Put<'_>,
    ) -> Result<(), IndexError> {
        for (block, values) in (0..).zip(values.chunks(BLOCK_ROWS)) {
            self.blob.clear();
            put_column(values.iter().map(&number), &mut self.blob);
            put(Part::Block { key: column << 16 | block }, &mut self.blob)?;
        }
        Ok(())
    }
}

/// The rows by time, and at the same time by number; `None` if they already come like that.
fn in_order_of_time(times: &[i64]) -> Option<Vec<u32>> {
    if times.is_sorted() {
        return None;
    }
    let mut order: Vec<u32> = (0..times.len() as u32).collect();
    order.sort_by_key(|row| times[*row as usize]);
    Some(order)
}

/// The number of buckets with which each has about [`BUCKET_KEYS`] keys.
fn bits(keys: &Keys) -> Option<u8> {
    let n = keys.rows.len();
    (n > 0).then(|| n.div_ceil(BUCKET_KEYS).next_power_of_two().trailing_zeros().min(16) as u8)
}

/// Places in the order of their codes, by counting sort.
#[derive(Default)]
struct Sorted {
    /// Where each code's places end, by code from `low` on.
    ends: Vec<u32>,
    low: u32,
    places: Vec<u32>,
}

impl Sorted {
    /// Within a code, places keep their order.
    fn sort(&mut self, pairs: impl Iterator<Item = (u32, u32)> + Clone) {
        let (mut low, mut high, mut n) = (u32::MAX, 0, 0);
        for (code, _) in pairs.clone() {
            low = low.min(code);
            high = high.max(code);
            n += 1;
        }
        self.low = low;
        self.ends.clear();
        self.places.clear();
        if n == 0 {
            return;
        }
        self.ends.resize((high - low) as usize + 1, 0);
        self.places.resize(n, 0);
        for (code, _) in pairs.clone() {
            self.ends[(code - low) as usize] += 1;
        }
        let mut begin = 0;
        for end in &mut self.ends {
            begin += std::mem::replace(end, begin);
        }
        // Each is now where its places begin, and moves to where they end.
        for (code, place) in pairs {
            let at = &mut self.ends[(code - low) as usize];
            self.places[*at as usize] = place;
            *at += 1;
        }
    }

    fn groups(&self) -> impl Iterator<Item = (u32, &[u32])> {
        let mut begin = 0;
        (self.low..).zip(&self.ends).filter_map(move |(code, &end)| {
            let places = &self.places[begin as usize..end as usize];
            begin = end;
            (!places.is_empty()).then_some((code, places))
        })
    }
}

/// Writes the range into a new file at `path`, and syncs it.
pub(crate) fn write(rows: &Rows, seed: u64, path: &Path) -> Result<(), IndexError> {
    let failed = sqlite_at(path);
    let file = create_private(path)?;
    let mut connection = open_connection(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(&failed)?;
    connection
        .execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
             PRAGMA cache_size = -4096;
             CREATE TABLE head (b BLOB NOT NULL);
             CREATE TABLE post (col INTEGER NOT NULL, val INTEGER NOT NULL, n INTEGER NOT NULL, b BLOB NOT NULL,
                 PRIMARY KEY (col, val)) WITHOUT ROWID;
             CREATE TABLE hb (k INTEGER PRIMARY KEY, b BLOB NOT NULL);
             CREATE TABLE colb (k INTEGER PRIMARY KEY, b BLOB NOT NULL);
             CREATE TABLE sums (col INTEGER PRIMARY KEY, b BLOB NOT NULL);",
        )
        .map_err(&failed)?;
    let transaction = connection.transaction().map_err(&failed)?;
    insert(rows, seed, &transaction, path)?;
    transaction.commit().map_err(&failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    file.sync_all().map_err(io_at("sync", path))
}

fn insert(rows: &Rows, seed: u64, connection: &Connection, path: &Path) -> Result<(), IndexError> {
    let failed = sqlite_at(path);
    let prepare = |sql| connection.prepare(sql).map_err(&failed);
    let mut head = prepare("INSERT INTO head VALUES (?1)")?;
    let mut post = prepare("INSERT INTO post VALUES (?1, ?2, ?3, ?4)")?;
    let mut bucket = prepare("INSERT INTO hb VALUES (?1, ?2)")?;
    let mut block = prepare("INSERT INTO colb VALUES (?1, ?2)")?;
    let mut sums = prepare("INSERT INTO sums VALUES (?1, ?2)")?;
    Builder::new(rows, seed).build(&mut |part, blob| {
        match part {
            Part::Head => head.execute(params![blob]),
            Part::Posting { column, code, n } => {
                post.execute(params![column, code, len_cell(column, code, n), blob])
            }
            Part::Bucket { key } => bucket.execute(params![key, blob]),
            Part::Block { key } => block.execute(params![key, blob]),
            Part::Sums { column } => sums.execute(params![column, blob]),
        }
        .map(drop)
        .map_err(&failed)
    })
}
