//! Defects that a review found, each by the scenario in which it broke a promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use trailseal_core::clock::Clock;
use trailseal_core::file::{AppendFile, Files, ReadFile, Standing, StdFiles};
use trailseal_core::{
    Ack, Anchor, CloseError, Folder, HandoffPlace, Once, Options, Reader, RecordError, Roll, RotateError,
    Status, Trail, back_up,
};
use trailseal_event::{Event, Index, Timestamp};

const SOON: Duration = Duration::from_secs(10);

fn options() -> Options {
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options.seal_every = Duration::from_millis(1);
    options
}

fn event(text: &str) -> Event {
    Event::new("test.made").description(text)
}

/// Called before each operation, with its name and path; an error is the operation's.
type Hook = Arc<dyn Fn(&str, &Path) -> io::Result<()> + Send + Sync>;

/// The system's files with a hook before each operation, and one after a listing.
#[derive(Clone)]
struct Hooked(Hook);

struct HookedAppend(Hook, PathBuf, Box<dyn AppendFile>);

impl Files for Hooked {
    fn create_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        (self.0)("create", path)?;
        let file = StdFiles.create_append(path)?;
        Ok(Box::new(HookedAppend(self.0.clone(), path.to_owned(), file)))
    }
    fn open_append(&self, path: &Path, at: u64) -> io::Result<Box<dyn AppendFile>> {
        let file = StdFiles.open_append(path, at)?;
        Ok(Box::new(HookedAppend(self.0.clone(), path.to_owned(), file)))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        (self.0)("open", path)?;
        StdFiles.open_read(path)
    }
    fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        (self.0)("read", path)?;
        StdFiles.read(path, len_max)
    }
    fn replace(&self, path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
        (self.0)("replace", path)?;
        StdFiles.replace(path, bytes, private)
    }
    fn append_to(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        StdFiles.append_to(path, bytes)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.0)("rename", to)?;
        StdFiles.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        StdFiles.remove(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        StdFiles.create_folder(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = StdFiles.list(folder)?;
        (self.0)("listed", folder)?;
        Ok(names)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<(u64, u64)> {
        StdFiles.free_bytes(path)
    }
}

impl AppendFile for HookedAppend {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.2.append(bytes)
    }
    fn sync_data(&mut self) -> io::Result<()> {
        (self.0)("sync", &self.1)?;
        self.2.sync_data()
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.2.truncate(len)
    }
    fn reserve(&mut self, len: u64) -> io::Result<()> {
        (self.0)("reserve", &self.1)?;
        self.2.reserve(len)
    }
    fn standing(&self) -> io::Result<Standing> {
        self.2.standing()
    }
}

fn hooked(hook: impl Fn(&str, &Path) -> io::Result<()> + Send + Sync + 'static) -> Arc<dyn Files> {
    Arc::new(Hooked(Arc::new(hook)))
}

/// Files whose segment syncs hang while the flag is set.
fn hanging(hangs: &Arc<AtomicBool>) -> Arc<dyn Files> {
    let hangs = hangs.clone();
    hooked(move |what, _| {
        while what == "sync" && hangs.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    })
}

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

#[test]
fn a_view_taken_while_a_segment_rolls_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.segment.roll = Roll::Bytes(1_000);
    let trail = Trail::open(dir.path(), options).unwrap();
    let writer = trail.clone();
    let files = hooked(move |what, path| {
        if what == "listed" && path.ends_with("segments") {
            for _ in 0..10 {
                writer.record_ack(&event(&"x".repeat(400)), Ack::Durable).unwrap();
            }
        }
        Ok(())
    });
    let mut reader = Reader::open(dir.path(), files).unwrap();
    let mut count = 0;
    let read = reader.for_each(0..u64::MAX, &mut |_, _| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    });
    read.unwrap();
    assert_eq!(count, reader.end().get());
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
    trail.record_ack(&event("of the original"), Ack::Durable).unwrap();
    copy_trail(&original, &copy, &lock_text);
    Trail::open(&copy, options()).unwrap().close(SOON).unwrap();
    assert!(original.join("handoff").exists(), "the living trail has lost its handoff");
    trail.close(SOON).unwrap();
}

#[test]
fn every_rolled_end_has_a_kept_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.segment.roll = Roll::Bytes(1_000);
    for _ in 0..2 {
        let trail = Trail::open(dir.path(), options.clone()).unwrap();
        for _ in 0..5 {
            trail.record_ack(&event(&"x".repeat(400)), Ack::Durable).unwrap();
            // Everything is sealed before the next segment begins, as in any trail that is not busy.
            assert!(trail.seal(SOON));
        }
        trail.close(SOON).unwrap();
    }
    let folder = Folder::new(dir.path(), Arc::new(StdFiles));
    let kept = folder.kept_checkpoints().unwrap();
    let ends: Vec<u64> =
        folder.segments().unwrap().iter().filter_map(|segment| Some(segment.end?.get())).collect();
    assert!(ends.len() > 3);
    for end in ends {
        assert!(kept.contains(&end), "no checkpoint of {end}; kept are {kept:?}");
    }
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
    let receipt = trail.record_ack(&event("patient"), Ack::Durable).unwrap();
    assert_eq!(receipt.status, Status::Durable);
    assert!(trail.flush(Duration::MAX) && trail.seal(Duration::MAX));
    trail.close(Duration::MAX).unwrap();
}

#[test]
fn a_slow_anchor_does_not_hold_a_close_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.anchors = vec![Anchor::Command("sleep 20".into())];
    let trail = Trail::open(dir.path(), options).unwrap();
    let begun = Instant::now();
    let closed = trail.close(Duration::from_secs(1)).unwrap();
    assert_eq!(closed.events, closed.sealed);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
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
    assert!(
        trail.flush(SOON)
            || trail.flush(SOON)
            || (0..2_000).any(|_| {
                std::thread::sleep(Duration::from_millis(5));
                trail.flush(SOON)
            })
    );
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
    assert_eq!(trail.record_ack(&event("fits"), Ack::Durable).unwrap().status, Status::Durable);
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
    let mut future = trail.record_async(&event("moved"), Ack::Durable).unwrap();
    let (first, second) = (Arc::new(Flag(false.into())), Arc::new(Flag(false.into())));
    for flag in [&first, &second] {
        let waker = Waker::from(flag.clone());
        assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let deadline = Instant::now() + Duration::from_secs(2);
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
fn a_forked_child_cannot_rotate_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    // SAFETY: the child only calls into the trail, and ends without unwinding or running destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = matches!(trail.rotate_key(), Err(RotateError::Refused(RecordError::Forked)));
        // SAFETY: ends this process.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child rotated the key, or wrote to the handoff of its parent");
    assert!(!dir.path().join("keys/signing.key.next").exists());
    trail.close(SOON).unwrap();
}

#[test]
fn rotations_at_the_same_time_come_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    std::thread::scope(|scope| {
        let rotations: Vec<_> = (0..4).map(|_| scope.spawn(|| trail.rotate_key())).collect();
        for rotation in rotations {
            rotation.join().unwrap().unwrap();
        }
    });
    trail.close(SOON).unwrap();
    Trail::open(dir.path(), options()).unwrap().close(SOON).unwrap();
}

#[test]
fn failed_rotations_never_lose_the_key_that_signs() {
    let dir = tempfile::tempdir().unwrap();
    let fails: Arc<Mutex<Option<(&str, &str)>>> = Arc::default();
    let planned = fails.clone();
    let mut options = options();
    options.files = hooked(move |what, path| match *planned.lock().unwrap() {
        Some((operation, name)) if what == operation && path.ends_with(name) => {
            Err(io::ErrorKind::Other.into())
        }
        _ => Ok(()),
    });
    let trail = Trail::open(dir.path(), options.clone()).unwrap();
    *fails.lock().unwrap() = Some(("rename", "signing.key"));
    let _ = trail.rotate_key();
    *fails.lock().unwrap() = Some(("replace", "trail.toml"));
    let _ = trail.rotate_key();
    *fails.lock().unwrap() = None;
    trail.close(SOON).unwrap();
    let trail = Trail::open(dir.path(), options).unwrap();
    trail.rotate_key().unwrap();
    trail.close(SOON).unwrap();
}

#[test]
fn an_unreadable_checkpoint_is_never_replaced_by_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    Trail::open(dir.path(), options.clone()).unwrap().close(SOON).unwrap();
    fs::rename(dir.path().join("segments"), dir.path().join("elsewhere")).unwrap();
    let before = fs::read(dir.path().join("checkpoint")).unwrap();
    options.files = hooked(|what, path| {
        if what == "read" && path.ends_with("checkpoint") { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    });
    assert!(Trail::open(dir.path(), options).is_err());
    assert_eq!(fs::read(dir.path().join("checkpoint")).unwrap(), before);
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
    trail.seal(SOON);
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
        assert!(matches!(trail.record_once(event, Ack::Accepted).unwrap(), Once::New(_)));
    }
    assert!(trail.flush(SOON));
    let before = looks.load(Ordering::SeqCst);
    for event in &events {
        assert!(matches!(trail.record_once(event, Ack::Accepted).unwrap(), Once::Repeated { .. }));
    }
    let looked = looks.load(Ordering::SeqCst) - before;
    assert!(looked < 100, "{looked} looks at the segments for {} repeats", events.len());
    trail.close(SOON).unwrap();
}

#[test]
fn a_view_from_before_a_rotation_believes_the_new_key_when_it_looks_again() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.record(&event("before")).unwrap();
    assert!(trail.flush(SOON) && trail.seal(SOON));
    let mut reader = Reader::open(dir.path(), Arc::new(StdFiles)).unwrap();
    reader.checkpoint().unwrap();
    let key = trail.rotate_key().unwrap();
    trail.record(&event("after")).unwrap();
    assert!(trail.flush(SOON) && trail.seal(SOON));
    reader.refresh().unwrap();
    reader.checkpoint().unwrap();
    assert_eq!(reader.manifest().current_key(), Some(&key));
    trail.close(SOON).unwrap();
}

/// A closed segment to be compressed, in a folder of its own.
fn closed_segment(dir: &Path) -> trailseal_core::SegmentFile {
    let path = dir.join("00000000000000000000.jsonl");
    fs::write(&path, "{\"a\":1}\n".repeat(500)).unwrap();
    let form = trailseal_core::segment::Form::Plain;
    trailseal_core::SegmentFile { first: Index::new(0), end: Some(Index::new(500)), form, path }
}

#[test]
fn a_compressed_segment_that_reads_back_otherwise_does_not_replace_the_plain_one() {
    let dir = tempfile::tempdir().unwrap();
    let segment = closed_segment(dir.path());
    // The disk gives back other bytes than it took.
    let files = hooked(|what, path| {
        if what == "open" && path.extension().is_some_and(|extension| extension == "tmp") {
            let other = zstd::encode_all("{\"a\":2}\n".repeat(500).as_bytes(), 1).unwrap();
            fs::write(path, other).unwrap();
        }
        Ok(())
    });
    assert!(trailseal_core::segment::compress(&files, &segment).is_err());
    assert_eq!(fs::read_to_string(&segment.path).unwrap(), "{\"a\":1}\n".repeat(500));
    assert!(!dir.path().join("00000000000000000000.jsonl.zst").exists());
}

#[test]
fn a_compressed_segment_is_on_disk_before_it_replaces_the_plain_one() {
    let dir = tempfile::tempdir().unwrap();
    let segment = closed_segment(dir.path());
    let done = Arc::new(Mutex::new(Vec::new()));
    let noted = done.clone();
    let files = hooked(move |what, _| {
        noted.lock().unwrap().push(what.to_owned());
        Ok(())
    });
    trailseal_core::segment::compress(&files, &segment).unwrap();
    let done = done.lock().unwrap();
    let at = |wanted: &str| done.iter().position(|what| what == wanted);
    assert!(at("sync").is_some() && at("sync") < at("rename"), "{done:?}");
}

#[test]
fn a_key_that_a_rotation_renames_while_a_backup_reads_is_no_error() {
    let place = tempfile::tempdir().unwrap();
    let (dir, to) = (place.path().join("trail"), place.path().join("copy"));
    Trail::open(&dir, options()).unwrap().close(SOON).unwrap();
    let next = dir.join("keys/signing.key.next");
    fs::write(&next, "of a rotation on its way").unwrap();
    let listed = Arc::new(AtomicBool::new(false));
    let (seen, renamed) = (listed.clone(), next.clone());
    let files = hooked(move |what, path| {
        if what == "listed" && path.ends_with("trail/keys") && !seen.swap(true, Ordering::SeqCst) {
            fs::remove_file(&renamed)?;
        }
        Ok(())
    });
    back_up(&Folder::new(&dir, files), &to, true).unwrap();
    assert!(listed.load(Ordering::SeqCst));
    assert!(to.join("keys/signing.key").exists() && !to.join("keys/signing.key.next").exists());
}
