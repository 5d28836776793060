//! The system's files, with something that happens before an operation.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use trailseal_core::file::{AppendFile, Files, ReadFile, Standing, StdFiles, UpdateFile};

/// Called before each operation, with its name and path; an error is the operation's.
type Hook = Arc<dyn Fn(&str, &Path) -> io::Result<()> + Send + Sync>;

/// The system's files with a hook before each operation, and one after a listing.
#[derive(Clone)]
struct Hooked(Hook);

struct HookedAppend(Hook, PathBuf, Box<dyn AppendFile>);

impl Files for Hooked {
    fn create_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        (self.0)("create", path)?;
        let file = StdFiles.create_append(path)?;
        Ok(Box::new(HookedAppend(self.0.clone(), path.to_owned(), file)))
    }
    fn open_append(&self, path: &Path, at: u64) -> io::Result<Box<dyn AppendFile>> {
        let file = StdFiles.open_append(path, at)?;
        Ok(Box::new(HookedAppend(self.0.clone(), path.to_owned(), file)))
    }
    fn open_update(&self, path: &Path) -> io::Result<Box<dyn UpdateFile>> {
        (self.0)("open", path)?;
        StdFiles.open_update(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        (self.0)("open", path)?;
        StdFiles.open_read(path)
    }
    fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        (self.0)("read", path)?;
        StdFiles.read(path, len_max)
    }
    fn replace(&self, path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
        (self.0)("replace", path)?;
        StdFiles.replace(path, bytes, private)
    }
    fn append_to(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        StdFiles.append_to(path, bytes)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.0)("rename", to)?;
        StdFiles.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        StdFiles.remove(path)
    }
    fn remove_durably(&self, path: &Path) -> io::Result<()> {
        (self.0)("remove", path)?;
        StdFiles.remove_durably(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        StdFiles.create_folder(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = StdFiles.list(folder)?;
        (self.0)("listed", folder)?;
        Ok(names)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<(u64, u64)> {
        StdFiles.free_bytes(path)
    }
}

impl AppendFile for HookedAppend {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.2.append(bytes)
    }
    fn sync_data(&mut self) -> io::Result<()> {
        (self.0)("sync", &self.1)?;
        self.2.sync_data()
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.2.truncate(len)
    }
    fn reserve(&mut self, len: u64) -> io::Result<()> {
        (self.0)("reserve", &self.1)?;
        self.2.reserve(len)
    }
    fn standing(&self) -> io::Result<Standing> {
        self.2.standing()
    }
}

pub fn hooked(hook: impl Fn(&str, &Path) -> io::Result<()> + Send + Sync + 'static) -> Arc<dyn Files> {
    Arc::new(Hooked(Arc::new(hook)))
}

/// Files whose segment syncs hang while the flag is set.
pub fn hanging(hangs: &Arc<AtomicBool>) -> Arc<dyn Files> {
    let hangs = hangs.clone();
    hooked(move |what, _| {
        while what == "sync" && hangs.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    })
}
