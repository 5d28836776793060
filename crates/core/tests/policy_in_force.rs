//! The policy of an open trail: switched while events come in, kept for the next opening, and what its modes do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests panic")]

use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use trailseal_core::file::StdFiles;
use trailseal_core::{
    Ack, AnyEvent, Known, KnownIds, KnownIdsError, Options, Reader, RecordError, RecordOptions,
    SetPolicyError, Status, Submission, Submitted, Submitter, Trail,
};
use trailseal_event::policy::Policy;
use trailseal_event::{Event, Index};

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

fn event(text: &str) -> Event {
    Event::new("test.promise").description(text)
}

fn actions(dir: &Path) -> Vec<String> {
    let mut reader = Reader::open(dir, Arc::new(StdFiles)).unwrap();
    let mut actions = Vec::new();
    reader
        .for_each(0..u64::MAX, &mut |_, line| {
            actions.push(Event::from_line(line).unwrap().event.action);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    actions
}

#[test]
fn a_policy_is_switched_while_events_come_in_and_kept_for_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    trail.record(&event("kept")).unwrap();
    let quiet = Policy::from_toml("[[rule]]\nwhen = { action = \"test.*\" }\nmode = \"off\"").unwrap();
    trail.set_policy(quiet.clone()).unwrap();
    let receipt = trail.record(&event("left out")).unwrap();
    assert_eq!((receipt.index, receipt.status), (None, Status::Off));
    let batch = [event("left out, too"), Event::new("other.kept"), event("this also")];
    let receipts = trail.with(DURABLE).record_all(&batch).unwrap();
    let statuses: Vec<Status> = receipts.iter().map(|receipt| receipt.status).collect();
    assert_eq!(statuses, [Status::Off, Status::Durable, Status::Off]);
    assert_eq!(trail.rule_counts()[0].off, 3);
    trail.close(LONG).unwrap();
    assert!(trail.record_all(&[Event::new("other")]).is_err(), "denied where nothing allows it");
    let own = [
        "trail.opened",
        "test.promise",
        "trail.policy_changed",
        "other.kept",
        "trail.counts",
        "trail.closed",
    ];
    assert_eq!(actions(folder.path()), own);

    // The options say something else; what was set while it ran wins, until the settings are returned to.
    let trail = Trail::open(folder.path(), options()).unwrap();
    assert_eq!(trail.policy(), quiet);
    // Compared with a policy that somebody replaced meanwhile.
    let error = trail.reset_policy_from(&Policy::default(), Policy::default()).unwrap_err();
    assert!(matches!(error, SetPolicyError::Outdated), "{error}");
    assert_eq!(trail.policy(), quiet);
    trail.reset_policy_from(&quiet, Policy::default()).unwrap();
    assert_eq!(trail.record(&event("kept again")).unwrap().status, Status::Accepted);
    trail.close(LONG).unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    assert_eq!(trail.policy(), Policy::default());
    trail.close(LONG).unwrap();

    std::fs::write(folder.path().join("policy.toml"), "mode = \"fast\"").unwrap();
    let error = Trail::open(folder.path(), options()).err().unwrap().to_string();
    assert!(error.contains("policy.toml") && error.contains("1:8"), "{error}");
}

#[test]
fn a_rule_can_ask_for_the_disk_and_sampling_marks_what_it_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.policy = Policy::from_toml(
        "mode = \"sampled\"\nrate = 0.5\n[[rule]]\nwhen = { action = \"pay\" }\nmode = \"sync\"\n\
         timeout_ms = 60000",
    )
    .unwrap();
    let trail = Trail::open(folder.path(), options).unwrap();
    assert_eq!(trail.record(&Event::new("pay")).unwrap().status, Status::Durable);
    let mut kept = 0;
    for number in 0..2_000 {
        let correlated = |event: Event| event.correlation_id(format!("request-{}", number % 400));
        let first = trail.record(&correlated(event("one"))).unwrap().status;
        let second = trail.record(&correlated(event("two"))).unwrap().status;
        assert_eq!(first, second, "a request is kept or left out as a whole");
        kept += u64::from(first == Status::Accepted) * 2;
    }
    assert!((1_000..3_000).contains(&kept), "{kept} of 4,000 at a rate of a half");
    assert_eq!(trail.stats().counted.sampled_out, 4_000 - kept);
    trail.close(LONG).unwrap();
    let segment = std::fs::read_to_string(folder.path().join("segments/00000000000000000000.jsonl")).unwrap();
    assert_eq!(segment.matches("\"sample_rate\":0.5").count() as u64, kept);
    let counts = segment.lines().find(|line| line.contains("trail.counts")).unwrap();
    assert!(counts.contains(&format!("\"sampled_out\":{}", 4_000 - kept)), "{counts}");
}

#[test]
fn ids_that_are_masked_are_sampled_by_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.policy = Policy::from_toml("mode = \"sampled\"\nrate = 0.5").unwrap();
    let trail = Trail::open(folder.path(), options).unwrap();
    let mut kept = 0;
    for number in 0..200 {
        // Certainly is a secret, so its hash stands in the line.
        let varied = (number + 1_u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let id = format!("ghp_Zk9q{varied:032x}");
        let sent = event("sampled").correlation_id(id);
        let receipt = trail.with(ONCE).record(&sent).unwrap();
        assert!(!matches!(receipt.status, Status::Repeated { .. }), "a repeat");
        assert_eq!(trail.record(&sent).unwrap().status, receipt.status, "{number}");
        kept += u64::from(receipt.index.is_some());
    }
    assert!((50..150).contains(&kept), "{kept} of 200 at a rate of a half");
    trail.close(LONG).unwrap();
    let segment = std::fs::read_to_string(folder.path().join("segments/00000000000000000000.jsonl")).unwrap();
    assert!(segment.contains("\"correlation_id\":\"hmac:") && !segment.contains("ghp_Zk9q"));
}

/// The same events, whichever way they come in.
#[test]
fn each_way_in_gives_the_same_lines_and_counts() {
    let policy = "[[rule]]\nwhen = { action = \"test.off\" }\nmode = \"off\"\n\
                  [[rule]]\nwhen = { action = \"test.flagged\" }\nreview = \"look at it\"\n";
    let texts = [
        r#"{"id":"ID1","action":"test.plain","details":{"n":1}}"#,
        r#"{"id":"ID2","action":"test.off"}"#,
        r#"{"id":"ID3","action":"test.flagged","details":{"password":"hunter2"}}"#,
        r#"{"id":"ID4","action":"test.flagged","tenant":"acme"}"#,
    ];
    let event = |text: &str| Event::from_json(text.as_bytes()).unwrap();
    let submitted = |text: &'static str| Submitted::json(text.as_bytes());
    let by = Submitter::default();
    type Record<'a> = &'a dyn Fn(&Trail);
    let ways: [(&str, Record<'_>); 5] = [
        ("builder", &|trail| texts.iter().for_each(|text| drop(trail.record(&event(text)).unwrap()))),
        ("builders", &|trail| {
            texts.iter().for_each(|text| drop(trail.record_all(&[event(text)]).unwrap()));
        }),
        ("once", &|trail| {
            texts.iter().for_each(|text| drop(trail.with(ONCE).record(&event(text)).unwrap()));
        }),
        ("JSON", &|trail| {
            texts.iter().for_each(|text| {
                drop(trail.with(ONCE).record(AnyEvent::Json(text.as_bytes())).unwrap());
            });
        }),
        ("request", &|trail| {
            texts.iter().for_each(|text| {
                drop(trail.record_all(Submission { events: &[submitted(text)], by: &by }).unwrap());
            });
        }),
    ];
    let mut first = None;
    for (name, record) in ways {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options();
        options.policy = Policy::from_toml(policy).unwrap();
        let trail = Trail::open(folder.path(), options).unwrap();
        record(&trail);
        let counted = trail.stats().counted;
        let counts = (trail.rule_counts(), counted.off, counted.masked, counted.refused);
        trail.flush(LONG).unwrap();
        let lines = contents(folder.path());
        assert_eq!(lines.len(), 5, "{name}: two of the three that are kept are flagged: {lines:?}");
        assert_eq!(first.get_or_insert_with(|| (lines.clone(), counts.clone())), &(lines, counts), "{name}");
        trail.close(LONG).unwrap();
    }
}

/// What the lines behind `trail.opened` say, but for times and ids that the trail made.
fn contents(dir: &Path) -> Vec<String> {
    let mut reader = Reader::open(dir, Arc::new(StdFiles)).unwrap();
    let mut contents = Vec::new();
    reader
        .for_each(1..u64::MAX, &mut |_, line| {
            let recorded = Event::from_line(line).unwrap();
            let mut event = recorded.event;
            event.time = None;
            if recorded.system {
                event.id = None;
                event.details.remove("review");
                event.details.remove("origin");
            }
            let text = String::from_utf8(event.to_json()).unwrap();
            contents.push(format!("{text} {:?} {:?}", recorded.masked, recorded.recorded_by));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    contents
}

#[test]
fn events_of_one_request_with_one_id_are_compared_though_the_policy_drops_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.policy = Policy::from_toml("mode = \"off\"").unwrap();
    let trail = Trail::open(folder.path(), options).unwrap();
    let request = |texts: [&'static str; 2]| {
        let events = texts.map(|text| Submitted::json(text.as_bytes()));
        trail.record_all(Submission { events: &events, by: &Submitter::default() })
    };
    let (one, other) = (r#"{"id":"one","action":"a","error":"e"}"#, r#"{"id":"one","action":"b"}"#);
    let alike = request([one, one]).unwrap();
    assert!(alike.iter().all(|receipt| receipt.status == Status::Off), "{alike:?}");
    let differ = request([one, other]).unwrap_err();
    let RecordError::At { place: 1, source } = differ else { panic!("{differ}") };
    assert!(matches!(*source, RecordError::Conflict { index: None, .. }), "{source}");
    trail.close(LONG).unwrap();
}

/// Has all ids, and while it looks, somebody switches the policy.
struct Slow(Arc<OnceLock<Weak<Trail>>>);

impl KnownIds for Slow {
    fn look(&mut self) -> Result<Known, KnownIdsError> {
        let trail = self.0.get().unwrap().upgrade().unwrap();
        trail.set_policy(Policy::from_toml("mode = \"off\"").unwrap()).unwrap();
        Ok(Known::default())
    }

    fn find(&mut self, _: &str, _: &mut Vec<Index>) -> Result<(), KnownIdsError> {
        Ok(())
    }
}

/// A look-up may read the whole trail, so the policy is asked after it.
#[test]
fn a_policy_that_comes_during_the_look_up_of_an_id_decides() {
    type Record<'a> = &'a dyn Fn(&Trail) -> Status;
    let text = r#"{"id":"one","action":"test.promise"}"#;
    let event = Event::from_json(text.as_bytes()).unwrap();
    let ways: [(&str, Record<'_>); 2] = [
        ("event", &|trail| trail.with(ONCE).record(&event).unwrap().status),
        ("JSON", &|trail| trail.with(ONCE).record(AnyEvent::Json(text.as_bytes())).unwrap().status),
    ];
    for (name, record) in ways {
        let folder = tempfile::tempdir().unwrap();
        let trail = Arc::new(Trail::open(folder.path(), options()).unwrap());
        let handle = Arc::new(OnceLock::new());
        handle.set(Arc::downgrade(&trail)).unwrap();
        trail.look_ids_up_in(Box::new(Slow(handle)));
        assert_eq!(record(&trail), Status::Off, "{name}");
        trail.flush(LONG).unwrap();
        assert_eq!(actions(folder.path()), ["trail.opened", "trail.policy_changed"], "{name}");
        trail.close(LONG).unwrap();
    }
}

#[test]
fn an_empty_id_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::open(folder.path(), options()).unwrap();
    let mut event = event("one");
    event.id = Some(String::new());
    let ids = [(); 2].map(|()| {
        let receipt = trail.with(ONCE).record(&event).unwrap();
        assert_eq!(receipt.status, Status::Accepted);
        receipt.id.as_str().to_owned()
    });
    assert!(ids[0] != ids[1] && !ids[0].is_empty(), "{ids:?}");
    trail.close(LONG).unwrap();
}
