//! How SQLite opens the files of the index.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::files::main_path;
use super::fork;
use crate::error::{IndexError, sqlite_at};

/// SQLite would wait forever for a writer to open a FIFO.
pub(super) fn check_ordinary(path: &Path) -> Result<(), IndexError> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(IndexError::Damaged { path: path.to_owned(), what: "it is not a regular file" })
        }
        _ => Ok(()),
    }
}

/// Every connection of this crate begins here.
pub(crate) fn open_connection(path: impl AsRef<Path>, flags: OpenFlags) -> rusqlite::Result<Connection> {
    fork::watch();
    Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// Opens a file that never changes, without locks.
pub(crate) fn open_immutable(path: &Path) -> Result<Connection, IndexError> {
    check_ordinary(path)?;
    let failed = sqlite_at(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let connection = open_connection(uri, flags).map_err(&failed)?;
    // Not mapped: a failing disk or a truncated file must be an error, not a signal that ends the host program. This
    // makes a selective query a third slower.
    connection.execute_batch("PRAGMA mmap_size = 0; PRAGMA cache_size = -256;").map_err(&failed)?;
    Ok(connection)
}

pub(super) fn is_read_only(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

/// Identifies the state of a main file that nobody writes to; `None` while somebody may be writing: only then there is
/// shared memory or a log beside it.
pub(crate) fn stillness(folder: &Path) -> Option<(std::time::SystemTime, u64, u64)> {
    let path = main_path(folder);
    let mut shared = path.as_os_str().to_owned();
    shared.push("-shm");
    if wal_has_bytes(&path) || Path::new(&shared).exists() {
        return None;
    }
    let found = std::fs::metadata(&path).ok().filter(|found| found.len() > 0)?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

pub(super) fn wal_has_bytes(main: &Path) -> bool {
    let mut wal = main.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|found| found.len() > 0)
}

pub(super) fn open_shared(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open_connection(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.execute_batch("PRAGMA cache_size = -2048;")?;
    // SQLite opens the file only now.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}
