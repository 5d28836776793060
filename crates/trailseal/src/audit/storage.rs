//! The trait that users implement to have their own copy of all events.

use std::pin::Pin;
use std::sync::Arc;

use super::event::AuditEvent;
use super::filter::AuditFilter;
use crate::{HoldError, OpenError, QueryError, RecordError, RetainError, RetentionRule, Trail};

/// The future that `#[async_trait]` makes of an `async fn`.
pub type StorageFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// A place that gets a copy of every event, such as a database or another service.
///
/// Events are delivered to it in order, each at least once, from a cursor that the trail keeps. While it fails, delivery is
/// retried with growing pauses, and nothing is lost. After a crash it may get some events again, with the same ids.
///
/// Its futures are polled on one of the trail's threads, within the Tokio runtime in which the logger was made. A
/// single-threaded runtime must be driven until the close, so await [`AuditLogger::close`](crate::AuditLogger::close) in it:
/// otherwise timers and sockets make no progress, and events not stored when the close ends are delivered at the next opening.
///
/// The methods have the signatures that `#[async_trait::async_trait]` generates, so you can implement the trait with it:
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use trailseal::{AuditEvent, AuditFilter, AuditStorage, StorageError};
///
/// #[derive(Default)]
/// struct InMemory(Mutex<Vec<AuditEvent>>);
///
/// #[async_trait::async_trait]
/// impl AuditStorage for InMemory {
///     async fn store(&self, event: &AuditEvent) -> Result<(), StorageError> {
///         self.0.lock().unwrap().push(event.clone());
///         Ok(())
///     }
///     async fn query(&self, filter: AuditFilter) -> Result<Vec<AuditEvent>, StorageError> {
///         Ok(self.0.lock().unwrap().iter().take(filter.limit).cloned().collect())
///     }
///     async fn get(&self, id: &str) -> Result<Option<AuditEvent>, StorageError> {
///         Ok(self.0.lock().unwrap().iter().find(|event| event.id == id).cloned())
///     }
///     async fn count(&self, _filter: AuditFilter) -> Result<u64, StorageError> {
///         Ok(self.0.lock().unwrap().len() as u64)
///     }
/// }
/// let storage: Arc<dyn AuditStorage> = Arc::new(InMemory::default());
/// ```
pub trait AuditStorage: Send + Sync {
    /// Keeps an event.
    fn store<'life0, 'life1, 'async_trait>(
        &'life0 self,
        event: &'life1 AuditEvent,
    ) -> StorageFuture<'async_trait, ()>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait;

    /// Finds events, the newest first.
    fn query<'life0, 'async_trait>(
        &'life0 self,
        filter: AuditFilter,
    ) -> StorageFuture<'async_trait, Vec<AuditEvent>>
    where
        'life0: 'async_trait,
        Self: 'async_trait;

    /// The event with this id.
    fn get<'life0, 'life1, 'async_trait>(
        &'life0 self,
        id: &'life1 str,
    ) -> StorageFuture<'async_trait, Option<AuditEvent>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait;

    /// The number of events that match, regardless of the filter's limit.
    fn count<'life0, 'async_trait>(&'life0 self, filter: AuditFilter) -> StorageFuture<'async_trait, u64>
    where
        'life0: 'async_trait,
        Self: 'async_trait;

    /// Whether it works.
    fn health_check<'life0, 'async_trait>(&'life0 self) -> StorageFuture<'async_trait, ()>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Removes the events that were recorded at least `days` ago, and returns how many those were. A storage that is a view of
    /// a trail retires them there. The default implementation refuses.
    fn retire_older_than<'life0, 'async_trait>(&'life0 self, days: u32) -> StorageFuture<'async_trait, u64>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let Some(trail) = self.trail() else {
                let name = self.name();
                let what = format!(
                    "the storage {name} does not say how its events are retired: implement AuditStorage::retire_older_than"
                );
                return Err(StorageError::ConfigurationError(what));
            };
            retire(&trail, days).await
        })
    }

    /// A name for its cursor and for messages: 1 to 100 of the letters a to z and A to Z, digits, `-`, `_` and `.`. Storages of
    /// one trail need different names; a second one with the same name is refused.
    fn name(&self) -> &str {
        "storage"
    }

    /// The trail of which it is a view, if it is one. An [`AuditLogger`](crate::AuditLogger) then records in that trail and
    /// delivers nothing.
    fn trail(&self) -> Option<Trail> {
        None
    }
}

/// Retires the events of a trail that were recorded at least `days` ago, and returns how many those were.
pub(super) async fn retire(trail: &Trail, days: u32) -> Result<u64, StorageError> {
    Ok(trail.retain_async(RetentionRule::older_than_days(days), None).await?.events)
}

/// Why a storage did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The database failed.
    #[error("the database failed: {0}")]
    DatabaseError(String),
    /// A file could not be read or written.
    #[error("a file could not be read or written: {0}")]
    IoError(#[from] std::io::Error),
    /// There is no such event.
    #[error("there is no event with the id {0}")]
    EventNotFound(String),
    /// Its configuration is invalid.
    #[error("{0}")]
    ConfigurationError(String),
    /// It cannot be reached.
    #[error("the storage cannot be reached: {0}")]
    ConnectionError(String),
    /// The event was not recorded, or not confirmed in time.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The trail could not be opened; the next events try again.
    #[error("the trail could not be opened: {0}")]
    Open(#[source] Arc<OpenError>),
    /// The trail could not be searched.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Nothing was retired, or not everything.
    #[error(transparent)]
    Retain(#[from] RetainError),
    /// The legal holds could not be read, so nothing is removed that they might hold.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// Any other error of a storage of your own.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl From<OpenError> for StorageError {
    fn from(error: OpenError) -> Self {
        StorageError::Open(Arc::new(error))
    }
}
