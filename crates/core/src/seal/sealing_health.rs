//! Whether sealing works, for health reports.
//!
//! What must hold: from a failed round on, until everything that was to be sealed then is sealed, the failure is
//! reported.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::file::is_shortage;
use crate::notice::Notice;

/// Sealing fails. Events are accepted anyway, and sealed once it works again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealTrouble {
    /// The last failure.
    pub reason: String,
    /// How long it has not worked.
    pub lasts: Duration,
}

/// Why a round failed, and at which file if that is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    #[error("{}: {source}", path.display())]
    At {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl RoundError {
    /// For `map_err`: names the attempted operation and this file.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> RoundError {
        move |source| RoundError::At { path: path.to_owned(), source }
    }

    fn cause(&self) -> &io::Error {
        match self {
            RoundError::At { source, .. } | RoundError::Io(source) => source,
        }
    }

    /// Whether no file can be opened now, which is temporary.
    pub(super) fn is_shortage(&self) -> bool {
        is_shortage(self.cause())
    }
}

/// The state of the sealing thread.
#[derive(Debug, Default)]
pub(crate) struct Sealing(Mutex<Option<Failing>>);

#[derive(Debug)]
struct Failing {
    reason: String,
    /// The system's error, at whatever file.
    cause: String,
    since: Instant,
    /// What was durable at the last failure: sealing works again when all of it is sealed.
    durable: u64,
}

impl Sealing {
    fn lock(&self) -> MutexGuard<'_, Option<Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current problem; `None` if there is none.
    pub(crate) fn trouble(&self) -> Option<SealTrouble> {
        let failing = self.lock();
        let Failing { reason, since, .. } = failing.as_ref()?;
        Some(SealTrouble { reason: reason.clone(), lasts: since.elapsed() })
    }

    /// A round failed while everything below `durable` was durable. Returns what to report: each error of the system is
    /// reported once, however often it occurs.
    pub(super) fn failed(&self, error: &RoundError, durable: u64) -> Option<Notice> {
        let (reason, cause) = (error.to_string(), error.cause().to_string());
        let mut failing = self.lock();
        let is_news = failing.as_ref().is_none_or(|failing| failing.cause != cause);
        let since = failing.as_ref().map_or_else(Instant::now, |failing| failing.since);
        *failing = Some(Failing { reason: reason.clone(), cause, since, durable });
        is_news.then_some(Notice::SealFailed { reason })
    }

    /// A round succeeded, and everything below `published` is sealed. Returns what to report.
    pub(super) fn went_well(&self, published: u64) -> Option<Notice> {
        let mut failing = self.lock();
        if failing.as_ref().is_none_or(|failing| failing.durable > published) {
            return None;
        }
        *failing = None;
        Some(Notice::SealRecovered)
    }
}
