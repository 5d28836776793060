//! Buckets of keys: the rows that have one, and the part of each hash that the bucket's number does not give.
//!
//! ```text
//! n varint | width u8 | n packed numbers: how far each row is from the one before | n packed prints
//! ```
//!
//! What must hold: a key that was put in is found; another one is mistaken for it only if all kept bits are the same.

use crate::codec::{Bytes, put_packed, put_varint, width_of};
use crate::schema::is_wide;

/// Keys per bucket, approximately.
pub(crate) const BUCKET_KEYS: usize = 256;

/// The bucket, out of `1 << bits`, that a hash belongs to: by its highest bits.
pub(crate) fn bucket_of(kind: usize, hash: u64, bits: u8) -> u32 {
    let of = if is_wide(kind) { u64::BITS } else { u32::BITS };
    hash.checked_shr(of - u32::from(bits)).unwrap_or(0) as u32
}

/// How many bits of a hash are kept in addition to the bucket number.
fn print_bits(kind: usize) -> u32 {
    if is_wide(kind) { 46 } else { 22 }
}

/// What a bucket keeps of a hash: its low bits.
pub(crate) fn print_of(kind: usize, hash: u64) -> u64 {
    hash & ((1 << print_bits(kind)) - 1)
}

/// Appends a bucket of rows, ascending, with their hashes.
pub(crate) fn put_bucket(kind: usize, keys: impl Iterator<Item = (u32, u64)> + Clone, out: &mut Vec<u8>) {
    let mut before = 0;
    let steps = keys.clone().map(move |(row, _)| u64::from(row - std::mem::replace(&mut before, row)));
    let (n, all) = steps.clone().fold((0, 0), |(n, all), step| (n + 1, all | step));
    put_varint(n, out);
    out.push(width_of(all) as u8);
    put_packed(steps, width_of(all), out);
    put_packed(keys.map(|(_, hash)| print_of(kind, hash)), print_bits(kind), out);
}

/// Calls `each` with the row and print of each key; `None` if the bytes are not a bucket.
pub(crate) fn each_key(kind: usize, bucket: &[u8], mut each: impl FnMut(u32, u64)) -> Option<()> {
    let mut bytes = Bytes::new(bucket);
    let n = bytes.varint()? as usize;
    let width = bytes.u8()?;
    let (steps, prints) = (bytes.packed(n, width.into())?, bytes.packed(n, print_bits(kind))?);
    bytes.is_empty().then_some(())?;
    let mut row = 0_u32;
    for at in 0..n {
        row = row.checked_add(u32::try_from(steps.get(at)?).ok()?)?;
        each(row, prints.get(at)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{KEY_ID, KEY_SESSION};

    proptest! {
        #[test]
        fn buckets_read_back(keys in prop::collection::vec((0..250_000_u32, any::<u64>()), 0..300)) {
            let mut keys = keys;
            keys.sort_unstable();
            for kind in [KEY_ID, KEY_SESSION] {
                let mut bucket = Vec::new();
                put_bucket(kind, keys.iter().copied(), &mut bucket);
                let mut read = Vec::new();
                each_key(kind, &bucket, |row, print| read.push((row, print))).unwrap();
                let wanted: Vec<_> = keys.iter().map(|(row, hash)| (*row, print_of(kind, *hash))).collect();
                prop_assert_eq!(read, wanted);
                prop_assert!(each_key(kind, &bucket[..bucket.len() - 1], |_, _| ()).is_none());
            }
        }

        #[test]
        fn survives_any_bytes(noise in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = each_key(KEY_ID, &noise, |_, _| ());
        }
    }
}
