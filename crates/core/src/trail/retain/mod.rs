//! Retirement of old events: the run, and what it goes by. `retire` has the order of its steps.

mod announce;
mod archive;
mod error;
mod hold;
mod plan;
mod rule;
mod sink;

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

use self::plan::{Plan, plan};
use super::inner::Trail;
use crate::deadline;
use crate::retire::{FinishError, Finished, RewriteError, finish};

pub use archive::{Archive, Archived, Retiring};
pub use error::{ArchiveError, ForgetSinkError, HoldError, RetainError};
pub use hold::{Hold, HoldAdded, holds_in};
pub use rule::{Kept, KnownSink, RETAIN_DAYS_MAX, Retained, RetentionRule, SinkBehind};

/// How long the checkpoint that covers `trail.retired` is waited for.
const SEAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the index is waited for at the end, until it has dropped what is gone. It does so later, too.
const DROP_TIMEOUT: Duration = Duration::from_secs(60);

impl Trail {
    /// Retires the events that `rule` selects and nothing keeps, and returns when they are gone. `archive`, if given,
    /// has them first.
    ///
    /// # Errors
    /// When nothing was retired, or a disk failure stopped it: what was announced by then is finished by the next run,
    /// or by the next opening.
    pub fn retain(
        &self,
        rule: &RetentionRule,
        mut archive: Option<&mut dyn Archive>,
    ) -> Result<Retained, RetainError> {
        let _lock = self.inner.hold_lock()?;
        let _running = match self.inner.retiring.try_lock() {
            Ok(running) => running,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(RetainError::Running),
        };
        self.finish_retirement()?;
        loop {
            let (holds, sinks) = (self.holds()?, self.known_sinks()?);
            let plan = plan(self, rule, &holds, &sinks)?;
            if plan.events == 0 {
                return Ok(plan.into_retained(false));
            }
            let archived = match &mut archive {
                Some(archive) => Some(self.archive(&plan, &mut **archive)?),
                None => None,
            };
            // From here on no hold is added and no sink is attached until it is announced.
            let mut announced = self.lock_holds();
            let attaching = self.inner.sinks.lock().unwrap_or_else(PoisonError::into_inner);
            let sinks_now = self.inner.known_sinks_under(&attaching).map_err(sinks_failed(self))?;
            if self.holds()? != holds || sinks_now.iter().any(|sink| !plan.is_received(sink)) {
                continue;
            }
            let told = self.announce(rule, &plan, archived.as_deref());
            drop(attaching);
            *announced = plan.events;
            drop(announced);
            let finished = told.and_then(|last| self.wait_and_finish(last));
            let finished = match finished {
                Ok(finished) => finished,
                Err(error) => {
                    // What is not announced is undone; what is, stays for the next run or opening.
                    let is_announced = matches!(error, RetainError::NotSealed { .. });
                    if !is_announced {
                        let _ = self.finish_retirement();
                    }
                    return Err(error);
                }
            };
            self.inner.wait_dropped(deadline::after(DROP_TIMEOUT));
            let mut retained = plan.into_retained(false);
            retained.segments_removed = finished.segments_removed;
            retained.freed_bytes = finished.freed_bytes;
            retained.retired_by = finished.events;
            retained.archive = archived;
            return Ok(retained);
        }
    }

    /// What [`retain`](Trail::retain) would retire now. Changes nothing.
    ///
    /// # Errors
    /// As `retain`.
    pub fn would_retain(&self, rule: &RetentionRule) -> Result<Retained, RetainError> {
        self.inner.refuse_forked()?;
        let (holds, sinks) = (self.holds()?, self.known_sinks()?);
        Ok(plan(self, rule, &holds, &sinks)?.into_retained(true))
    }

    fn known_sinks(&self) -> Result<Vec<KnownSink>, RetainError> {
        // So that one that is gone by the next time holds up no more than it must.
        let _ = self.inner.note_cursors();
        self.sinks().map_err(sinks_failed(self))
    }

    fn archive(&self, plan: &Plan, archive: &mut dyn Archive) -> Result<String, RetainError> {
        let failed = |error: super::reader::ReadError| RetainError::Archive(error.into());
        let reader = self.reader().map_err(failed)?;
        let (note, checkpoint) = reader.checkpoint().map_err(failed)?;
        let ranges: Vec<Range<u64>> =
            plan.segments.iter().flat_map(|segment| segment.ranges.iter().cloned()).collect();
        let mut retiring = Retiring { reader, ranges: &ranges, note, checkpoint };
        let archived = archive.keep(&mut retiring).map_err(RetainError::Archive)?;
        Ok(archived.location)
    }

    fn wait_and_finish(&self, last: u64) -> Result<Finished, RetainError> {
        let seconds = SEAL_TIMEOUT.as_secs();
        let sealed = self.seal(SEAL_TIMEOUT);
        if sealed.is_err() || self.inner.log.progress.sealed() <= last {
            return Err(RetainError::NotSealed { seconds, source: sealed.err() });
        }
        // From here on lines go; what was read before knows neither their list nor the hashes of their ids.
        self.forget_read_ids();
        Ok(self.finish_retirement()?.unwrap_or_default())
    }

    /// Carries out what is announced and sealed, and undoes what is not.
    fn finish_retirement(&self) -> Result<Option<Finished>, RetainError> {
        let log = &self.inner.log;
        let ring = {
            let keys = self.inner.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.manifest.key_ring().0
        };
        let guard = |rewrite: &mut dyn FnMut()| {
            let _rewriting = log.rewriting.lock().unwrap_or_else(PoisonError::into_inner);
            rewrite();
        };
        let finished = finish(&log.folder, &ring, log.progress.sealed(), &guard)?;
        *self.lock_holds() = 0;
        log.retirements.fetch_add(1, Ordering::AcqRel);
        self.forget_read_ids();
        Ok(finished)
    }

    fn forget_read_ids(&self) {
        self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner).forget_read();
    }
}

fn sinks_failed(trail: &Trail) -> impl Fn(std::io::Error) -> RetainError {
    let path = trail.folder().sinks_file();
    move |source| RetainError::Io { action: "read", path: path.clone(), source }
}

impl Plan {
    /// Whether a sink has everything that goes.
    fn is_received(&self, sink: &KnownSink) -> bool {
        let last = self.segments.last().and_then(|segment| segment.ranges.last());
        last.is_none_or(|range| sink.cursor.get() >= range.end)
    }

    fn into_retained(self, dry_run: bool) -> Retained {
        let segments_removed = self.segments.iter().filter(|segment| segment.is_whole).count() as u64;
        Retained {
            dry_run,
            events: self.events,
            bytes: self.bytes,
            segments: self.segments.len() as u64,
            segments_removed,
            kept: self.kept,
            ..Retained::default()
        }
    }
}

impl From<FinishError> for RetainError {
    fn from(error: FinishError) -> Self {
        match error {
            FinishError::Rewrite(RewriteError::NotSigned { index, path }) => {
                RetainError::NotSigned { index, path }
            }
            FinishError::Rewrite(RewriteError::Io { path, source }) => {
                RetainError::Io { action: "write again", path, source }
            }
            FinishError::Io { action, path, source } => RetainError::Io { action, path, source },
        }
    }
}
