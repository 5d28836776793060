//! Files, names and the primitive steps that change them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// One primitive operation that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file was created, or replaced by a new empty one of the same name.
    Create {
        /// Its name.
        path: PathBuf,
        /// Its number.
        inode: u64,
    },
    /// Bytes were written.
    Write {
        /// To which file.
        inode: u64,
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file was truncated, or extended with zeros.
    Truncate {
        /// Which.
        inode: u64,
        /// To how many bytes.
        len: u64,
    },
    /// A file's bytes became durable.
    Sync {
        /// Which.
        inode: u64,
    },
    /// A file was renamed.
    Rename {
        /// Its old name.
        from: PathBuf,
        /// Its new name; a file of that name is replaced.
        to: PathBuf,
    },
    /// A name was removed.
    Remove {
        /// Which.
        path: PathBuf,
    },
    /// The names in a folder became durable.
    SyncFolder {
        /// Which.
        path: PathBuf,
    },
    /// Blocks were reserved, which changes nothing that can be read.
    Reserve,
    /// A step that had no effect.
    Nothing,
    /// Not a step: somebody was told that this index is durable.
    Acknowledged {
        /// Which.
        index: u64,
    },
}

/// The live state.
#[derive(Clone, Default)]
pub(super) struct Disk {
    names: BTreeMap<PathBuf, u64>,
    contents: BTreeMap<u64, Vec<u8>>,
    inodes: u64,
}

impl Disk {
    pub(super) fn new_inode(&mut self) -> u64 {
        self.inodes += 1;
        self.inodes
    }

    pub(super) fn inode(&self, path: &Path) -> Option<u64> {
        self.names.get(path).copied()
    }

    pub(super) fn bytes(&self, inode: u64) -> &[u8] {
        self.contents.get(&inode).map_or(&[], Vec::as_slice)
    }

    pub(super) fn edit(&mut self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        if let Some(inode) = self.inode(path) {
            edit(self.contents.entry(inode).or_default());
        }
    }

    pub(super) fn live_files(&self) -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
        self.names.iter().map(|(path, inode)| (path.clone(), self.bytes(*inode).to_vec()))
    }

    /// Names of files in `folder`, and of folders that have files.
    pub(super) fn names_in(&self, folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = self
            .names
            .keys()
            .filter_map(|path| path.strip_prefix(folder).ok())
            .filter_map(|below| below.iter().next())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.dedup();
        names
    }

    /// Takes over the names of another disk.
    pub(super) fn take_names(&mut self, other: Disk) {
        self.names = other.names;
        self.inodes = self.inodes.max(other.inodes);
    }

    pub(super) fn apply(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Create { path, inode } => {
                self.inodes = self.inodes.max(*inode);
                self.contents.insert(*inode, Vec::new());
                self.names.insert(path.clone(), *inode);
            }
            Step::Write { inode, offset, bytes } => {
                let content = self.contents.entry(*inode).or_default();
                let end = *offset as usize + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset as usize..end].copy_from_slice(bytes);
            }
            Step::Truncate { inode, len } => {
                self.contents.entry(*inode).or_default().resize(*len as usize, 0)
            }
            Step::Rename { from, to } => {
                let inode = self.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
                self.names.insert(to.clone(), inode);
            }
            Step::Remove { path } => {
                self.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
            }
            Step::Sync { .. }
            | Step::SyncFolder { .. }
            | Step::Reserve
            | Step::Nothing
            | Step::Acknowledged { .. } => {}
        }
        Ok(())
    }
}
