//! A trail that is delivered to a shared store, and read from there.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use trailseal_core::deliver::{DeliveryState, MustEnd};
use trailseal_core::{load_mask_key, with_causes};
use trailseal_event::{Hit, Order};
use trailseal_postgres::{Pool, Problem, Reader, SINK_NAME, StoreError, StoreUrl};

use super::event::AuditEvent;
use super::filter::AuditFilter;
use super::logger;
use super::opened_by_path::{self, Shared};
use super::storage::{AuditStorage, StorageError, StorageFuture};
use crate::blocking_work::aside;
use crate::{Filter, IdFilter, Index, Options, Query, QueryError, RecordedEvent, Trail};

/// So many connections that read stay open, and so many are open at once.
const CONNECTIONS_KEPT: usize = 5;
const CONNECTIONS_MAX: usize = 20;
/// How long a read waits for what this process recorded before it to be in the store.
const STORED_WITHIN: Duration = Duration::from_secs(10);
const ASK_WITHIN: Duration = Duration::from_secs(10);
/// So many matches are fetched at once where not all of them are wanted.
const PAGE: usize = 1_000;

static OPENED: Shared<Opened> = Shared::new();

/// Keeps events in a [shared store](crate::postgres) on PostgreSQL. They go into a trail first, in a folder of this machine, and
/// are delivered from there: so none is lost while the database is down, and recording does not wait for it.
///
/// Queries ask the store. They see the events of all trails that are delivered to it, and everything that this process recorded
/// before them. Cheap to clone. Opening the same folder twice in a process gives the same storage until it is closed.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
/// use trailseal::{AuditFilter, AuditLogger, DatabaseAuditStorage};
///
/// let storage = Arc::new(DatabaseAuditStorage::new("postgres://app@db.example/audit").await?);
/// storage.migrate().await?;
/// let logger = AuditLogger::new(storage.clone());
/// logger.log_auth_attempt("u1", true, None).await?;
/// assert_eq!(storage.query(AuditFilter::new()).await?[0].user_id.as_deref(), Some("u1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DatabaseAuditStorage {
    opened: Arc<Opened>,
}

struct Opened {
    trail: Trail,
    url: StoreUrl,
    pool: Arc<Pool>,
    reads: Mutex<LastReads>,
    /// As they were given.
    options: Options,
}

impl DatabaseAuditStorage {
    /// Opens a trail, or creates it, and delivers it to the store at `url`, whether or not that can be reached now. Its folder is
    /// the first free slot of `TRAILSEAL_DIR` (default `./trail`), so several processes may name the same; or the trail that lies
    /// in that folder itself.
    ///
    /// # Errors
    /// When the URL cannot be used, the trail cannot be opened, or it is open in this process with another store or other options.
    pub async fn new(url: &str) -> Result<Self, StorageError> {
        DatabaseAuditStorage::with_options(url, logger::dir(), &Options::default()).await
    }

    /// Like [`new`](DatabaseAuditStorage::new), with the folder of the trails, and options for them.
    ///
    /// # Errors
    /// As [`new`](DatabaseAuditStorage::new).
    pub async fn with_options(
        url: &str,
        dir: impl AsRef<Path>,
        options: &Options,
    ) -> Result<Self, StorageError> {
        let (url, dir, options) = (url.to_owned(), dir.as_ref().to_owned(), options.clone());
        ended(aside(move || DatabaseAuditStorage::open(&url, &dir, &options)).await)
    }

    /// Like [`with_options`](DatabaseAuditStorage::with_options), for callers that may block.
    pub(super) fn open(url: &str, dir: &Path, options: &Options) -> Result<Self, StorageError> {
        let url = StoreUrl::parse(url).map_err(told)?;
        let dir = opened_by_path::whole_path(dir);
        let is_of_use = |opened: &Opened| !opened.trail.is_closed();
        let opened = OPENED.get_or_open(&dir, is_of_use, || open(&url, &dir, options))?;
        let wrong = |what: String| {
            let dir = dir.display();
            let what = format!("{dir} is open in this process with {what}: use the same everywhere");
            Err(StorageError::ConfigurationError(what))
        };
        if opened.url.shown() != url.shown() {
            return wrong(format!("the store {}", opened.url));
        }
        // Its name alone: a value may be a secret.
        if let Some(name) = opened.options.difference(options) {
            return wrong(format!("another value of the option {name}"));
        }
        Ok(DatabaseAuditStorage { opened })
    }

    /// Brings the store's tables up to date, and makes them if there are none; also opens the connections that are kept for
    /// queries. Delivery makes the tables too: call this to see at the start whether that works.
    ///
    /// # Errors
    /// When the store cannot be reached, a newer program made it, or the user may not make tables.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        let opened = self.opened.clone();
        let migrated = aside(move || {
            trailseal_postgres::migrate(&mut opened.url.connect(&MustEnd::default())?)?;
            opened.pool.fill()
        });
        ended(migrated.await.map(|migrated| migrated.map_err(told)))
    }

    /// The trail that events go through.
    pub fn trail(&self) -> &Trail {
        &self.opened.trail
    }

    /// Records an event. It is in the store a moment later, or when the database is there again.
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
    /// When the store cannot be read, or does not yet have what was recorded before.
    pub async fn query(&self, filter: AuditFilter) -> Result<Vec<AuditEvent>, StorageError> {
        let opened = self.opened.clone();
        ended(aside(move || opened.query(filter)).await)
    }

    /// The event with this id; the newest if there are several.
    ///
    /// # Errors
    /// As [`query`](DatabaseAuditStorage::query).
    pub async fn get(&self, id: &str) -> Result<Option<AuditEvent>, StorageError> {
        let (opened, id) = (self.opened.clone(), id.to_owned());
        ended(aside(move || opened.get(id)).await)
    }

    /// The number of events that match, regardless of the filter's limit and offset.
    ///
    /// # Errors
    /// As [`query`](DatabaseAuditStorage::query).
    pub async fn count(&self, filter: AuditFilter) -> Result<u64, StorageError> {
        let opened = self.opened.clone();
        ended(aside(move || opened.count(filter)).await)
    }

    /// Whether events are accepted, and delivered, and the store answers.
    ///
    /// # Errors
    /// Why not. Events that are accepted are kept, whatever the store does.
    pub async fn health_check(&self) -> Result<(), StorageError> {
        let opened = self.opened.clone();
        ended(aside(move || opened.check()).await)
    }

    /// Closes the trail for all who use it in this process, after everything is on disk and delivered. Queries go on to work.
    ///
    /// # Errors
    /// When `timeout` comes first; nothing is lost, and the next opening delivers the rest.
    pub async fn close(&self, timeout: Duration) -> Result<(), StorageError> {
        let closed = self.trail().close_async(timeout).await;
        closed.map(drop).map_err(|error| StorageError::Other(Box::new(error)))
    }
}

fn open(url: &StoreUrl, dir: &Path, options: &Options) -> Result<Opened, StorageError> {
    let trail = match dir.join("trail.toml").exists() {
        true => Trail::open_with(dir, options.clone())?,
        false => {
            std::fs::create_dir_all(dir)?;
            Trail::open_slot(dir, options.clone())?
        }
    };
    trail.deliver_to_store(url)?;
    let pool = Arc::new(Pool::keeping(url.clone(), CONNECTIONS_KEPT, CONNECTIONS_MAX));
    Ok(Opened { trail, url: url.clone(), pool, reads: Mutex::default(), options: options.clone() })
}

impl Opened {
    fn query(&self, filter: AuditFilter) -> Result<Vec<AuditEvent>, StorageError> {
        let (query, offset, besides) = (filter.to_query(), filter.offset, filter.besides(&self.trail));
        self.prepare("query", &query, Some(&besides.told))?;
        let end = offset.saturating_add(query.limit);
        self.read(|reader| {
            let (mut found, mut passed, mut cursor) = (Vec::new(), 0, None);
            while passed < end {
                let wanted = (end - passed).min(PAGE);
                let page = reader.page(&query.filter, Order::NEWEST, cursor.as_ref(), wanted, None)?;
                for hit in &page.hits {
                    let event = recorded(hit)?;
                    if passed < end && besides.matches(&event.event) {
                        if passed >= offset {
                            found.push(AuditEvent::from(event));
                        }
                        passed += 1;
                    }
                }
                match page.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
            Ok(found)
        })
    }

    fn get(&self, id: String) -> Result<Option<AuditEvent>, StorageError> {
        let filter = Filter { id: vec![IdFilter::Id(id)], ..Filter::default() };
        self.prepare("query", &Query::from(filter.clone()), None)?;
        self.read(|reader| {
            let page = reader.page(&filter, Order::NEWEST, None, 1, None)?;
            page.hits.first().map(|hit| Ok(recorded(hit)?.into())).transpose()
        })
    }

    fn count(&self, filter: AuditFilter) -> Result<u64, StorageError> {
        let (query, besides) = (filter.to_query(), filter.besides(&self.trail));
        self.prepare("count", &query, Some(&besides.told))?;
        self.read(|reader| {
            if besides.is_nothing() {
                return Ok(reader.count(&query.filter)?);
            }
            let (mut count, mut failed) = (0, None);
            reader.each(&query.filter, Order::OLDEST_RECORDED, None, &mut |hit| {
                match recorded(hit) {
                    Ok(event) => count += u64::from(besides.matches(&event.event)),
                    Err(error) => failed = Some(error),
                }
                match failed {
                    None => std::ops::ControlFlow::Continue(()),
                    Some(_) => std::ops::ControlFlow::Break(()),
                }
            })?;
            failed.map_or(Ok(count), |error| Err(Failed::Line(error)))
        })
    }

    fn check(&self) -> Result<(), StorageError> {
        if let Some(error) = self.trail.why_shut() {
            return Err(error.into());
        }
        if let Some(reason) = self.why_not_delivered() {
            return Err(StorageError::ConnectionError(reason));
        }
        let ask = || {
            let mut lent = self.pool.get(ASK_WITHIN, &MustEnd::default())?;
            lent.run("ask", ASK_WITHIN, async |client| client.batch_execute("SELECT 1").await)
        };
        self.again(ask).map_err(told)
    }

    fn why_not_delivered(&self) -> Option<String> {
        let delivery =
            self.trail.stats().deliveries.into_iter().find(|delivery| delivery.name == SINK_NAME)?;
        match delivery.state {
            DeliveryState::Running => None,
            DeliveryState::Failing { reason } | DeliveryState::Stopped { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// What comes before each read: what this process recorded is in the store, and that somebody reads is recorded.
    fn prepare(&self, what: &str, query: &Query, told: Option<&crate::Object>) -> Result<(), StorageError> {
        let accepted = self.trail.stats().accepted;
        let size = Index::new(self.reads().without(accepted));
        let is_stored = cfg!(trailseal_fault = "database_read_early")
            || self.trail.core().flush_to_store(size, STORED_WITHIN).map_err(QueryError::from)?;
        if !is_stored {
            let why =
                self.why_not_delivered().unwrap_or_else(|| "delivery to the store is behind".to_owned());
            let what =
                format!("what was recorded before is not in the store yet, and kept in the trail: {why}");
            return Err(StorageError::ConnectionError(what));
        }
        let mut reads = self.reads();
        if let Some(index) = self.trail.note_read(what, query, told) {
            reads.add(index.get());
        }
        Ok(())
    }

    fn reads(&self) -> MutexGuard<'_, LastReads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, work: impl Fn(&Reader) -> Result<T, Failed>) -> Result<T, StorageError> {
        let key = load_mask_key(self.trail.core().folder()).ok().flatten();
        let reader = Reader::new(self.pool.clone()).with_mask_keys(key.into_iter().collect());
        let read = || match work(&reader) {
            Ok(done) => Ok(Ok(done)),
            Err(Failed::Store(error)) => Err(error),
            Err(Failed::Line(error)) => Ok(Err(error)),
        };
        self.again(read).map_err(told)?
    }

    /// Does it once more if the connection had ended while nobody used it.
    fn again<T>(&self, work: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        match work() {
            Err(error @ StoreError::Postgres { .. }) if error.problem() == Problem::Unreachable => {
                self.pool.forget_idle();
                work()
            }
            other => other,
        }
    }
}

/// The events that tell of reads and are the newest of all: no reader waits for those of others.
#[derive(Default)]
struct LastReads {
    first: u64,
    end: u64,
}

impl LastReads {
    fn add(&mut self, index: u64) {
        if index != self.end {
            self.first = index;
        }
        self.end = index + 1;
    }

    /// How many of `accepted` events come before these reads. `accepted` may have been counted before the newest of these reads was
    /// added.
    fn without(&self, accepted: u64) -> u64 {
        if (self.first..=self.end).contains(&accepted) { self.first } else { accepted }
    }
}

/// Why a read failed.
enum Failed {
    Store(StoreError),
    Line(StorageError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Failed::Store(error)
    }
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        Failed::Line(error)
    }
}

fn recorded(hit: &Hit) -> Result<RecordedEvent, StorageError> {
    let line = hit.exact_line();
    let recorded = crate::Event::from_line(line).map_err(|_| {
        let (origin, index) = (&hit.origin, hit.index);
        let what = format!(
            "the line {origin}#{index} in the store is no event: `trailseal verify --store` says more"
        );
        StorageError::DatabaseError(what)
    })?;
    Ok(RecordedEvent::of_line(hit.origin.clone(), recorded, line, None))
}

/// What came of work beside the runtime.
fn ended<T>(done: Option<Result<T, StorageError>>) -> Result<T, StorageError> {
    done.unwrap_or_else(|| Err(QueryError::Stopped.into()))
}

fn told(error: StoreError) -> StorageError {
    let text = with_causes(&error);
    match error.problem() {
        Problem::Settings => StorageError::ConfigurationError(text),
        Problem::Unreachable | Problem::Login | Problem::Connections => StorageError::ConnectionError(text),
        _ => StorageError::DatabaseError(text),
    }
}

impl AuditStorage for DatabaseAuditStorage {
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

    fn name(&self) -> &str {
        "database"
    }

    fn trail(&self) -> Option<Trail> {
        Some(self.trail().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::LastReads;

    #[test]
    fn only_what_is_no_read_is_waited_for() {
        let mut reads = LastReads::default();
        assert_eq!(reads.without(0), 0);
        assert_eq!(reads.without(3), 3);
        reads.add(3);
        reads.add(4);
        reads.add(5);
        assert_eq!(reads.without(6), 3);
        // Counted before another thread had noted its own read.
        assert_eq!(reads.without(5), 3);
        assert_eq!(reads.without(2), 2);
        assert_eq!(reads.without(7), 7, "something else was recorded after them");
        reads.add(7);
        assert_eq!(reads.without(8), 7);
        assert_eq!(reads.without(5), 5);
    }
}
