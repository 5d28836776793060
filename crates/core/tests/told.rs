//! What the author of a program is told of the events that it hands in as JSON, by every way in; and that no outcome is
//! invented.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use std::path::Path;
use std::time::Duration;

use trailseal_core::{
    Ack, AnyEvent, Options, Receipt, RecordError, RecordOptions, Status, Submission, Submitted, Submitter,
    Trail,
};
use trailseal_event::policy::Policy;
use trailseal_event::{BadLine, Event, Index, Outcome, Recorded, Warnings};

const ONCE: RecordOptions = RecordOptions::new().once();

const SOON: Duration = Duration::from_secs(60);
/// For what must get there, however long a busy machine takes.
const ONCE_DURABLE: RecordOptions = ONCE.ack(Ack::Durable).timeout(SOON);

fn open(folder: &Path, strict: bool) -> Trail {
    let mut options = Options::default();
    options.strict = strict;
    options.disk_reserve_bytes = Some(0);
    Trail::open(folder, options).unwrap()
}

fn fields(warnings: &Warnings) -> Vec<&str> {
    warnings.told.iter().map(|warning| warning.field.as_str()).collect()
}

/// The events of the trail that are not its own.
fn events(trail: &Trail) -> Vec<Recorded> {
    trail.flush(SOON).unwrap();
    let mut events = Vec::new();
    let mut each = |_: Index, line: &[u8]| {
        events.extend(Event::from_line(line).ok().filter(|recorded| !recorded.system));
        std::ops::ControlFlow::Continue(())
    };
    trail.reader().unwrap().for_each(0..u64::MAX, &mut each).unwrap();
    events
}

/// A request: what it is told of, by place.
fn batch(trail: &Trail, texts: &[&str], strict: bool) -> Result<Vec<(usize, Warnings)>, RecordError> {
    let submitted: Vec<_> = texts.iter().map(|json| Submitted::json(json.as_bytes())).collect();
    let by = Submitter { strict, ..Submitter::default() };
    let submission = Submission { events: &submitted, by: &by };
    let receipts = match trail.with(RecordOptions::new()).try_record_submission(submission)? {
        Some(pending) => pending.receipts().to_vec(),
        None => trail.record_all(submission)?,
    };
    let told = |(place, receipt): (usize, &Receipt)| Some((place, receipt.warnings()?.clone()));
    Ok(receipts.iter().enumerate().filter_map(told).collect())
}

/// What one event in JSON is told of.
fn told(receipt: &Receipt) -> Warnings {
    receipt.warnings().cloned().unwrap_or_default()
}

#[test]
fn every_way_in_tells_the_same_and_keeps_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path(), false);
    let counted = || trail.stats().counted.warnings;
    let misplaced = r#"{"action":"a","ip":"203.0.113.7","time":"yesterday","actor":"u1"}"#;
    let receipt = trail.with(ONCE).record(AnyEvent::Json(misplaced.as_bytes())).unwrap();
    assert_eq!(receipt.status, Status::Accepted);
    assert_eq!((fields(&told(&receipt)), counted()), (vec!["ip", "time"], 2));
    let ordinary = r#"{"action":"b","actor":"u1","resource":"invoice/42","order_ref":7}"#;
    assert!(trail.with(ONCE).record(AnyEvent::Json(ordinary.as_bytes())).unwrap().warnings().is_none());
    let told = batch(&trail, &[ordinary, misplaced, ordinary, misplaced], false).unwrap();
    let places: Vec<_> = told.iter().map(|(place, warnings)| (*place, fields(warnings))).collect();
    assert_eq!(places, [(1, vec!["ip", "time"]), (3, vec!["ip", "time"])]);
    assert_eq!(counted(), 6, "each event that was taken once");
    let events = events(&trail);
    assert_eq!(events.len(), 6);
    for recorded in events.iter().filter(|recorded| recorded.event.action == "a") {
        assert_eq!(recorded.event.extra.get("ip").and_then(|ip| ip.as_str()), Some("203.0.113.7"));
        assert_eq!(recorded.event.invalid, ["time"]);
        assert_eq!(recorded.event.actor.as_ref().unwrap().id.as_deref(), Some("u1"));
    }
    trail.close(SOON).unwrap();
}

#[test]
fn a_repeat_is_told_of_and_a_refused_request_counts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path(), false);
    let text = r#"{"action":"a","id":"1","ip":"x"}"#;
    trail.with(ONCE_DURABLE).record(AnyEvent::Json(text.as_bytes())).unwrap();
    let again = trail.with(ONCE_DURABLE).record(AnyEvent::Json(text.as_bytes())).unwrap();
    assert_eq!(again.status, Status::Repeated { retired: false });
    assert_eq!(fields(&told(&again)), ["ip"]);
    let told = batch(&trail, &[text], false).unwrap();
    assert_eq!(told.len(), 1);
    let before = trail.stats().counted.warnings;
    assert!(batch(&trail, &[text, "{}"], false).is_err());
    assert_eq!(trail.stats().counted.warnings, before);
    trail.close(SOON).unwrap();
}

#[test]
fn strict_refuses_what_the_author_wrote_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = [
        r#"{"action":"a","ip":"203.0.113.7"}"#,
        r#"{"action":"a","order_ref":7}"#,
        r#"{"action":"a","actor":{"department":"x"}}"#,
        r#"{"action":"a","description":5}"#,
    ];
    let right = [
        r#"{"action":"a","actor":"u1","resource":"invoice/42"}"#,
        r#"{"action":"a","time":"yesterday","id":"","severity":"loud","outcome":"?","category":"?"}"#,
        r#"{"action":"a","context":{"ip":"\u0000\ud800"},"details":{"ip":1e999,"_invalid":[]}}"#,
    ];
    for (is_trails, is_requests) in [(true, false), (false, true)] {
        let trail = open(folder.path(), is_trails);
        for text in wrong {
            let refused = batch(&trail, &[right[0], text], is_requests).unwrap_err();
            let RecordError::At { place: 1, source } = refused else { panic!("{refused}") };
            let RecordError::Invalid(BadLine::NotStrict(warning)) = *source else { panic!("{source}") };
            assert!(!warning.to_string().contains("203.0.113.7"), "{warning}");
            let from_json = trail.with(ONCE).record(AnyEvent::Json(text.as_bytes()));
            let is_refused = matches!(from_json, Err(RecordError::Invalid(BadLine::NotStrict(_))));
            assert_eq!(is_refused, is_trails, "{text}");
        }
        for text in right {
            batch(&trail, &[text], is_requests).unwrap();
            trail.with(ONCE).record(AnyEvent::Json(text.as_bytes())).unwrap();
        }
        trail.close(SOON).unwrap();
    }
}

#[test]
fn a_known_name_is_told_whatever_keys_are_masked() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.mask.keys = vec!["email".into()];
    let trail = Trail::open(folder.path(), options).unwrap();
    let text = br#"{"action":"a","email":"a@example.com","time":"now"}"#;
    let receipt = trail.with(ONCE).record(AnyEvent::Json(text)).unwrap();
    assert_eq!(fields(&told(&receipt)), ["email", "time"]);
    trail.close(SOON).unwrap();
}

#[test]
fn a_secret_that_is_a_name_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let key = "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
    for strict in [false, true] {
        let trail = open(folder.path(), strict);
        let text = format!(r#"{{"action":"a","details":{{"{token}":1e999}}}}"#);
        let receipt = trail.with(ONCE).record(AnyEvent::Json(text.as_bytes())).unwrap();
        assert_eq!(fields(&told(&receipt)), ["details.***"]);
        let text = format!(r#"{{"action":"a","{token}":1,"{key}":2}}"#);
        match trail.with(ONCE).record(AnyEvent::Json(text.as_bytes())) {
            Ok(receipt) => assert!(!strict && receipt.warnings().is_none()),
            Err(error) => assert!(strict && !error.to_string().contains(token), "{error}"),
        }
        trail.close(SOON).unwrap();
    }
}

#[test]
fn no_way_in_invents_an_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path(), false);
    trail.record(&Event::new("rust")).unwrap();
    trail.record_all(&[Event::new("rust.batch")]).unwrap();
    for absent in ["", r#","outcome":null"#, r#","outcome":"""#] {
        let text = format!(r#"{{"action":"json"{absent}}}"#);
        trail.with(ONCE).record(AnyEvent::Json(text.as_bytes())).unwrap();
        batch(&trail, &[&text, &text.replace("json", "json.of")], false).unwrap();
    }
    let events = events(&trail);
    assert_eq!(events.len(), 11);
    assert!(events.iter().all(|recorded| recorded.event.outcome.is_none()));
    trail.record(&Event::new("failed").error("no")).unwrap();
    let failed = self::events(&trail).pop().unwrap();
    assert_eq!(failed.event.outcome, Some(Outcome::Failure), "the builder's own word for it");
    trail.close(SOON).unwrap();
}

#[test]
fn rules_and_sampling_take_no_outcome_for_a_success() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path(), false);
    let text = "mode = \"sampled\"\nrate = 0\n[[rule]]\nwhen = { action = \"beat\", outcome = \"success\" }\nmode = \"off\"\n";
    trail.set_policy(Policy::from_toml(text).unwrap()).unwrap();
    let status = |text: &str| {
        let from_json = trail.with(ONCE).record(AnyEvent::Json(text.as_bytes())).unwrap();
        let event = Event::from_json(text.as_bytes()).unwrap();
        assert_eq!(trail.record(&event).unwrap().status, from_json.status, "{text}");
        let submitted = [Submitted::json(text.as_bytes())];
        let by = Submitter::default();
        let batch = trail.record_all(Submission { events: &submitted, by: &by }).unwrap();
        assert_eq!(batch[0].status, from_json.status, "{text}");
        from_json.status
    };
    assert_eq!(status(r#"{"action":"beat"}"#), Status::Off);
    assert_eq!(status(r#"{"action":"beat","outcome":"success"}"#), Status::Off);
    assert_eq!(status(r#"{"action":"read"}"#), Status::SampledOut);
    assert_eq!(status(r#"{"action":"read","outcome":"failure"}"#), Status::Accepted);
    assert_eq!(status(r#"{"action":"read","outcome":"?"}"#), Status::Accepted, "unknown is another matter");
    trail.close(SOON).unwrap();
}
