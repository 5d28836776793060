//! An in-memory file system that keeps the live and the durable state apart.
//!
//! Every primitive operation (create, write, sync, rename, folder sync, …) is a numbered step. A step can be made to
//! fail, to fail although it took effect, to write half, or to find no space. The log of steps can be cut anywhere and
//! turned into an image that a power loss at that moment could leave: everything synced, plus any part of the rest,
//! torn and in any order.

mod disk;
mod image;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use trailseal_core::file::{AppendFile, Files, ReadFile, Standing, UpdateFile};

use disk::Disk;
pub use disk::Step;
pub use image::Survival;

/// The Linux and macOS error for too many open files.
const EMFILE: i32 = 24;

/// How a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no effect and reports the failure.
    Fail,
    /// It took effect but reports a failure.
    FailButDone,
    /// A write has written half of its bytes; any other step has no effect.
    Short,
    /// There is no space left; it has no effect.
    NoSpace,
}

/// The file system. Clones share it.
#[derive(Clone, Default)]
pub struct FaultFiles {
    state: Arc<Mutex<State>>,
    stall: Arc<(Mutex<bool>, Condvar)>,
    open: Arc<OpenFiles>,
}

/// How many files are open, and how many may be; 0 means unlimited.
#[derive(Default)]
struct OpenFiles {
    count: AtomicUsize,
    max: AtomicUsize,
}

/// One open file.
struct Opened(Arc<OpenFiles>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct State {
    disk: Disk,
    steps: Vec<Step>,
    /// The planned fault: the step with this number fails.
    fault: Option<(usize, Fault)>,
    /// Whether the planned fault has happened.
    has_failed: bool,
    /// While set, no write and no sync succeeds.
    is_broken: bool,
    free_bytes: Option<u64>,
}

impl FaultFiles {
    /// An empty file system on which nothing fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes step number `step` (counted from 0 over the life of this file system) fail.
    pub fn fail_at(&self, step: usize, fault: Fault) {
        self.state().fault = Some((step, fault));
    }

    /// Whether the planned fault has happened.
    pub fn has_failed(&self) -> bool {
        self.state().has_failed
    }

    /// The steps so far.
    pub fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
    }

    /// Records that at this point somebody was told that index `index` is durable.
    pub fn acknowledge(&self, index: u64) {
        self.state().steps.push(Step::Acknowledged { index });
    }

    /// Makes every write and sync fail from now on, or stops that.
    pub fn set_broken(&self, is_broken: bool) {
        self.state().is_broken = is_broken;
    }

    /// Makes every sync of a file hang from now on, until it is called with `false`.
    pub fn set_stalled(&self, is_stalled: bool) {
        *self.stall.0.lock().unwrap_or_else(PoisonError::into_inner) = is_stalled;
        self.stall.1.notify_all();
    }

    /// How many files are open.
    pub fn open_files(&self) -> usize {
        self.open.count.load(Ordering::SeqCst)
    }

    /// From now on no file can be opened while this many are open; 0 means unlimited.
    pub fn set_open_files_max(&self, max: usize) {
        self.open.max.store(max, Ordering::SeqCst);
    }

    fn opened(&self) -> io::Result<Opened> {
        let max = self.open.max.load(Ordering::SeqCst);
        let opened = Opened(self.open.clone());
        let before = self.open.count.fetch_add(1, Ordering::SeqCst);
        match max > 0 && before >= max {
            true => Err(io::Error::from_raw_os_error(EMFILE)),
            false => Ok(opened),
        }
    }

    /// Sets the free space that the disk reports.
    pub fn set_free_bytes(&self, free_bytes: u64) {
        self.state().free_bytes = Some(free_bytes);
    }

    /// What a power loss after the first `steps` steps of this file system could leave.
    pub fn after_power_loss(&self, steps: usize, survival: Survival) -> FaultFiles {
        let state = self.state();
        let disk = image::after_power_loss(&state.steps[..steps], survival);
        FaultFiles {
            state: Arc::new(Mutex::new(State { disk, ..State::default() })),
            ..FaultFiles::default()
        }
    }

    /// Copies every live file to a real folder for inspection.
    pub fn copy_to(&self, folder: &Path) -> io::Result<()> {
        for (path, bytes) in self.state().disk.live_files() {
            let target = folder.join(path.strip_prefix("/").unwrap_or(&path));
            if let Some(parent) = target.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(target, bytes)?;
        }
        Ok(())
    }

    /// Changes the live bytes of a file without a recorded step.
    pub fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        self.state().disk.edit(path, edit);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, step: Step) -> io::Result<()> {
        if matches!(step, Step::Sync { .. }) {
            let stalled = self.stall.0.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.stall.1.wait_while(stalled, |stalled| *stalled));
        }
        let mut state = self.state();
        if state.is_broken && matches!(step, Step::Write { .. } | Step::Sync { .. }) {
            return Err(io::Error::other("the disk is broken"));
        }
        let number = state.steps.len();
        let planned = match state.fault {
            Some((at, fault)) if at == number => Some(fault),
            _ => None,
        };
        state.has_failed |= planned.is_some();
        let (effective, error) = match (planned, step) {
            (None, step) => (Some(step), None),
            (Some(Fault::Fail), _) => (None, Some(io::ErrorKind::Other)),
            (Some(Fault::NoSpace), _) => (None, Some(io::ErrorKind::StorageFull)),
            (Some(Fault::FailButDone), step) => (Some(step), Some(io::ErrorKind::Other)),
            (Some(Fault::Short), Step::Write { inode, offset, mut bytes }) => {
                bytes.truncate(bytes.len() / 2);
                (Some(Step::Write { inode, offset, bytes }), Some(io::ErrorKind::StorageFull))
            }
            (Some(Fault::Short), _) => (None, Some(io::ErrorKind::Other)),
        };
        let done = match effective {
            Some(step) => {
                let done = state.disk.apply(&step);
                // A step that the disk itself refuses (no such file) has no effect to record.
                state.steps.push(if done.is_ok() { step } else { Step::Nothing });
                done
            }
            None => {
                state.steps.push(Step::Nothing);
                Ok(())
            }
        };
        match error {
            Some(kind) => Err(io::Error::new(kind, format!("planned fault at step {number}"))),
            None => done,
        }
    }

    fn create(&self, path: &Path, may_exist: bool) -> io::Result<u64> {
        let inode = {
            let mut state = self.state();
            if !may_exist && state.disk.inode(path).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.disk.new_inode()
        };
        self.run(Step::Create { path: path.to_owned(), inode })?;
        Ok(inode)
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.state().disk.inode(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write_temporary(&self, path: &Path, bytes: &[u8]) -> io::Result<(PathBuf, u64)> {
        let _opened = self.opened()?;
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let temporary = PathBuf::from(name);
        let inode = self.create(&temporary, true)?;
        self.run(Step::Write { inode, offset: 0, bytes: bytes.to_vec() })?;
        Ok((temporary, inode))
    }

    fn sync_folder_of(&self, path: &Path) -> io::Result<()> {
        let _opened = self.opened()?;
        self.run(Step::SyncFolder { path: path.parent().unwrap_or(Path::new("/")).to_owned() })
    }
}

impl Files for FaultFiles {
    fn create_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let (folder, opened) = (self.opened()?, self.opened()?);
        let inode = self.create(path, false)?;
        drop(folder);
        self.sync_folder_of(path)?;
        let path = path.to_owned();
        Ok(Box::new(Appending { files: self.clone(), path, inode, len_bytes: 0, _opened: opened }))
    }

    fn open_append(&self, path: &Path, at: u64) -> io::Result<Box<dyn AppendFile>> {
        let (inode, opened) = (self.inode(path)?, self.opened()?);
        let path = path.to_owned();
        Ok(Box::new(Appending { files: self.clone(), path, inode, len_bytes: at, _opened: opened }))
    }

    fn open_update(&self, path: &Path) -> io::Result<Box<dyn UpdateFile>> {
        let (inode, opened) = (self.inode(path)?, self.opened()?);
        Ok(Box::new(Updating {
            path: path.to_owned(),
            reading: Reading { files: self.clone(), inode, _opened: opened },
        }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(Reading { files: self.clone(), inode: self.inode(path)?, _opened: self.opened()? }))
    }

    fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        let (inode, _opened) = (self.inode(path)?, self.opened()?);
        let bytes = self.state().disk.bytes(inode).to_vec();
        if bytes.len() as u64 > len_max {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(bytes)
    }

    fn replace(&self, path: &Path, bytes: &[u8], _private: bool) -> io::Result<()> {
        let (temporary, inode) = self.write_temporary(path, bytes)?;
        self.run(Step::Sync { inode })?;
        self.run(Step::Rename { from: temporary, to: path.to_owned() })?;
        self.sync_folder_of(path)
    }

    fn append_to(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let (inode, offset) = match self.inode(path) {
            Ok(inode) => (inode, self.state().disk.bytes(inode).len() as u64),
            Err(_) => (self.create(path, false)?, 0),
        };
        let _opened = self.opened()?;
        self.run(Step::Write { inode, offset, bytes: bytes.to_vec() })?;
        self.run(Step::Sync { inode })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Step::Rename { from: from.to_owned(), to: to.to_owned() })?;
        self.sync_folder_of(to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inode(path)?;
        self.run(Step::Remove { path: path.to_owned() })
    }

    fn remove_durably(&self, path: &Path) -> io::Result<()> {
        self.remove(path)?;
        self.sync_folder_of(path)
    }

    fn create_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let _opened = self.opened()?;
        Ok(self.state().disk.names_in(folder))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<(u64, u64)> {
        const TOTAL: u64 = 1 << 40;
        Ok((self.state().free_bytes.unwrap_or(TOTAL), TOTAL))
    }
}

struct Appending {
    files: FaultFiles,
    path: PathBuf,
    inode: u64,
    len_bytes: u64,
    _opened: Opened,
}

impl AppendFile for Appending {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if (self.files.state().disk.bytes(self.inode).len() as u64) < self.len_bytes {
            return Err(io::Error::other("somebody cut the file"));
        }
        self.files.run(Step::Write { inode: self.inode, offset: self.len_bytes, bytes: bytes.to_vec() })?;
        self.len_bytes += bytes.len() as u64;
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.files.run(Step::Sync { inode: self.inode })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.files.run(Step::Truncate { inode: self.inode, len })?;
        self.len_bytes = len;
        self.files.run(Step::Sync { inode: self.inode })
    }

    fn reserve(&mut self, _len: u64) -> io::Result<()> {
        self.files.run(Step::Reserve)
    }

    fn standing(&self) -> io::Result<Standing> {
        let state = self.files.state();
        Ok(match state.disk.inode(&self.path) {
            None => Standing::Removed,
            Some(inode) if inode != self.inode => Standing::Elsewhere,
            Some(_) if (state.disk.bytes(self.inode).len() as u64) < self.len_bytes => Standing::Shorter,
            Some(_) => Standing::InPlace,
        })
    }
}

struct Reading {
    files: FaultFiles,
    inode: u64,
    _opened: Opened,
}

impl ReadFile for Reading {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let state = self.files.state();
        let bytes = state.disk.bytes(self.inode);
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.files.state().disk.bytes(self.inode).len() as u64)
    }
}

struct Updating {
    path: PathBuf,
    reading: Reading,
}

impl UpdateFile for Updating {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.reading.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.reading.files.run(Step::Write { inode: self.reading.inode, offset, bytes: bytes.to_vec() })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.reading.files.run(Step::Sync { inode: self.reading.inode })
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.reading.len_bytes()
    }

    fn standing(&self) -> io::Result<Standing> {
        Ok(match self.reading.files.inode(&self.path) {
            Err(_) => Standing::Removed,
            Ok(inode) if inode != self.reading.inode => Standing::Elsewhere,
            Ok(_) => Standing::InPlace,
        })
    }
}
