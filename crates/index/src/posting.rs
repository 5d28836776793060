//! Posting lists: the rows of a range that have a value.
//!
//! Fewer than [`SHORT_ROWS`] rows are varints, each the distance from the row before; more are a roaring bitmap in its
//! portable form, with runs where they are shorter.

use roaring::RoaringBitmap;

use crate::codec::{Bytes, put_varint};

const SHORT_ROWS: usize = 1_024;

/// `rows` ascend.
pub(crate) fn encode(rows: &[u32], out: &mut Vec<u8>) {
    out.clear();
    if rows.len() < SHORT_ROWS {
        let mut before = 0;
        for &row in rows {
            put_varint(row - before, out);
            before = row;
        }
        return;
    }
    let mut bitmap = RoaringBitmap::new();
    // They ascend, so none is left out.
    let _ = bitmap.append(rows.iter().copied());
    bitmap.optimize();
    // Writing to a vector cannot fail.
    let _ = bitmap.serialize_into(out);
}

/// The list of `n` rows below `end`; `None` if the bytes are not one.
pub(crate) fn decode(n: usize, blob: &[u8], end: u32) -> Option<RoaringBitmap> {
    let bitmap = if n < SHORT_ROWS {
        let mut bytes = Bytes::new(blob);
        let mut bitmap = RoaringBitmap::new();
        let mut row = 0_u32;
        while !bytes.is_empty() {
            row = row.checked_add(bytes.varint()?)?;
            bitmap.try_push(row).ok()?;
        }
        bitmap
    } else {
        RoaringBitmap::deserialize_from(blob).ok()?
    };
    (bitmap.len() == n as u64 && bitmap.max().is_none_or(|max| max < end)).then_some(bitmap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_read_back(step in 1..200_u32, n in 0..3_000_u32, begin in 0..5_u32) {
            let rows: Vec<u32> = (0..n).map(|at| begin + at * step).collect();
            let mut blob = Vec::new();
            encode(&rows, &mut blob);
            let end = rows.last().map_or(0, |last| last + 1);
            let read = decode(rows.len(), &blob, end).unwrap();
            prop_assert!(read.iter().eq(rows.iter().copied()));
            prop_assert!(rows.is_empty() || decode(rows.len(), &blob, end - 1).is_none());
            prop_assert!(decode(rows.len() + 1, &blob, end).is_none());
        }

        #[test]
        fn survives_any_bytes(n in 0..3_000_usize, noise in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(n, &noise, 250_000);
        }
    }
}
