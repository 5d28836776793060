//! Commands that concern one trail, in a folder of slots; and `succeed` while somebody writes.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::io::Write as _;
use std::process::{ChildStdin, Stdio};

use support::{Lines, Place, Running};

const EVENT: &str = "{\"action\":\"a\"}\n";

/// A process that holds a trail, and its input, which keeps it there.
fn writer(place: &Place) -> (Running, ChildStdin) {
    let mut writer = Running(place.command(&["record", "--json"]).stdin(Stdio::piped()).spawn().unwrap());
    let lines = Lines::of(writer.0.stdout.take().unwrap());
    let mut input = writer.0.stdin.take().unwrap();
    input.write_all(EVENT.as_bytes()).unwrap();
    lines.wait();
    (writer, input)
}

/// Two slots, and the settings of both.
fn slots() -> Place {
    let place = Place::new();
    place.write(
        "trailseal.toml",
        "workers = \"slots\"\norigin = \"example.org/app\"\nkey_file = \"keys/signing\"\n",
    );
    std::fs::create_dir(place.path("keys")).unwrap();
    let (mut first, input) = writer(&place);
    place.feed("record", EVENT).ok();
    drop(input);
    first.0.wait().unwrap();
    place
}

#[test]
fn what_is_one_trails_is_asked_of_a_slot() {
    let place = slots();
    for command in ["consistency kept", "key rotate", "succeed trail --dir new --origin example.org/new"] {
        place.write("kept", "");
        let refused = place.run(command);
        refused.could_not(&["trail is a folder of slots", "trail/0 (there are 0, 1)"]);
    }
    assert!(!place.path("new").exists());
    place.run("--dir trail/0 consistency kept").no();
    let before = place.run("--dir trail/1 key show").ok().out;
    place.run("--dir trail/1 key rotate").ok();
    assert_ne!(place.run("--dir trail/1 key show").ok().first_line(), before.trim_end());
    place.run("verify").ok();
    place.run("--dir nothing checkpoint").could_not(&["nothing holds no trail"]);
}

#[test]
fn checkpoints_and_keys_of_all_slots_are_printed() {
    let place = slots();
    let notes = place.run("checkpoint").ok().out;
    let origins: Vec<&str> = notes.lines().filter(|line| line.starts_with("example.org/app")).collect();
    assert_eq!(origins, ["example.org/app/0", "example.org/app/1"], "{notes}");
    assert_eq!(place.run("checkpoint --json").ok().field("origin"), origins);
    place.write("kept", &notes);
    place.run("verify --checkpoint kept").ok();
    let keys = place.run("key show").ok();
    let names: Vec<&str> = keys.out.lines().map(|key| key.split('+').next().unwrap()).collect();
    assert_eq!(names, origins);
    assert_eq!(place.run("key show --json").ok().json_lines().len(), 2);
}

#[test]
fn commands_that_write_to_each_slot_know_its_name_and_key() {
    let place = slots();
    place.run("retain --older-than 90d").ok();
    place.run("doctor").ok();
    place.run("--dir trail/0 doctor").ok();
}

#[test]
fn a_trail_that_is_written_to_has_no_successor() {
    let place = Place::new();
    let (mut running, input) = writer(&place);
    let pid = running.0.id().to_string();
    let refused = place.run("succeed trail --dir new --origin example.org/new");
    refused.could_not(&[&pid, "stop it"]);
    assert!(!place.path("new").exists());
    drop(input);
    running.0.wait().unwrap();
    place.run("succeed trail --dir new --origin example.org/new").ok();
}
