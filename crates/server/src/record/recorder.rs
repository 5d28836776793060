//! Recording a request's events: a few at once, many in their client's turn and away from the threads that serve
//! connections.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use trailseal_core::deliver::{DeliveryState, DeliveryStats};
use trailseal_core::{
    Ack, AnyEvent, PendingReceipts, RecordError, RecordOptions, Submission, Submitted, Trail,
};

use super::refusal;
use super::split::split;
use crate::access::Caller;
use crate::body::{Bodies, Sent, Whole};
use crate::config::Config;
use crate::fairness::{Turn, Turns, aside};
use crate::metrics::Metrics;
use crate::problem::Problem;

/// Requests with more events or bytes take turns, and work outside the threads that serve connections.
pub(super) const INLINE_EVENTS_MAX: usize = 16;
const INLINE_BYTES_MAX: usize = 64 << 10;
/// A large request waits this many times as long as a small one for room.
const LARGE_WAITS: u32 = 20;
const LARGE_ASKED_EVERY: Duration = Duration::from_millis(1);
/// How many events may be on the disk but not in the index yet when a large request is recorded.
const INDEX_LAG_MAX: u64 = 50_000;
/// Small requests that record their events outside the threads that serve connections: per client, and in total.
const WAITING_EACH: usize = 16;
const WAITING_MAX: usize = 64;

/// Records the events of requests.
pub(crate) struct Recorder {
    pub(super) trail: Trail,
    pub(super) bodies: Arc<Bodies>,
    pub(super) metrics: Arc<Metrics>,
    events_max: usize,
    /// Turns of small requests that may have to wait for room or for id look-ups: each holds a thread.
    turns: Arc<Turns>,
}

/// How the events of a request are to be recorded.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) ack: Ack,
    pub(super) strict: bool,
    pub(super) key: Option<&'a str>,
}

/// What was recorded for a request, and how many events it has.
pub(super) struct Done {
    pub(super) pending: PendingReceipts,
    pub(super) count: u64,
}

impl Recorder {
    pub(crate) fn new(trail: Trail, bodies: Arc<Bodies>, metrics: Arc<Metrics>, config: &Config) -> Recorder {
        let turns = Turns::new(WAITING_MAX, WAITING_EACH);
        Recorder { trail, bodies, metrics, events_max: config.batch_events_max, turns }
    }

    /// Records the events of a body.
    pub(super) async fn record(
        self: &Arc<Self>,
        caller: &Caller,
        sent: Sent,
        asked: Asked<'_>,
    ) -> Result<Done, Problem> {
        if sent.is_packed() || sent.len() > INLINE_BYTES_MAX {
            let turn = self.bodies.turn(caller.client()).await;
            let (bodies, events_max) = (self.bodies.clone(), self.events_max);
            // A small body may unpack to a large one without a single event. The turn goes with the work, which goes on if
            // the client leaves.
            let cut = move || Ok((Events::cut(bodies.unpack(sent)?, events_max)?, turn));
            let (events, turn) = aside(cut).await.unwrap_or_else(|error| Err(Problem::internal(&error)))?;
            return self.record_many(caller, events, turn, asked).await;
        }
        let events = Events::cut(self.bodies.unpack(sent)?, self.events_max)?;
        if events.places.len() > INLINE_EVENTS_MAX {
            let turn = self.bodies.turn(caller.client()).await;
            return self.record_many(caller, events, turn, asked).await;
        }
        let (events, by) = (submitted(caller, events.texts(), asked.key), caller.submitter(asked.strict));
        let (submission, count) = (Submission { events: &events, by: &by }, events.len() as u64);
        let options = RecordOptions::from(asked.ack).room_wait(self.trail.room_wait());
        if asked.key.is_none()
            && let Some(pending) = self
                .trail
                .with(options)
                .try_record_submission(submission)
                .map_err(|error| self.failed(count, error))?
        {
            return Ok(Done { pending, count });
        }
        // Waiting here takes no thread.
        let _turn = self.turns.take(caller.client()).await;
        let record = || self.trail.with(options).record_all_async(submission);
        let pending = tokio::task::block_in_place(record).map_err(|error| self.failed(count, error))?;
        Ok(Done { pending, count })
    }

    /// Records the events of a large body, in its client's turn and outside the threads that serve connections; not at
    /// lower priority, since everybody who records waits for whoever fills the handoff.
    async fn record_many(
        self: &Arc<Self>,
        caller: &Caller,
        events: Events,
        turn: Turn,
        asked: Asked<'_>,
    ) -> Result<Done, Problem> {
        let (recorder, caller, key) = (self.clone(), caller.clone(), asked.key.map(str::to_owned));
        let Asked { ack, strict, .. } = asked;
        let record = move || {
            let _turn = turn;
            let events = submitted(&caller, events.texts(), key.as_deref());
            let (by, count) = (caller.submitter(strict), events.len() as u64);
            recorder.wait_for_the_others();
            let options = RecordOptions::from(ack).room_wait(recorder.trail.room_wait());
            let submission = Submission { events: &events, by: &by };
            let pending = recorder.trail.with(options).record_all_async(submission);
            Ok(Done { pending: pending.map_err(|error| recorder.failed(count, error))?, count })
        };
        tokio::task::spawn_blocking(record).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
    }

    /// Waits until half of the handoff is free and the index has caught up: large requests, however many, leave room
    /// for small ones, and searches have few lines to scan. The wait is limited: a slow disk or index is no reason to
    /// refuse.
    fn wait_for_the_others(&self) {
        let (begun, most) = (Instant::now(), self.trail.room_wait() * LARGE_WAITS);
        let is_too_early = || {
            let stats = self.trail.stats();
            let is_far_behind = |sink: &DeliveryStats| {
                sink.name == trailseal_index::SINK_NAME
                    && sink.lag_events > INDEX_LAG_MAX
                    && matches!(sink.state, DeliveryState::Running)
            };
            stats.handoff_used_bytes > stats.handoff_bytes / 2 || stats.deliveries.iter().any(is_far_behind)
        };
        while is_too_early() && begun.elapsed() < most {
            std::thread::sleep(LARGE_ASKED_EVERY);
        }
    }

    /// What to respond, and to count.
    fn failed(&self, count: u64, error: RecordError) -> Problem {
        let problem = refusal::problem(error);
        if problem.is_refused() {
            self.metrics.failed.inc_by(count);
        }
        problem
    }
}

/// A large body, and where its events are in it.
struct Events {
    body: Whole,
    places: Vec<Range<usize>>,
}

impl Events {
    fn cut(body: Whole, max: usize) -> Result<Events, Problem> {
        let begin = body.as_ptr().addr();
        let place = |text: &[u8]| {
            let at = text.as_ptr().addr() - begin;
            at..at + text.len()
        };
        let places = split(&body, max)?.into_iter().map(place).collect();
        Ok(Events { body, places })
    }

    fn texts(&self) -> Vec<&[u8]> {
        self.places.iter().filter_map(|place| self.body.get(place.clone())).collect()
    }
}

/// The id of the n-th event of a request that its key makes repeatable.
fn id_for(caller: &Caller, key: &str, place: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(caller.tenant().unwrap_or_default());
    hash.update([0]);
    hash.update(key);
    hash.update([0]);
    hash.update((place as u64).to_be_bytes());
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn submitted<'a>(caller: &Caller, texts: Vec<&'a [u8]>, key: Option<&str>) -> Vec<Submitted<'a>> {
    let one = |(place, json)| Submitted {
        event: AnyEvent::Json(json),
        id: key.map(|key: &str| id_for(caller, key, place)),
        time: None,
        masked: Vec::new(),
    };
    texts.into_iter().enumerate().map(one).collect()
}
