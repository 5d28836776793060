//! Defects that a second review found, each by the scenario in which it broke a promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

mod support;

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use support::hooked::hooked;
use support::{DURABLE, SOON, sealing_at_once as options};
use trailseal_core::deliver::{Batch, DeliveryState, Position, Sink, SinkError};
use trailseal_core::file::Files;
use trailseal_core::{
    Ack, AnyEvent, FlushError, HandoffPlace, Notice, Options, PendingReceipt, Reader, RecordError,
    RecordOptions, SetPolicyError, Status, Submission, Submitted, Submitter, Trail,
};
use trailseal_event::policy::{Mode, Policy, Rule};
use trailseal_event::{Event, Index, Value};
use trailseal_testkit::fault::{FaultFiles, Survival};

const ONCE: RecordOptions = RecordOptions::new().once();

/// On files in memory, which stall and fail on order.
fn on_fault_files() -> (Options, FaultFiles) {
    let files = FaultFiles::new();
    let mut options = options();
    options.files = Arc::new(files.clone());
    options.handoff.place = HandoffPlace::Memory;
    (options, files)
}

fn half_sampled() -> Options {
    let mut options = options();
    options.policy =
        Policy::from_toml("[[rule]]\nwhen = {action = \"x.*\"}\nmode = \"sampled\"\nrate = 0.5\n").unwrap();
    options
}

/// The lines of the trail that callers recorded.
fn lines(dir: &Path) -> Vec<String> {
    let mut reader = Reader::open(dir, options().files).unwrap();
    let mut lines = Vec::new();
    let end = reader.end().get();
    reader
        .for_each(0..end, &mut |_, line| {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    lines.retain(|line| !line.contains("\"system\":true"));
    lines
}

/// Runs `child` in a forked child, and says whether it returned true before long.
fn holds_in_child(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs `child`, and ends without unwinding or running destructors.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: ends this process, now or when the alarm comes.
        unsafe {
            libc::alarm(60);
            libc::_exit(i32::from(!child()));
        }
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    status == 0
}

fn check_half_is_kept(kept: usize, dir: &Path, trail: &Trail) {
    let counts = trail.rule_counts()[0];
    trail.close(SOON).unwrap();
    let lines = lines(dir);
    assert!((1_800..2_200).contains(&kept), "{kept} of 4,000");
    assert_eq!(lines.len(), kept);
    assert!(lines.iter().all(|line| line.contains("\"sample_rate\":0.5")), "{}", lines[0]);
    assert_eq!((counts.matched, counts.sampled_out), (4_000, 4_000 - kept as u64));
}

#[test]
fn json_is_sampled_once() {
    for id in ["", r#","id":"#, r#","context":{"correlation_id":"#] {
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail::open(dir.path(), half_sampled()).unwrap();
        let mut kept = 0;
        for n in 0..4_000 {
            let end = match id {
                "" => "}".to_owned(),
                _ if id.contains('{') => format!("{id}\"{n}\"}}}}"),
                _ => format!("{id}\"{n}\"}}"),
            };
            let text = format!(r#"{{"action":"x.read"{end}"#);
            let receipt = trail.with(ONCE).record(AnyEvent::Json(text.as_bytes())).unwrap();
            assert!(!matches!(receipt.status, Status::Repeated { .. }), "{receipt:?}");
            kept += usize::from(receipt.index.is_some());
        }
        check_half_is_kept(kept, dir.path(), &trail);
    }
}

#[test]
fn events_of_a_request_are_sampled_once() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), half_sampled()).unwrap();
    let by = Submitter { recorded_by: Some("token".into()), ..Submitter::default() };
    let mut kept = 0;
    for _ in 0..40 {
        let json = br#"{"action":"x.read"}"#;
        let events: Vec<Submitted<'_>> = (0..100).map(|_| Submitted::json(json)).collect();
        let receipts = trail.record_all(Submission { events: &events, by: &by }).unwrap();
        kept += receipts.iter().filter(|receipt| receipt.index.is_some()).count();
    }
    check_half_is_kept(kept, dir.path(), &trail);
    let line = &lines(dir.path())[0];
    assert!(line.ends_with(r#","recorded_by":"token","sample_rate":0.5}"#), "{line}");
}

#[test]
fn who_sends_an_event_again_under_its_id_gets_no_other_chance() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), half_sampled()).unwrap();
    let send = |n: usize| {
        let text = format!(r#"{{"action":"x.read","id":"{n}"}}"#);
        trail.with(ONCE).record(AnyEvent::Json(text.as_bytes())).unwrap();
        trail.with(ONCE).record(&Event::new("x.read").id(n.to_string())).unwrap();
    };
    (0..500).for_each(send);
    let _ = trail.seal(SOON);
    let once = lines(dir.path()).len();
    (0..500).for_each(send);
    trail.close(SOON).unwrap();
    assert_eq!(lines(dir.path()).len(), once);
}

#[test]
fn a_forked_child_cannot_change_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    let forked = |result| matches!(result, Err(SetPolicyError::Record(RecordError::Forked)));
    let refused = holds_in_child(|| {
        let off = Policy::of_mode(Mode::Off);
        forked(trail.set_policy(off.clone()))
            && forked(trail.reset_policy(off))
            && matches!(trail.record_own("read", Event::new("")), Err(RecordError::Forked))
    });
    assert!(refused, "the child wrote into the handoff of its parent");
    assert!(!dir.path().join("policy.toml").exists());
    let receipt = trail.with(DURABLE).record(&Event::new("of.parent")).unwrap();
    assert_eq!(receipt.status, Status::Durable);
    trail.close(SOON).unwrap();
    assert_eq!(lines(dir.path()).len(), 1);
}

#[test]
fn a_forked_child_waits_for_no_lock_of_its_parent() {
    let (mut options, files) = on_fault_files();
    let dir = tempfile::tempdir().unwrap();
    options.handoff.timeout = SOON;
    let trail = Trail::open(dir.path(), options).unwrap();
    files.set_stalled(true);
    let other = trail.clone();
    // Fills the buffer, and then waits for room while it holds the ids.
    let filling = std::thread::spawn(move || {
        let event = Event::new("x").description("y".repeat(4_000));
        for n in 0..1_000 {
            if other.with(ONCE).record(&event.clone().id(n.to_string())).is_err() {
                return;
            }
        }
    });
    let full = || trail.stats().handoff_used_bytes > 1_000_000;
    while !full() && !filling.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(50));
    let refused = holds_in_child(|| {
        let event = Event::new("x").id("child");
        let json = br#"{"action":"x","id":"child"}"#;
        let once = trail.with(ONCE).record(&event);
        let from_json = trail.with(ONCE).record(AnyEvent::Json(json));
        let submitted = [Submitted::json(json)];
        let batch = trail.record_all(Submission { events: &submitted, by: &Submitter::default() });
        matches!(once, Err(RecordError::Forked))
            && from_json.is_err()
            && batch.is_err()
            && matches!(trail.flush(SOON), Err(FlushError::Forked))
    });
    files.set_stalled(false);
    filling.join().unwrap();
    assert!(refused, "the child hung, or recorded");
    trail.close(SOON).unwrap();
}

#[test]
fn an_event_with_the_id_of_another_on_its_way_is_a_conflict() {
    let (mut options, files) = on_fault_files();
    options.policy.otherwise.timeout = Duration::ZERO;
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options).unwrap();
    files.set_stalled(true);
    let json = |n| format!(r#"{{"action":"a","id":"k","details":{{"n":{n}}}}}"#);
    let event = |n: u64| Event::new("b").id("l").detail("n", n);
    let by = Submitter::default();
    let batch = |n| {
        let json = json(n).replace("\"k\"", "\"m\"");
        let submitted = [Submitted::json(json.as_bytes())];
        trail
            .with(Ack::Durable)
            .record_all_async(Submission { events: &submitted, by: &by })
            .map(|batch| batch.receipts()[0].status)
    };
    for (n, is_first) in [(1, true), (2, false), (1, false)] {
        let from_json = trail.with(ONCE).record(AnyEvent::Json(json(n).as_bytes()));
        let once = trail.with(ONCE).record(&event(n));
        let statuses = [from_json, once].map(|receipt| receipt.map(|receipt| receipt.status));
        match n {
            1 if is_first => {
                assert!(statuses.iter().flatten().all(|status| *status == Status::Accepted), "{statuses:?}");
                assert_eq!(statuses.iter().flatten().count(), 2, "{statuses:?}");
                assert_eq!(batch(n).unwrap(), Status::Accepted);
            }
            1 => {
                let repeated = Status::Repeated { retired: false };
                assert!(statuses.iter().flatten().all(|status| *status == repeated), "{statuses:?}");
                assert_eq!(statuses.iter().flatten().count(), 2, "{statuses:?}");
                assert_eq!(batch(n).unwrap(), repeated);
            }
            _ => {
                let is_conflict = |error: &RecordError| matches!(error, RecordError::Conflict { .. });
                assert!(
                    statuses.iter().all(|status| status.as_ref().is_err_and(is_conflict)),
                    "{statuses:?}"
                );
                let Err(RecordError::At { place: 0, source }) = batch(n) else { panic!("it was recorded") };
                assert!(is_conflict(&source), "{source}");
            }
        }
    }
    // A repeat says no more than is true: the first is not on disk.
    let repeated = trail.with(ONCE.ack(Ack::Durable)).record(&event(1));
    assert!(matches!(repeated, Err(RecordError::Unconfirmed { .. })), "{repeated:?}");
    files.set_stalled(false);
    trail.close(SOON).unwrap();
}

#[test]
fn ids_of_two_tenants_never_meet() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    for (tenant, id) in [("a", "b\0c"), ("a\0b", "c")] {
        let once = trail.with(ONCE).record(&Event::new("x").tenant(tenant).id(id)).unwrap();
        assert_eq!(once.status, Status::Accepted);
    }
    trail.close(SOON).unwrap();
}

/// The wakers of one of these are counted by its references.
struct Woken;

impl Wake for Woken {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn futures_leave_no_wakers_behind() {
    for (ack, timeout) in
        [(Ack::Store, Duration::from_millis(500)), (Ack::Durable, Duration::from_secs(3_600))]
    {
        let (mut options, files) = on_fault_files();
        options.policy.otherwise.timeout = timeout;
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail::open(dir.path(), options).unwrap();
        trail.deliver_to_store(Box::new(Away)).unwrap();
        let woken = Arc::new(Woken);
        let waker = Waker::from(woken.clone());
        let poll = |future: &mut PendingReceipt| Pin::new(future).poll(&mut Context::from_waker(&waker));
        files.set_stalled(true);
        let record = |_| trail.with(ack).record_async(&Event::new("x")).unwrap();
        // On a busy machine the time of some may be up before they are polled.
        let waiting = |_| {
            let mut futures: Vec<PendingReceipt> = (0..100).map(record).collect();
            futures.iter_mut().all(|future| poll(future).is_pending()).then_some(futures)
        };
        let mut futures = (0..20).find_map(waiting).unwrap();
        assert!(Arc::strong_count(&woken) > 100);
        // Half are dropped while they wait; the others end, by what comes first.
        futures.truncate(50);
        files.set_stalled(false);
        let until = Instant::now() + SOON;
        while !futures.is_empty() && Instant::now() < until {
            futures.retain_mut(|future| poll(future).is_pending());
        }
        assert!(futures.is_empty());
        // The writer or the timer may hold a few for as long as it takes to wake them.
        while Arc::strong_count(&woken) > 2 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(Arc::strong_count(&woken), 2, "{ack:?}");
        trail.close(SOON).unwrap();
    }
}

/// A store that is never there.
struct Away;

impl Sink for Away {
    fn name(&self) -> &'static str {
        "away"
    }
    fn position(&mut self) -> Result<Position, SinkError> {
        Err(SinkError::Store("down".into()))
    }
    fn deliver(&mut self, _: &Batch<'_>) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn each_event_of_a_request_counts_as_unconfirmed() {
    let (mut options, files) = on_fault_files();
    options.policy.otherwise.timeout = Duration::from_millis(1);
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options).unwrap();
    files.set_stalled(true);
    let events: Vec<Event> = (0..5).map(|_| Event::new("x")).collect();
    assert!(trail.with(Ack::Durable).record_all(&events).is_err());
    assert_eq!(trail.stats().counted.unconfirmed, 5);
    let json = br#"{"action":"x"}"#;
    let submitted = [0; 7].map(|_| Submitted::json(json));
    let by = Submitter::default();
    let mut future =
        trail.with(Ack::Durable).record_all_async(Submission { events: &submitted, by: &by }).unwrap();
    std::thread::sleep(Duration::from_millis(2));
    assert!(Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(trail.stats().counted.unconfirmed, 12);
    files.set_stalled(false);
    trail.close(SOON).unwrap();
}

/// The policies that were changed, and to what.
fn changes(dir: &Path, files: Arc<dyn Files>) -> Vec<(String, String)> {
    let mut reader = Reader::open(dir, files).unwrap();
    let (mut found, end) = (Vec::new(), reader.end().get());
    reader
        .for_each(0..end, &mut |_, line| {
            let recorded = Event::from_line(line).unwrap();
            if recorded.event.action == "trail.policy_changed" {
                let detail = |name| match recorded.event.details.get(name) {
                    Some(Value::String(text)) => text.to_string(),
                    other => panic!("{other:?}"),
                };
                found.push((detail("from"), detail("to")));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

#[test]
fn no_power_loss_leaves_a_policy_whose_change_is_no_event() {
    let (options, files) = on_fault_files();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let trail = Trail::open(dir, options.clone()).unwrap();
    let before = files.steps().len();
    trail.set_policy(Policy::of_mode(Mode::Off)).unwrap();
    let set = files.steps().len();
    trail.reset_policy(Policy::of_mode(Mode::Sync)).unwrap();
    let reset = files.steps().len();
    trail.close(SOON).unwrap();
    for steps in before..=reset {
        for survival in [Survival::Nothing, Survival::Everything, Survival::Random(steps as u64)] {
            let left = files.after_power_loss(steps, survival);
            let mut options = options.clone();
            options.files = Arc::new(left.clone());
            let opened = Trail::open(dir, options).unwrap();
            let mode = opened.policy().otherwise.mode;
            opened.close(SOON).unwrap();
            let changes = changes(dir, Arc::new(left));
            assert!(
                mode != Mode::Off || !changes.is_empty(),
                "{steps} steps, {survival:?}: off without an event"
            );
            let wanted = [(set, Mode::Off), (reset, Mode::Async)];
            for (_, wanted) in wanted.iter().filter(|(at, _)| *at == steps) {
                assert_eq!(mode, *wanted, "{steps} steps, {survival:?}");
            }
        }
    }
}

#[test]
fn a_change_of_the_policy_that_fails_has_changed_nothing_and_says_so() {
    for resets in [false, true] {
        let (folder, fails) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
        let dir = folder.path();
        let mut options = options();
        let is_failing = fails.clone();
        options.files = hooked(move |what, path| {
            let is_policy =
                ["replace", "rename"].contains(&what) && path.to_string_lossy().contains("policy.toml");
            match is_policy && is_failing.load(Ordering::SeqCst) {
                true => Err(io::ErrorKind::Other.into()),
                false => Ok(()),
            }
        });
        let trail = Trail::open(dir, options.clone()).unwrap();
        trail.set_policy(Policy::of_mode(Mode::Off)).unwrap();
        fails.store(true, Ordering::SeqCst);
        let changed = match resets {
            false => trail.set_policy(Policy::of_mode(Mode::Sync)),
            true => trail.reset_policy(Policy::of_mode(Mode::Sync)),
        };
        assert!(matches!(changed, Err(SetPolicyError::Io { .. })), "resets {resets}: {changed:?}");
        assert_eq!(trail.policy().otherwise.mode, Mode::Off);
        trail.close(SOON).unwrap();
        let changes = changes(dir, options.files);
        assert_eq!(changes.last().unwrap().1, Policy::of_mode(Mode::Off).to_toml(), "{changes:?}");
    }
}

#[test]
fn a_policy_that_no_opening_could_read_is_refused() {
    let of_rules = |count: usize, change: &dyn Fn(&mut Rule)| {
        let mut rule = Rule::default();
        rule.when.action = vec!["a*".into()];
        change(&mut rule);
        let mut policy = Policy::default();
        policy.rules = vec![rule; count];
        policy
    };
    let of_rule = |change: &dyn Fn(&mut Rule)| of_rules(1, change);
    let rate = |rule: &mut Rule| (rule.then.mode, rule.then.rate) = (Mode::Sampled, 1.5);
    let tenant = |rule: &mut Rule| rule.when.tenant = vec![String::new()];
    let timeout = |rule: &mut Rule| rule.then.timeout = Duration::from_secs(7_200);
    let actors = |rule: &mut Rule| rule.when.actor = (0..60_000).map(|n| format!("user-{n:020}")).collect();
    let policies =
        [of_rules(1_001, &|_| {}), of_rule(&rate), of_rule(&tenant), of_rule(&timeout), of_rule(&actors)];
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    for policy in policies {
        let set = trail.set_policy(policy);
        assert!(matches!(set, Err(SetPolicyError::Invalid(_))), "{set:?}");
    }
    trail.set_policy(of_rule(&|_| {})).unwrap();
    trail.close(SOON).unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    assert_eq!(trail.policy(), of_rule(&|_| {}));
    trail.close(SOON).unwrap();
}

#[test]
fn counts_that_are_told_by_many_at_once_never_go_back() {
    let (mut options, _files) = on_fault_files();
    options.policy = Policy::of_mode(Mode::Off);
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = trail.record(&Event::new("x"));
                }
            });
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = trail.set_policy(Policy::of_mode(Mode::Off));
                }
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
    });
    trail.close(SOON).unwrap();
}

/// A store of which one batch is one too many.
struct Panicking {
    cursor: u64,
    panics_left: u32,
}

impl Sink for Panicking {
    fn name(&self) -> &'static str {
        "panicking"
    }
    fn position(&mut self) -> Result<Position, SinkError> {
        Ok(Position { cursor: Index::new(self.cursor), last_leaf: None })
    }
    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        if self.panics_left > 0 {
            self.panics_left -= 1;
            panic!("a bad row");
        }
        self.cursor = batch.end().get();
        Ok(())
    }
}

#[test]
fn a_sink_that_panics_is_told_of_and_tried_again() {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let told = notices.clone();
    let mut options = options();
    options.on_notice =
        Some(Arc::new(move |notice: &Notice| told.lock().unwrap().push(format!("{notice:?}"))));
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options).unwrap();
    trail.deliver_to_store(Box::new(Panicking { cursor: 0, panics_left: 2 })).unwrap();
    let handed_in = trail.record_async(&Event::new("x")).unwrap();
    drop(handed_in);
    let status = trail.wait_for(Ack::Store, Index::new(1), SOON);
    assert_eq!(status, Status::Stored);
    let until = Instant::now() + SOON;
    while trail.stats().deliveries[0].state != DeliveryState::Running && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    let delivery = &trail.stats().deliveries[0];
    assert_eq!((delivery.failures, &delivery.state), (2, &DeliveryState::Running));
    let notices = notices.lock().unwrap().join("\n");
    assert!(notices.contains("panicked: a bad row"), "{notices}");
    trail.close(SOON).unwrap();
}

#[test]
fn nothing_comes_behind_the_event_of_the_close() {
    for _ in 0..50 {
        let (options, files) = on_fault_files();
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail::open(dir.path(), options).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let event = Event::new("x");
                    while !matches!(trail.record(&event), Err(RecordError::Closed)) {}
                });
            }
            std::thread::sleep(Duration::from_millis(3));
            trail.close(SOON).unwrap();
        });
        let mut reader = Reader::open(dir.path(), Arc::new(files.clone())).unwrap();
        let (mut last, end) = (String::new(), reader.end().get());
        reader
            .for_each(end - 1..end, &mut |_, line| {
                last = String::from_utf8(line.to_vec()).unwrap();
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(last.contains("trail.closed"), "{last}");
    }
}

#[test]
fn a_repeat_is_a_repeat_in_mode_off_too() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.with(DURABLE.once()).record(&Event::new("a").id("k")).unwrap();
    trail.set_policy(Policy::of_mode(Mode::Off)).unwrap();
    let record = |json: &str| trail.with(ONCE).record(AnyEvent::Json(json.as_bytes()));
    let repeated = record(r#"{"action":"a","id":"k"}"#).unwrap();
    assert_eq!(repeated.status, Status::Repeated { retired: false });
    assert!(matches!(record(r#"{"action":"b","id":"k"}"#), Err(RecordError::Conflict { .. })));
    trail.close(SOON).unwrap();
}
