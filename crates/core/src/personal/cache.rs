//! The keys of people who were written of lately, ready for use.
//!
//! A person has one set, which is one line of the processor's cache, and a set has room for three: most keys of many
//! people are far from the processor, and each pointer followed is a cache miss. A full set gives up the key that came into
//! it first.

use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use trailseal_event::personal::SubjectKey;

use super::prefetch::{prefetch, prefetch_shared};

/// 24,576 people in 16 MiB or so. Anybody else's key is read from the file (the page cache).
const SETS: usize = 8_192;
const WAYS: usize = 3;

pub(super) struct KeyCache {
    sets: Box<[Set]>,
    /// Keyed, so that nobody can choose ids of one set.
    hasher: SipHasher13,
}

#[derive(Default)]
#[repr(align(64))]
struct Set(Mutex<Ways>);

const _: () = assert!(size_of::<Set>() == 64);

#[derive(Default)]
struct Ways {
    low: [u64; WAYS],
    high: [u16; WAYS],
    /// Whose place is taken next.
    next: u8,
    keys: [Option<Arc<SubjectKey>>; WAYS],
}

/// Where a person's key is, if it is there: 93 bits of a keyed hash, so that two people never share one.
#[derive(Clone, Copy)]
pub(crate) struct KeyPlace {
    set: usize,
    low: u64,
    high: u16,
}

impl KeyCache {
    /// `random` are the hash's.
    pub(super) fn new(random: [u64; 2]) -> KeyCache {
        let sets = (0..SETS).map(|_| Set::default()).collect();
        KeyCache { sets, hasher: SipHasher13::new_with_keys(random[0], random[1]) }
    }

    pub(super) fn place(&self, subject: &str) -> KeyPlace {
        let mut hasher = self.hasher;
        hasher.write(subject.as_bytes());
        let hash = hasher.finish128();
        KeyPlace { set: hash.h2 as usize % SETS, low: hash.h1, high: (hash.h2 >> 48) as u16 }
    }

    /// Brings near what says whether a key is there.
    #[inline]
    pub(super) fn expect(&self, place: KeyPlace) {
        prefetch(&self.sets[place.set]);
    }

    /// Brings the key near that is there.
    pub(super) fn bring_near(&self, place: KeyPlace) {
        let ways = self.sets[place.set].locked();
        let way = (0..WAYS).find(|&way| ways.is_of(way, place));
        if let Some(key) = way.and_then(|way| ways.keys[way].as_ref()) {
            prefetch_shared(key);
        }
    }

    pub(super) fn get(&self, place: KeyPlace) -> Option<Arc<SubjectKey>> {
        let ways = self.sets[place.set].locked();
        let way = (0..WAYS).find(|&way| ways.is_of(way, place))?;
        ways.keys[way].clone()
    }

    pub(super) fn put(&self, place: KeyPlace, key: Arc<SubjectKey>) {
        let mut ways = self.sets[place.set].locked();
        let own = (0..WAYS).find(|&way| ways.is_of(way, place));
        let free = || ways.keys.iter().position(Option::is_none);
        let way = own.or_else(free).unwrap_or(usize::from(ways.next) % WAYS);
        ways.next = (way as u8 + 1) % WAYS as u8;
        (ways.low[way], ways.high[way], ways.keys[way]) = (place.low, place.high, Some(key));
    }

    /// Nobody's key is there any more.
    pub(super) fn clear(&self) {
        for set in &self.sets {
            set.locked().keys.fill(None);
        }
    }
}

impl Set {
    fn locked(&self) -> MutexGuard<'_, Ways> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ways {
    fn is_of(&self, way: usize, place: KeyPlace) -> bool {
        self.low[way] == place.low && self.high[way] == place.high && self.keys[way].is_some()
    }
}

#[cfg(test)]
mod tests {
    use trailseal_event::personal::KeyName;

    use super::*;

    fn key(slot: u64) -> Arc<SubjectKey> {
        Arc::new(SubjectKey::new(KeyName { file: 1, slot }, &[7; 32]).unwrap())
    }

    fn slot(cache: &KeyCache, subject: &str) -> Option<u64> {
        cache.get(cache.place(subject)).map(|key| key.name().slot)
    }

    #[test]
    fn it_holds_a_bounded_number_of_keys_and_gives_everyone_their_own() {
        let cache = KeyCache::new([1, 2]);
        let people = 3 * (SETS * WAYS) as u64;
        for person in 0..people {
            cache.put(cache.place(&person.to_string()), key(person));
        }
        let held = (0..people).filter(|person| match slot(&cache, &person.to_string()) {
            Some(slot) => {
                assert_eq!(slot, *person);
                true
            }
            None => false,
        });
        let held = held.count();
        // Some sets have been full for long, few are not full yet.
        assert!((SETS * WAYS * 9 / 10..=SETS * WAYS).contains(&held), "{held}");
        assert!(slot(&cache, &(people - 1).to_string()).is_some(), "the newest is there");
    }

    #[test]
    fn a_later_key_of_the_same_person_replaces_the_one_before() {
        let cache = KeyCache::new([1, 2]);
        for number in 0..5 {
            cache.put(cache.place("ann"), key(number));
            assert_eq!(slot(&cache, "ann"), Some(number));
        }
        cache.clear();
        assert_eq!(slot(&cache, "ann"), None);
    }
}
