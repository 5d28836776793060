//! [`Files`] on the operating system's own file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::ordinary::{open_ordinary, open_with};
use super::{AppendFile, Files, ReadFile, Standing, standing};

const PRIVATE: u32 = 0o600;
const SHARED: u32 = 0o640;

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdFiles;

impl Files for StdFiles {
    // openat(O_CREAT|O_EXCL|O_NOFOLLOW), fsync(folder)
    fn create_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(SHARED)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        sync_folder(parent(path))?;
        Ok(Box::new(StdAppendFile { file, path: path.to_owned(), len_bytes: 0, reserved: 0 }))
    }

    fn open_append(&self, path: &Path, at: u64) -> io::Result<Box<dyn AppendFile>> {
        let file = open_with(OpenOptions::new().read(true).write(true), libc::O_NOFOLLOW, path)?;
        Ok(Box::new(StdAppendFile { file, path: path.to_owned(), len_bytes: at, reserved: at }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(StdReadFile(open_ordinary(path)?)))
    }

    fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        use std::io::Read as _;
        let mut out = Vec::new();
        open_ordinary(path)?.take(len_max + 1).read_to_end(&mut out)?;
        if out.len() as u64 > len_max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is larger than the {len_max} bytes it may have", path.display()),
            ));
        }
        Ok(out)
    }

    // openat(O_CREAT|O_TRUNC), write, fdatasync, rename, fsync(folder)
    fn replace(&self, path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
        let temporary = temporary(path);
        write_file(&temporary, bytes, if private { PRIVATE } else { SHARED })?.sync_data()?;
        fs::rename(&temporary, path)?;
        sync_folder(parent(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        sync_folder(parent(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let above = parent(path);
        self.create_folder(above)?;
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => sync_folder(above),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(path)?;
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
    }

    fn leave_cache(&self, path: &Path, bytes: Range<u64>) {
        if let (Ok(file), Some(len)) = (open_ordinary(path), NonZeroU64::new(bytes.end - bytes.start)) {
            let _ = rustix::fs::fadvise(&file, bytes.start, Some(len), rustix::fs::Advice::DontNeed);
        }
    }

    fn inode_numbers_hold(&self, folder: &Path) -> io::Result<bool> {
        super::standing::inode_numbers_hold(folder, &folder.join("trail.toml"))
    }
}

struct StdAppendFile {
    file: File,
    path: PathBuf,
    len_bytes: u64,
    reserved: u64,
}

impl AppendFile for StdAppendFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.metadata()?.len() < self.len_bytes {
            // Behind a hole the bytes would hide that others are gone.
            return Err(io::Error::other("somebody cut the file"));
        }
        self.file.write_all_at(bytes, self.len_bytes)?;
        self.len_bytes += bytes.len() as u64;
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len_bytes = len;
        self.reserved = self.reserved.min(len);
        self.file.sync_all()
    }

    fn reserve(&mut self, len: u64) -> io::Result<()> {
        if len <= self.reserved {
            return Ok(());
        }
        let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, flags, self.reserved, len - self.reserved) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                self.reserved = len;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn standing(&self) -> io::Result<Standing> {
        standing(&self.file, &self.path, self.len_bytes)
    }

    fn is_unlinked(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }
}

struct StdReadFile(File);

impl ReadFile for StdReadFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match self.0.read_at(&mut out[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = open_with(&mut options, libc::O_NOFOLLOW, path)?;
    file.write_all(bytes)?;
    Ok(file)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(trailseal_fault = "folder_not_synced") {
        return Ok(());
    }
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(folder)?.sync_all()
}
