//! Retirement for those who come from `llm-orchestrator-audit`: once, or again and again beside the application.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::delivery::block_on;
use super::storage::{AuditStorage, StorageError};

/// Between two cleanups at least.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Retires the events of a storage that are older than some days.
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
    /// Retires what was recorded at least `days` ago: 1 to 36,500.
    pub fn new(storage: Arc<dyn AuditStorage>, days: u32) -> Self {
        AuditRetentionManager { storage, days }
    }

    /// Retires what is old enough now, and returns how many events that were.
    ///
    /// # Errors
    /// When the storage cannot retire, or a disk failure stopped it; the next cleanup finishes what it began.
    pub async fn cleanup(&self) -> Result<u64, StorageError> {
        self.storage.retire_older_than(self.days).await
    }

    /// Cleans up now, and again each time that `pause` has passed (a second at least), in a thread of its own, until the
    /// handle is dropped. Called within the Tokio runtime that the storage needs, if it needs one.
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

/// A cleanup in the background. Dropping it stops it: no other run begins, and one that is at work ends at its next step
/// that can be ended.
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
    /// What became of the last cleanup: how many events it retired. `None` before the end of the first.
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
