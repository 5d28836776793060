//! Appends to the files of the tree: what a round of the sealer adds, level by level, with one sync per file.
//!
//! *sticky failure*: after an append or a sync failed, the file is reopened and everything since the last good sync is
//! written again: a second sync alone could report success for bytes that the system has dropped.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use trailseal_tlog::{Hash, TILE_LEVELS, hashes_in_level};

use super::HASH_LEN;
use crate::file::{AppendFile, Doubt, Files, Standing};
use crate::folder::Folder;

/// Blocks are reserved ahead in steps of this many bytes at level 0, and of a 256th of it one level up.
const RESERVE_STEP: u64 = 8 << 20;
/// The same for a short-lived process.
const RESERVE_STEP_ONE_SHOT: u64 = 1 << 20;
/// Smaller rounds append plainly: at such a rate reserved blocks gain nothing.
const RESERVE_FROM: usize = 4_096;

/// The growing tree. Owned by the sealing thread.
pub(crate) struct TreeWriter {
    files: Arc<dyn Files>,
    levels: Vec<Level>,
    reserve_step: u64,
    /// Set while files are short: then each is closed before the next one is opened.
    is_sparing: bool,
}

struct Level {
    path: PathBuf,
    file: Option<Box<dyn AppendFile>>,
    /// Bytes of hashes that are on disk.
    len_bytes: u64,
    /// Hashes that are not yet known to be on disk.
    pending: Vec<u8>,
    reserved: u64,
    doubt: Doubt,
}

impl TreeWriter {
    /// Continues after the first `size` leaves, whose hashes are on disk.
    pub(crate) fn new(folder: &Folder, size: u64, is_one_shot: bool) -> Self {
        let inodes_hold = folder.files().inode_numbers_hold(folder.root()).unwrap_or(false);
        let level = |level: u8| Level {
            path: folder.tree_level(level),
            file: None,
            len_bytes: hashes_in_level(size, level) * HASH_LEN,
            pending: Vec::new(),
            reserved: 0,
            doubt: Doubt::new(inodes_hold),
        };
        TreeWriter {
            files: folder.files().clone(),
            levels: (0..TILE_LEVELS).map(level).collect(),
            reserve_step: if is_one_shot { RESERVE_STEP_ONE_SHOT } else { RESERVE_STEP },
            is_sparing: false,
        }
    }

    /// From now on holds one file open at a time, or all of them. What is pending stays pending.
    pub(crate) fn spare_files(&mut self, is_sparing: bool) {
        self.is_sparing = is_sparing && !cfg!(trailseal_fault = "tree_held_open");
        if self.is_sparing {
            self.levels.iter_mut().for_each(|level| level.file = None);
        }
    }

    /// Creates the file of level 0 if it does not exist: every trail has one.
    pub(crate) fn make_first_level(&mut self) -> io::Result<()> {
        let Some(level) = self.levels.first_mut() else { return Ok(()) };
        level.file = Some(level.open(&*self.files)?);
        Ok(())
    }

    /// The file of a level that somebody removed, replaced or truncated since its hashes were written, if there is one.
    pub(crate) fn lost(&mut self) -> io::Result<Option<PathBuf>> {
        for level in self.levels.iter_mut().filter(|level| level.len_bytes > 0) {
            let is_lost = level.is_lost(&*self.files)?;
            if self.is_sparing {
                level.file = None;
            }
            if is_lost {
                return Ok(Some(level.path.clone()));
            }
        }
        Ok(None)
    }

    /// Takes the next hash of a level, to be written by [`sync`](TreeWriter::sync).
    pub(crate) fn push(&mut self, level: u8, hash: &Hash) {
        if let Some(level) = self.levels.get_mut(usize::from(level)) {
            level.pending.extend_from_slice(&hash.0);
        }
    }

    /// Writes everything pushed, and returns when it is on disk. After an error all of it is still pending.
    ///
    /// `may_reserve`: whether blocks may be reserved ahead; not while the disk is nearly full.
    pub(crate) fn sync(&mut self, may_reserve: bool) -> io::Result<()> {
        let step = if may_reserve { self.reserve_step } else { 0 };
        let done = self.try_sync(step);
        if done.is_err() {
            // Reopened, each is written from its last good sync on.
            self.levels.iter_mut().for_each(|level| level.file = None);
        }
        done
    }

    fn try_sync(&mut self, step: u64) -> io::Result<()> {
        let due = |level: &&mut Level| !level.pending.is_empty();
        for (number, level) in self.levels.iter_mut().enumerate().filter(|(_, level)| due(level)) {
            level.write(&*self.files, step.checked_shr(8 * number as u32).unwrap_or(0))?;
            if self.is_sparing {
                level.sync()?;
                level.file = None;
            }
        }
        self.levels.iter_mut().filter(due).try_for_each(Level::sync)
    }

    /// Frees reserved blocks. What is signed is already on disk, so a failure here loses nothing.
    pub(crate) fn finish(self) -> io::Result<()> {
        for level in self.levels {
            if let Some(mut file) = level.file.filter(|_| level.reserved > level.len_bytes) {
                file.truncate(level.len_bytes)?;
            }
        }
        Ok(())
    }
}

impl Level {
    fn write(&mut self, files: &dyn Files, step: u64) -> io::Result<()> {
        let mut file = self.open(files)?;
        let end = self.len_bytes + self.pending.len() as u64;
        if step > 0 && self.pending.len() >= RESERVE_FROM && end > self.reserved {
            self.reserved = end.next_multiple_of(step);
            match file.reserve(self.reserved) {
                // Less room than a step may still be enough: the write itself will tell.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => self.reserved = end,
                done => done?,
            }
        }
        file.append(&self.pending)?;
        self.file = Some(file);
        Ok(())
    }

    fn is_lost(&mut self, files: &dyn Files) -> io::Result<bool> {
        let standing = match self.open(files) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Standing::Removed,
            Err(error) => return Err(error),
            Ok(file) => self.file.insert(file).standing()?,
        };
        Ok(self.doubt.is_lost(Ok(standing)))
    }

    /// The file, for appending after the hashes that are on disk. What a crash or a failure left there is void.
    fn open(&mut self, files: &dyn Files) -> io::Result<Box<dyn AppendFile>> {
        if let Some(file) = self.file.take() {
            return Ok(file);
        }
        self.reserved = 0;
        match files.open_append(&self.path, self.len_bytes) {
            // The first hash of this level.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.len_bytes == 0 => {
                files.create_append(&self.path)
            }
            opened => opened,
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.sync_data()?;
            self.len_bytes += self.pending.len() as u64;
            self.pending.clear();
        }
        Ok(())
    }
}
