//! `record` as a stream: receipts while more is waited for, pipes that close, writers that are killed.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use support::{Place, finish};

#[test]
fn events_become_lines_that_query_prints_byte_for_byte() {
    let place = Place::new();
    let ran = place
        .feed_all(&["record"], "{\"action\":\"a.b\",\"tenant\":\"x\"}\n\n\u{feff}\n{\"action\":\"c\"}")
        .no();
    assert_eq!(
        ran.err,
        "line 3: not recorded: not JSON at byte 0: expected a JSON value\n2 recorded, 1 not recorded\n"
    );
    let queried = place.run_all(&["query", "--format", "jsonl", "--order", "asc"]).ok();
    let stored: Vec<String> =
        std::fs::read_to_string(place.segment()).unwrap().lines().map(str::to_owned).collect();
    let shown: Vec<&str> = queried.out.lines().collect();
    assert_eq!(shown, stored[1..3]);
    assert_eq!(place.run_all(&["query", "--count"]).ok().out, "2\n");
}

#[test]
fn a_conflict_and_bad_lines_are_reported_by_number_and_the_rest_goes_in() {
    let place = Place::with("{\"action\":\"a\",\"id\":\"one\"}\n");
    place.write("more", b"{\"action\":\"b\",\"id\":\"one\"}\n{\"action\":\"c\"}\n[1]\n{\"noaction\":1}\nxx\xff\n{\"action\":\"d\"}\n");
    let ran = place.run_all(&["record", "more"]).no();
    let told: Vec<&str> = ran.err.lines().collect();
    assert!(told[0].starts_with("line 1: not recorded: its id one is that of event "), "{told:?}");
    for (line, number) in told[1..4].iter().zip([3, 4, 5]) {
        assert!(line.starts_with(&format!("line {number}: not recorded: ")), "{told:?}");
    }
    assert_eq!(told[4], "2 recorded, 4 not recorded");
    assert_eq!(place.run_all(&["query", "--count"]).out, "3\n");
}

#[test]
fn a_receipt_comes_before_more_input_is_waited_for() {
    let place = Place::new();
    for ack in ["accepted", "durable"] {
        let mut command = place.command(&["record", "--json", "--ack", ack]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        for part in ["", "{\"act"] {
            // The beginning of the next line is no reason to keep the receipt back.
            stdin.write_all(format!("{{\"action\":\"a\"}}\n{part}").as_bytes()).unwrap();
            let mut receipt = String::new();
            stdout.read_line(&mut receipt).unwrap();
            assert!(receipt.starts_with("{\"origin\":"), "{receipt:?}");
        }
        stdin.write_all(b"ion\":\"b\"}\n").unwrap();
        drop(stdin);
        finish(child).ok();
    }
    assert_eq!(place.run_all(&["query", "--count"]).out, "6\n");
}

#[test]
fn a_closed_pipe_ends_neither_the_recording_nor_loudly() {
    let place = Place::new();
    let mut command = place.command(&["record", "--json"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    for _ in 0..5_000 {
        stdin.write_all(b"{\"action\":\"a\"}\n").unwrap();
    }
    drop(stdin);
    let ran = finish(child).ok();
    assert_eq!(ran.err, "");
    assert_eq!(place.run_all(&["query", "--count"]).out, "5000\n");
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_made() {
    let place = Place::new();
    place.run_all(&["record", "--ack", "store"]).could_not(&["no store is configured", "--ack durable"]);
    place.run_all(&["record", "nothing.jsonl"]).could_not(&["could not read nothing.jsonl"]);
    assert!(!place.path("trail").exists());
}

#[test]
fn what_was_accepted_before_a_kill_is_shown_though_nobody_opened_the_trail_since() {
    let place = Place::new();
    let mut command = place.command(&["record", "--json"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut receipt = String::new();
    for _ in 0..20 {
        stdin.write_all(b"{\"action\":\"a\"}\n").unwrap();
        stdout.read_line(&mut receipt).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.run_all(&["query", "--count"]).ok().out, "20\n");
    assert_eq!(place.run_all(&["stats", "--json"]).ok().json()["events"], 20);
    place.run_all(&["doctor"]).no();
    place.run_all(&["record"]).ok();
    assert_eq!(place.run_all(&["query", "--count"]).ok().out, "20\n");
    place.run_all(&["verify"]).ok();
}
