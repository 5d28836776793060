//! Whose a handoff is: of which trail, and of which folder.
//!
//! A copy of a trail has its origin too, and its `lock` names the same handoff as the original's. Inside of a folder a
//! handoff is that folder's; elsewhere it must name the folder that it was made for, by its path or by its inode number:
//! a folder that was renamed keeps the number, one that was restored keeps the path, and a copy has neither. A handoff
//! that was itself copied is nobody's any more: whoever has the trail may take it.

use std::cell::OnceCell;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::header::{HandoffFolder, HandoffHeader, first_bytes};
use crate::file::folder_numbers;

/// Who may use a handoff.
pub(crate) struct Owner {
    pub(super) trail: u64,
    root: PathBuf,
    /// Looked for only where a handoff is elsewhere.
    folder: OnceCell<HandoffFolder>,
}

impl Owner {
    /// The trail `origin` in the folder `root`.
    pub(crate) fn of(root: &Path, origin: &str) -> Owner {
        Owner { trail: HandoffHeader::trail_mark(origin), root: root.to_owned(), folder: OnceCell::new() }
    }

    /// As a handoff of this owner names its folder.
    pub(super) fn folder(&self) -> HandoffFolder {
        *self.folder.get_or_init(|| {
            let path = std::fs::canonicalize(&self.root).unwrap_or_else(|_| absolute(&self.root));
            let (_, inode) = folder_numbers(&self.root);
            HandoffFolder { inode, path: first_bytes(path.as_os_str().as_bytes()) }
        })
    }

    /// Whether a handoff of the trail with this header, at this path, is of no other folder.
    pub(super) fn may_take(&self, path: &Path, header: &HandoffHeader) -> bool {
        let is_inside = path.parent() == Some(&self.root)
            || absolute(path).parent() == Some(&absolute(&self.root))
            || cfg!(trailseal_fault = "handoff_of_any_folder");
        let is_copied = || folder_numbers(path).1 != header.file;
        let (named, ours) = (header.folder, || self.folder());
        is_inside
            || is_copied()
            || named.path == ours().path
            || named.inode == ours().inode && named.inode != 0
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
