//! Tests of the open key file by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use super::super::{PersonalKeysOptions, open_or_make};
use super::*;
use crate::file::StdFiles;
use crate::folder::Folder;

fn open(folder: &Folder) -> KeyStore {
    let opened = open_or_make(folder, "example.com/a", &PersonalKeysOptions::default(), true, None);
    opened.unwrap().unwrap().0
}

fn folder() -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path(), Arc::new(StdFiles));
    (dir, folder)
}

fn is_kept(keys: &KeyStore, name: KeyName) -> bool {
    matches!(keys.key(name), Key::Kept(_))
}

#[test]
fn a_person_has_one_key_whoever_asks_and_whenever() {
    let (_dir, folder) = folder();
    let keys = open(&folder);
    let names: Vec<Vec<KeyName>> = std::thread::scope(|scope| {
        let ask = || (0..200).map(|person| keys.key_of(&person.to_string()).unwrap().name()).collect();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(names.iter().all(|each| *each == names[0]));
    let distinct: HashSet<KeyName> = names[0].iter().copied().collect();
    assert_eq!(distinct.len(), 200);
    keys.sync().unwrap();
    let nonces: HashSet<[u8; 12]> = (0..1_000).map(|_| keys.nonce()).collect();
    assert_eq!(nonces.len(), 1_000);
    drop(keys);
    let again = open(&folder);
    assert_eq!(again.key_of("7").unwrap().name(), names[0][7]);
    assert!(is_kept(&again, names[0][199]));
}

#[test]
fn a_destroyed_key_is_gone_from_file_and_memory() {
    let (_dir, folder) = folder();
    let keys = open(&folder);
    let name = keys.key_of("ann").unwrap().name();
    keys.sync().unwrap();
    let before = std::fs::read(keys.path()).unwrap();
    let (found, erased) = keys.keys_of(["nobody", "ann"].into_iter());
    assert_eq!((found.len(), erased), (1, None));
    keys.detach(&found);
    let fresh = keys.key_of("ann").unwrap().name();
    assert_ne!(fresh, name);
    keys.destroy(&[name.slot], 12, 34).unwrap();
    assert!(matches!(keys.key(name), Key::Erased) && is_kept(&keys, fresh));
    assert_eq!(keys.key_of("ann").unwrap().name(), fresh);
    let after = std::fs::read(keys.path()).unwrap();
    let at = slot_offset(name.slot) as usize;
    let wrapped = &before[at + 32..at + 92];
    assert!(!after.windows(wrapped.len()).any(|part| part == wrapped));
    drop(keys);
    let again = open(&folder);
    assert_eq!(again.keys_of(std::iter::once("ann")).1, Some((12, 34)));
    assert_eq!(again.key_of("ann").unwrap().name(), fresh);
}

#[test]
fn a_million_people_need_little_memory() {
    const PEOPLE: u64 = 1_000_000;
    let (_dir, folder) = folder();
    let keys = open(&folder);
    let begun = Instant::now();
    for person in 0..PEOPLE {
        keys.key_of(&format!("u-{person}")).unwrap();
        if person % 50_000 == 0 {
            keys.sync().unwrap();
        }
    }
    keys.sync().unwrap();
    println!("{PEOPLE} keys made in {:?}", begun.elapsed());
    let names = [0, 1, PEOPLE - 1].map(|person| keys.key_of(&format!("u-{person}")).unwrap().name());
    assert_eq!(keys.stats().subjects, PEOPLE);
    drop(keys);
    let begun = Instant::now();
    let keys = open(&folder);
    println!("opened with {PEOPLE} people in {:?}", begun.elapsed());
    assert_eq!(keys.stats().subjects, PEOPLE);
    assert_eq!([0, 1, PEOPLE - 1].map(|person| keys.key_of(&format!("u-{person}")).unwrap().name()), names);
    let table = locked(&keys.table);
    // One byte of control beside each place in the map, of which at most seven eighths are taken.
    let entry = size_of::<(SubjectHash, u64)>() + 1;
    let bytes = table.slots.capacity() * size_of::<SubjectHash>() + table.live.capacity() * entry * 8 / 7;
    println!("{} bytes a person", bytes as u64 / PEOPLE);
    assert!(bytes as u64 <= 100 * PEOPLE, "{bytes} bytes");
}

/// Whoever looked up a key just before its person was erased must not put it back into the cache afterwards: what was
/// sealed with it from then on could never be read.
#[test]
fn an_erased_persons_key_does_not_come_back_into_the_cache() {
    let (_dir, folder) = folder();
    let keys = open(&folder);
    let subject = keys.wrapping.subject("ann");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    keys.key_of("ann").unwrap();
                }
            });
        }
        let came_back = (0..5_000).any(|_| {
            let slot = keys.key_of("ann").unwrap().name().slot;
            keys.detach(&[ToErase { slot, subject }]);
            keys.key_of("ann").unwrap().name().slot == slot
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(!came_back, "a key that was taken away is used again");
    });
}

#[test]
fn an_erased_persons_key_leaves_the_memory_at_once() {
    let (_dir, folder) = folder();
    let keys = open(&folder);
    let other = Arc::downgrade(&keys.key_of("bob").unwrap());
    let key = Arc::downgrade(&keys.key_of("ann").unwrap());
    assert!(key.strong_count() == 1 && other.strong_count() == 1, "they are cached");
    let (found, _) = keys.keys_of(std::iter::once("ann"));
    keys.detach(&found);
    assert_eq!(key.strong_count(), 0, "taken away");
    keys.attach_again(&found);
    let key = Arc::downgrade(&keys.key_of("ann").unwrap());
    assert_eq!(key.strong_count(), 1);
    keys.destroy(&[found[0].slot], 1, 2).unwrap();
    assert_eq!(key.strong_count(), 0, "destroyed");
    assert_ne!(keys.key_of("ann").unwrap().name().slot, found[0].slot);
}

#[test]
fn no_two_values_get_the_same_nonce_whoever_seals_them() {
    const EACH: usize = 50_000;
    let (_dir, folder) = folder();
    // Openings of one file one after the other, each with several threads.
    let mut all = HashSet::new();
    for _ in 0..4 {
        let keys = open(&folder);
        let given: Vec<Vec<[u8; 12]>> = std::thread::scope(|scope| {
            let take = || (0..EACH).map(|_| keys.nonce()).collect();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        all.extend(given.into_iter().flatten());
    }
    assert_eq!(all.len(), 4 * 4 * EACH);
}
