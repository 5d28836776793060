//! Why the index could not be used. The trail holds every event, so none of these loses anything.

use std::io;
use std::path::PathBuf;

use trailseal_core::file::is_shortage;

/// Why the index could not be used. The trail holds every event, so nothing is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The index was made for another trail.
    #[error(
        "{} is the index of the trail {found}, but this trail is {wanted}: run `trailseal reindex`",
        path.display()
    )]
    Foreign {
        /// The index's main file.
        path: PathBuf,
        /// The origin it names.
        found: String,
        /// The trail's.
        wanted: String,
    },
    /// The index was written by another version.
    #[error("{} has format {found}, but this program reads {known}: run `trailseal reindex`", path.display())]
    Format {
        /// The index's main file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The one that is read here.
        known: i64,
    },
    /// A file contains something impossible.
    #[error("{} is damaged: {what}; run `trailseal reindex`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The index was removed or rebuilt since it was opened.
    #[error("{} was replaced: open the index again", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("could not use {}; if this persists, run `trailseal reindex`", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was said.
        #[source]
        source: rusqlite::Error,
    },
    /// The system refused.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A histogram would have too many buckets.
    #[error("the histogram would have over {max} buckets: use wider ones or a shorter time")]
    Buckets {
        /// The maximum.
        max: usize,
    },
}

impl IndexError {
    /// Whether the cause may be a shortage of open files: then close some and try again.
    pub(crate) fn may_be_shortage(&self) -> bool {
        match self {
            IndexError::Io { source, .. } => is_shortage(source),
            // SQLite does not say why it could not open a file.
            IndexError::Sqlite { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen)
            }
            _ => false,
        }
    }

    /// Whether only a rebuild helps.
    pub fn needs_reindex(&self) -> bool {
        match self {
            IndexError::Foreign { .. } | IndexError::Format { .. } | IndexError::Damaged { .. } => true,
            IndexError::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
            ),
            _ => false,
        }
    }
}

/// For `map_err`: an SQLite error on this file.
pub(crate) fn sqlite_at(path: &std::path::Path) -> impl Fn(rusqlite::Error) -> IndexError {
    move |source| IndexError::Sqlite { path: path.to_owned(), source }
}

/// For `map_err`: a system error on this file.
pub(crate) fn io_at(action: &'static str, path: &std::path::Path) -> impl Fn(io::Error) -> IndexError {
    move |source| IndexError::Io { action, path: path.to_owned(), source }
}
