//! Locks that belong to an open file: closing another descriptor of the file does not give them up, as it would a POSIX
//! record lock. In exchange a forked child shares them; see [`ParentsFile`](crate::parents_file::ParentsFile).
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

/// Takes the lock on `file`, for writing; `false` if another open file holds it.
#[cfg(target_os = "linux")]
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match control(file, libc::F_OFD_SETLK, libc::F_WRLCK) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Releases it for all who share the open file.
#[cfg(target_os = "linux")]
pub(super) fn unlock(file: &File) {
    // Otherwise the lock ends with the last descriptor.
    let _ = control(file, libc::F_OFD_SETLK, libc::F_UNLCK);
}

/// Whether another open file holds the lock. Takes nothing.
#[cfg(target_os = "linux")]
pub(super) fn is_locked(file: &File) -> io::Result<bool> {
    Ok(control(file, libc::F_OFD_GETLK, libc::F_RDLCK)? != libc::F_UNLCK)
}

/// The type of lock that the system reports.
#[cfg(target_os = "linux")]
fn control(file: &File, command: libc::c_int, kind: libc::c_int) -> io::Result<libc::c_int> {
    use std::os::fd::AsRawFd as _;
    // From the first byte to the last, whatever is appended; and without a pid, as the system requires.
    let mut lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open while `file` is borrowed, and `lock` is a flock that outlives the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(libc::c_int::from(lock.l_type)),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn unlock(file: &File) {
    let _ = rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock);
}

/// Cannot be determined here without taking it: readers rely on the lock file alone.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_locked(_file: &File) -> io::Result<bool> {
    Ok(false)
}
