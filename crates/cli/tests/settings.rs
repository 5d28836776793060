//! Settings, `doctor`, `stats` and the help.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use support::{Place, finish};

const COMMANDS: [&str; 20] = [
    "demo",
    "record",
    "import",
    "query",
    "tail",
    "history",
    "verify",
    "checkpoint",
    "prove",
    "consistency",
    "export",
    "stats",
    "doctor",
    "mask",
    "mask hash",
    "key",
    "key show",
    "key rotate",
    "man",
    "completions",
];

#[test]
fn a_flag_beats_the_environment_and_that_the_file() {
    let place = Place::new();
    place.write("trailseal.toml", "dir = \"of-the-file\"\n[seal]\nevery_ms = 7\n");
    let doctor = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let of = |name: &str| {
            let rows = answer["settings"].as_array().unwrap();
            let row = rows.iter().find(|row| row["name"] == name).unwrap();
            format!("{} from {}", row["value"].as_str().unwrap(), row["source"].as_str().unwrap())
        };
        (of("dir"), of("seal.every_ms"), of("mode"))
    };
    let (dir, seal, mode) = doctor(&mut place.command(&["doctor", "--json"]));
    assert_eq!(dir, "of-the-file from trailseal.toml:1:7");
    assert_eq!((seal.as_str(), mode.as_str()), ("7 from trailseal.toml:3:12", "async from default"));
    let mut command = place.command(&["doctor", "--json"]);
    let (dir, seal, mode) = doctor(
        command
            .env("TRAILSEAL_DIR", "of-the-environment")
            .env("TRAILSEAL_SEAL__EVERY_MS", "9")
            .env("AUDIT_MODE", "sync"),
    );
    assert_eq!(dir, "of-the-environment from TRAILSEAL_DIR");
    assert_eq!((seal.as_str(), mode.as_str()), ("9 from TRAILSEAL_SEAL__EVERY_MS", "sync from AUDIT_MODE"));
    let mut command = place.command(&["doctor", "--json", "--dir", "of-the-flag"]);
    assert_eq!(doctor(command.env("TRAILSEAL_DIR", "x")).0, "of-the-flag from --dir");
    place.write("other.toml", "mode = \"sync\"");
    assert_eq!(
        doctor(&mut place.command(&["doctor", "--json", "--config", "other.toml"])).2,
        "sync from other.toml:1:8"
    );
}

#[test]
fn mistakes_stop_every_command_with_their_place() {
    let place = Place::new();
    place.write("trailseal.toml", "mode = \"sync\"\n[handoff]\nsize = \"huge\"\n");
    for command in [&["query"][..], &["record"], &["doctor"], &["key", "show"], &["demo"]] {
        place
            .run_all(command)
            .could_not(&["trailseal.toml:3:8: `handoff.size` cannot be \"huge\": use a size such as 64MiB"]);
    }
    place.write("trailseal.toml", "mood = 1\n");
    place
        .run_all(&["stats"])
        .could_not(&["trailseal.toml:1:1: there is no setting `mood`: did you mean `mode`?"]);
    place.run_all(&["stats", "--config", "nothing.toml"]).could_not(&["could not read nothing.toml"]);
    std::fs::remove_file(place.path("trailseal.toml")).unwrap();
    let with = |name: &str, value: &std::ffi::OsStr| {
        let mut command = place.command(&["record"]);
        let pipe = || std::process::Stdio::piped();
        finish(
            command
                .env(name, value)
                .stdin(std::process::Stdio::null())
                .stdout(pipe())
                .stderr(pipe())
                .spawn()
                .unwrap(),
        )
    };
    with("TRAILSEAL_MODE", "fast".as_ref())
        .could_not(&["TRAILSEAL_MODE: `mode` cannot be \"fast\": use sync, async, sampled or off"]);
    with("TRAILSEAL_MOOD", "x".as_ref()).could_not(&["TRAILSEAL_MOOD: there is no setting `mood`"]);
    let not_text = std::ffi::OsStr::from_bytes(b"\xff");
    with("TRAILSEAL_DIR", not_text).could_not(&["TRAILSEAL_DIR is not UTF-8"]);
    with("SOMETHING_ELSE", not_text).ok();
}

#[test]
fn settings_do_what_they_say() {
    let place = Place::new();
    place.write(
        "trailseal.toml",
        "origin = \"example.com/billing\"\nmode = \"sync\"\nkey_file = \"my.key\"\n[[anchor]]\nfile = \"kept\"\n",
    );
    place.feed_all(&["record"], "{\"action\":\"a\"}").ok();
    assert_eq!(place.run_all(&["stats", "--json"]).json()["origin"], "example.com/billing");
    assert_eq!(place.path("my.key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(place.read("kept").contains("example.com/billing\n"));
    assert_eq!(place.run_all(&["doctor", "--json"]).ok().json()["findings"].as_array().unwrap().len(), 0);
}

#[test]
fn doctor_finds_what_is_wrong_and_says_how_to_mend_it() {
    let place = Place::new();
    assert_eq!(place.run_all(&["doctor", "--json"]).no().json()["findings"][0]["code"], "no_trail");
    let place = Place::with("{\"action\":\"a\"}");
    assert!(place.run_all(&["doctor"]).ok().out.contains("no problem, but 1 recommendation"));
    let key = place.path("trail/keys/signing.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let found = place.run_all(&["doctor", "--json"]).no().json();
    assert_eq!(
        (found["ok"].as_bool(), found["findings"][0]["code"].as_str()),
        (Some(false), Some("key_permissions"))
    );
    assert!(place.run_all(&["doctor"]).no().out.contains("chmod 600"));
    std::fs::remove_file(&key).unwrap();
    assert_eq!(place.run_all(&["doctor", "--json"]).no().json()["findings"][0]["code"], "key_missing");
    std::fs::write(place.path("trail/checkpoint"), "rubbish").unwrap();
    let codes = place.run_all(&["doctor", "--json"]).no().json()["findings"].to_string();
    assert!(codes.contains("\"checkpoint\""), "{codes}");
}

#[test]
fn stats_tell_the_trails_own_events_apart() {
    let place = Place::with("{\"action\":\"a\"}\n{\"action\":\"b\",\"system\":true}\n");
    let stats = place.run_all(&["stats", "--json"]).ok().json();
    assert_eq!(
        (stats["events"].as_u64(), stats["system_events"].as_u64(), stats["sealed"].as_u64()),
        (Some(2), Some(2), Some(4))
    );
    assert!(place.run_all(&["stats"]).ok().out.contains("recorded by you"));
}

#[test]
fn reading_writes_nothing() {
    let place = Place::with("{\"action\":\"a\"}");
    let listed = || {
        let mut all = Vec::new();
        let mut folders = vec![place.path("trail")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let data = entry.metadata().unwrap();
                all.push((entry.path(), data.len(), data.modified().unwrap()));
                if data.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        all.sort();
        all
    };
    let before = listed();
    for arguments in [
        &["query"][..],
        &["tail"],
        &["history", "a/b"],
        &["verify"],
        &["checkpoint"],
        &["prove", "1"],
        &["stats"],
        &["export", "--format", "jsonl"],
        &["doctor"],
        &["key", "show"],
    ] {
        place.run_all(arguments).ok();
    }
    assert_eq!(listed(), before);
    assert!(!place.path("trail/handoff").exists(), "a one-shot command takes its handoff with it");
}

#[test]
fn every_command_that_reads_needs_a_trail() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder")).unwrap();
    for dir in ["missing", "folder"] {
        for arguments in [
            &["query"][..],
            &["tail"],
            &["history", "a/b"],
            &["verify"],
            &["checkpoint"],
            &["prove", "1"],
            &["stats"],
            &["export", "--format", "jsonl"],
            &["key", "show"],
            &["key", "rotate"],
        ] {
            place.run_all(&[arguments, &["--dir", dir]].concat()).could_not(&[dir]);
        }
    }
    assert_eq!(std::fs::read_dir(place.path("folder")).unwrap().count(), 0);
}

#[test]
fn every_command_has_help_with_an_example() {
    let place = Place::new();
    for command in COMMANDS {
        let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = place.run_all(&arguments).ok().out;
        let example = format!("trailseal {command}");
        assert!(help.contains("Example:\n") && help.contains(&example), "{command}: {help}");
    }
    assert!(place.run_all(&["--version"]).ok().out.starts_with("trailseal "));
    assert_eq!(place.run_all(&[]).code, Some(2));
}

#[test]
fn machine_readable_answers_are_json() {
    let place = Place::with("{\"action\":\"a\"}");
    let key = place.run_all(&["key", "show", "--json"]).ok().json();
    assert_eq!(format!("{}\n", key["public_key"].as_str().unwrap()), place.run_all(&["key", "show"]).out);
    let checkpoint = place.run_all(&["checkpoint", "--json"]).ok().json();
    assert_eq!(
        (checkpoint["tree_size"].as_u64(), checkpoint["checkpoint"].as_str()),
        (Some(3), Some(&*place.read("trail/checkpoint")))
    );
    assert_eq!(place.run_all(&["prove", "1", "--json"]).ok().json()["index"], 1);
    assert_eq!(place.run_all(&["query", "--count", "--json"]).ok().json()["count"], 1);
    place.write("old", place.read("trail/checkpoint"));
    assert!(place.run_all(&["consistency", "old", "--json"]).ok().json()["consistency"].is_string());
}

#[test]
fn completions_are_made_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.run_all(&["completions", shell]).ok().out.contains("trailseal"));
    }
}
