//! [`Files`] on the operating system's own file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::regular_file::{open_ordinary, open_with};
use super::{AppendFile, Files, ReadFile, Standing, UpdateFile, standing};

const PRIVATE: u32 = 0o600;
const SHARED: u32 = 0o640;

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdFiles;

impl Files for StdFiles {
    // open(folder), openat(O_CREAT|O_EXCL|O_NOFOLLOW), fsync(folder)
    fn create_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        // First, so that a shortage of files creates no file.
        let folder = open_folder(parent(path))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(SHARED)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        if let Err(error) = sync_open_folder(&folder) {
            // Otherwise it would be opened next time, and nobody would sync its name.
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(Box::new(StdAppendFile { file, path: path.to_owned(), len_bytes: 0, reserved: 0 }))
    }

    fn open_append(&self, path: &Path, at: u64) -> io::Result<Box<dyn AppendFile>> {
        let file = open_with(OpenOptions::new().read(true).write(true), libc::O_NOFOLLOW, path)?;
        Ok(Box::new(StdAppendFile { file, path: path.to_owned(), len_bytes: at, reserved: at }))
    }

    fn open_update(&self, path: &Path) -> io::Result<Box<dyn UpdateFile>> {
        let file = open_with(OpenOptions::new().read(true).write(true), libc::O_NOFOLLOW, path)?;
        Ok(Box::new(StdUpdateFile { file: StdReadFile(file), path: path.to_owned() }))
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
                format!("{} is larger than the allowed {len_max} bytes", path.display()),
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

    // open(O_CREAT|O_APPEND), write, fdatasync
    fn append_to(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = open_with(OpenOptions::new().create(true).append(true), 0, path)?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        sync_folder(parent(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    // unlink, fsync(folder)
    fn remove_durably(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        sync_folder(parent(path))
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
            // A name that is not UTF-8 is not one of ours.
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
        super::still_in_place::inode_numbers_hold(folder, &folder.join("trail.toml"))
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
            // After a hole, the bytes would hide that others are gone.
            return Err(io::Error::other("somebody truncated the file"));
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

struct StdUpdateFile {
    file: StdReadFile,
    path: PathBuf,
}

impl UpdateFile for StdUpdateFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.0.sync_data()
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn standing(&self) -> io::Result<Standing> {
        standing(&self.file.0, &self.path, 0)
    }
}

/// Writes a temporary file. One left by a killed process is overwritten, unless it has another name as well: that may
/// be somebody else's file.
fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(mode);
    let mut file = open_with(&mut options, libc::O_NOFOLLOW, path)?;
    let found = file.metadata()?;
    if found.nlink() > 1 && !cfg!(trailseal_fault = "temporary_followed") {
        return Err(io::Error::other(format!("{} has a second name: remove it", path.display())));
    }
    if found.mode() & 0o777 & !mode != 0 {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.set_len(0)?;
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

fn open_folder(folder: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    sync_open_folder(&open_folder(folder)?)
}

fn sync_open_folder(folder: &File) -> io::Result<()> {
    if cfg!(trailseal_fault = "folder_not_synced") {
        return Ok(());
    }
    folder.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_is_nobody_elses_and_for_the_same_eyes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("theirs"), "theirs").unwrap();
        for link in [std::os::unix::fs::symlink, fs::hard_link::<PathBuf, PathBuf>] {
            link(path("theirs"), path("ours.tmp")).unwrap();
            assert!(StdFiles.replace(&path("ours"), b"ours", true).is_err());
            assert_eq!(fs::read(path("theirs")).unwrap(), b"theirs");
            fs::remove_file(path("ours.tmp")).unwrap();
        }
        // What a killed process left, longer and open to others.
        fs::write(path("ours.tmp"), "left over").unwrap();
        fs::set_permissions(path("ours.tmp"), fs::Permissions::from_mode(0o666)).unwrap();
        StdFiles.replace(&path("ours"), b"ours", true).unwrap();
        assert_eq!(fs::read(path("ours")).unwrap(), b"ours");
        assert_eq!(fs::metadata(path("ours")).unwrap().mode() & 0o777, 0o600);
    }
}
