//! Flags of trails that have no server: among the rows of the store, and made reviews there.
//!
//! A rule's flag is a line of the trail's own, right before its event. The server of a trail puts such requests into the store itself;
//! for the others, every server follows the rows, with one cursor for each trail that all servers share. What must hold: only a flag
//! becomes a review, never a change that somebody with the role of writers would like to see approved; none without its event; and
//! whatever a writer adds holds up the flags of no other trail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use trailseal_event::filter::Filter;
use trailseal_event::{Index, Recorded, Value};
use trailseal_postgres::shared::{PublishedFlag, Shared};
use trailseal_postgres::{Pool, Reader, StoreError, StorePosition, StoreUrl, StoredOrigin};

use crate::reviews::ReviewId;

const REQUESTED: &str = "trail.review_requested";
/// How long one look may take, besides the statements under way at its end. What it does not reach the next one does.
const BUDGET: Duration = Duration::from_millis(200);
/// How long one statement may take.
const WITHIN: Duration = Duration::from_secs(5);
/// A flag and its event are in one frame, at most a quarter of the handoff. Of 256 MiB, the most that a command takes, that is this many
/// lines of 64 bytes, and every line is longer.
const AHEAD_MAX: u64 = 1 << 20;
/// At most this many flags become reviews at once, and this many of one trail.
const FLAGS_MAX: usize = 500;
const FLAGS_OF_TRAIL_MAX: usize = 100;
/// How long a flag waits for its event while its trail delivers other events. Less in debug builds, for tests.
const EVENT_WITHIN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 3 } else { 600 });
/// How often the store learns how far trails without new flags have been looked through. A restart looks through the rest again.
const KEPT_EVERY: Duration = Duration::from_secs(if cfg!(debug_assertions) { 2 } else { 60 });

/// Follows the rows of all trails.
pub(super) struct Flags {
    reader: Reader,
    /// Connections of its own: nobody who decides waits for flags.
    store: Shared,
    has_failed: AtomicBool,
    progress: Mutex<Progress>,
}

/// How far this server has looked.
#[derive(Default)]
struct Progress {
    /// By trail: everything below this index.
    next: BTreeMap<String, u64>,
    /// What the store knew of that at the last look.
    known: BTreeMap<String, u64>,
    /// Trails with a flag whose event has not arrived. They are left out until it has.
    waiting: BTreeMap<String, Waiting>,
    /// Where the trails' names that were looked at last end, if they were not all.
    turn: String,
    /// When the store last learned of the position.
    kept: Option<Instant>,
}

/// A flag whose event has not arrived.
struct Waiting {
    flag: u64,
    event: u64,
    /// How far its trail was delivered when it was found.
    end: u64,
    /// Since when the trail has been delivered further, without the event. A trail that rests may have been cut off in the middle of a
    /// frame, and its event comes when it goes on.
    since: Option<Instant>,
}

/// A flag whose event is to be looked for.
struct Candidate {
    flag: PublishedFlag,
    event: String,
    event_index: Index,
}

impl Flags {
    pub(super) fn new(url: StoreUrl) -> Flags {
        Flags {
            store: Shared::new(url.clone()),
            reader: Reader::new(Arc::new(Pool::new(url, 1))).within(WITHIN),
            has_failed: AtomicBool::new(false),
            progress: Mutex::default(),
        }
    }
}

impl Flags {
    /// Makes reviews of flags that have arrived since the last look, and none of those of the trail `own`. Returns an error if the look
    /// before had none. Blocks.
    pub(super) fn take_in(&self, own: &str) -> Result<(), StoreError> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.try_to_take_in(own, &mut progress);
        let had_failed = self.has_failed.swap(taken.is_err(), Ordering::Relaxed);
        if had_failed { Ok(()) } else { taken }
    }

    fn try_to_take_in(&self, own: &str, progress: &mut Progress) -> Result<(), StoreError> {
        let deadline = Instant::now() + BUDGET;
        progress.follow(self.store.flag_cursors()?.into_iter().collect());
        // Before the rows: what arrives in between is looked at the next time.
        let trails = self.reader.origins()?;
        for trail in &trails {
            if trail.origin == own {
                // Its own server does that, and may know how it was decided.
                progress.move_to(own, trail.next.get());
            }
            progress.go_on_waiting(trail);
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.take_in_some(own, &trails, progress, left)? || left.is_zero() {
                break;
            }
        }
        if progress.kept.is_none_or(|at| at.elapsed() >= KEPT_EVERY) {
            let known = |origin: &String| progress.known.get(origin).copied().unwrap_or(0);
            let moved = progress.next.iter().filter(|(origin, next)| known(origin) < **next);
            let moved: Vec<(String, u64)> = moved.map(|(origin, next)| (origin.clone(), *next)).collect();
            self.store.publish_flags(&[], &moved)?;
            progress.kept = Some(Instant::now());
        }
        Ok(())
    }

    /// Returns whether that was all there is now.
    fn take_in_some(
        &self,
        own: &str,
        trails: &[StoredOrigin],
        progress: &mut Progress,
        budget: Duration,
    ) -> Result<bool, StoreError> {
        let mut position = StorePosition::default();
        progress.next.iter().for_each(|(origin, next)| position.move_to(origin, *next));
        let is_unfair = cfg!(trailseal_fault = "early_flags_hold_up_others");
        let waiting = progress.waiting.keys().map(String::as_str).filter(|_| !is_unfair);
        let of_each = if is_unfair { FLAGS_MAX } else { FLAGS_OF_TRAIL_MAX };
        let left_out: BTreeSet<&str> = waiting.chain([own]).collect();
        let is_behind = |trail: &&StoredOrigin| {
            let origin = trail.origin.as_str();
            !left_out.contains(origin) && progress.next_of(origin) < trail.next.get()
        };
        let behind: Vec<&StoredOrigin> = trails.iter().filter(is_behind).collect();
        let (looked_at, is_each) = in_turn(behind, &progress.turn);
        let chosen: BTreeSet<&str> = looked_at.iter().map(|trail| trail.origin.as_str()).collect();
        let others = trails.iter().filter(|trail| !chosen.contains(trail.origin.as_str()));
        others.for_each(|trail| position.move_to(&trail.origin, u64::MAX));
        // One step, so that the others have their turn soon.
        let budget = if is_each { budget } else { Duration::ZERO };
        let filter = Filter { action: vec![REQUESTED.to_owned()], system: true, ..Filter::default() };
        let arrived = self.reader.after_fairly(&filter, &position, FLAGS_MAX, of_each, Some(budget))?;
        let (mut candidates, mut early) = (Vec::new(), BTreeMap::new());
        for hit in &arrived.hits {
            if early.contains_key(&*hit.origin) {
                continue;
            }
            let Ok(recorded) = hit.read(None) else { continue };
            let Some((id, event, index)) = flagged(&recorded, &hit.origin) else { continue };
            let end =
                trails.iter().find(|trail| *trail.origin == *hit.origin).map_or(0, |trail| trail.next.get());
            if index >= end {
                let waiting = Waiting { flag: hit.index.get(), event: index, end, since: None };
                early.insert(hit.origin.to_string(), waiting);
                continue;
            }
            let flag = PublishedFlag {
                id: id.to_string(),
                origin: hit.origin.to_string(),
                index: hit.index.get(),
                tenant: recorded.event.tenant.clone(),
                line: hit.exact_line().to_vec(),
            };
            candidates.push(Candidate { flag, event: event.to_owned(), event_index: Index::new(index) });
        }
        let flags = self.with_events(candidates)?;
        let next_of = |origin: &String| {
            early.get(origin).map_or_else(|| arrived.next.next_of(origin), |waiting: &Waiting| waiting.flag)
        };
        let turn = looked_at.last().map(|trail| trail.origin.clone()).unwrap_or_default();
        let looked: Vec<(String, u64)> =
            looked_at.iter().map(|trail| (trail.origin.clone(), next_of(&trail.origin))).collect();
        if !flags.is_empty() {
            let flagged: BTreeSet<&String> = flags.iter().map(|flag| &flag.origin).collect();
            let moved: Vec<(String, u64)> =
                looked.iter().filter(|(origin, _)| flagged.contains(origin)).cloned().collect();
            for id in self.store.publish_flags(&flags, &moved)? {
                tracing::warn!(id, "a flag does not become a review: a review of another trail has its id");
            }
        }
        looked.iter().for_each(|(origin, next)| progress.move_to(origin, *next));
        progress.waiting.extend(early);
        progress.turn = turn;
        Ok(arrived.is_all && is_each)
    }

    /// Those whose event is there. That of others was taken by a power loss, or never was.
    fn with_events(&self, candidates: Vec<Candidate>) -> Result<Vec<PublishedFlag>, StoreError> {
        let asked = |candidate: &'_ Candidate| -> (String, Index, String) {
            (candidate.flag.origin.clone(), candidate.event_index, candidate.event.clone())
        };
        let asked: Vec<(String, Index, String)> = candidates.iter().map(asked).collect();
        let there = self.reader.are_there(&asked)?;
        let is_kept = |is_there: &bool| *is_there || cfg!(trailseal_fault = "flag_without_event");
        Ok(candidates
            .into_iter()
            .zip(there)
            .filter(|(_, is_there)| is_kept(is_there))
            .map(|(kept, _)| kept.flag)
            .collect())
    }
}

impl Progress {
    fn next_of(&self, origin: &str) -> u64 {
        self.next.get(origin).copied().unwrap_or(0)
    }

    fn move_to(&mut self, origin: &str, next: u64) {
        let known = self.next.entry(origin.to_owned()).or_insert(0);
        *known = next.max(*known);
    }

    /// Follows how far others have looked. Whoever took a cursor back wants the trail looked through again.
    fn follow(&mut self, known: BTreeMap<String, u64>) {
        for (origin, before) in &self.known {
            let now = known.get(origin).copied().unwrap_or(0);
            if now < *before {
                self.next.insert(origin.clone(), now);
                self.waiting.remove(origin);
            }
        }
        known.iter().for_each(|(origin, next)| self.move_to(origin, *next));
        self.known = known;
    }

    /// Looks whether the event has arrived that a flag of this trail waits for, or has been waited for long enough.
    fn go_on_waiting(&mut self, trail: &StoredOrigin) {
        let before = self.next_of(&trail.origin);
        let Some(waiting) = self.waiting.get_mut(&trail.origin) else { return };
        let next = trail.next.get();
        // Another server may have given up before.
        let is_over = waiting.event < next || waiting.flag < before;
        if !is_over && next > waiting.end {
            let since = *waiting.since.get_or_insert_with(Instant::now);
            if since.elapsed() < EVENT_WITHIN {
                return;
            }
            tracing::warn!(
                origin = trail.origin,
                flag = waiting.flag,
                event = waiting.event,
                "a flag does not become a review: its event has not arrived, though others of this trail have for 10 minutes"
            );
            let after = waiting.flag.saturating_add(1);
            self.move_to(&trail.origin, after);
        } else if !is_over {
            return;
        }
        self.waiting.remove(&trail.origin);
    }
}

/// As many of these trails, by name, as one look takes, after those that had their turn; and whether that is each of them. By how far
/// they lag, trails with cursors that a writer made up would always be the first.
fn in_turn<'a>(mut trails: Vec<&'a StoredOrigin>, turn: &str) -> (Vec<&'a StoredOrigin>, bool) {
    let is_each = trails.len() <= Reader::TRAILS_AT_ONCE;
    if !is_each {
        let next = trails.partition_point(|trail| trail.origin.as_str() <= turn);
        trails.rotate_left(next);
        trails.truncate(Reader::TRAILS_AT_ONCE);
    }
    (trails, is_each)
}

/// The review that a flag requests, and the id and the index of its event; `None` for any other request.
fn flagged<'a>(recorded: &'a Recorded, origin: &str) -> Option<(ReviewId, &'a str, u64)> {
    let details = &recorded.event.details;
    let text = |name: &str| details.get(name).and_then(Value::as_str);
    let is_flag = recorded.system
        && recorded.event.action == REQUESTED
        && (details.get("change").is_none() || cfg!(trailseal_fault = "flag_of_any_request"))
        && text("origin") == Some(origin);
    let ahead = details
        .get("ahead")
        .and_then(Value::as_u64)
        .filter(|ahead| is_flag && (1..=AHEAD_MAX).contains(ahead))?;
    Some((ReviewId::parse(text("review")?)?, text("event")?, recorded.index.checked_add(ahead)?))
}
