//! Many writers: each process takes a slot, a trail of its own in a folder of trails.

use std::io;
use std::path::{Path, PathBuf};

use super::error::OpenError;
use super::options::{HandoffPlace, Options};
use super::{Folder, Trail};
use crate::file::Files;

/// A folder has at most this many slots.
pub const SLOTS_MAX: u32 = 1_024;

impl Trail {
    /// Opens the first slot of `dir` that no other process writes to: the folder `dir/0`, `dir/1`, … Its
    /// origin is the one of `options` with `/0`, `/1`, … after it. A process finds the slot of an earlier
    /// one again, and recovers it.
    ///
    /// # Errors
    /// As [`open`](Trail::open); [`OpenError::Locked`] when all [`SLOTS_MAX`] slots are in use.
    pub fn open_slot(dir: impl AsRef<Path>, options: Options) -> Result<Trail, OpenError> {
        let dir = dir.as_ref();
        let folder = Folder::new(dir, options.files.clone());
        if options.files.open_read(&folder.trail_toml()).is_ok() {
            let what = "it is a trail itself, not a folder of slots: choose another, or workers = \"one\"";
            return Err(OpenError::Damaged { path: dir.to_owned(), what: what.into() });
        }
        let mut last = None;
        for slot in 0..SLOTS_MAX {
            let mut options = options.clone();
            options.origin = options.origin.map(|origin| format!("{origin}/{slot}"));
            options.key_file = options.key_file.as_deref().map(|path| of_slot(path, slot));
            if let HandoffPlace::File(path) = &mut options.handoff.place {
                *path = of_slot(path, slot);
            }
            match Trail::open(dir.join(slot.to_string()), options) {
                Err(error @ OpenError::Locked { .. }) => last = Some(error),
                other => return other,
            }
        }
        // Only reached after at least one slot was found locked.
        Err(last.unwrap_or_else(|| OpenError::Damaged { path: dir.to_owned(), what: "no slot".into() }))
    }
}

/// A file outside of the slots' folders, with the slot's number after its name.
fn of_slot(path: &Path, slot: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{slot}"));
    path.with_file_name(name)
}

/// The folders of the trails in `dir`: itself, or its slots in their order. Empty if there is none.
///
/// # Errors
/// When the folder cannot be listed.
pub fn trails_in(dir: &Path, files: &dyn Files) -> io::Result<Vec<PathBuf>> {
    let is_trail = |path: &Path| files.open_read(&path.join("trail.toml")).is_ok();
    if is_trail(dir) {
        return Ok(vec![dir.to_owned()]);
    }
    let mut slots: Vec<u32> = files
        .list(dir)?
        .iter()
        .filter_map(|name| name.parse().ok().filter(|slot: &u32| slot.to_string() == *name))
        .collect();
    slots.sort_unstable();
    let folders = slots.into_iter().map(|slot| dir.join(slot.to_string()));
    Ok(folders.filter(|folder| is_trail(folder)).collect())
}
