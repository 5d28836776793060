//! Keeps an open key file where its name is.
//!
//! Whoever removes the file, or puts another in its place, leaves the only copy of keys that lines need in the file that is
//! open. So it is written again, and what was put in its place is kept beside it. Whoever writes over the open file takes
//! keys for good: then what is lost is given up, so that nothing new is sealed with it.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::key_slot::{HEADER_USED, KeySlot, slot_offset};
use super::key_store::{KeyStore, locked};
use super::open::name_aside;
use super::table::{ERASED_SUBJECT, NO_SUBJECT};
use crate::file::Standing;

/// A file larger than this is nobody's key file.
const FILE_BYTES_MAX: u64 = 1 << 36;

/// What had become of the file, and was mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mended {
    /// It was removed.
    Removed,
    /// Another was put in its place; what that had is now here.
    Replaced(PathBuf),
    /// Somebody wrote over it: keys are lost. If it was another file that was copied over it, what that had is now here.
    Overwritten(Option<PathBuf>),
}

impl KeyStore {
    /// Whether the file is not in its place, and could not be written again.
    pub(crate) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Acquire)
    }

    /// Writes the file again if its name does not lead to it any more. Another one in its place is believed after a while,
    /// or if this is the last look.
    ///
    /// # Errors
    /// When it cannot be written; then nothing that names a new key becomes durable until it can.
    pub(crate) fn keep_in_place(&self, is_last: bool) -> io::Result<Option<Mended>> {
        let written = if self.is_lost(is_last) {
            self.write_again()
        } else if self.is_overwritten() {
            self.give_up_lost()
        } else {
            return Ok(None);
        };
        self.is_away.store(written.is_err(), Ordering::Release);
        *locked(&self.trouble) = written.as_ref().err().map(ToString::to_string);
        written.map(Some)
    }

    fn is_lost(&self, is_last: bool) -> bool {
        let mut doubt = locked(&self.doubt);
        let look = self.file().standing();
        let is_elsewhere = matches!(look, Ok(Standing::Elsewhere));
        if is_elsewhere && cfg!(trailseal_fault = "personal_keys_left_replaced") {
            return false;
        }
        doubt.is_lost(look) || (is_last && is_elsewhere && doubt.is_possible())
    }

    /// Whether header or newest slot are not what they were.
    fn is_overwritten(&self) -> bool {
        let table = locked(&self.table);
        let Some(newest) = table.next.checked_sub(1) else { return false };
        let known = table.slots.get(newest as usize).copied().unwrap_or(NO_SUBJECT);
        let is_known = match self.read(newest) {
            Ok(KeySlot::Used(used)) => used.subject == known,
            Ok(KeySlot::Erased { .. } | KeySlot::Lost) => true,
            Ok(KeySlot::Free | KeySlot::Damaged) => known == NO_SUBJECT,
            // A failed look says nothing.
            Err(_) => true,
        };
        let has_header = self.read_header().is_ok_and(|header| header == self.header);
        !is_known || !has_header
    }

    fn read_header(&self) -> io::Result<[u8; HEADER_USED]> {
        let mut header = [0; HEADER_USED];
        self.file().read_at(0, &mut header)?;
        Ok(header)
    }

    /// Makes the file consistent with what is known: a slot whose key is gone is lost, whoever it was gets another, and what
    /// was destroyed is destroyed again.
    fn give_up_lost(&self) -> io::Result<Mended> {
        let _syncing = locked(&self.syncing);
        let mut table = locked(&self.table);
        let file = self.file();
        let is_foreign = self.read_header()? != self.header;
        let mut aside = None;
        if is_foreign {
            let mut bytes = vec![0; file.len_bytes()? as usize];
            let count = file.read_at(0, &mut bytes)?;
            let path = name_aside(&*self.files, &self.path, "replaced");
            self.files.replace(&path, &bytes[..count], true)?;
            aside = Some(path);
            file.write_at(0, &self.header)?;
        }
        let unsynced: HashMap<u64, _> = table.unsynced.iter().copied().collect();
        for number in 0..table.next {
            let slot = if is_foreign { KeySlot::Damaged } else { self.read(number)? };
            let known = table.slots.get(number as usize).copied().unwrap_or(NO_SUBJECT);
            let bytes = match (unsynced.get(&number), slot) {
                (Some(bytes), _) => *bytes,
                (None, KeySlot::Used(used)) if used.subject == known => continue,
                (None, KeySlot::Used(used)) if known == ERASED_SUBJECT => {
                    let (by, at) = table.erased.get(&used.subject).copied().unwrap_or_default();
                    KeySlot::Erased { subject: used.subject, by, at }.to_bytes(number)
                }
                (None, KeySlot::Erased { .. } | KeySlot::Lost) => {
                    table.forget(number);
                    continue;
                }
                (None, _) => {
                    if known != ERASED_SUBJECT {
                        table.forget(number);
                    }
                    KeySlot::Lost.to_bytes(number)
                }
            };
            file.write_at(slot_offset(number), &bytes)?;
        }
        self.forget_cached();
        file.sync_data()?;
        Ok(Mended::Overwritten(aside))
    }

    fn write_again(&self) -> io::Result<Mended> {
        let _syncing = locked(&self.syncing);
        // Nobody takes a slot meanwhile.
        let mut table = locked(&self.table);
        let mut bytes = vec![0; self.file().len_bytes()? as usize];
        let count = self.file().read_at(0, &mut bytes)?;
        bytes.truncate(count);
        let mended = match self.files.read(&self.path, FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Mended::Removed,
            Ok(other) if other == bytes => Mended::Removed,
            other => {
                let aside = name_aside(&*self.files, &self.path, "replaced");
                // Copied before it is replaced: at no moment is there no file.
                self.files.replace(&aside, &other?, true)?;
                Mended::Replaced(aside)
            }
        };
        self.files.replace(&self.path, &bytes, true)?;
        let file = self.files.open_update(&self.path)?;
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file.into();
        locked(&self.doubt).forget();
        // All of it was synced.
        table.unsynced.clear();
        Ok(mended)
    }
}
