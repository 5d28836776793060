//! Commands that only say what would be done, or is: they open the folder to read, at any time, and record nothing.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::process::Stdio;

use support::{Lines, Place, Running};

const COMMANDS: [&str; 4] =
    ["retain --older-than 90d --dry-run", "erase --subject u-ann --dry-run", "sink list", "hold list"];

/// A trail with a person in it, and a sink that was seen once.
fn place() -> Place {
    let place = Place::new();
    place.write("trailseal.toml", "[[personal]]\nfield = \"actor.name\"\nsubject = \"actor.id\"\n");
    place.record("{\"action\":\"a\",\"actor\":{\"id\":\"u-ann\",\"name\":\"Ann\"}}");
    place.write("trail/sinks.toml", "[cursor]\nwarehouse = 2\n");
    place
}

/// Each file of the trail with its bytes.
fn files(place: &Place) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![place.path("trail")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                found.push((path.clone(), std::fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn they_change_nothing() {
    let place = place();
    // Neither is needed to read.
    std::fs::remove_file(place.path("trail/keys/signing.key")).unwrap();
    std::fs::remove_file(place.path("trail/lock")).unwrap();
    let before = files(&place);
    for command in COMMANDS {
        place.run(command).ok();
        assert!(files(&place) == before, "{command} changed the folder");
    }
    let would = place.run("erase --subject u-ann --dry-run --json").ok().json();
    assert_eq!((would["keys"].as_array().unwrap().len(), &would["fields"][0]["values"]), (1, &1.into()));
    let would = place.run("erase --subject u-nobody --dry-run --json").ok().json();
    assert_eq!(would["keys"].as_array().unwrap().len(), 0);
    let sinks = place.run("sink list --json").ok().json();
    assert_eq!(sinks["sinks"], serde_json::json!([{"name": "warehouse", "cursor": 2, "attached": false}]));
    assert!(place.run("sink list").ok().out.contains("has everything below 2, not attached"));
}

#[test]
fn they_run_beside_a_writer() {
    let place = place();
    let mut writer = Running(place.command(&["record", "--json"]).stdin(Stdio::piped()).spawn().unwrap());
    let lines = Lines::of(writer.0.stdout.take().unwrap());
    let mut input = writer.0.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"{\"action\":\"b\"}\n").unwrap();
    lines.wait();
    for command in COMMANDS {
        place.run(command).ok();
    }
    assert!(place.run("sink list").ok().out.contains("perhaps attached by the process that writes now"));
    drop(input);
}

#[test]
fn they_make_no_trail_and_know_every_slot() {
    let place = Place::new();
    for command in COMMANDS {
        place.run(command).could_not(&["holds no trail"]);
    }
    assert!(!place.path("trail").exists());
    place.write(
        "trailseal.toml",
        "workers = \"slots\"\n[[personal]]\nfield = \"actor.name\"\nsubject = \"actor.id\"\n",
    );
    place.record("{\"action\":\"a\",\"actor\":{\"id\":\"u-ann\",\"name\":\"Ann\"}}");
    let would = place.run("erase --subject u-ann --dry-run --json").ok().json();
    assert_eq!(would["keys"].as_array().unwrap().len(), 1, "{would}");
}
