//! *one writer*: the lock is held from open to close.
//!
//! A POSIX record lock on the file `lock`, which names host, boot and pid. A forked child does not inherit
//! it, and it goes with the process. Such locks know only processes, and closing any descriptor of the
//! file gives them up; so a list in this process keeps a second `open` away from a file that it holds.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use crate::file::{open_ordinary, open_with};

const TEXT_BYTES_MAX: u64 = 16 << 10;
/// Device, inode, and the process that holds it: a forked child inherits the list, not the lock.
type FileId = (u64, u64, u32);

/// With the handoff file that the holder named.
static HELD_HERE: Mutex<BTreeMap<FileId, Option<PathBuf>>> = Mutex::new(BTreeMap::new());

/// The lock on a trail's folder, given up when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Option<File>,
    id: FileId,
    pid: u32,
    previous_handoff: Option<PathBuf>,
}

/// Who holds a trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub pid: Option<u32>,
    /// What the lock file says: host, boot and pid.
    pub text: String,
}

/// What came of trying to take the lock.
pub(crate) enum Attempt {
    Taken(Lock),
    HeldBy(Holder),
}

/// Tries to take the lock; does not wait.
pub(crate) fn take(path: &Path) -> io::Result<Attempt> {
    let mut held = HELD_HERE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(data) = std::fs::metadata(path)
        && held.contains_key(&(data.dev(), data.ino(), std::process::id()))
    {
        return Ok(Attempt::HeldBy(Holder { pid: Some(std::process::id()), ..Holder::default() }));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o640);
    let mut file = open_with(&mut options, libc::O_NOFOLLOW, path)?;
    let locked = if cfg!(trailseal_fault = "lock_inherited") {
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
    } else {
        rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)
    };
    match locked {
        Ok(()) => {}
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN) => {
            return Ok(Attempt::HeldBy(holder(&mut file)?));
        }
        Err(error) => return Err(error.into()),
    }
    let pid = std::process::id();
    let mut previous = String::new();
    (&file).take(TEXT_BYTES_MAX).read_to_string(&mut previous)?;
    let previous_handoff = field(&previous, "handoff").map(PathBuf::from);
    let data = file.metadata()?;
    let id = (data.dev(), data.ino(), pid);
    held.insert(id, None);
    let mut lock = Lock { file: Some(file), id, pid, previous_handoff };
    // The name of the last handoff stays until its lines are durable elsewhere.
    drop(held);
    lock.write(lock.previous_handoff.clone().as_deref())?;
    Ok(Attempt::Taken(lock))
}

/// Who holds the lock at `path` now; `None` if nobody does. Takes nothing and writes nothing.
pub(crate) fn held_by(path: &Path) -> io::Result<Option<Holder>> {
    let held = HELD_HERE.lock().unwrap_or_else(PoisonError::into_inner);
    let data = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // Opening and closing the file here would give this process's own lock up.
    if held.contains_key(&(data.dev(), data.ino(), std::process::id())) {
        return Ok(Some(Holder { pid: Some(std::process::id()), ..Holder::default() }));
    }
    let mut file = open_ordinary(path)?;
    let wanted = Flock::from(FlockType::ReadLock);
    Ok(match fcntl_getlk(&file, &wanted)? {
        Some(_) => Some(holder(&mut file)?),
        None => None,
    })
}

impl Lock {
    /// The handoff file that the last holder used.
    pub(crate) fn previous_handoff(&self) -> Option<PathBuf> {
        self.previous_handoff.clone()
    }

    /// Names the handoff file of this holder if it is not the trail's own, so that it is found though the
    /// settings change.
    pub(crate) fn name_handoff(&mut self, path: Option<&Path>) -> io::Result<()> {
        self.write(path)
    }

    fn write(&mut self, handoff: Option<&Path>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let handoff = handoff.map(std::path::absolute).transpose()?;
        let mut text = format!("host = {:?}\nboot = {:?}\npid = {}\n", host(), boot(), self.pid);
        if let Some(path) = &handoff {
            text.push_str(&format!("handoff = {:?}\n", path.display().to_string()));
        }
        // Written over, then cut: a stop in between, or a full disk, must not take the last holder's
        // handoff from the next opening.
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)?;
        HELD_HERE.lock().unwrap_or_else(PoisonError::into_inner).insert(self.id, handoff);
        Ok(())
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(" = ")?.trim_matches('"')))
}

/// The handoff file that the lock file names, whoever holds it.
pub(crate) fn named_handoff(path: &Path) -> Option<PathBuf> {
    let held = HELD_HERE.lock().unwrap_or_else(PoisonError::into_inner);
    let data = std::fs::metadata(path).ok()?;
    // Opening and closing the file here would give this process's own lock up.
    if let Some(handoff) = held.get(&(data.dev(), data.ino(), std::process::id())) {
        return handoff.clone();
    }
    let mut text = String::new();
    open_ordinary(path).ok()?.take(TEXT_BYTES_MAX).read_to_string(&mut text).ok()?;
    field(&text, "handoff").map(PathBuf::from)
}

fn holder(file: &mut File) -> io::Result<Holder> {
    let mut text = String::new();
    file.rewind()?;
    file.take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(Holder {
        pid: field(&text, "pid").and_then(|pid| pid.parse().ok()),
        text: text.replace('\n', ", ").trim_end_matches(", ").to_owned(),
    })
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn boot() -> String {
    // Only Linux has it here; elsewhere host and pid must do.
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A forked child that drops its copy must neither touch the list nor believe it holds the lock.
        if self.pid == std::process::id() {
            let mut held = HELD_HERE.lock().unwrap_or_else(PoisonError::into_inner);
            self.file = None;
            held.remove(&self.id);
        }
    }
}
