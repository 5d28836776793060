//! Retirement for users of `llm-orchestrator-audit`: once, or repeatedly in the background.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::storage::{AuditStorage, StorageError};
use super::storage_delivery::block_on;

/// The minimum time between two cleanups.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Retires the events of a storage that are older than a number of days.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use trailseal::{AuditRetentionManager, FileAuditStorage, RotationPolicy};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("audit.log");
///
/// let storage = Arc::new(FileAuditStorage::new(&path, RotationPolicy::Daily)?);
/// let retention = AuditRetentionManager::new(storage, 90);
/// assert_eq!(retention.cleanup().await?, 0);
///
/// let handle = retention.start_background_cleanup(Duration::from_secs(86_400));
/// // Cleans up at once and each day, until the handle is dropped.
/// drop(handle);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AuditRetentionManager {
    storage: Arc<dyn AuditStorage>,
    days: u32,
}

impl AuditRetentionManager {
    /// Retires events recorded at least `days` ago, from 1 to 36,500.
    pub fn new(storage: Arc<dyn AuditStorage>, days: u32) -> Self {
        AuditRetentionManager { storage, days }
    }

    /// Retires what is old enough now, and returns the number of events.
    ///
    /// # Errors
    /// When the storage cannot retire, or a disk failure interrupted it; the next cleanup finishes what was begun.
    pub async fn cleanup(&self) -> Result<u64, StorageError> {
        self.storage.retire_older_than(self.days).await
    }

    /// Cleans up now and after each `pause` (at least a second), on a thread of its own, until the handle is dropped. If the
    /// storage needs a Tokio runtime, call this within it.
    #[must_use = "dropping the handle ends the cleanup"]
    pub fn start_background_cleanup(&self, pause: Duration) -> CleanupHandle {
        let shared = Arc::new(Shared::default());
        let (manager, seen, runtime) = (self.clone(), shared.clone(), Handle::try_current().ok());
        let work = move || {
            let _entered = runtime.as_ref().map(Handle::enter);
            while !seen.is_over() {
                let Some(result) = block_on(manager.cleanup(), || seen.is_over()) else { return };
                seen.done(result);
                seen.wait(pause.max(PAUSE_MIN));
            }
        };
        match std::thread::Builder::new().name("trailseal-cleanup".into()).spawn(work) {
            Ok(thread) => {
                *shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone())
            }
            Err(error) => shared.done(Err(error.into())),
        }
        CleanupHandle { shared }
    }
}

/// A background cleanup. Dropping it stops it: no further run begins, and a current one ends at the next step where it can.
#[must_use = "dropping the handle ends the cleanup"]
pub struct CleanupHandle {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    thread: Mutex<Option<std::thread::Thread>>,
    last: Mutex<Option<Arc<Result<u64, StorageError>>>>,
    woken: Condvar,
}

impl CleanupHandle {
    /// The result of the last cleanup: how many events it retired. `None` before the first has ended.
    pub fn last(&self) -> Option<Arc<Result<u64, StorageError>>> {
        self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for CleanupHandle {
    fn drop(&mut self) {
        let shared = &self.shared;
        // Under the lock: else a thread that has just looked would wait all the same.
        let last = shared.last.lock().unwrap_or_else(PoisonError::into_inner);
        shared.is_over.store(true, Ordering::Release);
        drop(last);
        shared.woken.notify_all();
        if let Some(thread) = &*shared.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire) && !cfg!(trailseal_fault = "cleanup_goes_on")
    }

    fn done(&self, result: Result<u64, StorageError>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(result));
    }

    fn wait(&self, pause: Duration) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_on = |_: &mut _| !self.is_over();
        drop(self.woken.wait_timeout_while(last, pause, is_on));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;
    use std::sync::atomic::{AtomicI64, AtomicUsize};
    use std::time::Instant;

    use trailseal_core::clock::Clock;

    use super::super::{
        AuditEvent, AuditFilter, AuditLogger, FileAuditStorage, RotationPolicy, StorageFuture,
    };
    use super::*;
    use crate::{Options, Timestamp};

    const SOON: Duration = Duration::from_secs(30);
    const DAY: i64 = 86_400_000_000;

    /// A clock that stands still until it is set, but never gives one time twice.
    #[derive(Clone, Default)]
    struct Days(Arc<AtomicI64>);

    impl Days {
        fn set(&self, day: i64) {
            let begin = Timestamp::parse("2026-01-01T04:00:00Z").unwrap().as_micros();
            self.0.store(begin + day * DAY, Ordering::SeqCst);
        }
    }

    impl Clock for Days {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
        }
    }

    fn copies(folder: &Path) -> Vec<String> {
        let names =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.ends_with(".trail")).collect();
        names.sort();
        names
    }

    async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_so().await {
            assert!(Instant::now() < deadline, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn old_events_go_and_their_rotated_copies_but_nothing_that_is_held() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Days::default());
        clock.set(0);
        let mut options = Options::default();
        options.clock = Arc::new(clock.clone());
        options.handoff.size_bytes = 4 << 20;
        let path = folder.path().join("audit.log");
        let storage = FileAuditStorage::with_options(&path, RotationPolicy::Daily, &options).unwrap();
        let storage = Arc::new(storage);
        let logger = AuditLogger::new(storage.clone());
        for day in [0, 1, 2, 99, 100] {
            clock.set(day);
            let user = if day == 1 { "held" } else { "u1" };
            logger.log_workflow_delete(&format!("w{day}"), user).await.unwrap();
            storage.trail().flush(SOON).unwrap();
            // Each in a copy of its own: the next day's event rotates it.
            until("the copy has it", async || {
                std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!("w{day}")))
            })
            .await;
        }
        storage.trail().add_hold("case", "a court asked", &[("actor".into(), "held".into())]).unwrap();
        std::fs::write(folder.path().join("audit.log.old"), "not ours").unwrap();
        let before = copies(folder.path());
        assert_eq!(before.len(), 6, "{before:?}");
        storage.trail().verify().unwrap();
        let manager = AuditRetentionManager::new(storage.clone(), 90);
        let mut retired = 0;
        let told = async |storage: &FileAuditStorage| {
            let events = storage.query(AuditFilter::new()).await.unwrap();
            events.into_iter().map(|event| event.resource_id).collect::<Vec<_>>()
        };
        until("what is old is gone", async || {
            retired += manager.cleanup().await.unwrap();
            told(&storage).await == ["w100", "w99", "w1"]
        })
        .await;
        assert!(retired >= 2, "{retired}");
        let after = copies(folder.path());
        // Rotated on day 1 and day 99, with what came before: gone. On day 2, with what is held: there.
        let gone: Vec<&String> = before.iter().filter(|name| !after.contains(name)).collect();
        let [of_day_0, of_day_2] = ["20260102-040000", "20260410-040000"].map(|at| format!("audit.log.{at}"));
        assert_eq!(gone, [&of_day_0, &of_day_2]);
        assert!(std::fs::read_to_string(&path).unwrap().contains("w100"));
        assert!(storage.trail().verify().unwrap().ok);
        assert_eq!(manager.cleanup().await.unwrap(), 0, "there is nothing left");
        storage.close(SOON).await.unwrap();
    }

    /// Counts how often it is asked to retire.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    #[async_trait::async_trait]
    impl AuditStorage for Counting {
        async fn store(&self, _event: &AuditEvent) -> Result<(), StorageError> {
            Ok(())
        }
        async fn query(&self, _filter: AuditFilter) -> Result<Vec<AuditEvent>, StorageError> {
            Ok(Vec::new())
        }
        async fn get(&self, _id: &str) -> Result<Option<AuditEvent>, StorageError> {
            Ok(None)
        }
        async fn count(&self, _filter: AuditFilter) -> Result<u64, StorageError> {
            Ok(0)
        }
        // As it is written without the macro.
        fn retire_older_than<'life0, 'async_trait>(
            &'life0 self,
            days: u32,
        ) -> StorageFuture<'async_trait, u64>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async move {
                // Timers of the runtime work.
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.0.fetch_add(1, Ordering::SeqCst);
                Ok(u64::from(days))
            })
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_background_cleans_up_again_and_again_until_its_handle_is_dropped() {
        let storage = Arc::new(Counting::default());
        let handle = AuditRetentionManager::new(storage.clone(), 7).start_background_cleanup(Duration::ZERO);
        until("twice", async || storage.0.load(Ordering::SeqCst) >= 2).await;
        assert_eq!(*handle.last().unwrap().as_ref().as_ref().unwrap(), 7);
        drop(handle);
        // The thread ends: it alone held the storage beside us.
        until("the thread is gone", async || Arc::strong_count(&storage) == 1).await;
    }

    #[tokio::test]
    async fn a_storage_that_cannot_retire_says_so() {
        struct Plain;

        #[async_trait::async_trait]
        impl AuditStorage for Plain {
            async fn store(&self, _event: &AuditEvent) -> Result<(), StorageError> {
                Ok(())
            }
            async fn query(&self, _filter: AuditFilter) -> Result<Vec<AuditEvent>, StorageError> {
                Ok(Vec::new())
            }
            async fn get(&self, _id: &str) -> Result<Option<AuditEvent>, StorageError> {
                Ok(None)
            }
            async fn count(&self, _filter: AuditFilter) -> Result<u64, StorageError> {
                Ok(0)
            }
        }

        let error = AuditRetentionManager::new(Arc::new(Plain), 90).cleanup().await.unwrap_err();
        assert!(error.to_string().contains("AuditStorage::retire_older_than"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let storage = FileAuditStorage::new(folder.path().join("audit.log"), RotationPolicy::Never).unwrap();
        let error = AuditRetentionManager::new(Arc::new(storage.clone()), 0).cleanup().await.unwrap_err();
        assert!(error.to_string().contains("between 1 and 36500"), "{error}");
        storage.close(SOON).await.unwrap();
    }
}
