//! Every durable event reaches every sink once, in order, whatever fails on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trailseal_core::clock::Clock;
use trailseal_core::deliver::{Batch, DeliveryState, Follower, Gathering, Lines, Position, Sink, SinkError};
use trailseal_core::segment::Offsets;
use trailseal_core::{
    Ack, AnyEvent, Folder, Notice, Options, Receipt, RecordError, RecordOptions, Roll, Status, Submission,
    Submitted, Submitter, Trail,
};
use trailseal_event::policy::{Acknowledge, Mode, OnFailure};
use trailseal_event::{Event, Index, Timestamp};
use trailseal_testkit::fault::FaultFiles;
use trailseal_tlog::leaf_hash;

const SOON: Duration = Duration::from_secs(60);
/// For what must get there, however long a busy machine takes.
const DURABLE: RecordOptions = RecordOptions::new().ack(Ack::Durable).timeout(SOON);
const STORED: RecordOptions = RecordOptions::new().ack(Ack::Store).timeout(SOON);

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
    gathering: Gathering,
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

    fn gathers(&self) -> Gathering {
        self.0.lock().unwrap().gathering
    }

    fn idle(&mut self) -> Result<(), SinkError> {
        if self.0.lock().unwrap().is_down { Err(broken()) } else { Ok(()) }
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
fn what_gathers_for_a_sink_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    store.0.lock().unwrap().gathering = Gathering { events: 1_000, time: Duration::from_secs(3600) };
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.deliver_to_store(Box::new(store.clone())).unwrap();
    for number in 0..3 {
        let receipt = trail.with(STORED).record(&event(number)).unwrap();
        assert_eq!(receipt.status, Status::Stored);
    }
    wait_until("gathering", || {
        trail.with(DURABLE).record(&event(3)).unwrap();
        trail.stats().deliveries[0].lag_events > 0
    });
    trail.flush_deliveries(SOON);
    assert_eq!(trail.stats().deliveries[0].lag_events, 0);
    trail.record(&event(4)).unwrap();
    trail.close(SOON).unwrap();
    check_equal(dir.path(), &options(), &store);
}

#[test]
fn a_store_that_is_behind_and_lets_nothing_gather_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.deliver_to_store(Box::new(store.clone())).unwrap();
    trail.with(STORED).record(&event(0)).unwrap();
    {
        let _hangs = store.0.lock().unwrap();
        trail.with(DURABLE).record(&event(1)).unwrap();
        let begun = Instant::now();
        trail.flush_deliveries(SOON);
        assert!(begun.elapsed() < SOON / 2);
        assert!(trail.stats().deliveries[0].lag_events > 0);
    }
    trail.close(SOON).unwrap();
    check_equal(dir.path(), &options(), &store);
}

#[test]
fn level_store_waits_for_the_store_that_was_attached_last() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (Store::default(), Store::default());
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.deliver_to_store(Box::new(first.clone())).unwrap();
    trail.with(STORED).record(&event(0)).unwrap();
    second.set_down(true);
    trail.deliver_to_store(Box::new(second.clone())).unwrap();
    let pending = trail.with(STORED).record_async(&event(1)).unwrap();
    wait_until("the first store has it", || first.rows().len() as u64 == trail.stats().durable);
    // The first goes on, and its cursor says nothing of the second.
    assert!(second.rows().is_empty());
    second.set_down(false);
    assert_eq!(pending.wait().unwrap().status, Status::Stored);
    assert!(second.rows().len() as u64 >= trail.stats().accepted);
    trail.close(SOON).unwrap();
}

#[test]
fn a_store_that_comes_back_while_there_is_nothing_to_deliver_works_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.deliver_to(Box::new(store.clone())).unwrap();
    let state = || trail.stats().deliveries[0].state.clone();
    trail.flush(SOON).unwrap();
    wait_until("everything is stored", || store.rows().len() as u64 == trail.stats().durable);
    store.set_down(true);
    wait_until("its failure is noticed", || matches!(state(), DeliveryState::Failing { .. }));
    store.set_down(false);
    wait_until("it works again", || state() == DeliveryState::Running);
    trail.close(SOON).unwrap();
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
                trail.flush(SOON).unwrap();
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
        trail.flush(SOON).unwrap();
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
    let without = trail.with(Ack::Store).record(&event(0)).unwrap();
    assert_eq!(without.status, Status::Unconfirmed, "there is no store");
    trail.deliver_to_store(Box::new(store.clone())).unwrap();
    wait_until("a stored event", || {
        trail.with(Ack::Store).record(&event(1)).unwrap().status == Status::Stored
    });
    let receipt = trail.with(Ack::Store).record(&event(2)).unwrap();
    assert_eq!(receipt.status, Status::Stored);
    let row = store.rows()[receipt.index.unwrap().get() as usize].clone();
    assert!(String::from_utf8(row).unwrap().contains("event 2"));

    store.set_down(true);
    let mut policy = trail.policy();
    policy.otherwise.timeout = Duration::from_millis(300);
    trail.set_policy(policy).unwrap();
    let receipt = trail.with(Ack::Store).record(&event(3)).unwrap();
    assert_eq!(receipt.status, Status::Unconfirmed);
    assert_eq!(trail.stats().counted.unconfirmed, 2);
    wait_until("the failure is told, and what waits for it", || {
        let delivery = &trail.stats().deliveries[0];
        matches!(delivery.state, DeliveryState::Failing { .. }) && delivery.lag_events > 0
    });
    store.set_down(false);
    assert_eq!(trail.wait_for(Ack::Durable, receipt.index.unwrap(), SOON), Status::Durable);
    wait_until("a late delivery", || store.rows().len() as u64 > receipt.index.unwrap().get());
    trail.close(SOON).unwrap();
}

/// A clock that stands still until it is moved, by seconds.
#[derive(Clone, Default)]
struct Moved(Arc<AtomicI64>);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_796_000_000_000_000 + self.0.load(Ordering::SeqCst) * 1_000_000)
    }
}

/// The last event before may be hours old, and says nothing of how long anything has waited.
#[test]
fn lag_is_the_age_of_the_oldest_event_that_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (Store::default(), Moved::default());
    let mut options = options();
    options.clock = Arc::new(clock.clone());
    let trail = Trail::open(dir.path(), options).unwrap();
    trail.deliver_to_store(Box::new(store.clone())).unwrap();
    trail.with(STORED).record(&event(0)).unwrap();
    let lag = || trail.stats().deliveries[0].lag.as_secs();
    for _ in 0..2 {
        wait_until("everything is stored", || trail.stats().deliveries[0].lag_events == 0);
        clock.0.fetch_add(3_600, Ordering::SeqCst);
        store.set_down(true);
        let failures = trail.stats().deliveries[0].failures;
        wait_until("a failure", || trail.stats().deliveries[0].failures > failures);
        trail.with(DURABLE).record(&event(1)).unwrap();
        assert_eq!(lag(), 0, "it has only just been recorded");
        clock.0.fetch_add(30, Ordering::SeqCst);
        trail.with(DURABLE).record(&event(2)).unwrap();
        assert_eq!(lag(), 30);
        let failures = trail.stats().deliveries[0].failures;
        wait_until("another failure", || trail.stats().deliveries[0].failures > failures);
        assert_eq!(lag(), 30, "it is the first that counts");
        store.set_down(false);
    }
    trail.close(SOON).unwrap();
}

/// The trail may be years old, and all of it stored.
#[test]
fn of_a_store_that_never_answered_the_lag_counts_from_the_opening() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (Store::default(), Moved::default());
    let mut options = options();
    options.clock = Arc::new(clock.clone());
    let trail = Trail::open(dir.path(), options.clone()).unwrap();
    trail.record(&event(0)).unwrap();
    trail.close(SOON).unwrap();
    clock.0.fetch_add(1_000_000, Ordering::SeqCst);
    store.set_down(true);
    let trail = Trail::open(dir.path(), options).unwrap();
    trail.deliver_to_store(Box::new(store)).unwrap();
    wait_until("some failures", || trail.stats().deliveries[0].failures > 2);
    assert_eq!(trail.stats().deliveries[0].lag.as_secs(), 0);
    let _ = trail.close(Duration::from_millis(100));
}

/// Whoever heard that an event is unconfirmed tries again, and must not hear then that all is well.
#[test]
fn a_repeat_is_confirmed_only_at_the_level_that_the_policy_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    let treatment = &mut options.policy.otherwise;
    (treatment.mode, treatment.acknowledge) = (Mode::Sync, Acknowledge::Store);
    (treatment.timeout, treatment.on_failure) = (Duration::from_millis(100), OnFailure::Deny);
    let store = Store::default();
    store.set_down(true);
    let trail = Trail::open(dir.path(), options).unwrap();
    trail.deliver_to_store(Box::new(store.clone())).unwrap();
    let once = RecordOptions::new().once();
    let paid = [event(1).id("paid")];
    let text = paid[0].to_json();
    let submitted = [Submitted::json(&text)];
    let by = Submitter::default();
    let handed_in = Submission { events: &submitted, by: &by };
    let ways: [&dyn Fn() -> Result<Receipt, RecordError>; 4] = [
        &|| trail.with(once).record(&paid[0]),
        &|| trail.with(once).record(AnyEvent::Json(&text)),
        &|| trail.with(once).record_all(&paid).map(|receipts| receipts[0].clone()),
        &|| trail.record_all(handed_in).map(|receipts| receipts[0].clone()),
    ];
    for (number, way) in ways.iter().chain(&ways).enumerate() {
        let answer = way();
        assert!(matches!(answer, Err(RecordError::Unconfirmed { .. })), "{number}: {answer:?}");
    }
    let mut allowing = trail.policy();
    allowing.otherwise.on_failure = OnFailure::Allow;
    trail.set_policy(allowing).unwrap();
    for (number, way) in ways.iter().enumerate() {
        assert_eq!(way().unwrap().status, Status::Unconfirmed, "{number}");
    }
    store.set_down(false);
    for (number, way) in ways.iter().enumerate() {
        wait_until("the store has it", || way().unwrap().status != Status::Unconfirmed);
        assert_eq!(way().unwrap().status, Status::Repeated { retired: false }, "{number}");
    }
    trail.close(SOON).unwrap();
}

#[test]
fn a_future_of_ack_store_ends_when_the_store_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.deliver_to_store(Box::new(store.clone())).unwrap();
    let recording = trail.with(STORED).record_async(&event(1)).unwrap();
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

/// A trail of twenty events, whose segment `change` edits before a store comes: where the delivery stops, and what it
/// has delivered.
fn delivered_from_changed(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> (DeliveryState, usize) {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    (1..20).for_each(|number| _ = trail.record(&event(number)).unwrap());
    trail.flush(SOON).unwrap();
    let path = dir.path().join("segments/00000000000000000000.jsonl");
    let whole = std::fs::read(&path).unwrap();
    let mut lines: Vec<Vec<u8>> = whole.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    change(&mut lines);
    let changed = lines.concat();
    assert_eq!(changed.len(), whole.len(), "else the writer notices, and begins another segment");
    std::fs::write(&path, changed).unwrap();
    let store = Store::default();
    trail.deliver_to(Box::new(store.clone())).unwrap();
    let state = || trail.stats().deliveries[0].state.clone();
    wait_until("an end", || state() != DeliveryState::Running || store.rows().len() == 20);
    let rows = store.rows();
    assert!(rows.iter().zip(whole.split(|byte| *byte == b'\n')).take(11).all(|(row, line)| row == line));
    let state = state();
    drop(trail.close(SOON));
    (state, rows.len())
}

/// The number of a line is the one that it carries, whatever the newlines before it say.
#[test]
fn a_delivery_stops_at_the_first_line_that_carries_another_index() {
    type Change = fn(&mut Vec<Vec<u8>>);
    let exchanged: Change = |lines| lines.swap(11, 12);
    let split: Change = |lines| lines[11][30] = b'\n';
    let joined: Change = |lines| *lines[11].last_mut().unwrap() = b' ';
    for (change, stops_at, what) in
        [(exchanged, 11, "has line 12"), (split, 11, "has no line of a trail"), (joined, 12, "has line 13")]
    {
        let (state, rows) = delivered_from_changed(change);
        let DeliveryState::Stopped { at, reason } = state else { panic!("{what}: {state:?}, {rows} rows") };
        assert_eq!((at.get(), rows as u64), (stops_at, stops_at), "{what}");
        assert!(reason.contains(what) && reason.contains("trailseal verify"), "{what}: {reason}");
    }
    assert_eq!(delivered_from_changed(|_| {}), (DeliveryState::Running, 20));
}

/// An offset file is derived: one that leads elsewhere costs a reading of the segment, and no line is taken for another.
#[test]
fn a_wrong_offset_file_leads_to_no_other_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.segment.roll = Roll::Bytes(150_000);
    let trail = Trail::open(dir.path(), options.clone()).unwrap();
    for number in 0..500 {
        trail.record(&event(number)).unwrap();
    }
    trail.close(SOON).unwrap();
    let path = |ends: &str| dir.path().join("segments/00000000000000000000").with_extension(ends);
    let text = std::fs::read(path("jsonl")).unwrap();
    let mut offsets = Offsets::decode(&std::fs::read(path("offsets")).unwrap()).unwrap();
    assert!(offsets.offsets.len() > 1, "{} lines", offsets.lines);
    let second = offsets.offsets[1] as usize;
    offsets.offsets[1] += text[second..].iter().position(|byte| *byte == b'\n').unwrap() as u64 + 1;
    std::fs::write(path("offsets"), offsets.encode()).unwrap();

    let folder = Folder::new(dir.path(), options.files.clone());
    let mut follower = Follower::new(folder, Index::new(258)).unwrap();
    let mut lines = Lines::default();
    follower.read(Index::new(260), 9, usize::MAX, &mut lines).unwrap();
    let texts: Vec<&str> =
        lines.as_batch_lines().iter().map(|line| std::str::from_utf8(line.bytes).unwrap()).collect();
    assert!(texts[0].starts_with("{\"v\":1,\"index\":258,"), "{texts:?}");
    assert!(texts[1].starts_with("{\"v\":1,\"index\":259,"), "{texts:?}");
}
