//! The path of the socket in a trail's folder.
//!
//! A socket's address has room for 107 bytes, and a folder's path may be longer. Then the folder is opened and the
//! socket is named through its descriptor: it is still at its usual place, and nobody can put another folder in
//! between.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The longest path that a socket can have.
const PATH_BYTES_MAX: usize = 107;

/// The path of the socket in a trail's folder, short enough for an address. Valid as long as this lives.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    /// What a short path goes through.
    _folder: Option<OwnedFd>,
}

impl SocketPath {
    /// The path for the trail in `folder`, which must exist; whether anybody listens is another question.
    ///
    /// # Errors
    /// When the path is long and the folder cannot be opened, or the system has no short names for it.
    pub fn in_folder(folder: &Path) -> io::Result<SocketPath> {
        let path = folder.join("socket");
        if path.as_os_str().len() <= PATH_BYTES_MAX {
            return Ok(SocketPath { path, _folder: None });
        }
        by_descriptor(folder)
    }

    /// For bind or connect.
    pub fn as_path(&self) -> &Path {
        &self.path
    }
}

#[cfg(target_os = "linux")]
fn by_descriptor(folder: &Path) -> io::Result<SocketPath> {
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::AsRawFd as _;

    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/socket", folder.as_raw_fd()));
    Ok(SocketPath { path, _folder: Some(folder) })
}

#[cfg(not(target_os = "linux"))]
fn by_descriptor(_folder: &Path) -> io::Result<SocketPath> {
    let what = format!("its path has more than {PATH_BYTES_MAX} bytes");
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}
