//! What a trail counts is what happened: of events that were masked, of commits, of a disk that is slow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use trailseal_core::{
    Ack, AnyEvent, Distribution, HandoffPlace, Notice, Options, RecordOptions, Submission, Submitted,
    Submitter, Trail,
};
use trailseal_event::Event;
use trailseal_testkit::fault::FaultFiles;

const ONCE: RecordOptions = RecordOptions::new().once();
/// For what must get there, however long a busy machine takes.
const DURABLE: RecordOptions = RecordOptions::new().ack(Ack::Durable).timeout(Duration::from_secs(60));

/// What a trail told.
type Told = Arc<Mutex<Vec<String>>>;

/// A trail whose files are in memory; only its lock is in `folder`.
fn open(folder: &Path, files: &FaultFiles) -> (Trail, Told) {
    let told = Told::default();
    let mut options = Options::default();
    options.files = Arc::new(files.clone());
    options.handoff.place = HandoffPlace::Memory;
    options.disk_reserve_bytes = Some(0);
    let notices = told.clone();
    options.on_notice =
        Some(Arc::new(move |notice: &Notice| notices.lock().unwrap().push(notice.to_string())));
    (Trail::open(folder, options).unwrap(), told)
}

fn count(distribution: &Distribution) -> u64 {
    distribution.counts.iter().sum()
}

#[test]
fn every_way_in_counts_what_it_masks_once() {
    let folder = tempfile::tempdir().unwrap();
    let (trail, _) = open(folder.path(), &FaultFiles::new());
    let plain = Event::new("plain");
    let secret = Event::new("secret").description("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl");
    let masked = || trail.stats().counted.masked;
    trail.record(&plain).unwrap();
    assert_eq!(masked(), 0);
    trail.record(&secret).unwrap();
    assert_eq!(masked(), 1);
    trail.record_all(&[plain.clone(), secret.clone(), secret.clone()]).unwrap();
    assert_eq!(masked(), 3);
    let text = br#"{"action":"a","id":"1","details":{"password":"x"}}"#;
    trail.with(ONCE).record(AnyEvent::Json(text)).unwrap();
    assert_eq!(masked(), 4);
    let texts: [&[u8]; 3] = [text, br#"{"action":"a","details":{"pin":"1234"}}"#, br#"{"action":"a"}"#];
    let submitted = texts.map(Submitted::json);
    trail.record_all(Submission { events: &submitted, by: &Submitter::default() }).unwrap();
    assert_eq!(masked(), 5, "the first is a repeat, and adds nothing");
    trail.record_own("noted", secret).unwrap();
    assert_eq!(masked(), 6);
    trail.close(Duration::from_secs(60)).unwrap();
}

#[test]
fn commits_are_counted_by_their_size_and_their_syncs_by_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let files = FaultFiles::new();
    let begun = std::time::Instant::now();
    let (trail, told) = open(folder.path(), &files);
    let events: Vec<Event> = (0..100).map(|_| Event::new("many")).collect();
    trail.with(DURABLE).record_all(&events).unwrap();
    trail.close(Duration::from_secs(60)).unwrap();
    let (stats, commits) = (trail.stats(), trail.stats().commits);
    assert_eq!(count(&commits.events), stats.counted.commits);
    assert_eq!((commits.events.sum, commits.bytes.sum), (stats.durable, stats.counted.durable_bytes));
    assert_eq!(count(&commits.sync_micros), stats.counted.commits);
    // On a machine that is busy for over a second, a write is slow, too.
    let told = told.lock().unwrap();
    let slow = told.iter().filter(|notice| notice.contains("took over")).count();
    assert_eq!((stats.counted.slow_writes, told.len()), (slow as u64, slow), "{told:?}");
    assert!(begun.elapsed() > Duration::from_secs(1) || slow == 0, "{told:?}");
}

#[test]
fn a_write_that_takes_over_a_second_is_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let files = FaultFiles::new();
    let (trail, told) = open(folder.path(), &files);
    // Not to hope for something, but to be slow. On a busy machine the writer may begin only when the time is over.
    for _ in 0..20 {
        files.set_stalled(true);
        trail.record(&Event::new("waits")).unwrap();
        std::thread::sleep(Duration::from_millis(1_200));
        files.set_stalled(false);
        trail.flush(Duration::from_secs(60)).unwrap();
        if trail.stats().counted.slow_writes > 0 {
            break;
        }
    }
    trail.close(Duration::from_secs(60)).unwrap();
    let stats = trail.stats();
    assert!(stats.counted.slow_writes >= 1, "{stats:?}");
    let slow = stats.commits.sync_micros;
    let above = slow.bounds.partition_point(|bound| *bound <= 1_000_000);
    assert!(slow.counts[above..].iter().sum::<u64>() >= 1, "{slow:?}");
    let told = told.lock().unwrap();
    assert!(told.iter().any(|notice| notice.contains("took over")), "{told:?}");
}
