//! The keys of people for whoever only reads a trail's folder: one slot is read for each key that is asked for, so an
//! erasure by another process is seen at once; and in a moment, if the file was written again meanwhile.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trailseal_event::personal::{Key, KeyName, PersonalKeys};

use super::key_slot::{KeySlot, SLOT_BYTES, Wrapping, slot_offset};
use super::key_store::locked;
use super::list::ErasedList;
use super::master_key::PersonalKeysOptions;
use super::open::{PersonalKeysError, failed, key_file, master_key, read_header, wrapping};
use crate::file::ReadFile;
use crate::folder::Folder;
use crate::manifest::Manifest;

/// How long an open file is read before its name is looked at again: another one may be there by now.
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(100);

struct ReadKeys {
    folder: Folder,
    path: PathBuf,
    id: u32,
    wrapping: Wrapping,
    open: Mutex<Opened>,
}

/// What was read at one moment.
struct Opened {
    at: Instant,
    /// `None` if the file is gone, or is another one.
    file: Option<Box<dyn ReadFile>>,
    /// Keys that were destroyed, also if this file is an older one that still has them.
    erased: HashSet<KeyName>,
}

impl Opened {
    fn new(folder: &Folder, path: &Path, id: u32) -> Result<Opened, PersonalKeysError> {
        let is_same = read_header(folder, path)?.flatten().is_some_and(|header| header.file == id);
        let file = match is_same {
            true => Some(folder.files().open_read(path).map_err(failed("open", path))?),
            false => None,
        };
        let list = ErasedList::read(folder).map_err(failed("read", &ErasedList::path(folder)))?;
        Ok(Opened { at: Instant::now(), file, erased: list.names().collect() })
    }
}

/// The keys of the trail in `folder`, for reading; `None` if it has no key file.
///
/// # Errors
/// When the file or its master key cannot be used.
pub fn open_personal_keys(
    folder: &Folder,
    options: &PersonalKeysOptions,
) -> Result<Option<Arc<dyn PersonalKeys>>, PersonalKeysError> {
    let Some((path, id, wrapping)) = unwrapped(folder, options)? else { return Ok(None) };
    let open = Opened::new(folder, &path, id)?;
    Ok(Some(Arc::new(ReadKeys { folder: folder.clone(), path, id, wrapping, open: Mutex::new(open) })))
}

/// The path of the key file, its id, and what unwraps its keys; `None` if there is no such file.
pub(super) fn unwrapped(
    folder: &Folder,
    options: &PersonalKeysOptions,
) -> Result<Option<(PathBuf, u32, Wrapping)>, PersonalKeysError> {
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
    Ok(Some((path, header.file, wrapping)))
}

fn slot(file: &dyn ReadFile, number: u64) -> io::Result<KeySlot> {
    let mut bytes = [0; SLOT_BYTES];
    let count = file.read_at(slot_offset(number), &mut bytes)?;
    Ok(if count < SLOT_BYTES { KeySlot::Free } else { KeySlot::parse(&bytes, number) })
}

impl PersonalKeys for ReadKeys {
    fn key(&self, name: KeyName) -> Key {
        let mut open = locked(&self.open);
        if open.at.elapsed() >= OPEN_AGAIN_AFTER && !cfg!(trailseal_fault = "personal_keys_read_from_removed")
        {
            match Opened::new(&self.folder, &self.path, self.id) {
                Ok(again) => *open = again,
                Err(_) => open.file = None,
            }
        }
        match &open.file {
            _ if open.erased.contains(&name) => Key::Erased,
            _ if name.file != self.id => Key::Elsewhere,
            Some(file) => self.wrapping.key_in(name, slot(&**file, name.slot)),
            None => Key::Missing,
        }
    }
}
