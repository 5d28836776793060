//! Many writers in one folder: none of their trails goes missing unseen, and what was kept of one is asked of that one.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use support::{Lines, Place};

const ORIGIN: &str = "example.org/app";

/// A folder of three slots, each with a few events, written to at the same time.
fn slots() -> Place {
    let place = Place::new();
    place.write("trailseal.toml", format!("workers = \"slots\"\norigin = \"{ORIGIN}\"\n"));
    let mut writers = Vec::new();
    for number in 0..3 {
        let mut writer = place.command(&["record", "--json"]).stdin(Stdio::piped()).spawn().unwrap();
        let line = format!("{{\"action\":\"slot.{number}\"}}\n");
        writer.stdin.as_mut().unwrap().write_all(line.repeat(number + 1).as_bytes()).unwrap();
        let lines = Lines::of(writer.stdout.take().unwrap());
        let receipt: Value = serde_json::from_str(&lines.wait()).unwrap();
        assert_eq!(receipt["origin"], format!("{ORIGIN}/{number}"));
        writers.push((writer, lines));
    }
    for (mut writer, _lines) in writers {
        drop(writer.stdin.take());
        assert!(writer.wait().unwrap().success());
    }
    place
}

fn key_of(place: &Place, slot: u32) -> String {
    let manifest = place.read(&format!("trail/{slot}/trail.toml"));
    let line = manifest.lines().find(|line| line.starts_with("public_key")).unwrap().to_owned();
    line.split('"').nth(1).unwrap().to_owned()
}

/// Of each trail: its origin, what is wrong, and whether key and checkpoint were given.
fn verdicts(json: &Value) -> Vec<(String, Option<String>, bool, bool)> {
    let of = |verdict: &Value| {
        let problem = verdict["problem"].as_str().map(str::to_owned);
        assert_eq!(verdict["ok"], problem.is_none());
        let pinned = |name: &str| verdict[name].as_bool().unwrap();
        let origin = verdict["origin"].as_str().unwrap().to_owned();
        (origin, problem, pinned("key_pinned"), pinned("checkpoint_pinned"))
    };
    json["trails"].as_array().unwrap().iter().map(of).collect()
}

fn problem_of(json: &Value, slot: u32) -> Option<String> {
    let origin = format!("{ORIGIN}/{slot}");
    verdicts(json).into_iter().find(|(found, ..)| *found == origin).unwrap().1
}

/// Other commands end with an error that names the slot.
fn is_named_by_readers(place: &Place, slot: u32) {
    let name = format!("trail/{slot}");
    for command in ["query --count", "query", "export --format jsonl", "stats", "summary", "tail"] {
        place.run(command).could_not(&[&name]);
    }
    // The slots before it are indexed.
    let ran = place.run("reindex");
    assert!(ran.code == Some(2) && ran.err.contains(&name), "{ran:?}");
    assert!(place.run("doctor").no().out.contains(&name));
}

#[test]
fn a_slot_without_its_manifest_does_not_disappear() {
    let place = slots();
    assert_eq!(place.run("verify --json").ok().json()["trails"].as_array().unwrap().len(), 3);
    // Somebody forges its events, and takes away what says that it is a trail.
    for slot in [1, 2] {
        let name = format!("trail/{slot}/segments/00000000000000000000.jsonl");
        place.write(&name, place.read(&name).replace("slot.", "forged."));
        fs::rename(place.path(&format!("trail/{slot}/trail.toml")), place.path("kept")).unwrap();
        let json = place.run("verify --json").no().json();
        assert_eq!((&json["ok"], verdicts(&json).len()), (&false.into(), 3));
        let problem = problem_of(&json, slot).unwrap();
        assert!(["key_unknown", "manifest_invalid"].contains(&&*problem), "{json}");
        let text = place.run("verify").no().out;
        assert!(text.starts_with("TAMPERED") && text.contains(&format!("{ORIGIN}/{slot}")), "{text}");
        is_named_by_readers(&place, slot);
        fs::rename(place.path("kept"), place.path(&format!("trail/{slot}/trail.toml"))).unwrap();
    }
    // Only the tree, or only a checkpoint, is left of the last one.
    for left in ["tree", "checkpoint"] {
        place.copy("trail", "whole");
        for name in ["trail.toml", "segments", "keys", "tree", "checkpoint", "checkpoints", "index"] {
            let path = place.path(&format!("trail/2/{name}"));
            if name != left && path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else if name != left && path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
        let json = place.run("verify --json").no().json();
        assert!(problem_of(&json, 2).is_some(), "{left}: {json}");
        fs::remove_dir_all(place.path("trail")).unwrap();
        fs::rename(place.path("whole"), place.path("trail")).unwrap();
    }
}

#[test]
fn a_gap_in_the_numbers_is_told() {
    for is_emptied in [false, true] {
        let place = slots();
        fs::remove_dir_all(place.path("trail/1")).unwrap();
        if is_emptied {
            fs::create_dir(place.path("trail/1")).unwrap();
        }
        let json = place.run("verify --json").no().json();
        assert_eq!(problem_of(&json, 1).as_deref(), Some("slot_missing"));
        assert!(json["trails"][1]["message"].as_str().unwrap().contains("slot 1 is missing"), "{json}");
        assert_eq!((problem_of(&json, 0), problem_of(&json, 2)), (None, None));
        assert!(place.run("verify").no().out.contains("slot 1 is missing"));
        is_named_by_readers(&place, 1);
    }
}

/// A new trail in its place would have the same origin, and nobody would ask for the events of the old one.
#[test]
fn a_slot_that_is_gone_is_not_made_again() {
    for is_emptied in [false, true] {
        let place = slots();
        fs::remove_dir_all(place.path("trail/0")).unwrap();
        if is_emptied {
            // As the mount point of a volume that is not mounted.
            fs::create_dir(place.path("trail/0")).unwrap();
        }
        let recorded = place.feed("record --json", "{\"action\":\"later\"}\n").ok();
        assert_eq!(recorded.json()["origin"], format!("{ORIGIN}/1"));
        assert!(recorded.err.contains("trail/0 is gone"), "{recorded:?}");
        assert_eq!(problem_of(&place.run("verify --json").no().json(), 0).as_deref(), Some("slot_missing"));
        is_named_by_readers(&place, 0);
    }
}

/// Somebody was killed while they made the first slot.
#[test]
fn a_slot_whose_making_was_interrupted_is_made_to_the_end() {
    let place = slots();
    fs::remove_dir_all(place.path("trail/0")).unwrap();
    for folder in ["segments", "keys", "checkpoints"] {
        fs::create_dir_all(place.path(&format!("trail/0/{folder}"))).unwrap();
    }
    let recorded = place.feed("record --json", "{\"action\":\"later\"}\n").ok();
    assert_eq!(recorded.json()["origin"], format!("{ORIGIN}/0"));
    place.run("verify").ok();
}

#[test]
fn commands_for_every_slot_know_the_origin_of_each() {
    let place = slots();
    place.run("hold add court --reason lawsuit").ok();
    assert!(place.run("hold list").ok().out.contains("court"));
    place.run("retain --older-than 30d --dry-run").ok();
    place.run("sink list").ok();
    place.run("hold remove court").ok();
    place.run("verify").ok();
}

#[test]
fn keys_and_checkpoints_go_to_the_slots_that_they_name() {
    let place = slots();
    let keys: Vec<String> = (0..3).map(|slot| key_of(&place, slot)).collect();
    for slot in 0..3 {
        place.write(&format!("c{slot}"), place.read(&format!("trail/{slot}/checkpoint")));
    }
    let json = place.run_all(&["verify", "--json", "--public-key", &keys[1]]).ok().json();
    assert_eq!(
        verdicts(&json).iter().map(|(_, _, key, checkpoint)| (*key, *checkpoint)).collect::<Vec<_>>(),
        [(false, false), (true, false), (false, false)]
    );
    assert_eq!(json["without_public_key"], serde_json::json!(["example.org/app/0", "example.org/app/2"]));
    assert_eq!(json["without_checkpoint"], serde_json::json!([]));
    assert!(json["trails"][0]["cannot_rule_out"].to_string().contains("key_replaced"));
    let text = place.run_all(&["verify", "--public-key", &keys[1]]).ok().out;
    assert!(text.contains("no public key was given for example.org/app/0, example.org/app/2"), "{text}");

    let mut all = vec!["verify", "--json"];
    for (key, checkpoint) in keys.iter().zip(["c0", "c1", "c2"]) {
        all.extend(["--public-key", key, "--checkpoint", checkpoint]);
    }
    let json = place.run_all(&all).ok().json();
    assert!(verdicts(&json).iter().all(|(_, _, key, checkpoint)| *key && *checkpoint), "{json}");
    assert!(
        json["trails"].as_array().unwrap().iter().all(|it| it["cannot_rule_out"] == serde_json::json!([]))
    );

    // The last slot leaves no gap.
    fs::remove_dir_all(place.path("trail/2")).unwrap();
    place.run("verify").ok();
    for flags in [&["--checkpoint", "c2"][..], &["--public-key", &keys[2]], &all[2..]] {
        let json = place.run_all(&[&["verify", "--json"], flags].concat()).no().json();
        assert_eq!(problem_of(&json, 2).as_deref(), Some("slot_missing"), "{json}");
        assert_eq!((problem_of(&json, 0), problem_of(&json, 1)), (None, None));
    }
    place.write("c9", "no checkpoint");
    let ran = place.run_all(&["verify", "--json", "--checkpoint", "c9"]);
    assert_eq!((ran.code, &ran.json()["ok"]), (Some(2), &false.into()));
}

#[test]
fn a_slot_that_is_a_copy_of_another_one_is_told() {
    let place = slots();
    fs::remove_dir_all(place.path("trail/2")).unwrap();
    place.copy("trail/1", "trail/2");
    let json = place.run("verify --json").no().json();
    assert_eq!(verdicts(&json).iter().filter(|it| it.1.as_deref() == Some("origin_mismatch")).count(), 1);
}

/// While a slot is being made, nothing is missing.
#[test]
fn a_slot_that_is_being_made_is_no_gap() {
    let place = slots();
    fs::create_dir_all(place.path("trail/3/segments")).unwrap();
    fs::create_dir_all(place.path("trail/2026")).unwrap();
    place.run("verify").ok();
    assert_eq!(place.run("query --count").ok().out, "6\n");
}
