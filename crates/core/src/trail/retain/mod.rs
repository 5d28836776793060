//! Retirement of old events: the run, and what it goes by. `retire` has the order of its steps.

mod announce;
mod archive;
mod choice;
mod dry_run;
mod error;
mod hold;
mod plain;
mod plan;
mod required_sinks;
mod rule;

use std::sync::atomic::Ordering;
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

use self::plan::{Basis, Plan, plan};
use super::keys::secrets::SecretError;
use super::open_trail::Trail;
use crate::deadline;
use crate::folder::Folder;
use crate::retire::{AnnouncedList, FinishError, Finished, RewriteError, finish, is_retiring};

pub use archive::{Archive, Archived, Retiring};
pub use error::{ArchiveError, ForgetSinkError, HoldError, RetainError};
pub(in crate::trail) use hold::lasting_filters;
pub use hold::{Hold, HoldAdded, holds_in};
pub use required_sinks::sinks_in;
pub use rule::{Kept, KnownSink, RETAIN_DAYS_MAX, Retained, RetentionRule, SinkBehind};

/// How long the checkpoint that covers `trail.retired` is waited for.
const SEAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long index and store are waited for at the end, until they have dropped what is gone. They do so later, too.
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
        self.finish_retirement(SEAL_TIMEOUT)?;
        loop {
            let (holds, sinks) = (self.holds()?, self.known_sinks()?);
            let plan = plan(&self.basis()?, rule, &holds, &sinks)?;
            if plan.events == 0 {
                return Ok(plan.into_retained(false));
            }
            let archived = match &mut archive {
                Some(archive) => Some(self.archive(&plan, &mut **archive)?),
                None => None,
            };
            let told = self.prepare(&plan).and_then(|lists| {
                self.announce_if_nothing_changed(rule, &plan, &lists, &holds, archived.as_deref())
            });
            let finished = match told {
                Ok(true) => self.finish_retirement(SEAL_TIMEOUT)?,
                Ok(false) => {
                    self.undo_prepared()?;
                    continue;
                }
                Err(error) => {
                    let _ = self.finish_retirement(SEAL_TIMEOUT);
                    return Err(error);
                }
            };
            self.inner.wait_dropped(deadline::after(DROP_TIMEOUT));
            let finished = finished.unwrap_or_default();
            let mut retained = plan.into_retained(false);
            retained.segments_removed = finished.segments_removed;
            retained.freed_bytes = finished.freed_bytes;
            retained.retired_by = finished.events;
            retained.archive = archived;
            return Ok(retained);
        }
    }

    /// Announces what is prepared, unless a hold or a sink is new since the plan. Neither can become so meanwhile.
    fn announce_if_nothing_changed(
        &self,
        rule: &RetentionRule,
        plan: &Plan,
        lists: &[AnnouncedList],
        holds: &[Hold],
        archive: Option<&str>,
    ) -> Result<bool, RetainError> {
        let mut announced = self.lock_holds();
        let attaching = self.inner.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let sinks = self.inner.known_sinks_under(&attaching).map_err(sinks_failed(self))?;
        let is_changed = self.holds()? != holds && !cfg!(trailseal_fault = "late_hold_missed");
        if is_changed || sinks.iter().any(|sink| !plan.is_received(sink)) {
            return Ok(false);
        }
        *announced = plan.events;
        self.announce(rule, plan, lists, archive)?;
        Ok(true)
    }

    /// What [`retain`](Trail::retain) would retire now. Changes nothing.
    ///
    /// # Errors
    /// As `retain`.
    pub fn would_retain(&self, rule: &RetentionRule) -> Result<Retained, RetainError> {
        self.inner.refuse_forked()?;
        let (holds, sinks) = (self.holds()?, self.known_sinks()?);
        Ok(plan(&self.basis()?, rule, &holds, &sinks)?.into_retained(true))
    }

    fn basis(&self) -> Result<Basis<'_>, RetainError> {
        let log = &self.inner.log;
        let keys = self.mask_keys().map_err(|error| no_mask_key(self.folder(), &error))?;
        let (sealed, durable) = (log.progress.sealed(), log.progress.durable());
        let (folder, now) = (self.folder(), log.clock.now());
        Ok(Basis { folder, now, keys, pointed_at: folder.pointed_at(), sealed, durable })
    }

    fn known_sinks(&self) -> Result<Vec<KnownSink>, RetainError> {
        // So that one that is gone by the next time holds up no more than it must.
        let _ = self.inner.note_cursors();
        self.sinks().map_err(sinks_failed(self))
    }

    fn archive(&self, plan: &Plan, archive: &mut dyn Archive) -> Result<String, RetainError> {
        let failed = |error: crate::trail::reading::reader::ReadError| RetainError::Archive(error.into());
        let reader = self.reader().map_err(failed)?;
        let (note, checkpoint) = reader.checkpoint().map_err(failed)?;
        let mut retiring = Retiring { reader, folder: self.folder(), plan, note, checkpoint };
        let archived = archive.keep(&mut retiring).map_err(RetainError::Archive)?;
        Ok(archived.location)
    }

    /// Ends a retirement that has begun, here or in a process that was killed: waits until everything is sealed, carries
    /// out what is announced, and undoes the rest.
    pub(in super::super) fn finish_retirement(
        &self,
        seal_timeout: Duration,
    ) -> Result<Option<Finished>, RetainError> {
        let log = &self.inner.log;
        let is_begun = is_retiring(&log.folder).map_err(|source| RetainError::Io {
            action: "read",
            path: log.folder.root().join("retiring"),
            source,
        })?;
        if !is_begun {
            return Ok(None);
        }
        // An announcement that is not sealed yet will be: undone now, it would vouch for lines that are still there.
        if let Err(error) = self.seal(seal_timeout) {
            return Err(RetainError::NotSealed { seconds: seal_timeout.as_secs(), source: Some(error) });
        }
        self.end_retirement()
    }

    /// Undoes what is prepared when nothing was announced.
    fn undo_prepared(&self) -> Result<(), RetainError> {
        self.end_retirement().map(drop)
    }

    fn end_retirement(&self) -> Result<Option<Finished>, RetainError> {
        let log = &self.inner.log;
        let ring = {
            let keys = self.inner.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.manifest.key_ring().0
        };
        let guard = |rewrite: &mut dyn FnMut()| {
            let _rewriting = log.rewriting.lock().unwrap_or_else(PoisonError::into_inner);
            rewrite();
        };
        // From here on lines go; what was read before knows neither their list nor the hashes of their ids.
        self.forget_read_ids();
        let sealed = log.progress.sealed();
        let finished = finish(&log.folder, &ring, sealed, sealed, &guard)?;
        *self.lock_holds() = 0;
        log.retirements.fetch_add(1, Ordering::AcqRel);
        self.forget_read_ids();
        Ok(finished)
    }

    fn forget_read_ids(&self) {
        let durable = self.inner.log.progress.durable();
        self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner).forget_read(durable);
    }
}

fn no_mask_key(folder: &Folder, error: &SecretError) -> RetainError {
    RetainError::Damaged {
        path: folder.root().to_owned(),
        what: format!("has no readable masking key, so nobody knows what is held: {error}"),
    }
}

fn sinks_failed(trail: &Trail) -> impl Fn(std::io::Error) -> RetainError {
    let path = trail.folder().sinks_file();
    move |source| RetainError::Io { action: "read", path: path.clone(), source }
}

impl Plan {
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
