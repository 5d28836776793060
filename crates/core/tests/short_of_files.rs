//! Promise: a shortage of open files loses nothing, refuses nothing, and stops no sealing for longer than it lasts; while it
//! does, whoever asks is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trailseal_core::file::Files;
use trailseal_core::{Ack, HandoffPlace, Notice, Options, RecordOptions, Roll, Status, Trail};
use trailseal_event::Event;
use trailseal_testkit::check::check_trail;
use trailseal_testkit::fault::FaultFiles;

const SOON: Duration = Duration::from_secs(60);
/// The writer's segment: it is open already.
const OF_THE_WRITER: usize = 1;

type Told = Arc<Mutex<Vec<String>>>;

fn open(dir: &Path, files: &FaultFiles) -> (Trail, Told) {
    let told = Told::default();
    let mut options = Options::default();
    options.files = Arc::new(files.clone());
    options.handoff.place = HandoffPlace::Memory;
    options.handoff.size_bytes = 4 << 20;
    options.segment.roll = Roll::Bytes(200_000);
    options.seal_every = Duration::from_millis(1);
    options.disk_reserve_bytes = Some(0);
    let tells = told.clone();
    options.on_notice = Some(Arc::new(move |notice: &Notice| {
        // A machine may be so busy that a write takes over a second.
        if !matches!(notice, Notice::SlowWrite { .. }) {
            tells.lock().unwrap().push(notice.to_string());
        }
    }));
    (Trail::open(dir, options).unwrap(), told)
}

fn record(trail: &Trail, count: usize) {
    for number in 0..count {
        let ack = if number + 1 == count { Ack::Durable } else { Ack::Accepted };
        let options = RecordOptions::from(ack).timeout(SOON);
        let receipt = trail.with(options).record(&Event::new("test.short")).unwrap();
        assert_eq!(receipt.status == Status::Durable, ack == Ack::Durable);
    }
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn sealing_goes_on_with_the_files_that_it_holds_and_with_one() {
    let (dir, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
    let (trail, told) = open(dir.path(), &files);
    // So many that the tree has a second level.
    record(&trail, 400);
    trail.seal(SOON).unwrap();
    // No file more than are open: the sealer's own must do.
    files.set_open_files_max(files.open_files());
    record(&trail, 300);
    trail.seal(SOON).unwrap();
    // One alone, besides the writer's.
    files.set_open_files_max(OF_THE_WRITER + 1);
    record(&trail, 300);
    trail.seal(SOON).unwrap();
    assert_eq!((trail.stats().seal_trouble, &**told.lock().unwrap()), (None, &[][..]));
    files.set_open_files_max(0);
    trail.close(SOON).unwrap();
    let files: Arc<dyn Files> = Arc::new(files);
    let checked = check_trail(dir.path(), &files, &[]);
    assert_eq!(checked.sealed, checked.lines.len() as u64);
}

#[test]
fn without_any_file_events_are_taken_and_it_is_told_until_all_are_sealed() {
    let (dir, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
    let (trail, told) = open(dir.path(), &files);
    record(&trail, 400);
    trail.seal(SOON).unwrap();
    let sealed = trail.stats().sealed;
    files.set_open_files_max(OF_THE_WRITER);
    record(&trail, 100);
    wait_until("it is told", || trail.stats().seal_trouble.is_some());
    // More than a segment has: it is written on, since no other can be made.
    record(&trail, 4_000);
    let stats = trail.stats();
    assert_eq!((stats.sealed, stats.counted.refused), (sealed, 0));
    assert!(trail.why_shut().is_none());
    let trouble = stats.seal_trouble.unwrap();
    assert!(trouble.reason.contains("os error 24"), "{trouble:?}");
    wait_until("it is tried again", || trail.stats().counted.seal_failures > 2);
    files.set_open_files_max(0);
    wait_until("all is sealed by itself", || trail.stats().sealed == trail.stats().durable);
    wait_until("and told so", || trail.stats().seal_trouble.is_none());
    // The next lines go to a new segment.
    record(&trail, 1);
    assert_eq!(trail.folder().segments().unwrap().len(), 2);
    trail.close(SOON).unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2, "the same is told once: {told:?}");
    assert!(told[0].starts_with("sealing failed") && told[1] == "events are being sealed again", "{told:?}");
}

#[test]
fn a_close_that_could_not_seal_says_so_and_the_next_opening_does_it() {
    let (dir, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
    let (trail, _) = open(dir.path(), &files);
    record(&trail, 400);
    trail.seal(SOON).unwrap();
    // Somebody else's, so that the end of the writer helps nobody.
    let held = files.open_read(&trail.folder().root().join("trail.toml")).unwrap();
    files.set_open_files_max(1);
    record(&trail, 100);
    let closed = trail.close(SOON).unwrap();
    assert!(closed.sealed < closed.events, "{closed:?}");
    assert!(closed.seal_trouble.is_some_and(|trouble| trouble.reason.contains("os error 24")));
    files.set_open_files_max(0);
    drop(held);
    let (trail, _) = open(dir.path(), &files);
    let closed = trail.close(SOON).unwrap();
    assert_eq!((closed.sealed, closed.seal_trouble), (closed.events, None));
}

#[test]
fn a_shortage_that_passes_during_a_close_is_waited_for() {
    let (dir, files) = (tempfile::tempdir().unwrap(), FaultFiles::new());
    let (trail, told) = open(dir.path(), &files);
    record(&trail, 400);
    trail.seal(SOON).unwrap();
    files.set_open_files_max(OF_THE_WRITER);
    record(&trail, 100);
    let closing = std::thread::spawn(move || trail.close(SOON).unwrap());
    wait_until("it has failed", || !told.lock().unwrap().is_empty());
    files.set_open_files_max(0);
    let closed = closing.join().unwrap();
    assert_eq!((closed.sealed, closed.seal_trouble), (closed.events, None));
}
