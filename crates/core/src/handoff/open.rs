//! Making the handoff's memory: a file with real blocks, or plain memory where that cannot be had.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::buffer::{Drain, Handoff};
use super::map::{self, HEADER_LEN};
use super::replay::HandoffHeader;
use crate::clock::Timestamp;

/// Where the buffer lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Mapped from this file.
    File(PathBuf),
    /// In plain memory: what was accepted but not yet written dies with the process.
    Memory,
}

/// Makes a new, empty handoff of `capacity` bytes for the trail with the mark `trail`, whose first line will
/// have the index `next`.
///
/// An existing file at that place is replaced, so its lines must be durable elsewhere by now. The new
/// generation is on disk before the first frame can be, so no frame of an earlier writer is ever taken
/// for one of this writer.
pub(crate) fn open(
    place: &Place,
    capacity: u64,
    trail: u64,
    next: u64,
    recorded: Timestamp,
) -> io::Result<(Handoff, Drain)> {
    let generation = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let (producer, consumer) = match place {
        Place::Memory => map::heap(capacity),
        Place::File(path) => {
            let header = HandoffHeader { generation, capacity, trail, tail: 0, durable: next };
            map::map(&create(path, &header)?, capacity)?
        }
    };
    Ok((Handoff::new(producer, generation, next, recorded), Drain::new(consumer)))
}

// open(O_CREAT|O_EXCL|O_NOFOLLOW), fallocate, write, fsync, rename, fsync(folder)
fn create(path: &Path, header: &HandoffHeader) -> io::Result<fs::File> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&temporary)?;
    allocate(&file, HEADER_LEN as u64 + header.capacity).inspect_err(|_| {
        // The reservation failed; leaving the file would only take more of the space that is missing.
        let _ = fs::remove_file(&temporary);
    })?;
    file.write_all(&header.encode())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()?;
    Ok(file)
}

// A sparse mapping would die of SIGBUS on a full disk, so blocks are reserved or it is not mapped.
fn allocate(file: &fs::File, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len)?;
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let zeros = vec![0; 1 << 20];
        let mut file = file;
        let mut left = len;
        while left > 0 {
            let count = left.min(zeros.len() as u64) as usize;
            file.write_all(&zeros[..count])?;
            left -= count as u64;
        }
        use std::io::Seek as _;
        file.rewind()
    }
}
