//! The logger: typed helpers over a trail.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::event::{AuditEvent, AuditEventType, AuditResult, ResourceType};
use super::opened_later::Later;
use super::storage::{AuditStorage, StorageError};
use super::storage_delivery;
use crate::blocking_work::aside;
use crate::time::timestamp;
use crate::{Closed, Event, IntoEvent, Object, Outcome, Receipt, Trail, Value};

/// Where events are recorded that go on to a storage of the user's, unless `TRAILSEAL_DIR` says otherwise.
const DIR: &str = "./trail";
pub(super) const DIR_VARIABLE: &str = "TRAILSEAL_DIR";

/// The folder that the environment names.
pub(super) fn dir() -> PathBuf {
    dir_of(std::env::var_os(DIR_VARIABLE))
}

pub(super) fn dir_of(named: Option<OsString>) -> PathBuf {
    named.filter(|dir| !dir.is_empty()).map_or_else(|| DIR.into(), PathBuf::from)
}

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

impl AuditLogger {
    /// A logger over a storage.
    ///
    /// With [`FileAuditStorage`](crate::FileAuditStorage) events go into its trail. With a storage of one's own they go into
    /// the trail in `TRAILSEAL_DIR` (default `./trail`), and from there to the storage, by delivery. A trail that cannot be
    /// opened is tried again, by one call at a time and beside the runtime; until then every call returns why.
    pub fn new(storage: Arc<dyn AuditStorage>) -> Self {
        if let Some(trail) = storage.trail() {
            return AuditLogger { inner: Some(Arc::new(Inner::Trail(trail, Some(storage)))) };
        }
        AuditLogger::later(storage, dir())
    }

    pub(super) fn later(storage: Arc<dyn AuditStorage>, dir: PathBuf) -> Self {
        let later = Later::new(storage, dir);
        AuditLogger { inner: Some(Arc::new(Inner::Delivering(later))) }
    }

    #[cfg(test)]
    pub(super) fn opened_later(&self) -> Option<&Later> {
        match self.inner.as_deref() {
            Some(Inner::Delivering(later)) => Some(later),
            _ => None,
        }
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
        storage_delivery::begin(&trail, &storage)?;
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
            Inner::Delivering(later) => Some(later.storage()),
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
        let Some(inner) = &self.inner else { return Ok(()) };
        // Each future that an event waits in is one more copy of it, and here there is nothing to wait for.
        if let Inner::Trail(trail, _) = &**inner {
            trail.record_async(Event::from(event)).await?;
            return Ok(());
        }
        Inner::log(inner, event).await
    }

    async fn log(&self, event: impl FnOnce() -> AuditEvent) -> Result<(), StorageError> {
        match &self.inner {
            Some(inner) => Inner::log(inner, event()).await,
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
        Inner::log(inner, event).await
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
        let Some(inner) = &self.inner else { return Ok(None) };
        Inner::open_aside(inner).await?;
        match inner.trail()?.close_async(timeout).await {
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
            Inner::Delivering(later) => later.trail(),
        }
    }

    /// Opens the trail if it is not open yet, for callers that must not block.
    async fn open_aside(this: &Arc<Inner>) -> Result<(), StorageError> {
        if let Inner::Delivering(later) = &**this
            && !later.is_open()
        {
            let opening = this.clone();
            // `None` if the runtime stops.
            aside(move || opening.trail().map(drop)).await.unwrap_or_else(|| Err(later.why_not()))?;
        }
        Ok(())
    }

    async fn log(this: &Arc<Inner>, event: impl Into<Event>) -> Result<(), StorageError> {
        Inner::open_aside(this).await?;
        // Made where it is recorded: it is large, and would be copied on its way.
        this.trail()?.record_async(event.into()).await?;
        Ok(())
    }
}
