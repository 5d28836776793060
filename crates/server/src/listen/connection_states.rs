//! The state of each connection, and which one is closed when all places are taken and another client comes.
//!
//! What must hold: a connection being served with a token stays. Of the others, those that have gone longest without
//! sending a complete head go first, and before them those that have shown no token.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A connection that takes longer over one request without a token may be closed.
const NOBODYS_REQUEST_MAX: Duration = Duration::from_secs(1);

/// No connection is closed sooner than this after it was opened: a head on its way should be read. In a flood each
/// newcomer waits this long, however few places there are.
const STAY_MIN: Duration = Duration::from_millis(20);

/// How far a connection is with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not sent a complete head since it was opened, or since its last response.
    Waiting,
    /// The head is here, but not the whole body.
    Sending,
    /// The request is here, but the response is not complete.
    Answering,
    /// The response is complete, but the client has not taken all of it.
    Leaving,
}

const PHASES: [Phase; 4] = [Phase::Waiting, Phase::Sending, Phase::Answering, Phase::Leaving];

/// The state of one connection.
pub(crate) struct Standing {
    begun: Instant,
    phase: AtomicU8,
    /// When it was opened, last sent a complete head or last got a response, in microseconds after `begun`.
    since: AtomicU64,
    /// Whether a token admitted one of its requests.
    is_known: AtomicBool,
    is_told: AtomicBool,
    go: Notify,
}

impl Standing {
    fn new(begun: Instant) -> Standing {
        Standing {
            begun,
            phase: AtomicU8::new(Phase::Waiting as u8),
            since: AtomicU64::new(micros(begun.elapsed())),
            is_known: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            go: Notify::new(),
        }
    }

    /// For a connection that takes no place.
    pub(super) fn apart() -> Arc<Standing> {
        Arc::new(Standing::new(Instant::now()))
    }

    pub(super) fn phase(&self) -> Phase {
        PHASES.get(usize::from(self.phase.load(Ordering::Acquire))).copied().unwrap_or(Phase::Waiting)
    }

    pub(super) fn enter(&self, phase: Phase) {
        let begins = matches!(self.phase(), Phase::Waiting | Phase::Leaving) && phase != Phase::Leaving;
        if begins || phase == Phase::Waiting {
            // Before the phase, so that nobody sees a connection that appears to have waited for long.
            self.since.store(micros(self.begun.elapsed()), Ordering::Release);
        }
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Everything to be sent has left.
    pub(super) fn flushed(&self) {
        if self.phase() == Phase::Leaving {
            self.enter(Phase::Waiting);
        }
    }

    /// A valid token was seen.
    pub(crate) fn let_in(&self) {
        self.is_known.store(true, Ordering::Release);
    }

    /// Ready when its place is needed.
    pub(super) async fn told_to_go(&self) {
        self.go.notified().await;
    }

    /// The sort key among connections that may be closed; `None` if it stays.
    fn rank(&self, now: u64) -> Option<(bool, u64)> {
        let is_waiting = self.phase() == Phase::Waiting;
        let (is_known, since) = (self.is_known.load(Ordering::Acquire), self.since.load(Ordering::Acquire));
        let may_go = is_waiting || !is_known && now.saturating_sub(since) > micros(NOBODYS_REQUEST_MAX);
        may_go.then_some((is_known, since))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// All connections that have a place.
pub(super) struct Standings {
    begun: Instant,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Arc<Standing>>,
}

/// One of them; removed on drop.
pub(super) struct Entered {
    standings: Arc<Standings>,
    number: u64,
    pub(super) standing: Arc<Standing>,
}

impl Default for Standings {
    fn default() -> Self {
        Standings { begun: Instant::now(), open: Mutex::default() }
    }
}

impl Standings {
    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(self: &Arc<Self>) -> Entered {
        let standing = Arc::new(Standing::new(self.begun));
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, standing.clone());
        Entered { standings: self.clone(), number, standing }
    }

    /// Tells one connection to close, if any may; no other before that one has closed.
    pub(super) fn make_room(&self) {
        if cfg!(trailseal_fault = "silent_ones_stay") {
            return;
        }
        let open = self.lock();
        if open.connections.values().any(|standing| standing.is_told.load(Ordering::Acquire)) {
            return;
        }
        let now = micros(self.begun.elapsed());
        let ranked = open.connections.values().filter_map(|standing| Some((standing.rank(now)?, standing)));
        let first = ranked.min_by_key(|(rank, _)| *rank);
        if let Some(((_, since), standing)) = first
            && now.saturating_sub(since) >= micros(STAY_MIN)
        {
            standing.is_told.store(true, Ordering::Release);
            standing.go.notify_one();
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.standings.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A beginning of which no time has passed, however long this thread has to wait for its turn.
    const NEVER: u64 = u64::MAX / 2;

    fn told(entered: &[&Entered]) -> Vec<bool> {
        entered.iter().map(|entered| entered.standing.is_told.load(Ordering::Acquire)).collect()
    }

    #[test]
    fn who_has_sent_no_head_for_longest_goes_first_and_who_is_served_by_a_token_stays() {
        let standings = Arc::new(Standings::default());
        let enter = |at: u64| {
            let entered = standings.enter();
            entered.standing.since.store(at, Ordering::Release);
            entered
        };
        std::thread::sleep(STAY_MIN);
        let (silent, newer, known, served) = (enter(5), enter(7), enter(1), enter(0));
        known.standing.let_in();
        served.standing.let_in();
        served.standing.enter(Phase::Answering);
        standings.make_room();
        assert_eq!(told(&[&silent, &newer, &known, &served]), [true, false, false, false]);
        standings.make_room();
        assert_eq!(told(&[&newer, &known, &served]), [false; 3], "the first one has not gone yet");
        drop(silent);
        standings.make_room();
        assert_eq!(told(&[&newer, &known, &served]), [true, false, false]);
        drop(newer);
        standings.make_room();
        assert_eq!(told(&[&known, &served]), [true, false]);
        drop(known);
        standings.make_room();
        assert_eq!(told(&[&served]), [false]);
        // One that came just now stays, and so nobody goes who showed a token.
        let (fresh, known) = (enter(NEVER), enter(1));
        known.standing.let_in();
        standings.make_room();
        assert_eq!(told(&[&fresh, &known]), [false, false]);
    }

    #[test]
    fn a_request_of_nobody_that_takes_long_holds_no_place() {
        let standings = Arc::new(Standings::default());
        let (long, short) = (standings.enter(), standings.enter());
        long.standing.enter(Phase::Sending);
        short.standing.enter(Phase::Sending);
        let began = |at| [&long, &short].map(|entered| entered.standing.since.store(at, Ordering::Release));
        began(NEVER);
        standings.make_room();
        assert_eq!(told(&[&long, &short]), [false, false]);
        let now = micros(standings.begun.elapsed());
        began(now);
        let past = now.checked_sub(micros(NOBODYS_REQUEST_MAX) + 1);
        assert_eq!(long.standing.rank(now), None);
        if let Some(past) = past {
            long.standing.since.store(past, Ordering::Release);
            standings.make_room();
            assert_eq!(told(&[&long, &short]), [true, false]);
        }
        let later = now + micros(NOBODYS_REQUEST_MAX) * 2;
        assert!(short.standing.rank(later).is_some());
    }
}
