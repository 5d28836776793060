//! Retiring nine tenths of a trail beside a writer at 20,000 events a second: what it reads and writes a second, what
//! memory it takes, and what the writer's callers notice of it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use trailseal_benches_report::names;
use trailseal_core::clock::{Clock, SystemClock};
use trailseal_core::{RetentionRule, Roll, Trail};
use trailseal_event::{Event, Timestamp};

use crate::{load, own};

/// Events a second that are recorded beside it.
const RATE: u64 = 20_000;
const DAY_MICROS: i64 = 86_400_000_000;
/// How long the writer runs alone, for comparison.
const ALONE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What is in a line that stays.
const STAYS: &[u8] = br#""tenant":"stays""#;

/// How many events the trail has.
pub const EVENTS: u64 = 10_000_000;

/// In the order that takes most memory, and in the order that leaves whole segments.
pub fn all(dir: &Path, events: u64) {
    run(dir, events, Order::Interleaved);
    run(dir, events, Order::Apart);
}

/// How the lines that go and those that stay lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Every tenth stays: a range for each that does.
    Interleaved,
    /// The newest tenth stays.
    Apart,
}

/// The system's clock, so many days ago.
#[derive(Clone, Default)]
struct Past(Arc<AtomicI64>);

impl Past {
    fn days_ago(&self, days: i64) {
        self.0.store(days * DAY_MICROS, Ordering::SeqCst);
    }
}

impl Clock for Past {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().as_micros() - self.0.load(Ordering::SeqCst))
    }
}

/// With `events` events in the trail.
fn run(dir: &Path, events: u64, order: Order) {
    let folder = own::fresh(dir, "retire");
    let clock = Past::default();
    let mut options = own::options();
    options.clock = Arc::new(clock.clone());
    // Small trails have several segments, too.
    options.segment.roll = Roll::Bytes((events * 700 / 20).clamp(1 << 20, 256 << 20));
    // Before the first line: what is recorded never goes back.
    clock.days_ago(100);
    let trail = Trail::open(&folder, options).expect("opens");
    fill(&trail, events, order);
    clock.days_ago(0);
    let alone = beside(&trail, &AtomicBool::new(false), Some(ALONE));

    let is_over = AtomicBool::new(false);
    let before = load::own_memory_mib_of("self");
    let (together, retired, elapsed, peak) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| beside(&trail, &is_over, None));
        let watch = scope.spawn(|| highest_memory(&is_over));
        let rule = RetentionRule { tenant: Some("goes".into()), ..RetentionRule::older_than_days(90) };
        let begun = Instant::now();
        let retained = trail.retain(&rule, None).expect("retires");
        assert!(retained.events > events / 2, "{retained:?}");
        let elapsed = begun.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        (writer.join().expect("ends"), retained, elapsed, watch.join().expect("ends"))
    });
    let stayed = bytes_left(&trail) as f64;
    trail.close(own::CLOSE).expect("closes");
    // Each line counts once as read, though it is read for the plan, for its list, and for the new segment.
    let lines = retired.bytes as f64 + stayed + stayed;
    let of = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.99) as f64;
    load::print(
        &names::retire(order == Order::Interleaved),
        &[
            ("events", events as f64),
            ("retired", retired.events as f64),
            ("segments", retired.segments as f64),
            ("seconds", elapsed),
            ("lines_bytes_per_second", lines / elapsed),
            ("freed_bytes", retired.freed_bytes as f64),
            ("rss_anon_before_mib", before),
            ("rss_anon_peak_mib", peak),
            ("record_p99_ns", of(&together.calls)),
            ("record_alone_p99_ns", of(&alone.calls)),
            ("record_p99_of_alone", of(&together.calls) / of(&alone.calls)),
            ("durable_p99_ns", of(&together.durable)),
            ("durable_alone_p99_ns", of(&alone.durable)),
            ("calls", together.calls.len() as f64),
        ],
    );
    let _ = std::fs::remove_dir_all(folder);
}

/// Records the old events, of which nine tenths go.
fn fill(trail: &Trail, events: u64, order: Order) {
    let made: Vec<[Event; 2]> = load::events(1000)
        .into_iter()
        .map(|event| ["goes", "stays"].map(|of| event.clone().tenant(of)))
        .collect();
    for number in 0..events {
        let stays = match order {
            Order::Interleaved => number % 10 == 9,
            Order::Apart => number >= events / 10 * 9,
        };
        while trail.record(&made[number as usize % 1000][usize::from(stays)]).is_err() {}
    }
    trail.seal(own::CLOSE).expect("it seals");
}

/// What the writer's callers see.
struct Beside {
    /// Nanoseconds of a call.
    calls: Histogram<u64>,
    /// Nanoseconds from accepted to durable.
    durable: Histogram<u64>,
}

/// Records at `RATE` for a time, or until it is over.
fn beside(trail: &Trail, is_over: &AtomicBool, time: Option<Duration>) -> Beside {
    let is_done = AtomicBool::new(false);
    let event = |number| load::event(number).tenant("new");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| time_to_durable(trail, &is_done));
        let mut calls = load::histogram();
        let begun = Instant::now();
        let goes_on = || match time {
            Some(time) => begun.elapsed() < time,
            None => !is_over.load(Ordering::Relaxed),
        };
        while goes_on() {
            let more =
                load::paced(RATE, Duration::from_millis(100), event, |event| drop(trail.record(event)));
            calls.add(more).expect("same bounds");
        }
        is_done.store(true, Ordering::Relaxed);
        Beside { calls, durable: waiting.join().expect("ends") }
    })
}

/// How long what was accepted at some moment takes to be durable, measured again and again.
fn time_to_durable(trail: &Trail, is_done: &AtomicBool) -> Histogram<u64> {
    let mut histogram = load::histogram();
    while !is_done.load(Ordering::Relaxed) {
        let (accepted, at) = (trail.stats().accepted, Instant::now());
        while trail.durable().get() < accepted {
            std::thread::sleep(Duration::from_micros(200));
        }
        let _ = histogram.record(at.elapsed().as_nanos() as u64);
        std::thread::sleep(Duration::from_millis(1));
    }
    histogram
}

fn highest_memory(is_over: &AtomicBool) -> f64 {
    let mut highest: f64 = 0.0;
    while !is_over.load(Ordering::Relaxed) {
        highest = highest.max(load::own_memory_mib_of("self"));
        std::thread::sleep(LOOK_EVERY);
    }
    highest
}

/// The bytes of the old lines that stayed.
fn bytes_left(trail: &Trail) -> u64 {
    let mut reader = trail.reader().expect("reads");
    let (end, mut bytes) = (reader.end().get(), 0);
    let read = reader.for_each(0..end, &mut |_, line| {
        if line.windows(STAYS.len()).any(|part| part == STAYS) {
            bytes += line.len() as u64 + 1;
        }
        ControlFlow::Continue(())
    });
    read.expect("reads");
    bytes
}
