//! A trail that delivers to a storage and is opened when it first can be.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::opened_by_path::{self, Shared};
use super::storage::{AuditStorage, StorageError};
use super::storage_delivery;
use crate::{OpenError, Options, Trail};

/// How long an opening that failed is not tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(1);

static OPENED: Shared<Delivering> = Shared::new();

/// A trail that delivers to storages.
struct Delivering {
    trail: Trail,
    storages: Mutex<HashMap<String, Arc<dyn AuditStorage>>>,
}

/// A trail that is opened now, or when that works.
pub(super) struct Later {
    storage: Arc<dyn AuditStorage>,
    dir: PathBuf,
    opened: OnceLock<Arc<Delivering>>,
    /// Held while it is being opened. Nobody waits for it.
    opening: Mutex<()>,
    failed: Mutex<Option<Failed>>,
}

/// When an opening failed, and why; the error itself where it can be told again.
#[derive(Clone)]
struct Failed {
    at: Instant,
    text: String,
    error: Option<Arc<OpenError>>,
}

impl Later {
    /// Tries to open it, within the runtime that the storage's futures may need. What fails is told by the first event.
    pub(super) fn new(storage: Arc<dyn AuditStorage>, dir: PathBuf) -> Later {
        let (opened, opening, failed) = Default::default();
        let later = Later { storage, dir, opened, opening, failed };
        let _ = later.delivering();
        later
    }

    pub(super) fn storage(&self) -> &Arc<dyn AuditStorage> {
        &self.storage
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened.get().is_some()
    }

    /// The trail. Where it is not open it is opened here, unless another call does so or that failed a moment ago.
    pub(super) fn trail(&self) -> Result<&Trail, StorageError> {
        Ok(&self.delivering()?.trail)
    }

    fn delivering(&self) -> Result<&Arc<Delivering>, StorageError> {
        if let Some(delivering) = self.opened.get() {
            return Ok(delivering);
        }
        // One call opens it; the others need not wait for what may take long.
        let _opening = match self.opening.try_lock() {
            Ok(opening) => opening,
            Err(TryLockError::Poisoned(opening)) => opening.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(self.why_not()),
        };
        if let Some(delivering) = self.opened.get() {
            return Ok(delivering);
        }
        if self.failed().is_some_and(|failed| failed.at.elapsed() < TRIED_AGAIN_AFTER) {
            return Err(self.why_not());
        }
        let opened = self.open();
        let delivering = opened.map(|delivering| self.opened.get_or_init(|| delivering));
        delivering.inspect_err(|error| {
            let cause = match error {
                StorageError::Open(error) => Some(error.clone()),
                _ => None,
            };
            let failed = Failed { at: Instant::now(), text: error.to_string(), error: cause };
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
        })
    }

    fn failed(&self) -> Option<Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why it is not open: the last error.
    pub(super) fn why_not(&self) -> StorageError {
        match self.failed() {
            Some(Failed { error: Some(error), .. }) => StorageError::Open(error),
            Some(Failed { text, .. }) => StorageError::ConfigurationError(text),
            None => {
                let what = format!("the trail in {} is being opened: try again", self.dir.display());
                StorageError::ConfigurationError(what)
            }
        }
    }

    fn open(&self) -> Result<Arc<Delivering>, StorageError> {
        let dir = opened_by_path::whole_path(&self.dir);
        let is_of_use = |delivering: &Delivering| !delivering.trail.is_closed();
        let delivering = OPENED.get_or_open(&dir, is_of_use, || {
            let trail = opened_by_path::open(&dir, Options::default())?;
            Ok(Delivering { trail, storages: Mutex::default() })
        })?;
        let mut storages = delivering.storages.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.storage.name();
        match storages.get(name) {
            Some(known) if Arc::ptr_eq(known, &self.storage) => {}
            _ => {
                storage_delivery::begin(&delivering.trail, &self.storage)?;
                storages.insert(name.to_owned(), self.storage.clone());
            }
        }
        drop(storages);
        Ok(delivering)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::{AuditEvent, AuditFilter, AuditLogger, StorageFuture};
    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    /// Counts what it gets.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    #[async_trait::async_trait]
    impl AuditStorage for Counting {
        async fn store(&self, _event: &AuditEvent) -> Result<(), StorageError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn query(&self, _filter: AuditFilter) -> Result<Vec<AuditEvent>, StorageError> {
            Ok(Vec::new())
        }

        async fn get(&self, _id: &str) -> Result<Option<AuditEvent>, StorageError> {
            Ok(None)
        }

        // As it is written without the macro.
        fn count<'life0, 'async_trait>(&'life0 self, _filter: AuditFilter) -> StorageFuture<'async_trait, u64>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async move { Ok(self.0.load(Ordering::Relaxed) as u64) })
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_storage_is_fed_once_however_many_loggers_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("logs/trail");
        let storage = Arc::new(Counting::default());
        let logger = || AuditLogger::later(storage.clone(), dir.clone());
        let (first, second) = (logger(), logger());
        first.log_workflow_delete("w1", "u1").await.unwrap();
        second.log_workflow_delete("w2", "u1").await.unwrap();
        let other = AuditLogger::later(Arc::new(Counting::default()), dir.clone());
        let error = other.log_workflow_delete("w3", "u1").await.unwrap_err();
        assert!(error.to_string().contains("another storage named storage"), "{error}");
        first.close(SOON).await.unwrap();
        assert_eq!(storage.count(AuditFilter::new()).await.unwrap(), 2);
        // The closed ones are still there; who comes now gets one that is open.
        let third = logger();
        third.log_workflow_delete("w4", "u1").await.unwrap();
        third.close(SOON).await.unwrap();
        assert_eq!(storage.count(AuditFilter::new()).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_trail_that_cannot_be_opened_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("trail");
        std::fs::write(&dir, "a file is in the way").unwrap();
        let logger = AuditLogger::later(Arc::new(Counting::default()), dir.clone());
        assert!(logger.log_workflow_delete("w1", "u1").await.is_err());
        std::fs::remove_file(&dir).unwrap();
        let deadline = Instant::now() + SOON;
        while let Err(error) = logger.log_workflow_delete("w1", "u1").await {
            assert!(Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        logger.close(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn a_later_opening_holds_up_neither_the_executor_nor_other_calls() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("trail");
        std::fs::write(&dir, "a file is in the way").unwrap();
        let storage = Arc::new(Counting::default());
        let logger = AuditLogger::later(storage.clone(), dir.clone());
        std::fs::remove_file(&dir).unwrap();
        // An opening that waits: this process had the trail open before, and still holds its lock.
        let before = AuditLogger::later(storage, dir.clone());
        before.close(SOON).await.unwrap();
        let held = Trail::open(&dir).unwrap();
        let later = logger.opened_later().unwrap();
        later.failed.lock().unwrap().as_mut().unwrap().at -= TRIED_AGAIN_AFTER;

        let opening = tokio::spawn({
            let logger = logger.clone();
            async move { logger.log_workflow_delete("w1", "u1").await }
        });
        let deadline = Instant::now() + SOON;
        while later.opening.try_lock().is_ok() {
            assert!(Instant::now() < deadline, "it is not being opened");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        logger.log_workflow_delete("w2", "u1").await.unwrap_err();
        assert!(!opening.is_finished(), "the executor or the second call waited for the opening");
        held.close(SOON).unwrap();
        opening.await.unwrap().unwrap();
        logger.close(SOON).await.unwrap();
    }
}
