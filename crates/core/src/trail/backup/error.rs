//! Why there is no backup.

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no backup, or none newer than the previous one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The folder holds no readable trail.
    #[error("{} is not a trail that can be backed up: {what}; run `trailseal verify`", path.display())]
    Source {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is something else in that place.
    #[error("{} {what}: give an empty folder, or the one of an earlier backup of this trail", path.display())]
    Place {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The copy is not a beginning of the trail, so appending to it would merge two histories.
    #[error("{} cannot be continued: {what}; give an empty folder, and keep that one", path.display())]
    WentOn {
        /// The folder.
        path: PathBuf,
        /// How that is known.
        what: String,
    },
    /// A file operation failed.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// For `map_err`: names the attempted operation and its object.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::Io { action, path, source }
}
