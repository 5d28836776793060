//! Promise: killed anywhere, a retirement has finished or not begun; nothing that is held or undelivered goes.
//!
//! A workload with three retirements runs once on a file system that logs every primitive step. For every prefix of that
//! log, what a power loss could leave is opened and checked; and the workload runs once for each step that fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what is wrong by panicking, and what it measured by printing"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use support::DURABLE;
use support::aged::Moved;
use support::in_memory::{dir, options};
use trailseal_core::file::Files;
use trailseal_core::verify::{VerifyOptions, verify};
use trailseal_core::{Ack, Folder, OpenError, RetentionRule, Status, Trail, retired_in};
use trailseal_event::{Event, Value};
use trailseal_testkit::check::check_trail;
use trailseal_testkit::fault::{Fault, FaultFiles, Step, Survival};

/// The tests share one folder for the lock.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

const SOON: Duration = Duration::from_secs(60);
const ROLL_BYTES: u64 = 2_500;

/// What must be there for ever.
#[derive(Clone, Default)]
struct Kept {
    /// Held or too young, each with a text that it contains.
    events: Vec<(u64, String)>,
}

fn event(number: usize) -> Event {
    let tenant = match number % 3 {
        0 => "held",
        1 => "odd",
        _ => "even",
    };
    Event::new("test.aged").id(format!("id-{number}")).tenant(tenant).description(mark(number))
}

fn mark(number: usize) -> String {
    format!("event {number:03} {}", "x".repeat(150))
}

fn open(files: &FaultFiles, clock: &Moved, compress: bool) -> Result<Trail, OpenError> {
    let mut options = options(files, ROLL_BYTES);
    options.clock = Arc::new(clock.clone());
    options.segment.compress = compress;
    Trail::open(dir(), options)
}

fn record(trail: &Trail, numbers: std::ops::Range<usize>, must_stay: bool, kept: &mut Kept) {
    for number in numbers {
        let Ok(receipt) = trail.with(Ack::Durable).record(&event(number)) else { continue };
        if receipt.status == Status::Durable && (must_stay || number % 3 == 0) {
            kept.events.push((receipt.index.unwrap().get(), mark(number)));
        }
    }
}

/// Two retirements of parts, a third of the rest, around a rotation and a reopening. Returns what must be there.
fn workload(files: &FaultFiles, compress: bool) -> Result<Kept, OpenError> {
    let (clock, mut kept) = (Moved::at_day(0), Kept::default());
    let trail = open(files, &clock, compress)?;
    let filters = [("tenant".to_owned(), "held".to_owned())];
    // Without a hold, nothing is kept by one.
    let is_held = trail.add_hold("case 7", "a dispute", &filters).is_ok();
    record(&trail, 0..24, false, &mut kept);
    let _ = trail.seal(SOON);
    clock.to_day(100);
    record(&trail, 24..40, true, &mut kept);
    if !is_held {
        kept.events.retain(|(_, text)| *text >= mark(24));
    }
    let tenant =
        |name: &str| RetentionRule { tenant: Some(name.into()), ..RetentionRule::older_than_days(90) };
    let _ = trail.retain(&tenant("odd"), None);
    let _ = trail.rotate_key();
    let _ = trail.close(SOON);
    let trail = open(files, &clock, compress)?;
    let _ = trail.retain(&tenant("even"), None);
    let _ = trail.retain(&RetentionRule::older_than_days(90), None);
    let _ = trail.close(SOON);
    Ok(kept)
}

/// Opens what is there, records on, and checks everything.
fn goes_on(files: &FaultFiles, kept: &Kept, compress: bool, context: &str) -> BTreeSet<u64> {
    let clock = Moved::at_day(101);
    let trail =
        open(files, &clock, compress).unwrap_or_else(|error| panic!("{context}: {error} ({error:?})"));
    let receipt = trail.with(DURABLE).record(&Event::new("test.after")).unwrap();
    assert_eq!(receipt.status, Status::Durable, "{context}");
    trail.seal(SOON).unwrap();
    trail.close(SOON).unwrap();
    println!("{context}");
    let all: Arc<dyn Files> = Arc::new(files.clone());
    let checked = check_trail(dir(), &all, &kept.events);
    let verdict = verify(&Folder::new(dir(), all.clone()), &VerifyOptions::default()).unwrap();
    assert!(verdict.ok, "{context}: {verdict}");
    assert_eq!((verdict.retired, checked.sealed), (checked.retired, checked.lines.len() as u64), "{context}");
    // Finished, or not begun: nothing half done is left.
    let names = all.list(&dir().join("segments")).unwrap();
    let is_copy = |name: &String| name.ends_with(".jsonl.tmp") || name.ends_with(".zst.tmp");
    assert!(!names.iter().any(is_copy), "{context}: {names:?}");
    let listed = retired_in(&Folder::new(dir(), all.clone())).unwrap();
    let listed: u64 = listed.iter().map(|segment| segment.retired).sum();
    assert_eq!(listed, checked.retired, "{context}: lists say more than was retired");
    assert!(all.read(&dir().join("retiring"), 1 << 20).is_err(), "{context}: still retiring");
    let gone: BTreeSet<u64> =
        (0..).zip(&checked.lines).filter(|(_, line)| line.is_empty()).map(|(index, _)| index).collect();
    let announced = announced(&*all, &checked.lines, context);
    assert_eq!(
        announced, gone,
        "{context}: an event vouches for lines that are there, or for none that are gone"
    );
    gone
}

/// What all events `trail.retired` announce. They are sealed by now, so each list must be there as it was announced.
fn announced(files: &dyn Files, lines: &[Vec<u8>], context: &str) -> BTreeSet<u64> {
    let mut announced = BTreeSet::new();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        let event = Value::parse(line).unwrap();
        if event.get("action").and_then(Value::as_str) != Some("trail.retired") {
            continue;
        }
        for list in event.get_path("details.segments").and_then(Value::as_array).unwrap() {
            let number = |key: &str| list.get(key).and_then(Value::as_u64).unwrap();
            let path = dir().join(format!("segments/{:020}.retired", number("first")));
            let bytes = files.read(&path, 1 << 20).unwrap_or_else(|error| panic!("{context}: {error}"));
            let part =
                bytes.get(..number("bytes") as usize).unwrap_or_else(|| panic!("{context}: {bytes:?}"));
            for range in String::from_utf8_lossy(part).lines() {
                let (from, to) = range.split_once(' ').unwrap();
                announced.extend(from.parse::<u64>().unwrap()..to.parse().unwrap());
            }
        }
    }
    announced
}

/// The numbers of the steps at which a retirement is going on, and of those around it.
fn retiring(steps: &[Step]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut is_going_on = false;
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Create { path, .. } if path.ends_with("retiring.tmp") => is_going_on = true,
            Step::Remove { path } if path.ends_with("retiring") => {
                found.push(number);
                found.push(number + 1);
                found.push(number + 2);
                is_going_on = false;
            }
            _ => {}
        }
        if is_going_on {
            found.push(number);
        }
    }
    assert!(found.len() > 100, "{} steps", found.len());
    found
}

fn every_prefix(compress: bool) {
    let files = FaultFiles::new();
    let kept = workload(&files, compress).unwrap();
    assert!(kept.events.len() > 20, "{} events must stay", kept.events.len());
    let gone = goes_on(&files, &kept, compress, "after everything");
    assert!(gone.len() > 10, "{gone:?}");
    let steps = files.steps();
    let mut seen = BTreeSet::new();
    // What differs for compressed ones is how a segment is written again: a third of the steps meets all of that.
    let numbers: Vec<usize> = retiring(&steps).into_iter().step_by(if compress { 3 } else { 1 }).collect();
    for &prefix in &numbers {
        for survival in [Survival::Nothing, Survival::Everything, Survival::Random(prefix as u64)] {
            let image = files.after_power_loss(prefix, survival);
            let context = format!("after step {prefix}, {survival:?}");
            let before = kept.events.iter().filter(|(_, text)| *text < mark(40)).cloned().collect();
            let left = goes_on(&image, &Kept { events: before }, compress, &context);
            assert!(left.is_subset(&gone), "{context}: {left:?} of {gone:?}");
            seen.insert(left.len());
        }
    }
    println!("{} steps, numbers of retired events seen: {seen:?}", numbers.len());
    assert!(seen.contains(&0) && seen.len() >= 3, "{seen:?}");
}

#[test]
fn every_prefix_of_retirements_has_finished_them_or_not_begun() {
    let _alone = alone();
    every_prefix(false);
}

#[test]
fn every_prefix_of_retirements_from_compressed_segments_does_too() {
    let _alone = alone();
    every_prefix(true);
}

fn run(step: usize, fault: Fault) -> bool {
    let files = FaultFiles::new();
    files.fail_at(step, fault);
    let kept = workload(&files, false).unwrap_or_default();
    let has_failed = files.has_failed();
    files.fail_at(usize::MAX, fault);
    goes_on(&files, &kept, false, &format!("step {step}, {fault:?}"));
    has_failed
}

#[test]
fn each_single_operation_of_a_retirement_may_fail() {
    let _alone = alone();
    let files = FaultFiles::new();
    workload(&files, false).unwrap();
    let steps = retiring(&files.steps());
    for fault in [Fault::Fail, Fault::FailButDone, Fault::Short, Fault::NoSpace] {
        // Threads make the number of steps differ a little from run to run; every operation is met by some fault.
        let failed = steps.iter().filter(|step| run(**step, fault)).count();
        println!("{fault:?}: {failed} of {} operations failed in turn", steps.len());
        assert!(failed > 100, "the workload has only {failed} operations");
    }
}
