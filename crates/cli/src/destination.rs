//! A file that a command writes for the user: complete under its name, or not there at all.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// A file that is being written next to its final place.
pub(crate) struct Destination {
    path: PathBuf,
    /// `None` if the path is not a regular file, such as a pipe: that is written to directly.
    temporary: Option<PathBuf>,
    file: File,
}

impl Destination {
    /// Starts writing the future file `path`.
    pub(crate) fn create(path: &Path) -> Outcome<Self> {
        Self::create_with(path, 0o666)
    }

    /// Like `create`, for content that only its owner may read.
    pub(crate) fn create_private(path: &Path) -> Outcome<Self> {
        Self::create_with(path, 0o600)
    }

    fn create_with(path: &Path, mode: u32) -> Outcome<Self> {
        let is_special = std::fs::metadata(path).is_ok_and(|data| !data.is_file());
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let temporary = (!is_special).then(|| path.with_file_name(name));
        let file = match &temporary {
            Some(temporary) => {
                // Left behind by an earlier command. A link under this name is not followed.
                let _ = std::fs::remove_file(temporary);
                File::options().write(true).create_new(true).mode(mode).open(temporary)
            }
            None => File::options().write(true).open(path),
        };
        let file = file.map_err(Failure::io("make", path))?;
        Ok(Destination { path: path.to_owned(), temporary, file })
    }

    /// The file to write to.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// The file's name until it is complete; `None` if it is not a regular file.
    pub(crate) fn temporary(&self) -> Option<&Path> {
        self.temporary.as_deref()
    }

    /// Syncs the file and gives it its final name.
    pub(crate) fn finish(mut self) -> Outcome {
        if let Some(temporary) = self.temporary.take() {
            self.file.sync_all().map_err(Failure::io("write", &self.path))?;
            std::fs::rename(temporary, &self.path).map_err(Failure::io("write", &self.path))?;
        }
        Ok(())
    }

    /// Adds the file's name to a write error.
    pub(crate) fn failed(&self, failure: Failure) -> Failure {
        match failure {
            Failure::CouldNot(text) => Failure::CouldNot(format!("{}: {text}", self.path.display())),
            other => other,
        }
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Half a file under the final name would be worse than none.
            let _ = std::fs::remove_file(temporary);
        }
    }
}
