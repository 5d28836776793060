//! The thread of one sink: reads durable lines from its cursor on and hands them over, without end.
//!
//! Nothing here can lose an event: the trail keeps it, and the cursor is in the sink's own transaction. A failing sink
//! is retried with growing pauses. A sink that holds other events than the trail is left alone and reported:
//! overwriting a store does not repair a trail that was rolled back or forked.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use trailseal_event::Index;
use trailseal_event::line::parse_front;
use trailseal_tlog::{Hash, leaf_hash};

use super::checkpoints::Checkpoints;
use super::halt::{Halt, failed, unread};
use super::lines::{Follower, Lines};
use super::sink::{Batch, BatchLine, Dropped, MustEnd, Sink};
use crate::log_state::Log;
use crate::notice::Notice;
use crate::tree::SignedLeaves;

/// A batch holds at most about this many bytes of lines.
const BATCH_BYTES_MAX: usize = 4 << 20;
const POLL_BUSY: Duration = Duration::from_millis(20);
const POLL_IDLE: Duration = Duration::from_millis(100);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A sink that has to wait before it drops what is retired is asked again this often.
const DROP_EVERY: Duration = Duration::from_millis(100);

/// The state of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryState {
    /// It delivers, or waits for more.
    Running,
    /// The sink fails and is retried.
    Failing {
        /// The error.
        reason: String,
    },
    /// It will not continue by itself.
    Stopped {
        /// The first event in question.
        at: Index,
        /// Why.
        reason: String,
    },
}

/// The progress of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryStats {
    /// The sink's name.
    pub name: String,
    /// Everything below is stored.
    pub cursor: Index,
    /// Durable events that are not stored yet.
    pub lag_events: u64,
    /// How long ago the oldest of them was recorded; zero if there is none.
    pub lag: Duration,
    /// How often it failed since the opening.
    pub failures: u64,
    /// What it is doing.
    pub state: DeliveryState,
}

/// What a trail knows about a running delivery.
pub(crate) struct Delivery {
    pub(crate) status: Arc<Status>,
    thread: JoinHandle<()>,
}

/// Shared with the delivery's thread.
pub(crate) struct Status {
    name: String,
    needs_all: bool,
    answers_queries: bool,
    /// Whether it lets events gather before it delivers them.
    gathers: bool,
    /// Whether its cursor is the trail's `stored` mark.
    is_store: AtomicBool,
    cursor: AtomicU64,
    /// What the sink does not have yet was recorded then or later, in microseconds.
    waiting_since: AtomicI64,
    failures: AtomicU64,
    /// How many retirements had ended when the sink last dropped what is gone; `u64::MAX` before it ever did.
    dropped: AtomicU64,
    state: Mutex<DeliveryState>,
    /// Set when everything is durable: it ends once it has delivered that.
    may_end: AtomicBool,
    /// Set when nobody waits any more: it ends after the current batch.
    must_end: MustEnd,
}

impl Delivery {
    /// Starts the thread, which keeps `lock` until it ends. A store's cursor is the trail's `stored` mark.
    pub(crate) fn start<L: Send + Sync + 'static>(
        log: Arc<Log>,
        mut sink: Box<dyn Sink>,
        is_store: bool,
        lock: Arc<L>,
    ) -> std::io::Result<Self> {
        let status = Arc::new(Status {
            name: sink.name().to_owned(),
            needs_all: sink.needs_all(),
            answers_queries: sink.answers_queries(),
            gathers: sink.gathers().events > 0,
            is_store: is_store.into(),
            cursor: 0.into(),
            waiting_since: log.clock.now().as_micros().into(),
            failures: 0.into(),
            dropped: u64::MAX.into(),
            state: Mutex::new(DeliveryState::Running),
            may_end: false.into(),
            must_end: MustEnd::default(),
        });
        sink.begin(&status.must_end);
        let runner =
            Runner { log, sink, status: status.clone(), lines: Lines::default(), has_connected: false };
        let thread =
            std::thread::Builder::new().name(format!("trailseal-{}", status.name)).spawn(move || {
                let _held = lock;
                runner.run();
            })?;
        Ok(Delivery { status, thread })
    }

    pub(crate) fn thread(&self) -> &Thread {
        self.thread.thread()
    }

    /// Lets it deliver what there is and then end.
    pub(crate) fn finish(&self) {
        self.status.may_end.store(true, Ordering::Release);
        self.thread().unpark();
    }

    /// Lets it end after the current batch.
    pub(crate) fn abandon(&self) {
        self.status.must_end.set();
        self.finish();
    }

    /// Another one is the store from now on.
    pub(crate) fn is_no_store(&self) {
        self.status.is_store.store(false, Ordering::Release);
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// The sink's name and cursor, if nothing from there on may be retired. The cursor is 0 until it has connected.
    pub(crate) fn needed_from(&self) -> Option<(String, Index)> {
        let Status { name, needs_all, cursor, .. } = &*self.status;
        needs_all.then(|| (name.clone(), Index::new(cursor.load(Ordering::Acquire))))
    }

    /// Whether the sink has dropped what so many retirements have taken, as far as that is waited for: a store may be down
    /// for days.
    pub(crate) fn has_dropped(&self, retirements: u64) -> bool {
        let Status { dropped, needs_all, answers_queries, state, .. } = &*self.status;
        let dropped = dropped.load(Ordering::Acquire);
        let is_down = || *state.lock().unwrap_or_else(PoisonError::into_inner) != DeliveryState::Running;
        !answers_queries
            || self.is_finished()
            || (dropped != u64::MAX && dropped >= retirements)
            || (*needs_all && is_down())
    }

    /// Whether nothing below `durable` gathers for the sink: it has all of that, or lets nothing gather, or is not one that
    /// soon will have it.
    pub(crate) fn has_gathered(&self, durable: u64) -> bool {
        let Status { cursor, state, gathers, .. } = &*self.status;
        !gathers
            || cursor.load(Ordering::Acquire) >= durable
            || *state.lock().unwrap_or_else(PoisonError::into_inner) != DeliveryState::Running
            || self.is_finished()
    }

    pub(crate) fn stats(&self, log: &Log) -> DeliveryStats {
        let status = &self.status;
        let durable = log.progress.durable();
        let cursor = status.cursor.load(Ordering::Acquire);
        let lag_events = durable.saturating_sub(cursor);
        let since = log.clock.now().as_micros() - status.waiting_since.load(Ordering::Acquire);
        let lag = match lag_events {
            0 => Duration::ZERO,
            _ => Duration::from_micros(since.max(0).cast_unsigned()),
        };
        DeliveryStats {
            name: status.name.clone(),
            cursor: Index::new(cursor),
            lag_events,
            lag,
            failures: status.failures.load(Ordering::Relaxed),
            state: status.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// Its thread owns everything in it.
struct Runner {
    log: Arc<Log>,
    sink: Box<dyn Sink>,
    status: Arc<Status>,
    lines: Lines,
    /// Whether the sink ever told its position. Until then nobody knows what it lacks.
    has_connected: bool,
}

/// A delivery that is connected.
struct Begun {
    follower: Follower,
    /// How many segments had been started when they were listed.
    listed: u64,
    checkpoints: Checkpoints,
}

/// How far a sink is with dropping what is retired.
#[derive(Default)]
struct Dropping {
    /// How many retirements had ended when it was last told.
    told: Option<u64>,
    is_done: bool,
    /// It has to wait until then.
    not_before: Option<Instant>,
}

impl Runner {
    fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        while !self.status.must_end.is_set() {
            // A sink that panics counts as failing: it is asked for its position before it gets more, and it kept a
            // batch completely or not at all.
            let round = catch_unwind(AssertUnwindSafe(|| {
                self.connect().and_then(|begun| self.deliver_from(begun, &mut backoff))
            }));
            match round.unwrap_or_else(|panic| Err(Halt::Failed(panicked(&*panic)))) {
                Ok(()) => return,
                Err(Halt::Differs { at, reason }) => return self.stop(at, reason),
                Err(Halt::Failed(reason)) => self.fail(reason, &mut backoff),
            }
        }
    }

    /// Asks the sink for its position, and compares that with the trail.
    fn connect(&mut self) -> Result<Begun, Halt> {
        // Before the listing, so that a segment that starts meanwhile is noticed later.
        let listed = self.log.segments_begun();
        let position = self.sink.position().map_err(failed)?;
        let cursor = position.cursor.get();
        let durable = self.log.progress.durable();
        if cursor > durable {
            let reason = format!("{} holds {cursor} events, but the trail {durable}", self.status.name);
            return Err(Halt::Differs { at: durable, reason });
        }
        let mut follower = Follower::new(self.log.folder.clone(), position.cursor).map_err(failed)?;
        if let (Some(last), Some(leaf)) = (cursor.checked_sub(1), position.last_leaf) {
            let (recorded, ours) = self.leaf_of(&mut follower, last).map_err(unread)?;
            if let Some(recorded) = recorded {
                self.status.waiting_since.store(recorded, Ordering::Release);
            }
            if ours != Some(leaf) {
                let reason = format!("event {last} in {} differs from the trail's", self.status.name);
                return Err(Halt::Differs { at: last, reason });
            }
            follower.seek(position.cursor);
        }
        let checkpoints = Checkpoints::begin(&self.log, &mut *self.sink)?;
        self.advance(cursor);
        self.has_connected = true;
        Ok(Begun { follower, listed, checkpoints })
    }

    /// The leaf hash of line `index`, and when that was recorded. If it was retired, the tree still has the hash.
    fn leaf_of(&mut self, follower: &mut Follower, index: u64) -> io::Result<(Option<i64>, Option<Hash>)> {
        follower.seek(Index::new(index));
        self.lines.clear();
        follower.read(Index::new(self.log.progress.durable()), 1, usize::MAX, &mut self.lines)?;
        let lines = self.lines.as_batch_lines();
        let Some(line) = lines.first() else { return Ok((None, None)) };
        let recorded = parse_front(line.bytes).map(|front| front.recorded.as_micros());
        if line.index.get() == index {
            return Ok((recorded, Some(leaf_hash(line.bytes))));
        }
        let leaf = SignedLeaves::new(&self.log.folder, self.log.progress.sealed()).get(index)?;
        Ok((recorded, leaf))
    }

    /// Delivers until it may end and everything durable is delivered.
    fn deliver_from(&mut self, begun: Begun, backoff: &mut Duration) -> Result<(), Halt> {
        let Begun { mut follower, mut listed, mut checkpoints } = begun;
        let (mut idle, mut dropping) = (POLL_BUSY, Dropping::default());
        let gathering = self.sink.gathers();
        let mut gathering_since = None;
        // Somebody woke this thread, who may wait for what there is.
        let mut is_wanted = true;
        while !self.status.must_end.is_set() {
            let drops_more = self.drop_retired(&mut follower, &mut dropping, false)?;
            // Before the watermark, so that what was durable when the writer ended is seen as durable.
            let may_end = self.status.may_end.load(Ordering::Acquire);
            let durable = self.log.progress.durable();
            let begun = self.log.segments_begun();
            if begun != listed && !cfg!(trailseal_fault = "segments_not_listed_again") {
                follower.refresh().map_err(failed)?;
                listed = begun;
            }
            let has_room = self.has_stored(follower.next()) || self.ask_stored(follower.next())?;
            let is_held_back = !has_room || (self.sink.uses_trail_disk() && self.log.is_disk_low());
            let waiting = durable.saturating_sub(follower.next().get());
            if waiting > 0 && !is_held_back {
                idle = POLL_BUSY;
                let since = *gathering_since.get_or_insert_with(Instant::now);
                let are_due = waiting >= gathering.events || since.elapsed() >= gathering.time;
                if are_due || is_wanted || may_end {
                    self.deliver_batch(&mut follower, durable)?;
                    checkpoints.keep(&self.log, &mut *self.sink, follower.next().get(), false)?;
                    (*backoff, gathering_since) = (BACKOFF_MIN, None);
                    continue;
                }
            }
            // It may be a checkpoint that the sink waits for before it drops anything.
            let is_due = may_end || dropping.not_before.is_some();
            checkpoints.keep(&self.log, &mut *self.sink, follower.next().get(), is_due)?;
            if may_end {
                // What it has only just been given may let it.
                match self.drop_retired(&mut follower, &mut dropping, true)? {
                    true => continue,
                    false => return Ok(()),
                }
            }
            if drops_more {
                self.works();
                continue;
            }
            if waiting == 0 {
                self.note_waiting();
            }
            self.sink.idle().map_err(failed)?;
            if !is_held_back && !cfg!(trailseal_fault = "idle_sink_fails_for_ever") {
                self.works();
                *backoff = BACKOFF_MIN;
            }
            // Somebody may wait for what is still on its way.
            idle = if self.has_stored(follower.next()) { idle } else { POLL_BUSY };
            let parked_at = Instant::now();
            std::thread::park_timeout(idle);
            is_wanted = parked_at.elapsed() < idle && !cfg!(trailseal_fault = "gathering_not_ended");
            idle = (idle * 2).min(POLL_IDLE);
        }
        Ok(())
    }

    /// Lets the sink drop what was retired since it was last told, or more of it. Returns whether it can go on with that at
    /// once.
    fn drop_retired(
        &mut self,
        follower: &mut Follower,
        dropping: &mut Dropping,
        at_end: bool,
    ) -> Result<bool, Halt> {
        let retirements = self.log.retirements.load(Ordering::Acquire);
        if dropping.told != Some(retirements) {
            // The segment that is open may have been replaced by one without the lines that are retired.
            let next = follower.next();
            follower.refresh().map_err(failed)?;
            follower.seek(next);
            *dropping = Dropping { told: Some(retirements), ..Dropping::default() };
        }
        let must_wait = dropping.not_before.is_some_and(|moment| Instant::now() < moment);
        if dropping.is_done || (must_wait && !at_end) {
            return Ok(false);
        }
        let dropped = self.sink.drop_retired(&self.log.folder).map_err(failed)?;
        dropping.not_before = (dropped == Dropped::Waits).then(|| Instant::now() + DROP_EVERY);
        if dropped == Dropped::All {
            dropping.is_done = true;
            self.status.dropped.store(retirements, Ordering::Release);
        }
        Ok(dropped == Dropped::Some)
    }

    fn deliver_batch(&mut self, follower: &mut Follower, durable: u64) -> Result<(), Halt> {
        self.lines.clear();
        let first = follower.next();
        let lines_max = self.sink.batch_events_max();
        follower.read(Index::new(durable), lines_max, BATCH_BYTES_MAX, &mut self.lines).map_err(unread)?;
        let lines = self.lines.as_batch_lines();
        let batch = Batch { first, lines: &lines };
        let waiting_since = |line: Option<&BatchLine<'_>>| {
            if let Some(front) = line.and_then(|line| parse_front(line.bytes)) {
                self.status.waiting_since.store(front.recorded.as_micros(), Ordering::Release);
            }
        };
        waiting_since(lines.first());
        self.sink.deliver(&batch).map_err(failed)?;
        let end = batch.end();
        waiting_since(lines.last());
        let before = self.status.cursor.load(Ordering::Acquire);
        self.ask_stored(end)?;
        let is_passed_on = !self.has_stored(end);
        if is_passed_on && self.status.cursor.load(Ordering::Acquire) != before {
            self.note_waiting();
        }
        self.works();
        Ok(())
    }

    /// Whether the sink has stored everything below `delivered`, as far as it has said.
    fn has_stored(&self, delivered: Index) -> bool {
        self.status.cursor.load(Ordering::Acquire) >= delivered.get()
    }

    /// Notes how far the sink has stored what it was given, which is everything below `delivered`. Returns whether it takes more.
    fn ask_stored(&mut self, delivered: Index) -> Result<bool, Halt> {
        let stored = self.sink.stored(delivered).map_err(failed)?;
        self.advance(stored.cursor.min(delivered).get());
        Ok(stored.has_room)
    }

    /// Notes that nothing is wrong with the sink.
    fn works(&self) {
        if self.set_state(DeliveryState::Running) != DeliveryState::Running {
            self.log.notice(&Notice::DeliveryRecovered { sink: self.status.name.clone() });
        }
    }

    fn advance(&self, cursor: u64) {
        self.status.cursor.store(cursor, Ordering::Release);
        if self.status.is_store.load(Ordering::Acquire) {
            self.log.progress.set_stored(cursor);
        }
    }

    /// Notes since when the sink has lacked something. If it lacks nothing, that cannot begin before now: the last event may
    /// be hours old.
    fn note_waiting(&mut self) {
        if !self.has_connected {
            return;
        }
        let (cursor, durable) = (self.status.cursor.load(Ordering::Acquire), self.log.progress.durable());
        let since =
            if cursor < durable { self.recorded_at(cursor) } else { Some(self.log.clock.now().as_micros()) };
        if let Some(since) = since {
            self.status.waiting_since.store(since, Ordering::Release);
        }
    }

    /// When the first line that is there from `index` on was recorded.
    fn recorded_at(&mut self, index: u64) -> Option<i64> {
        let mut follower = Follower::new(self.log.folder.clone(), Index::new(index)).ok()?;
        self.lines.clear();
        follower.read(Index::new(self.log.progress.durable()), 1, usize::MAX, &mut self.lines).ok()?;
        Some(parse_front(self.lines.as_batch_lines().first()?.bytes)?.recorded.as_micros())
    }

    fn fail(&mut self, reason: String, backoff: &mut Duration) {
        self.note_waiting();
        self.status.failures.fetch_add(1, Ordering::Relaxed);
        let failing = DeliveryState::Failing { reason: reason.clone() };
        let before = self.set_state(failing);
        if before == DeliveryState::Running {
            self.log.notice(&Notice::DeliveryFailed { sink: self.status.name.clone(), reason });
        }
        // On close, the trail keeps the rest, and its next opening delivers it.
        if self.status.may_end.load(Ordering::Acquire) {
            self.status.must_end.set();
            return;
        }
        let until = Instant::now() + jittered(*backoff);
        while Instant::now() < until && !self.status.may_end.load(Ordering::Acquire) {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
        *backoff = (*backoff * 2).min(BACKOFF_MAX);
    }

    fn stop(&mut self, at: u64, reason: String) {
        self.status.failures.fetch_add(1, Ordering::Relaxed);
        self.set_state(DeliveryState::Stopped { at: Index::new(at), reason: reason.clone() });
        self.log.notice(&Notice::DeliveryStopped { sink: self.status.name.clone(), at, reason });
    }

    fn set_state(&self, state: DeliveryState) -> DeliveryState {
        std::mem::replace(&mut self.status.state.lock().unwrap_or_else(PoisonError::into_inner), state)
    }
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a text"))
}

/// From half to all of it, so that many writers do not return to a store at the same moment.
fn jittered(backoff: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness they may; nothing worse happens.
    let _ = getrandom::getrandom(&mut random);
    backoff.mul_f64(0.5 + f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX) / 2.0)
}
