//! Promise: a backup of a trail with retired lines is a trail as good as it, also one that was begun before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what is wrong by panicking, and what it measured by printing"
)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::SOON;
use support::aged::{Moved, aged, check, options, record};
use support::hooked::hooked;
use trailseal_core::tree::rebuild_tree;
use trailseal_core::{Folder, RetentionRule, Trail, back_up};

fn size_of(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir.join("segments")).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_backup_goes_on_over_retirements() {
    for compress in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let copy = tempfile::tempdir().unwrap();
        let clock = Moved::default();
        let mut options = options(&clock);
        options.segment.compress = compress;
        let trail = aged(dir.path(), options.clone(), &clock);
        back_up(trail.folder(), copy.path(), true).unwrap();
        assert_eq!(check(copy.path()).retired, 0);
        let before = size_of(copy.path());
        let odd = RetentionRule { tenant: Some("odd".into()), ..RetentionRule::older_than_days(90) };
        let mut retired = 0;
        for rule in [odd, RetentionRule::older_than_days(90)] {
            retired += trail.retain(&rule, None).unwrap().events;
            back_up(trail.folder(), copy.path(), true).unwrap();
            assert_eq!(check(copy.path()).retired, retired);
        }
        assert!(size_of(copy.path()) < before, "{} of {before}", size_of(copy.path()));
        record(&trail, 110..150);
        back_up(trail.folder(), copy.path(), true).unwrap();
        trail.close(SOON).unwrap();
        let copied = Trail::open(copy.path(), options).unwrap();
        record(&copied, 150..160);
        copied.close(SOON).unwrap();
        assert_eq!(check(copy.path()).retired, retired);
        // One that begins now has it all, too.
        let fresh = tempfile::tempdir().unwrap();
        let folder =
            trailseal_core::Folder::new(dir.path(), std::sync::Arc::new(trailseal_core::file::StdFiles));
        back_up(&folder, fresh.path(), true).unwrap();
        assert_eq!(check(fresh.path()).retired, retired);
    }
}

#[test]
fn a_retirement_at_the_end_of_a_backup_is_in_the_copy_whole() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let odd = RetentionRule { tenant: Some("odd".into()), ..RetentionRule::older_than_days(90) };
    let mut retired = trail.retain(&odd, None).unwrap().events;
    let (same, is_first, checkpoint) = (trail.clone(), AtomicBool::new(true), copy.path().join("checkpoint"));
    let more = Arc::new(AtomicU64::new(0));
    let told = more.clone();
    // After the lists were compared, and before the segments that have one are copied again.
    let files = hooked(move |what, path: &Path| {
        if what == "replace" && path == checkpoint && is_first.swap(false, Ordering::SeqCst) {
            let retained = same.retain(&RetentionRule::older_than_days(90), None).unwrap();
            told.store(retained.events, Ordering::SeqCst);
        }
        Ok(())
    });
    back_up(&Folder::new(dir.path(), files), copy.path(), true).unwrap();
    assert!(more.load(Ordering::SeqCst) > 30);
    retired += more.load(Ordering::SeqCst);
    assert_eq!(check(copy.path()).retired, retired);
    trail.close(SOON).unwrap();
}

#[test]
fn the_tree_is_rebuilt_around_retired_lines() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    trail.retain(&RetentionRule::older_than_days(90), None).unwrap();
    record(&trail, 110..500);
    trail.close(SOON).unwrap();
    let folder = trailseal_core::Folder::new(dir.path(), std::sync::Arc::new(trailseal_core::file::StdFiles));
    fs::remove_file(dir.path().join("tree/1")).unwrap();
    rebuild_tree(&folder).unwrap();
    check(dir.path());
    // Without the hashes of what is gone there is no way, and nothing is written.
    fs::remove_file(dir.path().join("tree/0")).unwrap();
    assert!(rebuild_tree(&folder).is_err());
    assert!(!dir.path().join("tree/0").exists());
}
