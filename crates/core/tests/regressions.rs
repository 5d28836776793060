//! Defects that a review found, each by the scenario in which it broke a promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

mod support;

use std::fs;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use support::hooked::{hanging, hooked};
use support::{DURABLE, SOON, event, sealing_at_once as options};
use trailseal_core::clock::Clock;
use trailseal_core::file::{Files, StdFiles};
use trailseal_core::{Ack, Anchor, CloseError, HandoffPlace, Reader, RecordOptions, Status, Trail};
use trailseal_event::{Event, Timestamp};

const ONCE: RecordOptions = RecordOptions::new().once();

fn lines(dir: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::open(dir, Arc::new(StdFiles)).unwrap();
    let mut lines = Vec::new();
    reader
        .for_each(0..u64::MAX, &mut |_, line| {
            lines.push(line.to_vec());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    lines
}

fn copy_folder(from: &Path, to: &Path, leave_out: &str) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_name() == leave_out || entry.file_name() == "lock" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target, leave_out);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Copies a trail with its lock file, which another process would do; in this one, opening and closing
/// the lock would give it up.
fn copy_trail(from: &Path, to: &Path, lock_text: &str) {
    copy_folder(from, to, "handoff");
    fs::write(to.join("lock"), lock_text).unwrap();
}

#[test]
fn opening_a_copy_leaves_the_handoff_of_the_original_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (original, copy) = (dir.path().join("original"), dir.path().join("copy"));
    let lock_text = {
        let trail = Trail::open(&original, options()).unwrap();
        trail.close(SOON).unwrap();
        fs::read_to_string(original.join("lock")).unwrap()
    };
    let trail = Trail::open(&original, options()).unwrap();
    trail.with(DURABLE).record(&event("of the original")).unwrap();
    copy_trail(&original, &copy, &lock_text);
    Trail::open(&copy, options()).unwrap().close(SOON).unwrap();
    assert!(original.join("handoff").exists(), "the living trail has lost its handoff");
    trail.close(SOON).unwrap();
}

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn recorded_does_not_go_back_when_the_last_segment_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock(AtomicI64::new(1_800_000_000_000_000)));
    let mut options = options();
    options.clock = clock.clone();
    let events = Trail::open(dir.path(), options.clone()).unwrap().close(SOON).unwrap().events;
    // What a crash between the making of a segment and its first commit leaves.
    fs::write(dir.path().join(format!("segments/{events:020}.jsonl")), "").unwrap();
    clock.0.store(1_700_000_000_000_000, Ordering::SeqCst);
    Trail::open(dir.path(), options).unwrap().close(SOON).unwrap();
    let times: Vec<Timestamp> = lines(dir.path())
        .iter()
        .map(|line| trailseal_event::line::parse_front(line).unwrap().recorded)
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_late_close_can_be_waited_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let hangs = Arc::new(AtomicBool::new(false));
    let mut options = options();
    options.files = hanging(&hangs);
    let trail = Trail::open(dir.path(), options.clone()).unwrap();
    hangs.store(true, Ordering::SeqCst);
    trail.record(&event("late")).unwrap();
    let late = trail.close(Duration::from_millis(50));
    assert!(matches!(late, Err(CloseError::Late { .. })), "{late:?}");
    let again = trail.close(Duration::from_millis(50));
    assert!(matches!(again, Err(CloseError::Late { .. })), "{again:?}");
    hangs.store(false, Ordering::SeqCst);
    let closed = trail.close(SOON).unwrap();
    assert_eq!((closed.events, closed.sealed), (3, 3));
    Trail::open(dir.path(), options).unwrap().close(SOON).unwrap();
}

#[test]
fn a_late_close_says_what_becomes_of_the_events() {
    for (place, becomes) in [
        (HandoffPlace::InTrail, "stay in the handoff and are recovered"),
        (HandoffPlace::Memory, "are lost, unless this process goes on"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let hangs = Arc::new(AtomicBool::new(false));
        let mut options = options();
        options.files = hanging(&hangs);
        options.handoff.place = place;
        let trail = Trail::open(dir.path(), options).unwrap();
        hangs.store(true, Ordering::SeqCst);
        trail.record(&event("late")).unwrap();
        let late = trail.close(Duration::from_millis(50)).unwrap_err().to_string();
        assert!(late.contains(becomes) && late == trail.late().to_string(), "{late}");
        hangs.store(false, Ordering::SeqCst);
        trail.close(SOON).unwrap();
    }
}

#[test]
fn a_trail_dropped_late_keeps_its_lock_until_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let hangs = Arc::new(AtomicBool::new(false));
    let mut options = options();
    options.files = hanging(&hangs);
    let trail = Trail::open(dir.path(), options.clone()).unwrap();
    hangs.store(true, Ordering::SeqCst);
    trail.record(&event("late")).unwrap();
    drop(trail);
    assert!(Trail::open(dir.path(), options.clone()).is_err(), "its writer still writes");
    hangs.store(false, Ordering::SeqCst);
    let deadline = Instant::now() + SOON;
    let trail = loop {
        match Trail::open(dir.path(), options.clone()) {
            Ok(trail) => break trail,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    trail.close(SOON).unwrap();
}

#[test]
fn no_wait_is_too_long_for_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    (options.policy.otherwise.timeout, options.handoff.timeout) = (Duration::MAX, Duration::MAX);
    let trail = Trail::open(dir.path(), options).unwrap();
    let receipt = trail.with(Ack::Durable).record(&event("patient")).unwrap();
    assert_eq!(receipt.status, Status::Durable);
    trail.flush(Duration::MAX).unwrap();
    trail.seal(Duration::MAX).unwrap();
    trail.close(Duration::MAX).unwrap();
}

#[test]
fn a_slow_anchor_does_not_hold_a_close_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.anchors = vec![Anchor::Command("sleep 300".into())];
    let trail = Trail::open(dir.path(), options).unwrap();
    let begun = Instant::now();
    // Enough for a busy disk, and less than the anchor takes for one checkpoint.
    let closed = trail.close(Duration::from_secs(10)).unwrap();
    assert_eq!(closed.events, closed.sealed);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_disk_that_fails_for_long_is_not_filled_by_the_attempts() {
    let dir = tempfile::tempdir().unwrap();
    let failures = Arc::new(AtomicU64::new(0));
    let left = failures.clone();
    let mut options = options();
    options.policy.otherwise.timeout = SOON;
    options.files = hooked(move |what, _| {
        let fails = what == "sync"
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    });
    let trail = Trail::open(dir.path(), options).unwrap();
    failures.store(10, Ordering::SeqCst);
    trail.record(&event("kept")).unwrap();
    let is_flushed = (0..2_000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        trail.flush(SOON).is_ok()
    });
    assert!(is_flushed);
    let names = StdFiles.list(&dir.path().join("segments")).unwrap();
    assert!(names.len() <= 3, "the failed attempts left {names:?}");
    trail.close(SOON).unwrap();
    assert_eq!(lines(dir.path()).len(), 3);
}

#[test]
fn lines_fit_where_the_reservation_ahead_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.files = hooked(|what, _| match what {
        "reserve" => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    });
    let trail = Trail::open(dir.path(), options).unwrap();
    assert_eq!(trail.with(DURABLE).record(&event("fits")).unwrap().status, Status::Durable);
    trail.close(SOON).unwrap();
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn the_deadline_wakes_the_task_that_polled_last() {
    let dir = tempfile::tempdir().unwrap();
    let hangs = Arc::new(AtomicBool::new(false));
    let mut options = options();
    options.files = hanging(&hangs);
    options.policy.otherwise.timeout = Duration::from_millis(100);
    let trail = Trail::open(dir.path(), options).unwrap();
    hangs.store(true, Ordering::SeqCst);
    let polled_by_two = || {
        let mut future = trail.with(Ack::Durable).record_async(&event("moved")).unwrap();
        let (first, second) = (Arc::new(Flag(false.into())), Arc::new(Flag(false.into())));
        let is_pending = [&first, &second].into_iter().all(|flag| {
            let waker = Waker::from(flag.clone());
            Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending()
        });
        is_pending.then_some((future, second))
    };
    // On a busy machine its time may be up before it is polled.
    let (mut future, second) = (0..100).find_map(|_| polled_by_two()).unwrap();
    let deadline = Instant::now() + SOON;
    while !second.0.load(Ordering::SeqCst) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let woken = second.0.load(Ordering::SeqCst);
    hangs.store(false, Ordering::SeqCst);
    assert!(woken, "the task that waits now was never woken");
    let waker = Waker::from(second);
    let polled = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Ready(_)));
    trail.close(SOON).unwrap();
}

#[test]
fn a_handoff_of_another_trail_is_not_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("shared-handoff");
    let hangs = Arc::new(AtomicBool::new(false));
    let mut first = options();
    first.handoff.place = HandoffPlace::File(place.clone());
    first.origin = Some("example.com/first".into());
    first.files = hanging(&hangs);
    let trail = Trail::open(dir.path().join("first"), first).unwrap();
    let _ = trail.seal(SOON);
    hangs.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        trail.record(&event("of the first trail")).unwrap();
    }
    let of_first = fs::read(&place).unwrap();
    hangs.store(false, Ordering::SeqCst);
    trail.close(SOON).unwrap();

    let mut second = options();
    second.origin = Some("example.com/second".into());
    let dir = dir.path().join("second");
    Trail::open(&dir, second.clone()).unwrap().close(SOON).unwrap();
    fs::write(&place, of_first).unwrap();
    second.handoff.place = HandoffPlace::File(place);
    let opened = Trail::open(&dir, second);
    if let Ok(trail) = opened {
        trail.close(SOON).unwrap();
    }
    let text = lines(&dir).concat();
    assert!(!String::from_utf8_lossy(&text).contains("of the first trail"));
}

#[test]
fn a_forked_child_makes_other_ids_than_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("id");
    let id = || trailseal_event::complete::EventId::new(Timestamp::from_micros(0)).to_string();
    // From now on this thread has a generator, which a fork copies.
    id();
    // SAFETY: the child writes a file and ends without unwinding or running destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let written = fs::write(&file, id());
        // SAFETY: ends this process.
        unsafe { libc::_exit(i32::from(written.is_err())) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0);
    assert_ne!(fs::read_to_string(&file).unwrap(), id());
}

#[test]
fn many_repeats_do_not_open_the_trail_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let looks = Arc::new(AtomicUsize::new(0));
    let counter = looks.clone();
    let mut options = options();
    options.seal_every = Duration::from_secs(3_600);
    options.files = hooked(move |what, path| {
        if matches!(what, "open" | "listed") && path.to_string_lossy().contains("segments") {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    let trail = Trail::open(dir.path(), options).unwrap();
    let events: Vec<Event> = (0..2_000).map(|n| event("once").id(n.to_string())).collect();
    for event in &events {
        assert_eq!(trail.with(ONCE).record(event).unwrap().status, Status::Accepted);
    }
    trail.flush(SOON).unwrap();
    let before = looks.load(Ordering::SeqCst);
    for event in &events {
        let repeated = trail.with(ONCE).record(event).unwrap();
        assert_eq!(repeated.status, Status::Repeated { retired: false });
    }
    let looked = looks.load(Ordering::SeqCst) - before;
    assert!(looked < 100, "{looked} looks at the segments for {} repeats", events.len());
    trail.close(SOON).unwrap();
}
