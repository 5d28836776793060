//! Promise: whatever somebody does to the key file while the trail has it open, no key is lost that a line needs, none that
//! was destroyed comes back, and it is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::{DURABLE, SOON, sealing_at_once};
use trailseal_core::file::StdFiles;
use trailseal_core::{Ack, Folder, Notice, Options, PersonalKeysOptions, Status, Trail, open_personal_keys};
use trailseal_event::Event;
use trailseal_event::personal::{PersonalKeys, reveal};
use trailseal_event::policy::Policy;

const SECRET: &str = "Zq7Rhubarb";

type Told = Arc<Mutex<Vec<Notice>>>;

fn options() -> Options {
    let mut options = sealing_at_once();
    options.origin = Some("example.com/in-use".into());
    options.policy =
        Policy::from_toml("[[personal]]\nfield = \"actor.email\"\nsubject = \"actor.id\"").unwrap();
    options
}

fn open(dir: &Path) -> (Trail, Told) {
    let told = Told::default();
    let (mut options, notices) = (options(), told.clone());
    options.on_notice = Some(Arc::new(move |notice: &Notice| notices.lock().unwrap().push(notice.clone())));
    (Trail::open(dir, options).unwrap(), told)
}

fn record(trail: &Trail, person: &str) {
    let event = Event::new("test.personal").actor(person).actor_email(SECRET);
    assert_eq!(trail.with(DURABLE).record(&event).unwrap().status, Status::Durable);
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn until_told(told: &Told, what: &str, is_it: impl Fn(&Notice) -> bool) {
    until(what, || told.lock().unwrap().iter().any(&is_it));
}

fn reader(dir: &Path) -> Arc<dyn PersonalKeys> {
    let folder = Folder::new(dir, Arc::new(StdFiles));
    open_personal_keys(&folder, &PersonalKeysOptions::default()).unwrap().unwrap()
}

/// The users' lines as a reader with these keys sees them.
fn shown(dir: &Path, keys: &dyn PersonalKeys) -> Vec<String> {
    let mut lines = Vec::new();
    for path in support::segments(dir) {
        let bytes = fs::read(path).unwrap();
        let own = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.extend(own.map(|line| String::from_utf8(reveal(line, Some(keys)).into_owned()).unwrap()));
    }
    lines.retain(|line| !line.contains(r#""system":true"#));
    lines
}

fn key_file(dir: &Path) -> PathBuf {
    dir.join("keys/personal")
}

/// Puts these bytes in a file's place, as whoever moves another file there.
fn put_in_place(path: &Path, bytes: &[u8]) {
    let other = path.with_extension("other");
    fs::write(&other, bytes).unwrap();
    fs::rename(other, path).unwrap();
}

fn is_written_again_after_another_was_put_in_its_place(has_second_name: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (trail, told) = open(dir.path());
    record(&trail, "u1");
    let older = fs::read(key_file(dir.path())).unwrap();
    if has_second_name {
        fs::hard_link(key_file(dir.path()), dir.path().join("second-name")).unwrap();
    }
    record(&trail, "u2");
    put_in_place(&key_file(dir.path()), &older);
    until_told(&told, "nobody told", |notice| matches!(notice, Notice::PersonalKeysReplaced { .. }));
    assert_eq!(fs::read(dir.path().join("keys/personal.replaced-0")).unwrap(), older);
    record(&trail, "u3");
    trail.close(SOON).unwrap();
    let (trail, told) = open(dir.path());
    let differs = |notice: &Notice| matches!(notice, Notice::PersonalKeysDiffer { .. });
    assert!(!told.lock().unwrap().iter().any(differs));
    let lines = shown(dir.path(), &*reader(dir.path()));
    assert!(lines.len() == 3 && lines.iter().all(|line| line.contains(SECRET)), "{lines:#?}");
    trail.close(SOON).unwrap();
}

#[test]
fn a_key_file_that_is_replaced_in_use_is_written_again_and_the_other_is_kept() {
    is_written_again_after_another_was_put_in_its_place(false);
}

// A file that has no name left is known to be removed. One that a backup has linked is found by its inode number alone.
#[test]
fn a_key_file_that_has_a_second_name_and_is_replaced_in_use_is_written_again() {
    is_written_again_after_another_was_put_in_its_place(true);
}

#[test]
fn a_key_file_that_is_replaced_just_before_a_close_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, told) = open(dir.path());
    record(&trail, "u1");
    put_in_place(&key_file(dir.path()), b"something else");
    trail.close(SOON).unwrap();
    let is_it = |notice: &Notice| matches!(notice, Notice::PersonalKeysReplaced { .. });
    assert!(told.lock().unwrap().iter().any(is_it));
    assert_eq!(fs::read(dir.path().join("keys/personal.replaced-0")).unwrap(), b"something else");
    assert!(shown(dir.path(), &*reader(dir.path()))[0].contains(SECRET));
}

#[test]
fn while_the_key_file_cannot_be_written_again_no_new_key_is_relied_on() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, told) = open(dir.path());
    record(&trail, "u1");
    // A folder in its place is nothing that can be read or replaced.
    fs::remove_file(key_file(dir.path())).unwrap();
    fs::create_dir(key_file(dir.path())).unwrap();
    until_told(&told, "nobody told", |notice| matches!(notice, Notice::PersonalKeysMissing { .. }));
    until("its state is not said", || trail.stats().personal.is_some_and(|stats| stats.trouble.is_some()));
    let event = Event::new("test.personal").actor("u2").actor_email(SECRET);
    let status = trail.with(Ack::Durable).record(&event).map(|receipt| receipt.status);
    assert!(!matches!(status, Ok(Status::Durable)), "{status:?}: its key is in no file that has a name");
    fs::remove_dir(key_file(dir.path())).unwrap();
    until_told(&told, "it was not written again", |notice| {
        matches!(notice, Notice::PersonalKeysRemade { .. })
    });
    until("nothing becomes durable again", || trail.flush(SOON).is_ok());
    assert_eq!(trail.stats().personal.unwrap().trouble, None);
    trail.close(SOON).unwrap();
    assert!(shown(dir.path(), &*reader(dir.path())).iter().all(|line| line.contains(SECRET)));
}

#[test]
fn an_older_copy_written_over_the_open_file_shows_nobody_who_was_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, told) = open(dir.path());
    record(&trail, "u1");
    record(&trail, "u2");
    let older = fs::read(key_file(dir.path())).unwrap();
    trail.erase("u1").unwrap();
    record(&trail, "u3");
    fs::write(key_file(dir.path()), &older).unwrap();
    let keys = trail.personal_keys().unwrap();
    assert!(shown(dir.path(), &*keys)[0].contains(r#""erased""#), "before anybody has looked");
    let overwritten =
        |notice: &Notice| matches!(notice, Notice::PersonalKeysDiffer { what: "overwritten", .. });
    until_told(&told, "nobody told", overwritten);
    assert_ne!(fs::read(key_file(dir.path())).unwrap()[4_096..4_224], older[4_096..4_224], "the key is back");
    for keys in [keys, reader(dir.path())] {
        let lines = shown(dir.path(), &*keys);
        assert!(lines[0].contains(r#""erased""#) && lines[1].contains(SECRET), "{lines:#?}");
    }
    // Who came after the copy was made gets another key.
    record(&trail, "u3");
    trail.close(SOON).unwrap();
    let (trail, _) = open(dir.path());
    let lines = shown(dir.path(), &*trail.personal_keys().unwrap());
    assert!(lines[0].contains(r#""erased""#) && lines[1].contains(SECRET), "{lines:#?}");
    assert!(lines[2].contains(r#""unreadable""#) && lines[3].contains(SECRET), "{lines:#?}");
    trail.close(SOON).unwrap();
}

#[test]
fn another_key_file_copied_over_the_open_one_takes_keys_but_nothing_recorded_later() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, _) = open(dir.path());
    record(&trail, "u1");
    trail.close(SOON).unwrap();
    // Lost, and made anew; then somebody copies the first one back while the trail runs.
    let first = fs::read(key_file(dir.path())).unwrap();
    fs::remove_file(key_file(dir.path())).unwrap();
    let (trail, told) = open(dir.path());
    record(&trail, "u1");
    fs::write(key_file(dir.path()), &first).unwrap();
    let overwritten =
        |notice: &Notice| matches!(notice, Notice::PersonalKeysDiffer { what: "overwritten", .. });
    until_told(&told, "nobody told", overwritten);
    assert_eq!(fs::read(dir.path().join("keys/personal.replaced-0")).unwrap(), first);
    record(&trail, "u1");
    trail.close(SOON).unwrap();
    let (trail, _) = open(dir.path());
    record(&trail, "u2");
    let lines = shown(dir.path(), &*trail.personal_keys().unwrap());
    assert!(lines[..2].iter().all(|line| line.contains(r#""unreadable""#)), "{lines:#?}");
    assert!(lines[2..].iter().all(|line| line.contains(SECRET)), "{lines:#?}");
    trail.close(SOON).unwrap();
}

#[test]
fn a_reader_that_was_open_before_follows_the_file_to_its_new_place() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, told) = open(dir.path());
    record(&trail, "u1");
    record(&trail, "u2");
    let keys = reader(dir.path());
    assert!(shown(dir.path(), &*keys).iter().all(|line| line.contains(SECRET)));
    let kept = fs::read(key_file(dir.path())).unwrap();
    fs::remove_file(key_file(dir.path())).unwrap();
    until_told(&told, "it was not written again", |notice| {
        matches!(notice, Notice::PersonalKeysRemade { .. })
    });
    trail.erase("u1").unwrap();
    until("an open reader has the old file", || shown(dir.path(), &*keys)[0].contains(r#""erased""#));
    assert!(shown(dir.path(), &*keys)[1].contains(SECRET));
    trail.close(SOON).unwrap();
    fs::remove_file(key_file(dir.path())).unwrap();
    until("a file that is gone is read", || shown(dir.path(), &*keys)[1].contains(r#""unreadable""#));
    fs::write(key_file(dir.path()), &kept).unwrap();
    until("a file that is back is not read", || shown(dir.path(), &*keys)[1].contains(SECRET));
    assert!(shown(dir.path(), &*keys)[0].contains(r#""erased""#), "an older one brings nobody back");
}
