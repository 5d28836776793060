//! A sink that keeps checkpoints gets those that the trail keeps and its newest, each after the events that it covers;
//! one that keeps others than the trail has is left alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trailseal_core::deliver::{
    Batch, DeliveryState, KeptCheckpoints, Position, SealedCheckpoint, Sink, SinkError,
};
use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, Options, Roll, Trail};
use trailseal_event::{Event, Index};
use trailseal_tlog::{Hash, TileEdge, leaf_hash};

const SOON: Duration = Duration::from_secs(60);

/// A store in memory that outlives the trail.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    rows: Vec<Vec<u8>>,
    notes: BTreeMap<u64, (Hash, String)>,
    /// Every so many calls one fails; 0 for none.
    fails_every: usize,
    calls: usize,
}

impl Contents {
    fn call(&mut self) -> Result<(), SinkError> {
        self.calls += 1;
        match self.fails_every {
            0 => Ok(()),
            every if self.calls.is_multiple_of(every) => Err(SinkError::Store("the line is cut".into())),
            _ => Ok(()),
        }
    }
}

impl Sink for Store {
    fn name(&self) -> &str {
        "test-store"
    }

    fn position(&mut self) -> Result<Position, SinkError> {
        let contents = self.0.lock().unwrap();
        let last_leaf = contents.rows.last().map(|row| leaf_hash(row));
        Ok(Position { cursor: Index::new(contents.rows.len() as u64), last_leaf })
    }

    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        let mut contents = self.0.lock().unwrap();
        contents.call()?;
        contents.rows.extend(batch.lines.iter().map(|line| line.bytes.to_vec()));
        Ok(())
    }

    fn checkpoints(&mut self) -> Result<Option<KeptCheckpoints>, SinkError> {
        let contents = self.0.lock().unwrap();
        let newest = contents.notes.last_key_value().map(|(size, (root, _))| (*size, *root));
        Ok(Some(KeptCheckpoints { sizes: contents.notes.keys().copied().collect(), newest }))
    }

    fn keep_checkpoint(&mut self, checkpoint: &SealedCheckpoint<'_>) -> Result<(), SinkError> {
        let mut contents = self.0.lock().unwrap();
        contents.call()?;
        let SealedCheckpoint { size, root, note } = *checkpoint;
        assert!(size as usize <= contents.rows.len(), "its events come first");
        if let Some((other, _)) = contents.notes.get(&size).filter(|(other, _)| *other != root) {
            let what = format!("another root: {}", other.to_base64());
            return Err(SinkError::Differs { at: Index::new(size - 1), what });
        }
        contents.notes.insert(size, (root, note.to_owned()));
        Ok(())
    }

    fn batch_events_max(&self) -> usize {
        7
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options.seal_every = Duration::from_millis(5);
    options.segment.roll = Roll::Bytes(2_000);
    options
}

fn event(number: u64) -> Event {
    Event::new("test.delivered").description(format!("event {number}"))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Records events and closes; without a store nothing is delivered.
fn record(dir: &Path, store: Option<&Store>, numbers: std::ops::Range<u64>) {
    let trail = Trail::open(dir, options()).unwrap();
    if let Some(store) = store {
        trail.deliver_to(Box::new(store.clone())).unwrap();
    }
    for number in numbers {
        trail.record(&event(number)).unwrap();
        if number % 20 == 0 {
            trail.flush(SOON).unwrap();
        }
    }
    trail.close(SOON).unwrap();
}

/// The store has every checkpoint that the trail keeps and its newest, and each fits the rows.
fn check(dir: &Path, store: &Store) {
    let folder = Folder::new(dir, Arc::new(StdFiles));
    let contents = store.0.lock().unwrap();
    let kept = folder.kept_checkpoints().unwrap();
    assert!(kept.len() > 5, "{kept:?}");
    for size in kept {
        let (_, note) = contents.notes.get(&size).unwrap_or_else(|| panic!("checkpoints/{size} is missing"));
        assert_eq!(*note, std::fs::read_to_string(folder.kept_checkpoint(size)).unwrap());
    }
    let newest = contents.notes.last_key_value().unwrap();
    assert_eq!(*newest.0, contents.rows.len() as u64);
    assert_eq!(newest.1.1, std::fs::read_to_string(folder.checkpoint()).unwrap());
    let mut edge = TileEdge::new();
    for row in &contents.rows {
        edge.push(leaf_hash(row), &mut |_, _| {});
        if let Some((root, _)) = contents.notes.get(&edge.size()) {
            assert_eq!(edge.root(), *root);
        }
    }
}

#[test]
fn every_checkpoint_that_is_kept_and_the_newest_arrive_after_their_events() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    // The first opening has no store: what it keeps is caught up.
    record(dir.path(), None, 0..100);
    // Failures call for a new connecting each, with pauses between.
    store.0.lock().unwrap().fails_every = 23;
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.deliver_to(Box::new(store.clone())).unwrap();
    wait_until("all checkpoints of what was there", || {
        store.0.lock().unwrap().notes.keys().any(|size| *size > 100)
    });
    store.0.lock().unwrap().fails_every = 0;
    for number in 100..200 {
        trail.record(&event(number)).unwrap();
        // However slow the writer is, there are ends of segments in between.
        if number % 20 == 0 {
            trail.flush(SOON).unwrap();
        }
    }
    trail.close(SOON).unwrap();
    check(dir.path(), &store);
    record(dir.path(), Some(&store), 200..230);
    check(dir.path(), &store);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &to) } else { std::fs::copy(&path, &to).map(|_| ()).unwrap() }
    }
}

/// The index at which the delivery of the trail in `dir` stops, and why.
fn stopped(dir: &Path, store: &Store) -> (u64, String) {
    let trail = Trail::open(dir, options()).unwrap();
    trail.deliver_to(Box::new(store.clone())).unwrap();
    let mut state = DeliveryState::Running;
    wait_until("a stop", || {
        state = trail.stats().deliveries[0].state.clone();
        matches!(state, DeliveryState::Stopped { .. })
    });
    let DeliveryState::Stopped { at, reason } = state else { unreachable!() };
    (at.get(), reason)
}

/// Even where the rows were taken back to what both have in common, and the cursor with them.
#[test]
fn a_forked_trail_is_stopped_by_the_checkpoints_that_a_store_has_of_the_other_one() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, copied, longer) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    let store = Store::default();
    record(&ours, Some(&store), 0..50);
    let common = store.0.lock().unwrap().rows.len();
    copy(&ours, &copied);
    copy(&ours, &longer);
    record(&ours, Some(&store), 50..100);
    let size = store.0.lock().unwrap().rows.len() as u64;
    store.0.lock().unwrap().rows.truncate(common);

    // Rolled back: its checkpoint covers less.
    let (at, reason) = stopped(&copied, &store);
    assert!((common as u64..size).contains(&at), "{at}: {reason}");
    assert!(reason.contains("test-store") && reason.contains(&size.to_string()), "{reason}");

    // Forked: it covers more, but other events.
    record(&longer, None, 1_000..1_200);
    let (at, reason) = stopped(&longer, &store);
    assert_eq!(at, size - 1, "{reason}");
    assert!(reason.contains("signs others"), "{reason}");
    assert_eq!(store.0.lock().unwrap().rows.len(), common, "nothing is added to another trail's events");
}

#[test]
fn a_store_that_refuses_a_checkpoint_stops_the_delivery() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    record(dir.path(), Some(&store), 0..100);
    let (size, kept) = {
        let mut contents = store.0.lock().unwrap();
        let size = *contents.notes.keys().nth(1).unwrap();
        (size, contents.notes.remove(&size).unwrap().1)
    };
    // It answers that it has none of this size, and yet has another one when it comes.
    let folder = Folder::new(dir.path(), Arc::new(StdFiles));
    assert_eq!(kept, std::fs::read_to_string(folder.kept_checkpoint(size)).unwrap());
    #[derive(Clone)]
    struct Refusing(Store, u64);
    impl Sink for Refusing {
        fn name(&self) -> &str {
            "refusing"
        }
        fn position(&mut self) -> Result<Position, SinkError> {
            self.0.position()
        }
        fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
            self.0.deliver(batch)
        }
        fn checkpoints(&mut self) -> Result<Option<KeptCheckpoints>, SinkError> {
            self.0.checkpoints()
        }
        fn keep_checkpoint(&mut self, checkpoint: &SealedCheckpoint<'_>) -> Result<(), SinkError> {
            if checkpoint.size == self.1 {
                let what = format!("it has another checkpoint of size {}", self.1);
                return Err(SinkError::Differs { at: Index::new(self.1), what });
            }
            self.0.keep_checkpoint(checkpoint)
        }
    }
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.deliver_to(Box::new(Refusing(store.clone(), size))).unwrap();
    wait_until("a stop", || {
        matches!(&trail.stats().deliveries[0].state, DeliveryState::Stopped { at, reason }
            if at.get() == size && reason.contains("another checkpoint"))
    });
}
