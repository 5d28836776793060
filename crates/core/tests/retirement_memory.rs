//! Promise: what a retirement needs in memory does not grow with the trail, however the lines that go and those that stay
//! lie among each other.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "an allocator that counts is unsafe; a test says what is wrong by panicking"
)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use support::aged::{Moved, check, options};
use support::{DURABLE, SOON};
use trailseal_core::{RetentionRule, Roll, Trail};
use trailseal_event::Event;

/// Counts what is allocated and not freed.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator; only numbers are added up.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        HIGHEST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The bytes that the plan of a retirement of every second line takes at once, at most, beyond what the trail holds before.
/// What the rest takes depends on the largest segment, and on how many segments one event names.
fn highest(lines: usize) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::at_day(0);
    let mut options = options(&clock);
    options.segment.roll = Roll::Bytes(100_000);
    options.handoff.size_bytes = 16 << 20;
    let trail = Trail::open(dir.path(), options).unwrap();
    for number in 0..lines {
        let tenant = if number % 2 == 0 { "goes" } else { "stays" };
        trail.record(&Event::new("test.made").id(format!("id-{number}")).tenant(tenant)).unwrap();
        // However slow the writer is, no segment is much larger than that.
        if number % 200 == 0 {
            trail.flush(SOON).unwrap();
        }
    }
    trail.seal(SOON).unwrap();
    clock.to_day(100);
    trail.with(DURABLE).record(&Event::new("test.made")).unwrap();
    let rule = RetentionRule { tenant: Some("goes".into()), ..RetentionRule::older_than_days(90) };
    let before = HELD.load(Ordering::Relaxed);
    HIGHEST.store(before, Ordering::Relaxed);
    trail.would_retain(&rule).unwrap();
    let highest = HIGHEST.load(Ordering::Relaxed) - before;
    let retained = trail.retain(&rule, None).unwrap();
    assert!(retained.events as usize > lines / 3 && retained.segments > 2, "{retained:?}");
    trail.close(SOON).unwrap();
    assert_eq!(check(dir.path()).retired, retained.events);
    highest
}

#[test]
fn memory_is_that_of_one_segment() {
    let (few, many) = (highest(5_000), highest(40_000));
    println!("{few} bytes for a small trail, {many} for one of eight times as many lines");
    // A path and a few sums for each of about 80 segments; 16 bytes for each range would be 300,000.
    assert!(many < few + 100_000, "{few} and {many}");
}
