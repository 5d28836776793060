//! What is shown: refusals that say what is allowed, guarded cells, whole files, and followers that end.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use support::Place;

const EVENTS: &str = r#"{"action":"user.login","id":"a","tenant":"acme","actor":{"id":"u1","name":"Ann"},"outcome":"denied","category":"authentication","severity":"warning","time":"2026-01-01T00:00:00Z","context":{"ip":"203.0.113.9","request_id":"r1","correlation_id":"c1","session_id":"s1","trace_id":"t1"}}
{"action":"invoice.update","id":"42","tenant":"acme","actor":{"id":"u2"},"on_behalf_of":{"id":"u1","reason":"help"},"resource":{"type":"invoice","id":"2026/7"},"before":{"sum":1},"after":{"sum":2},"time":"2026-01-02T00:00:00Z"}
{"action":"invoice.delete","id":"c","tenant":"other","actor":{"id":"u2"},"resource":{"type":"invoice","id":"2026/7"},"description":"=cmd|' /C calc'!A0","error":"two\nlines, \"quoted\"","outcome":"failure","time":"2026-01-03T00:00:00Z"}
"#;

#[test]
fn what_is_not_understood_says_what_is_allowed() {
    let place = Place::with(EVENTS);
    for (arguments, wanted) in [
        (&["query", "--outcome", "bad"][..], &["--outcome cannot be \"bad\"", "denied"][..]),
        (&["query", "--since", "soon"], &["--since cannot be \"soon\"", "24h"]),
        (&["query", "--category", "x"], &["--category cannot be", "custom:NAME"]),
        (&["query", "--order", "up"], &["--order", "asc"]),
        (&["query", "--format", "xml"], &["--format", "jsonl"]),
        (&["query", "--tennant", "x"], &["--tennant", "--tenant", "trailseal query --help"]),
        (&["history", "invoice"], &["TYPE/ID"]),
        (&["query", "--dir", "elsewhere"], &["elsewhere holds no trail", "--dir"]),
        (&["nonsense"], &["nonsense", "trailseal --help"]),
    ] {
        place.run_all(arguments).could_not(wanted);
    }
    assert!(!place.path("elsewhere").exists(), "commands that read make nothing");
}

#[test]
fn csv_has_the_header_and_guards_formulas() {
    let place = Place::with(EVENTS);
    let csv = place.run_all(&["query", "--format", "csv", "--id", "c"]).ok().out;
    let (header, row) = csv.split_once('\n').unwrap();
    assert_eq!(
        header,
        "origin,index,id,recorded,time,tenant,category,action,severity,outcome,actor_id,actor_name,on_behalf_of,\
         resource_type,resource_id,ip,request_id,correlation_id,description,error"
    );
    assert!(row.starts_with("trailseal.local/"), "{row}");
    let wanted = ",2026-01-03T00:00:00.000000Z,other,custom:other,invoice.delete,info,failure,u2,,,invoice,2026/7,,,,\
                  '=cmd|' /C calc'!A0,\"two\nlines, \"\"quoted\"\"\"\n";
    assert!(row.ends_with(wanted), "{row}");
    let none = place.run_all(&["query", "--format", "csv", "--id", "nobody"]).ok();
    assert_eq!(none.out, format!("{header}\n"));
}

#[test]
fn tail_follows_until_nobody_reads() {
    let place = Place::with("{\"action\":\"old\"}\n");
    let mut command = place.command(&["tail", "-f", "-n", "1", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut read = || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["action"].clone()
    };
    assert_eq!(read(), "old");
    for action in ["new", "newer"] {
        place.feed_all(&["record"], format!("{{\"action\":{action:?}}}\n")).ok();
        assert_eq!(read(), action);
    }
    drop(stdout);
    // It ends though nothing comes that it could fail to write.
    assert!(child.wait().unwrap().success());
}

#[test]
fn exports_are_whole_or_not_there() {
    let place = Place::with(EVENTS);
    let ran = place.run_all(&["export", "--format", "jsonl", "--out", "out.jsonl", "--json"]).ok();
    assert_eq!(ran.json()["count"], 3);
    assert_eq!(place.read("out.jsonl"), place.run_all(&["query", "--format", "jsonl", "--order", "asc"]).out);
    let csv = place.run_all(&["export", "--format", "csv", "--tenant", "acme"]).ok();
    assert_eq!((csv.out.lines().count(), csv.err.as_str()), (3, "2 events exported\n"));
    place
        .run_all(&["export", "--format", "csv", "--out", "no/such/folder/x"])
        .could_not(&["could not make no/such/folder/x"]);
    assert!(!place.path("out.jsonl.part").exists());
}
