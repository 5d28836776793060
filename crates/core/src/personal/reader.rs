//! The keys of people for whoever only reads a trail's folder: one slot is read for each key that is asked for, so an
//! erasure by another process is seen at once.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use trailseal_event::personal::{Key, KeyName, PersonalKeys};

use super::list::ErasedList;
use super::master::PersonalKeysOptions;
use super::open::{PersonalKeysError, failed, key_file, master_key, read_header, wrapping};
use super::slot::{KeySlot, SLOT_BYTES, Wrapping, slot_offset};
use crate::file::ReadFile;
use crate::folder::Folder;
use crate::manifest::Manifest;

struct ReadKeys {
    id: u32,
    file: Box<dyn ReadFile>,
    wrapping: Wrapping,
    /// Keys of other files that were destroyed.
    erased: HashSet<KeyName>,
}

/// The keys of the trail in `folder`, for reading; `None` if it has no key file.
///
/// # Errors
/// When the file or its master key cannot be used.
pub fn open_personal_keys(
    folder: &Folder,
    options: &PersonalKeysOptions,
) -> Result<Option<Arc<dyn PersonalKeys>>, PersonalKeysError> {
    let path = key_file(folder, options);
    let unusable = |what: &str| PersonalKeysError::Unusable { path: path.clone(), what: what.to_owned() };
    let header = match read_header(folder, &path)? {
        None => return Ok(None),
        Some(header) => header.ok_or_else(|| unusable("is damaged: put back the right one"))?,
    };
    let manifest = match Manifest::read(folder) {
        Ok(Some(manifest)) => manifest,
        _ => return Err(unusable("cannot be used: the trail's own trail.toml is missing or damaged")),
    };
    let master = if header.is_wrapped() { master_key(folder, options)? } else { None };
    let key = wrapping(&header, &path, manifest.origin.as_str(), master.as_ref())?;
    let wrapping = Wrapping::new(header.file, &key)
        .ok_or_else(|| unusable("has a key that the cipher does not take"))?;
    let file = folder.files().open_read(&path).map_err(failed("open", &path))?;
    let list = ErasedList::read(folder).map_err(failed("read", &ErasedList::path(folder)))?;
    let erased = list.names().filter(|name| name.file != header.file).collect();
    Ok(Some(Arc::new(ReadKeys { id: header.file, file, wrapping, erased })))
}

impl ReadKeys {
    fn slot(&self, number: u64) -> io::Result<KeySlot> {
        let mut bytes = [0; SLOT_BYTES];
        let count = self.file.read_at(slot_offset(number), &mut bytes)?;
        Ok(if count < SLOT_BYTES { KeySlot::Free } else { KeySlot::parse(&bytes, number) })
    }
}

impl PersonalKeys for ReadKeys {
    fn key(&self, name: KeyName) -> Key {
        if name.file != self.id {
            return if self.erased.contains(&name) { Key::Erased } else { Key::Elsewhere };
        }
        self.wrapping.key_in(name, self.slot(name.slot))
    }
}
