//! Defects that a second review found, each by the scenario in which it broke a promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::event::Event;
use trailseal_core::policy::{Mode, Policy};
use trailseal_core::{
    Ack, HandedInOnce, HandoffPlace, Options, Reader, RecordError, RecordOnceError, SetPolicyError, Status,
    Submission, Submitted, Submitter, Trail,
};
use trailseal_testkit::fault::FaultFiles;

const SOON: Duration = Duration::from_secs(10);

fn options() -> Options {
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    options.disk_reserve_bytes = Some(0);
    options.seal_every = Duration::from_millis(1);
    options
}

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
            libc::alarm(5);
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
            match trail.hand_in_json_once(text.as_bytes(), Ack::Accepted).unwrap() {
                HandedInOnce::New(handed_in) => kept += usize::from(handed_in.receipt.index.is_some()),
                other => panic!("{other:?}"),
            }
        }
        check_half_is_kept(kept, dir.path(), &trail);
    }
}

#[test]
fn events_of_a_request_are_sampled_once() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), half_sampled()).unwrap();
    let by = Submitter { recorded_by: Some("token".into()), tenant: None };
    let mut kept = 0;
    for _ in 0..40 {
        let json = br#"{"action":"x.read"}"#;
        let events: Vec<Submitted<'_>> = (0..100).map(|_| Submitted { json, id: None }).collect();
        let handed_in = trail.hand_in_batch(&events, Ack::Accepted, &by, Duration::ZERO).unwrap();
        let is_kept = |one: &&Submission| matches!(one, Submission::New(receipt) if receipt.index.is_some());
        kept += handed_in.events.iter().filter(is_kept).count();
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
        trail.hand_in_json_once(text.as_bytes(), Ack::Accepted).unwrap();
        trail.record_once(&Event::new("x.read").id(n.to_string()), Ack::Accepted).unwrap();
    };
    (0..500).for_each(send);
    trail.seal(SOON);
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
    let receipt = trail.record_ack(&Event::new("of.parent"), Ack::Durable).unwrap();
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
            if other.record_once(&event.clone().id(n.to_string()), Ack::Accepted).is_err() {
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
        let once = trail.record_once(&event, Ack::Accepted);
        let from_json = trail.hand_in_json_once(json, Ack::Accepted);
        let submitted = [Submitted { json, id: None }];
        let batch = trail.hand_in_batch(&submitted, Ack::Accepted, &Submitter::default(), Duration::ZERO);
        matches!(once, Err(RecordOnceError::Refused(RecordError::Forked)))
            && from_json.is_err()
            && batch.is_err()
            && !trail.flush(SOON)
    });
    files.set_stalled(false);
    filling.join().unwrap();
    assert!(refused, "the child hung, or recorded");
    trail.close(SOON).unwrap();
}
