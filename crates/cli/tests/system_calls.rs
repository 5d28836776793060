//! What the shipped binary asks of the system: each renamed file was synced before, and its folder is after.
//!
//! The tests on files in memory trust `StdFiles` to do what its trait says; this one looks with strace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The system calls of one run, in order, with paths shown for descriptors.
fn traced(dir: &Path, arguments: &[&str], input: &str) -> Vec<String> {
    let log = dir.join("strace.log");
    let calls = "trace=rename,renameat,renameat2,fsync,fdatasync,openat,unlink";
    let mut child = Command::new("strace")
        .args(["-f", "-y", "-s", "300", "-e", calls, "-o"])
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_trailseal"))
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace can be started: `cargo xtask test` installs it");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect()
}

fn quoted(call: &str) -> Vec<&str> {
    call.split('"').skip(1).step_by(2).collect()
}

#[test]
fn every_rename_is_synced_before_and_its_folder_after() {
    let dir = tempfile::tempdir().unwrap();
    let input: String = (0..600).map(|number| format!("{{\"action\":\"test.{number}\"}}\n")).collect();
    let calls = traced(dir.path(), &["record", "--ack", "durable"], &input);
    let mut renames = 0;
    for (at, call) in calls.iter().enumerate() {
        if !call.contains("rename") || !call.contains("= 0") {
            continue;
        }
        renames += 1;
        let paths = quoted(call);
        let (from, to) = (paths[0], paths[1]);
        let is_sync =
            |call: &&String, path: &str| call.contains("sync(") && call.contains(&format!("{path}>"));
        let synced = calls[..at].iter().any(|call| is_sync(&call, from));
        assert!(synced, "{from} was renamed without being synced: {call}");
        let folder = Path::new(to).parent().unwrap().to_string_lossy().into_owned();
        let folder_synced = calls[at..].iter().any(|call| is_sync(&call, &folder));
        assert!(folder_synced, "the folder of {to} was not synced after: {call}");
    }
    assert!(renames >= 5, "key, manifest, checkpoints and tiles are renamed: {renames}");
    let created = calls.iter().position(|call| call.contains(".jsonl\"") && call.contains("O_EXCL")).unwrap();
    let after = &calls[created..];
    let folder = after.iter().position(|call| call.contains("fsync(") && call.contains("segments>")).unwrap();
    let lines =
        after.iter().position(|call| call.contains("fdatasync(") && call.contains(".jsonl>")).unwrap();
    assert!(folder < lines, "the segment's name is durable before its first lines are acknowledged");
}

/// An opening waits for the disk three times, each for a promise: no frame of an older handoff is ever taken for one of the
/// new (its generation, then its name), and the opening itself is on disk when it returns.
#[test]
fn an_opening_syncs_the_new_handoff_its_name_and_its_event_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    traced(dir.path(), &["record"], "{\"action\":\"test.first\"}\n");
    let calls = traced(dir.path(), &["record"], "{\"action\":\"test.second\"}\n");
    let syncs: Vec<&String> = calls.iter().filter(|call| call.contains("sync(")).collect();
    let opened = syncs.iter().position(|call| call.contains(".jsonl>")).unwrap();
    let [handoff, name] = &syncs[..opened] else { panic!("{:#?}", &syncs[..=opened]) };
    assert!(handoff.contains("/.trailseal-handoff-"), "{handoff}");
    assert!(name.contains("/trail>"), "{name}");
    assert!(!syncs.iter().any(|call| call.contains("/opened")), "{syncs:#?}");
}
