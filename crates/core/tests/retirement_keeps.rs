//! Promise: nothing goes that is held, that a sink still has to receive, or that the archive does not have.
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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::aged::{Moved, aged, check, event, options, record, verdict};
use support::hooked::hooked;
use support::{DURABLE, SOON};
use trailseal_core::deliver::{Batch, Dropped, Position, Sink, SinkError};
use trailseal_core::{
    Archive, ArchiveError, Archived, Folder, ForgetSinkError, HoldError, RetainError, RetentionRule,
    Retiring, Roll, Trail,
};
use trailseal_event::{Index, Value};
use trailseal_tlog::{leaf_hash, verify_inclusion};

fn old() -> RetentionRule {
    RetentionRule::older_than_days(90)
}

fn pairs(filters: &[(&str, &str)]) -> Vec<(String, String)> {
    filters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn is_there(trail: &Trail, index: u64) -> bool {
    trail.reader().unwrap().line(Index::new(index)).is_ok_and(|line| line.is_some())
}

fn events_of(trail: &Trail, action: &str) -> Vec<Value> {
    trail.flush(SOON).unwrap();
    let mut reader = trail.reader().unwrap();
    let (end, mut found) = (reader.end().get(), Vec::new());
    reader
        .for_each(0..end, &mut |_, line| {
            let line = Value::parse(line).unwrap();
            if line.get("action").and_then(Value::as_str) == Some(action) {
                found.push(line);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

#[test]
fn what_matches_a_hold_stays_until_the_hold_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let added = trail.add_hold("case 7", "a dispute", &pairs(&[("id", "id-11"), ("id", "id-12")])).unwrap();
    assert_eq!(added.announced, 0);
    trail.close(SOON).unwrap();
    let trail = Trail::open(dir.path(), options(&clock)).unwrap();
    let holds = trail.holds().unwrap();
    assert_eq!((holds.len(), holds[0].index), (1, Some(added.index.get())));
    let told = &events_of(&trail, "trail.hold_added")[0];
    assert_eq!(told.get_path("details.filters.id").unwrap().as_array().unwrap().len(), 2);
    let retained = trail.retain(&old(), None).unwrap();
    assert_eq!((retained.kept.held, retained.kept.held_by), (2, vec![("case 7".to_owned(), 2)]));
    assert!(is_there(&trail, 12) && is_there(&trail, 13) && !is_there(&trail, 14));
    assert!(matches!(trail.add_hold("case 7", "again", &[]), Err(HoldError::Exists { .. })));
    assert!(matches!(trail.remove_hold("case 8"), Err(HoldError::Unknown { .. })));
    trail.remove_hold("case 7").unwrap();
    assert_eq!(events_of(&trail, "trail.hold_removed").len(), 1);
    let retained = trail.retain(&old(), None).unwrap();
    assert_eq!((retained.events, is_there(&trail, 12)), (2, false));
    // Without filters it holds everything.
    trail.add_hold("all", "an audit", &[]).unwrap();
    clock.to_day(200);
    assert_eq!(trail.retain(&RetentionRule::older_than_days(50), None).unwrap().events, 0);
    check(dir.path());
    trail.close(SOON).unwrap();
}

#[test]
fn bad_holds_are_refused_and_a_damaged_file_stops_retirement() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    assert!(matches!(trail.add_hold(" x", "why", &[]), Err(HoldError::Name { .. })));
    assert!(matches!(trail.add_hold("x", " ", &[]), Err(HoldError::Reason)));
    assert!(matches!(trail.add_hold("x", "why", &pairs(&[("actoor", "u")])), Err(HoldError::Filter(_))));
    assert!(trail.holds().unwrap().is_empty());
    // A relative time means that time, also later.
    trail.add_hold("x", "why", &pairs(&[("since", "24h")])).unwrap();
    assert!(trail.holds().unwrap()[0].filters[0].1.starts_with("2026-04-10T"), "{:?}", trail.holds());
    fs::write(dir.path().join("holds.toml"), "[[hold]]\nname = ").unwrap();
    assert!(matches!(trail.retain(&old(), None), Err(RetainError::Holds(HoldError::Damaged { .. }))));
    assert_eq!(check(dir.path()).retired, 0);
    trail.close(SOON).unwrap();
}

#[test]
fn a_hold_that_a_killed_process_added_is_told_by_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    trail.add_hold("case 7", "a dispute", &[]).unwrap();
    trail.close(SOON).unwrap();
    // As if it was killed before its event was recorded.
    let path = dir.path().join("holds.toml");
    let text = fs::read_to_string(&path).unwrap();
    let without: String =
        text.lines().filter(|line| !line.starts_with("index")).map(|line| format!("{line}\n")).collect();
    assert_ne!(text, without);
    fs::write(&path, without).unwrap();
    let trail = Trail::open(dir.path(), options(&clock)).unwrap();
    assert_eq!(events_of(&trail, "trail.hold_added").len(), 2);
    assert!(trail.holds().unwrap()[0].index.is_some());
    trail.close(SOON).unwrap();
}

#[test]
fn a_new_slot_takes_over_the_holds_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let names =
        |trail: &Trail| -> Vec<String> { trail.holds().unwrap().into_iter().map(|hold| hold.name).collect() };
    let first = Trail::open_slot(dir.path(), options(&clock)).unwrap();
    first.add_hold("case 7", "a dispute", &pairs(&[("tenant", "odd")])).unwrap();
    let second = Trail::open_slot(dir.path(), options(&clock)).unwrap();
    assert_eq!((second.folder().root(), names(&second)), (&*dir.path().join("1"), vec!["case 7".into()]));
    let hold = second.holds().unwrap().remove(0);
    let line = second.reader().unwrap().line(Index::new(hold.index.unwrap())).unwrap().unwrap();
    let line = Value::parse(&line).unwrap();
    assert_eq!(line.get("action").and_then(Value::as_str), Some("trail.hold_added"));
    assert_eq!(hold.filters, pairs(&[("tenant", "odd")]));
    // What was removed here does not come back.
    second.remove_hold("case 7").unwrap();
    second.close(SOON).unwrap();
    let second = Trail::open_slot(dir.path(), options(&clock)).unwrap();
    assert_eq!((names(&first), names(&second)), (vec!["case 7".into()], vec![]));
    first.close(SOON).unwrap();
    second.close(SOON).unwrap();
}

/// Takes events up to some index, and then waits.
struct Slow {
    cursor: u64,
    until: Arc<AtomicU64>,
}

impl Sink for Slow {
    fn name(&self) -> &str {
        "slow"
    }
    fn position(&mut self) -> Result<Position, SinkError> {
        Ok(Position { cursor: Index::new(self.cursor), last_leaf: None })
    }
    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        if batch.end().get() > self.until.load(Ordering::SeqCst) {
            return Err(SinkError::Store("not now".into()));
        }
        self.cursor = batch.end().get();
        Ok(())
    }
    fn batch_events_max(&self) -> usize {
        1
    }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_sink_that_is_behind_holds_up_what_it_needs_until_it_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let reached = Arc::new(AtomicU64::new(30));
    trail.deliver_to(Box::new(Slow { cursor: 0, until: reached.clone() })).unwrap();
    until("the sink takes 30", || trail.sinks().unwrap()[0].cursor.get() == 30);
    let retained = trail.retain(&old(), None).unwrap();
    assert!(retained.events > 15 && retained.events <= 30, "{retained:?}");
    let behind = &retained.kept.sinks[0];
    assert_eq!((behind.name.as_str(), behind.cursor.get(), behind.is_attached), ("slow", 30, true));
    assert!(retained.kept.undelivered > 60 && is_there(&trail, 30), "{retained:?}");
    assert!(matches!(trail.forget_sink("slow"), Err(ForgetSinkError::Attached { .. })));
    trail.close(SOON).unwrap();
    // It is not attached any more, and still holds it up.
    let trail = Trail::open(dir.path(), options(&clock)).unwrap();
    let retained = trail.retain(&old(), None).unwrap();
    // Only the opening of before, which nobody needs any more.
    assert!(retained.events <= 1 && !retained.kept.sinks[0].is_attached, "{retained:?}");
    assert!(matches!(trail.forget_sink("other"), Err(ForgetSinkError::Unknown { .. })));
    trail.forget_sink("slow").unwrap();
    assert_eq!(events_of(&trail, "trail.sink_forgotten").len(), 1);
    assert!(trail.retain(&old(), None).unwrap().events > 60);
    // One that begins now passes over what is gone.
    reached.store(u64::MAX, Ordering::SeqCst);
    trail.deliver_to(Box::new(Slow { cursor: 0, until: reached })).unwrap();
    until("the sink has everything", || trail.sinks().unwrap()[0].cursor == trail.durable());
    check(dir.path());
    trail.close(SOON).unwrap();
}

/// Keeps lines in memory, with their proofs checked.
#[derive(Default)]
struct InMemory {
    lines: Vec<(u64, Vec<u8>)>,
    calls: usize,
    /// Called each time, before it answers.
    meanwhile: Option<Box<dyn FnMut()>>,
    fails: bool,
}

impl Archive for InMemory {
    fn keep(&mut self, retiring: &mut Retiring<'_>) -> Result<Archived, ArchiveError> {
        self.calls += 1;
        self.lines.clear();
        retiring.for_each(&mut |index, line| {
            self.lines.push((index.get(), line.to_vec()));
            ControlFlow::Continue(())
        })?;
        assert_eq!(self.lines.len() as u64, retiring.count());
        let root = retiring.checkpoint().1.clone();
        for (index, line) in &self.lines {
            let hashes = retiring.inclusion(Index::new(*index))?;
            verify_inclusion(&leaf_hash(line), *index, root.size, &hashes, &root.root).unwrap();
        }
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile();
        }
        match self.fails {
            true => Err("the disk is full".into()),
            false => Ok(Archived { location: "memory".into() }),
        }
    }
}

#[test]
fn the_archive_has_every_line_before_anything_is_announced() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let mut archive = InMemory { fails: true, ..InMemory::default() };
    assert!(matches!(trail.retain(&old(), Some(&mut archive)), Err(RetainError::Archive(_))));
    assert_eq!((check(dir.path()).retired, events_of(&trail, "trail.retired").len()), (0, 0));
    assert!(!dir.path().join("retiring").exists());
    let mut archive = InMemory::default();
    let retained = trail.retain(&old(), Some(&mut archive)).unwrap();
    assert_eq!((archive.lines.len() as u64, archive.calls), (retained.events, 1));
    assert!(archive.lines.iter().all(|(index, _)| !is_there(&trail, *index)));
    assert_eq!(retained.archive.as_deref(), Some("memory"));
    let told = &events_of(&trail, "trail.retired")[0];
    assert_eq!(told.get_path("details.archive").unwrap().as_str(), Some("memory"));
    assert_eq!(told.get_path("details.count").unwrap().as_u64(), Some(retained.events));
    trail.close(SOON).unwrap();
}

#[test]
fn a_hold_added_while_the_archive_works_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let (same, mut is_first) = (trail.clone(), true);
    let meanwhile = Box::new(move || {
        if std::mem::take(&mut is_first) {
            same.add_hold("late", "a dispute", &pairs(&[("id", "id-11")])).unwrap();
        }
    });
    let mut archive = InMemory { meanwhile: Some(meanwhile), ..InMemory::default() };
    let retained = trail.retain(&old(), Some(&mut archive)).unwrap();
    assert_eq!((archive.calls, retained.kept.held), (2, 1));
    assert!(is_there(&trail, 12));
    assert!(archive.lines.iter().all(|(index, _)| *index != 12));
    trail.close(SOON).unwrap();
}

#[test]
fn a_hold_added_after_the_announcement_says_that_it_is_too_late() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let (reached, wait_for_reached) = channel();
    let (go, wait_to_go) = channel::<()>();
    let (is_armed, wait_to_go) = (Arc::new(AtomicBool::new(false)), Mutex::new(wait_to_go));
    let armed = is_armed.clone();
    let reached = Mutex::new(reached);
    let mut options = options(&clock);
    options.files = hooked(move |what, path: &Path| {
        let is_segment = path.to_string_lossy().ends_with(".jsonl");
        if is_segment && ["rename", "remove"].contains(&what) && armed.swap(false, Ordering::SeqCst) {
            reached.lock().unwrap().send(()).unwrap();
            wait_to_go.lock().unwrap().recv().unwrap();
        }
        Ok(())
    });
    let trail = aged(dir.path(), options, &clock);
    is_armed.store(true, Ordering::SeqCst);
    let same = trail.clone();
    let running = std::thread::spawn(move || same.retain(&old(), None).unwrap());
    wait_for_reached.recv_timeout(SOON).unwrap();
    assert!(matches!(trail.retain(&old(), None), Err(RetainError::Running)));
    let added = trail.add_hold("late", "a dispute", &[]).unwrap();
    // Events are taken all the time.
    trail.with(DURABLE).record(&event(500)).unwrap();
    go.send(()).unwrap();
    let retained = running.join().unwrap();
    assert_eq!(added.announced, retained.events);
    assert_eq!(trail.add_hold("later", "a dispute", &[]).unwrap().announced, 0);
    check(dir.path());
    trail.close(SOON).unwrap();
}

/// Derived from the trail, so it holds up nothing. It waits in the midst of a segment until lines of that are gone.
struct Derived {
    cursor: u64,
    reached: Arc<AtomicU64>,
    are_gone: Arc<AtomicBool>,
    drops: usize,
    /// What it was given after it had to drop what is retired.
    after: Arc<Mutex<Vec<String>>>,
}

impl Sink for Derived {
    fn name(&self) -> &str {
        "derived"
    }
    fn position(&mut self) -> Result<Position, SinkError> {
        Ok(Position { cursor: Index::new(self.cursor), last_leaf: None })
    }
    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        self.cursor = batch.end().get();
        self.reached.store(self.cursor, Ordering::SeqCst);
        if self.cursor == 5 {
            until("the lines are gone", || self.are_gone.load(Ordering::SeqCst));
        }
        if self.drops < 2 {
            // So that the segment still has lines when it is told.
            std::thread::sleep(Duration::from_millis(5));
            return Ok(());
        }
        let lines = batch.lines.iter().map(|line| String::from_utf8(line.bytes.to_vec()).unwrap());
        self.after.lock().unwrap().extend(lines);
        Ok(())
    }
    fn batch_events_max(&self) -> usize {
        1
    }
    fn needs_all(&self) -> bool {
        false
    }
    fn drop_retired(&mut self, _: &Folder) -> Result<Dropped, SinkError> {
        self.drops += 1;
        Ok(Dropped::All)
    }
}

#[test]
fn what_is_derived_is_not_given_retired_lines_from_a_segment_that_was_open() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let are_gone = Arc::new(AtomicBool::new(false));
    let gone = are_gone.clone();
    let mut options = options(&clock);
    options.segment.roll = Roll::Bytes(30_000);
    options.files = hooked(move |what, path: &Path| {
        if what == "remove" && path.ends_with("retiring") {
            gone.store(true, Ordering::SeqCst);
        }
        Ok(())
    });
    let trail = aged(dir.path(), options, &clock);
    let (reached, after) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let derived = Derived { cursor: 0, reached: reached.clone(), are_gone, drops: 0, after: after.clone() };
    trail.deliver_to(Box::new(derived)).unwrap();
    until("it is in the first segment", || reached.load(Ordering::SeqCst) == 5);
    let rule = RetentionRule { tenant: Some("odd".into()), ..old() };
    let retained = trail.retain(&rule, None).unwrap();
    until("it has everything", || reached.load(Ordering::SeqCst) == trail.durable().get());
    let after = after.lock().unwrap().clone();
    let is_retired = |line: &&String| {
        let line = Value::parse(line.as_bytes()).unwrap();
        let index = line.get("index").and_then(|index| index.as_u64()).unwrap();
        !is_there(&trail, index)
    };
    assert!(retained.events > 20 && !after.is_empty(), "{retained:?}");
    assert_eq!(after.iter().find(is_retired), None);
    trail.close(SOON).unwrap();
}

#[test]
fn readers_and_a_writer_beside_it_notice_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let is_over = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut reader = trail.reader().unwrap();
            let mut rounds = 0;
            while !is_over.load(Ordering::SeqCst) {
                // The view stays open over a retirement, and then begins anew.
                if rounds % 3 == 0 {
                    reader.refresh().unwrap();
                }
                let end = reader.end().get();
                for newest_first in [false, true] {
                    let mut seen = Vec::new();
                    let mut each = |index: Index, line: &[u8]| {
                        assert!(line.starts_with(format!("{{\"v\":1,\"index\":{index},").as_bytes()));
                        seen.push(index.get());
                        ControlFlow::Continue(())
                    };
                    match newest_first {
                        true => reader.for_each_newest_first(0..end, &mut each).unwrap(),
                        false => reader.for_each(0..end, &mut each).unwrap(),
                    }
                    assert!(seen.is_sorted_by(|one, next| (one < next) != newest_first), "{seen:?}");
                    let young = seen.iter().filter(|index| (101..111).contains(*index)).count();
                    assert_eq!(young, 10, "{seen:?}");
                }
                rounds += 1;
            }
            rounds
        });
        let verifying = scope.spawn(|| {
            let mut rounds = 0;
            while !is_over.load(Ordering::SeqCst) {
                let verdict = verdict(dir.path());
                assert!(verdict.ok, "{verdict}");
                rounds += 1;
            }
            rounds
        });
        let writing = scope.spawn(|| {
            let mut number = 1_000;
            while !is_over.load(Ordering::SeqCst) {
                trail.with(DURABLE).record(&event(number)).unwrap();
                number += 1;
            }
        });
        for hold in 0..12 {
            // Each time one more event of each segment goes.
            let left = (hold..12).map(|part| format!("*{part} x*")).collect::<Vec<_>>();
            let filters =
                left.iter().map(|text| ("text".to_owned(), text.replace('*', ""))).collect::<Vec<_>>();
            if trail.holds().unwrap().iter().any(|held| held.name == "parts") {
                trail.remove_hold("parts").unwrap();
            }
            trail.add_hold("parts", "in steps", &filters).unwrap();
            trail.retain(&old(), None).unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        println!("{} readings, {} verifications", reading.join().unwrap(), verifying.join().unwrap());
        writing.join().unwrap();
    });
    assert!(check(dir.path()).retired > 50);
    record(&trail, 5_000..5_010);
    trail.close(SOON).unwrap();
}

#[test]
fn a_torn_block_of_the_tree_does_not_lose_the_hashes_of_retired_lines() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    assert!(trail.retain(&old(), None).unwrap().events > 80);
    trail.close(SOON).unwrap();
    // As a power loss leaves the last block while later hashes are written to it.
    let path = dir.path().join("tree/0");
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.len() < 4_096 + 32, "all in one block");
    bytes.fill(0xab);
    fs::write(&path, bytes).unwrap();
    let trail = Trail::open(dir.path(), options(&clock)).unwrap();
    record(&trail, 110..120);
    trail.close(SOON).unwrap();
    check(dir.path());
}
