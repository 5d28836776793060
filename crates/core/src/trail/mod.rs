//! The trail: open, record, close.
//!
//! [`Trail::record`] reads as steps 2 to 5 of an event's way: complete, serialise, hand off. What follows
//! is done by two threads: the writer (`commit.rs`) and the sealer (`seal/`).

mod backup;
mod batch;
mod circumstances;
mod current;
mod error;
mod flag;
pub(crate) mod folder;
mod in_force;
mod json;
mod known_ids;
mod line_at;
pub(crate) mod lock;
mod making;
pub(crate) mod manifest;
mod network;
mod once;
mod open;
pub(crate) mod options;
mod reader;
mod recording;
mod recover;
mod rotate;
mod scan;
mod secrets;
pub(crate) mod shared;
mod slots;
mod switch;
mod trusted;
mod waiting;
mod witness;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trailseal_event::mask::TenantError;
use trailseal_event::{Category, Event, Index, Object, Outcome, line};

pub use backup::{BackedUp, BackupError, back_up};
pub use batch::{BATCH_WARNINGS_MAX, BatchError, HandedInBatch, Submission, Submitted, Submitter};
pub use error::{CloseError, OpenError, RecordError};
pub use folder::{Folder, SegmentFile};
pub use in_force::RuleCounts;
pub use json::{HandInJsonError, HandedInJson};
pub use known_ids::{Known, KnownIds, KnownIdsError};
pub use line_at::{LineAt, Place};
pub use lock::Holder;
pub use manifest::{Manifest, ManifestError, ManifestKey};
pub use once::{HandedInOnce, Once, RecordOnceError};
pub use options::{
    Anchor, Full, HandoffOptions, HandoffPlace, Notice, OnNotice, Options, Roll, SegmentOptions, Succeeded,
};
pub use reader::{EachLine, ReadError, Reader};
pub use recording::{Ack, HandedIn, Receipt, Status};
pub use recover::Found;
pub use rotate::RotateError;
pub(crate) use scan::may_follow;
pub use secrets::{SecretError, load_mask_key};
pub use slots::{SLOTS_MAX, Slot, slots_in, trails_in};
pub(crate) use switch::record_counts;
pub use switch::{KeptPolicyError, SetPolicyError};
pub use waiting::Recording;
pub use witness::{FindWitnesses, Witness};

use crate::anchor::Anchors;
use crate::counters::Counted;
use crate::deliver::{Delivery, DeliveryStats, Sink};
use crate::handoff::{self, HandoffHeader, Lies};
use crate::histogram::Commits;
use crate::seal::{SealKeys, SealTrouble};
use crate::segment::Compressor;
use circumstances::Circumstances;
use lock::Lock;
use shared::{Shared, Shut};

/// How long `trail.opened` may take to become durable before an opening goes on without it.
const OPENED_TIMEOUT: Duration = Duration::from_secs(10);

/// One writer's ordered, sealed record on disk: a folder. Cheap to clone; every clone is the same trail.
///
/// ```
/// use trailseal_core::{Ack, Options, Trail};
/// use trailseal_event::Event;
/// # let folder = tempfile::tempdir()?;
/// # let dir = folder.path();
/// let trail = Trail::open(dir, Options::default())?;
/// let receipt = trail.record_ack(&Event::new("invoice.approve"), Ack::Durable)?;
/// assert_eq!(receipt.index.map(|index| index.get()), Some(1)); // index 0 is the trail's own `trail.opened`
/// trail.close(std::time::Duration::from_secs(10))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Close it with [`close`](Trail::close). Dropping the last clone closes it too, as a safety net; what a
/// process that is killed had accepted is in the handoff, and recovered at the next opening.
#[derive(Clone)]
pub struct Trail {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    keys: Arc<Mutex<SealKeys>>,
    /// Held while a key is rotated.
    rotating: Mutex<()>,
    /// Held while a policy is put in force, so that events and policies have one order.
    switching: Mutex<()>,
    /// The fork generation in which this handle lives; in a forked child it is another.
    fork: u32,
    handoff_file: Option<PathBuf>,
    /// Taken by the first `close`.
    running: Mutex<Option<Running>>,
    /// Ids that were given, for [`Trail::record_once`]; read when first needed.
    ids: Mutex<once::Ids>,
    found: Found,
    deliveries: Mutex<Vec<Delivery>>,
}

struct Running {
    writer: JoinHandle<()>,
    sealer: JoinHandle<Anchors>,
    compressor: Option<Compressor>,
    /// Held from open to close, and by each thread that writes until it ends.
    lock: Arc<Lock>,
}

/// What a close left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Events in the trail, its own included.
    pub events: u64,
    /// How many of them a signed checkpoint covers. Those that are left are sealed by the next opening.
    pub sealed: u64,
    /// Why not all of them.
    pub seal_trouble: Option<SealTrouble>,
    /// How far each sink is; what it has not got is delivered at the next opening.
    pub deliveries: Vec<DeliveryStats>,
}

/// Numbers about a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Events accepted, ever: the index of the next one.
    pub accepted: u64,
    /// Everything below is on disk.
    pub durable: u64,
    /// Everything below is covered by a signed checkpoint.
    pub sealed: u64,
    /// What is wrong with sealing; `None` while it works.
    pub seal_trouble: Option<SealTrouble>,
    /// Bytes in the handoff that are not yet durable.
    pub handoff_used_bytes: u64,
    /// Bytes of the handoff.
    pub handoff_bytes: u64,
    /// What was counted since the opening.
    pub counted: Counted,
    /// Sizes and times of commits since the opening.
    pub commits: Commits,
    /// How far each sink is.
    pub deliveries: Vec<DeliveryStats>,
}

impl Trail {
    /// Opens the trail in folder `dir` for writing; makes it if there is none.
    ///
    /// What an earlier process had accepted is recovered first. When this returns, `trail.opened` is on
    /// disk.
    ///
    /// # Errors
    /// When another process writes to it, when its events are not those that were signed, when the folder
    /// is damaged or on a network file system, or when the disk fails. Nothing is lost by it.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Trail, OpenError> {
        open::open(dir.as_ref(), options)
    }

    fn started(
        shared: Arc<Shared>,
        keys: Arc<Mutex<SealKeys>>,
        handoff_file: Option<PathBuf>,
        running: Running,
        found: &Found,
        circumstances: &Circumstances,
    ) -> Result<Trail, OpenError> {
        let inner = Inner {
            shared,
            keys,
            rotating: Mutex::new(()),
            switching: Mutex::new(()),
            fork: trailseal_event::fork::generation(),
            handoff_file,
            running: Mutex::new(Some(running)),
            ids: Mutex::default(),
            found: found.clone(),
            deliveries: Mutex::default(),
        };
        let trail = Trail { inner: Arc::new(inner) };
        let failed =
            |what: String| OpenError::Damaged { path: trail.inner.shared.folder.root().to_owned(), what };
        if let Some(succeeded) = trail.inner.shared.options.succeeds.as_ref().filter(|_| found.is_new()) {
            trail
                .record_system("trail.succeeded", succeeded.to_details())
                .map_err(|error| failed(format!("the event trail.succeeded was refused: {error}")))?;
        }
        let mut details = found.to_details();
        circumstances.add_to(&mut details);
        let index = trail
            .record_system("trail.opened", details)
            .map_err(|error| failed(format!("the event trail.opened was refused: {error}")))?;
        trail.inner.shared.wake_writer();
        if trail.inner.shared.progress.wait_durable(index, crate::deadline::after(OPENED_TIMEOUT)) {
            // Where that fails, the next opening says that it does not know of this one.
            let _ = trail.inner.shared.folder.note_opened(index);
        }
        trail.tell(circumstances);
        Ok(trail)
    }

    fn tell(&self, circumstances: &Circumstances) {
        let shared = &self.inner.shared;
        if let Some(differs) = circumstances.differs.as_ref().filter(|differs| !differs.is_empty()) {
            shared.notice(&Notice::OpenedElsewhere { differs: differs.clone() });
        }
        if let Some(seconds) = circumstances.ahead_seconds {
            shared.notice(&Notice::ClockBehind { seconds });
        }
    }

    /// The trail's name.
    pub fn origin(&self) -> &str {
        self.inner.shared.origin.as_str()
    }

    /// Its folder.
    pub fn folder(&self) -> &Folder {
        &self.inner.shared.folder
    }

    /// A view of what is on disk now.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn reader(&self) -> Result<Reader, ReadError> {
        Reader::open(self.folder().root(), self.folder().files().clone())
    }

    /// What this opening found.
    pub fn found(&self) -> &Found {
        &self.inner.found
    }

    /// Numbers about the trail, at this moment.
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.shared;
        let (handoff_used_bytes, handoff_bytes) = shared.handoff.fill();
        let sealed = shared.progress.sealed();
        let durable = shared.progress.durable();
        Stats {
            accepted: shared.handoff.next(),
            durable,
            sealed,
            seal_trouble: shared.sealing.trouble(),
            handoff_used_bytes,
            handoff_bytes,
            counted: shared.counters.read(),
            commits: shared.commits.read(),
            deliveries: self.inner.delivery_stats(),
        }
    }

    /// Delivers every event, from the sink's cursor on, in a thread of its own until the close.
    ///
    /// # Errors
    /// When the trail is closed, or no thread can be started.
    pub fn deliver_to(&self, sink: Box<dyn Sink>) -> std::io::Result<()> {
        self.inner.deliver_to(sink, false)
    }

    /// As [`deliver_to`](Trail::deliver_to), for the one store that [`Ack::Store`] waits for.
    ///
    /// # Errors
    /// As [`deliver_to`](Trail::deliver_to).
    pub fn deliver_to_store(&self, store: Box<dyn Sink>) -> std::io::Result<()> {
        self.inner.deliver_to(store, true)
    }

    /// Everything below is on disk, and may be shown. Cheaper than [`stats`](Trail::stats).
    pub fn durable(&self) -> Index {
        Index::new(self.inner.shared.progress.durable())
    }

    /// Why no event would be taken now; `None` if it would.
    pub fn why_shut(&self) -> Option<RecordError> {
        Some(match self.inner.shared.gate.shut()? {
            Shut::Closed => RecordError::Closed,
            Shut::DiskReserve => RecordError::DiskReserve,
            Shut::FolderMoved => RecordError::FolderMoved,
            Shut::DiskFailing | Shut::WriterDied => RecordError::DiskFailing,
        })
    }

    /// Whether there is a store that [`Ack::Store`] waits for.
    pub fn has_store(&self) -> bool {
        self.inner.shared.has_store()
    }

    /// How long a full buffer is waited for, by the options.
    pub fn room_wait(&self) -> Duration {
        self.inner.room_wait()
    }

    /// Waits until everything accepted so far is on disk; `false` if that took longer than `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        let shared = &self.inner.shared;
        if self.inner.is_forked() {
            return false;
        }
        let Some(last) = shared.handoff.next().checked_sub(1) else { return true };
        shared.wake_writer();
        shared.progress.wait_durable(last, crate::deadline::after(timeout))
    }

    /// Waits until everything accepted so far is covered by a signed checkpoint on disk, without waiting
    /// for the usual interval; `false` if that took longer than `timeout`.
    pub fn seal(&self, timeout: Duration) -> bool {
        let deadline = crate::deadline::after(timeout);
        let shared = &self.inner.shared;
        if self.inner.is_forked() {
            return false;
        }
        let size = shared.handoff.next();
        if !self.flush(timeout) {
            return false;
        }
        shared.seal_wanted.fetch_max(size, Ordering::AcqRel);
        shared.wake_sealer();
        shared.progress.wait_sealed(size, deadline)
    }

    /// Records one of the trail's own events, for whoever lets others at the trail: that it was read, that a token was
    /// made. Its action is `trail.` and `what`; it is of category system, and no caller's event can look like it.
    ///
    /// # Errors
    /// As [`record`](Trail::record).
    pub fn record_own(&self, what: &str, event: Event) -> Result<Index, RecordError> {
        self.inner.refuse_forked()?;
        // Whoever calls this tells of what was done.
        let outcome = event.outcome.or(Some(Outcome::Success));
        let event = Event { action: format!("trail.{what}"), category: Category::System, outcome, ..event };
        let masked = line::masked_own(&self.inner.shared.masker, &event);
        let written = masked.as_ref().map_or(&event, |(masked, _)| masked);
        let index = recording::push_system(&self.inner.shared, written)?;
        self.inner.count_masked(masked.is_some_and(|(_, paths)| !paths.is_empty()).into());
        Ok(Index::new(index))
    }

    /// One of the trail's own events as it would be written: with its secrets masked.
    pub fn as_written(&self, event: &Event) -> Event {
        let masked = line::masked_own(&self.inner.shared.masker, event);
        masked.map_or_else(|| event.clone(), |(masked, _)| masked)
    }

    /// Records one of the trail's own events.
    fn record_system(&self, action: &'static str, details: Object) -> Result<u64, RecordError> {
        self.inner.refuse_forked()?;
        let event = Event {
            action: action.into(),
            category: Category::System,
            outcome: Some(Outcome::Success),
            details,
            ..Event::default()
        };
        recording::push_system(&self.inner.shared, &event)
    }

    /// Whether events of this trail keep a tenant as it is. To be asked before somebody is given one to read or write
    /// for.
    ///
    /// # Errors
    /// When it is too long, or certainly a secret.
    pub fn check_tenant(&self, tenant: &str) -> Result<(), TenantError> {
        self.inner.shared.masker.check_tenant(tenant)
    }

    /// How a filter's value may be told: as events have it, so a value that masking hashes is its hash.
    pub fn shown<'a>(&self, filter: &str, value: &'a str) -> Cow<'a, str> {
        self.inner.shared.masker.shown(filter, value)
    }

    /// Stops accepting, makes everything accepted durable, seals it, and gives the folder free.
    ///
    /// # Errors
    /// [`CloseError::Late`] when `timeout` came first; what was accepted stays in the folder and is
    /// recovered at the next opening, in this process or another.
    pub fn close(&self, timeout: Duration) -> Result<Closed, CloseError> {
        self.inner.close(timeout)
    }
}

impl Inner {
    fn deliver_to(&self, sink: Box<dyn Sink>, is_store: bool) -> std::io::Result<()> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = running.as_ref().filter(|_| self.fork == trailseal_event::fork::generation())
        else {
            return Err(std::io::Error::other("the trail is closed: open it again"));
        };
        let delivery = Delivery::start(self.shared.clone(), sink, is_store, running.lock.clone())?;
        if is_store {
            let thread = Some(delivery.thread().clone());
            *self.shared.store.lock().unwrap_or_else(PoisonError::into_inner) = thread;
        }
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).push(delivery);
        Ok(())
    }

    fn delivery_stats(&self) -> Vec<DeliveryStats> {
        let deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        deliveries.iter().map(|delivery| delivery.stats(&self.shared)).collect()
    }

    /// Lets the deliveries hand over what is durable, until the deadline; what is left stays in the trail.
    fn finish_deliveries(&self, deadline: Instant) {
        let deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        deliveries.iter().for_each(Delivery::finish);
        while Instant::now() < deadline && !deliveries.iter().all(Delivery::is_finished) {
            std::thread::sleep(Duration::from_micros(200));
        }
        deliveries.iter().for_each(Delivery::abandon);
    }

    fn close(&self, timeout: Duration) -> Result<Closed, CloseError> {
        if self.fork != trailseal_event::fork::generation() {
            return Err(CloseError::Forked);
        }
        let deadline = crate::deadline::after(timeout);
        let shared = &self.shared;
        // Held to the end: a second caller must not hear that the trail is closed while it is not.
        let mut guard = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = guard.as_ref() else { return Ok(self.closed()) };
        shared.gate.close(Shut::Closed);
        switch::record_counts(shared);
        let closed = Event {
            action: "trail.closed".into(),
            category: Category::System,
            outcome: Some(Outcome::Success),
            ..Event::default()
        };
        let events = recording::push_closing(shared, &closed);
        shared.writer_may_end.store(true, Ordering::Release);
        shared.wake_writer();
        if !join_until(&running.writer, deadline) {
            return Err(self.late(events));
        }
        // The writer did so already, unless it ended by a panic.
        shared.sealer_may_end.store(true, Ordering::Release);
        shared.wake_sealer();
        if !join_until(&running.sealer, deadline) {
            return Err(self.late(events));
        }
        if let Some(compressor) = &running.compressor {
            compressor.finish();
            // If it does not end in time it keeps the lock until it does: two of them on one segment could
            // rename each other's half-written file.
            while !compressor.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        self.finish_deliveries(deadline);
        let Some(running) = guard.take() else { return Ok(self.closed()) };
        // The threads have ended, so these return at once; a panic of theirs shut the gate by itself.
        let _ = running.writer.join();
        if let Ok(anchors) = running.sealer.join() {
            anchors.finish(&shared.counters, deadline);
        }
        let all_durable = shared.progress.durable() == events;
        if all_durable {
            // Else the next opening would only tell of a handoff that nobody needs.
            let _ = running.lock.note_closed();
            self.remove_handoff();
        }
        drop(running.lock);
        if all_durable {
            Ok(self.closed())
        } else {
            Err(CloseError::Late { not_durable: events - shared.progress.durable() })
        }
    }

    /// Removes the handoff of a short-lived process, which is empty; left over, it would only be replaced at the next
    /// opening.
    fn remove_handoff(&self) {
        let mark = HandoffHeader::trail_mark(self.shared.origin.as_str());
        if self.shared.options.one_shot
            && let Some(file) = &self.handoff_file
            && handoff::lies_at(&*self.shared.options.files, file, mark) == Lies::Own
        {
            let _ = std::fs::remove_file(file);
        }
    }

    fn closed(&self) -> Closed {
        Closed {
            events: self.shared.progress.durable(),
            sealed: self.shared.progress.sealed(),
            seal_trouble: self.shared.sealing.trouble(),
            deliveries: self.delivery_stats(),
        }
    }

    /// The threads go on with their work, and hold the lock until they are done. Another close waits on.
    fn late(&self, events: u64) -> CloseError {
        CloseError::Late { not_durable: events.saturating_sub(self.shared.progress.durable()) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The safety net. A caller who wants to know how it went calls `close`.
        let _ = self.close(Duration::from_secs(5));
        self.deliveries.get_mut().unwrap_or_else(PoisonError::into_inner).iter().for_each(Delivery::abandon);
        if self.fork == trailseal_event::fork::generation()
            && let Some(running) = self.running.get_mut().unwrap_or_else(PoisonError::into_inner)
            && let Some(compressor) = &running.compressor
        {
            // Late: nobody will tell it later, and it holds the lock.
            compressor.finish();
        }
    }
}

fn join_until<T>(thread: &JoinHandle<T>, deadline: Instant) -> bool {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}
