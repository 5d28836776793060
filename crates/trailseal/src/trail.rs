//! The trail, as an application uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trailseal_core::{Reader, Stats, load_mask_key, verify};

use crate::aside::aside;
use crate::into_event::IntoEvent;
use crate::query::{Besides, Finder, Finders, Query};
use crate::recording::{Recording, RecordingAll};
use crate::temporary::TemporaryFolder;
use crate::{
    Ack, CloseError, Closed, Event, Filter, HandoffPlace, Index, OnNotice, Once, OpenError, Options, Page,
    Policy, QueryError, ReadError, Receipt, RecordError, RecordOnceError, RecordedEvent, ResourceFilter,
    RotateError, SetPolicyError, Sink, Verdict, VerifyError, VerifyOptions, VerifyingKey, context,
};

/// How long a read waits for what was recorded before it to be on disk.
const READABLE_WITHIN: Duration = Duration::from_secs(10);
/// How long [`Trail::verify`] waits for a signed checkpoint of what was recorded before it.
const SEALED_WITHIN: Duration = Duration::from_secs(10);
const TEMPORARY_HANDOFF_BYTES: u64 = 4 << 20;

/// An application's audit trail: a folder. Cheap to clone; every clone is the same trail, for any thread.
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
/// Close it at the end with [`close`](Trail::close). Dropping the last clone closes it, too, as a safety net. What a process
/// that is killed had accepted is recovered at the next opening.
#[derive(Clone)]
pub struct Trail {
    core: trailseal_core::Trail,
    // After the trail, so that a temporary folder goes when nobody writes to it any more.
    held: Arc<Held>,
    ack: Ack,
}

struct Held {
    /// What is searched: the trail's folder, or that of all slots.
    finders: Finders,
    _temporary: Option<TemporaryFolder>,
}

impl Trail {
    /// Opens the trail in folder `dir` for writing, and makes it if there is none. What an earlier process had accepted is
    /// recovered first.
    ///
    /// # Errors
    /// When another process writes to it, its events are not those that were signed, or the disk fails. Nothing is lost by
    /// it.
    pub fn open(dir: impl AsRef<Path>) -> Result<Trail, OpenError> {
        Trail::open_with(dir, Options::default())
    }

    /// As [`open`](Trail::open), with options: a name, rules, what is masked.
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
        let on_notice = options.on_notice.clone();
        let core = trailseal_core::Trail::open(dir, options)?;
        Ok(Trail::of(core, dir.to_owned(), on_notice, None))
    }

    /// For an application of several processes: opens the first of the trails `dir/0`, `dir/1`, … that no other process
    /// writes to. Queries look into all of them.
    ///
    /// # Errors
    /// As [`open`](Trail::open).
    pub fn open_slot(dir: impl AsRef<Path>, options: Options) -> Result<Trail, OpenError> {
        let dir = dir.as_ref();
        let on_notice = options.on_notice.clone();
        let core = trailseal_core::Trail::open_slot(dir, options)?;
        Ok(Trail::of(core, dir.to_owned(), on_notice, None))
    }

    /// A trail for a test: in a folder of its own, which goes away with the last clone.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn temporary() -> Result<Trail, OpenError> {
        let mut options = Options::default();
        options.handoff.place = HandoffPlace::Memory;
        options.handoff.size_bytes = TEMPORARY_HANDOFF_BYTES;
        options.disk_reserve_bytes = Some(0);
        Trail::temporary_with(options)
    }

    /// As [`temporary`](Trail::temporary), with options: to test rules, for example.
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
        let held = Held { finders, _temporary: temporary };
        Trail { core, held: Arc::new(held), ack: Ack::Accepted }
    }

    /// The same trail, with a level that everything recorded by it reaches at least, whatever the policy says.
    ///
    /// ```
    /// use trailseal::{Ack, Event, Status, Trail};
    ///
    /// let trail = Trail::temporary()?;
    /// let receipt = trail.with_ack(Ack::Durable).record(Event::new("key.rotate"))?;
    /// assert_eq!(receipt.status, Status::Durable);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_ack(&self, ack: Ack) -> Trail {
        Trail { ack, ..self.clone() }
    }

    /// Records an event; returns when the policy says so. In mode async that is about a microsecond: no disk, network or
    /// system call. What the [context](crate::RequestContext) of the request knows is filled in.
    ///
    /// # Errors
    /// The event was *refused*: it will never be recorded, and was counted. Or it is *unconfirmed*: kept, and not seen at its
    /// level in time ([`RecordError::Unconfirmed`]). Where the policy says `allow`, both are receipts.
    pub fn record<'a>(&self, event: impl IntoEvent<'a>) -> Result<Receipt, RecordError> {
        let event = context::fill(event.into_event());
        self.core.record_ack(&event, self.ack)
    }

    /// Records an event unless one with its id is there already for its tenant: so a retry is safe. An event without an id of
    /// its own is simply recorded.
    ///
    /// ```
    /// use trailseal::{Event, Once, Trail};
    ///
    /// let trail = Trail::temporary()?;
    /// let payment = Event::new("order.pay").id("order-42-paid");
    /// assert!(matches!(trail.record_once(&payment)?, Once::New(_)));
    /// assert!(matches!(trail.record_once(&payment)?, Once::Repeated { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// It was refused or is unconfirmed, or the trail could not be read to look the id up.
    pub fn record_once<'a>(&self, event: impl IntoEvent<'a>) -> Result<Once, RecordOnceError> {
        let event = context::fill(event.into_event());
        self.core.record_once(&event, self.ack)
    }

    /// Records events as one: those that the policy keeps get consecutive indexes, or none gets any, also after a crash.
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
    /// All were refused, or all are unconfirmed; then the error has the last one's index.
    pub fn record_all<'a, E: IntoEvent<'a>>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<Receipt>, RecordError> {
        self.core.record_all(&filled(events), self.ack)
    }

    /// As [`record`](Trail::record), for callers that must not block: the event is recorded when this returns, and the future
    /// is ready when it has reached its level. It needs no runtime; dropping it ends the waiting alone. A full buffer refuses
    /// at once.
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
    pub fn record_async<'a>(&self, event: impl IntoEvent<'a>) -> Recording {
        let event = context::fill(event.into_event());
        Recording(match self.core.record_async(&event, self.ack) {
            Ok(recording) => Ok(recording),
            Err(error) => Err(Some(error)),
        })
    }

    /// As [`record_all`](Trail::record_all), for callers that must not block; see [`record_async`](Trail::record_async).
    pub fn record_all_async<'a, E: IntoEvent<'a>>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> RecordingAll {
        let handed_in = self.core.hand_in_all(&filled(events), self.ack, Duration::ZERO);
        RecordingAll(handed_in.map_err(Some).map(|(receipts, newest)| {
            let recording = newest.map(|newest| self.core.confirm(newest));
            (receipts, recording)
        }))
    }

    /// Finds events; see [`Query`]. Sees everything that was recorded before, and is itself recorded, as `trail.read`.
    ///
    /// # Errors
    /// When what was recorded before does not get on disk, or the trail cannot be read.
    pub fn query(&self, query: impl Into<Query>) -> Result<Page, QueryError> {
        let query = query.into();
        let keys = query.personal.then(|| self.personal_keys());
        self.find("query", &query, None, |finder| {
            finder.page(&query.filter, query.order, query.after.as_ref(), query.limit, keys.as_deref())
        })
    }

    /// As [`query`](Trail::query), for callers that must not block: within a Tokio runtime the work is done beside it.
    ///
    /// # Errors
    /// As [`query`](Trail::query).
    pub async fn query_async(&self, query: impl Into<Query>) -> Result<Page, QueryError> {
        let (trail, query) = (self.clone(), query.into());
        aside(move || trail.query(query)).await.unwrap_or(Err(QueryError::Stopped))
    }

    /// How many events a query would find, whatever its limit is.
    ///
    /// # Errors
    /// As [`query`](Trail::query).
    pub fn count(&self, query: impl Into<Query>) -> Result<u64, QueryError> {
        let query = query.into();
        self.find("count", &query, None, |finder| finder.count_all(&query.filter))
    }

    /// The event with this id; of several, the newest.
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
        let begun = Instant::now();
        if !cfg!(trailseal_fault = "query_not_flushed") && !self.core.flush(READABLE_WITHIN) {
            return Err(QueryError::NotDurable { waited: begun.elapsed() });
        }
        self.note_read(what, query, besides);
        self.held.finders.with(work)
    }

    /// Who reads is recorded, too. That it cannot be is counted by the trail, and no reason not to answer.
    fn note_read(&self, what: &str, query: &Query, besides: Option<&Besides<'_>>) {
        let mut told = query.told(|name, value| self.core.shown(name, value).into_owned());
        for (name, value) in besides.iter().flat_map(|besides| besides.told.iter()) {
            told.insert(name.to_owned(), value.clone());
        }
        let mut event = Event::default().detail("by", "library").detail("what", what);
        if !told.is_empty() {
            event = event.detail("query", told);
        }
        let event = context::fill(std::borrow::Cow::Owned(event)).into_owned();
        let _ = self.core.record_own("read", event);
    }

    /// Verifies the whole trail against its newest signed checkpoint, after what was recorded before is under one.
    ///
    /// # Errors
    /// When nothing can be said: a file cannot be read. Damage and tampering are no errors: they are in the verdict.
    pub fn verify(&self) -> Result<Verdict, VerifyError> {
        self.verify_with(&VerifyOptions::default())
    }

    /// As [`verify`](Trail::verify), with what was kept elsewhere: public keys, checkpoints.
    ///
    /// # Errors
    /// As [`verify`](Trail::verify).
    pub fn verify_with(&self, options: &VerifyOptions) -> Result<Verdict, VerifyError> {
        // Where that does not come in time, the verdict counts what is not sealed.
        let _ = self.core.seal(SEALED_WITHIN);
        verify::verify(self.core.folder(), options)
    }

    /// The newest signed checkpoint, to be kept elsewhere: a rollback is found by it.
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

    /// Numbers about it, at this moment.
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
    /// When it cannot be recorded or kept; then the old one stays.
    pub fn set_policy(&self, policy: Policy) -> Result<(), SetPolicyError> {
        self.core.set_policy(policy)
    }

    /// Returns to a policy from the settings: what was set while the trail ran is forgotten.
    ///
    /// # Errors
    /// As [`set_policy`](Trail::set_policy).
    pub fn reset_policy(&self, policy: Policy) -> Result<(), SetPolicyError> {
        self.core.reset_policy(policy)
    }

    /// Makes a new signing key, vouched for by the old one. Returns its public key, in the form of a signed note.
    ///
    /// # Errors
    /// The old key stays in force, or, if the rotation is not sealed yet, until the next checkpoint.
    pub fn rotate_key(&self) -> Result<VerifyingKey, RotateError> {
        self.core.rotate_key()
    }

    /// Delivers every event to a sink, from the sink's cursor on, in a thread of its own until the close.
    ///
    /// # Errors
    /// When the trail is closed, or no thread can be started.
    pub fn deliver_to(&self, sink: Box<dyn Sink>) -> std::io::Result<()> {
        self.core.deliver_to(sink)
    }

    /// Why no event would be taken now; `None` if it would.
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

    /// Waits until everything accepted so far is on disk; `false` if that took longer than `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.core.flush(timeout)
    }

    /// Stops accepting, makes everything accepted durable, delivers it, seals it, and gives the folder free. Blocks.
    ///
    /// # Errors
    /// [`CloseError::Late`] when `timeout` came first; what was accepted stays in the folder and is recovered at the next
    /// opening.
    pub fn close(&self, timeout: Duration) -> Result<Closed, CloseError> {
        self.core.close(timeout)
    }

    /// As [`close`](Trail::close), for callers that must not block.
    ///
    /// # Errors
    /// As [`close`](Trail::close).
    pub async fn close_async(&self, timeout: Duration) -> Result<Closed, CloseError> {
        let trail = self.clone();
        match aside(move || trail.close(timeout)).await {
            Some(closed) => closed,
            // The runtime stops: what nobody waited for is closed when the last clone goes.
            None => Err(CloseError::Late { not_durable: self.not_durable() }),
        }
    }

    #[cfg(feature = "serve")]
    pub(crate) fn served(&self) -> (trailseal_core::Trail, PathBuf) {
        (self.core.clone(), self.held.finders.dir().to_owned())
    }

    pub(crate) fn core(&self) -> &trailseal_core::Trail {
        &self.core
    }

    fn not_durable(&self) -> u64 {
        let stats = self.core.stats();
        stats.accepted.saturating_sub(stats.durable)
    }
}

fn filled<'a, E: IntoEvent<'a>>(events: impl IntoIterator<Item = E>) -> Vec<Event> {
    events.into_iter().map(|event| context::fill(event.into_event()).into_owned()).collect()
}
