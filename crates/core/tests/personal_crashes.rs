//! Promise: a durable line's key is durable; killed anywhere, an erasure has finished or not begun; and whatever is left,
//! no personal value is ever in plain text.
//!
//! A workload with people and erasures runs once on a file system that logs every primitive step. For every prefix of that
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
use support::in_memory::{dir, holds, options};
use trailseal_core::file::Files;
use trailseal_core::verify::{VerifyOptions, verify};
use trailseal_core::{Ack, Folder, Notice, OnNotice, OpenError, Status, Trail};
use trailseal_event::Event;
use trailseal_event::personal::reveal;
use trailseal_event::policy::Policy;
use trailseal_testkit::check::check_trail;
use trailseal_testkit::fault::{Fault, FaultFiles, Step, Survival};

/// The tests share one folder for the lock.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

const SOON: Duration = Duration::from_secs(60);
const SECRET: &str = "Zq7Rhubarb";

fn open(files: &FaultFiles) -> Result<Trail, OpenError> {
    open_and_tell(files, None)
}

fn open_and_tell(files: &FaultFiles, on_notice: Option<OnNotice>) -> Result<Trail, OpenError> {
    let mut options = options(files, 4_000);
    options.on_notice = on_notice;
    let policy = "[[personal]]\nfield = \"actor.email\"\nsubject = \"actor.id\"";
    options.policy = Policy::from_toml(policy).unwrap();
    Trail::open(dir(), options)
}

fn event(person: usize) -> Event {
    Event::new("test.personal").actor(format!("u{person}")).actor_email(mail(person))
}

fn mail(person: usize) -> String {
    format!("{SECRET}-{person}")
}

/// Which lines were confirmed to be on disk, each with its person; and who was erased, for certain.
#[derive(Clone, Debug, Default)]
struct Told {
    lines: Vec<(u64, usize)>,
    erased: BTreeSet<usize>,
}

fn record(trail: &Trail, people: std::ops::Range<usize>, told: &mut Told, files: &FaultFiles) {
    for person in people {
        let Ok(receipt) = trail.with(Ack::Durable).record(&event(person)) else { continue };
        if let (Status::Durable, Some(index)) = (receipt.status, receipt.index) {
            files.acknowledge(index.get());
            told.lines.push((index.get(), person));
        }
    }
}

fn erase(trail: &Trail, person: usize, told: &mut Told) {
    if trail.erase(&format!("u{person}")).is_ok() {
        told.erased.insert(person);
    }
}

/// People come, two are erased, one of them comes again; around a reopening.
fn workload(files: &FaultFiles) -> Result<Told, OpenError> {
    let mut told = Told::default();
    let trail = open(files)?;
    record(&trail, 0..4, &mut told, files);
    erase(&trail, 1, &mut told);
    record(&trail, 3..6, &mut told, files);
    let _ = trail.close(SOON);
    let trail = open(files)?;
    record(&trail, 4..8, &mut told, files);
    erase(&trail, 5, &mut told);
    // Before anything of it is synced by whoever waits.
    let _ = trail.record(&event(8));
    let _ = trail.close(SOON);
    Ok(told)
}

/// Opens what is there, records on, and checks everything. `may_be_erased` may have lost their keys or not.
fn goes_on(files: &FaultFiles, told: &Told, may_be_erased: &BTreeSet<usize>, when: &str) {
    let trail = open(files).unwrap_or_else(|error| panic!("{when}: {error} ({error:?})"));
    let receipt = trail.with(DURABLE).record(&event(9)).unwrap();
    assert_eq!(receipt.status, Status::Durable, "{when}");
    assert!(trail.seal(SOON).is_ok(), "{when}");
    let keys = trail.personal_keys().unwrap();
    let all: Arc<dyn Files> = Arc::new(files.clone());
    let checked = check_trail(dir(), &all, &[]);
    let shown = |index: u64| {
        let line = reveal(&checked.lines[index as usize], Some(&*keys)).into_owned();
        String::from_utf8(line).unwrap()
    };
    assert!(shown(receipt.index.unwrap().get()).contains(&mail(9)), "{when}: a new value is not there");
    for (index, person) in &told.lines {
        let line = shown(*index);
        let is_there = line.contains(&format!("{:?}", mail(*person)));
        let is_erased = line.contains(r#""erased""#);
        if told.erased.contains(person) {
            // It may have come again with another key.
            assert!(is_erased || is_there, "{when}: {line}");
        } else {
            assert!(is_there || is_erased && may_be_erased.contains(person), "{when}: {line}");
        }
    }
    for path in [dir().join("erasing"), dir().join("erasing.tmp")] {
        assert!(all.read(&path, 1 << 20).is_err() || path.ends_with("erasing.tmp"), "{when}: still erasing");
    }
    // Whoever was erased for certain has no key of that time; and who was not erased is not on the list.
    let list = all.read(&dir().join("erased"), 1 << 20).unwrap_or_default();
    let listed = String::from_utf8(list).unwrap().lines().count();
    assert!(
        listed >= told.erased.len() && listed <= may_be_erased.len().max(told.erased.len()),
        "{when}: {listed}"
    );
    for person in &told.erased {
        assert!(trail.erase(&format!("u{person}")).is_ok(), "{when}");
    }
    trail.close(SOON).unwrap();
    let verdict = verify(&Folder::new(dir(), all.clone()), &VerifyOptions::default()).unwrap();
    assert!(verdict.ok, "{when}: {verdict}");
    holds(files.clone(), &[], when);
    nowhere(files, when);
}

fn nowhere(files: &FaultFiles, when: &str) {
    let folder = tempfile::tempdir().unwrap();
    files.copy_to(folder.path()).unwrap();
    for (path, bytes) in support::contents(folder.path()) {
        let is_there = bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        assert!(!is_there, "{when}: {} holds a personal value", path.display());
    }
}

#[test]
fn every_prefix_has_keys_for_its_lines_and_erasures_that_finished_or_not_begun() {
    let _alone = alone();
    let files = FaultFiles::new();
    let told = workload(&files).unwrap();
    assert_eq!((told.lines.len(), told.erased.len()), (11, 2));
    goes_on(&files, &told, &told.erased, "after everything");
    let steps = files.steps();
    let mut images = 0;
    for prefix in 0..=steps.len() {
        let confirmed: BTreeSet<u64> = steps[..prefix]
            .iter()
            .filter_map(|step| if let Step::Acknowledged { index } = step { Some(*index) } else { None })
            .collect();
        let lines = told.lines.iter().filter(|(index, _)| confirmed.contains(index)).copied().collect();
        let before = Told { lines, erased: BTreeSet::new() };
        for survival in [Survival::Nothing, Survival::Everything, Survival::Random(prefix as u64)] {
            let image = files.after_power_loss(prefix, survival);
            goes_on(&image, &before, &told.erased, &format!("after step {prefix}, {survival:?}"));
            images += 1;
        }
    }
    println!("{} steps, {images} images", steps.len());
    assert!(images > 500, "only {images} images: the workload is too small to mean much");
}

#[test]
fn each_single_operation_may_fail() {
    let _alone = alone();
    let files = FaultFiles::new();
    workload(&files).unwrap();
    let steps = files.steps().len();
    let everybody: BTreeSet<usize> = [1, 5].into();
    for (failures, fault) in
        [Fault::Fail, Fault::Short, Fault::FailButDone, Fault::NoSpace].into_iter().enumerate()
    {
        let mut failed = 0;
        // Each operation is met by two of the faults.
        for step in (0..steps).skip(failures % 2).step_by(2) {
            let files = FaultFiles::new();
            files.fail_at(step, fault);
            let mut told = workload(&files).unwrap_or_default();
            failed += usize::from(files.has_failed());
            files.fail_at(usize::MAX, fault);
            // A value whose key could not be kept is masked.
            let all: Arc<dyn Files> = Arc::new(files.clone());
            if all.open_read(&dir().join("trail.toml")).is_ok() {
                let lines = check_trail(dir(), &all, &[]).lines;
                told.lines.retain(|(index, _)| {
                    let line =
                        lines.get(*index as usize).map(|line| String::from_utf8_lossy(line).into_owned());
                    line.is_some_and(|line| !line.contains(r#""email":"***""#))
                });
            }
            goes_on(&files, &told, &everybody, &format!("step {step}, {fault:?}"));
        }
        println!("{fault:?}: {failed} of {steps} operations failed in turn");
        assert!(failed > 50, "the workload has only {failed} operations");
    }
}

#[test]
fn keys_that_cannot_be_synced_hold_up_the_lines_that_name_them() {
    let _alone = alone();
    let files = FaultFiles::new();
    let trail = open(&files).unwrap();
    trail.with(DURABLE).record(&event(0)).unwrap();
    files.set_broken(true);
    // A person who has a key waits for the disk; one who has none is masked.
    trail.record(&event(0)).unwrap();
    let masked = trail.record(&event(1)).unwrap().index.unwrap();
    let stats = trail.stats().personal.unwrap();
    assert_eq!(stats.not_kept, 1, "{stats:?}");
    assert!(stats.trouble.is_some());
    files.set_broken(false);
    trail.flush(SOON).unwrap();
    let stats = trail.stats().personal.unwrap();
    assert_eq!(stats.not_kept, 1);
    trail.with(DURABLE).record(&event(2)).unwrap();
    assert_eq!(trail.stats().personal.unwrap().trouble, None);
    trail.seal(SOON).unwrap();
    trail.close(SOON).unwrap();
    let all: Arc<dyn Files> = Arc::new(files.clone());
    let lines = check_trail(dir(), &all, &[]).lines;
    assert!(String::from_utf8_lossy(&lines[masked.get() as usize]).contains(r#""email":"***""#));
    nowhere(&files, "after a broken disk");
}

#[test]
fn after_a_failed_sync_keys_are_written_again() {
    let _alone = alone();
    let is_keys = |step: &Step| match step {
        Step::Create { path, inode } if path.ends_with("keys/personal.tmp") => Some(*inode),
        _ => None,
    };
    let run = |fail_at: Option<usize>| {
        let (files, failed) = (FaultFiles::new(), Arc::new(Mutex::new(false)));
        if let Some(step) = fail_at {
            files.fail_at(step, Fault::Fail);
        }
        let told = failed.clone();
        let on_notice: OnNotice = Arc::new(move |notice: &Notice| {
            *told.lock().unwrap() |= matches!(notice, Notice::PersonalKeysFailed { .. });
        });
        if let Ok(trail) = open_and_tell(&files, Some(on_notice)) {
            for person in 0..3 {
                let _ = trail.with(Ack::Durable).record(&event(person));
            }
            let _ = trail.close(SOON);
        }
        (files.steps(), *failed.lock().unwrap())
    };
    let (steps, _) = run(None);
    let keys = steps.iter().find_map(is_keys).unwrap();
    let mut checked = 0;
    for at in (0..steps.len()).filter(|at| steps[*at] == Step::Sync { inode: keys }) {
        let (steps, has_failed) = run(Some(at));
        if !has_failed {
            continue;
        }
        let keys = steps.iter().find_map(is_keys).unwrap();
        let after = steps[at..].iter().take_while(|step| **step != Step::Sync { inode: keys });
        let is_written = |step: &Step| matches!(step, Step::Write { inode, .. } if *inode == keys);
        assert!(after.into_iter().any(is_written), "a second sync alone was believed");
        checked += 1;
    }
    assert!(checked > 0, "no sync of keys has failed");
}
