//! What the main file says of itself: how far it is, and which ranges are closed.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use trailseal_tlog::Hash;

use crate::codec::{Bytes, put_i64, put_u32, put_u64, seal, unseal};
use crate::schema::{DICTIONARIES, Piece};

/// What the main file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// Everything below has a row.
    pub(crate) cursor: u64,
    /// The index after the last line that was delivered. Rows of retired lines may follow: they have no line.
    pub(crate) delivered: u64,
    /// How often rows of retired lines were taken out.
    pub(crate) cleared: u64,
    /// The hash of the last line that was delivered.
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

    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Self>> {
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

/// Notes for each range, by its first index, how many of its lines were retired when its rows were made.
pub(crate) fn put_retired(retired: &BTreeMap<u64, u64>, connection: &Connection) -> rusqlite::Result<()> {
    let mut out = Vec::new();
    for (lo, count) in retired {
        put_u64(*lo, &mut out);
        put_u64(*count, &mut out);
    }
    seal(Piece::Retired, &[], &mut out);
    let mut meta = connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('retired', ?1)")?;
    meta.execute(params![out]).map(drop)
}

/// What [`put_retired`] has noted. Nothing, if it cannot be read: then all ranges are made again.
pub(super) fn decode_retired(piece: &[u8]) -> Option<BTreeMap<u64, u64>> {
    let mut bytes = Bytes::new(unseal(Piece::Retired, &[], piece)?);
    let mut retired = BTreeMap::new();
    while !bytes.is_empty() {
        retired.insert(bytes.u64()?, bytes.u64()?);
    }
    Some(retired)
}

impl State {
    pub(crate) fn new() -> Self {
        State {
            cursor: 0,
            delivered: 0,
            cleared: 0,
            last_leaf: None,
            ranges: Vec::new(),
            values: [(0, 0); DICTIONARIES],
        }
    }

    /// Everything except the ranges, as a piece.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(self.cursor, &mut out);
        put_u64(self.delivered, &mut out);
        put_u64(self.cleared, &mut out);
        for (len, crc) in self.values {
            put_u32(len, &mut out);
            put_u32(crc, &mut out);
        }
        out.extend(self.last_leaf.iter().flat_map(|leaf| leaf.0));
        seal(Piece::State, &[], &mut out);
        out
    }

    pub(super) fn decode(piece: &[u8]) -> Option<Self> {
        let mut bytes = Bytes::new(unseal(Piece::State, &[], piece)?);
        let (cursor, delivered, cleared) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
        let mut state = State { cursor, delivered, cleared, ..State::new() };
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
