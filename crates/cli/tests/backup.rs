//! `backup` beside a writer, and what can be done with the copies; `succeed`, and trails that may not be made.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{Answer, Place, Running, wait_until};

const EVENT: &str = "{\"action\":\"invoice.paid\",\"description\":\"one of many\"}\n";

#[test]
fn each_backup_under_load_opens_records_and_verifies() {
    let place = Place::new();
    place.write("trailseal.toml", "[segment]\nroll = \"20KiB\"\ncompress = true\n[seal]\nevery_ms = 20\n");
    let mut command = place.command(&["record", "-"]);
    let mut writer = Running(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let mut stdin = writer.0.stdin.take().unwrap();
    let is_enough = Arc::new(AtomicBool::new(false));
    let until = is_enough.clone();
    let feeder = std::thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            stdin.write_all(EVENT.repeat(20).as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    wait_until("the trail is made", || place.path("trail/trail.toml").exists());
    let mut copies = Vec::new();
    while copies.len() < 8 {
        let made = place.run("backup growing --with-keys --json").ok().json();
        assert!(made["events"].as_u64() >= made["sealed"].as_u64(), "{made}");
        // As it is at this moment; the next one goes on in the folder itself.
        let copy = format!("copy-{}", copies.len());
        place.copy("growing", &copy);
        copies.push((copy, made["events"].as_u64().unwrap()));
        std::thread::sleep(Duration::from_millis(100));
    }
    is_enough.store(true, Ordering::Relaxed);
    feeder.join().unwrap();
    writer.0.wait().unwrap();
    assert!(copies.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{copies:?}");
    let key = place.public_key();
    for (copy, events) in &copies {
        for name in ["lock", "handoff", "index", "socket"] {
            assert!(!place.path(&format!("{copy}/{name}")).exists(), "{copy}/{name}");
        }
        place.feed(&format!("record --dir {copy}"), EVENT).ok();
        let verdict = place.run_all(&["verify", "--dir", copy, "--public-key", &key, "--json"]).ok().json();
        // The copy's, its opening, the event and the close.
        assert_eq!(verdict["sealed"].as_u64().unwrap(), events + 3, "{copy}: {verdict}");
    }
    let made = place.run("backup growing --json").ok().json();
    assert_eq!(made["events"], made["sealed"]);
    let again = place.run("backup growing --json").ok().json();
    assert_eq!(again["copied_bytes"], 0, "nothing is new");
}

#[test]
fn a_refused_opening_leaves_no_lock_that_it_made_and_every_other() {
    let place = Place::with_events(&["a"]);
    place.run("backup copy").ok();
    place.feed("record --dir copy", EVENT).could_not(&["signing.key", "is missing"]);
    assert!(!place.path("copy/lock").exists());
    place.feed("record", EVENT).ok();
    place.run("backup copy").ok();
    std::fs::rename(place.path("trail/keys/signing.key"), place.path("kept")).unwrap();
    let before = place.read("trail/lock");
    place.feed("record", EVENT).could_not(&["signing.key"]);
    assert!(before.contains("closed = true") && place.read("trail/lock").contains("closed = true"));
    std::fs::rename(place.path("kept"), place.path("trail/keys/signing.key")).unwrap();
    place.feed("record", EVENT).ok();
}

#[test]
fn a_backup_without_keys_can_be_read_and_not_written() {
    let place = Place::with_events(&["a", "b"]);
    place.run("backup copy").ok();
    assert!(!place.path("copy/keys").exists());
    place.run("verify --dir copy").ok();
    assert_eq!(place.run("query --dir copy --count").ok().out.trim(), "2");
    place.copy("copy", "tried");
    let refused = place.feed("record --dir tried", EVENT).could_not(&["signing.key", "is missing"]);
    assert!(refused.err.contains("trailseal succeed"), "{refused:#?}");
    place.run("key rotate").ok();
    place.run("backup copy --with-keys").ok();
    place.feed("record --dir copy", EVENT).ok();
    place.run("verify --dir copy").ok();
}

#[test]
fn a_backup_goes_nowhere_where_something_else_is() {
    let place = Place::with_events(&["a"]);
    place.run("backup trail/inside").could_not(&["inside the trail"]);
    std::fs::create_dir(place.path("full")).unwrap();
    place.write("full/notes.txt", "mine");
    place.run("backup full").could_not(&["is not empty"]);
    place.feed("record --dir other", EVENT).ok();
    place.run("backup other").could_not(&["another trail"]);
}

#[test]
fn a_copy_that_went_on_by_itself_is_left_as_it_is() {
    let place = Place::with_events(&["a"]);
    place.run("backup copy --with-keys").ok();
    place.feed("record --dir copy", EVENT).ok();
    let kept = std::fs::read(place.path("copy/segments/00000000000000000000.jsonl")).unwrap();
    place.record(&EVENT.repeat(9));
    let refused = |why: &str| {
        place.run("backup copy").could_not(&[why, "give an empty folder, and keep that one"]);
        let now = std::fs::read(place.path("copy/segments/00000000000000000000.jsonl")).unwrap();
        assert_eq!(now, kept, "{why}");
    };
    refused("opened for writing");
    // Whoever tidies up does not get a copy of two histories either.
    std::fs::remove_file(place.path("copy/lock")).unwrap();
    if place.path("copy/index").exists() {
        std::fs::remove_dir_all(place.path("copy/index")).unwrap();
    }
    refused("does not begin with");
    std::fs::remove_file(place.path("copy/checkpoint")).unwrap();
    refused("tree/0 is not the trail's");
    std::fs::remove_dir_all(place.path("copy/tree")).unwrap();
    place.copy("trail/tree", "copy/tree");
    refused("segments/00000000000000000000.jsonl is not the trail's");
    place.run("backup fresh").ok();
    place.run("verify --dir fresh").ok();
}

#[test]
fn a_segment_is_in_a_copy_in_one_form() {
    let place = Place::new();
    place.write("trailseal.toml", "[segment]\nroll = \"4KiB\"\ncompress = true\n");
    place.record(&EVENT.repeat(100));
    let compressed = place.path("trail/segments/00000000000000000000.jsonl.zst");
    wait_until("a segment is compressed", || {
        place.record(EVENT);
        compressed.exists() && !compressed.with_extension("").exists()
    });
    place.run("backup copy").ok();
    // As if an earlier backup had copied a part of it, and the last one was killed before it removed that.
    place.write("copy/segments/00000000000000000000.jsonl", "{}\n");
    place.run("verify --dir copy").no();
    place.run("backup copy").ok();
    assert!(!place.path("copy/segments/00000000000000000000.jsonl").exists());
    place.run("verify --dir copy").ok();
}

#[test]
fn a_backup_takes_what_is_the_trails_and_nothing_else() {
    let place = Place::new();
    place.write("trailseal.toml", "[handoff]\npath = \"trail/ring\"\n");
    place.record(EVENT);
    place.run("token create auditor --scope read").ok();
    let mut command = place.command(&["record", "-"]);
    let _writer = Running(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    wait_until("the handoff lies in the folder", || place.path("trail/ring").exists());
    std::fs::File::create(place.path("trail/core.1234")).unwrap().set_len(65 << 20).unwrap();
    for name in ["mine.key", ".trailseal-handoff-1.tmp", "policy.toml.tmp"] {
        place.write(&format!("trail/{name}"), "mine");
    }
    place.run("backup copy").ok();
    let names = || {
        let entries = std::fs::read_dir(place.path("copy")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let ours = ["checkpoint", "checkpoints", "opened", "segments", "tokens.json", "trail.toml", "tree"];
    assert_eq!(names(), ours);
    // One that was reset since.
    place.write("copy/policy.toml", "");
    place.run("backup copy").ok();
    assert_eq!(names(), ours);
}

#[test]
fn a_first_backup_that_was_stopped_is_gone_on_from() {
    let place = Place::with_events(&["a"]);
    place.run("backup copy").ok();
    for name in ["trail.toml", "checkpoint"] {
        std::fs::remove_file(place.path(&format!("copy/{name}"))).unwrap();
    }
    for name in ["trail.toml.tmp", "policy.toml", "policy.toml.tmp", "tokens.json", "opened.tmp"] {
        place.write(&format!("copy/{name}"), "half");
    }
    place.run("backup copy").ok();
    place.run("verify --dir copy").ok();
    // What no backup leaves.
    std::fs::create_dir_all(place.path("other/keys")).unwrap();
    place.run("backup other").could_not(&["is not empty"]);
}

#[test]
fn keys_that_the_trail_has_no_more_leave_the_copy() {
    let place = Place::with_events(&["a"]);
    place.write("trail/keys/signing.key.next", "of a rotation on its way");
    place.run("backup copy --with-keys").ok();
    std::fs::remove_file(place.path("trail/keys/signing.key.next")).unwrap();
    place.run("backup copy").ok();
    assert!(place.path("copy/keys/signing.key.next").exists(), "keys are not looked at");
    place.run("backup copy --with-keys").ok();
    let left = std::fs::read_dir(place.path("copy/keys")).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    let ours = std::fs::read_dir(place.path("trail/keys")).unwrap();
    let mut ours: Vec<_> = ours.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    ours.sort();
    assert_eq!(left, ours);
}

fn first_event(place: &Place, dir: &str) -> serde_json::Value {
    let answer = place.run(&format!("query --dir {dir} --system --order asc --limit 1 --format jsonl"));
    answer.ok().json_lines().remove(0)
}

#[test]
fn a_new_trail_takes_over_at_the_good_end_of_one_that_cannot_go_on() {
    let place = Place::new();
    place.write("trailseal.toml", "[segment]\nroll = \"1KiB\"\n");
    for _ in 0..4 {
        place.record(&EVENT.repeat(3));
    }
    // The last segment holds events, however the lines of the last run come to the disk.
    place.write("trailseal.toml", "[segment]\nroll = \"1MiB\"\n");
    place.record(&EVENT.repeat(3));
    let old = place.run("verify --json").ok().json()["origin"].as_str().unwrap().to_owned();
    let segments: Vec<_> = {
        let mut names: Vec<_> = std::fs::read_dir(place.path("trail/segments"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        names.sort();
        names
    };
    let edited = segments.last().unwrap();
    let text = std::fs::read_to_string(edited).unwrap();
    let changed = text.lines().find(|line| line.contains("one of many")).unwrap();
    let changed: serde_json::Value = serde_json::from_str(changed).unwrap();
    std::fs::write(edited, text.replace("one of many", "one of mine")).unwrap();
    let refused =
        place.feed("record", EVENT).could_not(&["trailseal succeed trail --dir NEW --origin ORIGIN"]);
    assert!(refused.err.contains("not the one that was signed"), "{refused:#?}");
    let before = std::fs::read(edited).unwrap();
    place.run(&format!("succeed trail --dir next --origin {old}")).could_not(&["needs a different name"]);
    place.run("succeed trail --dir trail/next --origin example.com/2").could_not(&["next to the old one"]);
    let told = place.run("succeed trail --dir next --origin example.com/2 --json").ok().json();
    assert_eq!(std::fs::read(edited).unwrap(), before, "the old folder is never written");
    let first = first_event(&place, "next");
    assert_eq!(first["action"], "trail.succeeded");
    assert_eq!(first["index"], 0);
    assert_eq!(first["details"]["origin"], *old);
    let good = first["details"]["tree_size"].as_u64().unwrap();
    assert!(good > 0 && good <= changed["index"].as_u64().unwrap(), "{first}");
    assert_eq!(told["succeeds"]["tree_size"], good);
    assert!(first["details"]["reason"].as_str().unwrap().contains("not the one that was signed"), "{first}");
    place.feed("record --dir next", EVENT).ok();
    place.run("verify --dir next").ok();
    place.run("succeed trail --dir next --origin example.com/2").could_not(&["already holds a trail"]);
}

#[test]
fn where_no_trail_may_be_made_none_is() {
    let place = Place::new();
    let run = |words: &[&str]| {
        let mut command = place.command(words);
        command.env("TRAILSEAL_CREATE", "false");
        Answer::of(command, EVENT.as_bytes())
    };
    run(&["record"]).could_not(&["create = false", "mounted"]);
    assert!(!place.path("trail").exists(), "nothing was written");
    std::fs::create_dir(place.path("trail")).unwrap();
    run(&["record"]).could_not(&["create = false"]);
    assert_eq!(std::fs::read_dir(place.path("trail")).unwrap().count(), 0, "a late mount stays usable");
    run(&["serve", "--listen", "127.0.0.1:0"]).could_not(&["create = false"]);
    place.feed("record", EVENT).ok();
    run(&["record"]).ok();
}
