//! A worker: stores what is in the streams, origin by origin, and reports how far the store has come.
//!
//! Each of its threads has one connection to the store and takes one origin after the other, under a lease, so that workers share
//! the origins and do no work twice. A lease that was lost does no harm: the store's cursor decides what is stored.

mod lease;
mod turn;

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trailseal_core::deliver::{MustEnd, Sink};
use trailseal_core::with_causes;
use trailseal_tlog::Origin;

use crate::bounded;
use crate::connection::{Redis, RedisError};
use crate::url::RedisUrl;
use turn::{Turn, Turned};

const IDLE: Duration = Duration::from_millis(20);
const IDLE_MAX: Duration = Duration::from_millis(200);
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// So many reasons are said while a server cannot be used.
const REASONS_MAX: usize = 16;

/// A store that takes the events of one origin after the other.
pub trait Store: Send {
    /// What follows is of this origin.
    fn turn_to(&mut self, origin: &str);

    /// What takes the events of that origin.
    fn sink(&mut self) -> &mut dyn Sink;
}

/// What a worker has to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerNotice {
    /// Redis cannot be used at the moment.
    #[error("Redis cannot be used; it is tried again: {reason}")]
    RedisFailed {
        /// Why.
        reason: String,
    },
    /// Redis works again.
    #[error("Redis can be used again")]
    RedisRecovered,
    /// Nothing of an origin can be stored at the moment.
    #[error("events of {origin} cannot be stored; it is tried again: {reason}")]
    StoreFailed {
        /// The origin.
        origin: String,
        /// Why.
        reason: String,
    },
    /// The store holds what the trail did not write.
    #[error("events of {origin} are no longer stored: {reason}")]
    Stopped {
        /// The origin.
        origin: String,
        /// How that shows.
        reason: String,
    },
    /// What was in the stream is not what a trail writes.
    #[error(
        "the stream of {origin} held what no trail writes and was removed; the trail sends its own events again"
    )]
    Foreign {
        /// The origin.
        origin: String,
    },
    /// Whether it was stored or lost from there, Redis has nothing more of an origin that could not be stored.
    #[error("nothing of {origin} waits in Redis any more")]
    NothingWaits {
        /// The origin.
        origin: String,
    },
    /// It works again.
    #[error("events of {origin} are stored again")]
    Recovered {
        /// The origin.
        origin: String,
    },
}

/// Threads that store what is in the streams.
pub struct Worker {
    must_end: MustEnd,
    threads: Vec<JoinHandle<bool>>,
}

/// The origins whose events cannot be stored at the moment.
type InTrouble = Arc<Mutex<HashMap<String, Failed>>>;

/// What has been said of the server since it could last be used.
type SaidOfRedis = Arc<Mutex<BTreeSet<String>>>;

type OnNotice = Arc<dyn Fn(&WorkerNotice) + Send + Sync>;

impl Worker {
    /// Starts a thread for each store. With `ends` they end when there is nothing left to do, or nothing more can be done.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        url: &RedisUrl,
        stores: Vec<Box<dyn Store>>,
        ends: bool,
        on_notice: OnNotice,
    ) -> std::io::Result<Worker> {
        let (must_end, trouble) = (MustEnd::default(), InTrouble::default());
        let said_of_redis = SaidOfRedis::default();
        let mut threads = Vec::new();
        for (number, mut store) in stores.into_iter().enumerate() {
            store.sink().begin(&must_end);
            let run = Run {
                redis: Redis::new(url.clone()),
                store,
                ends,
                must_end: must_end.clone(),
                on_notice: on_notice.clone(),
                trouble: trouble.clone(),
                said_of_redis: said_of_redis.clone(),
            };
            let name = format!("trailseal-move-{number}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || run.run())?);
        }
        Ok(Worker { must_end, threads })
    }

    /// Whether all threads have ended by themselves.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends after the current batches. Returns whether nothing was left that could not be stored.
    pub fn end(self) -> bool {
        self.must_end.set();
        let mut is_all = true;
        for thread in self.threads {
            thread.thread().unpark();
            is_all &= thread.join().unwrap_or(false);
        }
        is_all
    }
}

/// An origin whose events could not be stored.
struct Failed {
    reason: String,
    backoff: Duration,
    not_before: Instant,
}

/// One thread.
struct Run {
    redis: Redis,
    store: Box<dyn Store>,
    ends: bool,
    must_end: MustEnd,
    on_notice: OnNotice,
    /// All threads share it, so that one of them says it.
    trouble: InTrouble,
    said_of_redis: SaidOfRedis,
}

impl Run {
    /// Returns whether it could do what there was to do.
    fn run(mut self) -> bool {
        let (mut idle, mut backoff) = (IDLE, BACKOFF_MIN);
        while !self.must_end.is_set() {
            match self.pass() {
                Ok(Passed { moved, left, has_all }) => {
                    backoff = BACKOFF_MIN;
                    if has_all {
                        self.say_redis_recovered();
                    }
                    let is_in_trouble = !self.in_trouble(HashMap::is_empty);
                    if self.ends && (!left || (!moved && is_in_trouble)) {
                        return !is_in_trouble;
                    }
                    idle = if moved { IDLE } else { (idle * 2).min(IDLE_MAX) };
                    if !moved {
                        // What is not urgent, such as tables for the next months. If it fails, so will what is.
                        let _ = self.store.sink().idle();
                        std::thread::park_timeout(idle);
                    }
                }
                Err(error) => {
                    self.redis.disconnect();
                    self.say_redis_failed(&error);
                    if self.ends {
                        return false;
                    }
                    std::thread::park_timeout(backoff);
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
        self.in_trouble(HashMap::is_empty)
    }

    fn in_trouble<T>(&self, work: impl FnOnce(&HashMap<String, Failed>) -> T) -> T {
        work(&self.trouble.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A turn of each origin that has something to do.
    fn pass(&mut self) -> Result<Passed, RedisError> {
        let mut asked = redis::pipe();
        bounded::origins(&mut asked);
        let (origins,): (Vec<Vec<u8>>,) = self.redis.ask("ask for the origins at", &asked)?;
        // What is no origin, no trail has put there.
        let mut origins: Vec<String> =
            origins.into_iter().filter_map(|origin| String::from_utf8(origin).ok()).collect();
        origins.retain(|origin| Origin::new(origin).is_ok());
        origins.sort_unstable();
        // Several workers begin at different ones.
        let first = usize::from(random()) % origins.len().max(1);
        origins.rotate_left(first);
        self.note_gone(&origins);
        let mut passed = Passed { moved: false, left: !origins.is_empty(), has_all: true };
        for origin in origins {
            let waits = self.in_trouble(|trouble| {
                trouble.get(&origin).is_some_and(|failed| Instant::now() < failed.not_before)
            });
            if self.must_end.is_set() || waits {
                continue;
            }
            let turned = self.turn(&origin)?;
            passed.moved |= turned == Turned::Moved;
            passed.has_all &= turned != Turned::Others;
            self.note(origin, turned);
        }
        Ok(passed)
    }

    /// A turn that panics counts as failed: what it stored, it stored completely.
    fn turn(&mut self, origin: &str) -> Result<Turned, RedisError> {
        self.store.turn_to(origin);
        let turn = Turn::new(&mut self.redis, self.store.sink(), origin, &self.must_end);
        let panicked = |_| Ok(Turned::Failed("the worker panicked".to_owned()));
        catch_unwind(AssertUnwindSafe(|| turn.run())).unwrap_or_else(panicked)
    }

    /// Those that have nothing left to do were stored by another worker, or somebody has emptied the server.
    fn note_gone(&self, origins: &[String]) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        for (origin, _) in trouble.extract_if(|origin, _| !origins.contains(origin)) {
            self.say(&WorkerNotice::NothingWaits { origin });
        }
    }

    fn note(&self, origin: String, turned: Turned) {
        let (reason, notice) = match turned {
            Turned::Others => return,
            Turned::Moved | Turned::Nothing => {
                let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                if trouble.remove(&origin).is_some() {
                    self.say(&WorkerNotice::Recovered { origin });
                }
                return;
            }
            Turned::Foreign => ("foreign".to_owned(), WorkerNotice::Foreign { origin: origin.clone() }),
            Turned::Failed(reason) => {
                (reason.clone(), WorkerNotice::StoreFailed { origin: origin.clone(), reason })
            }
            Turned::Stopped(reason) => {
                (reason.clone(), WorkerNotice::Stopped { origin: origin.clone(), reason })
            }
        };
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let before = trouble.remove(&origin);
        if before.as_ref().is_none_or(|before| before.reason != reason) {
            self.say(&notice);
        }
        let backoff = before.map_or(BACKOFF_MIN, |before| (before.backoff * 2).min(BACKOFF_MAX));
        trouble.insert(origin, Failed { reason, backoff, not_before: Instant::now() + backoff });
    }

    /// Each reason once: other threads have it, too, and a new one tells what is to be done now.
    fn say_redis_failed(&self, error: &RedisError) {
        let mut said = self.said_of_redis.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() < REASONS_MAX && said.insert(error.reason().to_owned()) {
            self.say(&WorkerNotice::RedisFailed { reason: with_causes(error) });
        }
    }

    fn say_redis_recovered(&self) {
        let mut said = self.said_of_redis.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut *said).is_empty() {
            self.say(&WorkerNotice::RedisRecovered);
        }
    }

    fn say(&self, notice: &WorkerNotice) {
        (self.on_notice)(notice);
    }
}

/// What came of a pass.
struct Passed {
    moved: bool,
    /// Whether there is something to do, also for other workers.
    left: bool,
    /// Whether no other worker had any of it: only what was tried shows that the server can be used.
    has_all: bool,
}

fn random() -> u16 {
    let mut random = [0; 2];
    // Without randomness they begin at the same one; nothing worse happens.
    let _ = getrandom::fill(&mut random);
    u16::from_le_bytes(random)
}
