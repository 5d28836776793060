//! Waiting until everything is on disk, or under a signed checkpoint, and why it is not.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, TryLockError};
use std::time::{Duration, Instant};

use trailseal_event::Index;

use super::open_trail::{Inner, Trail};
use crate::deadline;
use crate::gate::Shut;
use crate::seal::SealTrouble;

/// Why not everything that was accepted is on disk. None of it is lost: it stays in the handoff.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// That took longer than the caller wanted to wait.
    #[error("{not_durable} events were not yet on disk after {waited:?}")]
    TimedOut {
        /// How long the caller waited.
        waited: Duration,
        /// Events that are accepted and not on disk.
        not_durable: u64,
    },
    /// The disk does not accept lines. The writer keeps trying.
    #[error("the disk does not accept lines, so {not_durable} events are only in the handoff")]
    DiskFailing {
        /// Events that are accepted and not on disk.
        not_durable: u64,
        /// The system's error.
        #[source]
        source: Arc<io::Error>,
    },
    /// The writer thread ended by a panic. The next opening recovers what it left.
    #[error("the writer has stopped, so {not_durable} events are only in the handoff: open the trail again")]
    WriterStopped {
        /// Events that are accepted and not on disk.
        not_durable: u64,
    },
    /// This process is a forked child of the one that opened the trail.
    #[error("the trail was opened before a fork: only the process that opened it can flush it")]
    Forked,
}

/// Why not everything that was accepted is covered by a signed checkpoint.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Not all of it is on disk, which comes first.
    #[error("not everything is on disk, which comes before sealing")]
    NotDurable(#[from] FlushError),
    /// That took longer than the caller wanted to wait.
    #[error("{not_sealed} events were not yet sealed after {waited:?}")]
    TimedOut {
        /// How long the caller waited.
        waited: Duration,
        /// Events that no checkpoint covers.
        not_sealed: u64,
    },
    /// Sealing fails. The sealer keeps trying.
    #[error("{not_sealed} events are not sealed, because sealing has failed for {:?}: {}", trouble.lasts, trouble.reason)]
    Failing {
        /// Events that no checkpoint covers.
        not_sealed: u64,
        /// What is wrong.
        trouble: SealTrouble,
    },
    /// The trail was closed before everything was sealed, or its sealer ended by a panic. The next opening seals the rest.
    #[error("the sealer has stopped, so {not_sealed} events are not sealed: open the trail again")]
    SealerStopped {
        /// Events that no checkpoint covers.
        not_sealed: u64,
    },
}

impl Trail {
    /// Waits until everything accepted so far is on disk, at most for `timeout`.
    ///
    /// # Errors
    /// When it is not. A disk that does not accept lines is reported at once.
    pub fn flush(&self, timeout: Duration) -> Result<(), FlushError> {
        let begun = Instant::now();
        if self.inner.is_forked() {
            return Err(FlushError::Forked);
        }
        let log = &self.inner.log;
        let size = log.handoff.next();
        let Some(last) = size.checked_sub(1) else { return Ok(()) };
        log.wake_writer();
        match log.progress.wait_durable(last, deadline::after(timeout)) {
            true => Ok(()),
            false => Err(self.inner.why_not_durable(size, begun.elapsed())),
        }
    }

    /// Waits until the store that [`deliver_to_store`](Trail::deliver_to_store) named has every event below `size`, at most for
    /// `timeout`; `false` if it has not by then, or there is none.
    ///
    /// # Errors
    /// When they are not even on disk, which comes first.
    pub fn flush_to_store(&self, size: Index, timeout: Duration) -> Result<bool, FlushError> {
        let (begun, deadline) = (Instant::now(), deadline::after(timeout));
        let log = &self.inner.log;
        let Some(last) = size.get().checked_sub(1) else { return Ok(true) };
        if last < log.progress.stored() {
            return Ok(true);
        }
        self.flush(timeout)?;
        log.wake_store();
        // Nobody else brings them there.
        let deadline = if log.has_store() { deadline } else { begun };
        Ok(log.progress.wait_stored(last, deadline))
    }

    /// Waits until everything accepted so far is covered by a signed checkpoint on disk, without waiting for the usual
    /// interval; at most for `timeout`.
    ///
    /// # Errors
    /// When it is not.
    pub fn seal(&self, timeout: Duration) -> Result<(), SealError> {
        let (begun, deadline) = (Instant::now(), deadline::after(timeout));
        if self.inner.is_forked() {
            return Err(FlushError::Forked.into());
        }
        let log = &self.inner.log;
        let size = log.handoff.next();
        self.flush(timeout)?;
        log.seal_wanted.fetch_max(size, Ordering::AcqRel);
        log.wake_sealer();
        // Whoever is gone makes no checkpoint, however long one waits.
        let deadline = if self.inner.has_sealer() { deadline } else { begun };
        match log.progress.wait_sealed(size, deadline) {
            true => Ok(()),
            false => Err(self.inner.why_not_sealed(size, begun.elapsed())),
        }
    }
}

impl Inner {
    fn why_not_durable(&self, size: u64, waited: Duration) -> FlushError {
        let log = &self.log;
        let not_durable = size.saturating_sub(log.progress.durable());
        match log.write_failure() {
            _ if log.gate.is_shut_by(Shut::WriterDied) => FlushError::WriterStopped { not_durable },
            Some(source) if log.progress.is_failing() => FlushError::DiskFailing { not_durable, source },
            _ => FlushError::TimedOut { waited, not_durable },
        }
    }

    fn why_not_sealed(&self, size: u64, waited: Duration) -> SealError {
        let not_sealed = size.saturating_sub(self.log.progress.sealed());
        match self.sealing.trouble() {
            Some(trouble) => SealError::Failing { not_sealed, trouble },
            None if !self.has_sealer() => SealError::SealerStopped { not_sealed },
            None => SealError::TimedOut { waited, not_sealed },
        }
    }

    /// Whether the sealing thread runs, as far as can be said without waiting: a close holds the lock until it has ended.
    fn has_sealer(&self) -> bool {
        match self.running.try_lock() {
            Ok(running) => running.as_ref().is_some_and(|running| !running.sealer.is_finished()),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => true,
        }
    }
}
