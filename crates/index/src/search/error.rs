//! Why there is no answer, or a slower one.

use trailseal_core::ReadError;

use crate::IndexError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A trail could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Nobody waits for the answer any more: see [`Search::stop_when`](super::Search::stop_when)
    #[error("the search was stopped")]
    Stopped,
    /// The folder could not be listed.
    #[error("could not list the trails in {}", path.display())]
    List {
        /// The folder.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Called with the reason why an index cannot be used.
pub type TellTrouble = dyn Fn(&IndexError) + Send + Sync;
