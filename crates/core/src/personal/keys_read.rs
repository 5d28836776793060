//! Whose keys a key file has, for whoever only reads the trail's folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use trailseal_event::personal::KeyName;

use super::key_slot::{SubjectHash, Wrapping};
use super::list::ErasedList;
use super::master_key::PersonalKeysOptions;
use super::open::{PersonalKeysError, failed};
use super::reader::unwrapped;
use super::table::Table;
use crate::folder::Folder;

/// A key file as it was when it was read.
pub(crate) struct KeysRead {
    path: PathBuf,
    wrapping: Wrapping,
    table: Table,
    /// Keys that were destroyed, also if this file is an older one that still has them.
    erased: HashSet<KeyName>,
}

impl KeysRead {
    /// `None` if the trail in `folder` has no key file.
    pub(crate) fn open(
        folder: &Folder,
        options: &PersonalKeysOptions,
    ) -> Result<Option<KeysRead>, PersonalKeysError> {
        let Some((path, _, wrapping)) = unwrapped(folder, options)? else { return Ok(None) };
        let file = folder.files().open_read(&path).map_err(failed("open", &path))?;
        let len = file.len_bytes().map_err(failed("read", &path))?;
        let table = Table::read(len, |offset, out| file.read_at(offset, out));
        let table = table.map_err(failed("read", &path))?;
        let list = ErasedList::read(folder).map_err(failed("read", &ErasedList::path(folder)))?;
        Ok(Some(KeysRead { path, wrapping, table, erased: list.names().collect() }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the keys of a person known by any of these ids, and the event that destroyed earlier ones.
    pub(crate) fn keys_of<'a>(
        &self,
        ids: impl Iterator<Item = &'a str>,
    ) -> (Vec<KeyName>, Option<(u64, i64)>) {
        let hashes: Vec<SubjectHash> = ids.map(|id| self.wrapping.subject(id)).collect();
        let (found, before) = self.table.keys_of(&hashes);
        let names = found.iter().map(|key| self.wrapping.name(key.slot));
        (names.filter(|name| !self.erased.contains(name)).collect(), before)
    }
}
