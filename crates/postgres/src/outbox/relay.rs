//! The thread that takes events over from an outbox into a trail.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trailseal_core::deliver::MustEnd;
use trailseal_core::with_causes;
use trailseal_core::{Notice, OnlyOne, RecordError, Trail, fork};

use super::Row;
use super::hand_over::hand_over;
use super::schema::check_usable;
use super::turn::{Claimed, Done, Next, claimed_before, is_empty, server_and_database, turn};
use super::watch::{RelayStats, RelayWatch};
use crate::connect::Connection;
use crate::error::StoreError;
use crate::url::StoreUrl;

const POLL_BUSY: Duration = Duration::from_millis(20);
const POLL_IDLE: Duration = Duration::from_millis(500);
/// A claim takes a moment: if others seem to be claiming for this long, something is wrong.
const BUSY_WITHIN: Duration = Duration::from_secs(10);
/// How long an end waits for what is being done; then it cuts that off, and then leaves it behind.
const FINISHED_WITHIN: Duration = Duration::from_secs(3);
const CUT_WITHIN: Duration = Duration::from_secs(3);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Takes events over from an outbox into a trail until it is stopped or dropped, or the trail is closed. Any number of relays can
/// share an outbox, if each has its own trail. Of several with one trail the others stand by until the first has ended: what one
/// has claimed another must neither record beside it nor give back.
///
/// It holds the trail: stop it before the trail is to go.
#[must_use = "dropping it ends it"]
pub struct Relay {
    ends: Arc<AtomicBool>,
    /// Also ends waits for the database.
    must_end: MustEnd,
    watch: RelayWatch,
    thread: Option<JoinHandle<()>>,
    /// In a forked child the thread is the parent's.
    fork: u32,
}

impl Relay {
    /// Begins. A database that cannot be reached is tried again and again.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(trail: Trail, url: StoreUrl) -> std::io::Result<Relay> {
        let (ends, must_end) = (Arc::<AtomicBool>::default(), MustEnd::default());
        let watch = RelayWatch::default();
        let runner = Runner {
            trail,
            url,
            ends: ends.clone(),
            must_end: must_end.clone(),
            watch: watch.clone(),
            busy_since: Cell::default(),
            next_look: Cell::new(Instant::now()),
        };
        let thread =
            std::thread::Builder::new().name("trailseal-relay".to_owned()).spawn(move || runner.run())?;
        Ok(Relay { ends, must_end, watch, thread: Some(thread), fork: fork::generation() })
    }

    /// How far it is.
    pub fn stats(&self) -> RelayStats {
        self.watch.stats()
    }

    /// The same for somebody else, such as a server that shows it.
    pub fn watch(&self) -> RelayWatch {
        self.watch.clone()
    }

    /// Waits until the outbox was empty at a moment after this call: everything committed before is in a trail, or aside, or
    /// claimed by another relay. `false` if time is up, or the relay has ended.
    pub fn wait_emptied(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        // The one that is being counted may have begun before.
        let wanted = self.stats().emptied + 2;
        loop {
            let stats = self.stats();
            if stats.emptied >= wanted {
                return true;
            }
            if stats.has_ended || Instant::now() > end {
                return false;
            }
            self.look_now();
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it, and waits for that. What it had claimed is taken over at the next start of a relay of the same trail.
    pub fn stop(mut self) -> RelayStats {
        self.end();
        self.stats()
    }

    /// Looks now whether there is anything, and not a moment later.
    pub fn look_now(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    fn end(&mut self) {
        if self.fork != fork::generation() {
            return;
        }
        self.ends.store(true, Ordering::Release);
        self.look_now();
        let Some(thread) = self.thread.take() else { return };
        let wait = |within: Duration| {
            let end = Instant::now() + within;
            while !thread.is_finished() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        wait(FINISHED_WITHIN);
        self.must_end.set();
        // A disk that hangs must not hold up whoever ends this.
        wait(CUT_WITHIN);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
    }
}

/// Why a round ended.
enum End {
    /// The outbox cannot be used now.
    Outbox(StoreError),
    /// The trail does not take events now.
    Trail(RecordError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> End {
        End::Outbox(error)
    }
}

struct Runner {
    trail: Trail,
    url: StoreUrl,
    ends: Arc<AtomicBool>,
    must_end: MustEnd,
    watch: RelayWatch,
    /// Since when it has found no moment at which nobody else was claiming.
    busy_since: Cell<Option<Instant>>,
    /// When to look again what lies in the outbox.
    next_look: Cell<Instant>,
}

impl Runner {
    fn run(self) {
        let mut backoff = BACKOFF_MIN;
        while !self.has_to_end() {
            let reason = match self.connect_and_take_over(&mut backoff) {
                Ok(()) => break,
                Err(End::Trail(RecordError::Closed | RecordError::Forked)) => break,
                Err(End::Trail(error)) => with_causes(&error),
                Err(End::Outbox(error)) => with_causes(&error),
            };
            self.fails(reason);
            self.watch.count(|stats| stats.failures += 1);
            self.pause(jittered(backoff));
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        self.watch.count(|stats| stats.has_ended = true);
    }

    /// Until it must end.
    fn connect_and_take_over(&self, backoff: &mut Duration) -> Result<(), End> {
        let mut connection = self.url.connect(&self.must_end)?;
        check_usable(&mut connection)?;
        let Some(_only_one) = self.wait_for_turn(&mut connection, backoff)? else { return Ok(()) };
        let mut idle = POLL_BUSY;
        while !self.has_to_end() {
            self.look(&mut connection);
            // What was claimed before comes first: nobody else can take it, and only the trail knows how far that came.
            let rows = claimed_before(&mut connection, self.trail.origin())?;
            if !rows.is_empty() {
                self.take_over(&mut connection, &rows, Next::Leave)?;
                *backoff = BACKOFF_MIN;
                continue;
            }
            let claimed = turn(&mut connection, self.trail.origin(), &Done::default(), Next::Claim(None))?;
            self.tell_whether_busy(claimed.is_busy);
            *backoff = BACKOFF_MIN;
            if claimed.is_busy {
                self.pause(jittered(POLL_BUSY));
            } else if claimed.rows.is_empty() {
                self.watch.count(|stats| stats.emptied += 1);
                self.pause(idle);
                idle = (idle * 2).min(POLL_IDLE);
            } else {
                self.finish_look(&mut connection, claimed)?;
                idle = POLL_BUSY;
            }
        }
        Ok(())
    }

    /// Stands by while another relay of this trail takes over from this outbox. `None` if it must end.
    fn wait_for_turn(
        &self,
        connection: &mut Connection,
        backoff: &mut Duration,
    ) -> Result<Option<OnlyOne>, End> {
        let name = format!("relay of the outbox in {}", server_and_database(connection)?);
        while !self.has_to_end() {
            if let Some(only_one) = self.trail.begin_only_one(&name) {
                return Ok(Some(only_one));
            }
            if let Some(error @ (RecordError::Closed | RecordError::Forked)) = self.trail.why_shut() {
                return Err(End::Trail(error));
            }
            if is_empty(connection, self.trail.origin())? {
                self.watch.count(|stats| stats.emptied += 1);
            }
            self.works();
            self.look(connection);
            *backoff = BACKOFF_MIN;
            self.pause(POLL_IDLE);
        }
        Ok(None)
    }

    /// Takes over what was there at one look, of which this is the first part.
    fn finish_look(&self, connection: &mut Connection, mut claimed: Claimed) -> Result<(), End> {
        while let Some(look) = claimed.look {
            if self.has_to_end() {
                let untouched = claimed.rows.iter().map(|row| row.place).collect();
                let done = Done { untouched, ..Done::default() };
                turn(connection, self.trail.origin(), &done, Next::Leave)?;
                return Ok(());
            }
            self.look(connection);
            if claimed.is_busy {
                self.pause(jittered(POLL_BUSY));
            }
            claimed = self.take_over(connection, &claimed.rows, Next::Claim(Some(look)))?;
        }
        Ok(())
    }

    /// Records rows, takes them away, and claims the next.
    fn take_over(&self, connection: &mut Connection, rows: &[Row], next: Next) -> Result<Claimed, End> {
        let done = hand_over(&self.trail, rows).map_err(End::Trail)?;
        let claimed = turn(connection, self.trail.origin(), &done, next)?;
        self.tell_whether_busy(claimed.is_busy);
        for (place, reason) in &done.refused {
            let at = rows.binary_search_by_key(place, |row| row.place);
            let id = at.ok().and_then(|at| rows.get(at)).map(|row| row.id.clone());
            let notice = Notice::OutboxRefused { id: id.unwrap_or_default(), reason: reason.clone() };
            self.trail.notice(&notice);
        }
        self.watch.count(|stats| {
            stats.taken_over += done.recorded.len() as u64;
            stats.refused += done.refused.len() as u64;
        });
        Ok(claimed)
    }

    fn has_to_end(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    fn tell_whether_busy(&self, is_busy: bool) {
        if !is_busy {
            self.busy_since.set(None);
            return self.works();
        }
        let since = self.busy_since.get().unwrap_or_else(Instant::now);
        self.busy_since.set(Some(since));
        if since.elapsed() >= BUSY_WITHIN {
            self.fails(format!(
                "for over {} s another transaction has held the relays' lock (the row with version 1 in \
                 trailseal_outbox.migrations): look in pg_locks for who holds it, and end that",
                BUSY_WITHIN.as_secs()
            ));
        }
    }

    /// Looks what lies in the outbox, if it is time to.
    fn look(&self, connection: &mut Connection) {
        if Instant::now() >= self.next_look.get() {
            let pause = self.watch.look(connection);
            self.next_look.set(Instant::now() + pause);
        }
    }

    fn works(&self) {
        self.watch.works(&self.trail);
    }

    fn fails(&self, reason: String) {
        if !self.has_to_end() {
            self.watch.fails(&self.trail, reason);
        }
    }

    /// Ends early when it is woken.
    fn pause(&self, duration: Duration) {
        if !self.has_to_end() {
            std::thread::park_timeout(duration);
        }
    }
}

/// From half to all of it, so that several relays do not come at the same moment.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness they may; nothing worse happens.
    let _ = getrandom::fill(&mut random);
    pause.mul_f64(0.5 + f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX) / 2.0)
}
