//! Events whose parts are JSON text, and events that are handed in without waiting for room.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use support::{DURABLE, SOON, options};
use trailseal_core::{
    Ack, AnyEvent, Known, KnownIds, KnownIdsError, RecordError, RecordOptions, Status, Trail, Tried, TriedAll,
};
use trailseal_event::policy::{Mode, Policy};
use trailseal_event::{Event, EventText, Value};

const ONCE: RecordOptions = RecordOptions::new().once();

fn lines(dir: &std::path::Path) -> Vec<Value> {
    let mut reader = trailseal_core::Reader::open(dir, Arc::new(trailseal_core::file::StdFiles)).unwrap();
    let end = reader.end().get();
    let mut lines = Vec::new();
    reader
        .for_each(0..end, &mut |_, line| {
            lines.push(Value::parse(line).unwrap());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    lines.retain(|line| line.get("system").is_none());
    lines
}

#[test]
fn a_text_is_masked_and_marked_like_any_event() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    let record = |event: EventText<'_>| {
        trail.with(DURABLE).record(&event).unwrap();
    };
    record(EventText { action: "plain", details: Some(r#"{"n":1}"#), ..EventText::default() });
    record(EventText {
        action: "key",
        details: Some(r#"{"user":{"password":"x1"}}"#),
        ..EventText::default()
    });
    record(EventText {
        action: "value",
        before: Some(r#"{"note":"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLWJ5dGVz"}"#),
        ..EventText::default()
    });
    record(EventText { action: "outcome", outcome: Some("splendid"), ..EventText::default() });
    record(EventText { action: "bad", details: Some(r#"{},"tenant":"other""#), ..EventText::default() });
    trail.close(SOON).unwrap();

    let lines = lines(dir.path());
    let [plain, key, value, outcome, bad] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(plain.get_path("details.n").and_then(Value::as_i64), Some(1));
    assert_eq!(key.get_path("masked.0").and_then(Value::as_str), Some("details.user.password"));
    assert!(!format!("{value}").contains("c2lnbmF0dXJl") && value.get("masked").is_some(), "{value}");
    assert_eq!(outcome.get("outcome").and_then(Value::as_str), Some("unknown"));
    assert_eq!(outcome.get_path("details._invalid.outcome").and_then(Value::as_str), Some("splendid"));
    assert!(bad.get("tenant").is_none(), "a part has begun another field: {bad}");
}

#[test]
fn without_an_action_it_is_refused_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    let refused = trail
        .with(RecordOptions::from(Ack::Accepted).room_wait(SOON))
        .record_async(&EventText::default())
        .unwrap_err();
    assert!(matches!(refused, RecordError::NoAction(_)), "{refused}");
    assert_eq!(trail.stats().counted.refused, 1);
    trail.close(SOON).unwrap();
    let event = EventText { action: "a", ..EventText::default() };
    let refused = trail.record(&event).unwrap_err();
    assert!(matches!(refused, RecordError::Closed), "{refused}");
}

/// A trail with a small buffer that nobody empties while the flag is set.
fn stalling(dir: &std::path::Path) -> (Trail, Arc<AtomicBool>) {
    let (mut options, hangs) = (options(), Arc::default());
    options.files = support::hooked::hanging(&hangs);
    (Trail::open(dir, options).unwrap(), hangs)
}

#[test]
fn without_room_nothing_is_counted_and_what_was_decided_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, hangs) = stalling(dir.path());
    hangs.store(true, SeqCst);
    let text = format!(r#"{{"filling":"{}"}}"#, "x".repeat(30_000));
    let event = EventText { action: "fill", details: Some(&text), ..EventText::default() };
    let patient = RecordOptions::new().room_wait(SOON);
    let mut accepted = 0;
    let held = loop {
        match trail.with(patient).try_record(&event).unwrap() {
            Tried::Done(_) | Tried::Pending(_) => accepted += 1,
            Tried::NoRoom(held) => break held,
        }
        assert!(accepted < 1_000, "the buffer takes no end of events");
    };
    assert_eq!(trail.stats().counted.refused, 0, "no room is not a refusal yet");
    let id = held.id().clone();
    hangs.store(false, SeqCst);
    let recorded = held.record().unwrap();
    assert_eq!(recorded.receipt().id, id);
    recorded.wait().unwrap();
    trail.flush(SOON).unwrap();

    hangs.store(true, SeqCst);
    let held = loop {
        if let Tried::NoRoom(held) = trail.with(patient).try_record(&event).unwrap() {
            break held;
        }
        accepted += 1;
    };
    drop(held);
    assert_eq!(trail.stats().counted.refused, 1, "given up is refused");
    hangs.store(false, SeqCst);
    trail.close(SOON).unwrap();
    assert_eq!(lines(dir.path()).len(), accepted + 1);
}

#[test]
fn without_room_for_all_of_them_none_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, hangs) = stalling(dir.path());
    hangs.store(true, SeqCst);
    let filling = || Event::new("fill").detail("filling", "x".repeat(30_000));
    let events = [filling(), filling()];
    let durable = RecordOptions::from(Ack::Durable).timeout(SOON);
    let mut accepted = 0;
    let mut fill = || loop {
        match trail.with(durable).try_record_all(&events).unwrap() {
            TriedAll::Pending(pending) => {
                let (receipts, newest) = pending.into_parts();
                assert_eq!(newest.unwrap().receipt(), &receipts[1]);
                accepted += 2;
            }
            TriedAll::Done(receipts) => panic!("not durable yet: {receipts:?}"),
            TriedAll::NoRoom(held) => break held,
        }
        assert!(accepted < 1_000, "the buffer takes no end of events");
    };
    let held = fill();
    assert!(held.bytes() > 60_000);
    assert_eq!(trail.stats().counted.refused, 0, "no room is not a refusal yet");
    hangs.store(false, SeqCst);
    let receipts = held.record_within(SOON).unwrap().wait().unwrap();
    assert!(receipts.iter().all(|receipt| receipt.status == Status::Durable), "{receipts:?}");
    let indexes: Vec<_> = receipts.iter().map(|receipt| receipt.index.unwrap().get()).collect();
    assert_eq!(indexes[0] + 1, indexes[1]);

    hangs.store(true, SeqCst);
    drop(fill());
    assert_eq!(trail.stats().counted.refused, 2, "given up is refused");
    let refused = trail.record_all_async(&events).unwrap_err();
    assert!(matches!(refused, RecordError::Full), "{refused}");
    assert_eq!(trail.stats().counted.refused, 4);
    let refused = fill().record_within(Duration::ZERO).unwrap_err();
    assert!(matches!(refused, RecordError::Full), "{refused}");
    assert_eq!(trail.stats().counted.refused, 6);
    hangs.store(false, SeqCst);
    trail.close(SOON).unwrap();
    assert!(matches!(trail.with(durable).try_record_all(&events), Err(RecordError::Closed)));
    assert_eq!(lines(dir.path()).len(), accepted + 2);
}

#[test]
fn what_is_not_kept_needs_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.policy = Policy::of_mode(Mode::Off);
    let trail = Trail::open(dir.path(), options).unwrap();
    let event = EventText { action: "a", ..EventText::default() };
    let Tried::Done(receipt) = trail.with(Ack::Durable).try_record(&event).unwrap() else { panic!() };
    assert_eq!(receipt.index, None);
    let events = [Event::new("a"), Event::new("b")];
    let TriedAll::Done(receipts) = trail.with(Ack::Durable).try_record_all(&events).unwrap() else {
        panic!()
    };
    assert!(receipts.iter().all(|receipt| receipt.status == Status::Off), "{receipts:?}");
    trail.close(SOON).unwrap();
}

/// Answers when it may.
struct Slow {
    is_asked: Arc<Barrier>,
    may_answer: std::sync::mpsc::Receiver<()>,
}

impl KnownIds for Slow {
    fn look(&mut self) -> Result<Known, KnownIdsError> {
        self.is_asked.wait();
        self.may_answer.recv()?;
        Ok(Known::default())
    }

    fn look_every(&self) -> u64 {
        1
    }

    fn find(&mut self, _: &str, _: &mut Vec<trailseal_event::Index>) -> Result<(), KnownIdsError> {
        Ok(())
    }
}

#[test]
fn a_text_does_not_wait_for_somebody_who_looks_an_id_up() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), options()).unwrap();
    let is_asked = Arc::new(Barrier::new(2));
    let (answer, may_answer) = channel();
    trail.look_ids_up_in(Box::new(Slow { is_asked: is_asked.clone(), may_answer }));
    std::thread::scope(|scope| {
        scope.spawn(|| trail.with(ONCE).record(AnyEvent::Json(br#"{"action":"a","id":"1"}"#)).unwrap());
        is_asked.wait();
        let (done, is_done) = channel();
        let other = trail.clone();
        std::thread::spawn(move || {
            let event = EventText { action: "b", id: Some("2"), ..EventText::default() };
            done.send(other.record(&event).is_ok()).unwrap();
        });
        let done = is_done.recv_timeout(SOON);
        answer.send(()).unwrap();
        assert!(done.unwrap(), "it waited for the lock of ids");
    });
    trail.close(SOON).unwrap();
}
