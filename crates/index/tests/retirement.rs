//! Promise: what was retired is neither found nor counted by the index, whether it was indexed before or comes later,
//! and nothing else is lost by that.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use trailseal_core::clock::Clock;
use trailseal_core::file::StdFiles;
use trailseal_core::{Ack, Folder, Options, RecordOptions, RetentionRule, Roll, Trail};
use trailseal_event::filter::Filter;
use trailseal_event::{Event, Timestamp};
use trailseal_index::{FOLDER, IndexOptions, IndexView, Indexer, Order, Search, compare, remove};

const ORIGIN: &str = "example.org/retired";
const WAIT: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 3_600 * 1_000_000;

struct Moved(AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

fn open(dir: &Path, clock: &Arc<Moved>) -> Trail {
    let mut options = Options::default();
    options.origin = Some(ORIGIN.into());
    options.clock = clock.clone();
    options.handoff.size_bytes = 1 << 20;
    options.segment.roll = Roll::Bytes(3_000);
    options.seal_every = Duration::from_millis(1);
    options.disk_reserve_bytes = Some(0);
    Trail::open(dir, options).unwrap()
}

/// Small ranges, so that there are many.
fn index(dir: &Path) -> Indexer {
    let options = IndexOptions { range_events: 50, ..IndexOptions::new(ORIGIN) };
    Indexer::open(dir.join(FOLDER), options).unwrap()
}

fn record(trail: &Trail, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let tenant = ["a", "b", "c"][number as usize % 3];
        let event = Event::new("test.made")
            .tenant(tenant)
            .actor(format!("u{}", number % 7))
            .id(format!("id-{number}"));
        trail.with(RecordOptions::from(Ack::Durable).timeout(WAIT)).record(&event).unwrap();
    }
    trail.seal(WAIT).unwrap();
}

fn filters() -> Vec<Filter> {
    [
        &[][..],
        &[("system", "true")],
        &[("tenant", "a")],
        &[("tenant", "b")],
        &[("actor", "u3")],
        &[("id", "id-40")],
    ]
    .into_iter()
    .map(|pairs| Filter::from_pairs(pairs.iter().copied(), Timestamp::from_micros(0)).unwrap())
    .collect()
}

/// What a reading of all lines finds.
fn scanned(dir: &Path, filter: &Filter) -> Vec<u64> {
    let mut reader = trailseal_core::Reader::open(dir, Arc::new(StdFiles)).unwrap();
    let (end, mut found) = (reader.end().get(), Vec::new());
    reader
        .for_each(0..end, &mut |index, line| {
            found.extend(filter.accept(line).map(|_| index.get()));
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

/// What the index alone finds.
fn indexed(view: &mut IndexView, filter: &Filter, order: Order) -> Vec<u64> {
    let mut found = Vec::new();
    view.candidates(filter, order, 0..u64::MAX, &mut |candidate| {
        found.push(candidate.index.get());
        ControlFlow::Continue(())
    })
    .unwrap();
    found.sort_unstable();
    found
}

#[track_caller]
fn agrees(dir: &Path, view: &mut IndexView) {
    view.refresh().unwrap();
    let mut search = Search::open(dir, Arc::new(StdFiles)).unwrap();
    for filter in filters() {
        let expected = scanned(dir, &filter);
        for order in [Order::NEWEST, Order::OLDEST, Order::NEWEST_RECORDED, Order::OLDEST_RECORDED] {
            assert_eq!(indexed(view, &filter, order), expected, "{filter:?} {order:?}");
        }
        assert_eq!(search.count(&filter).unwrap(), expected.len() as u64, "{filter:?}");
    }
    let folder = Folder::new(dir, Arc::new(StdFiles));
    assert_eq!(compare(&folder, ORIGIN).unwrap(), [], "index and lines");
}

fn wait_for(trail: &Trail, view: &mut IndexView, what: &str, done: impl Fn(&mut IndexView) -> bool) {
    let begun = Instant::now();
    loop {
        view.refresh().unwrap();
        if view.cursor() == trail.durable() && done(view) {
            return;
        }
        assert!(begun.elapsed() < WAIT, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn retired_lines_vanish_from_the_index_and_from_counts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let begin = Timestamp::parse("2026-01-01T00:00:00Z").unwrap().as_micros();
    let clock = Arc::new(Moved(begin.into()));
    let trail = open(dir, &clock);
    trail.deliver_to(Box::new(index(dir))).unwrap();
    record(&trail, 0..220);
    clock.0.store(begin + 100 * DAY, Ordering::SeqCst);
    record(&trail, 220..240);
    let view = || IndexView::open(dir.join(FOLDER), ORIGIN).unwrap();
    let begun = Instant::now();
    let mut view = loop {
        if let Some(view) = view() {
            break view;
        }
        assert!(begun.elapsed() < WAIT);
    };
    wait_for(&trail, &mut view, "everything is indexed", |_| true);
    agrees(dir, &mut view);
    // A part of each range, then all that is old.
    for tenant in [Some("b".to_owned()), None] {
        let rule = RetentionRule { tenant, ..RetentionRule::older_than_days(90) };
        let retained = trail.retain(&rule, None).unwrap();
        assert!(retained.events > 60, "{retained:?}");
        let all = Filter::default();
        let left = scanned(dir, &all);
        wait_for(&trail, &mut view, "they vanish", |view| indexed(view, &all, Order::OLDEST) == left);
        agrees(dir, &mut view);
    }
    record(&trail, 240..300);
    wait_for(&trail, &mut view, "it goes on", |_| true);
    agrees(dir, &mut view);
    trail.close(WAIT).unwrap();
    // Made anew from what is left.
    remove(dir.join(FOLDER)).unwrap();
    let trail = open(dir, &clock);
    trail.deliver_to(Box::new(index(dir))).unwrap();
    record(&trail, 300..310);
    let begun = Instant::now();
    let mut again = loop {
        if let Some(view) = IndexView::open(dir.join(FOLDER), ORIGIN).unwrap() {
            break view;
        }
        assert!(begun.elapsed() < WAIT);
    };
    wait_for(&trail, &mut again, "everything is indexed again", |_| true);
    agrees(dir, &mut again);
    trail.close(WAIT).unwrap();
    agrees(dir, &mut again);
}
