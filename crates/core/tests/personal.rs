//! Promise: a person's values are in no file in plain text, whoever may see them does, and once the person is erased
//! nobody ever does; every proof holds before and after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{DURABLE, SOON, contents, copy, sealing_at_once, verdict};
use trailseal_core::file::StdFiles;
use trailseal_core::{
    Ack, AnyEvent, EraseError, Folder, MasterKey, Notice, OpenError, Options, PersonalKeysOptions,
    RecordError, RecordOptions, Status, Submission, Submitted, Submitter, Trail, back_up,
    back_up_personal_keys, open_personal_keys,
};
use trailseal_event::personal::{PersonalKeys, reveal, tokens};
use trailseal_event::policy::Policy;
use trailseal_event::{Event, EventText, Value};

const ONCE: RecordOptions = RecordOptions::new().once();

/// What no file may hold.
const SECRET: &str = "Zq7Rhubarb";

const POLICY: &str = r#"
    mode = "async"
    [[rule]]
    when = { action = "flagged" }
    review = "look at it"
    [[personal]]
    fields = ["actor.email", "details.mail", "context.ip", "before.mail", "after.mail"]
    subject = "actor.id"
    [[personal]]
    field = "on_behalf_of.id"
    subject = "on_behalf_of.id"
    searchable = true
"#;

fn options() -> Options {
    let mut options = sealing_at_once();
    options.origin = Some("example.com/personal".into());
    options.policy = Policy::from_toml(POLICY).unwrap();
    options
}

fn open(dir: &Path) -> Trail {
    Trail::open(dir, options()).unwrap()
}

fn event_of(person: &str) -> Event {
    Event::new("test.personal").actor(person).actor_email(SECRET)
}

fn json_of(person: &str, more: &str) -> Vec<u8> {
    format!(r#"{{"action":"test.json","actor":{{"id":"{person}","email":"{SECRET}"}}{more}}}"#).into_bytes()
}

/// The lines of a trail, each as a reader with these keys sees it; without the trail's own.
fn lines(dir: &Path, keys: Option<&dyn PersonalKeys>) -> Vec<String> {
    let mut lines = Vec::new();
    for path in support::segments(dir) {
        let bytes = std::fs::read(path).unwrap();
        let own = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.extend(own.map(|line| String::from_utf8(reveal(line, keys).into_owned()).unwrap()));
    }
    lines.retain(|line| !line.contains(r#""system":true"#));
    lines
}

fn shown(trail: &Trail) -> Vec<String> {
    trail.flush(SOON).unwrap();
    let keys = trail.personal_keys();
    lines(trail.folder().root(), keys.as_deref().map(|keys| keys as &dyn PersonalKeys))
}

#[track_caller]
fn nowhere(dir: &Path, secret: &[u8]) {
    for (path, bytes) in contents(dir) {
        let is_there = bytes.windows(secret.len()).any(|part| part == secret);
        assert!(!is_there, "{} holds it", path.display());
    }
}

fn own_event(dir: &Path, action: &str) -> Value {
    let wanted = format!(r#""action":"{action}""#);
    let mut found = None;
    for path in support::segments(dir) {
        for line in std::fs::read_to_string(path).unwrap().lines().filter(|line| line.contains(&wanted)) {
            found = Some(Value::parse(line.as_bytes()).unwrap());
        }
    }
    found.unwrap_or_else(|| panic!("there is no {action}"))
}

fn slots_of(dir: &Path) -> BTreeSet<u64> {
    let mut slots = BTreeSet::new();
    for line in lines_as_written(dir) {
        tokens(line.as_bytes(), |token, _| _ = slots.insert(token.key.slot));
    }
    slots
}

fn lines_as_written(dir: &Path) -> Vec<String> {
    let read = |path| std::fs::read_to_string(path).unwrap();
    let all: Vec<String> = support::segments(dir).into_iter().map(read).collect();
    all.concat().lines().filter(|line| !line.contains(r#""system":true"#)).map(str::to_owned).collect()
}

/// Records by every way in; returns how many events.
fn record_by_every_way(trail: &Trail) -> usize {
    trail.with(DURABLE).record(&event_of("u1")).unwrap();
    trail.record_all(&[event_of("u1"), event_of("u2")]).unwrap();
    trail.record(&Event::new("flagged").actor("u1").actor_email(SECRET)).unwrap();
    let with_secret = event_of("u1").detail("password", "hunter2").detail("mail", SECRET);
    trail.record(&with_secret).unwrap();
    // The fast path, with what it adds behind personal values, and the slow one.
    let json = |more: &str| {
        trail.with(ONCE).record(AnyEvent::Json(&json_of("u1", more))).unwrap();
    };
    json(r#","context":{"ip":"Zq7Rhubarb"},"own":{"a":1}"#);
    json(r#","details":{"mail":"Zq7\u0052hubarb"}"#);
    json(r#","details":{"mail":["Zq7Rhubarb"],"ip":"x"},"ip":1"#);
    json(&format!(
        r#","before":{{"mail":"{SECRET}","x":1}},"after":{{"mail":"{}","x":2}}"#,
        SECRET.repeat(4_000)
    ));
    let by = Submitter { recorded_by: Some("a token".into()), ..Submitter::default() };
    let texts = [json_of("u1", r#","own":1"#), json_of("u1", r#","actor":"odd""#), json_of("u3", "")];
    for (nth, text) in texts.iter().enumerate() {
        let one = Submitted { id: Some(format!("b{nth}")), ..Submitted::json(text) };
        trail.record_all(Submission { events: &[one], by: &by }).unwrap();
    }
    let at_once = [Submitted::json(&texts[0])];
    let tried = trail.with(ONCE).try_record_submission(Submission { events: &at_once, by: &by }).unwrap();
    assert!(tried.is_some());
    let actor = format!(r#"{{"id":"u1","email":"{SECRET}"}}"#);
    let text = EventText { action: "test.text", actor: Some(&actor), ..EventText::default() };
    trail.record(&text).unwrap();
    trail.with(Ack::Accepted).try_record(&event_of("u1")).unwrap();
    trail.with(Ack::Accepted).try_record_all(&[event_of("u1")]).unwrap();
    trail.with(ONCE).record(&event_of("u1").id("once")).unwrap();
    17
}

#[test]
fn whatever_way_it_takes_a_personal_value_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    let events = record_by_every_way(&trail);
    trail.seal(SOON).unwrap();
    // The handoff is among these files.
    nowhere(dir.path(), SECRET.as_bytes());
    let shown = shown(&trail);
    assert_eq!(shown.len(), events, "{shown:#?}");
    assert!(shown.iter().all(|line| line.contains(SECRET)), "{shown:#?}");
    assert!(shown.iter().any(|line| line.contains(r#""recorded_by":"a token""#)));
    for line in &shown {
        Event::from_line(line.as_bytes()).unwrap();
    }
    assert!(lines(dir.path(), None).iter().all(|line| line.contains(r#""erasable""#)));
    let stats = trail.stats().personal.unwrap();
    assert_eq!((stats.not_kept, stats.erased, stats.trouble), (0, 0, None));
    trail.close(SOON).unwrap();
    nowhere(dir.path(), SECRET.as_bytes());
    let verdict = verdict(dir.path());
    assert!(verdict.ok, "{verdict}");
    // Whoever only reads the folder has the same keys.
    let folder = Folder::new(dir.path(), Arc::new(StdFiles));
    let keys = open_personal_keys(&folder, &PersonalKeysOptions::default()).unwrap().unwrap();
    assert_eq!(lines(dir.path(), Some(&*keys)), shown);
}

#[test]
fn the_trails_own_events_hold_no_personal_value_either() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    trail.record_own("read", event_of("p1").detail("mail", "kept for the trail")).unwrap();
    // A step of a review is told apart by who took it.
    let by_token = Event::default().actor("token").actor_email("token@example.com");
    trail.record_own("review_requested", by_token).unwrap();
    trail.flush(SOON).unwrap();
    nowhere(dir.path(), SECRET.as_bytes());
    let keys = trail.personal_keys();
    let shown = |keys: Option<&dyn PersonalKeys>| {
        let line = own_event(dir.path(), "trail.read").to_string();
        String::from_utf8(reveal(line.as_bytes(), keys).into_owned()).unwrap()
    };
    assert!(shown(keys.as_deref()).contains(SECRET));
    assert!(shown(None).contains(r#""email":"erasable""#) && shown(None).contains("kept for the trail"));
    assert!(own_event(dir.path(), "trail.review_requested").to_string().contains("token@example.com"));
    trail.erase("p1").unwrap();
    assert!(shown(keys.as_deref()).contains(r#""email":"erased""#));
    trail.close(SOON).unwrap();
    assert!(verdict(dir.path()).ok);
}

#[test]
fn nothing_is_sealed_or_made_without_a_rule() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(dir.path(), sealing_at_once()).unwrap();
    trail.with(DURABLE).record(&event_of("u1")).unwrap();
    assert!(trail.personal_keys().is_none() && trail.stats().personal.is_none());
    assert!(!dir.path().join("keys/personal").exists());
    assert!(matches!(trail.erase("u1"), Err(EraseError::Off)));
    // A rule that comes later makes keys then.
    trail.set_policy(Policy::from_toml(POLICY).unwrap()).unwrap();
    trail.with(DURABLE).record(&event_of("u2")).unwrap();
    assert!(lines(dir.path(), None)[1].contains(r#""erasable""#));
    trail.close(SOON).unwrap();
    // And without one again, what was sealed is still seen.
    let trail = Trail::open(dir.path(), sealing_at_once()).unwrap();
    trail.reset_policy(Policy::default()).unwrap();
    assert!(shown(&trail)[1].contains(SECRET));
    trail.close(SOON).unwrap();
}

#[test]
fn the_same_content_is_a_repeat_though_cipher_texts_differ() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    let event = |mail: &str| Event::new("a").id("7").actor("u1").actor_email(mail);
    let status = |mail: &str| trail.with(ONCE).record(&event(mail)).map(|receipt| receipt.status);
    let is_repeated = |status| matches!(status, Status::Repeated { .. });
    assert_eq!(status("m").unwrap(), Status::Accepted);
    // Still on its way, and on disk.
    for _ in 0..2 {
        assert!(is_repeated(status("m").unwrap()));
        assert!(matches!(status("n"), Err(RecordError::Conflict { .. })));
        trail.flush(SOON).unwrap();
    }
    let json = br#"{"id":"7","action":"a","actor":{"id":"u1","email":"m"}}"#;
    assert!(is_repeated(trail.with(ONCE).record(AnyEvent::Json(json)).unwrap().status));
    let batch = |json: &[u8], times: usize| {
        let events: Vec<Submitted<'_>> = (0..times).map(|_| Submitted::json(json)).collect();
        let receipts = trail.record_all(Submission { events: &events, by: &Submitter::default() })?;
        Ok::<_, RecordError>(
            receipts.into_iter().map(|receipt| is_repeated(receipt.status)).collect::<Vec<_>>(),
        )
    };
    assert_eq!(batch(json, 2).unwrap(), [true, true]);
    // Twice in one request.
    let long = format!(
        r#"{{"id":"8","action":"a","actor":{{"id":"u1"}},"details":{{"mail":"{}"}}}}"#,
        "m".repeat(70_000)
    );
    assert_eq!(batch(long.as_bytes(), 2).unwrap(), [false, true]);
    assert_eq!(batch(long.as_bytes(), 1).unwrap(), [true]);
    let other = String::from_utf8(json.to_vec()).unwrap().replace("\"m\"", "\"n\"");
    assert!(batch(other.as_bytes(), 1).is_err());
    // What was erased cannot be compared, and is not recorded again.
    trail.erase("u1").unwrap();
    assert!(is_repeated(status("n").unwrap()));
    trail.close(SOON).unwrap();
}

/// Whether it has the id as a word of its own. Within the random text of a key or a hash, two letters may stand by chance.
fn names(text: &str, id: &str) -> bool {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"-_".contains(letter))
        .any(|word| word == id)
}

#[test]
fn an_erased_person_is_erased_everywhere_and_every_proof_holds() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    record_by_every_way(&trail);
    trail.seal(SOON).unwrap();
    let (note, before) =
        (std::fs::read(dir.path().join("checkpoint")).unwrap(), lines_as_written(dir.path()));
    let keys = trail.subject_keys("u1").unwrap();
    let would = trail.would_erase("u1").unwrap();
    assert_eq!(would.keys, keys);
    let reached: u64 = would.fields.iter().map(|(_, count)| count).sum();
    assert!(would.fields.iter().any(|(path, count)| path == "actor.email" && *count > 8), "{would:?}");
    assert!(reached > 12 && would.plain.iter().any(|(path, _)| path == "actor.id"), "{would:?}");
    assert_eq!(would.key_file, dir.path().join("keys/personal"));
    let erased = trail.erase("u1").unwrap();
    assert_eq!((&erased.keys, erased.erased_by.len(), erased.already), (&keys, 1, None));
    let shown = shown(&trail);
    // One event names two actors, of which the last is its own: what it says of the other is of that one, too.
    let is_of = |line: &&String, person: &str| {
        line.contains(&format!(r#""actor":{{"id":"{person}""#)) && !line.contains(r#""actor":{"id":"odd"}"#)
    };
    assert!(shown.iter().filter(|line| is_of(line, "u1")).all(|line| line.contains(r#""erased""#)));
    assert!(shown.iter().filter(|line| is_of(line, "u1")).all(|line| !line.contains(SECRET)), "{shown:#?}");
    assert!(shown.iter().filter(|line| is_of(line, "u2")).all(|line| line.contains(SECRET)));
    // The lines are as they were.
    assert_eq!(lines_as_written(dir.path()), before);
    let own = own_event(dir.path(), "trail.erased");
    let text = own.to_string();
    assert!(text.contains(&keys[0]) && !names(&text, "u1"), "{text}");
    // Twice says so.
    let again = trail.erase("u1").unwrap();
    assert_eq!(again.already.map(|(index, _)| index), Some(erased.erased_by[0]));
    assert_eq!(trail.erase_keys(&keys).unwrap().already, again.already);
    assert!(matches!(trail.erase("nobody"), Err(EraseError::Unknown)));
    // New events get another key, which can be destroyed, too.
    trail.with(DURABLE).record(&event_of("u1")).unwrap();
    let fresh = trail.subject_keys("u1").unwrap();
    assert!(fresh.len() == 1 && fresh != keys);
    assert!(self::shown(&trail).last().unwrap().contains(SECRET));
    assert_eq!(trail.erase_keys(&fresh).unwrap().keys, fresh);
    assert!(self::shown(&trail).last().unwrap().contains(r#""erased""#));
    trail.close(SOON).unwrap();
    let verdict = verdict(dir.path());
    assert!(verdict.ok, "{verdict}");
    assert!(String::from_utf8_lossy(&note).contains("example.com/personal"));
    let list = std::fs::read_to_string(dir.path().join("erased")).unwrap();
    assert_eq!(list.lines().collect::<Vec<_>>(), [&*keys[0], &*fresh[0]]);
    assert!(!dir.path().join("erasing").exists());
    nowhere(dir.path(), SECRET.as_bytes());
    // After the next opening, too.
    let trail = open(dir.path());
    assert!(trail.erase("u1").unwrap().already.is_some());
    assert!(self::shown(&trail).iter().filter(|line| is_of(line, "u1")).all(|line| !line.contains(SECRET)));
    trail.close(SOON).unwrap();
}

#[test]
fn a_person_known_by_a_hash_or_a_long_id_is_erased() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    let (long, token) = ("i".repeat(2_000), "ghp_0123456789abcdefghijABCDEFGHIJ012345");
    for person in [&*long, token] {
        trail.with(DURABLE).record(&event_of(person)).unwrap();
        assert_eq!(trail.erase(person).unwrap().keys.len(), 1, "{person}");
    }
    let mut other = Event::new("a");
    other.on_behalf_of.get_or_insert_default().id = Some(SECRET.into());
    trail.with(DURABLE).record(&other).unwrap();
    nowhere(dir.path(), SECRET.as_bytes());
    // How a filter for a personal field is told, and for a text.
    assert!(trail.shown("on_behalf_of", SECRET).starts_with("hmac:"));
    assert!(trail.shown("text", SECRET).starts_with("hmac:"));
    assert_eq!(trail.shown("actor", "u1"), "u1");
    assert_eq!(trail.would_erase(SECRET).unwrap().fields, [("on_behalf_of.id".to_owned(), 1)]);
    let nobodys = Event::new("a").actor_email("m");
    trail.with(DURABLE).record(&nobodys).unwrap();
    assert_eq!(trail.would_erase(SECRET).unwrap().without_subject, [("actor.email".to_owned(), 1)]);
    trail.erase(SECRET).unwrap();
    trail.close(SOON).unwrap();
}

#[test]
fn what_a_hold_holds_is_not_erased() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    trail.with(DURABLE).record(&event_of("u1").tenant("acme")).unwrap();
    trail.with(DURABLE).record(&event_of("u2").tenant("other")).unwrap();
    trail.add_hold("case 7", "a dispute", &[("tenant".to_owned(), "acme".to_owned())]).unwrap();
    assert_eq!(trail.would_erase("u1").unwrap().held_by, [("case 7".to_owned(), 1)]);
    let error = trail.erase("u1").unwrap_err();
    assert!(matches!(&error, EraseError::Held { hold } if hold == "case 7"), "{error}");
    assert!(!error.to_string().contains("u1"));
    assert!(!dir.path().join("erasing").exists() && !dir.path().join("erased").exists());
    assert!(shown(&trail).iter().all(|line| line.contains(SECRET)));
    trail.erase("u2").unwrap();
    trail.remove_hold("case 7").unwrap();
    trail.erase("u1").unwrap();
    trail.close(SOON).unwrap();
}

#[test]
fn a_hold_that_keeps_a_hash_holds_what_lines_have_in_plain() {
    let dir = tempfile::tempdir().unwrap();
    // The filter `actor` looks at the name, too, so the hold keeps only a hash; the id is in plain in the lines.
    let mut named = options();
    named.policy =
        Policy::from_toml("[[personal]]\nfields = [\"actor.name\", \"actor.email\"]\nsubject = \"actor.id\"")
            .unwrap();
    let trail = Trail::open(dir.path(), named).unwrap();
    for person in ["u1", "u2"] {
        trail.with(DURABLE).record(&event_of(person)).unwrap();
    }
    trail.add_hold("case 7", "a dispute", &[("actor".to_owned(), "u1".to_owned())]).unwrap();
    let held = std::fs::read_to_string(dir.path().join("holds.toml")).unwrap();
    assert!(held.contains("hmac:") && !names(&held, "u1"), "{held}");
    assert_eq!(trail.would_erase("u1").unwrap().held_by, [("case 7".to_owned(), 1)]);
    assert!(matches!(trail.erase("u1").unwrap_err(), EraseError::Held { .. }));
    trail.erase("u2").unwrap();
    assert!(shown(&trail)[0].contains(SECRET));
    trail.close(SOON).unwrap();
}

#[test]
fn a_lost_key_file_makes_values_unreadable_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    trail.with(DURABLE).record(&event_of("u1")).unwrap();
    trail.with(DURABLE).record(&event_of("u2")).unwrap();
    trail.erase("u2").unwrap();
    trail.close(SOON).unwrap();
    let saved = copy(dir.path());
    std::fs::remove_file(dir.path().join("keys/personal")).unwrap();
    let told: Arc<Mutex<Vec<Notice>>> = Arc::default();
    let mut telling = options();
    let notices = told.clone();
    telling.on_notice = Some(Arc::new(move |notice: &Notice| notices.lock().unwrap().push(notice.clone())));
    let trail = Trail::open(dir.path(), telling).unwrap();
    let is_told = |what: &str| {
        let told = told.lock().unwrap();
        told.iter()
            .any(|notice| matches!(notice, Notice::PersonalKeysDiffer { what: told, .. } if *told == what))
    };
    assert!(is_told("lost"), "{told:?}");
    let opened = own_event(dir.path(), "trail.opened");
    assert_eq!(opened.get_path("details.personal.trouble").and_then(Value::as_str), Some("lost"));
    let lines = shown(&trail);
    assert!(lines[0].contains(r#""unreadable""#) && lines[1].contains(r#""erased""#), "{lines:#?}");
    trail.with(DURABLE).record(&event_of("u1")).unwrap();
    assert!(shown(&trail)[2].contains(SECRET));
    trail.close(SOON).unwrap();
    // Put back, it opens what it sealed; what was sealed meanwhile is of the other one.
    let back = saved.path().join("keys/personal");
    std::fs::copy(&back, dir.path().join("keys/personal")).unwrap();
    let trail = open(dir.path());
    let opened = own_event(dir.path(), "trail.opened");
    assert_eq!(opened.get_path("details.personal.trouble").and_then(Value::as_str), Some("another"));
    let lines = shown(&trail);
    assert!(lines[0].contains(SECRET) && lines[2].contains(r#""unreadable""#), "{lines:#?}");
    trail.close(SOON).unwrap();
}

#[test]
fn a_key_file_that_is_removed_in_use_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let told: Arc<Mutex<Vec<Notice>>> = Arc::default();
    let mut telling = options();
    let notices = told.clone();
    telling.on_notice = Some(Arc::new(move |notice: &Notice| notices.lock().unwrap().push(notice.clone())));
    let trail = Trail::open(dir.path(), telling).unwrap();
    trail.with(DURABLE).record(&event_of("u1")).unwrap();
    std::fs::remove_file(dir.path().join("keys/personal")).unwrap();
    let deadline = std::time::Instant::now() + SOON;
    let is_remade = || {
        let told = told.lock().unwrap();
        told.iter().any(|notice| matches!(notice, Notice::PersonalKeysRemade { .. }))
    };
    while !is_remade() {
        assert!(std::time::Instant::now() < deadline, "the key file was not written again");
        std::thread::sleep(Duration::from_millis(5));
    }
    trail.with(DURABLE).record(&event_of("u2")).unwrap();
    trail.close(SOON).unwrap();
    let trail = open(dir.path());
    assert!(shown(&trail).iter().all(|line| line.contains(SECRET)));
    trail.close(SOON).unwrap();
}

#[test]
fn an_older_key_file_brings_no_erased_key_back_and_gives_no_slot_twice() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    trail.with(DURABLE).record(&event_of("u1")).unwrap();
    trail.close(SOON).unwrap();
    let path = dir.path().join("keys/personal");
    let older = std::fs::read(&path).unwrap();
    let trail = open(dir.path());
    for person in ["u2", "u3"] {
        trail.with(DURABLE).record(&event_of(person)).unwrap();
    }
    trail.erase("u1").unwrap();
    trail.erase("u2").unwrap();
    trail.close(SOON).unwrap();
    std::fs::write(&path, &older).unwrap();
    let used = slots_of(dir.path());
    let trail = open(dir.path());
    let opened = own_event(dir.path(), "trail.opened");
    let said = |name: &str| opened.get_path(&format!("details.personal.{name}")).cloned();
    assert_eq!(said("trouble"), Some(Value::from("older")), "{opened}");
    assert_eq!(said("erased_again"), Some(Value::from(2)), "{opened}");
    let lines = shown(&trail);
    assert!(lines[0].contains(r#""erased""#) && lines[1].contains(r#""erased""#), "{lines:#?}");
    assert!(lines[2].contains(r#""unreadable""#), "{lines:#?}");
    trail.with(DURABLE).record(&event_of("u4")).unwrap();
    assert_eq!(slots_of(dir.path()).difference(&used).count(), 1, "a slot was given twice");
    trail.close(SOON).unwrap();
    // A list that nobody vouches for destroys nothing.
    let name = |line: &str| {
        let mut name = None;
        tokens(line.as_bytes(), |token, _| name = Some(token.key.to_string()));
        name.unwrap()
    };
    let forged = name(&lines_as_written(dir.path())[3]);
    let list = std::fs::read_to_string(dir.path().join("erased")).unwrap();
    std::fs::write(dir.path().join("erased"), format!("{list}{forged}\n")).unwrap();
    let trail = open(dir.path());
    assert!(shown(&trail)[3].contains(SECRET));
    trail.close(SOON).unwrap();
}

#[test]
fn a_cut_or_damaged_key_file_keeps_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    for person in ["u1", "u2", "u3"] {
        trail.with(DURABLE).record(&event_of(person)).unwrap();
    }
    trail.close(SOON).unwrap();
    let path = dir.path().join("keys/personal");
    let whole = std::fs::read(&path).unwrap();
    // In the middle of the third slot.
    std::fs::write(&path, &whole[..4_096 + 2 * 128 + 50]).unwrap();
    let trail = open(dir.path());
    let lines = shown(&trail);
    assert!(lines[1].contains(SECRET) && lines[2].contains(r#""unreadable""#), "{lines:#?}");
    trail.with(DURABLE).record(&event_of("u3")).unwrap();
    assert!(shown(&trail)[3].contains(SECRET));
    assert_eq!(slots_of(dir.path()).len(), 4);
    trail.close(SOON).unwrap();
    let mut damaged = std::fs::read(&path).unwrap();
    damaged[4_096 + 40] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let trail = open(dir.path());
    let opened = own_event(dir.path(), "trail.opened");
    assert_eq!(opened.get_path("details.personal.damaged"), Some(&Value::from(1)), "{opened}");
    let lines = shown(&trail);
    assert!(lines[0].contains(r#""unreadable""#) && lines[1].contains(SECRET), "{lines:#?}");
    trail.close(SOON).unwrap();
    // Without its header it is put aside.
    damaged[0] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let trail = open(dir.path());
    let opened = own_event(dir.path(), "trail.opened");
    assert_eq!(opened.get_path("details.personal.trouble").and_then(Value::as_str), Some("damaged"));
    assert_eq!(std::fs::read(dir.path().join("keys/personal.damaged-0")).unwrap(), damaged);
    assert!(shown(&trail).iter().all(|line| line.contains(r#""unreadable""#)));
    trail.close(SOON).unwrap();
}

#[test]
fn a_key_file_is_of_one_trail_and_one_master_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = elsewhere.path().join("new/keys");
    let with = |master: Option<MasterKey>| {
        let mut options = options();
        options.personal = PersonalKeysOptions { file: Some(path.clone()), master };
        options
    };
    let trail = Trail::open(dir.path(), with(None)).unwrap();
    trail.with(DURABLE).record(&event_of("u1")).unwrap();
    assert!(!dir.path().join("keys/personal").exists());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    trail.close(SOON).unwrap();
    // Of another trail.
    let other = tempfile::tempdir().unwrap();
    let mut wrong = with(None);
    wrong.origin = Some("example.com/other".into());
    let error = Trail::open(other.path(), wrong).map(|_| ()).unwrap_err();
    assert!(
        matches!(error, OpenError::PersonalKeys(_)) && error.to_string().contains("another trail"),
        "{error}"
    );
    // A master key that is set later wraps what is there.
    let master = |text: &str| Some(MasterKey::Command(format!("echo {text}")));
    let trail = Trail::open(dir.path(), with(master("correct-horse-battery"))).unwrap();
    assert!(shown(&trail)[0].contains(SECRET));
    trail.close(SOON).unwrap();
    for (wrong, why) in
        [(None, "wrapped by a master key"), (master("wrong-horse-battery"), "another master key")]
    {
        let error = Trail::open(dir.path(), with(wrong)).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let failing = with(Some(MasterKey::Command("false".into())));
    let error = Trail::open(dir.path(), failing).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("could not get the master key from its command"), "{error}");
    let trail = Trail::open(dir.path(), with(master("correct-horse-battery"))).unwrap();
    assert!(shown(&trail)[0].contains(SECRET));
    trail.close(SOON).unwrap();
}

#[test]
fn more_people_than_there_is_room_for_wait_for_nothing() {
    const THREADS: usize = 4;
    const PEOPLE: usize = 1_500;
    let dir = tempfile::tempdir().unwrap();
    let mut lingering = options();
    lingering.handoff.size_bytes = 16 << 20;
    // So that the writer makes no room meanwhile.
    lingering.linger = Duration::from_millis(100);
    let trail = Trail::open(dir.path(), lingering).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let trail = &trail;
            scope.spawn(move || {
                for person in 0..PEOPLE {
                    trail.record(&event_of(&format!("u{thread}-{person}"))).unwrap();
                }
            });
        }
    });
    let lines = shown(&trail);
    assert_eq!(lines.len(), THREADS * PEOPLE);
    assert!(lines.iter().all(|line| line.contains(SECRET)));
    let stats = trail.stats().personal.unwrap();
    assert_eq!((stats.subjects, stats.not_kept), ((THREADS * PEOPLE) as u64, 0));
    assert!(stats.dry > 0, "the room was never used up: {stats:?}");
    trail.close(SOON).unwrap();
    assert_eq!(slots_of(dir.path()).len(), THREADS * PEOPLE, "each person has a key of their own");
    let trail = open(dir.path());
    assert_eq!(shown(&trail), lines);
    let stats = trail.stats().personal.unwrap();
    assert!(stats.free_keys >= 512, "{stats:?}");
    trail.close(SOON).unwrap();
}

#[test]
fn a_backup_has_the_lines_and_the_list_but_not_the_keys() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trail = open(dir.path());
    trail.with(DURABLE).record(&event_of("u1")).unwrap();
    trail.with(DURABLE).record(&event_of("u2")).unwrap();
    trail.erase("u2").unwrap();
    let from = Folder::new(dir.path(), Arc::new(StdFiles));
    back_up(&from, to.path(), true).unwrap();
    trail.close(SOON).unwrap();
    assert!(to.path().join("keys/signing.key").exists() && !to.path().join("keys/personal").exists());
    let copied = Trail::open(to.path(), options()).unwrap();
    let lines = shown(&copied);
    assert!(lines[0].contains(r#""unreadable""#) && lines[1].contains(r#""erased""#), "{lines:#?}");
    copied.close(SOON).unwrap();
    assert!(verdict(to.path()).ok);
    // Unless they are asked for: then the copy can read what is erased later.
    back_up_personal_keys(&from, &PersonalKeysOptions::default(), to.path()).unwrap();
    let copied = Trail::open(to.path(), options()).unwrap();
    assert!(self::shown(&copied)[0].contains(SECRET));
    copied.close(SOON).unwrap();
}

/// Fields that a policy may name, and JSON that has the secret in each.
const FIELDS: [(&str, &str); 10] = [
    ("actor.email", r#""actor":{"id":"u1","email":"$"}"#),
    ("actor.*", r#""actor":{"id":"$","roles":["$"],"own":{"a":["$"]}}"#),
    ("on_behalf_of.reason", r#""on_behalf_of":{"id":"u2","reason":"$"}"#),
    ("related.*.name", r#""related":[{"type":"user","id":"1","name":"$"},{"name":"$"}]"#),
    ("before.*.mail", r#""before":{"a":{"mail":"$"}},"after":{"a":{"x":1}}"#),
    ("details.mail", r#""details":{"mail":{"work":"$"},"x":"{\"y\":1}"}"#),
    ("details.list.*", r#""details":{"list":["$",1,{"a":"$"}]}"#),
    ("context.user_agent", r#""context":{"user_agent":"$"}"#),
    ("description", r#""description":"called $, \"twice\"""#),
    ("own.*", r#""own":{"deep":{"er":"$"}}"#),
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    #[test]
    fn no_policy_and_no_way_in_leaves_a_personal_value_in_a_file(
        named in proptest::collection::btree_set(0..FIELDS.len(), 1..5),
        events in proptest::collection::vec((0..5usize, 0..FIELDS.len(), 1..4usize), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let fields: Vec<String> = named.iter().map(|&field| format!("{:?}", FIELDS[field].0)).collect();
        let policy = format!("[[personal]]\nfields = [{}]\nsubject = \"actor.id\"\nsearchable = true", fields.join(", "));
        let mut opened = options();
        opened.policy = Policy::from_toml(&policy).unwrap();
        let trail = Trail::open(dir.path(), opened).unwrap();
        let named: Vec<usize> = named.into_iter().collect();
        for (way, which, long) in &events {
            let secret = SECRET.repeat([1, 40, 2_000][long - 1]);
            let part = FIELDS[named[which % named.len()]].1.replace('$', &secret);
            let json = format!(r#"{{"action":"test.any",{part}}}"#).into_bytes();
            let event = || Event::from_json(&json).unwrap();
            match way {
                0 => _ = trail.record(&event()).unwrap(),
                1 => _ = trail.with(ONCE).record(AnyEvent::Json(&json)).unwrap(),
                2 => {
                    let sent = [Submitted::json(&json)];
                    trail.record_all(Submission { events: &sent, by: &Submitter::default() }).unwrap();
                }
                3 => _ = trail.with(ONCE).record(&event().id(format!("{which}-{long}-{}", json.len()))).unwrap(),
                _ => _ = trail.record_all(&[event(), event()]).unwrap(),
            }
        }
        trail.seal(SOON).unwrap();
        nowhere(dir.path(), SECRET.as_bytes());
        proptest::prop_assert!(shown(&trail).iter().all(|line| line.contains(SECRET)));
        trail.close(SOON).unwrap();
        nowhere(dir.path(), SECRET.as_bytes());
        proptest::prop_assert!(verdict(dir.path()).ok);
    }
}
