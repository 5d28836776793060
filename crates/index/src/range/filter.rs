//! Whether a range can have an id: checked before its file is opened, and mostly false.

use xxhash_rust::xxh3::xxh3_64;

use super::bucket::{bucket_of, print_of};
use crate::schema::KEY_ID;

/// With three bits per id, about one in sixty absent ids appears to be present.
const BITS_AN_ID: usize = 10;

/// A Bloom filter of a range's ids, using as much of their hashes as the range's file has.
pub(crate) struct IdFilter {
    words: Vec<u64>,
    /// The number of buckets, as a power of two.
    bucket_bits: u8,
}

impl IdFilter {
    pub(crate) fn for_ids(count: usize, bucket_bits: u8) -> Self {
        IdFilter { words: vec![0; (count * BITS_AN_ID).div_ceil(64).max(1)], bucket_bits }
    }

    /// Adds an id by its bucket and its print there.
    pub(crate) fn insert(&mut self, bucket: u32, print: u64) {
        for (word, bit) in self.places(bucket, print) {
            self.words[word] |= bit;
        }
    }

    /// Whether an id with this hash can be there; certainly not if false.
    pub(crate) fn may_have(&self, hash: u64) -> bool {
        let places = self.places(bucket_of(KEY_ID, hash, self.bucket_bits), print_of(KEY_ID, hash));
        places.into_iter().all(|(word, bit)| self.words[word] & bit != 0)
    }

    /// A word and one of its bits, three times.
    fn places(&self, bucket: u32, print: u64) -> [(usize, u64); 3] {
        let hash = xxh3_64(&(u64::from(bucket) << 32 | print).to_le_bytes());
        let (first, step) = (hash as u32, (hash >> 32) as u32 | 1);
        let bits = self.words.len() as u64 * 64;
        [0, 1, 2].map(|nth| {
            let at = (u64::from(first.wrapping_add(step.wrapping_mul(nth))) * bits) >> 32;
            ((at / 64) as usize, 1 << (at % 64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_little_else() {
        // Hashes of 32 bits that differ in all of them.
        let hash = |id: u64| id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        for bucket_bits in [0, 3, 10] {
            let mut filter = IdFilter::for_ids(10_000, bucket_bits);
            for id in 0..10_000 {
                filter.insert(bucket_of(KEY_ID, hash(id), bucket_bits), print_of(KEY_ID, hash(id)));
            }
            assert!((0..10_000).all(|id| filter.may_have(hash(id))));
            let wrong = (10_000..20_000).filter(|id| filter.may_have(hash(*id))).count();
            assert!(wrong < 500, "{wrong} with {bucket_bits}");
        }
        assert!(!IdFilter::for_ids(0, 0).may_have(0));
    }
}
