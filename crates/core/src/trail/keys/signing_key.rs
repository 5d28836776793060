//! A trail's signing key: where it is, and reading it.

use std::io;
use std::path::{Path, PathBuf};

use trailseal_tlog::SigningKey;

use crate::file::Files;
use crate::folder::Folder;
use crate::trail::error::OpenError;

const FILE_BYTES_MAX: u64 = 1 << 20;

/// The key's file: in the trail's folder, unless another is configured.
pub(in crate::trail) fn key_file(folder: &Folder, configured: Option<&Path>) -> PathBuf {
    configured.map_or_else(|| folder.keys_folder().join("signing.key"), Path::to_owned)
}

/// Where the next key is saved before it takes the place of the one in `key_file`.
pub(in crate::trail) fn next_file(key_file: &Path) -> PathBuf {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

/// The key in this file; `None` if there is none.
pub(in crate::trail) fn read_signing_key(
    files: &dyn Files,
    path: &Path,
) -> Result<Option<SigningKey>, OpenError> {
    match files.read(path, FILE_BYTES_MAX) {
        Ok(bytes) => {
            SigningKey::from_private_string(String::from_utf8_lossy(&bytes).trim()).map(Some).map_err(
                |error| OpenError::Key { path: path.to_owned(), what: format!("cannot be read: {error}") },
            )
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io("read", path)(error)),
    }
}
