//! The file system used for all I/O: every file operation of a trail goes through [`Files`].
//!
//! Tests put a [`Files`] here that fails, tears and forgets; the running program uses [`StdFiles`].
//! What is not behind it is no reading or writing of a trail's data: the mapped handoff (memory that outlives the process),
//! the locks, and looks at which file a name leads to (`standing`).
//!
//! Assumptions about the medium: what `sync_data` or `replace` reported as done survives power loss; what was not
//! synced may be there completely, partly, or not at all; writes do not damage other bytes.

mod regular_file;
mod std_files;
mod still_in_place;

pub use regular_file::{open_named, open_ordinary, open_ordinary_as};
pub use std_files::StdFiles;
pub use still_in_place::Standing;
pub(crate) use still_in_place::{Doubt, OpenFolder, folder_numbers, standing};

use std::io;
use std::ops::Range;
use std::path::Path;

/// Whether an error says that the process, or the machine, cannot open another file now. It is temporary: closing files
/// or waiting may help.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// How many files this process may have open now, at most.
pub fn open_files_max() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// File operations, each with what survives a crash after it returned.
pub trait Files: Send + Sync {
    /// Creates a file that must not exist, durably named (the folder is synced), for appending. If it fails because of
    /// a shortage of files ([`is_shortage`]), nothing was created.
    fn create_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;
    /// Opens an existing file for writing from offset `at` on. Bytes there are overwritten, not truncated.
    fn open_append(&self, path: &Path, at: u64) -> io::Result<Box<dyn AppendFile>>;
    /// Opens an existing file for reading and writing at any place.
    fn open_update(&self, path: &Path) -> io::Result<Box<dyn UpdateFile>>;
    /// Opens a file for reading at any place. A FIFO, device, socket or folder in its place is
    /// [`io::ErrorKind::InvalidData`], at once; the same holds for the other calls that read or write a file.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;
    /// Reads a whole file of at most `len_max` bytes; a larger one is [`io::ErrorKind::InvalidData`].
    fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>>;
    /// Writes `bytes` to `path`: temporary file, data sync, rename, folder sync. After a crash the old or the new bytes
    /// are there, never a mixture. Only their owner can read `private` files.
    fn replace(&self, path: &Path, bytes: &[u8], private: bool) -> io::Result<()>;
    /// Appends to any file, even if others append to it too, and syncs it; creates it if it does not exist.
    fn append_to(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Durably renames a file within its folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Not synced: after a crash it may be back.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a file, and returns when it stays away: after an error it may be there or not.
    fn remove_durably(&self, path: &Path) -> io::Result<()>;
    /// Creates a folder and its parents durably; it may already exist.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// The names of the entries of a folder, sorted. A folder that does not exist has none.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Bytes that an ordinary user can still write on the file system of `path`, and its total size.
    fn free_bytes(&self, path: &Path) -> io::Result<(u64, u64)>;
    /// Tells the system that bytes of a file, all of them synced, will not be read again soon. Advice: there is no
    /// error.
    fn leave_cache(&self, path: &Path, bytes: Range<u64>) {
        let _ = (path, bytes);
    }
    /// Whether a trail in `folder` can be watched by inode numbers. Some shared file systems, and some in containers,
    /// give a file another number on each look.
    fn inode_numbers_hold(&self, folder: &Path) -> io::Result<bool> {
        let _ = folder;
        Ok(true)
    }
}

/// A file that only grows, written by one thread.
pub trait AppendFile: Send {
    /// Appends `bytes`. On an error any part of them may have been written. A file that was truncated meanwhile is an
    /// error.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything appended is on disk. After an error nothing more may be entrusted to this file: a second
    /// sync could report success for bytes that the system has dropped.
    fn sync_data(&mut self) -> io::Result<()>;
    /// Truncates the file to `len` bytes and syncs it.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Reserves disk blocks up to `len` bytes without changing the file's size. If the file system cannot, that is not
    /// an error.
    fn reserve(&mut self, len: u64) -> io::Result<()>;
    /// Whether the file's name still leads to this file, and the file has everything that was appended.
    fn standing(&self) -> io::Result<Standing>;
    /// Whether no name leads to the file any more.
    fn is_unlinked(&self) -> io::Result<bool> {
        Ok(false)
    }
}

/// A file that is read and written at any place, by several threads.
pub trait UpdateFile: Send + Sync {
    /// Reads up to `out.len()` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`. On an error any part of them may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything written before is on disk. After an error, what was written since the last success must be
    /// written again before the next attempt means anything.
    fn sync_data(&self) -> io::Result<()>;
    /// The file's length in bytes at this moment.
    fn len_bytes(&self) -> io::Result<u64>;
    /// Whether the file's name still leads to this file.
    fn standing(&self) -> io::Result<Standing>;
}

/// A file that can be read at any place, also while it grows.
pub trait ReadFile: Send + Sync {
    /// Reads up to `out.len()` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    /// The file's length in bytes at this moment.
    fn len_bytes(&self) -> io::Result<u64>;
}
