//! Promise: an event that a rule flags for review is never in the trail without its flag, nor the flag there twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::file::{Files, StdFiles};
use trailseal_core::{
    Ack, HandoffPlace, Options, RecordOptions, Roll, Status, Submission, Submitted, Submitter, Trail,
};
use trailseal_event::policy::{Mode, Policy};
use trailseal_event::{Event, Value};
use trailseal_testkit::check::check_trail;
use trailseal_testkit::fault::{FaultFiles, Survival};

/// For what must get there, however long a busy machine takes.
const DURABLE: RecordOptions = RecordOptions::new().ack(Ack::Durable).timeout(Duration::from_secs(60));
const POLICY: &str = "[[rule]]\nwhen = { action = \"refund\" }\nreview = \"look\"\n";

fn options(files: Arc<dyn Files>) -> Options {
    let mut options = Options::default();
    options.files = files;
    options.handoff.place = HandoffPlace::Memory;
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options.policy = Policy::from_toml(POLICY).unwrap();
    options
}

/// The id of every flagged event by its index, as the flags say; each event of the rule must be among them.
#[track_caller]
fn check_flags(lines: &[Vec<u8>], context: &str) -> BTreeMap<u64, String> {
    let events = || lines.iter().map(|line| Event::from_line(line).unwrap());
    let mut flags = BTreeMap::new();
    for flag in events().filter(|line| line.system && line.event.action == "trail.review_requested") {
        let details = &flag.event.details;
        let at = flag.index + details.get("ahead").and_then(Value::as_u64).unwrap();
        let id = details.get("event").and_then(Value::as_str).unwrap().to_owned();
        assert_eq!(flags.insert(at, id), None, "{context}: flagged twice");
    }
    for event in events().filter(|line| line.event.action == "refund") {
        assert_eq!(flags.get(&event.index), event.event.id.as_ref(), "{context}: event {}", event.index);
    }
    flags
}

#[test]
fn every_way_in_flags_and_tells_the_right_index() {
    let dir = tempfile::tempdir().unwrap();
    let files: Arc<dyn Files> = Arc::new(StdFiles);
    let trail = Trail::open(dir.path(), options(files.clone())).unwrap();
    let (refund, other) = (Event::new("refund"), Event::new("other"));
    let mut receipts = vec![
        trail.record(&refund).unwrap(),
        trail.record(&other).unwrap(),
        trail.with(DURABLE).record(&refund.clone().tenant("acme")).unwrap(),
    ];
    let recording = trail.with(Ack::Durable).record_async(&refund).unwrap();
    receipts.extend(trail.record_all(&[refund.clone(), other, refund.clone()]).unwrap());
    let texts = [
        r#"{"action":"refund","id":"b1"}"#,
        r#"{"action":"other"}"#,
        r#"{"action":"refund","severity":[]}"#,
        r#"{"action":"refund","id":"b1"}"#,
    ];
    let submitted: Vec<_> = texts.iter().map(|text| Submitted::json(text.as_bytes())).collect();
    let batch = trail.record_all(Submission { events: &submitted, by: &Submitter::default() }).unwrap();
    receipts.extend(batch.into_iter().filter(|receipt| receipt.status == Status::Accepted));
    // In front of a new policy the old one decides, behind it the new one.
    trail.set_policy(Policy::of_mode(Mode::Async)).unwrap();
    receipts.push(trail.record(&Event::new("unflagged")).unwrap());
    drop(recording);
    trail.close(Duration::from_secs(60)).unwrap();
    let lines = check_trail(dir.path(), &files, &[]).lines;
    for receipt in receipts {
        let line = Event::from_line(&lines[usize::try_from(receipt.index.unwrap().get()).unwrap()]).unwrap();
        assert_eq!(line.event.id.as_deref(), Some(receipt.id.as_str()));
        assert!(!line.system);
    }
    assert_eq!(check_flags(&lines, "all ways").len(), 7);
}

#[test]
fn power_loss_at_any_step_leaves_no_event_without_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultFiles::new();
    let with = |files: &FaultFiles| {
        let mut options = options(Arc::new(files.clone()));
        options.segment.roll = Roll::Bytes(3_000);
        options.seal_every = Duration::from_millis(1);
        options
    };
    let trail = Trail::open(dir.path(), with(&files)).unwrap();
    for number in 0..10 {
        let ack = if number % 4 == 0 { Ack::Durable } else { Ack::Accepted };
        let events = vec![Event::new("refund").description("x".repeat(200)); number % 3 + 1];
        trail.with(DURABLE.ack(ack)).record_all(&events).unwrap();
    }
    trail.close(Duration::from_secs(60)).unwrap();
    let steps = files.steps().len();
    for prefix in 0..=steps {
        for survival in
            [Survival::Nothing, Survival::Everything, Survival::Random(prefix as u64), Survival::Random(7)]
        {
            lost_no_flag(dir.path(), &files.after_power_loss(prefix, survival), &with, prefix);
        }
    }
    assert!(steps > 50, "only {steps} steps: the workload is too small to mean much");
}

fn lost_no_flag(dir: &Path, image: &FaultFiles, with: &dyn Fn(&FaultFiles) -> Options, prefix: usize) {
    let trail = Trail::open(dir, with(image)).unwrap();
    trail.close(Duration::from_secs(60)).unwrap();
    let image: Arc<dyn Files> = Arc::new(image.clone());
    check_flags(&check_trail(dir, &image, &[]).lines, &format!("after step {prefix}"));
}
