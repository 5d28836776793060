//! The rows of the open range: in memory as columns, and in the main file as batch blobs.
//!
//! ```text
//! blob:  n u32 | segments: count u32, then (row u32, first index u64) each
//!        times, offsets, each coded column: packed columns of n
//!        further types: count u32, rows and codes: packed columns of count
//!        each kind of key: count u32, rows and hashes: packed columns of count
//! ```
//!
//! Row numbers in a blob count from its first row.

use std::ops::Range;

use trailseal_core::deliver::BatchLine;
use trailseal_event::fields::{Fields, ResourceFields};

use crate::codec::{Bytes, put_column, put_u32, put_u64};
use crate::dictionary::{GrowingDictionary, put_actor};
use crate::schema::{
    ABSENT, CODED, Coded, DICTIONARIES, Hasher, KEY_CORRELATION, KEY_ID, KEY_REQUEST, KEY_RESOURCE,
    KEY_SESSION, KEY_TRACE, KEYS, MARK_NONE, MARK_SYSTEM, MARK_UNREADABLE, OTHER, RANGE_KEYS_MAX,
    RANGE_ROWS_MAX, outcome_code, severity_code,
};

/// Rows of consecutive events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    /// Index of the first row's event.
    pub(crate) lo: u64,
    /// Effective times.
    pub(crate) times: Vec<i64>,
    pub(crate) offsets: Vec<u64>,
    /// First index of each segment, with its first row.
    pub(crate) segments: Vec<(u32, u64)>,
    /// By [`Coded`].
    pub(crate) codes: [Vec<u32>; CODED],
    /// Types of related resources that differ from the row's own type: row, code.
    pub(crate) more_kinds: Vec<(u32, u32)>,
    /// By kind of key.
    pub(crate) keys: [Keys; KEYS],
}

/// Hashes of one kind, in the order of their rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Keys {
    pub(crate) rows: Vec<u32>,
    pub(crate) hashes: Vec<u64>,
}

impl Keys {
    fn push(&mut self, row: u32, hash: u64) {
        self.rows.push(row);
        self.hashes.push(hash);
    }
}

/// Gives values their codes.
pub(crate) struct Coder {
    pub(crate) dictionaries: [GrowingDictionary; DICTIONARIES],
    pub(crate) hasher: Hasher,
    actor: Vec<u8>,
}

impl Coder {
    pub(crate) fn new(dictionaries: [GrowingDictionary; DICTIONARIES], hasher: Hasher) -> Self {
        Coder { dictionaries, hasher, actor: Vec::new() }
    }
}

impl Rows {
    pub(crate) fn new(lo: u64) -> Self {
        Rows { lo, ..Rows::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// The index after the last row.
    pub(crate) fn end(&self) -> u64 {
        self.lo + self.len() as u64
    }

    /// How many keys there are, of all kinds.
    pub(crate) fn keys_len(&self) -> usize {
        self.keys.iter().map(|keys| keys.rows.len()).sum()
    }

    /// The first index of the row's segment.
    pub(crate) fn segment(&self, row: u32) -> u64 {
        segment_of(&self.segments, row)
    }

    /// Adds a row for a line that was retired: it has a number and matches nothing.
    pub(crate) fn push_retired(&mut self) {
        if self.segments.is_empty() {
            self.segments.push((0, self.lo));
        }
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.push_unreadable();
    }

    fn push_unreadable(&mut self) {
        self.times.push(self.times.last().copied().unwrap_or(0));
        for (column, codes) in Coded::ALL.iter().zip(&mut self.codes) {
            codes.push(if *column == Coded::Mark { MARK_UNREADABLE } else { ABSENT });
        }
    }

    /// Adds a line as a row.
    pub(crate) fn push(&mut self, line: &BatchLine<'_>, coder: &mut Coder) {
        let row = self.len() as u32;
        let segment = line.segment.get();
        if self.segments.last().is_none_or(|(_, last)| *last != segment) {
            self.segments.push((row, segment));
        }
        self.offsets.push(line.offset);
        match Fields::of_line(line.bytes) {
            Some(fields) => self.push_fields(row, &fields, coder),
            None => self.push_unreadable(),
        }
    }

    fn push_fields(&mut self, row: u32, fields: &Fields<'_>, coder: &mut Coder) {
        self.times.push(fields.time);
        for (column, value) in [
            (Coded::Tenant, fields.tenant.as_deref()),
            (Coded::OnBehalfOf, fields.on_behalf_of.as_deref()),
            (Coded::Action, Some(&*fields.action)),
            (Coded::Category, Some(&*fields.category)),
            (Coded::Kind, fields.resource.kind.as_deref()),
            (Coded::Ip, fields.ip.as_deref()),
        ] {
            let code = value.map_or(ABSENT, |value| self.code(row, column, value, coder));
            self.codes[column.at()].push(code);
        }
        let actor = self.actor_code(row, fields, coder);
        self.codes[Coded::Actor.at()].push(actor);
        self.codes[Coded::Outcome.at()].push(outcome_code(fields.outcome));
        self.codes[Coded::Severity.at()].push(severity_code(fields.severity));
        self.codes[Coded::Mark.at()].push(if fields.system { MARK_SYSTEM } else { MARK_NONE });
        for (kind, value) in [
            (KEY_ID, &fields.id),
            (KEY_REQUEST, &fields.request_id),
            (KEY_CORRELATION, &fields.correlation_id),
            (KEY_SESSION, &fields.session_id),
            (KEY_TRACE, &fields.trace_id),
        ] {
            if let Some(value) = value {
                self.keys[kind].push(row, coder.hasher.key(kind, value));
            }
        }
        self.push_resource(row, &fields.resource, coder);
        if !fields.related.is_empty() {
            self.push_related(row, &fields.related, coder);
        }
    }

    /// The value's code; a value that is in no dictionary gets a key.
    fn code(&mut self, row: u32, column: Coded, value: &str, coder: &mut Coder) -> u32 {
        let hasher = coder.hasher;
        coder.dictionaries[column.at()].code(value.as_bytes(), hasher).unwrap_or_else(|| {
            if !cfg!(trailseal_fault = "index_values_lost") {
                self.keys[column.at()].push(row, hasher.key(column.at(), value));
            }
            OTHER
        })
    }

    fn actor_code(&mut self, row: u32, fields: &Fields<'_>, coder: &mut Coder) -> u32 {
        let (id, name) = (fields.actor_id.as_deref(), fields.actor_name.as_deref());
        if id.is_none() && name.is_none() {
            return ABSENT;
        }
        put_actor(id, name, &mut coder.actor);
        let hasher = coder.hasher;
        coder.dictionaries[Coded::Actor.at()].code(&coder.actor, hasher).unwrap_or_else(|| {
            for value in [id, name].into_iter().flatten() {
                self.keys[Coded::Actor.at()].push(row, hasher.key(Coded::Actor.at(), value));
            }
            OTHER
        })
    }

    fn push_resource(&mut self, row: u32, resource: &ResourceFields<'_>, coder: &Coder) {
        let Some(kind) = &resource.kind else { return };
        let keys = &mut self.keys[KEY_RESOURCE];
        if let Some(id) = &resource.id {
            keys.push(row, coder.hasher.resource(kind, id));
        }
        if let Some(name) = resource.name.as_ref().filter(|name| resource.id.as_ref() != Some(name)) {
            keys.push(row, coder.hasher.resource(kind, name));
        }
    }

    fn push_related(&mut self, row: u32, related: &[ResourceFields<'_>], coder: &mut Coder) {
        let own = self.codes[Coded::Kind.at()].last().copied();
        let begin = self.more_kinds.len();
        for resource in related {
            self.push_resource(row, resource, coder);
            let Some(kind) = &resource.kind else { continue };
            let code = self.code(row, Coded::Kind, kind, coder);
            if Some(code) != own && !self.more_kinds[begin..].contains(&(row, code)) {
                self.more_kinds.push((row, code));
            }
        }
    }

    /// The blob of the rows from `from` on.
    pub(crate) fn encode_from(&self, from: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity((self.len() - from) * 100 + 1_000);
        let first = from as u32;
        put_u32((self.len() - from) as u32, &mut out);
        let after = self.segments.partition_point(|(row, _)| *row <= first);
        let segments = &self.segments[after.saturating_sub(1)..];
        put_u32(segments.len() as u32, &mut out);
        for (row, segment) in segments {
            put_u32(row.saturating_sub(first), &mut out);
            put_u64(*segment, &mut out);
        }
        put_column(self.times[from..].iter().copied(), &mut out);
        put_column(self.offsets[from..].iter().map(|offset| offset.cast_signed()), &mut out);
        for codes in &self.codes {
            put_column(codes[from..].iter().map(|code| i64::from(*code)), &mut out);
        }
        let more = self.more_kinds.partition_point(|(row, _)| *row < first);
        let more = &self.more_kinds[more..];
        put_u32(more.len() as u32, &mut out);
        put_column(more.iter().map(|(row, _)| i64::from(row - first)), &mut out);
        put_column(more.iter().map(|(_, code)| i64::from(*code)), &mut out);
        for keys in &self.keys {
            let begin = keys.rows.partition_point(|row| *row < first);
            put_u32((keys.rows.len() - begin) as u32, &mut out);
            put_column(keys.rows[begin..].iter().map(|row| i64::from(row - first)), &mut out);
            put_column(keys.hashes[begin..].iter().map(|hash| hash.cast_signed()), &mut out);
        }
        out
    }

    /// Parses a blob; `None` if it is malformed.
    pub(crate) fn decode(lo: u64, blob: &[u8]) -> Option<Rows> {
        let mut bytes = Bytes::new(blob);
        let mut rows = Rows::new(lo);
        let n = bytes.u32().filter(|n| *n as usize <= RANGE_ROWS_MAX)? as usize;
        for _ in 0..bytes.u32()? {
            rows.segments.push((bytes.u32()?, bytes.u64()?));
        }
        rows.segments.first().filter(|(row, _)| *row == 0)?;
        rows.segments.is_sorted().then_some(())?;
        bytes.column(n)?.for_each(|time| rows.times.push(time));
        bytes.column(n)?.for_each(|offset| rows.offsets.push(offset.cast_unsigned()));
        for codes in &mut rows.codes {
            bytes.column(n)?.for_each(|code| codes.push(code as u32));
        }
        let count = list_len(&mut bytes)?;
        let (more_rows, more_codes) = (bytes.column(count)?, bytes.column(count)?);
        for at in 0..count {
            rows.more_kinds.push((row_below(more_rows.get(at)?, n)?, more_codes.get(at)? as u32));
        }
        rows.more_kinds.is_sorted_by_key(|(row, _)| *row).then_some(())?;
        for keys in &mut rows.keys {
            let count = list_len(&mut bytes)?;
            let (key_rows, hashes) = (bytes.column(count)?, bytes.column(count)?);
            key_rows.for_each(|row| keys.rows.push(row as u32));
            let is_row = |row: &u32| (*row as usize) < n;
            (keys.rows.is_sorted() && keys.rows.iter().all(is_row)).then_some(())?;
            hashes.for_each(|hash| keys.hashes.push(hash.cast_unsigned()));
        }
        bytes.is_empty().then_some(rows)
    }

    /// Adds the rows of `more` from its row `from` on. They must follow the last one here.
    pub(crate) fn append(&mut self, more: &Rows, from: usize) {
        let first = from as u32;
        // Wraps for rows before `from`, which are left out.
        let shift = (self.len() as u32).wrapping_sub(first);
        let begin = self.len() as u32;
        for (row, segment) in &more.segments {
            let row = row.wrapping_add(shift).cast_signed().max(begin.cast_signed()).cast_unsigned();
            if self.segments.last().is_none_or(|(_, last)| last != segment) {
                if self.segments.last().is_some_and(|(last, _)| *last == row) {
                    self.segments.pop();
                }
                self.segments.push((row, *segment));
            }
        }
        self.times.extend_from_slice(&more.times[from..]);
        self.offsets.extend_from_slice(&more.offsets[from..]);
        for (codes, more) in self.codes.iter_mut().zip(&more.codes) {
            codes.extend_from_slice(&more[from..]);
        }
        let from_kind = more.more_kinds.partition_point(|(row, _)| *row < first);
        let kinds = more.more_kinds[from_kind..].iter();
        self.more_kinds.extend(kinds.map(|(row, code)| (row.wrapping_add(shift), *code)));
        for (keys, more) in self.keys.iter_mut().zip(&more.keys) {
            let begin = more.rows.partition_point(|row| *row < first);
            keys.rows.extend(more.rows[begin..].iter().map(|row| row.wrapping_add(shift)));
            keys.hashes.extend_from_slice(&more.hashes[begin..]);
        }
    }

    /// Types of related resources of the rows in `range`.
    pub(crate) fn more_kinds_in(&self, range: &Range<u32>) -> &[(u32, u32)] {
        let begin = self.more_kinds.partition_point(|(row, _)| *row < range.start);
        let end = self.more_kinds.partition_point(|(row, _)| *row < range.end);
        &self.more_kinds[begin..end.max(begin)]
    }
}

/// The earliest and the latest of some times; the latest is before the earliest if there are none.
pub(crate) fn extent(times: &[i64]) -> (i64, i64) {
    times.iter().fold((i64::MAX, i64::MIN), |(low, high), &time| (low.min(time), high.max(time)))
}

/// The length of a list in a blob; a list longer than any that is written is invalid.
fn list_len(bytes: &mut Bytes<'_>) -> Option<usize> {
    bytes.u32().map(|len| len as usize).filter(|len| *len <= 2 * RANGE_KEYS_MAX)
}

fn row_below(row: i64, n: usize) -> Option<u32> {
    u32::try_from(row).ok().filter(|row| (*row as usize) < n)
}

/// The first index of the segment that holds the row.
pub(crate) fn segment_of(segments: &[(u32, u64)], row: u32) -> u64 {
    let after = segments.partition_point(|(first, _)| *first <= row);
    after.checked_sub(1).and_then(|at| segments.get(at)).map_or(0, |(_, segment)| *segment)
}
