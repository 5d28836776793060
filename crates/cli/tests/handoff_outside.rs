//! The handoff as an operator meets it: files of theirs that have its name, odd paths, and what is told when it is gone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Place, Running, wait_until};

const THESIS: &str = "my thesis, of which there is no copy\n";

/// `record` with the handoff at `handoff`, started in `folder`, for the trail of `place`.
fn record_with(place: &Place, folder: &Path, handoff: &OsStr) -> Command {
    let mut command = place.command(&["record", "--json", "--dir"]);
    command.arg(place.path("trail")).current_dir(folder).env("TRAILSEAL_HANDOFF__PATH", handoff);
    command
}

/// Feeds events as fast as they are taken and kills the process when some were answered. Returns the ids of all events
/// that were answered.
fn killed_amid_events(command: &mut Command, round: usize) -> Vec<String> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Running(child.spawn().unwrap());
    let mut input = child.0.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        for number in 0.. {
            let event = format!("{{\"action\":\"odd\",\"id\":\"{round}-{number}\"}}\n");
            if input.write_all(event.as_bytes()).is_err() {
                return;
            }
        }
    });
    let mut receipts = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut ids = Vec::new();
    let mut take = |line: std::io::Result<String>| {
        let receipt: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap_or_default();
        ids.extend(receipt["id"].as_str().map(str::to_owned));
    };
    (&mut receipts).take(2_000).for_each(&mut take);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    receipts.for_each(take);
    feeder.join().unwrap();
    ids
}

/// The details of the newest `trail.opened`.
fn opened(place: &Place) -> serde_json::Value {
    let words = ["query", "--system", "--action", "trail.opened", "--format", "jsonl", "--limit", "1"];
    place.run_all(&words).ok().json()["details"].clone()
}

fn recorded_ids(place: &Place) -> BTreeSet<String> {
    let found = place.run("query --action odd --format jsonl").ok();
    found.field("id").into_iter().collect()
}

#[test]
fn a_file_of_somebody_elses_in_the_handoffs_place_is_refused_and_left() {
    let place = Place::with_events(&["before"]);
    place.write("thesis", THESIS);
    place.write("thesis.tmp", THESIS);
    place.write("trailseal.toml", "[handoff]\npath = \"thesis\"\n");
    place.feed("record", "{\"action\":\"a\"}\n").could_not(&["thesis", "move it away", "handoff.path"]);
    // Also an empty one: it may be another program's lock.
    place.write("thesis", "");
    place.feed("record", "{\"action\":\"a\"}\n").could_not(&["thesis", "move it away"]);
    std::fs::remove_file(place.path("thesis")).unwrap();
    std::os::unix::fs::symlink("thesis.tmp", place.path("thesis")).unwrap();
    place.feed("record", "{\"action\":\"a\"}\n").could_not(&["thesis", "move it away"]);
    std::fs::remove_file(place.path("thesis")).unwrap();
    place.record("{\"action\":\"a\"}");
    assert_eq!(place.read("thesis.tmp"), THESIS);

    place.write("trail/handoff", THESIS);
    place.write("trail/handoff.tmp", THESIS);
    std::fs::remove_file(place.path("trailseal.toml")).unwrap();
    place.feed("record", "{\"action\":\"a\"}\n").could_not(&["trail/handoff", "move it away"]);
    assert_eq!(place.read("trail/handoff"), THESIS);
    std::fs::rename(place.path("trail/handoff"), place.path("aside")).unwrap();
    place.record("{\"action\":\"b\"}");
    assert_eq!(place.read("trail/handoff.tmp"), THESIS);
}

#[test]
fn another_trails_handoff_is_refused_and_left() {
    let place = Place::new();
    let handoff = place.path("shared").into_os_string();
    let mut other = place.command(&["record", "--json", "--dir", "other"]);
    other.env("TRAILSEAL_HANDOFF__PATH", &handoff);
    let accepted = killed_amid_events(&mut other, 0);
    let before = std::fs::read(place.path("shared")).unwrap();
    let mut command = record_with(&place, &place.path(""), &handoff);
    command.stdin(Stdio::null());
    support::Answer::of(command, b"").could_not(&["shared", "move it away"]);
    assert!(std::fs::read(place.path("shared")).unwrap() == before, "it is as it was");
    place.feed("record --dir other", "").ok();
    let found = place.run("query --dir other --action odd --format jsonl").ok().field("id");
    assert!(accepted.iter().all(|id| found.contains(id)));
}

#[test]
fn a_file_that_the_lock_file_names_is_left_and_told() {
    let place = Place::with_events(&["before"]);
    place.write("thesis", THESIS);
    let thesis = place.path("thesis");
    place.write(
        "trail/lock",
        format!("host = \"h\"\nboot = \"b\"\npid = 1\nhandoff = \"{}\"\n", thesis.display()),
    );
    let answer = place.feed("record", "{\"action\":\"a\"}\n").ok();
    assert_eq!(place.read("thesis"), THESIS);
    assert!(answer.err.contains("thesis") && answer.err.contains("is not there"), "{answer:#?}");
    assert_eq!(opened(&place)["handoff_missing"], thesis.to_str().unwrap());
}

#[test]
fn an_emptied_handoff_in_the_trails_own_folder_is_made_anew() {
    let place = Place::with_events(&["before"]);
    place.write("trail/handoff", "");
    place.record("{\"action\":\"after\"}");
    assert_eq!(place.run("query --count").ok().out.trim(), "2");
}

#[test]
fn whatever_the_path_all_that_was_accepted_is_found_again_by_another_path() {
    let place = Place::new();
    let odd: [&[u8]; 7] = [
        b"ordinary",
        b"quo\"te",
        b"back\\slash\\",
        b"tab\there",
        "e\u{301}".as_bytes(),
        b"new\nline",
        b"\xff\xfe",
    ];
    let mut from_handoff = 0;
    for (round, name) in odd.into_iter().enumerate() {
        // The folder has the odd name, and the path in the settings is relative: they are UTF-8, and folders need not be.
        let folder: PathBuf = place.path("").join(OsString::from_vec(name.to_vec()));
        std::fs::create_dir(&folder).unwrap();
        let accepted = killed_amid_events(&mut record_with(&place, &folder, OsStr::new("h")), round);
        assert!(folder.join("h").exists());
        // What readers see without an opening, and what the opening keeps.
        let seen = recorded_ids(&place);
        place.feed("record", "{\"action\":\"last\"}\n").ok();
        let kept = recorded_ids(&place);
        for id in &accepted {
            assert!(
                seen.contains(id) && kept.contains(id),
                "{id} is lost, of {} with {folder:?}",
                accepted.len()
            );
        }
        assert!(!folder.join("h").exists(), "it must never be replayed again");
        from_handoff += opened(&place)["from_handoff"].as_u64().unwrap();
    }
    assert!(from_handoff > 0, "nothing was in the handoff alone: the rounds say nothing");
    place.run("verify").ok();
}

#[test]
fn a_relative_path_survives_the_next_opening() {
    let place = Place::new();
    place.write("trailseal.toml", "[handoff]\npath = \"h\"\n");
    for round in 0..2 {
        killed_amid_events(&mut record_with(&place, &place.path(""), OsStr::new("h")), round);
    }
    let mut child = Running(place.command(&["record"]).stdin(Stdio::piped()).spawn().unwrap());
    let opens = || place.run("query --system --action trail.opened --count").ok().out.trim() == "3";
    wait_until("it is open", opens);
    assert!(place.path("h").exists(), "the handoff that is in use is not taken for an old one");
    drop(child.0.stdin.take());
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn a_named_handoff_that_is_not_there_is_told_unless_nothing_needed_it() {
    for name in ["elsewhere", "trail/handoff"] {
        let place = Place::with_events(&["before"]);
        killed_amid_events(&mut record_with(&place, &place.path(""), place.path(name).as_os_str()), 0);
        std::fs::remove_file(place.path(name)).unwrap();
        let answer = place.feed("record", "{\"action\":\"a\"}\n").ok();
        assert!(answer.err.contains(name) && answer.err.contains("is not there"), "{answer:#?}");
        let details = opened(&place);
        assert!(details["handoff_missing"].as_str().unwrap().ends_with(name), "{details}");
        assert_eq!(details["clean"], false);
        // That opening was closed properly.
        let answer = place.feed("record", "{\"action\":\"a\"}\n").ok();
        assert!(!answer.err.contains("is not there"), "{answer:#?}");
        assert!(opened(&place)["handoff_missing"].is_null());
    }
}
