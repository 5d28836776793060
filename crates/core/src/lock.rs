//! *one writer*: the lock is held from open to close.
//!
//! There are two locks, each for what the other cannot do. The file `lock`, which names host, boot and pid, has a POSIX
//! record lock: a forked child does not inherit it, and it ends with the process. Such locks only distinguish
//! processes, and closing any descriptor of the file drops them; so a list in this process keeps a second `open` away
//! from a file that it holds. But somebody who is told that the trail is in use may remove `lock`, and then the locked
//! file has no name. So the *guard*, `tree/0`, is locked too: nobody replaces it, and losing it means losing the trail.
//! Readers and the sealer of this process open and close that one, so its lock belongs to the open file description; a
//! forked child closes it at once.
//!
//! While the guard is held, nobody else creates a file `lock`; its holder recreates a removed one.

mod description;
mod text;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType, fcntl_getlk};

pub(crate) use self::text::Left;
use self::text::TEXT_BYTES_MAX;
use crate::file::{Standing, open_ordinary, standing};
use crate::folder::Folder;
use crate::parents_file::ParentsFile;

/// How long a holder may take to recreate `lock`, so that it can be named: several looks at the disk.
const NAMED_WITHIN: Duration = Duration::from_secs(2);

/// Device, inode, and the process that holds it: a forked child inherits the list, not the lock.
type FileId = (u64, u64, u32);

/// With the handoff file that the holder named.
static HELD_HERE: Mutex<BTreeMap<FileId, Option<PathBuf>>> = Mutex::new(BTreeMap::new());

/// The lock on a trail's folder, released on drop.
#[derive(Debug)]
pub(crate) struct Lock {
    folder: PathBuf,
    path: PathBuf,
    pid: u32,
    previous: Left,
    held: Mutex<Held>,
    guard: Mutex<Option<Guard>>,
}

/// The file `lock`, which may be another one later.
#[derive(Debug)]
struct Held {
    file: Option<File>,
    id: FileId,
    left: Left,
    /// Whether this process made the file, and no opening has come so far that it would be needed. It goes with the lock then: in a
    /// copy of a trail it would say that the copy was opened for writing.
    is_unneeded: bool,
}

/// The second lock.
#[derive(Debug)]
struct Guard {
    file: ParentsFile,
    id: FileId,
}

/// Who holds a trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub pid: Option<u32>,
    /// The lock file's host, boot and pid.
    pub text: String,
}

impl Holder {
    fn this_process() -> Holder {
        Holder { pid: Some(std::process::id()), ..Holder::default() }
    }
}

/// The result of trying to take the lock.
pub(crate) enum Attempt<T = Lock> {
    Taken(T),
    HeldBy(Holder),
}

/// Tries to take the lock without waiting. A trail that is just being created has no guard yet:
/// [`hold_guard`](Lock::hold_guard) takes that once it exists.
pub(crate) fn take(folder: &Folder) -> io::Result<Attempt> {
    let path = folder.lock();
    let guard = match Guard::take(&folder.tree_level(0))? {
        Some(Attempt::HeldBy(_)) => {
            return Ok(Attempt::HeldBy(holder_of_guard(&path, &folder.tree_level(0), NAMED_WITHIN)?));
        }
        Some(Attempt::Taken(guard)) => Some(guard),
        None => None,
    };
    let mut here = held_here();
    if here.contains_key(&id_of(&path)) {
        return Ok(Attempt::HeldBy(Holder::this_process()));
    }
    let (mut file, is_new) = open(&path)?;
    if !lock_record(&file)? {
        return Ok(Attempt::HeldBy(holder(&mut file)?));
    }
    // While the guard is held, nobody else is about to lock this file, so that it can be removed.
    let is_unneeded = is_new && guard.is_some();
    let previous = text::left(&read(&file)?);
    let id = id(&file.metadata()?);
    here.insert(id, None);
    drop(here);
    // The name of the last handoff stays until its lines are durable elsewhere.
    let held = Mutex::new(Held { file: Some(file), id, left: previous.clone(), is_unneeded });
    let guard = Mutex::new(guard);
    let lock =
        Lock { folder: folder.root().to_owned(), path, pid: std::process::id(), previous, held, guard };
    lock.write(&mut lock.held(), lock.previous.clone())?;
    Ok(Attempt::Taken(lock))
}

/// Who holds the lock now; `None` if nobody does. Takes nothing and writes nothing.
pub(crate) fn held_by(folder: &Folder) -> io::Result<Option<Holder>> {
    let (path, guard) = (folder.lock(), folder.tree_level(0));
    let here = held_here();
    // Opening and closing the file here would drop this process's own lock.
    if here.contains_key(&id_of(&path)) || here.contains_key(&id_of(&guard)) {
        return Ok(Some(Holder::this_process()));
    }
    if let Some(mut file) = if_there(open_to_read(&path))?
        && fcntl_getlk(&file, &Flock::from(FlockType::ReadLock))?.is_some()
    {
        return holder(&mut file).map(Some);
    }
    drop(here);
    // The guard of a read-only folder may not be readable.
    let is_guarded = open_to_read(&guard).and_then(|file| description::is_locked(&file)).unwrap_or(false);
    if is_guarded { holder_of_guard(&path, &guard, Duration::ZERO).map(Some) } else { Ok(None) }
}

/// The handoff file that the lock file names, whoever holds it.
pub(crate) fn named_handoff(folder: &Folder) -> Option<PathBuf> {
    let here = held_here();
    let path = folder.lock();
    let named = match here.get(&id_of(&path)) {
        // Opening and closing the file here would drop this process's own lock.
        Some(handoff) => handoff.clone(),
        None => text::left(&read(&open_to_read(&path).ok()?).ok()?).handoff,
    };
    named.map(|named| folder.root().join(named))
}

/// What the last holder left, as anybody who may read the lock file sees it. As if closed while this process holds it.
pub(crate) fn left_in(folder: &Folder) -> Left {
    let here = held_here();
    let path = folder.lock();
    if here.contains_key(&id_of(&path)) {
        return Left { closed: true, ..Left::default() };
    }
    let left = open_to_read(&path).and_then(|file| read(&file)).map(|text| text::left(&text));
    let Left { handoff, closed } = left.unwrap_or_default();
    Left { handoff: handoff.map(|named| folder.root().join(named)), closed }
}

impl Lock {
    /// The handoff file that the last holder used, and whether it no longer needed it.
    pub(crate) fn previous(&self) -> Left {
        let handoff = self.previous.handoff.as_ref().map(|named| self.folder.join(named));
        Left { handoff, ..self.previous }
    }

    /// Takes the guard, now that it exists, unless it is already held. `HeldBy` if another process holds it.
    pub(crate) fn hold_guard(&self, guard: &Path) -> io::Result<Attempt<()>> {
        let mut held = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        let is_held = held.as_ref().is_some_and(|held| held.is_in_place(guard));
        // `None`: it does not exist, or the trail's files are not the system's.
        match if is_held { None } else { Guard::take(guard)? } {
            Some(Attempt::HeldBy(holder)) => return Ok(Attempt::HeldBy(holder)),
            Some(Attempt::Taken(guard)) => *held = Some(guard),
            None => {}
        }
        Ok(Attempt::Taken(()))
    }

    /// Records the handoff file of this holder, so that it is found even if the settings change.
    pub(crate) fn name_handoff(&self, handoff: Option<&Path>) -> io::Result<()> {
        let handoff = handoff.filter(|_| !cfg!(trailseal_fault = "handoff_not_named"));
        let handoff = handoff.map(|path| text::as_named(path, &self.folder)).transpose()?;
        let is_elsewhere = handoff.as_ref().is_some_and(|path| path.is_absolute());
        let mut held = self.held();
        held.is_unneeded = false;
        self.write(&mut held, Left { handoff, closed: false })?;
        // After a power loss, that is the only trace of it.
        held.file.as_ref().filter(|_| is_elsewhere).map_or(Ok(()), File::sync_data)
    }

    /// Records that everything accepted is durable: the handoff is no longer needed.
    pub(crate) fn note_closed(&self) -> io::Result<()> {
        let mut held = self.held();
        let left = Left { closed: true, ..held.left.clone() };
        self.write(&mut held, left)
    }

    /// Whether the name `lock` still leads to the locked file.
    pub(crate) fn standing(&self) -> io::Result<Standing> {
        match &self.held().file {
            Some(file) => standing(file, &self.path, 0),
            None => Ok(Standing::Removed),
        }
    }

    /// Recreates the file, with its text and locked. One that somebody else put there is used if it looks like ours.
    pub(crate) fn put_back(&self) -> io::Result<()> {
        let mut held = self.held();
        let mut here = held_here();
        let (file, _) = open(&self.path)?;
        if !lock_record(&file)? {
            return Err(io::Error::other("another process holds a lock on a file of that name"));
        }
        let found = read(&file)?;
        if !found.is_empty() && text::pid(&found).is_none() {
            return Err(io::Error::other("there is a file that is not a lock file: move it away"));
        }
        let id = id(&file.metadata()?);
        here.remove(&held.id);
        here.insert(id, held.left.handoff.clone());
        drop(here);
        (held.file, held.id) = (Some(file), id);
        let left = held.left.clone();
        self.write(&mut held, left)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, held: &mut Held, left: Left) -> io::Result<()> {
        let Some(file) = &held.file else { return Ok(()) };
        let text = text::write(self.pid, &left);
        // Overwritten, then truncated: a stop in between, or a full disk, must not take the last holder's handoff from
        // the next opening.
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)?;
        held_here().insert(held.id, left.handoff.clone());
        held.left = left;
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A forked child that drops its copy must neither touch the list nor believe that it holds the lock.
        if self.pid == std::process::id() {
            let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
            let mut here = held_here();
            let stands = |file: &File| matches!(standing(file, &self.path, 0), Ok(Standing::InPlace));
            if held.is_unneeded && held.file.as_ref().is_some_and(stands) {
                // If it cannot be removed, it only keeps a backup from going on.
                let _ = std::fs::remove_file(&self.path);
            }
            held.file = None;
            here.remove(&held.id);
        }
    }
}

impl Guard {
    fn is_in_place(&self, path: &Path) -> bool {
        let standing = self.file.file().map(|file| standing(file, path, 0));
        matches!(standing, Some(Ok(Standing::InPlace | Standing::Shorter)))
    }

    /// `None` if there is no such file.
    fn take(path: &Path) -> io::Result<Option<Attempt<Guard>>> {
        if cfg!(trailseal_fault = "guard_not_taken") {
            return Ok(None);
        }
        let mut options = OpenOptions::new();
        let opened =
            options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
        let Some(file) = if_there(opened)? else { return Ok(None) };
        let id = id(&file.metadata()?);
        if !description::try_lock(&file)? {
            return Ok(Some(Attempt::HeldBy(Holder::default())));
        }
        held_here().insert(id, None);
        Ok(Some(Attempt::Taken(Guard { file: ParentsFile::new(file), id })))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // `None` in a forked child, which must not release what belongs to its parent.
        if let Some(file) = self.file.file() {
            held_here().remove(&self.id);
            // A child created unnoticed may share it.
            description::unlock(file);
        }
    }
}

/// Who holds the guard. `lock` names the process; if it was removed, its holder recreates it soon.
fn holder_of_guard(lock: &Path, guard: &Path, wait: Duration) -> io::Result<Holder> {
    let deadline = Instant::now() + wait;
    loop {
        {
            let here = held_here();
            if here.contains_key(&id_of(guard)) || here.contains_key(&id_of(lock)) {
                return Ok(Holder::this_process());
            }
            if let Some(mut file) = if_there(open_to_read(lock))? {
                let holder = holder(&mut file)?;
                if holder.pid.is_some() {
                    return Ok(holder);
                }
            }
        }
        if Instant::now() >= deadline {
            return Ok(Holder::default());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn held_here() -> MutexGuard<'static, BTreeMap<FileId, Option<PathBuf>>> {
    HELD_HERE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id(data: &std::fs::Metadata) -> FileId {
    (data.dev(), data.ino(), std::process::id())
}

/// The file that the name leads to; an id that no file has if there is none.
fn id_of(path: &Path) -> FileId {
    std::fs::metadata(path).map_or((0, 0, 0), |data| id(&data))
}

fn if_there<T>(opened: io::Result<T>) -> io::Result<Option<T>> {
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Whatever is there: it must not wait for a pipe.
fn open_to_read(path: &Path) -> io::Result<File> {
    open_ordinary(path)
}

/// The lock file, and whether it was made now.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let opened = |is_new: bool| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .create_new(is_new)
            .truncate(false)
            .mode(0o640)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
    };
    let (file, is_new) = match opened(true) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (opened(false)?, false),
        opened => (opened?, true),
    };
    match file.metadata()?.is_file() {
        true => Ok((file, is_new)),
        false => Err(io::Error::other("it is not a regular file: move it away")),
    }
}

/// `false` if another process holds it.
fn lock_record(file: &File) -> io::Result<bool> {
    let locked = if cfg!(trailseal_fault = "lock_inherited") {
        rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
    } else {
        rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockExclusive)
    };
    match locked {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn read(mut file: &File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(TEXT_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

fn holder(file: &mut File) -> io::Result<Holder> {
    let text = read(file)?;
    let pid = text::pid(&text);
    let text = String::from_utf8_lossy(&text).replace('\n', ", ").trim_end_matches(", ").to_owned();
    Ok(Holder { pid, text })
}
