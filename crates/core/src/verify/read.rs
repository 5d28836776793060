//! Reading a trail's small files for a verdict.

use std::io;
use std::path::Path;

use super::VerifyError;
use crate::folder::Folder;

/// A checkpoint has a few signature lines; one for each rotation so far.
const NOTE_BYTES_MAX: u64 = 1 << 20;

pub(super) fn io_error(path: &Path, source: io::Error) -> VerifyError {
    VerifyError::Io { path: path.to_owned(), source }
}

/// A file that holds a note; `None` if it is not there.
pub(super) fn read(folder: &Folder, path: &Path) -> Result<Option<Vec<u8>>, VerifyError> {
    match folder.files().read(path, NOTE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Far too long for a note: what it is instead does not matter.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(Vec::new())),
        Err(error) => Err(io_error(path, error)),
    }
}
