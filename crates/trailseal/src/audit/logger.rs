//! The logger: typed helpers over a trail.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::delivery;
use super::event::{AuditEvent, AuditEventType, AuditResult, ResourceType};
use super::shared::{self, Shared};
use super::storage::{AuditStorage, StorageError};
use crate::time::timestamp;
use crate::{Closed, Event, IntoEvent, Object, OpenError, Options, Outcome, Receipt, Trail, Value};

/// Where events are recorded that go on to a storage of the user's, unless `TRAILSEAL_DIR` says otherwise.
const DIR: &str = "./trail";
const DIR_VARIABLE: &str = "TRAILSEAL_DIR";
/// How long an opening that failed is not tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(1);

static OPENED: Shared<Delivering> = Shared::new();

/// Records events. Cheap to clone, for any thread; every clone is the same logger.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use trailseal::{AuditLogger, AuditResult, Trail};
///
/// let logger = AuditLogger::over(Trail::temporary()?);
/// logger.log_workflow_execution("w1", "u1", AuditResult::Success, Duration::from_millis(12)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AuditLogger {
    /// `None` for one that is disabled.
    inner: Option<Arc<Inner>>,
}

enum Inner {
    /// The storage is a view of the trail, if there is one.
    Trail(Trail, Option<Arc<dyn AuditStorage>>),
    Delivering(Later),
}

/// A trail that delivers to storages.
struct Delivering {
    trail: Trail,
    storages: Mutex<HashMap<String, Arc<dyn AuditStorage>>>,
}

/// A trail that is opened now, or when that works.
struct Later {
    storage: Arc<dyn AuditStorage>,
    dir: PathBuf,
    opened: OnceLock<Arc<Delivering>>,
    failed: Mutex<Option<Failed>>,
}

/// When an opening failed, and why; the error itself where it can be told again.
struct Failed {
    at: Instant,
    text: String,
    error: Option<Arc<OpenError>>,
}

impl AuditLogger {
    /// A logger over a storage.
    ///
    /// With [`FileAuditStorage`](crate::FileAuditStorage) events go into its trail. With a storage of one's own they go into
    /// the trail in `TRAILSEAL_DIR` (default `./trail`), and from there to the storage, by delivery. A trail that cannot be
    /// opened is tried again; until then every call returns why.
    pub fn new(storage: Arc<dyn AuditStorage>) -> Self {
        if let Some(trail) = storage.trail() {
            return AuditLogger { inner: Some(Arc::new(Inner::Trail(trail, Some(storage)))) };
        }
        AuditLogger::later(storage, std::env::var_os(DIR_VARIABLE).map_or_else(|| DIR.into(), PathBuf::from))
    }

    fn later(storage: Arc<dyn AuditStorage>, dir: PathBuf) -> Self {
        let later = Later { storage, dir, opened: OnceLock::new(), failed: Mutex::default() };
        // In the runtime that the storage's futures may need. What fails is told by the first event.
        let _ = later.delivering();
        AuditLogger { inner: Some(Arc::new(Inner::Delivering(later))) }
    }

    /// A logger that records into a trail.
    pub fn over(trail: Trail) -> Self {
        AuditLogger { inner: Some(Arc::new(Inner::Trail(trail, None))) }
    }

    /// A logger that records into a trail, from which events go to a storage, too. Called within the runtime that the
    /// storage needs, which must be driven until the close; see [`AuditStorage`].
    ///
    /// # Errors
    /// When the trail is closed, or delivers to a storage with this name already; see [`AuditStorage::name`].
    pub fn delivering(trail: Trail, storage: Arc<dyn AuditStorage>) -> Result<Self, StorageError> {
        delivery::begin(&trail, &storage)?;
        Ok(AuditLogger { inner: Some(Arc::new(Inner::Trail(trail, Some(storage)))) })
    }

    /// A logger that records nothing.
    pub fn disabled() -> Self {
        AuditLogger { inner: None }
    }

    /// Whether it records.
    pub fn is_enabled(&self) -> bool {
        self.inner.is_some()
    }

    /// The storage that it was made with.
    pub fn storage(&self) -> Option<&Arc<dyn AuditStorage>> {
        match &**self.inner.as_ref()? {
            Inner::Trail(_, storage) => storage.as_ref(),
            Inner::Delivering(later) => Some(&later.storage),
        }
    }

    /// The trail that it records into; `None` for one that is disabled.
    ///
    /// # Errors
    /// When the trail cannot be opened.
    pub fn trail(&self) -> Result<Option<Trail>, StorageError> {
        self.inner.as_ref().map(|inner| inner.trail().cloned()).transpose()
    }

    /// Records an event of any kind; see [`Trail::record`]. `None` from one that is disabled.
    ///
    /// # Errors
    /// When it is refused, or not confirmed in time.
    pub fn record<'a>(&self, event: impl IntoEvent<'a>) -> Result<Option<Receipt>, StorageError> {
        match &self.inner {
            Some(inner) => Ok(Some(inner.trail()?.record(event)?)),
            None => Ok(None),
        }
    }

    /// Records an event.
    ///
    /// # Errors
    /// When it is refused, or not confirmed in time. Nothing that fails here is a panic.
    pub async fn log_event(&self, event: AuditEvent) -> Result<(), StorageError> {
        match &self.inner {
            Some(inner) => inner.log(event.into()).await,
            None => Ok(()),
        }
    }

    async fn log(&self, event: impl FnOnce() -> AuditEvent) -> Result<(), StorageError> {
        match &self.inner {
            Some(inner) => inner.log(event().into()).await,
            None => Ok(()),
        }
    }

    /// A workflow was created.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_workflow_create(
        &self,
        workflow_id: &str,
        workflow_name: &str,
        user_id: &str,
    ) -> Result<(), StorageError> {
        self.log(|| {
            workflow(AuditEventType::WorkflowCreate, "Workflow created", workflow_id, user_id)
                .with_details(Object::from_iter([("workflow_name", workflow_name)]))
        })
        .await
    }

    /// A workflow was changed.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_workflow_update(
        &self,
        workflow_id: &str,
        user_id: &str,
        changes: impl serde::Serialize,
    ) -> Result<(), StorageError> {
        self.log(|| {
            workflow(AuditEventType::WorkflowUpdate, "Workflow updated", workflow_id, user_id)
                .with_details(changes)
        })
        .await
    }

    /// A workflow was deleted.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_workflow_delete(&self, workflow_id: &str, user_id: &str) -> Result<(), StorageError> {
        self.log(|| workflow(AuditEventType::WorkflowDelete, "Workflow deleted", workflow_id, user_id)).await
    }

    /// A workflow was executed.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_workflow_execution(
        &self,
        workflow_id: &str,
        user_id: &str,
        result: AuditResult,
        duration: Duration,
    ) -> Result<(), StorageError> {
        self.log(|| AuditEvent {
            result,
            ..workflow(AuditEventType::WorkflowExecution, "Workflow executed", workflow_id, user_id)
                .with_duration(duration)
        })
        .await
    }

    /// A step of a workflow was executed.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_step_execution(
        &self,
        workflow_id: &str,
        step_id: &str,
        user_id: &str,
        result: AuditResult,
        duration: Duration,
    ) -> Result<(), StorageError> {
        self.log(|| {
            let action = format!("Step executed: {step_id}");
            AuditEvent::new(AuditEventType::StepExecution, action, ResourceType::Step, step_id, result)
                .with_user_id(user_id)
                .with_details(Object::from_iter([("workflow_id", workflow_id)]))
                .with_duration(duration)
        })
        .await
    }

    /// Somebody tried to log in.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_auth_attempt(
        &self,
        user_id: &str,
        success: bool,
        ip_address: Option<String>,
    ) -> Result<(), StorageError> {
        self.log(|| {
            let failed = || AuditResult::Failure("Authentication failed".into());
            let result = if success { AuditResult::Success } else { failed() };
            let (kind, action) = (AuditEventType::Authentication, "User authentication attempt");
            let event = AuditEvent::new(kind, action, ResourceType::User, user_id, result);
            AuditEvent { ip_address, ..event.with_user_id(user_id) }
        })
        .await
    }

    /// It was checked whether somebody may do something. One who may not is an event with the outcome `denied`.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_authorization(
        &self,
        user_id: &str,
        permission: &str,
        resource_id: &str,
        allowed: bool,
    ) -> Result<(), StorageError> {
        let Some(inner) = &self.inner else { return Ok(()) };
        let result = match allowed {
            true => AuditResult::Success,
            false => AuditResult::Failure(format!("Permission denied: {permission}")),
        };
        let action = format!("Authorization check: {permission}");
        let details: [(&str, Value); 2] = [("permission", permission.into()), ("allowed", allowed.into())];
        let event =
            AuditEvent::new(AuditEventType::Authorization, action, ResourceType::User, resource_id, result)
                .with_user_id(user_id)
                .with_details(Object::from_iter(details));
        let mut event = Event::from(event);
        if !allowed {
            event.outcome = Some(Outcome::Denied);
        }
        inner.log(event).await
    }

    /// A secret was read. Name it by its key; a value has no place here.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_secret_access(
        &self,
        secret_key: &str,
        user_id: &str,
        accessed_at: impl Into<SystemTime>,
    ) -> Result<(), StorageError> {
        self.log(|| {
            let accessed_at = timestamp(accessed_at.into()).to_string();
            let (kind, result) = (AuditEventType::SecretAccess, AuditResult::Success);
            AuditEvent::new(kind, "Secret accessed", ResourceType::Secret, secret_key, result)
                .with_user_id(user_id)
                .with_details(Object::from_iter([("accessed_at", accessed_at)]))
        })
        .await
    }

    /// A setting was changed. The values stand under the setting's own name, so one that names a secret is masked.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_config_change(
        &self,
        config_key: &str,
        old_value: Option<&str>,
        new_value: &str,
        changed_by: &str,
    ) -> Result<(), StorageError> {
        self.log(|| {
            let (kind, result) = (AuditEventType::ConfigChange, AuditResult::Success);
            AuditEvent::new(kind, "Configuration changed", ResourceType::Configuration, config_key, result)
                .with_user_id(changed_by)
                .with_change(
                    Object::from_iter([(config_key, Value::from(old_value))]),
                    Object::from_iter([(config_key, new_value)]),
                )
        })
        .await
    }

    /// A key for an API was made.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_api_key_create(
        &self,
        key_id: &str,
        user_id: &str,
        scopes: Vec<String>,
    ) -> Result<(), StorageError> {
        self.log(|| {
            let (kind, result) = (AuditEventType::ApiKeyCreate, AuditResult::Success);
            AuditEvent::new(kind, "API key created", ResourceType::ApiKey, key_id, result)
                .with_user_id(user_id)
                .with_details(Object::from_iter([("scopes", scopes)]))
        })
        .await
    }

    /// A key for an API was revoked.
    ///
    /// # Errors
    /// As [`log_event`](AuditLogger::log_event).
    pub async fn log_api_key_revoke(
        &self,
        key_id: &str,
        user_id: &str,
        reason: &str,
    ) -> Result<(), StorageError> {
        self.log(|| {
            let (kind, result) = (AuditEventType::ApiKeyRevoke, AuditResult::Success);
            AuditEvent::new(kind, "API key revoked", ResourceType::ApiKey, key_id, result)
                .with_user_id(user_id)
                .with_details(Object::from_iter([("reason", reason)]))
        })
        .await
    }

    /// Closes the trail for all who use it in this process, after everything is on disk and delivered. `None` if there is
    /// none.
    ///
    /// # Errors
    /// When `timeout` comes first; nothing is lost by it.
    pub async fn close(&self, timeout: Duration) -> Result<Option<Closed>, StorageError> {
        let Some(trail) = self.trail()? else { return Ok(None) };
        match trail.close_async(timeout).await {
            Ok(closed) => Ok(Some(closed)),
            Err(error) => Err(StorageError::Other(Box::new(error))),
        }
    }
}

fn workflow(kind: AuditEventType, action: &str, workflow_id: &str, user_id: &str) -> AuditEvent {
    AuditEvent::new(kind, action, ResourceType::Workflow, workflow_id, AuditResult::Success)
        .with_user_id(user_id)
}

impl Inner {
    fn trail(&self) -> Result<&Trail, StorageError> {
        match self {
            Inner::Trail(trail, _) => Ok(trail),
            Inner::Delivering(later) => Ok(&later.delivering()?.trail),
        }
    }

    async fn log(&self, event: Event) -> Result<(), StorageError> {
        self.trail()?.record_async(event).await?;
        Ok(())
    }
}

impl Later {
    fn delivering(&self) -> Result<&Arc<Delivering>, StorageError> {
        if let Some(delivering) = self.opened.get() {
            return Ok(delivering);
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(delivering) = self.opened.get() {
            return Ok(delivering);
        }
        if let Some(failed) = failed.as_ref().filter(|failed| failed.at.elapsed() < TRIED_AGAIN_AFTER) {
            return Err(match &failed.error {
                Some(error) => StorageError::Open(error.clone()),
                None => StorageError::ConfigurationError(failed.text.clone()),
            });
        }
        match self.open() {
            Ok(delivering) => Ok(self.opened.get_or_init(|| delivering)),
            Err(error) => {
                let cause = match &error {
                    StorageError::Open(error) => Some(error.clone()),
                    _ => None,
                };
                *failed = Some(Failed { at: Instant::now(), text: error.to_string(), error: cause });
                Err(error)
            }
        }
    }

    fn open(&self) -> Result<Arc<Delivering>, StorageError> {
        let dir = shared::whole_path(&self.dir);
        let is_of_use = |delivering: &Delivering| !delivering.trail.is_closed();
        let delivering = OPENED.get_or_open(&dir, is_of_use, || {
            let trail = shared::open(&dir, Options::default())?;
            Ok(Delivering { trail, storages: Mutex::default() })
        })?;
        let mut storages = delivering.storages.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.storage.name();
        match storages.get(name) {
            Some(known) if Arc::ptr_eq(known, &self.storage) => {}
            _ => {
                delivery::begin(&delivering.trail, &self.storage)?;
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

    use super::super::{AuditFilter, StorageFuture};
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

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
}
