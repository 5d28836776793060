//! Hashes what already is a keyed hash: maps of people are looked up on the way of each event.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Mixes 16 bytes with two numbers of its own: those in a file may be anybody's.
#[derive(Clone, Copy)]
pub(super) struct Spread(u64, u64);

impl Default for Spread {
    fn default() -> Spread {
        let random = RandomState::new();
        Spread(random.hash_one(0), random.hash_one(1))
    }
}

impl BuildHasher for Spread {
    type Hasher = Mixed;

    fn build_hasher(&self) -> Mixed {
        Mixed { numbers: *self, hash: 0 }
    }
}

pub(super) struct Mixed {
    numbers: Spread,
    hash: u64,
}

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.hash
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(16) {
            let mut whole = [0; 16];
            whole[..part.len()].copy_from_slice(part);
            self.write_u128(u128::from_le_bytes(whole));
        }
    }

    fn write_u128(&mut self, number: u128) {
        let Spread(low, high) = self.numbers;
        let product = u128::from(number as u64 ^ low ^ self.hash) * u128::from((number >> 64) as u64 ^ high);
        self.hash = product as u64 ^ (product >> 64) as u64;
    }

    /// The length of what is always as long.
    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_differs_in_any_bit_is_spread() {
        let spread = Spread::default();
        let hashes: HashSet<u64> =
            (0..128).map(|bit| spread.hash_one((1u128 << bit).to_le_bytes())).collect();
        assert_eq!(hashes.len(), 128);
        // The low bits choose the place, the high ones are compared there.
        let places: HashSet<u64> = hashes.iter().map(|hash| hash & 0x3FF).collect();
        assert!(places.len() > 64, "{}", places.len());
        assert_ne!(spread.hash_one(7u128), Spread::default().hash_one(7u128));
    }
}
