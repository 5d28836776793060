//! A fifo, socket, device or folder in the place of a file: nothing waits for it, and everything is answered.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use support::{Answer, Place, finish};

/// How long a command may take that has nothing to wait for.
const PATIENCE: Duration = Duration::from_secs(30);

const KINDS: [&str; 4] = ["fifo", "socket", "folder", "device"];

fn put(kind: &str, path: &Path) {
    if path.is_dir() {
        std::fs::remove_dir_all(path).unwrap();
    } else if path.symlink_metadata().is_ok() {
        std::fs::remove_file(path).unwrap();
    }
    match kind {
        "fifo" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "folder" => std::fs::create_dir(path).unwrap(),
        _ => symlink("/dev/zero", path).unwrap(),
    }
}

/// Runs a command that must end by itself.
#[track_caller]
fn ended(place: &Place, arguments: &[&str]) -> Answer {
    let child = place.command(arguments).spawn().unwrap();
    let id = child.id().to_string();
    let (done, answer) = channel();
    std::thread::spawn(move || done.send(finish(child)));
    answer.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        drop(Command::new("kill").args(["-9", &id]).status());
        panic!("{arguments:?} does not end")
    })
}

/// A trail of several segments, with kept checkpoints.
fn trail() -> Place {
    let place = Place::new();
    place.write("trailseal.toml", "[segment]\nroll = \"64KiB\"\n");
    let line = format!("{{\"action\":\"a\",\"resource\":\"r/1\",\"details\":\"{}\"}}\n", "x".repeat(2_000));
    for _ in 0..2 {
        place.feed("record", line.repeat(45)).ok();
    }
    place
}

fn first_of(place: &Place, folder: &str, ends: &str) -> String {
    let names = std::fs::read_dir(place.path(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(ends));
    names.sort();
    format!("{folder}/{}", names[0])
}

/// `verify` says what is wrong with the trail, or that nothing is where no verdict rests on the file.
#[test]
fn verify_says_what_stands_in_a_files_place() {
    let source = trail();
    let segment = first_of(&source, "trail/segments", ".jsonl");
    let kept = first_of(&source, "trail/checkpoints", "");
    let offsets = first_of(&source, "trail/segments", ".offsets");
    let cases: [(&str, &[&str]); 11] = [
        (&segment, &["edited", "missing", "segment_missing"]),
        ("trail/checkpoint", &["checkpoint_invalid"]),
        (&kept, &["checkpoint_invalid"]),
        ("trail/trail.toml", &["key_unknown", "manifest_invalid"]),
        ("trail/tree/0", &["tree_missing", "tile_forged"]),
        (&offsets, &[]),
        ("trail/keys/signing.key", &[]),
        ("trail/handoff", &[]),
        ("trail/lock", &[]),
        ("trail/index/main.db", &[]),
        ("trail/tokens.json", &[]),
    ];
    for (name, problems) in cases {
        for kind in KINDS {
            source.copy("trail", "copy");
            put(kind, &source.path(&name.replacen("trail", "copy", 1)));
            let ran = ended(&source, &["verify", "--dir", "copy", "--json"]);
            let (json, wanted) = (ran.json(), i32::from(!problems.is_empty()));
            assert_eq!(ran.code, Some(wanted), "{kind} for {name}: {ran:?}");
            let problem = json["problem"].as_str();
            assert!(
                json["ok"] == problems.is_empty() && problem.is_none_or(|code| problems.contains(&code)),
                "{kind} for {name}: {ran:?}"
            );
            let text = ended(&source, &["verify", "--dir", "copy"]);
            assert_eq!(text.code, Some(wanted), "{kind} for {name}: {text:?}");
            std::fs::remove_dir_all(source.path("copy")).unwrap();
        }
    }
}

/// Every command ends, and says in one line what is wrong if it could not do its work.
#[test]
fn no_command_waits_for_what_stands_in_a_files_place() {
    let source = trail();
    let segment = first_of(&source, "trail/segments", ".jsonl");
    let commands: [&[&str]; 15] = [
        &["query", "--action", "a"],
        &["query", "--count"],
        &["tail", "-n", "3"],
        &["history", "r/1"],
        &["export", "--format", "jsonl"],
        &["export", "--format", "bundle", "--out", "e.zip"],
        &["stats"],
        &["summary"],
        &["doctor"],
        &["checkpoint"],
        &["prove", "1"],
        &["key", "show"],
        &["token", "list"],
        &["reindex"],
        &["record", "events"],
    ];
    let names = [
        "trail/checkpoint",
        "trail/trail.toml",
        "trail/keys/signing.key",
        "trail/handoff",
        "trail/lock",
        "trail/index/main.db",
        "trail/tokens.json",
        "trailseal.toml",
        &segment,
    ];
    for name in names {
        for kind in ["fifo", "folder"] {
            let place = Place::new();
            copy(&source, &place);
            put(kind, &place.path(name));
            place.write("events", "{\"action\":\"a\"}\n");
            for command in commands {
                let ran = ended(&place, command);
                let lines = ran.err.lines().filter(|line| line.starts_with("error: ")).count();
                assert_eq!(lines, usize::from(ran.code == Some(2)), "{kind} for {name}: {command:?} {ran:?}");
            }
        }
    }
}

fn copy(from: &Place, to: &Place) {
    for name in ["trail", "trailseal.toml"] {
        let copied = Command::new("cp").arg("-a").arg(from.path(name)).arg(to.path(name)).status().unwrap();
        assert!(copied.success());
    }
}

/// Files that only some commands read, and files that the settings name.
#[test]
fn no_rarely_read_file_is_waited_for() {
    let source = trail();
    source.run("policy set sync").ok();
    for kind in KINDS {
        let place = Place::new();
        copy(&source, &place);
        put(kind, &place.path("trail/policy.toml"));
        ended(&place, &["policy", "show"]).could_not(&["policy.toml"]);
        ended(&place, &["record", "/dev/null"]).could_not(&["policy.toml"]);
        ended(&place, &["doctor"]);
        std::fs::remove_dir_all(place.path("trail")).unwrap();
        copy(&source, &place);
        put(kind, &place.path("trail/opened"));
        ended(&place, &["record", "/dev/null"]);
        for name in ["trail/keys/sampling", "trail/keys/mask"] {
            put(kind, &place.path(name));
            ended(&place, &["record", "/dev/null"]).could_not(&[name]);
            std::fs::remove_dir_all(place.path("trail")).unwrap();
            copy(&source, &place);
        }
        put(kind, &place.path("odd"));
        ended(&place, &["import", "--map", "odd", "/dev/null"]).could_not(&["odd", "not a file"]);
        ended(&place, &["policy", "check", "odd"]).could_not(&["odd", "not a file"]);
        ended(&place, &["record", "--config", "odd", "/dev/null"]).could_not(&["odd", "not a file"]);
        ended(&place, &["succeed", "trail", "--dir", "new", "--origin", "example.com/new"]).ok();
        std::fs::create_dir_all(place.path("tiles")).unwrap();
        put(kind, &place.path("tiles/checkpoint"));
        ended(&place, &["tiles", "tiles"]);
        place.write("anchored.toml", "[[anchor]]\nfile = \"odd\"\n");
        ended(&place, &["record", "--config", "anchored.toml", "/dev/null"]);
        place
            .write("tls.toml", "[server]\ntls_cert = \"odd\"\ntls_key = \"odd\"\nlisten = \"127.0.0.1:0\"\n");
        ended(&place, &["serve", "--config", "tls.toml"]).could_not(&["odd"]);
    }
}

/// Events come from pipes, too, and a pipe's writer may come late: meanwhile the trail is free for others.
#[test]
fn a_pipe_is_read_when_its_writer_comes_and_keeps_nobody_from_the_trail() {
    let place = Place::with_events(&["before"]);
    let event = "{\"action\":\"piped\"}\n";
    for command in [&["record", "odd"][..], &["mask", "odd"]] {
        put("fifo", &place.path("odd"));
        let child = place.command(command).spawn().unwrap();
        place.record("{\"action\":\"meanwhile\"}");
        std::fs::write(place.path("odd"), event).unwrap();
        finish(child).ok();
    }
    assert_eq!(place.run("query --action piped --count").ok().out.trim(), "1");
    assert_eq!(place.run("query --action meanwhile --count").ok().out.trim(), "2");
    // Nobody comes: whoever waits can be stopped.
    let mut child = place.command(&["import", "--from", "github", "odd"]).spawn().unwrap();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(!child.wait().unwrap().success());
}

/// What never ends is not read: neither a folder nor a device is a source of events.
#[test]
fn a_device_or_folder_is_no_source_of_events() {
    let place = Place::with_events(&["before"]);
    for kind in ["folder", "device"] {
        put(kind, &place.path("odd"));
        for command in [&["record", "odd"][..], &["import", "--from", "github", "odd"], &["mask", "odd"]] {
            ended(&place, command).could_not(&["odd", &format!("it is a {kind}")]);
        }
    }
    ended(&place, &["record", "/dev/null"]).ok();
}

/// What a person names is not waited for either; but a pipe that a shell hands over is read.
#[test]
fn what_is_named_is_not_waited_for() {
    let place = trail();
    for kind in KINDS {
        put(kind, &place.path("odd"));
        let key = place.public_key();
        for flag in ["--checkpoint", "--proof", "--consistency", "--bundle", "--public-key", "--config"] {
            let mut command = vec!["verify", "--json", flag, "odd"];
            if flag != "--public-key" {
                command.extend(["--public-key", &key]);
            }
            let ran = ended(&place, &command);
            assert_eq!(ran.code, Some(2), "{kind} {flag}: {ran:?}");
            if flag != "--config" {
                assert_eq!(ran.json()["ok"], false, "{kind} {flag}: {ran:?}");
            }
            let said = flag == "--public-key" || ran.err.contains(&format!("it is a {kind}, not a file"));
            assert!(said, "{kind} {flag}: {ran:?}");
        }
        ended(&place, &["consistency", "odd"]).could_not(&["odd", "not a file"]);
    }
    let checkpoint = place.run("checkpoint").ok().out;
    place.write("kept", checkpoint);
    let shell = "cat kept | \"$0\" verify --json --checkpoint /dev/fd/0";
    let program = place.command(&[]).get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", shell]).arg(program).current_dir(place.path("."));
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
}
