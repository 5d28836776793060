//! Erasure of a person: their keys are destroyed, and with them their values in every copy of the trail.
//!
//! The order, each step on disk before the next:
//!
//! 1. `erasing` says which keys go, after which index the events are, and how long the list was
//! 2. the list `erased` has the names of the keys
//! 3. the signed events `trail.erased`, covered by a signed checkpoint: from here on it is finished, by this process or by
//!    the next opening; before, it is undone
//! 4. the keys are overwritten
//! 5. `erasing` is removed
//!
//! From the first step on the person's new events get another key.

mod error;
mod reach;

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use trailseal_event::mask::MaskKey;
use trailseal_event::personal::KeyName;
use trailseal_event::{Index, Timestamp, held_identifier};

use super::open_trail::Trail;
use super::retain::{Hold, lasting_filters};
use crate::folder::Folder;
use crate::personal::{ErasedList, Erasing, KeySlot, KeyStore, ToErase, details};
use crate::trail::keys::personal_keys::{each_line, erased_events};

pub use error::EraseError;
pub use reach::WouldErase;

/// How long the checkpoint that covers `trail.erased` is waited for.
const SEAL_TIMEOUT: Duration = Duration::from_secs(60);
/// The most keys that one event names, so that its line is never cut.
const KEYS_MAX: usize = 1_024;
/// How often a key rotation that is going on is waited for.
const ROTATIONS_MAX: usize = 3;

/// What became of an erasure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// The names of the keys that were destroyed.
    pub keys: Vec<String>,
    /// The events `trail.erased`.
    pub erased_by: Vec<Index>,
    /// If there was nothing left to do: the event that erased the person before, and when.
    pub already: Option<(Index, Timestamp)>,
}

impl Trail {
    /// Destroys the keys of the person with this id, and returns when they are gone: the person's values are unreadable
    /// everywhere, for ever. Everything else in the trail stays, and every proof holds.
    ///
    /// # Errors
    /// When nobody has this id, a legal hold holds one of the person's events, or a disk failure stopped it: what was
    /// announced by then is finished by the next erasure, or by the next opening.
    pub fn erase(&self, subject: &str) -> Result<Erased, EraseError> {
        let _lock = self.inner.hold_lock()?;
        let _running = self.begin_erasure()?;
        let keys = self.keys()?;
        self.finish_erasure()?;
        let (found, before) = keys.keys_of(self.known_as(subject).iter().map(String::as_str));
        if found.is_empty() {
            return match before {
                Some((by, at)) => Ok(Erased {
                    already: Some((Index::new(by), Timestamp::from_micros(at))),
                    ..Erased::default()
                }),
                None => Err(EraseError::Unknown),
            };
        }
        self.erase_found(keys, &found)
    }

    /// The names of the living keys of the person with this id.
    ///
    /// # Errors
    /// When there are no keys at all.
    pub fn subject_keys(&self, subject: &str) -> Result<Vec<String>, EraseError> {
        self.inner.refuse_forked()?;
        let keys = self.keys()?;
        let (found, _) = keys.keys_of(self.known_as(subject).iter().map(String::as_str));
        Ok(found.iter().map(|key| keys.name(key.slot).to_string()).collect())
    }

    /// Like [`erase`](Trail::erase), for keys of these names: for whoever decided earlier, and does not keep the person's
    /// id. Names of other trails' keys are left alone.
    ///
    /// # Errors
    /// As `erase`.
    pub fn erase_keys(&self, names: &[String]) -> Result<Erased, EraseError> {
        let _lock = self.inner.hold_lock()?;
        let _running = self.begin_erasure()?;
        let keys = self.keys()?;
        self.finish_erasure()?;
        let names: Vec<KeyName> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let mut before = None;
        for name in names.iter().filter(|name| name.file == keys.id()) {
            if let Ok(KeySlot::Erased { by, at, .. }) = keys.look_at(name.slot) {
                before = before.max(Some((by, at)));
            }
        }
        let found = keys.to_erase(names).map_err(EraseError::io("read", keys.path()))?;
        match (found.is_empty(), before) {
            (false, _) => self.erase_found(keys, &found),
            (true, Some((by, at))) => {
                let already = Some((Index::new(by), Timestamp::from_micros(at)));
                Ok(Erased { already, ..Erased::default() })
            }
            (true, None) => Err(EraseError::Unknown),
        }
    }

    /// Under which ids a person's key may be found: their events may hold the id shortened, or hashed by masking.
    fn known_as(&self, subject: &str) -> Vec<String> {
        known_as(subject, |id| Some(self.inner.masker.hash(id)))
    }

    fn begin_erasure(&self) -> Result<MutexGuard<'_, ()>, EraseError> {
        match self.inner.erasing.try_lock() {
            Ok(running) => Ok(running),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(EraseError::Running),
        }
    }

    fn keys(&self) -> Result<&KeyStore, EraseError> {
        self.inner.log.personal.get().map(|keys| &**keys).ok_or(EraseError::Off)
    }

    fn erase_found(&self, keys: &KeyStore, found: &[ToErase]) -> Result<Erased, EraseError> {
        let names: Vec<KeyName> = found.iter().map(|key| keys.name(key.slot)).collect();
        loop {
            let holds = self.holds()?;
            if let Some((hold, _)) = self.held_by(&holds, &names)?.into_iter().next() {
                return Err(EraseError::Held { hold });
            }
            // From here on no hold is added until it is announced.
            let holding = self.lock_holds();
            if self.holds()? != holds {
                continue;
            }
            let announced = self.announce_erasure(keys, found, &names);
            drop(holding);
            if let Err(error) = announced {
                // What is not announced is undone; what may be, stays for the next run or opening.
                let _ = self.finish_erasure();
                return Err(error);
            }
            let erased_by = self.finish_erasure()?;
            if erased_by.is_empty() {
                return Err(EraseError::not_sealed(SEAL_TIMEOUT, None));
            }
            return Ok(Erased {
                keys: names.iter().map(KeyName::to_string).collect(),
                erased_by,
                already: None,
            });
        }
    }

    /// The holds that hold events of a person whose keys these are, each with how many.
    fn held_by(&self, holds: &[Hold], names: &[KeyName]) -> Result<Vec<(String, u64)>, EraseError> {
        if holds.is_empty() || cfg!(trailseal_fault = "held_erased") {
            return Ok(Vec::new());
        }
        let keys = self.mask_keys()?;
        // Of what does not reach the disk in time, nothing is known yet.
        let _ = self.flush(SEAL_TIMEOUT);
        held_by(self.folder(), self.inner.log.progress.durable(), &keys, holds, names)
    }

    /// Journal, list and events.
    fn announce_erasure(
        &self,
        keys: &KeyStore,
        found: &[ToErase],
        names: &[KeyName],
    ) -> Result<(), EraseError> {
        let folder = self.folder();
        let list_path = ErasedList::path(folder);
        let mut list = ErasedList::read(folder).map_err(EraseError::io("read", &list_path))?;
        let erasing = Erasing { from: self.inner.log.handoff.next(), list: list.len(), keys: names.to_vec() };
        erasing.write(folder).map_err(EraseError::io("write", &Erasing::path(folder)))?;
        keys.detach(found);
        let mut parts = Vec::new();
        for part in names.chunks(KEYS_MAX) {
            list.add(part.iter().copied());
            parts.push((part, list.clone()));
        }
        list.write(folder).map_err(EraseError::io("write", &list_path))?;
        for (part, list) in parts {
            self.record_erased(part, &list)?;
        }
        Ok(())
    }

    /// Records one event, signed by the key in force.
    fn record_erased(&self, names: &[KeyName], list: &ErasedList) -> Result<u64, EraseError> {
        let mut trouble = None;
        for _ in 0..ROTATIONS_MAX {
            let signing = self.inner.keys.lock().unwrap_or_else(PoisonError::into_inner);
            if signing.rotating.is_none() {
                let details = details(names, list, self.origin(), &signing.signing);
                // Under the lock: a rotation that begins after it takes effect after it.
                return Ok(self.record_system("trail.erased", details)?);
            }
            drop(signing);
            trouble = self.seal(SEAL_TIMEOUT).err();
        }
        Err(EraseError::not_sealed(SEAL_TIMEOUT, trouble))
    }

    /// Ends an erasure that has begun, if there is one: what a sealed event announces is carried out, and the rest is
    /// undone. Returns the events.
    pub(super) fn finish_erasure(&self) -> Result<Vec<Index>, EraseError> {
        let (folder, log) = (self.folder(), &self.inner.log);
        let journal = Erasing::path(folder);
        let Some(erasing) = Erasing::read(folder).map_err(EraseError::io("read", &journal))? else {
            return Ok(Vec::new());
        };
        let keys = self.keys()?;
        // An event that is not sealed yet decides, too: whether it counts is known only then.
        if let Err(error) = self.seal(SEAL_TIMEOUT)
            && !cfg!(trailseal_fault = "erased_unsealed")
        {
            return Err(EraseError::not_sealed(SEAL_TIMEOUT, Some(error)));
        }
        let ring = {
            let keys = self.inner.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.manifest.key_ring().0
        };
        let list_path = ErasedList::path(folder);
        let mut list = ErasedList::read(folder).map_err(EraseError::io("read", &list_path))?;
        let events = erased_events(folder, &ring, erasing.from, log.progress.sealed());
        let events = events.map_err(EraseError::io("read the lines in", &folder.segments_folder()))?;
        let counting = || events.iter().filter(|event| event.vouches_for(&list));
        let now = log.clock.now().as_micros();
        let mut kept = erasing.list;
        for event in counting() {
            let slots: Vec<u64> =
                event.keys.iter().filter(|key| key.file == keys.id()).map(|key| key.slot).collect();
            keys.destroy(&slots, event.index.get(), now).map_err(EraseError::io("write", keys.path()))?;
            kept = kept.max(event.bytes);
        }
        let gone: BTreeSet<KeyName> = counting().flat_map(|event| event.keys.clone()).collect();
        let erased_by = counting().map(|event| event.index).collect();
        if list.len() > kept && !cfg!(trailseal_fault = "unannounced_erasure_kept") {
            list.cut(kept);
            list.write(folder).map_err(EraseError::io("write", &list_path))?;
        }
        let left = keys.to_erase(erasing.keys.into_iter().filter(|key| !gone.contains(key)));
        keys.attach_again(&left.map_err(EraseError::io("read", keys.path()))?);
        Erasing::remove(folder).map_err(EraseError::io("remove", &journal))?;
        Ok(erased_by)
    }
}

/// Under which ids a person's key may be found: their events may hold the id shortened, or hashed by masking.
fn known_as(subject: &str, hash: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let held = held_identifier(subject).into_owned();
    let hashes = [hash(subject), hash(&held)].into_iter().flatten();
    let mut ids: Vec<String> = std::iter::once(subject.to_owned()).chain(hashes).collect();
    ids.push(held);
    ids.dedup();
    ids
}

/// The holds that hold durable events with values under these keys, each with how many.
fn held_by(
    folder: &Folder,
    durable: u64,
    keys: &[MaskKey],
    holds: &[Hold],
    names: &[KeyName],
) -> Result<Vec<(String, u64)>, EraseError> {
    if holds.is_empty() || names.is_empty() {
        return Ok(Vec::new());
    }
    let filters = lasting_filters(folder, holds, keys)?;
    let mut filters: Vec<_> = filters.into_iter().map(|(name, filter)| (name, filter, 0)).collect();
    let visit = &mut |_: Index, line: &[u8]| {
        let mut is_theirs = false;
        trailseal_event::personal::tokens(line, |token, _| is_theirs |= names.contains(&token.key));
        if is_theirs {
            for (_, _, count) in filters.iter_mut().filter(|(_, filter, _)| filter.accepts(line)) {
                *count += 1;
            }
        }
    };
    each_line(folder, durable, visit)
        .map_err(EraseError::io("read the lines in", &folder.segments_folder()))?;
    Ok(filters.into_iter().filter(|(.., count)| *count > 0).map(|(name, _, count)| (name, count)).collect())
}
