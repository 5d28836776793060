//! What is kept in memory of a closed range.

use roaring::RoaringBitmap;

use crate::codec::{Bytes, put_blob, put_i64, put_u32, put_u64};
use crate::posting;
use crate::rows::{Rows, extent};
use crate::schema::{CODED, Coded, KEYS, MARK_SYSTEM, MARK_UNREADABLE, SPAN_ROWS};

/// What is kept in memory of a closed range.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Head {
    /// The seed of the index's hashes; it reveals a range of another index.
    pub(crate) seed: u64,
    pub(crate) lo: u64,
    pub(crate) n: u32,
    /// As in [`Rows`].
    pub(crate) segments: Vec<(u32, u64)>,
    /// The earliest and latest time of each [`SPAN_ROWS`] rows.
    pub(crate) spans: Vec<(i64, i64)>,
    pub(crate) earliest: i64,
    pub(crate) latest: i64,
    /// Whether the rows themselves are in order of time; otherwise blocks give their order.
    pub(crate) is_sorted: bool,
    /// The time of every [`SPAN_ROWS`]th row in the order of time.
    pub(crate) marks: Vec<i64>,
    /// Rows of the trail's own events.
    pub(crate) system: RoaringBitmap,
    /// Rows of unreadable lines.
    pub(crate) unreadable: RoaringBitmap,
    /// How many buckets each kind of key has, as a power of two; `None` if it has no keys.
    pub(crate) bucket_bits: [Option<u8>; KEYS],
    /// Codes that have a posting list, by column; those of the trail's own events after them.
    listed: [RoaringBitmap; 2 * CODED],
    /// Buckets that have keys, by their kind.
    pub(crate) buckets: [RoaringBitmap; KEYS],
}

impl Head {
    /// `order` is the order of time, `None` if that is the order of the rows.
    pub(crate) fn of(rows: &Rows, order: Option<&[u32]>, seed: u64, bucket_bits: [Option<u8>; KEYS]) -> Self {
        let marks = &rows.codes[Coded::Mark.at()];
        let marked =
            |mark: u32| (0..).zip(marks).filter(|(_, it)| **it == mark).map(|(row, _)| row).collect();
        let (earliest, latest) = extent(&rows.times);
        let marks = match order {
            None => rows.times.iter().step_by(SPAN_ROWS).copied().collect(),
            Some(order) => order.iter().step_by(SPAN_ROWS).map(|row| rows.times[*row as usize]).collect(),
        };
        Head {
            seed,
            lo: rows.lo,
            n: rows.len() as u32,
            segments: rows.segments.clone(),
            spans: rows.times.chunks(SPAN_ROWS).map(extent).collect(),
            earliest,
            latest,
            is_sorted: order.is_none(),
            marks,
            system: marked(MARK_SYSTEM),
            unreadable: marked(MARK_UNREADABLE),
            bucket_bits,
            ..Head::default()
        }
    }

    /// Codes of a column that have a posting list among ordinary events, or among the trail's own.
    pub(crate) fn listed(&self, column: Coded, system: bool) -> &RoaringBitmap {
        &self.listed[column.at() + if system { CODED } else { 0 }]
    }

    pub(crate) fn listed_mut(&mut self, column: Coded, system: bool) -> &mut RoaringBitmap {
        &mut self.listed[column.at() + if system { CODED } else { 0 }]
    }

    /// How many rows are ordinary events.
    pub(crate) fn ordinary(&self) -> u64 {
        u64::from(self.n).saturating_sub(self.system.len() + self.unreadable.len())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(self.seed, &mut out);
        put_u64(self.lo, &mut out);
        put_u32(self.n, &mut out);
        put_u32(self.segments.len() as u32, &mut out);
        for (row, segment) in &self.segments {
            put_u32(*row, &mut out);
            put_u64(*segment, &mut out);
        }
        for (low, high) in self.spans.iter().chain([&(self.earliest, self.latest)]) {
            put_i64(*low, &mut out);
            put_i64(*high, &mut out);
        }
        out.push(u8::from(self.is_sorted));
        for mark in &self.marks {
            put_i64(*mark, &mut out);
        }
        let sets = self.listed.iter().chain(&self.buckets);
        for rows in [&self.system, &self.unreadable].into_iter().chain(sets) {
            let mut blob = Vec::new();
            posting::encode(&rows.iter().collect::<Vec<u32>>(), &mut blob);
            put_u32(rows.len() as u32, &mut out);
            put_blob(&blob, &mut out);
        }
        out.extend(self.bucket_bits.map(|bits| bits.unwrap_or(u8::MAX)));
        out
    }

    pub(crate) fn decode(blob: &[u8]) -> Option<Self> {
        let mut bytes = Bytes::new(blob);
        let mut head = Head { seed: bytes.u64()?, lo: bytes.u64()?, n: bytes.u32()?, ..Head::default() };
        head.lo.checked_add(u64::from(head.n))?;
        for _ in 0..bytes.u32()? {
            head.segments.push((bytes.u32()?, bytes.u64()?));
        }
        for _ in 0..(head.n as usize).div_ceil(SPAN_ROWS) {
            head.spans.push((bytes.i64()?, bytes.i64()?));
        }
        (head.earliest, head.latest) = (bytes.i64()?, bytes.i64()?);
        head.is_sorted = bytes.u8()? != 0;
        for _ in 0..head.spans.len() {
            head.marks.push(bytes.i64()?);
        }
        for rows in [&mut head.system, &mut head.unreadable] {
            let n = bytes.u32()? as usize;
            *rows = posting::decode(n, bytes.blob()?, head.n)?;
        }
        for codes in head.listed.iter_mut().chain(&mut head.buckets) {
            let n = bytes.u32()? as usize;
            *codes = posting::decode(n, bytes.blob()?, u32::MAX)?;
        }
        for bits in &mut head.bucket_bits {
            *bits = Some(bytes.u8()?).filter(|bits| *bits != u8::MAX);
            if bits.is_some_and(|bits| bits > 16) {
                return None;
            }
        }
        bytes.is_empty().then_some(head)
    }
}
