//! A trail next to a plain file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::copy::PlainCopy;
use super::event::AuditEvent;
use super::filter::AuditFilter;
use super::opened_by_path::{self, Shared};
use super::rotated;
use super::rotation::RotationPolicy;
use super::storage::{self, AuditStorage, StorageError, StorageFuture};
use crate::blocking_work::aside;
use crate::query::Besides;
use crate::{Options, Query, QueryError, Roll, Timestamp, Trail};

const DAY_MICROS: i64 = 86_400_000_000;

static OPENED: Shared<Opened> = Shared::new();

/// Keeps events in a trail at `<path>.trail`, and a plain copy of new ones in `path`, one line of JSON each, for tools that
/// read such files. Lines that are already in `path` stay.
///
/// Queries see everything that this process recorded before them. Cheap to clone. Opening the same path twice in a process gives
/// the same storage until it is closed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use trailseal::{AuditFilter, AuditLogger, FileAuditStorage, RotationPolicy};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("audit.log");
///
/// let storage = Arc::new(FileAuditStorage::new(&path, RotationPolicy::Daily)?);
/// let logger = AuditLogger::new(storage.clone());
/// logger.log_auth_attempt("u1", true, None).await?;
/// assert_eq!(storage.query(AuditFilter::new()).await?[0].user_id.as_deref(), Some("u1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileAuditStorage {
    opened: Arc<Opened>,
}

struct Opened {
    trail: Trail,
    path: PathBuf,
    policy: RotationPolicy,
    /// As they were given.
    options: Options,
}

impl FileAuditStorage {
    /// Opens the trail next to `path`, or creates it.
    ///
    /// # Errors
    /// When the trail cannot be opened, or is open in this process with another policy or other options.
    pub fn new(path: impl AsRef<Path>, policy: RotationPolicy) -> Result<Self, StorageError> {
        FileAuditStorage::with_options(path, policy, &Options::default())
    }

    /// Like [`new`](FileAuditStorage::new), with options for the trail; `policy` determines when segments roll.
    ///
    /// # Errors
    /// As [`new`](FileAuditStorage::new).
    pub fn with_options(
        path: impl AsRef<Path>,
        policy: RotationPolicy,
        options: &Options,
    ) -> Result<Self, StorageError> {
        let path = opened_by_path::whole_path(path.as_ref());
        let is_of_use = |opened: &Opened| !opened.trail.is_closed();
        let opened = OPENED.get_or_open(&path, is_of_use, || open(&path, policy, options))?;
        let wrong = |what: String| {
            let path = path.display();
            let what = format!("{path} is open in this process with {what}: use the same everywhere");
            Err(StorageError::ConfigurationError(what))
        };
        if opened.policy != policy {
            return wrong(format!("the rotation policy {:?}", opened.policy));
        }
        // Its name alone: a value may be a secret.
        if let Some(name) = opened.options.difference(options) {
            return wrong(format!("another value of the option {name}"));
        }
        Ok(FileAuditStorage { opened })
    }

    /// The trail that holds the events.
    pub fn trail(&self) -> &Trail {
        &self.opened.trail
    }

    /// The plain file.
    pub fn path(&self) -> &Path {
        &self.opened.path
    }

    /// Records an event.
    ///
    /// # Errors
    /// When it is refused, or not confirmed in time.
    pub async fn store(&self, event: &AuditEvent) -> Result<(), StorageError> {
        self.trail().record_async(crate::Event::from(event.clone())).await?;
        Ok(())
    }

    /// Finds events, the newest first.
    ///
    /// # Errors
    /// When the trail cannot be searched.
    pub async fn query(&self, filter: AuditFilter) -> Result<Vec<AuditEvent>, StorageError> {
        let trail = self.trail().clone();
        let found = aside(move || {
            let (query, offset, besides) = (filter.to_query(), filter.offset, filter.besides(&trail));
            let wanted = |event: &crate::Event| besides.matches(event);
            trail.matching(&query, &Besides { wanted: &wanted, told: &besides.told }, offset)
        });
        let found = found.await.unwrap_or(Err(QueryError::Stopped))?;
        Ok(found.into_iter().map(AuditEvent::from).collect())
    }

    /// The event with this id.
    ///
    /// # Errors
    /// When the trail cannot be searched.
    pub async fn get(&self, id: &str) -> Result<Option<AuditEvent>, StorageError> {
        let page = self.trail().query_async(Query::new().id(id).limit(1)).await?;
        Ok(page.events.into_iter().next().map(AuditEvent::from))
    }

    /// The number of events that match, regardless of the filter's limit and offset.
    ///
    /// # Errors
    /// When the trail cannot be searched.
    pub async fn count(&self, filter: AuditFilter) -> Result<u64, StorageError> {
        let trail = self.trail().clone();
        let counted = aside(move || {
            let (query, besides) = (filter.to_query(), filter.besides(&trail));
            let wanted = |event: &crate::Event| besides.matches(event);
            trail.count_matching(&query, &Besides { wanted: &wanted, told: &besides.told })
        });
        Ok(counted.await.unwrap_or(Err(QueryError::Stopped))?)
    }

    /// Whether events are accepted.
    ///
    /// # Errors
    /// Why they are not.
    pub async fn health_check(&self) -> Result<(), StorageError> {
        self.trail().why_shut().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Retires the events recorded at least `days` ago (1 to 36,500), and returns how many those were. Rotated copies of the
    /// plain file are removed too if every line in them is that old and none is under a legal hold. `path` itself keeps its
    /// lines until it is rotated.
    ///
    /// # Errors
    /// When nothing was retired, or a disk failure interrupted it; the next run finishes what was begun.
    pub async fn retire_older_than(&self, days: u32) -> Result<u64, StorageError> {
        let events = storage::retire(self.trail(), days).await?;
        let opened = self.opened.clone();
        let removed = aside(move || {
            let now = opened.options.clock.now().as_micros();
            let before =
                Timestamp::from_micros(now.saturating_sub(i64::from(days).saturating_mul(DAY_MICROS)));
            rotated::remove(&opened.path, before, &opened.trail)
        });
        removed.await.unwrap_or_else(|| Err(QueryError::Stopped.into()))?;
        Ok(events)
    }

    /// Closes the trail for all who use it in this process, after everything is on disk and in the copy.
    ///
    /// # Errors
    /// When `timeout` comes first; nothing is lost.
    pub async fn close(&self, timeout: Duration) -> Result<(), StorageError> {
        self.trail()
            .close_async(timeout)
            .await
            .map(drop)
            .map_err(|error| StorageError::Other(Box::new(error)))
    }
}

impl AuditStorage for FileAuditStorage {
    fn store<'life0, 'life1, 'async_trait>(
        &'life0 self,
        event: &'life1 AuditEvent,
    ) -> StorageFuture<'async_trait, ()>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.store(event))
    }

    fn query<'life0, 'async_trait>(
        &'life0 self,
        filter: AuditFilter,
    ) -> StorageFuture<'async_trait, Vec<AuditEvent>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.query(filter))
    }

    fn get<'life0, 'life1, 'async_trait>(
        &'life0 self,
        id: &'life1 str,
    ) -> StorageFuture<'async_trait, Option<AuditEvent>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.get(id))
    }

    fn count<'life0, 'async_trait>(&'life0 self, filter: AuditFilter) -> StorageFuture<'async_trait, u64>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.count(filter))
    }

    fn health_check<'life0, 'async_trait>(&'life0 self) -> StorageFuture<'async_trait, ()>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.health_check())
    }

    fn retire_older_than<'life0, 'async_trait>(&'life0 self, days: u32) -> StorageFuture<'async_trait, u64>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.retire_older_than(days))
    }

    fn name(&self) -> &str {
        "file"
    }

    fn trail(&self) -> Option<Trail> {
        Some(self.trail().clone())
    }
}

fn open(path: &Path, policy: RotationPolicy, given: &Options) -> Result<Opened, StorageError> {
    let mut options = given.clone();
    options.segment.roll = match policy {
        RotationPolicy::Never => Roll::Never,
        RotationPolicy::Daily => Roll::Day,
        RotationPolicy::SizeBased(bytes) => Roll::Bytes(bytes),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    if name.is_empty() {
        let what = format!("{} is no file's name", path.display());
        return Err(StorageError::ConfigurationError(what));
    }
    if path.is_dir() {
        let what = format!("{} is a folder: name a file in it, such as audit.log", path.display());
        return Err(StorageError::ConfigurationError(what));
    }
    name.push(".trail");
    let trail = opened_by_path::open(&path.with_file_name(name), options)?;
    trail.deliver_to(Box::new(PlainCopy::new(path.to_owned(), policy, trail.dir())))?;
    Ok(Opened { trail, path: path.to_owned(), policy, options: given.clone() })
}
