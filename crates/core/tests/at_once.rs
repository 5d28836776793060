//! Requests that are handed in without any waiting, and those that must be left to a thread that may wait.

#![allow(clippy::unwrap_used)]

use std::sync::Barrier;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use trailseal_core::{
    Known, KnownIds, KnownIdsError, Options, PendingReceipts, RecordOptions, Status, Submission, Submitted,
    Submitter, Trail,
};
use trailseal_event::Index;

const WAIT: Duration = Duration::from_secs(60);

fn open(folder: &std::path::Path) -> Trail {
    let mut options = Options::default();
    options.handoff.size_bytes = 1 << 20;
    Trail::open(folder, options).unwrap()
}

fn at_once(trail: &Trail, json: &str) -> Option<PendingReceipts> {
    let events = [Submitted::json(json.as_bytes())];
    trail
        .with(RecordOptions::new())
        .try_record_submission(Submission { events: &events, by: &Submitter::default() })
        .unwrap()
}

fn waiting(trail: &Trail, json: &str) -> Status {
    let events = [Submitted::json(json.as_bytes())];
    trail.record_all(Submission { events: &events, by: &Submitter::default() }).unwrap()[0].status
}

#[test]
fn ids_are_looked_up_in_memory_or_not_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path());
    let (one, other) = (r#"{"action":"a","id":"one"}"#, r#"{"action":"a","id":"other"}"#);
    trail.flush(WAIT).unwrap();
    assert!(at_once(&trail, one).is_none(), "nobody has read the trail yet");
    assert!(at_once(&trail, r#"{"action":"a"}"#).is_some());
    trail.flush(WAIT).unwrap();
    assert!(matches!(waiting(&trail, one), Status::Accepted));
    assert!(at_once(&trail, one).is_none(), "a repeat is compared");
    assert!(matches!(waiting(&trail, one), Status::Repeated { .. }));
    assert!(at_once(&trail, other).is_some());
    assert!(matches!(waiting(&trail, other), Status::Repeated { .. }));
}

/// Is asked how far it knows ids, says so, and answers when it may.
struct Slow {
    is_asked: std::sync::Arc<Barrier>,
    may_answer: Receiver<()>,
}

impl KnownIds for Slow {
    fn look(&mut self) -> Result<Known, KnownIdsError> {
        self.is_asked.wait();
        self.may_answer.recv()?;
        Ok(Known::default())
    }

    fn find(&mut self, _: &str, _: &mut Vec<Index>) -> Result<(), KnownIdsError> {
        Ok(())
    }
}

#[test]
fn nothing_waits_for_somebody_who_looks_an_id_up() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path());
    let (is_asked, (answer, may_answer)) = (std::sync::Arc::new(Barrier::new(2)), channel());
    trail.look_ids_up_in(Box::new(Slow { is_asked: is_asked.clone(), may_answer }));
    let asking = trail.clone();
    let thread = std::thread::spawn(move || waiting(&asking, r#"{"action":"a","id":"one"}"#));
    is_asked.wait();
    assert!(at_once(&trail, r#"{"action":"a"}"#).is_none());
    answer.send(()).unwrap();
    assert!(matches!(thread.join().unwrap(), Status::Accepted));
    assert!(at_once(&trail, r#"{"action":"a"}"#).is_some());
}
