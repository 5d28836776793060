//! Promise: no two values that one key seals have the same nonce, whoever sealed them: threads, openings one after the other,
//! a folder that was put back from a copy, and a forked child, which seals nothing that anybody gets.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking, and forks"
)]

mod support;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use support::{DURABLE, SOON, copy, sealing_at_once};
use trailseal_core::{AnyEvent, RecordError, Submission, Submitted, Submitter, Trail};
use trailseal_event::policy::Policy;
use trailseal_event::{Event, EventText};

const PEOPLE: usize = 3;
const EVENTS_EACH: usize = 200;
/// A nonce's 12 bytes in base64.
const NONCE_CHARACTERS: usize = 16;

fn open(dir: &Path) -> Trail {
    let mut options = sealing_at_once();
    options.origin = Some("example.com/nonces".into());
    let policy = "[[personal]]\nfields = [\"actor.email\", \"actor.name\"]\nsubject = \"actor.id\"";
    options.policy = Policy::from_toml(policy).unwrap();
    Trail::open(dir, options).unwrap()
}

fn event(number: usize) -> Event {
    let person = format!("u{}", number % PEOPLE);
    Event::new("test.nonces").actor(person).actor_email("ann@example.com").actor_name("Ann Lee")
}

/// Records by several threads, and waits until all of it is on disk.
fn record(trail: &Trail) {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..EVENTS_EACH).for_each(|number| drop(trail.record(&event(number)).unwrap())));
        }
    });
    trail.with(DURABLE).record(&event(0)).unwrap();
}

/// The nonces of a trail's lines, by key; each line once, whatever copy it is from.
fn nonces(dir: &Path, seen: &mut HashSet<String>, by_key: &mut HashMap<String, Vec<String>>) {
    for path in support::segments(dir) {
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.lines().filter(|line| seen.insert((*line).to_owned())) {
            for token in line.split("\"erasable:").skip(1) {
                let (key, cipher) = token.split_once(':').unwrap();
                by_key.entry(key.to_owned()).or_default().push(cipher[..NONCE_CHARACTERS].to_owned());
            }
        }
    }
}

/// Whether a forked child is refused by every way in.
fn is_refused(trail: &Trail) -> bool {
    let is_forked = |refused: Result<(), RecordError>| matches!(refused, Err(RecordError::Forked));
    let json = br#"{"action":"test.nonces","actor":{"id":"u1","email":"a@example.com"}}"#;
    let by = Submitter::default();
    let text = EventText {
        action: "test.nonces",
        actor: Some(r#"{"id":"u1","email":"a@example.com"}"#),
        ..EventText::default()
    };
    is_forked(trail.record(&event(1)).map(drop))
        && is_forked(trail.record_all(&[event(1), event(2)]).map(drop))
        && is_forked(trail.record(AnyEvent::Json(json)).map(drop))
        && is_forked(trail.record(&text).map(drop))
        && is_forked(trail.record_all(Submission { events: &[Submitted::json(json)], by: &by }).map(drop))
}

#[test]
fn no_two_values_of_a_key_have_the_same_nonce() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    record(&trail);
    // SAFETY: the child only records, which refuses at once, and ends without running anything of the parent's.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = if is_refused(&trail) { 0 } else { 1 };
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(code) };
    }
    record(&trail);
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(status, 0, "the child's events were not all refused as forked");
    trail.close(SOON).unwrap();
    let put_back = copy(dir.path());
    for folder in [&dir, &put_back, &dir] {
        let trail = open(folder.path());
        record(&trail);
        trail.close(SOON).unwrap();
    }
    let (mut seen, mut by_key) = (HashSet::new(), HashMap::new());
    for folder in [&dir, &put_back] {
        nonces(folder.path(), &mut seen, &mut by_key);
    }
    assert_eq!(by_key.len(), PEOPLE);
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), 5 * (4 * EVENTS_EACH + 1) * 2);
    for (key, nonces) in by_key {
        assert_eq!(nonces.iter().collect::<HashSet<_>>().len(), nonces.len(), "{key}");
    }
}
