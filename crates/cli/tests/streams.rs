//! `record` as a stream: receipts while more is waited for, pipes that close, writers that are killed.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use support::{Place, finish};

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
    place.run_all(&["record", "nothing.jsonl"]).could_not(&["could not read nothing.jsonl"]);
    assert!(!place.path("trail").exists());
}
