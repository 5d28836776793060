//! Asking the system to begin writing a file, without waiting for it.
//!
//! Many small files are made durable quickest so: all are written, writing back is begun for all, and only then
//! is each synced. The first sync commits the file system's journal for all of them; the others find their
//! bytes on the disk. `syncfs` would do it in one call, but it also writes back the pages of the mapped handoff,
//! and each of them then costs the next `record` a page fault, and the disk every byte twice.
#![allow(unsafe_code)]

use std::fs::File;

/// Begins to write the file's bytes. A hint: whether it was taken is not known, so a sync must follow.
pub(super) fn begin(file: &File) {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        // SAFETY: the descriptor is open as long as `file` is borrowed; no memory is handed over.
        let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}
