//! The open key file of a trail that is written.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use trailseal_event::personal::{Key, KeyName, PersonalKeys, SubjectKey, SubjectKeys, Wiped};

use super::cache::{KeyCache, KeyPlace};
use super::key_slot::{HEADER_USED, KeySlot, SLOT_BYTES, SubjectHash, Wrapping, slot_offset};
use super::table::{ERASED_SUBJECT, NO_SUBJECT, Table, ToErase};
use crate::file::{Doubt, Files, UpdateFile};

/// Room is made when fewer slots than this are free.
const ROOM_MIN: u64 = 512;
/// How many slots are made at once.
pub(super) const ROOM_STEP: u64 = 1_024;

/// Statistics about the keys of people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonalStats {
    /// People who have a key.
    pub subjects: u64,
    /// Slots that are free and on disk.
    pub free_keys: u64,
    /// How often a person's first event found none of them and wrote beyond.
    pub dry: u64,
    /// Values that were masked because their key could not be kept.
    pub not_kept: u64,
    /// Keys that were destroyed.
    pub erased: u64,
    /// Why keys cannot be kept now, if so.
    pub trouble: Option<String>,
}

/// The keys of people.
pub(crate) struct KeyStore {
    pub(super) path: PathBuf,
    pub(super) files: Arc<dyn Files>,
    pub(super) file: RwLock<Arc<dyn UpdateFile>>,
    id: u32,
    /// The file's header, as it was at the opening.
    pub(super) header: [u8; HEADER_USED],
    wrapping: Wrapping,
    pub(super) table: Mutex<Table>,
    /// Whether something was written that the writer has to sync.
    is_dirty: AtomicBool,
    /// Held while slots are synced or destroyed.
    pub(super) syncing: Mutex<()>,
    /// Whether the file's name still leads to it.
    pub(super) doubt: Mutex<Doubt>,
    /// It does not, and the file could not be written again.
    pub(super) is_away: AtomicBool,
    cache: KeyCache,
    /// 64 random bits; the upper half of the count is added to them.
    nonce_prefix: u64,
    nonces: AtomicU64,
    /// Keys of other files that were destroyed.
    erased_elsewhere: Mutex<HashSet<KeyName>>,
    dry: AtomicU64,
    not_kept: AtomicU64,
    pub(super) trouble: Mutex<Option<String>>,
    is_told: AtomicBool,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KeyStore {
    /// Loads the table of an open key file.
    pub(super) fn load(
        files: &Arc<dyn Files>,
        path: &Path,
        file: Box<dyn UpdateFile>,
        id: u32,
        wrapping: Wrapping,
    ) -> io::Result<KeyStore> {
        let mut header = [0; HEADER_USED];
        file.read_at(0, &mut header)?;
        let table = Table::read(file.len_bytes()?, |offset, out| file.read_at(offset, out))?;
        let mut random = [0; 24];
        getrandom::getrandom(&mut random).map_err(io::Error::other)?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|place| random[at + place]));
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let inodes_hold = files.inode_numbers_hold(above.unwrap_or(Path::new("."))).unwrap_or(false);
        Ok(KeyStore {
            path: path.to_owned(),
            files: files.clone(),
            file: RwLock::new(file.into()),
            id,
            header,
            wrapping,
            table: Mutex::new(table),
            is_dirty: AtomicBool::new(false),
            syncing: Mutex::default(),
            doubt: Mutex::new(Doubt::new(inodes_hold)),
            is_away: AtomicBool::new(false),
            cache: KeyCache::new([word(0), word(8)]),
            nonce_prefix: if cfg!(trailseal_fault = "personal_nonces_begin_alike") { 0 } else { word(16) },
            nonces: AtomicU64::new(0),
            erased_elsewhere: Mutex::default(),
            dry: AtomicU64::new(0),
            not_kept: AtomicU64::new(0),
            trouble: Mutex::default(),
            is_told: AtomicBool::new(false),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The id of the file, and the first slot that was never used.
    pub(crate) fn used(&self) -> (u32, u64) {
        (self.id, locked(&self.table).next)
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// How many slots are damaged.
    pub(crate) fn damaged(&self) -> u64 {
        locked(&self.table).damaged
    }

    pub(crate) fn stats(&self) -> PersonalStats {
        let table = locked(&self.table);
        PersonalStats {
            subjects: table.live.len() as u64,
            free_keys: table.room.saturating_sub(table.next),
            dry: self.dry.load(Ordering::Relaxed),
            not_kept: self.not_kept.load(Ordering::Relaxed),
            erased: table.erased_keys,
            trouble: locked(&self.trouble).clone(),
        }
    }

    /// Counts values that were masked because their key could not be kept; says why, the first time.
    pub(crate) fn count_not_kept(&self, values: u64) -> Option<String> {
        self.not_kept.fetch_add(values, Ordering::Relaxed);
        let is_told = self.is_told.swap(true, Ordering::Relaxed);
        (!is_told).then(|| locked(&self.trouble).clone().unwrap_or_default())
    }

    /// Notes keys of other files that were destroyed.
    pub(crate) fn note_erased_elsewhere(&self, names: impl IntoIterator<Item = KeyName>) {
        locked(&self.erased_elsewhere).extend(names.into_iter().filter(|name| name.file != self.id));
    }

    /// Slots below `to` that were never used get no key any more: lines may name them. Returns those among `named`.
    pub(crate) fn skip_to(&self, to: u64, named: &[u64]) -> io::Result<u64> {
        let mut table = locked(&self.table);
        let mut lost = 0;
        for number in named.iter().copied().filter(|number| *number < to) {
            if number < table.next && !matches!(self.read(number)?, KeySlot::Free) {
                continue;
            }
            self.file().write_at(slot_offset(number), &KeySlot::Lost.to_bytes(number))?;
            lost += 1;
        }
        if let Some(last) = to.checked_sub(1).filter(|last| *last >= table.next && !named.contains(last)) {
            // So that the next opening goes on from here, too.
            self.file().write_at(slot_offset(last), &KeySlot::Lost.to_bytes(last))?;
            self.file().sync_data()?;
        }
        table.next = table.next.max(to);
        let next = table.next as usize;
        if table.slots.len() < next {
            table.slots.resize(next, NO_SUBJECT);
        }
        if lost > 0 {
            self.file().sync_data()?;
        }
        Ok(lost)
    }

    pub(super) fn read(&self, number: u64) -> io::Result<KeySlot> {
        let mut bytes = [0; SLOT_BYTES];
        let count = self.file().read_at(slot_offset(number), &mut bytes)?;
        Ok(if count < SLOT_BYTES { KeySlot::Free } else { KeySlot::parse(&bytes, number) })
    }

    fn key_in(&self, number: u64) -> io::Result<Option<Arc<SubjectKey>>> {
        let KeySlot::Used(used) = self.read(number)? else { return Ok(None) };
        let key = self.wrapping.unwrap(number, &used);
        Ok(key.and_then(|key| SubjectKey::new(self.wrapping.name(number), &key)).map(Arc::new))
    }

    /// A new key of a person, in the next slot. If it cannot be written, the slot is given up.
    fn new_key(&self, table: &mut Table, subject: SubjectHash) -> io::Result<Arc<SubjectKey>> {
        let number = table.next;
        let mut random = Wiped::new([0; 44]);
        getrandom::getrandom(&mut random[..]).map_err(io::Error::other)?;
        let key: Wiped<[u8; 32]> = Wiped::new(std::array::from_fn(|place| random[place]));
        let nonce: [u8; 12] = std::array::from_fn(|place| random[32 + place]);
        let failed = || io::Error::other("the cipher takes no key");
        let used = self.wrapping.wrap(number, subject, nonce, &key).ok_or_else(failed)?;
        let bytes = KeySlot::Used(used).to_bytes(number);
        let made = SubjectKey::new(self.wrapping.name(number), &key).ok_or_else(failed)?;
        table.next += 1;
        table.slots.resize(table.next as usize, NO_SUBJECT);
        self.file().write_at(slot_offset(number), &bytes)?;
        table.slots[number as usize] = subject;
        table.live.insert(subject, number);
        table.unsynced.push((number, bytes));
        if number >= table.room {
            self.dry.fetch_add(1, Ordering::Relaxed);
        }
        // Before anybody gets the key: whoever writes with it finds the flag set.
        if !cfg!(trailseal_fault = "personal_key_unsynced") {
            self.is_dirty.store(true, Ordering::Release);
        }
        Ok(Arc::new(made))
    }

    fn found_or_new(&self, table: &mut Table, subject: SubjectHash) -> io::Result<Arc<SubjectKey>> {
        if let Some(&number) = table.live.get(&subject) {
            if let Some(key) = self.key_in(number)? {
                return Ok(key);
            }
            // Somebody changed the file: what is there now is nobody's key.
            table.forget(number);
        }
        self.new_key(table, subject)
    }

    /// The key of a person who is not in the cache. From now on it is.
    fn found_and_cached(&self, subject: SubjectHash, place: KeyPlace) -> io::Result<Arc<SubjectKey>> {
        let mut table = locked(&self.table);
        let key = self.found_or_new(&mut table, subject)?;
        // An erasure takes a key out of the table, and then out of the cache. Whoever found it before keeps the table until
        // it is in the cache, so that it does not come back there afterwards.
        let held = (!cfg!(trailseal_fault = "personal_key_cached_late")).then_some(table);
        self.cache.put(place, key.clone());
        drop(held);
        Ok(key)
    }

    /// Makes every key durable that was given out. The writer calls it before it syncs lines.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if !self.is_dirty.load(Ordering::Acquire) {
            return Ok(());
        }
        if self.is_away() && !cfg!(trailseal_fault = "personal_keys_relied_on_away") {
            // A file that nobody finds again keeps no key.
            return Err(io::Error::new(io::ErrorKind::NotFound, "the key file is not in its place"));
        }
        if !self.is_dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let _syncing = locked(&self.syncing);
        let (unsynced, has_failed) = {
            let mut table = locked(&self.table);
            (std::mem::take(&mut table.unsynced), table.has_failed)
        };
        let synced = self.sync_slots(&unsynced, has_failed);
        let mut table = locked(&self.table);
        table.has_failed = synced.is_err();
        if let Err(error) = synced {
            table.unsynced.splice(0..0, unsynced);
            self.is_dirty.store(true, Ordering::Release);
            *locked(&self.trouble) = Some(error.to_string());
            return Err(error);
        }
        *locked(&self.trouble) = None;
        self.is_told.store(false, Ordering::Relaxed);
        table.room = table.room.max(table.next);
        let (from, free) = (table.room, table.room - table.next);
        drop(table);
        if free < ROOM_MIN && self.make_room(from).is_ok() {
            let mut table = locked(&self.table);
            table.room = table.room.max(from + ROOM_STEP);
        }
        Ok(())
    }

    fn sync_slots(&self, unsynced: &[(u64, [u8; SLOT_BYTES])], has_failed: bool) -> io::Result<()> {
        if has_failed && !cfg!(trailseal_fault = "personal_sync_tried_again") {
            // The system may have dropped them and say of the next sync that it succeeded.
            for (number, bytes) in unsynced {
                self.file().write_at(slot_offset(*number), bytes)?;
            }
        }
        self.file().sync_data()
    }

    /// Makes slots from `from` on. Callers may use slots beyond meanwhile, so nothing is overwritten.
    fn make_room(&self, from: u64) -> io::Result<()> {
        let table = locked(&self.table);
        let begin = from.max(table.next);
        let end = from + ROOM_STEP;
        if begin < end {
            let zeros = vec![0; (end - begin) as usize * SLOT_BYTES];
            self.file().write_at(slot_offset(begin), &zeros)?;
        }
        drop(table);
        self.file().sync_data()
    }

    pub(super) fn file(&self) -> Arc<dyn UpdateFile> {
        self.file.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys of a person known by any of these ids, and the event that destroyed earlier ones.
    pub(crate) fn keys_of<'a>(
        &self,
        ids: impl Iterator<Item = &'a str>,
    ) -> (Vec<ToErase>, Option<(u64, i64)>) {
        let hashes: Vec<SubjectHash> = ids.map(|id| self.wrapping.subject(id)).collect();
        locked(&self.table).keys_of(&hashes)
    }

    /// What stands in a slot, for whoever wants to destroy its key.
    pub(crate) fn look_at(&self, slot: u64) -> io::Result<KeySlot> {
        self.read(slot)
    }

    /// Whether the key of this slot was destroyed.
    pub(crate) fn is_erased(&self, slot: u64) -> bool {
        locked(&self.table).slots.get(slot as usize) == Some(&ERASED_SUBJECT)
    }

    /// The keys of these names that are there.
    pub(crate) fn to_erase(&self, names: impl IntoIterator<Item = KeyName>) -> io::Result<Vec<ToErase>> {
        let mut found = Vec::new();
        for name in names.into_iter().filter(|name| name.file == self.id) {
            if let KeySlot::Used(used) = self.read(name.slot)? {
                found.push(ToErase { slot: name.slot, subject: used.subject });
            }
        }
        Ok(found)
    }

    pub(crate) fn name(&self, slot: u64) -> KeyName {
        self.wrapping.name(slot)
    }

    /// From now on the people whose keys these are get other ones.
    pub(crate) fn detach(&self, keys: &[ToErase]) {
        let mut table = locked(&self.table);
        for key in keys {
            if table.live.get(&key.subject) == Some(&key.slot) {
                table.live.remove(&key.subject);
            }
        }
        drop(table);
        self.forget_cached();
    }

    /// The keys are not destroyed after all: people who got no other one meanwhile keep theirs.
    pub(crate) fn attach_again(&self, keys: &[ToErase]) {
        let mut table = locked(&self.table);
        for key in keys {
            table.live.entry(key.subject).or_insert(key.slot);
        }
    }

    /// Destroys keys in place, and returns when that is on disk.
    pub(crate) fn destroy(&self, slots: &[u64], by: u64, at: i64) -> io::Result<()> {
        // A sync that failed writes what it has again, and must not have these.
        let _syncing = locked(&self.syncing);
        for &number in slots {
            let subject = match self.read(number)? {
                KeySlot::Used(used) => used.subject,
                KeySlot::Erased { .. } => continue,
                KeySlot::Free | KeySlot::Lost | KeySlot::Damaged => NO_SUBJECT,
            };
            let erased = KeySlot::Erased { subject, by, at };
            if !cfg!(trailseal_fault = "personal_key_kept") {
                self.file().write_at(slot_offset(number), &erased.to_bytes(number))?;
            }
            let mut table = locked(&self.table);
            table.forget(number);
            table.take(number, erased);
            table.unsynced.retain(|(other, _)| *other != number);
        }
        self.forget_cached();
        self.file().sync_data()
    }

    /// The first of two steps before a key is used: most people's keys are far from the processor, so whoever needs one
    /// soon says so ahead, and does something else meanwhile.
    #[inline]
    pub(crate) fn expect(&self, subject: &str) -> KeyPlace {
        let place = self.cache.place(subject);
        self.cache.expect(place);
        place
    }

    /// The second step.
    #[inline]
    pub(crate) fn bring_near(&self, place: KeyPlace) {
        self.cache.bring_near(place);
    }

    /// The key of this person, whose place it is.
    pub(crate) fn key_at(&self, place: KeyPlace, subject: &str) -> Option<Arc<SubjectKey>> {
        if let Some(key) = self.cache.get(place) {
            return Some(key);
        }
        match self.found_and_cached(self.wrapping.subject(subject), place) {
            Ok(key) => Some(key),
            Err(error) => {
                *locked(&self.trouble) = Some(error.to_string());
                None
            }
        }
    }

    /// From now on each key is looked up in the table and the file.
    pub(super) fn forget_cached(&self) {
        if !cfg!(trailseal_fault = "personal_key_cached_on") {
            self.cache.clear();
        }
    }
}

impl SubjectKeys for KeyStore {
    fn key_of(&self, subject: &str) -> Option<Arc<SubjectKey>> {
        self.key_at(self.cache.place(subject), subject)
    }

    /// No two values of one key may have the same, whoever sealed them. Within this opening the counter parts them: it does
    /// not come back within 2^96 values. Each opening begins at 64 random bits of its own, which no file keeps, so another
    /// process, a later opening and a key file that was put back begin elsewhere: of n openings, two come within the same
    /// 2^32 values with a probability of about n² / 2^64. One opening writes a trail at a time, and a forked child, which has
    /// the same numbers, is refused before it seals anything. It does not protect against a snapshot of a
    /// running machine that is resumed twice.
    fn nonce(&self) -> [u8; 12] {
        let count = self.nonces.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.nonce_prefix.wrapping_add(count >> 32).to_be_bytes());
        nonce[8..].copy_from_slice(&(count as u32).to_be_bytes());
        nonce
    }
}

impl PersonalKeys for KeyStore {
    fn key(&self, name: KeyName) -> Key {
        if name.file != self.id {
            let is_erased = locked(&self.erased_elsewhere).contains(&name);
            return if is_erased { Key::Erased } else { Key::Elsewhere };
        }
        if self.is_erased(name.slot) && !cfg!(trailseal_fault = "personal_key_in_older_copy") {
            // Also if somebody has written an older copy over the file.
            return Key::Erased;
        }
        self.wrapping.key_in(name, self.read(name.slot))
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
