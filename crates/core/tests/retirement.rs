//! Promise: old events go when they must, and everything that remains is still proved.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what is wrong by panicking, and what it measured by printing"
)]

mod support;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use support::aged::{Moved, aged, check, event, options, record, verdict};
use support::hooked::hooked;
use support::{SOON, copy, segments};
use trailseal_core::deliver::Position;
use trailseal_core::{
    Ack, Archive, ArchiveError, Archived, ForgetSinkError, HoldError, KnownIds, KnownIdsError, OpenError,
    ReadError, Reader, RecordError, RecordOptions, RetainError, RetentionRule, Retiring, Status, Trail,
};
use trailseal_event::Index;
use trailseal_tlog::leaf_hash;

const ONCE: RecordOptions = RecordOptions::new().once();
const ONCE_DURABLE: RecordOptions = ONCE.ack(Ack::Durable).timeout(SOON);

fn size_of(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir.join("segments")).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn indexes(trail: &Trail) -> Vec<u64> {
    let mut reader = trail.reader().unwrap();
    let (mut oldest_first, mut newest_first) = (Vec::new(), Vec::new());
    let end = reader.end().get();
    reader
        .for_each(0..end, &mut |index, line| {
            assert!(line.starts_with(format!("{{\"v\":1,\"index\":{index},").as_bytes()));
            oldest_first.push(index.get());
            ControlFlow::Continue(())
        })
        .unwrap();
    reader
        .for_each_newest_first(0..end, &mut |index, line| {
            assert!(line.starts_with(format!("{{\"v\":1,\"index\":{index},").as_bytes()));
            newest_first.push(index.get());
            ControlFlow::Continue(())
        })
        .unwrap();
    newest_first.reverse();
    assert_eq!(oldest_first, newest_first);
    for index in 0..end {
        let line = reader.line(Index::new(index));
        assert_eq!(line.is_ok_and(|line| line.is_some()), oldest_first.contains(&index), "{index}");
    }
    oldest_first
}

#[test]
fn old_events_go_and_the_rest_is_still_proved() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let mut reader = trail.reader().unwrap();
    let proof = reader.prove(Index::new(105)).unwrap();
    let before = size_of(dir.path());
    let rule = RetentionRule::older_than_days(90);
    let would = trail.would_retain(&rule).unwrap();
    assert_eq!(size_of(dir.path()), before, "a dry run changes nothing");
    let retained = trail.retain(&rule, None).unwrap();
    assert_eq!(
        (would.events, would.bytes, would.segments),
        (retained.events, retained.bytes, retained.segments)
    );
    assert!(retained.events > 80 && retained.segments_removed > 5, "{retained:?}");
    assert_eq!(retained.retired_by.len(), 1);
    assert!(size_of(dir.path()) < before - 30_000, "{} of {before} bytes", size_of(dir.path()));
    let left = indexes(&trail);
    assert!(left.len() as u64 + retained.events == trail.stats().accepted, "{left:?} {retained:?}");
    let checked = check(dir.path());
    assert_eq!(checked.retired, retained.events);
    assert_eq!(verdict(dir.path()).retired_by, [retained.retired_by[0].get()]);
    // Old proofs still hold, new ones are still made, and those of what is gone name the event.
    let again = trail.reader().unwrap().prove(Index::new(105)).unwrap();
    assert_eq!((again.extra, again.index), (proof.extra, proof.index));
    match trail.reader().unwrap().prove(Index::new(5)) {
        Err(ReadError::Retired { index, by }) => {
            assert_eq!((index.get(), by), (5, Some(retained.retired_by[0])));
        }
        other => panic!("{other:?}"),
    }
    // Nothing more is old enough.
    let nothing = trail.retain(&rule, None).unwrap();
    assert_eq!((nothing.events, nothing.retired_by.len()), (0, 0));
    trail.close(SOON).unwrap();
    let trail = Trail::open(dir.path(), options(&clock)).unwrap();
    record(&trail, 110..120);
    trail.close(SOON).unwrap();
    check(dir.path());
}

#[test]
fn parts_of_segments_go_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let odd = RetentionRule { tenant: Some("odd".into()), ..RetentionRule::older_than_days(90) };
    let first = trail.retain(&odd, None).unwrap();
    assert!(first.events > 40 && first.segments_removed == 0, "{first:?}");
    indexes(&trail);
    check(dir.path());
    let even = RetentionRule { tenant: Some("even".into()), ..RetentionRule::older_than_days(90) };
    let second = trail.retain(&even, None).unwrap();
    assert!(second.events > 40, "{second:?}");
    indexes(&trail);
    let checked = check(dir.path());
    assert_eq!(checked.retired, first.events + second.events);
    trail.close(SOON).unwrap();
    check(dir.path());
}

#[test]
fn compressed_segments_stay_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let mut options = options(&clock);
    options.segment.compress = true;
    let trail = aged(dir.path(), options.clone(), &clock);
    trail.close(SOON).unwrap();
    let trail = Trail::open(dir.path(), options).unwrap();
    let odd = RetentionRule { tenant: Some("odd".into()), ..RetentionRule::older_than_days(90) };
    assert!(trail.retain(&odd, None).unwrap().events > 40);
    let names: Vec<String> =
        trail.reader().unwrap().segments().iter().map(|it| it.path.display().to_string()).collect();
    assert!(names[..5].iter().all(|name| name.ends_with(".zst")), "{names:?}");
    indexes(&trail);
    check(dir.path());
    trail.close(SOON).unwrap();
}

#[test]
fn the_id_of_a_retired_event_is_still_known() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    // One process has read the ids before, one has not.
    let repeated = trail.with(ONCE_DURABLE).record(&event(3)).unwrap();
    assert_eq!(repeated.status, Status::Repeated { retired: false });
    let retained = trail.retain(&RetentionRule::older_than_days(90), None).unwrap();
    let repeated = |trail: &Trail, number: usize| {
        let receipt = trail.with(ONCE_DURABLE).record(&event(number)).unwrap();
        match receipt.status {
            Status::Repeated { retired } => (receipt.index.unwrap().get(), retired),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(repeated(&trail, 3), (4, true));
    assert_eq!(repeated(&trail, 105), (106, false));
    trail.close(SOON).unwrap();
    let trail = Trail::open(dir.path(), options(&clock)).unwrap();
    let before = trail.stats().accepted;
    assert_eq!(repeated(&trail, 3), (4, true));
    assert_eq!(repeated(&trail, 105), (106, false));
    let other_tenants = event(3).tenant("another");
    let new = trail.with(ONCE_DURABLE).record(&other_tenants).unwrap();
    assert_eq!(new.status, Status::Durable);
    assert_eq!(trail.stats().accepted, before + 1);
    let mut reader = trail.reader().unwrap();
    let found = reader.retired_by_id("id-3", None).unwrap();
    assert_eq!((found[0].index.get(), found[0].by), (4, Some(retained.retired_by[0])));
    assert_eq!(reader.retired_by_id("id-3", Some("odd")).unwrap().len(), 1);
    assert_eq!(reader.retired_by_id("id-3", Some("even")).unwrap(), []);
    assert_eq!(reader.retired_by_id("id-105", None).unwrap(), []);
    trail.close(SOON).unwrap();
}

#[test]
fn a_repeat_of_what_the_process_itself_recorded_last_is_told_to_be_retired() {
    let (clock, dir) = (Moved::default(), tempfile::tempdir().unwrap());
    clock.to_day(0);
    let trail = Trail::open(dir.path(), options(&clock)).unwrap();
    let once = || trail.with(ONCE_DURABLE).record(&event(3)).unwrap();
    let first = once();
    // No other id is looked up from here on.
    record(&trail, 4..60);
    clock.to_day(100);
    record(&trail, 60..80);
    trail.retain(&RetentionRule::older_than_days(90), None).unwrap();
    let again = once();
    assert_eq!((again.index, again.status), (first.index, Status::Repeated { retired: true }));
    trail.close(SOON).unwrap();
}

#[test]
fn hashes_of_ids_that_are_undone_while_somebody_looks_are_none() {
    let (clock, dir) = (Moved::default(), tempfile::tempdir().unwrap());
    let trail = aged(dir.path(), options(&clock), &clock);
    let retained = trail.retain(&RetentionRule::older_than_days(90), None).unwrap();
    // As a run leaves it that was killed before it announced anything; the next opening removes it.
    let left = dir.path().join("segments/00000000000000000000.ids-99999999");
    fs::write(&left, [0; 28]).unwrap();
    let looks = Arc::new(AtomicBool::new(false));
    let (is_looking, goes) = (looks.clone(), left.clone());
    let files = hooked(move |what, _| match what {
        "listed" if is_looking.swap(false, Ordering::SeqCst) => fs::remove_file(&goes),
        _ => Ok(()),
    });
    let mut reader = Reader::open(dir.path(), files).unwrap();
    looks.store(true, Ordering::SeqCst);
    let found = reader.retired_by_id("id-3", None).unwrap();
    assert_eq!((found[0].index.get(), found[0].by), (4, Some(retained.retired_by[0])));
    assert!(!left.exists());
    trail.close(SOON).unwrap();
}

/// Has the trail look for a new id, so that it has read all that there are before the retirement is announced.
struct Asking<'a>(&'a Trail);

impl Archive for Asking<'_> {
    fn keep(&mut self, _: &mut Retiring<'_>) -> Result<Archived, ArchiveError> {
        assert_eq!(self.0.with(ONCE_DURABLE).record(&event(600))?.status, Status::Durable);
        Ok(Archived { location: "nowhere".into() })
    }
}

/// An index that still has what was retired.
struct Known(trailseal_core::Known);

impl KnownIds for Known {
    fn look(&mut self) -> Result<trailseal_core::Known, KnownIdsError> {
        Ok(self.0)
    }
    fn find(&mut self, id: &str, found: &mut Vec<Index>) -> Result<(), KnownIdsError> {
        let number: u64 = id.trim_start_matches("id-").parse()?;
        found.extend((number < 100).then(|| Index::new(number + 1)));
        Ok(())
    }
}

#[test]
fn an_id_is_not_taken_again_while_its_line_goes() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let (opened, answer) = (Arc::new(OnceLock::<Trail>::new()), Arc::new(OnceLock::new()));
    let (same, told, changed) = (opened.clone(), answer.clone(), AtomicUsize::new(0));
    let mut options = options(&clock);
    options.files = hooked(move |what, path: &Path| {
        let is_changed = path.to_string_lossy().ends_with(".jsonl") && ["rename", "remove"].contains(&what);
        // The first segment, which had this event, has changed; the second one is about to.
        if let Some(trail) = same.get().filter(|_| is_changed)
            && changed.fetch_add(1, Ordering::SeqCst) == 1
        {
            told.set(trail.with(ONCE).record(&event(3)).unwrap()).unwrap();
        }
        Ok(())
    });
    let trail = aged(dir.path(), options, &clock);
    let end = trail.durable();
    let last = trail.reader().unwrap().line(Index::new(end.get() - 1)).unwrap().unwrap();
    let position = Position { cursor: end, last_leaf: Some(leaf_hash(&last)) };
    trail.look_ids_up_in(Box::new(Known(trailseal_core::Known { end, position })));
    assert!(opened.set(trail.clone()).is_ok());
    trail.retain(&RetentionRule::older_than_days(90), Some(&mut Asking(&trail))).unwrap();
    let answer = answer.get().unwrap();
    assert_eq!(answer.status, Status::Repeated { retired: true });
    trail.close(SOON).unwrap();
}

#[test]
fn a_clock_far_ahead_retires_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    clock.to_day(20 * 365);
    let error = trail.retain(&RetentionRule::older_than_days(90), None).unwrap_err();
    assert!(matches!(error, RetainError::Clock { .. }), "{error}");
    trail.close(SOON).unwrap();
    // What was recorded by that clock does not make it right.
    let trail = Trail::open(dir.path(), options(&clock)).unwrap();
    record(&trail, 110..120);
    let error = trail.retain(&RetentionRule::older_than_days(90), None).unwrap_err();
    assert!(matches!(error, RetainError::Clock { .. }), "{error}");
    assert_eq!(check(dir.path()).retired, 0);
    trail.close(SOON).unwrap();
}

#[test]
fn a_clock_that_was_wrong_once_is_no_reason_for_ever() {
    let rule = RetentionRule::older_than_days(90);
    // It was years behind when the trail began. What was recorded then is at least as old as what came next.
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let right = 20 * 365;
    clock.to_day(right);
    record(&trail, 110..200);
    clock.to_day(right + 89);
    let error = trail.retain(&rule, None).unwrap_err();
    assert!(matches!(error, RetainError::Clock { .. }), "{error}");
    clock.to_day(right + 91);
    assert!(trail.retain(&rule, None).unwrap().events > 150);
    check(dir.path());
    trail.close(SOON).unwrap();
    // It was years ahead for a while, and is right again: events are as old as it says now.
    let dir = tempfile::tempdir().unwrap();
    let trail = aged(dir.path(), options(&clock), &clock);
    clock.to_day(right);
    record(&trail, 110..120);
    clock.to_day(right - 1);
    let error = trail.retain(&rule, None).unwrap_err();
    assert!(matches!(error, RetainError::Clock { .. }), "set back by a day only: {error}");
    clock.to_day(180);
    let retained = trail.retain(&rule, None).unwrap();
    assert!((80..=101).contains(&retained.events), "{retained:?}");
    check(dir.path());
    trail.close(SOON).unwrap();
}

#[test]
fn bounds_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    for days in [0, 36_501, u32::MAX] {
        let error = trail.retain(&RetentionRule::older_than_days(days), None).unwrap_err();
        assert!(matches!(error, RetainError::Days { .. }), "{error}");
    }
    assert_eq!(trail.retain(&RetentionRule::older_than_days(36_500), None).unwrap().events, 0);
    trail.close(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_closed_trail_changes_nothing_of_the_next_writers_retirement() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let closed = aged(dir.path(), options(&clock), &clock);
    closed.close(SOON).unwrap();
    let (lists, earlier, folder) = (AtomicUsize::new(0), closed.clone(), dir.path().to_owned());
    let mut options = options(&clock);
    options.files = hooked(move |what, path: &Path| {
        let is_list = what == "replace" && path.extension().is_some_and(|extension| extension == "retired");
        // When the second list is written, so that there is one to be undone.
        if is_list && lists.fetch_add(1, Ordering::SeqCst) == 1 {
            let refused = earlier.retain(&RetentionRule::older_than_days(90), None).unwrap_err();
            assert!(matches!(refused, RetainError::Refused(RecordError::Closed)), "{refused}");
            assert!(folder.join("retiring").exists());
        }
        Ok(())
    });
    let trail = Trail::open(dir.path(), options).unwrap();
    let retained = trail.retain(&RetentionRule::older_than_days(90), None).unwrap();
    assert!(retained.events > 80, "{retained:?}");
    assert_eq!(check(dir.path()).retired, retained.events);
    trail.close(SOON).unwrap();

    let refused = closed.add_hold("case 7", "a dispute", &[]).unwrap_err();
    assert!(matches!(refused, HoldError::Refused(RecordError::Closed)), "{refused}");
    assert!(!dir.path().join("holds.toml").exists());
    let refused = closed.remove_hold("case 7").unwrap_err();
    assert!(matches!(refused, HoldError::Refused(RecordError::Closed)), "{refused}");
    let refused = closed.forget_sink("siem").unwrap_err();
    assert!(matches!(refused, ForgetSinkError::Refused(RecordError::Closed)), "{refused}");
}

/// Closes the trail while it is asked, and looks whether another writer could have it then.
struct Closing<'a>(&'a Trail, &'a Moved);

impl Archive for Closing<'_> {
    fn keep(&mut self, _: &mut Retiring<'_>) -> Result<Archived, ArchiveError> {
        self.0.close(SOON)?;
        let opened = Trail::open(self.0.folder().root(), options(self.1)).map(|_| ());
        assert!(matches!(opened, Err(OpenError::Locked { .. })), "{opened:?}");
        Ok(Archived { location: "nowhere".into() })
    }
}

#[test]
fn a_retirement_keeps_the_lock_until_it_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let rule = RetentionRule::older_than_days(90);
    let refused = trail.retain(&rule, Some(&mut Closing(&trail, &clock))).unwrap_err();
    assert!(matches!(refused, RetainError::Refused(RecordError::Closed)), "{refused}");
    assert_eq!(check(dir.path()).retired, 0);
    let trail = Trail::open(dir.path(), options(&clock)).unwrap();
    assert!(trail.retain(&rule, None).unwrap().events > 80);
    trail.close(SOON).unwrap();
}

#[test]
fn an_opening_finishes_what_is_announced_and_not_sealed_yet() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    trail.close(SOON).unwrap();
    // As a process leaves it that is killed before the checkpoint that covers `trail.retired`.
    let killed: Arc<Mutex<Option<tempfile::TempDir>>> = Arc::default();
    let (left, root) = (killed.clone(), dir.path().to_owned());
    let mut hooks = options(&clock);
    hooks.files = hooked(move |what, path: &Path| {
        let mut left = left.lock().unwrap();
        let is_checkpoint = what == "replace" && path == root.join("checkpoint");
        if is_checkpoint && left.is_none() && root.join("retiring").exists() {
            *left = Some(copy(&root)).filter(|copy| {
                let lines = segments(copy.path()).into_iter().map(|path| fs::read_to_string(path).unwrap());
                lines.into_iter().any(|lines| lines.contains("\"trail.retired\""))
            });
        }
        Ok(())
    });
    let trail = Trail::open(dir.path(), hooks).unwrap();
    let retired = trail.retain(&RetentionRule::older_than_days(90), None).unwrap().events;
    trail.close(SOON).unwrap();
    let killed = killed.lock().unwrap().take().unwrap();
    let before = verdict(killed.path());
    assert!(before.ok && before.retired == 0 && retired > 60, "{before}");
    let trail = Trail::open(killed.path(), options(&clock)).unwrap();
    // When the opening returns: what it has sealed must not vouch for lines that are still there.
    assert_eq!(check(killed.path()).retired, retired);
    assert!(!killed.path().join("retiring").exists());
    assert_eq!(
        trail.retain(&RetentionRule::older_than_days(90), None).unwrap().retired_by,
        [],
        "nothing is left to do"
    );
    trail.close(SOON).unwrap();
}
