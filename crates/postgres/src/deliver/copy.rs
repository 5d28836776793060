//! Lines as the bytes of a binary COPY.

use bytes::{BufMut, Bytes, BytesMut};
use trailseal_core::deliver::BatchLine;
use trailseal_event::Outcome;
use trailseal_event::fields::Fields;
use trailseal_event::line::parse_front;
use trailseal_tlog::{Hash, leaf_hash};

use crate::columns::{cleaned, cleaned_address, related};

/// The columns, in the order in which a row has them.
pub(crate) const COLUMNS: &str = "origin, idx, recorded, time, id, tenant, category, action, resource_type, \
    resource_id, resource_name, related, outcome, severity, actor_id, actor_name, on_behalf_of, ip, request_id, \
    correlation_id, session_id, trace_id, system, leaf, line";
const COLUMNS_LEN: i16 = 25;

/// Each message carries about so many bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// 2000-01-01, from where PostgreSQL counts microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

const TEXT_OID: u32 = 25;

/// Rows for one partition.
pub(super) struct Rows {
    growing: BytesMut,
    pub(super) len: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    /// The earliest effective time, in microseconds.
    pub(super) time_min: i64,
    pub(super) last_leaf: Hash,
}

impl Rows {
    pub(super) fn new() -> Rows {
        let mut growing = BytesMut::with_capacity(CHUNK_BYTES + (CHUNK_BYTES >> 2));
        growing.put_slice(b"PGCOPY\n\xff\r\n\0");
        growing.put_u32(0);
        growing.put_u32(0);
        let last_leaf = Hash([0; 32]);
        Rows { growing, len: 0, first: u64::MAX, last: 0, time_min: i64::MAX, last_leaf }
    }

    pub(super) fn push(&mut self, origin: &str, line: &BatchLine<'_>) {
        let index = line.index.get();
        let Put { leaf, time } = put_row(&mut self.growing, origin, index, line.bytes);
        self.first = self.first.min(index);
        self.last = index;
        self.time_min = self.time_min.min(time);
        self.last_leaf = leaf;
        self.len += 1;
    }

    /// The bytes since the last ones, if they fill a message.
    pub(super) fn take_full(&mut self) -> Option<Bytes> {
        (self.growing.len() >= CHUNK_BYTES).then(|| self.growing.split().freeze())
    }

    /// The rest.
    pub(super) fn take_last(&mut self) -> Bytes {
        self.growing.put_i16(-1);
        self.growing.split().freeze()
    }
}

/// What a row was made with.
pub(crate) struct Put {
    pub(crate) leaf: Hash,
    /// The effective time, in microseconds.
    pub(crate) time: i64,
}

/// Adds the row of a line.
pub(crate) fn put_row(out: &mut BytesMut, origin: &str, index: u64, line: &[u8]) -> Put {
    let recorded = recorded_micros(line);
    // A line that cannot be read is kept as it is, and found by its index.
    let fields = Fields::of_line(line).unwrap_or(Fields { time: recorded, ..Fields::default() });
    let leaf = leaf_hash(line);
    out.put_i16(COLUMNS_LEN);
    put(out, origin.as_bytes());
    put(out, &index.cast_signed().to_be_bytes());
    put(out, &(recorded - EPOCH_MICROS).to_be_bytes());
    put(out, &(fields.time - EPOCH_MICROS).to_be_bytes());
    put_text(out, fields.id.as_deref());
    put_text(out, fields.tenant.as_deref());
    put_text(out, Some(&fields.category));
    put_text(out, Some(&fields.action));
    put_text(out, fields.resource.kind.as_deref());
    put_text(out, fields.resource.id.as_deref());
    put_text(out, fields.resource.name.as_deref());
    put_texts(out, &related(&fields));
    put_text(out, fields.outcome.map(Outcome::name));
    put_text(out, Some(fields.severity.name()));
    put_text(out, fields.actor_id.as_deref());
    put_text(out, fields.actor_name.as_deref());
    put_text(out, fields.on_behalf_of.as_deref());
    put_some(out, fields.ip.as_deref().map(cleaned_address).as_deref());
    put_text(out, fields.request_id.as_deref());
    put_text(out, fields.correlation_id.as_deref());
    put_text(out, fields.session_id.as_deref());
    put_text(out, fields.trace_id.as_deref());
    put(out, &[u8::from(fields.system)]);
    put(out, &leaf.0);
    put(out, line);
    Put { leaf, time: fields.time }
}

/// When a line was recorded, in microseconds.
pub(super) fn recorded_micros(line: &[u8]) -> i64 {
    parse_front(line).map_or(0, |front| front.recorded.as_micros())
}

fn put(out: &mut BytesMut, bytes: &[u8]) {
    // No line and no text is longer than 64 KiB.
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

fn put_text(out: &mut BytesMut, text: Option<&str>) {
    put_some(out, text.map(cleaned).as_deref());
}

fn put_some(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put(out, text.as_bytes()),
        None => out.put_i32(-1),
    }
}

fn put_texts(out: &mut BytesMut, texts: &[String]) {
    if texts.is_empty() {
        return out.put_i32(-1);
    }
    let bytes: usize = texts.iter().map(|text| 4 + text.len()).sum();
    out.put_i32((20 + bytes) as i32);
    out.put_i32(1); // dimensions
    out.put_i32(0); // no NULL among them
    out.put_u32(TEXT_OID);
    out.put_i32(texts.len() as i32);
    out.put_i32(1); // numbered from 1
    texts.iter().for_each(|text| put(out, text.as_bytes()));
}
