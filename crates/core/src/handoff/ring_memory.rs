//! The handoff's memory: a file with real blocks, or plain memory where that cannot be had.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::at_path::{Lies, lies_at};
use super::header::HandoffHeader;
use super::map::{self, Consumer, HEADER_LEN, Producer};
use super::owner::Owner;
use crate::file::StdFiles;

/// How the name of an unfinished file begins; a random number and `.tmp` follow.
const UNFINISHED: &str = ".trailseal-handoff-";

/// Where the buffer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Mapped from this file.
    File(PathBuf),
    /// In plain memory: what was accepted but not yet written dies with the process.
    Memory,
}

/// A new, empty ring, for both sides of a handoff.
pub(crate) struct Ring {
    pub(super) producer: Producer,
    pub(super) consumer: Consumer,
    pub(super) generation: u64,
    /// `None` in plain memory.
    pub(super) file: Option<File>,
}

impl Ring {
    /// Creates a ring of `capacity` bytes at `place`, when the first `durable` events are in segments.
    ///
    /// An existing handoff of `owner` is replaced, so its lines must be durable elsewhere by
    /// now; anything else is left alone, and is an error. The new generation is on disk before the first frame can be,
    /// so no frame of an earlier writer is ever mistaken for one of this writer.
    pub(crate) fn new(place: &Place, capacity: u64, owner: &Owner, durable: u64) -> io::Result<Ring> {
        let mut generation = [0; 8];
        getrandom::getrandom(&mut generation).map_err(io::Error::other)?;
        let generation = u64::from_ne_bytes(generation);
        match place {
            Place::Memory => {
                let (producer, consumer) = map::heap(capacity);
                Ok(Ring { producer, consumer, generation, file: None })
            }
            Place::File(path) => {
                let (trail, folder) = (owner.trail, owner.folder());
                let header = HandoffHeader { generation, capacity, trail, folder, file: 0, tail: 0, durable };
                let file = create(path, &header, owner)?;
                let (producer, consumer) = map::map(&file, capacity)?;
                Ok(Ring { producer, consumer, generation, file: Some(file) })
            }
        }
    }
}

// open(O_CREAT|O_EXCL|O_NOFOLLOW), write, fallocate, fsync, rename, fsync(folder)
fn create(path: &Path, header: &HandoffHeader, owner: &Owner) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    remove_unfinished(folder, owner);
    let temporary = folder.join(format!("{UNFINISHED}{:016x}.tmp", header.generation));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&temporary)?;
    let with_number = |found: fs::Metadata| HandoffHeader { file: found.ino(), ..*header };
    let made = file
        .metadata()
        .and_then(|found| fill(&file, &with_number(found)))
        .and_then(|()| put_in_place(&temporary, path, owner));
    if let Err(error) = made {
        // A leftover would only take space, which may be what is missing.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// The header first: a file left by a crash can then be distinguished from anybody else's.
fn fill(mut file: &File, header: &HandoffHeader) -> io::Result<()> {
    file.write_all(&header.encode())?;
    allocate(file, HEADER_LEN as u64 + header.capacity)?;
    if cfg!(trailseal_fault = "generation_not_synced") {
        return Ok(());
    }
    file.sync_all()
}

/// Renames, over nothing or over a handoff of this trail.
fn put_in_place(temporary: &Path, path: &Path, owner: &Owner) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(()),
        // The file system does not support it, so only a check beforehand can tell.
        Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    match lies_at(&StdFiles, path, owner) {
        Lies::Nothing | Lies::Own => fs::rename(temporary, path),
        Lies::Elsewhere | Lies::Empty | Lies::Foreign => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "another file is there, which is not this trail's handoff",
        )),
    }
}

/// Removes what an interrupted creation of a handoff of this trail left.
fn remove_unfinished(folder: &Path, owner: &Owner) {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    for name in names.map(|entry| entry.file_name()) {
        let is_unfinished =
            name.to_str().is_some_and(|name| name.starts_with(UNFINISHED) && name.ends_with(".tmp"));
        let path = folder.join(&name);
        if is_unfinished && lies_at(&StdFiles, &path, owner) == Lies::Own {
            let _ = fs::remove_file(path);
        }
    }
}

// A sparse mapping would die of SIGBUS on a full disk, so blocks are reserved or it is not mapped.
fn allocate(file: &File, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len)?;
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    {
        use std::os::unix::fs::FileExt as _;
        let zeros = vec![0; 1 << 20];
        let mut at = HEADER_LEN as u64;
        while at < len {
            let count = (len - at).min(zeros.len() as u64) as usize;
            file.write_all_at(&zeros[..count], at)?;
            at += count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: u64 = 4096;

    fn make(path: &Path) -> io::Result<Ring> {
        make_for("trail", path)
    }

    fn make_for(origin: &str, path: &Path) -> io::Result<Ring> {
        let owner = Owner::of(Path::new("/trail"), origin);
        Ring::new(&Place::File(path.to_owned()), CAPACITY, &owner, 0)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_handoff_of_this_trail_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handoff");
        let first = make(&path).unwrap().generation;
        assert_ne!(make(&path).unwrap().generation, first);
        let other = make_for("other", &path);
        assert_eq!(other.err().map(|error| error.kind()), Some(io::ErrorKind::AlreadyExists));
        for theirs in [&b"my thesis"[..], b"", &[0; 8192]] {
            fs::write(&path, theirs).unwrap();
            assert!(make(&path).is_err());
            assert_eq!(fs::read(&path).unwrap(), theirs);
        }
        assert_eq!(names(folder.path()), ["handoff"], "nothing unfinished is left");
    }

    #[test]
    fn what_a_crash_left_unfinished_goes_and_other_files_beside_it_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handoff");
        make(&path).unwrap();
        fs::rename(&path, folder.path().join(format!("{UNFINISHED}0.tmp"))).unwrap();
        let beside = ["handoff.tmp".to_owned(), format!("{UNFINISHED}1.tmp")];
        beside.iter().for_each(|name| fs::write(folder.path().join(name), "mine").unwrap());
        make(&path).unwrap();
        assert_eq!(names(folder.path()), [beside[1].as_str(), "handoff", "handoff.tmp"]);
    }
}
