//! Every durable event reaches every sink once, in order, whatever fails on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trailseal_core::deliver::{Batch, DeliveryState, Position, Sink, SinkError};
use trailseal_core::{Ack, Notice, Options, Roll, Status, Trail};
use trailseal_event::policy::OnFailure;
use trailseal_event::{Event, Index};
use trailseal_testkit::fault::FaultFiles;
use trailseal_tlog::leaf_hash;

const SOON: Duration = Duration::from_secs(20);

/// What a store does with one batch.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing is stored.
    Fails,
    /// It is stored, and nobody hears of it.
    FailsThoughDone,
}

/// A store in memory that outlives the trail, with rows and cursor changed together.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    rows: Vec<Vec<u8>>,
    /// What the n-th delivery from now on does.
    faults: Vec<(usize, Fault)>,
    deliveries: usize,
    is_down: bool,
}

impl Store {
    fn rows(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().rows.clone()
    }

    fn set_down(&self, is_down: bool) {
        self.0.lock().unwrap().is_down = is_down;
    }
}

fn broken() -> SinkError {
    SinkError::Store("the line is cut".into())
}

impl Sink for Store {
    fn name(&self) -> &str {
        "test-store"
    }

    fn position(&mut self) -> Result<Position, SinkError> {
        let contents = self.0.lock().unwrap();
        if contents.is_down {
            return Err(broken());
        }
        let last_leaf = contents.rows.last().map(|row| leaf_hash(row));
        Ok(Position { cursor: Index::new(contents.rows.len() as u64), last_leaf })
    }

    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        let mut contents = self.0.lock().unwrap();
        let number = contents.deliveries;
        contents.deliveries += 1;
        let fault = contents.faults.iter().find(|(at, _)| *at == number).map(|(_, fault)| *fault);
        if contents.is_down || fault == Some(Fault::Fails) {
            return Err(broken());
        }
        let cursor = contents.rows.len() as u64;
        if batch.first.get() != cursor {
            return Err(SinkError::Gap { first: batch.first, cursor: Index::new(cursor) });
        }
        contents.rows.extend(batch.lines.iter().map(|line| line.bytes.to_vec()));
        if fault == Some(Fault::FailsThoughDone) { Err(broken()) } else { Ok(()) }
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

/// The store holds the trail's lines, each once and in order.
fn check_equal(dir: &std::path::Path, options: &Options, store: &Store) {
    let mut reader = trailseal_core::Reader::open(dir, options.files.clone()).unwrap();
    let mut lines = Vec::new();
    reader
        .for_each(0..u64::MAX, &mut |_, line| {
            lines.push(line.to_vec());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert!(lines.len() > 1);
    assert_eq!(store.rows(), lines);
}

#[test]
fn every_event_arrives_once_through_faults_rolls_and_openings() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.segment.roll = Roll::Bytes(2_000);
    options.segment.compress = true;
    let store = Store::default();
    store.0.lock().unwrap().faults =
        vec![(0, Fault::Fails), (2, Fault::FailsThoughDone), (3, Fault::Fails), (9, Fault::FailsThoughDone)];
    for opening in 0..3 {
        let trail = Trail::open(dir.path(), options.clone()).unwrap();
        trail.deliver_to(Box::new(store.clone())).unwrap();
        for number in 0..100 {
            trail.record(&event(number)).unwrap();
            if number % 20 == 0 {
                trail.flush(SOON);
            }
        }
        let sealed = trail.stats().accepted;
        wait_until("a delivery of all", || trail.stats().deliveries[0].cursor.get() >= sealed);
        let closed = trail.close(SOON).unwrap();
        assert_eq!(closed.deliveries[0].lag_events, 0, "opening {opening}");
        assert_eq!(closed.deliveries[0].cursor.get(), closed.events);
        check_equal(dir.path(), &options, &store);
    }
    assert!(store.0.lock().unwrap().deliveries > 10);
}

#[test]
fn lines_that_a_failed_segment_holds_beyond_its_end_are_not_delivered() {
    let files = FaultFiles::new();
    // For the lock and the handoff; all else is in `files`.
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut options = options();
    options.files = Arc::new(files.clone());
    let store = Store::default();
    let trail = Trail::open(dir, options.clone()).unwrap();
    trail.deliver_to(Box::new(store.clone())).unwrap();
    for round in 0..20 {
        for number in 0..10 {
            wait_until("an open gate", || trail.record(&event(round * 10 + number)).is_ok());
        }
        files.set_broken(true);
        let _ = trail.record(&event(1_000));
        wait_until("a failure of the disk", || trail.stats().counted.segment_failures > round);
        files.set_broken(false);
        wait_until("a recovery", || trail.stats().durable == trail.stats().accepted);
        assert!(trail.flush(SOON));
    }
    trail.close(SOON).unwrap();
    check_equal(dir, &options, &store);
}

#[test]
fn ack_store_waits_for_the_store_and_says_when_it_did_not_get_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.policy.otherwise.timeout = Duration::from_secs(3_600);
    options.policy.otherwise.on_failure = OnFailure::Allow;
    let store = Store::default();
    let trail = Trail::open(dir.path(), options).unwrap();
    let without = trail.record_ack(&event(0), Ack::Store).unwrap();
    assert_eq!(without.status, Status::Unconfirmed, "there is no store");
    trail.deliver_to_store(Box::new(store.clone())).unwrap();
    wait_until("a stored event", || {
        trail.record_ack(&event(1), Ack::Store).unwrap().status == Status::Stored
    });
    let receipt = trail.record_ack(&event(2), Ack::Store).unwrap();
    assert_eq!(receipt.status, Status::Stored);
    let row = store.rows()[receipt.index.unwrap().get() as usize].clone();
    assert!(String::from_utf8(row).unwrap().contains("event 2"));

    store.set_down(true);
    let mut policy = trail.policy();
    policy.otherwise.timeout = Duration::from_millis(300);
    trail.set_policy(policy).unwrap();
    let receipt = trail.record_ack(&event(3), Ack::Store).unwrap();
    assert_eq!(receipt.status, Status::Unconfirmed);
    assert_eq!(trail.stats().counted.unconfirmed, 2);
    assert!(matches!(trail.stats().deliveries[0].state, DeliveryState::Failing { .. }));
    assert!(trail.stats().deliveries[0].lag_events > 0);
    store.set_down(false);
    assert_eq!(trail.wait_for(Ack::Durable, receipt.index.unwrap(), SOON), Status::Durable);
    wait_until("a late delivery", || store.rows().len() as u64 > receipt.index.unwrap().get());
    trail.close(SOON).unwrap();
}

#[test]
fn a_future_of_ack_store_ends_when_the_store_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.deliver_to_store(Box::new(store.clone())).unwrap();
    let recording = trail.record_async(&event(1), Ack::Store).unwrap();
    let receipt = block_on(recording).unwrap();
    assert_eq!(receipt.status, Status::Stored);
    assert!(store.rows().len() as u64 > receipt.index.unwrap().get());
    trail.close(SOON).unwrap();
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park_timeout(SOON),
        }
    }
}

#[test]
fn a_store_that_is_ahead_or_differs_is_left_alone_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notices) = (Store::default(), Arc::new(Mutex::new(Vec::new())));
    let mut options = options();
    let seen = notices.clone();
    options.on_notice = Some(Arc::new(move |notice: &Notice| seen.lock().unwrap().push(notice.to_string())));
    let open = |store: &Store| {
        let trail = Trail::open(dir.path(), options.clone()).unwrap();
        trail.deliver_to(Box::new(store.clone())).unwrap();
        trail
    };
    let trail = open(&store);
    (0..10).for_each(|number| _ = trail.record(&event(number)).unwrap());
    let events = trail.close(SOON).unwrap().events;
    let rows = store.rows();

    let ahead = Store::default();
    ahead.0.lock().unwrap().rows = [&rows[..], &vec![b"{}".to_vec(); 100]].concat();
    let differs = Store::default();
    differs.0.lock().unwrap().rows = rows[..5].to_vec();
    differs.0.lock().unwrap().rows[4].push(b' ');
    for (store, at) in [(ahead, None), (differs, Some(4))] {
        let before = store.rows();
        let trail = open(&store);
        wait_until("a stop", || matches!(trail.stats().deliveries[0].state, DeliveryState::Stopped { .. }));
        let DeliveryState::Stopped { at: stopped_at, .. } = &trail.stats().deliveries[0].state else {
            panic!("it runs again")
        };
        assert_eq!(stopped_at.get(), at.unwrap_or(stopped_at.get().max(events)));
        trail.record(&event(99)).unwrap();
        trail.close(SOON).unwrap();
        assert_eq!(store.rows(), before);
    }
    assert!(notices.lock().unwrap().iter().any(|notice| notice.contains("stopped at event 4")));
}
