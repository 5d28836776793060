//! Opens files that must be regular ones. Whoever may write to a folder can put a FIFO or a device in a file's place:
//! opening the one waits forever, reading the other never ends.

use std::fs::{self, File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Opens a regular file for reading. Returns at once, whatever is at `path`.
///
/// # Errors
/// As of the system; [`io::ErrorKind::InvalidData`] if something other than a regular file is there.
pub fn open_ordinary(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), 0, path)
}

/// Opens a regular file as these options say, without waiting and without following a link in its place.
///
/// # Errors
/// As [`open_ordinary`].
pub fn open_ordinary_as(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    open_with(options, libc::O_NOFOLLOW, path)
}

/// Opens a file that the user named, like [`open_ordinary`]; or a pipe that is already open, which is how shells pass
/// on another command's output.
///
/// # Errors
/// As [`open_ordinary`].
pub fn open_named(path: &Path) -> io::Result<File> {
    let is_handed_over = ["/dev/fd", "/dev/stdin", "/proc"].iter().any(|folder| path.starts_with(folder));
    if is_handed_over && fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        return File::open(path);
    }
    open_ordinary(path)
}

/// Opens with these options and flags, and refuses anything but a regular file.
pub(super) fn open_with(options: &mut OpenOptions, flags: i32, path: &Path) -> io::Result<File> {
    let waits = cfg!(trailseal_fault = "fifo_waited_for");
    let never_wait = if waits { 0 } else { libc::O_NONBLOCK | libc::O_NOCTTY };
    let file = match options.custom_flags(flags | never_wait).open(path) {
        // Somebody holds a lease on it, and gives it up for those who wait.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && is_ordinary(path) => {
            options.custom_flags(flags).open(path)?
        }
        // For a socket, or a FIFO that nobody reads, the system only says that there is no such device or address.
        Err(error) => {
            let found = fs::metadata(path).ok().map(|found| found.file_type());
            let other = found.filter(|found| !found.is_file()).map(refused);
            return Err(match error.raw_os_error() {
                Some(libc::ENXIO | libc::EISDIR | libc::ENODEV) => other.unwrap_or(error),
                _ => error,
            });
        }
        Ok(file) => file,
    };
    let found = file.metadata()?.file_type();
    if found.is_file() { Ok(file) } else { Err(refused(found)) }
}

fn is_ordinary(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file())
}

fn refused(found: FileType) -> io::Error {
    let what = if found.is_dir() {
        "a folder"
    } else if found.is_fifo() {
        "a fifo"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    io::Error::new(io::ErrorKind::InvalidData, format!("it is {what}, not a file"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::file::{Files as _, StdFiles};

    #[test]
    fn what_is_no_file_is_named_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("device")).unwrap();
        for name in ["fifo", "socket", "folder", "device"] {
            let what = format!("it is a {name}, not a file");
            let at = path(name);
            let refused = [
                open_ordinary(&at).err(),
                open_named(&at).err(),
                StdFiles.open_read(&at).err(),
                StdFiles.read(&at, 9).err(),
            ];
            for error in refused.map(Option::unwrap) {
                assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::InvalidData, what.clone()));
            }
            // To write over it never waits either.
            assert!(StdFiles.open_append(&at, 0).is_err(), "{name}");
            assert!(StdFiles.append_to(&at, b"more").is_err(), "{name}");
            fs::rename(&at, path("x.tmp")).unwrap();
            assert!(StdFiles.replace(&path("x"), b"new", false).is_err(), "{name}");
            fs::rename(path("x.tmp"), &at).unwrap();
        }
        fs::write(path("file"), "text").unwrap();
        assert_eq!(StdFiles.read(&path("file"), 9).unwrap(), b"text");
        assert_eq!(open_ordinary(&path("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
