//! The trail, as an application uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::{Reader, Stats, load_mask_key, verify};

use crate::blocking_work::aside;
use crate::into_event::IntoEvent;
use crate::query::{Besides, Finder, Finders, Query};
use crate::receipt_futures::{ReceiptFuture, ReceiptsFuture};
use crate::temporary::TemporaryFolder;
use crate::{
    CloseError, Closed, Event, Filter, FlushError, HandoffPlace, Index, Object, OnNotice, OpenError, Options,
    Page, Policy, QueryError, ReadError, Receipt, RecordError, RecordOptions, RecordedEvent, ResourceFilter,
    RotateError, SealError, SetPolicyError, Sink, Verdict, VerifyError, VerifyOptions, VerifyingKey, context,
};

/// How long a read waits for what was recorded before it to be on disk.
const READABLE_WITHIN: Duration = Duration::from_secs(10);
/// How long [`Trail::verify`] waits for a signed checkpoint of what was recorded before it.
const SEALED_WITHIN: Duration = Duration::from_secs(10);
const TEMPORARY_HANDOFF_BYTES: u64 = 4 << 20;

/// An application's audit trail: a folder. Cheap to clone; all clones are the same trail and can be used from any thread.
///
/// ```
/// use trailseal::{Event, Outcome, Query, Trail};
/// # let folder = tempfile::tempdir()?;
/// # let dir = folder.path().join("trail");
/// let trail = Trail::open(&dir)?;
/// trail.record(Event::new("invoice.approve").actor("u1").resource("invoice", "42").outcome(Outcome::Success))?;
///
/// let page = trail.query(Query::new().actor("u1"))?;
/// assert_eq!(page.events[0].event.action, "invoice.approve");
/// assert!(trail.verify()?.ok);
/// trail.close(std::time::Duration::from_secs(10))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Close it at the end with [`close`](Trail::close). As a safety net, dropping the last clone closes it too. If the process is
/// killed, the next opening recovers what it had accepted.
#[derive(Clone)]
pub struct Trail {
    core: trailseal_core::Trail,
    // After the trail, so that a temporary folder goes when nobody writes to it any more.
    held: Arc<Held>,
    pub(crate) options: RecordOptions,
}

struct Held {
    /// What is searched: the trail's folder, or that of all slots.
    finders: Finders,
    /// How it was opened, if it is one of several slots.
    #[cfg(feature = "postgres")]
    slot_options: Option<Options>,
    /// Delivers the slots that nobody holds.
    #[cfg(feature = "postgres")]
    abandoned: std::sync::Mutex<Option<trailseal_postgres::AbandonedSlots>>,
    _temporary: Option<TemporaryFolder>,
}

impl Trail {
    /// Opens the trail in the folder `dir` for writing, and creates it if there is none. First recovers what an earlier process
    /// had accepted.
    ///
    /// # Errors
    /// When another process writes to it, its events are not those that were signed, or the disk fails. A failed open loses
    /// nothing.
    pub fn open(dir: impl AsRef<Path>) -> Result<Trail, OpenError> {
        Trail::open_with(dir, Options::default())
    }

    /// Like [`open`](Trail::open), with options such as a name, rules and masking.
    ///
    /// ```
    /// use trailseal::{Options, Trail};
    /// # let folder = tempfile::tempdir()?;
    /// # let dir = folder.path();
    /// let mut options = Options::default();
    /// options.origin = Some("example.com/billing/node-1".into());
    /// assert_eq!(Trail::open_with(dir, options)?.origin(), "example.com/billing/node-1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`open`](Trail::open).
    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Trail, OpenError> {
        let dir = dir.as_ref();
        let options = with_witnesses(options);
        let on_notice = options.on_notice.clone();
        let core = trailseal_core::Trail::open(dir, options)?;
        Ok(Trail::of(core, dir.to_owned(), on_notice, None))
    }

    /// For an application with several processes: opens the first of the trails `dir/0`, `dir/1`, … that no other process
    /// writes to. Queries search all of them.
    ///
    /// # Errors
    /// As [`open`](Trail::open).
    pub fn open_slot(dir: impl AsRef<Path>, options: Options) -> Result<Trail, OpenError> {
        let dir = dir.as_ref();
        let options = with_witnesses(options);
        let on_notice = options.on_notice.clone();
        let core = trailseal_core::Trail::open_slot(dir, options.clone())?;
        Ok(Trail::of(core, dir.to_owned(), on_notice, None).with_slot_options(options))
    }

    /// A trail for a test, in a temporary folder that is deleted with the last clone.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn temporary() -> Result<Trail, OpenError> {
        let mut options = Options::default();
        options.handoff.place = HandoffPlace::Memory;
        options.handoff.size_bytes = TEMPORARY_HANDOFF_BYTES;
        options.disk_reserve_bytes = Some(0);
        Trail::temporary_with(options)
    }

    /// Like [`temporary`](Trail::temporary), with options, for example to test rules.
    ///
    /// # Errors
    /// As [`temporary`](Trail::temporary), and as [`open`](Trail::open).
    pub fn temporary_with(options: Options) -> Result<Trail, OpenError> {
        let folder = TemporaryFolder::make()?;
        let dir = folder.path().to_owned();
        let on_notice = options.on_notice.clone();
        let core = trailseal_core::Trail::open(&dir, options)?;
        Ok(Trail::of(core, dir, on_notice, Some(folder)))
    }

    fn of(
        core: trailseal_core::Trail,
        dir: PathBuf,
        on_notice: Option<OnNotice>,
        temporary: Option<TemporaryFolder>,
    ) -> Trail {
        #[cfg(feature = "index")]
        crate::index::attach(&core, on_notice.as_ref());
        #[cfg(not(feature = "index"))]
        drop(on_notice);
        let finders = Finders::new(dir, core.folder().files().clone());
        let held = Held {
            finders,
            #[cfg(feature = "postgres")]
            slot_options: None,
            #[cfg(feature = "postgres")]
            abandoned: std::sync::Mutex::default(),
            _temporary: temporary,
        };
        Trail { core, held: Arc::new(held), options: RecordOptions::new() }
    }

    #[cfg(feature = "postgres")]
    fn with_slot_options(mut self, options: Options) -> Trail {
        // Nobody else has it yet.
        if let Some(held) = Arc::get_mut(&mut self.held) {
            held.slot_options = Some(options);
        }
        self
    }

    #[cfg(not(feature = "postgres"))]
    fn with_slot_options(self, _options: Options) -> Trail {
        self
    }

    /// The same trail, with options for everything that is recorded through it: an [`Ack`](crate::Ack), which is the level
    /// that events must reach at least, or [`RecordOptions`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use trailseal::{Ack, Event, RecordOptions, Status, Trail};
    ///
    /// let trail = Trail::temporary()?;
    /// let receipt = trail.with(Ack::Durable).record(Event::new("key.rotate"))?;
    /// assert_eq!(receipt.status, Status::Durable);
    ///
    /// // An event with an id of its own is recorded once, so a retry is safe.
    /// let once = trail.with(RecordOptions::new().ack(Ack::Durable).timeout(Duration::from_secs(2)).once());
    /// let payment = Event::new("order.pay").id("order-42-paid");
    /// assert_eq!(once.record(&payment)?.status, Status::Durable);
    /// assert_eq!(once.record(&payment)?.status, Status::Repeated { retired: false });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with(&self, options: impl Into<RecordOptions>) -> Trail {
        Trail { options: options.into(), ..self.clone() }
    }

    /// Records an event; returns when the policy says so. In mode async that takes about a microsecond: no disk, network or
    /// system call. Fields that the event lacks come from the request's [context](crate::RequestContext).
    ///
    /// # Errors
    /// The event was *refused*: it will never be recorded, and was counted. Or it is *unconfirmed*: kept, but it did not reach
    /// its level in time ([`RecordError::Unconfirmed`]). If the policy says `allow`, both are receipts instead. With
    /// [`RecordOptions::once`] also if another event has its id, or if the trail cannot be read to look the id up.
    pub fn record<'a>(&self, event: impl IntoEvent<'a>) -> Result<Receipt, RecordError> {
        let mut event = event.into_event();
        context::fill(&mut event);
        self.core.with(self.options).record(&*event)
    }

    /// Records several events as one: those that the policy keeps get consecutive indexes, or none gets any. That also holds
    /// after a crash.
    ///
    /// ```
    /// use trailseal::{Event, Trail};
    ///
    /// let trail = Trail::temporary()?;
    /// let receipts = trail.record_all([Event::new("order.pay"), Event::new("stock.take")])?;
    /// assert_eq!(receipts.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// All were refused, or all are unconfirmed; in that case the error has the last one's index.
    pub fn record_all<'a, E: IntoEvent<'a>>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<Receipt>, RecordError> {
        self.core.with(self.options).record_all(&filled(events))
    }

    /// Like [`record`](Trail::record), for callers that must not block. The event is recorded when this returns, and the future
    /// is ready when it has reached its level. The future needs no runtime; dropping it only ends the waiting. A full buffer
    /// refuses at once. [`RecordOptions::once`] may still block, since looking up an id may read the trail.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use trailseal::{Event, Trail};
    ///
    /// let trail = Trail::temporary()?;
    /// trail.record_async(Event::new("invoice.approve")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn record_async<'a>(&self, event: impl IntoEvent<'a>) -> ReceiptFuture {
        let mut event = event.into_event();
        context::fill(&mut event);
        ReceiptFuture::of(self.core.with(self.options).record_async(&*event))
    }

    /// Like [`record_all`](Trail::record_all), for callers that must not block; see [`record_async`](Trail::record_async).
    pub fn record_all_async<'a, E: IntoEvent<'a>>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> ReceiptsFuture {
        ReceiptsFuture::of(self.core.with(self.options).record_all_async(&filled(events)))
    }

    /// Finds events; see [`Query`]. It sees everything recorded before it, and is itself recorded as `trail.read`.
    ///
    /// # Errors
    /// When earlier events do not reach the disk in time, or the trail cannot be read.
    pub fn query(&self, query: impl Into<Query>) -> Result<Page, QueryError> {
        let query = query.into();
        let keys = query.personal.then(|| self.personal_keys());
        self.find("query", &query, None, |finder| {
            finder.page(&query.filter, query.order, query.after.as_ref(), query.limit, keys.as_deref())
        })
    }

    /// Like [`query`](Trail::query), for callers that must not block: within a Tokio runtime, a blocking thread does the work.
    ///
    /// # Errors
    /// As [`query`](Trail::query).
    pub async fn query_async(&self, query: impl Into<Query>) -> Result<Page, QueryError> {
        let (trail, query) = (self.clone(), query.into());
        aside(move || trail.query(query)).await.unwrap_or(Err(QueryError::Stopped))
    }

    /// The number of events that match a query, regardless of its limit.
    ///
    /// # Errors
    /// As [`query`](Trail::query).
    pub fn count(&self, query: impl Into<Query>) -> Result<u64, QueryError> {
        let query = query.into();
        self.find("count", &query, None, |finder| finder.count_all(&query.filter))
    }

    /// The event with this id, of any tenant; the newest if there are several. For users who may see one tenant only, use
    /// [`Query::tenant`] with [`Query::id`].
    ///
    /// # Errors
    /// As [`query`](Trail::query).
    pub fn get(&self, id: &str) -> Result<Option<RecordedEvent>, QueryError> {
        Ok(self.query(Query::new().id(id).limit(1))?.events.into_iter().next())
    }

    /// Events that a query finds and that are wanted, too, from the one at `offset` on.
    pub(crate) fn matching(
        &self,
        query: &Query,
        besides: &Besides<'_>,
        offset: usize,
    ) -> Result<Vec<RecordedEvent>, QueryError> {
        self.find("query", query, Some(besides), |finder| {
            finder.matching(&query.filter, query.order, besides.wanted, offset, query.limit)
        })
    }

    pub(crate) fn count_matching(&self, query: &Query, besides: &Besides<'_>) -> Result<u64, QueryError> {
        self.find("count", query, Some(besides), |finder| finder.count(&query.filter, besides.wanted))
    }

    fn find<T>(
        &self,
        what: &str,
        query: &Query,
        besides: Option<&Besides<'_>>,
        work: impl FnOnce(&mut Finder) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        // Also where no event is taken any more: what was taken before may not be on disk. After a close in time all of it is.
        if !cfg!(trailseal_fault = "query_not_flushed") {
            self.core.flush(READABLE_WITHIN)?;
        }
        self.note_read(what, query, besides.map(|besides| besides.told));
        self.held.finders.with(work)
    }

    /// Who reads is recorded, too. That it cannot be is counted by the trail, and no reason not to answer.
    pub(crate) fn note_read(&self, what: &str, query: &Query, besides: Option<&Object>) -> Option<Index> {
        let mut told = query.told(|name, value| self.core.shown(name, value).into_owned());
        for (name, value) in besides.iter().flat_map(|besides| besides.iter()) {
            told.insert(name.to_owned(), value.clone());
        }
        let mut event = Event::default().detail("by", "library").detail("what", what);
        if !told.is_empty() {
            event = event.detail("query", told);
        }
        let mut event = std::borrow::Cow::Owned(event);
        context::fill(&mut event);
        self.core.record_own("read", event.into_owned()).ok()
    }

    /// Verifies the whole trail against its newest signed checkpoint. Waits until a checkpoint covers everything recorded before.
    ///
    /// # Errors
    /// When the trail could not be checked because a file cannot be read. Damage and tampering are not errors but part of the
    /// verdict.
    pub fn verify(&self) -> Result<Verdict, VerifyError> {
        self.verify_with(&VerifyOptions::default())
    }

    /// Like [`verify`](Trail::verify), with public keys and checkpoints that were kept elsewhere.
    ///
    /// # Errors
    /// As [`verify`](Trail::verify).
    pub fn verify_with(&self, options: &VerifyOptions) -> Result<Verdict, VerifyError> {
        // Where that does not come in time, the verdict counts what is not sealed.
        let _ = self.core.seal(SEALED_WITHIN);
        verify::verify(self.core.folder(), options)
    }

    /// The newest signed checkpoint. Keep it elsewhere to detect a rollback later.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn checkpoint(&self) -> Result<String, ReadError> {
        let _ = self.core.seal(SEALED_WITHIN);
        Ok(self.core.reader()?.checkpoint()?.0)
    }

    /// The proof that the event at `index` is in the trail: a C2SP `.tlog-proof`, with its line, which
    /// `trailseal verify --proof` checks without the trail.
    ///
    /// ```
    /// use trailseal::{Event, Trail};
    ///
    /// let trail = Trail::temporary()?;
    /// let receipt = trail.record(Event::new("invoice.approve"))?;
    /// let proof = trail.prove(receipt.index.unwrap())?;
    /// assert!(proof.starts_with("c2sp.org/tlog-proof@v1\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When it is not sealed in time, was changed, or cannot be read.
    pub fn prove(&self, index: Index) -> Result<String, ReadError> {
        let _ = self.core.seal(SEALED_WITHIN);
        let mut reader: Reader = self.core.reader()?;
        Ok(reader.prove(index)?.to_text())
    }

    /// Its name.
    pub fn origin(&self) -> &str {
        self.core.origin()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.core.folder().root()
    }

    /// Statistics about it, at this moment.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        self.core.policy()
    }

    /// Puts a policy in force, and records the change.
    ///
    /// # Errors
    /// When it cannot be recorded or saved; the old one then stays in force.
    pub fn set_policy(&self, policy: Policy) -> Result<(), SetPolicyError> {
        self.core.set_policy(policy)
    }

    /// Returns to a policy from the settings, and forgets the one that was set at run time.
    ///
    /// # Errors
    /// As [`set_policy`](Trail::set_policy).
    pub fn reset_policy(&self, policy: Policy) -> Result<(), SetPolicyError> {
        self.core.reset_policy(policy)
    }

    /// Makes a new signing key, vouched for by the old one. Returns the new public key in signed-note form.
    ///
    /// # Errors
    /// The old key stays in force; if only the checkpoint is missing, until the next checkpoint.
    pub fn rotate_key(&self) -> Result<VerifyingKey, RotateError> {
        self.core.rotate_key()
    }

    /// Delivers every event to a sink, starting at the sink's cursor, on a separate thread until the trail is closed.
    ///
    /// # Errors
    /// When the trail is closed, or no thread can be started.
    pub fn deliver_to(&self, sink: Box<dyn Sink>) -> std::io::Result<()> {
        self.core.deliver_to(sink)
    }

    /// Delivers every event to a shared store, each once, on a separate thread until the trail is closed. From then on
    /// [`Ack::Store`](crate::Ack::Store) waits for it. A store that cannot be reached is tried again and again:
    /// [`stats`](Trail::stats) says why, and so does `on_notice` of the [`Options`].
    ///
    /// With [slots](Trail::open_slot), it also delivers what processes left in slots that nobody has held for a minute.
    ///
    /// # Errors
    /// When the trail is closed, or no thread can be started.
    #[cfg(feature = "postgres")]
    pub fn deliver_to_store(&self, url: &crate::postgres::StoreUrl) -> std::io::Result<()> {
        let sink = trailseal_postgres::StoreSink::new(url.clone(), self.origin());
        self.core.deliver_to_store(Box::new(sink))?;
        if let Some(options) = &self.held.slot_options {
            let times = trailseal_postgres::AbandonedTimes::default();
            let dir = self.held.finders.dir().to_owned();
            let started =
                trailseal_postgres::AbandonedSlots::start(dir, options.clone(), url.clone(), times)?;
            *self.held.abandoned.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(started);
        }
        Ok(())
    }

    /// Completes and masks an event, to be written into the outbox in the application's own transaction: it commits, or is rolled
    /// back, with the change that it tells of. Fields that it lacks come from the request's [context](crate::RequestContext).
    /// Nothing is recorded here; a relay does that after the commit.
    ///
    /// # Errors
    /// When it has no action, or the trail was opened before a fork.
    #[cfg(feature = "outbox")]
    pub fn for_outbox<'a>(
        &self,
        event: impl IntoEvent<'a>,
    ) -> Result<crate::outbox::OutboxEvent, RecordError> {
        let mut event = event.into_event();
        context::fill(&mut event);
        crate::outbox::OutboxEvent::of(&self.core, &event)
    }

    /// Takes events over from the outbox in a database, each once, on a separate thread until the relay is stopped. Several
    /// trails may do so at once. A database that cannot be reached is tried again and again: [`RelayStats`] says why, and so does
    /// `on_notice` of the [`Options`].
    ///
    /// [`RelayStats`]: crate::outbox::RelayStats
    ///
    /// # Errors
    /// When no thread can be started.
    #[cfg(feature = "postgres")]
    pub fn relay_outbox(&self, url: &crate::postgres::StoreUrl) -> std::io::Result<crate::outbox::Relay> {
        crate::outbox::Relay::start(self.core.clone(), url.clone())
    }

    /// Why no event would be accepted now; `None` if it would.
    pub fn why_shut(&self) -> Option<RecordError> {
        self.core.why_shut()
    }

    /// What may stand for the id of a resource in the trail's lines: itself, its hash, its shortened form.
    pub(crate) fn stored_ids(&self, id: &str) -> Vec<String> {
        let wanted = ResourceFilter { kind: String::new(), id: Some(id.to_owned()) };
        let filter = Filter { resource: vec![wanted], ..Filter::default() };
        let key = load_mask_key(self.core.folder()).ok().flatten();
        filter.as_stored(key.as_ref()).resource.into_iter().filter_map(|resource| resource.id).collect()
    }

    /// The id of a resource as it may be recorded.
    pub(crate) fn shown_id(&self, id: &str) -> String {
        // Without a type.
        let shown = self.core.shown("resource", &format!("/{id}")).into_owned();
        shown.strip_prefix('/').map(str::to_owned).unwrap_or(shown)
    }

    /// What an event's `error` is in the trail's lines: with its secrets masked.
    pub(crate) fn stored_error(&self, error: &str) -> String {
        let written = self.core.as_written(&Event::new("trail.read").error(error));
        written.error.unwrap_or_default()
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.why_shut(), Some(RecordError::Closed))
    }

    /// Waits until everything accepted so far is on disk, at most for `timeout`.
    ///
    /// # Errors
    /// When it is not, and why: the time was too short, or the disk does not accept lines.
    pub fn flush(&self, timeout: Duration) -> Result<(), FlushError> {
        self.core.flush(timeout)
    }

    /// Waits until everything accepted so far is covered by a signed checkpoint, without waiting for the usual interval;
    /// at most for `timeout`.
    ///
    /// # Errors
    /// When it is not, and why.
    pub fn seal(&self, timeout: Duration) -> Result<(), SealError> {
        self.core.seal(timeout)
    }

    /// Stops accepting, makes everything accepted durable, delivers it, seals it, and releases the folder. Blocks. Call it
    /// after the last task that records has ended: what is recorded later is refused.
    ///
    /// # Errors
    /// [`CloseError::Late`] when `timeout` came first; what was accepted stays in the folder and is recovered at the next
    /// opening, unless the handoff is in plain memory.
    pub fn close(&self, timeout: Duration) -> Result<Closed, CloseError> {
        #[cfg(feature = "postgres")]
        if !self.core.is_forked() {
            drop(self.held.abandoned.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        }
        self.core.close(timeout)
    }

    /// Like [`close`](Trail::close), for callers that must not block.
    ///
    /// # Errors
    /// As [`close`](Trail::close).
    pub async fn close_async(&self, timeout: Duration) -> Result<Closed, CloseError> {
        let trail = self.clone();
        match aside(move || trail.close(timeout)).await {
            Some(closed) => closed,
            // The runtime stops: what nobody waited for is closed when the last clone goes.
            None => Err(self.core.late()),
        }
    }

    #[cfg(feature = "serve")]
    pub(crate) fn served(&self) -> (trailseal_core::Trail, PathBuf) {
        (self.core.clone(), self.held.finders.dir().to_owned())
    }

    pub(crate) fn core(&self) -> &trailseal_core::Trail {
        &self.core
    }
}

/// Lets an opening ask the index how many events were durable.
#[cfg(feature = "index")]
fn with_witnesses(mut options: Options) -> Options {
    options.witnesses.get_or_insert_with(|| Arc::new(trailseal_index::witnesses));
    options
}

#[cfg(not(feature = "index"))]
fn with_witnesses(options: Options) -> Options {
    options
}

fn filled<'a, E: IntoEvent<'a>>(events: impl IntoIterator<Item = E>) -> Vec<Event> {
    let filled = |event: E| {
        let mut event = event.into_event();
        context::fill(&mut event);
        event.into_owned()
    };
    events.into_iter().map(filled).collect()
}
