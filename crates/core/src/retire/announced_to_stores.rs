//! What a trail's events announce, told to stores that drop the same.

use std::io;

use sha2::{Digest as _, Sha256};
use trailseal_event::Index;

use super::announce::{AnnouncedList, Announcement, read};
use super::ids::ids_path;
use super::journal::announced_by;
use crate::deliver::{Follower, Lines};
use crate::folder::Folder;
use crate::manifest::{Manifest, ManifestError};
use crate::segment::read_list;

/// A segment of less than 2^32 lines has no more.
const IDS_BYTES_MAX: u64 = 28 << 32;

/// The newest event that has announced a retirement that was carried out, or is being; `None` if there is none.
///
/// # Errors
/// When the folder cannot be read.
pub fn newest_announced(folder: &Folder) -> io::Result<Option<Index>> {
    Ok(announced_by(folder)?.last().copied())
}

/// What the events from `from` on announce whose retirement was carried out, in order. They are sealed, and signed by a key of
/// the trail.
///
/// # Errors
/// When the folder cannot be read.
pub fn announced_since(folder: &Folder, from: Index) -> io::Result<Vec<Announcement>> {
    let mut events = announced_by(folder)?;
    events.retain(|event| *event >= from);
    let Some(first) = events.first() else { return Ok(Vec::new()) };
    let manifest = Manifest::read(folder).map_err(|error| match error {
        ManifestError::Io(error) => error,
        invalid => io::Error::new(io::ErrorKind::InvalidData, invalid),
    })?;
    let Some((ring, _)) = manifest.map(|manifest| manifest.key_ring()) else { return Ok(Vec::new()) };
    let mut follower = Follower::new(folder.clone(), *first)?;
    let (mut found, mut lines) = (Vec::new(), Lines::default());
    for event in events {
        follower.seek(event);
        lines.clear();
        follower.read(Index::new(event.get() + 1), 1, usize::MAX, &mut lines)?;
        let lines = lines.as_batch_lines();
        let line = lines.first().filter(|line| line.index == event);
        found.extend(line.and_then(|line| read(line.bytes, &ring)));
    }
    Ok(found)
}

impl AnnouncedList {
    /// The list as the folder has it, as far as it was announced; `None` if it is another one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(&self, folder: &Folder) -> io::Result<Option<Vec<u8>>> {
        let list = read_list(&**folder.files(), &folder.segments_folder(), self.first)?.unwrap_or_default();
        Ok(self.part_of(&list).map(<[u8]>::to_vec))
    }

    /// The hashed ids that went with it; `None` if there are none, or they are not those that were announced.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn load_ids(&self, folder: &Folder) -> io::Result<Option<Vec<u8>>> {
        let Some(sha256) = self.ids else { return Ok(None) };
        let path = ids_path(&folder.segments_folder(), self.first, self.bytes);
        match folder.files().read(&path, IDS_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => Ok(Some(read?).filter(|ids| Sha256::digest(ids)[..] == sha256)),
        }
    }
}
