//! Trails with old events: a clock that tests move.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use trailseal_core::clock::Clock;
use trailseal_core::file::{Files, StdFiles};
use trailseal_core::verify::{Verdict, VerifyOptions, verify};
use trailseal_core::{Folder, Options, Roll, Trail};
use trailseal_event::{Event, Timestamp};
use trailseal_testkit::check::{Checked, check_trail};

pub const DAY: i64 = 24 * 3_600 * 1_000_000;

/// A clock that stands still until it is moved, but never gives one time twice.
#[derive(Clone, Default)]
pub struct Moved(Arc<AtomicI64>);

impl Moved {
    pub fn at_day(day: i64) -> Self {
        let clock = Moved::default();
        clock.to_day(day);
        clock
    }

    pub fn to_day(&self, day: i64) {
        self.0.store(
            Timestamp::parse("2026-01-01T00:00:00Z").unwrap().as_micros() + day * DAY,
            Ordering::SeqCst,
        );
    }
}

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

pub fn options(clock: &Moved) -> Options {
    let mut options = Options::default();
    options.origin = Some("example.com/aged".into());
    options.clock = Arc::new(clock.clone());
    options.handoff.size_bytes = 1 << 20;
    options.segment.roll = Roll::Bytes(4_000);
    options.seal_every = Duration::from_millis(1);
    options.disk_reserve_bytes = Some(0);
    options
}

pub fn event(number: usize) -> Event {
    let tenant = if number.is_multiple_of(2) { "even" } else { "odd" };
    Event::new("test.made")
        .id(format!("id-{number}"))
        .tenant(tenant)
        .description(format!("number {number} {}", "x".repeat(300)))
}

pub fn record(trail: &Trail, numbers: std::ops::Range<usize>) {
    for number in numbers {
        trail.with(super::DURABLE).record(&event(number)).unwrap();
    }
    trail.seal(Duration::from_secs(60)).unwrap();
}

/// A trail with 100 events of day 0 and 10 of day 100, still open on day 100.
pub fn aged(dir: &Path, options: Options, clock: &Moved) -> Trail {
    clock.to_day(0);
    let trail = Trail::open(dir, options).unwrap();
    record(&trail, 0..100);
    clock.to_day(100);
    record(&trail, 100..110);
    trail
}

pub fn verdict(dir: &Path) -> Verdict {
    verify(&Folder::new(dir, Arc::new(StdFiles)), &VerifyOptions::default()).unwrap()
}

#[track_caller]
pub fn check(dir: &Path) -> Checked {
    let verdict = verdict(dir);
    assert!(verdict.ok, "{verdict}");
    let files: Arc<dyn Files> = Arc::new(StdFiles);
    let checked = check_trail(dir, &files, &[]);
    assert_eq!(checked.retired, verdict.retired, "{verdict}");
    checked
}
