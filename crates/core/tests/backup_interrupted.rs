//! Promise: wherever a backup is interrupted, there is a copy that is a trail.
//!
//! On a file system that logs every primitive step: for every prefix of a backup's steps, what a power loss could leave is
//! verified, opened and recorded to. After a kill the next backup goes on from it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking, and what it measured by printing"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use support::aged::{Moved, check, options};
use support::hooked::hooked;
use support::{DURABLE, SOON, in_memory};
use trailseal_core::file::Files;
use trailseal_core::verify::{VerifyOptions, verify};
use trailseal_core::{BackupError, Folder, Options, RetentionRule, Trail, back_up};
use trailseal_event::Event;
use trailseal_testkit::check::check_trail;
use trailseal_testkit::fault::{FaultFiles, Step, Survival};

/// The tests share folders for the locks.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock of the copy is taken on a real folder.
fn copy_dir() -> &'static Path {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    FOLDER.path()
}

fn settings(files: &FaultFiles, clock: &Moved, compress: bool) -> Options {
    let mut options = in_memory::options(files, 2_500);
    options.clock = Arc::new(clock.clone());
    options.segment.compress = compress;
    options
}

fn record(trail: &Trail, tenants: &[&str]) {
    for tenant in tenants {
        let event = Event::new("test.made").tenant(*tenant).description("x".repeat(150));
        trail.with(DURABLE).record(&event).unwrap();
    }
    trail.seal(SOON).unwrap();
}

/// Records until a new segment has begun.
fn until_rolled(trail: &Trail) {
    let segments = || trail.folder().segments().unwrap().len();
    let before = segments();
    while segments() == before {
        record(trail, &["stays"]);
    }
}

fn goes() -> RetentionRule {
    RetentionRule { tenant: Some("goes".into()), ..RetentionRule::older_than_days(90) }
}

/// The copy verifies, opens, records and closes. Returns how many of its events were sealed.
#[track_caller]
fn is_whole(files: &FaultFiles, compress: bool, context: &str) -> u64 {
    let folder = Folder::new(copy_dir(), Arc::new(files.clone()));
    let before = verify(&folder, &VerifyOptions::default()).unwrap();
    // Torn lines that no checkpoint covers are for the opening, and so is a rotation that its checkpoint carries out.
    let is_for_opening = context.contains("Random") || before.message.contains("lacks the rotation");
    assert!(before.ok || is_for_opening, "{context}: {before}");
    let trail = Trail::open(copy_dir(), settings(files, &Moved::at_day(101), compress))
        .unwrap_or_else(|error| panic!("{context}: {error} ({error:?})"));
    record(&trail, &["after"]);
    trail.close(SOON).unwrap();
    let after = verify(&folder, &VerifyOptions::default()).unwrap();
    assert!(after.ok && after.retired >= before.retired, "{context}: {after}");
    let all: Arc<dyn Files> = Arc::new(files.clone());
    check_trail(copy_dir(), &all, &[]);
    before.sealed + before.retired
}

fn now(files: &FaultFiles) -> FaultFiles {
    files.after_power_loss(files.steps().len(), Survival::Everything)
}

/// The steps between the first staged segment's rename and that of the checkpoint, which cannot be one. Whatever else gets a
/// name among the segments before is copied by itself.
fn window(steps: &[Step]) -> std::ops::Range<usize> {
    let segments = copy_dir().join("segments");
    let to = |step: &Step, name: &dyn Fn(&Path) -> bool| matches!(step, Step::Rename { to, .. } if name(to));
    let last = steps.iter().position(|step| to(step, &|path| path == copy_dir().join("checkpoint"))).unwrap();
    let is_copied = |step: &Step| matches!(step, Step::Create { path, .. } if path.starts_with(&segments));
    let copied = steps[..last].iter().rposition(is_copied).unwrap();
    let is_placed = |step: &Step| to(step, &|path| path.starts_with(&segments));
    let first = copied + steps[copied..last].iter().position(is_placed).unwrap();
    first + 1..last + 2
}

/// Backs up, lets the trail go on by `meanwhile`, and backs up again.
fn each_interruption(compress: bool, is_staged: bool, meanwhile: impl Fn(&Trail, &Moved)) {
    let _alone = alone();
    let files = FaultFiles::new();
    let (source, clock) = (in_memory::dir(), Moved::at_day(0));
    let trail = Trail::open(source, settings(&files, &clock, compress)).unwrap();
    record(&trail, &["goes", "stays", "goes", "goes", "stays"]);
    until_rolled(&trail);
    record(&trail, &["stays", "stays"]);
    back_up(trail.folder(), copy_dir(), true).unwrap();
    let first = is_whole(&now(&files), compress, "the first");
    meanwhile(&trail, &clock);
    // Closed, so that only the backup makes steps.
    trail.close(SOON).unwrap();
    let before = files.steps().len();
    back_up(&Folder::new(source, Arc::new(files.clone())), copy_dir(), true).unwrap();
    let steps = files.steps().split_off(before);
    let last = is_whole(&now(&files), compress, "the last");
    assert!(steps.len() > 20 && last > first, "{} steps, {first} and {last} events", steps.len());
    let window = if is_staged { window(&steps) } else { 0..0 };
    assert!(!is_staged || window.start > 5, "{window:?} of {}", steps.len());
    let mut seen = BTreeSet::new();
    for prefix in 0..=steps.len() {
        for survival in [Survival::Nothing, Survival::Everything, Survival::Random(prefix as u64)] {
            // A kill leaves everything; of the power losses a third will do.
            if survival != Survival::Everything && prefix % 3 > 0 {
                continue;
            }
            let context = format!("after step {prefix} of {}, {survival:?}", steps.len());
            let image = || files.after_power_loss(before + prefix, survival);
            if !window.contains(&prefix) {
                seen.insert(is_whole(&image(), compress, &context));
            }
            if matches!(survival, Survival::Random(_)) {
                // Torn bytes are not the trail's: then it asks for another folder.
                continue;
            }
            let image = image();
            back_up(&Folder::new(source, Arc::new(image.clone())), copy_dir(), true)
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(is_whole(&image, compress, &context), last, "{context}");
        }
    }
    assert!(seen.contains(&first) && seen.contains(&last), "{seen:?}");
}

#[test]
fn beside_rolls_and_a_rotation() {
    each_interruption(false, false, |trail, _| {
        until_rolled(trail);
        trail.rotate_key().unwrap();
        record(trail, &["stays"; 20]);
    });
}

#[test]
fn beside_compression() {
    each_interruption(true, true, |trail, _| record(trail, &["stays"; 20]));
}

fn retire(trail: &Trail, clock: &Moved) {
    // None goes from the segment of which the copy has a part.
    until_rolled(trail);
    record(trail, &["goes", "stays", "goes", "goes"]);
    until_rolled(trail);
    record(trail, &["goes"; 30]);
    until_rolled(trail);
    clock.to_day(100);
    record(trail, &["stays"; 3]);
    assert!(trail.retain(&goes(), None).unwrap().segments_removed > 0);
    record(trail, &["stays"; 3]);
}

#[test]
fn beside_a_retirement() {
    each_interruption(false, true, retire);
}

#[test]
fn beside_a_retirement_from_compressed_segments() {
    each_interruption(true, true, retire);
}

#[test]
fn a_segment_that_was_copied_in_part_and_retired_since_is_no_part_of_a_copy() {
    // Retired before the backup begins, or after it has looked at the lists.
    for is_beside in [false, true] {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let clock = Moved::at_day(0);
        let trail = Trail::open(dir.path(), options(&clock)).unwrap();
        record(&trail, &["stays", "goes", "goes", "goes", "stays"]);
        back_up(trail.folder(), copy.path(), true).unwrap();
        let before = check(copy.path());
        record(&trail, &["goes", "stays", "goes"]);
        until_rolled(&trail);
        clock.to_day(100);
        record(&trail, &["stays"]);
        let (same, is_first) = (trail.clone(), AtomicBool::new(true));
        let source = dir.path().join("tree/0");
        let files = hooked(move |what, path: &Path| {
            if is_beside && what == "open" && path == source && is_first.swap(false, Ordering::SeqCst) {
                assert!(same.retain(&goes(), None).unwrap().events > 0);
            }
            Ok(())
        });
        if !is_beside {
            assert!(trail.retain(&goes(), None).unwrap().events > 0);
        }
        let refused = back_up(&Folder::new(dir.path(), files), copy.path(), true).unwrap_err();
        assert!(matches!(refused, BackupError::WentOn { .. }), "{refused}");
        assert!(refused.to_string().contains("in the middle of a segment"), "{refused}");
        assert_eq!(check(copy.path()), before, "the copy is as it was");
        let fresh = tempfile::tempdir().unwrap();
        back_up(trail.folder(), fresh.path(), true).unwrap();
        assert_eq!(check(fresh.path()).retired, check(dir.path()).retired);
        trail.close(SOON).unwrap();
    }
}
