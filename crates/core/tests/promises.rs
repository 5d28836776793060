//! Promises of an open trail, one test each: one writer, forks, full buffers, disks that hang or break, futures,
//! batches, repeats, what an opening takes over and what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unsafe_code,
    reason = "tests panic; one of them forks"
)]

use std::future::Future;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use trailseal_core::clock::Clock;
use trailseal_core::file::{Files, StdFiles};
use trailseal_core::{
    Ack, Anchor, Full, HandoffPlace, Notice, OpenError, Options, Reader, Receipt, RecordError, RecordOptions,
    Roll, Status, Trail, trails_in,
};
use trailseal_event::policy::OnFailure;
use trailseal_event::{Event, Timestamp};
use trailseal_testkit::check::check_trail;
use trailseal_testkit::fault::FaultFiles;

const ONCE: RecordOptions = RecordOptions::new().once();

const LONG: Duration = Duration::from_secs(60);
/// For what must get there, however long a busy machine takes.
const DURABLE: RecordOptions = RecordOptions::new().ack(Ack::Durable).timeout(LONG);

fn options() -> Options {
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options
}

fn on(files: &FaultFiles) -> Options {
    let mut options = options();
    options.files = Arc::new(files.clone());
    options.handoff.place = HandoffPlace::Memory;
    options.policy.otherwise.timeout = Duration::from_millis(100);
    options.handoff.timeout = Duration::from_millis(20);
    options
}

/// The index of an event that is kept, and whose level was not reached in time.
fn unconfirmed(result: Result<Receipt, RecordError>) -> u64 {
    match result {
        Err(RecordError::Unconfirmed { index, .. }) => index.get(),
        other => panic!("it is not unconfirmed: {other:?}"),
    }
}

fn event(text: &str) -> Event {
    Event::new("test.promise").description(text)
}

/// Waits for a condition with a deadline.
fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn std_files() -> Arc<dyn Files> {
    Arc::new(StdFiles)
}

#[test]
fn a_second_writer_is_refused_and_told_who_holds_the_trail() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    match Trail::open(folder.path(), options()) {
        Err(OpenError::Locked { holder, .. }) => assert_eq!(holder.pid, Some(std::process::id())),
        other => panic!("{:?}", other.map(|_| ())),
    }
    trail.close(LONG).unwrap();
    Trail::open(folder.path(), options()).unwrap().close(LONG).unwrap();
}

#[test]
fn a_forked_childs_handle_is_dead_and_it_does_not_inherit_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    // SAFETY: the child only calls `record`, which refuses at once, then waits for the parent and ends without
    // running anything of the parent's.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let is_dead = matches!(trail.record(&event("child")), Err(RecordError::Forked));
        drop(ours);
        let _ = theirs.read(&mut [0]);
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(if is_dead { 0 } else { 1 }) };
    }
    trail.with(DURABLE).record(&event("parent")).unwrap();
    trail.close(LONG).unwrap();
    // The child still lives; were the lock inherited, this would be refused.
    Trail::open(folder.path(), options()).unwrap().close(LONG).unwrap();
    drop(ours);
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(status, 0, "the child's record was not refused as forked");
    let checked = check_trail(folder.path(), &std_files(), &[(1, "parent".into())]);
    assert!(!checked.lines.iter().any(|line| line.windows(5).any(|window| window == b"child")));
}

#[test]
fn a_full_buffer_refuses_at_its_deadline_and_what_was_refused_is_counted() {
    for full in [Full::Block, Full::Refuse] {
        let (folder, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
        let mut options = on(&files);
        options.handoff.full = full;
        let trail = Trail::open(folder.path(), options).unwrap();
        files.set_stalled(true);
        let big = event(&"x".repeat(8_000));
        let mut accepted = 0;
        let refused = loop {
            match trail.record(&big) {
                Ok(receipt) => {
                    accepted += 1;
                    assert_eq!(receipt.index.unwrap().get(), accepted, "a refused event takes no index");
                }
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, RecordError::Full), "{refused}");
        assert!(accepted > 50);
        files.set_stalled(false);
        until("room", || trail.record(&event("after")).is_ok());
        let refused = trail.stats().counted.refused;
        trail.close(LONG).unwrap();
        let files: Arc<dyn Files> = Arc::new(files);
        let checked = check_trail(folder.path(), &files, &[(accepted + 1, "after".into())]);
        let text = String::from_utf8(checked.lines.concat()).unwrap();
        assert!(text.contains("trail.counts") && text.contains(&format!("\"refused\":{refused}")), "{text}");
    }
}

#[test]
fn while_the_disk_hangs_the_handoffs_file_holds_everything_accepted() {
    let (folder, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
    let handoff = folder.path().join("handoff-elsewhere");
    let mut options = on(&files);
    options.handoff.place = HandoffPlace::File(handoff.clone());
    let trail = Trail::open(folder.path(), options).unwrap();
    files.set_stalled(true);
    let events: Vec<u64> = (0..20)
        .map(|number| trail.record(&event(&format!("held {number}"))).unwrap().index.unwrap().get())
        .collect();
    // The writer takes them meanwhile, and hangs in the sync: what it took must still be there.
    for _ in 0..50 {
        let file = std::fs::read(&handoff).unwrap();
        let end = trailseal_core::replay(&file, events[0], |_, _| {});
        assert_eq!(end, events[19] + 1, "what is not durable was given free");
        std::thread::sleep(Duration::from_millis(2));
    }
    files.set_stalled(false);
    trail.close(LONG).unwrap();
}

#[test]
fn a_hanging_disk_never_freezes_a_caller() {
    let (folder, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
    let trail = Trail::open(folder.path(), on(&files)).unwrap();
    files.set_stalled(true);
    let first = unconfirmed(trail.with(Ack::Durable).record(&event("waits")));
    let future = trail.with(Ack::Durable).record_async(&event("waits, too")).unwrap();
    let second = unconfirmed(block_on(future));
    assert_eq!(trail.stats().counted.unconfirmed, 2);
    files.set_stalled(false);
    trail.close(LONG).unwrap();
    let files: Arc<dyn Files> = Arc::new(files);
    let kept = [(first, "waits".to_owned()), (second, "waits, too".to_owned())];
    check_trail(folder.path(), &files, &kept);
}

#[test]
fn a_broken_disk_refuses_new_events_and_writes_the_old_ones_once_it_is_mended() {
    let (folder, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
    let notices = Arc::new(Mutex::new(Vec::new()));
    let mut options = on(&files);
    let told = notices.clone();
    options.on_notice = Some(Arc::new(move |notice: &Notice| told.lock().unwrap().push(notice.clone())));
    let trail = Trail::open(folder.path(), options).unwrap();
    trail.with(DURABLE).record(&event("before")).unwrap();
    files.set_broken(true);
    let during = unconfirmed(trail.with(Ack::Durable).record(&event("during")));
    until("the disk to be found failing", || {
        matches!(trail.record(&event("no")), Err(RecordError::DiskFailing { .. }))
    });
    files.set_broken(false);
    until("events to be taken again", || trail.record(&event("after")).is_ok());
    trail.close(LONG).unwrap();
    assert!(notices.lock().unwrap().contains(&Notice::SegmentRecovered));
    let files: Arc<dyn Files> = Arc::new(files);
    let checked = check_trail(folder.path(), &files, &[(1, "before".into()), (during, "during".into())]);
    assert_eq!(checked.sealed, checked.lines.len() as u64);
}

#[test]
fn below_the_disk_reserve_new_events_are_refused_and_accepted_ones_still_written() {
    let (folder, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
    let mut options = on(&files);
    options.disk_reserve_bytes = Some(100 << 20);
    let trail = Trail::open(folder.path(), options).unwrap();
    let first = trail.record(&event("first")).unwrap();
    files.set_free_bytes(99 << 20);
    until("the reserve", || matches!(trail.record(&event("no")), Err(RecordError::DiskReserve)));
    trail.flush(LONG).unwrap();
    files.set_free_bytes(200 << 20);
    until("room", || trail.record(&event("again")).is_ok());
    trail.close(LONG).unwrap();
    let files: Arc<dyn Files> = Arc::new(files);
    check_trail(folder.path(), &files, &[(first.index.unwrap().get(), "first".into())]);
}

#[test]
fn a_segment_that_is_deleted_under_the_writer_is_noticed_and_rolled() {
    let folder = tempfile::tempdir().unwrap();
    let notices = Arc::new(Mutex::new(Vec::new()));
    let mut options = options();
    let told = notices.clone();
    options.on_notice = Some(Arc::new(move |notice: &Notice| told.lock().unwrap().push(notice.clone())));
    let trail = Trail::open(folder.path(), options).unwrap();
    trail.with(DURABLE).record(&event("lost")).unwrap();
    let segments = folder.path().join("segments");
    std::fs::remove_file(segments.join("00000000000000000000.jsonl")).unwrap();
    until("the notice", || notices.lock().unwrap().contains(&Notice::SegmentReplaced { first: 0 }));
    let receipt = trail.with(DURABLE).record(&event("kept")).unwrap();
    let name = format!("{:020}.jsonl", receipt.index.unwrap().get());
    assert!(std::fs::read_to_string(segments.join(name)).unwrap().contains("kept"));
    trail.close(LONG).unwrap();
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, without any runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park_timeout(LONG);
    }
}

#[test]
fn a_future_gives_the_receipt_and_a_dropped_one_still_records() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    let first = block_on(trail.with(DURABLE).record_async(&event("awaited")).unwrap()).unwrap();
    assert_eq!((first.index.unwrap().get(), first.status), (1, Status::Durable));
    drop(trail.with(Ack::Durable).record_async(&event("dropped")).unwrap());
    let mut polled =
        std::pin::pin!(trail.with(Ack::Durable).record_async(&event("polled, then dropped")).unwrap());
    let _ = polled.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(block_on(trail.record_async(&event("accepted")).unwrap()).unwrap().status, Status::Accepted);
    trail.close(LONG).unwrap();
    let kept = ["awaited", "dropped", "polled, then dropped", "accepted"];
    let kept: Vec<(u64, String)> = (1..).zip(kept.map(str::to_owned)).collect();
    check_trail(folder.path(), &std_files(), &kept);
}

#[test]
fn a_batch_has_consecutive_indexes_or_none_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    let batch: Vec<Event> = (0..50).map(|number| event(&format!("batch {number}"))).collect();
    let receipts = trail.with(DURABLE).record_all(&batch).unwrap();
    let indexes: Vec<u64> = receipts.iter().map(|receipt| receipt.index.unwrap().get()).collect();
    assert_eq!(indexes, (1..51).collect::<Vec<_>>());
    let with_bad = [event("good"), Event::new("")];
    let Err(RecordError::At { place: 1, source }) = trail.record_all(&with_bad) else {
        panic!("it was recorded")
    };
    assert!(matches!(*source, RecordError::NoAction(_)), "{source}");
    let large: Vec<Event> = (0..100).map(|_| event(&"x".repeat(8_000))).collect();
    assert!(matches!(trail.record_all(&large), Err(RecordError::TooLarge { .. })));
    assert_eq!(trail.record(&event("next")).unwrap().index.unwrap().get(), 51);
    trail.close(LONG).unwrap();
    check_trail(folder.path(), &std_files(), &[(50, "batch 49".into()), (51, "next".into())]);
}

#[test]
fn an_event_with_an_id_goes_in_once_within_its_tenant_and_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let with = |tenant: &str, text: &str| event(text).id("order-1").tenant(tenant);
    for session in 0..2 {
        let trail = Trail::open(folder.path(), options()).unwrap();
        let once = |event: &Event| trail.with(ONCE).record(event);
        let is_new = |event: &Event| once(event).unwrap().status == Status::Accepted;
        assert_eq!(is_new(&with("a", "same")), session == 0);
        let repeated = once(&with("a", "same")).unwrap();
        assert_eq!(repeated.status, Status::Repeated { retired: false });
        assert_eq!(repeated.index, Some(trailseal_event::Index::new(1)));
        let conflict = once(&with("a", "other")).unwrap_err();
        assert!(matches!(conflict, RecordError::Conflict { index: Some(index), .. } if index.get() == 1));
        assert_eq!(is_new(&with("b", "same")), session == 0, "another tenant's id is another id");
        assert!(is_new(&event("without an id")));
        trail.close(LONG).unwrap();
    }
    let checked = check_trail(folder.path(), &std_files(), &[]);
    assert_eq!(
        checked.lines.iter().filter(|line| line.windows(7).any(|window| window == b"order-1")).count(),
        2
    );
}

struct Stopped(Mutex<i64>);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(*self.0.lock().unwrap())
    }
}

#[test]
fn recorded_never_goes_back_though_the_clock_does_also_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Stopped(Mutex::new(1_800_000_000_000_000)));
    let mut recorded = Vec::new();
    for back in [0, 3_600_000_000i64, 7_200_000_000] {
        *clock.0.lock().unwrap() = 1_800_000_000_000_000 - back;
        let mut options = options();
        options.clock = clock.clone();
        let trail = Trail::open(folder.path(), options).unwrap();
        trail.record(&event("tick")).unwrap();
        trail.close(LONG).unwrap();
    }
    for line in check_trail(folder.path(), &std_files(), &[]).lines {
        recorded.push(trailseal_event::line::parse_front(&line).unwrap().recorded);
    }
    assert!(recorded.is_sorted(), "{recorded:?}");
}

#[test]
fn a_torn_last_line_goes_to_a_side_file_before_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    trail.record(&event("whole")).unwrap();
    trail.close(LONG).unwrap();
    let segment = folder.path().join("segments/00000000000000000000.jsonl");
    let mut bytes = std::fs::read(&segment).unwrap();
    let torn = b"{\"v\":1,\"index\":3,\"recorded\":\"20";
    bytes.extend_from_slice(torn);
    std::fs::write(&segment, &bytes).unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    assert_eq!(trail.found().cut_bytes, torn.len() as u64);
    trail.record(&event("after")).unwrap();
    trail.close(LONG).unwrap();
    let side = folder.path().join("segments/00000000000000000000.cut-0");
    assert_eq!(std::fs::read(side).unwrap(), torn);
    check_trail(folder.path(), &std_files(), &[(1, "whole".into()), (4, "after".into())]);
}

#[test]
fn a_trail_whose_signed_events_changed_is_not_opened() {
    type Damage = fn(&Path);
    fn edit(path: &Path, from: &str, to: &str) {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from));
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
    let segment = |folder: &Path| folder.join("segments/00000000000000000000.jsonl");
    let damages: [(&str, Damage); 3] = [
        ("an edited line", |segment| edit(segment, "event 3", "event 4")),
        ("a cut segment", |segment| {
            let text = std::fs::read_to_string(segment).unwrap();
            let lines: Vec<&str> = text.split_inclusive('\n').take(3).collect();
            std::fs::write(segment, lines.concat()).unwrap();
        }),
        ("a swapped pair", |segment| {
            let text = std::fs::read_to_string(segment).unwrap();
            let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
            lines.swap(2, 3);
            std::fs::write(segment, lines.concat()).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let trail = Trail::open(folder.path(), options()).unwrap();
        for number in 0..5 {
            trail.record(&event(&format!("event {number}"))).unwrap();
        }
        trail.close(LONG).unwrap();
        damage(&segment(folder.path()));
        let refused = Trail::open(folder.path(), options()).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("trailseal succeed"), "{what}: {refused}");
        match refused.reason() {
            OpenError::Tampered { first_bad, .. } => assert!((2..5).contains(&first_bad.get()), "{what}"),
            OpenError::Missing { from: 3, to: 7, .. } => assert_eq!(what, "a cut segment"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn anchors_are_given_each_checkpoint_that_stands_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, by_command) = (folder.path().join("kept"), folder.path().join("by-command"));
    let dir = folder.path().join("trail");
    let mut options = options();
    options.anchors =
        vec![Anchor::File(kept.clone()), Anchor::Command(format!("cat >> {}", by_command.display()))];
    let trail = Trail::open(&dir, options).unwrap();
    trail.record(&event("anchored")).unwrap();
    trail.seal(LONG).unwrap();
    trail.close(LONG).unwrap();
    let newest = std::fs::read_to_string(dir.join("checkpoint")).unwrap();
    assert!(std::fs::read_to_string(&kept).unwrap().ends_with(&format!("{newest}\n")));
    assert!(std::fs::read_to_string(&by_command).unwrap().ends_with(&newest));
}

#[test]
fn segments_roll_by_size_and_each_end_has_a_kept_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.segment.roll = Roll::Bytes(20_000);
    options.segment.compress = true;
    let trail = Trail::open(folder.path(), options).unwrap();
    for number in 0..300 {
        let ack = if number % 10 == 0 { DURABLE } else { RecordOptions::from(Ack::Accepted) };
        trail.with(ack).record(&event(&format!("event {number} {}", "x".repeat(200)))).unwrap();
    }
    trail.close(LONG).unwrap();
    let reader = Reader::open(folder.path(), std_files()).unwrap();
    let segments = reader.segments().to_vec();
    assert!(segments.len() > 3, "{segments:?}");
    let kept = reader.folder().kept_checkpoints().unwrap();
    for segment in &segments[..segments.len() - 1] {
        assert!(kept.contains(&segment.end.unwrap().get()), "{kept:?}");
        assert!(segment.path.extension().is_some_and(|extension| extension == "zst"), "{segment:?}");
    }
    check_trail(folder.path(), &std_files(), &[(300, "event 299 ".into())]);
}

#[test]
fn writers_take_the_first_free_slot_and_find_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.origin = Some("example.com/app".into());
    let first = Trail::open_slot(dir.path(), options.clone()).unwrap();
    let second = Trail::open_slot(dir.path(), options.clone()).unwrap();
    assert_eq!((first.origin(), second.origin()), ("example.com/app/0", "example.com/app/1"));
    first.with(DURABLE).record(&event("in the first")).unwrap();
    first.close(LONG).unwrap();
    let again = Trail::open_slot(dir.path(), options.clone()).unwrap();
    assert_eq!(again.origin(), "example.com/app/0");
    assert!(again.found().in_segments > 1);
    let folders = trails_in(dir.path(), &StdFiles).unwrap();
    assert_eq!(folders, [dir.path().join("0"), dir.path().join("1")]);
    assert_eq!(trails_in(&folders[1], &StdFiles).unwrap(), [folders[1].clone()]);
    assert!(Trail::open_slot(&folders[0], options).is_err(), "a trail is no folder of slots");
    again.close(LONG).unwrap();
    second.close(LONG).unwrap();
}

#[test]
fn where_the_policy_allows_a_failure_is_a_receipt_that_says_so() {
    let (folder, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
    let mut options = on(&files);
    options.policy.otherwise.on_failure = OnFailure::Allow;
    let trail = Trail::open(folder.path(), options).unwrap();
    files.set_stalled(true);
    let receipt = trail.with(Ack::Durable).record(&event("waits")).unwrap();
    assert_eq!(receipt.status, Status::Unconfirmed);
    let kept = receipt.index.unwrap().get();
    let second = block_on(trail.with(Ack::Durable).record_async(&event("waits, too")).unwrap()).unwrap();
    assert_eq!(second.status, Status::Unconfirmed);
    files.set_stalled(false);
    let refused = trail.record(&Event::default()).unwrap();
    assert_eq!((refused.index, refused.status), (None, Status::Refused), "an event without an action");
    assert_eq!(trail.stats().counted.refused, 1);
    trail.close(LONG).unwrap();
    assert_eq!(trail.record(&event("late")).unwrap().status, Status::Refused);
    let receipts = trail.with(Ack::Durable).record_all(&[event("late"), event("too")]).unwrap();
    assert!(receipts.iter().all(|receipt| (receipt.index, receipt.status) == (None, Status::Refused)));
    let files: Arc<dyn Files> = Arc::new(files);
    check_trail(folder.path(), &files, &[(kept, "waits".into())]);
}

#[test]
fn every_event_of_a_refused_batch_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    trail.close(LONG).unwrap();
    assert!(trail.record_all(&[event("a"), event("b"), event("c")]).is_err());
    assert_eq!(trail.stats().counted.refused, 3);
}
