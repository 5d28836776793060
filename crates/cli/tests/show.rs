//! `query`, `tail`, `history` and `export` to lines: what is found, and how it is shown.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use support::Place;

const EVENTS: &str = r#"{"action":"user.login","id":"a","tenant":"acme","actor":{"id":"u1","name":"Ann"},"outcome":"denied","category":"authentication","severity":"warning","time":"2026-01-01T00:00:00Z","context":{"ip":"203.0.113.9","request_id":"r1","correlation_id":"c1","session_id":"s1","trace_id":"t1"}}
{"action":"invoice.update","id":"42","tenant":"acme","actor":{"id":"u2"},"on_behalf_of":{"id":"u1","reason":"help"},"resource":{"type":"invoice","id":"2026/7"},"before":{"sum":1},"after":{"sum":2},"time":"2026-01-02T00:00:00Z"}
{"action":"invoice.delete","id":"c","tenant":"other","actor":{"id":"u2"},"resource":{"type":"invoice","id":"2026/7"},"description":"=cmd|' /C calc'!A0","error":"two\nlines, \"quoted\"","outcome":"failure","time":"2026-01-03T00:00:00Z"}
"#;

fn ids(place: &Place, arguments: &[&str]) -> String {
    let all: Vec<&str> = ["query", "--json"].iter().chain(arguments).copied().collect();
    let ids: Vec<String> = place
        .run_all(&all)
        .ok()
        .json_lines()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    ids.join(" ")
}

#[test]
fn every_filter_finds_what_it_names() {
    let place = Place::with(EVENTS);
    let first = 1; // After the event that says that the trail was opened.
    let (index, both) = ((first + 1).to_string(), format!("{first},{}", first + 2));
    let both: Vec<&str> = both.split(',').collect();
    for (arguments, wanted) in [
        (&[][..], "c 42 a"),
        (&["--order", "asc"], "a 42 c"),
        (&["--tenant", "acme"], "42 a"),
        (&["--tenant", "acme", "--tenant", "other"], "c 42 a"),
        (&["--actor", "Ann"], "a"),
        (&["--on-behalf-of", "u1"], "42"),
        (&["--action", "invoice.*"], "c 42"),
        (&["--action", "invoice.?pdate"], "42"),
        (&["--category", "authentication"], "a"),
        (&["--resource", "invoice"], "c 42"),
        (&["--resource", "invoice/2026/7", "--outcome", "failure"], "c"),
        (&["--severity", "warning"], "a"),
        (&["--ip", "203.0.113.9"], "a"),
        (&["--correlation-id", "c1", "--request-id", "r1", "--session-id", "s1", "--trace-id", "t1"], "a"),
        (&["--origin", "elsewhere"], ""),
        (&["--since", "2026-01-02", "--until", "2026-01-03T00:00:00Z"], "42"),
        (&["--since", "2026-01-02T01:00:00+01:00"], "c 42"),
        (&["--since", "24h"], ""),
        (&["--text", "CALC"], "c"),
        (&["--text", "\"quoted\""], "c"),
        (&["--text", "tenant"], ""),
        (&["--id", "id:42"], "42"),
        (&["--id", &index], "42"),
        (&["--id", both[0], "--id", both[1]], "c a"),
        (&["--id", "nobody"], ""),
        (&["--limit", "1"], "c"),
        (&["--outcome", "partial"], ""),
    ] {
        assert_eq!(ids(&place, arguments), wanted, "{arguments:?}");
        let count: Vec<&str> = ["query", "--count"].iter().chain(arguments).copied().collect();
        let expected = if arguments == ["--limit", "1"] { 3 } else { wanted.split_whitespace().count() };
        assert_eq!(place.run_all(&count).ok().out, format!("{expected}\n"), "{arguments:?}");
    }
}

#[test]
fn the_trails_own_events_are_shown_when_asked_for() {
    let place = Place::with(EVENTS);
    assert_eq!(place.run_all(&["query", "--count", "--system"]).out, "5\n");
    let own = place.run_all(&["query", "--json", "--system", "--action", "trail.*"]).json_lines();
    assert!(own.iter().all(|event| event["system"] == true) && own.len() == 2, "{own:?}");
    // The category of a caller's event makes it no event of the trail's own.
    place.feed_all(&["record"], "{\"action\":\"trail.opened\",\"category\":\"system\"}").ok();
    assert_eq!(place.run_all(&["query", "--count"]).out, "4\n");
}

#[test]
fn pages_follow_each_other_by_their_cursor() {
    let place = Place::with(&"{\"action\":\"a\"}\n".repeat(7));
    for order in ["asc", "desc"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut arguments = vec!["query", "--json", "--order", order, "--limit", "3"];
            if !cursor.is_empty() {
                arguments.extend(["--cursor", &cursor]);
            }
            let ran = place.run_all(&arguments).ok();
            seen.extend(ran.json_lines().iter().map(|event| event["index"].as_u64().unwrap()));
            match ran.err.split_whitespace().skip_while(|word| *word != "--cursor").nth(1) {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        if order == "desc" {
            seen.reverse();
        }
        assert_eq!(seen, (1..8).collect::<Vec<_>>(), "{order}");
    }
    place.run_all(&["query", "--cursor", "zz"]).could_not(&["--cursor"]);
}

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
fn a_table_fits_and_shows_no_colours_in_a_pipe() {
    let place = Place::with(EVENTS);
    for width in [40, 60, 80, 120, 200] {
        let mut command = place.command(&["query"]);
        let output = command.env("COLUMNS", width.to_string()).output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert_eq!(table.lines().count(), 4);
        assert!(table.lines().all(|line| line.chars().count() <= width), "{width}: {table}");
        assert!(!table.contains('\x1b'));
        assert!(table.contains("denied") && table.contains("user.login"), "{width}: {table}");
    }
}

#[test]
fn a_table_stops_at_fifty_and_says_so() {
    let place = Place::with(&"{\"action\":\"a\"}\n".repeat(60));
    let table = place.run_all(&["query"]).ok();
    assert_eq!(table.out.lines().count(), 51);
    assert!(table.err.contains("there are more") && table.err.contains("--limit"), "{}", table.err);
    let lines = place.run_all(&["query", "--format", "jsonl"]).ok();
    assert_eq!((lines.out.lines().count(), lines.err.as_str()), (60, ""));
}

#[test]
fn hostile_text_does_not_reach_the_terminal() {
    let place = Place::with(
        "{\"action\":\"a\\u001b[2Jb\\u202e\",\"id\":\"\\u001b]0;x\\u0007\",\"resource\":{\"type\":\"t\",\"id\":\"x\\u009b1m\"}}\n",
    );
    let table = place.run_all(&["query"]).ok().out;
    assert!(table.contains("a [2Jb"), "{table}");
    let conflict = place.feed_all(&["record"], "{\"action\":\"c\",\"id\":\"\\u001b]0;x\\u0007\"}\n").no().err;
    for text in [table, conflict] {
        assert!(!text.contains(
            |character: char| (character.is_control() && character != '\n') || character == '\u{202e}'
        ));
    }
}

#[test]
fn history_shows_what_changed() {
    let place = Place::with(EVENTS);
    let table = place.run_all(&["history", "invoice/2026/7"]).ok().out;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].contains("invoice.update") && lines[2].contains("sum: 1 → 2"), "{table}");
    assert!(lines[3].contains("invoice.delete"), "{table}");
    let json = place.run_all(&["history", "invoice/2026/7", "--json"]).ok().json_lines();
    assert_eq!(json[0]["changes"]["sum"]["after"], 2);
    let nobody = place.run_all(&["history", "invoice/1"]).ok();
    assert_eq!((nobody.out.as_str(), nobody.err.as_str()), ("", "no event is about invoice/1\n"));
}

#[test]
fn tail_shows_the_newest_oldest_first() {
    let place = Place::with(EVENTS);
    let newest = place.run_all(&["tail", "-n", "2", "--json"]).ok().json_lines();
    assert_eq!(newest.iter().map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>(), ["42", "c"]);
    let of_one = place.run_all(&["tail", "-n", "1", "--tenant", "acme", "--json"]).ok().json_lines();
    assert_eq!(of_one[0]["id"], "42");
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
fn a_closed_pipe_ends_quietly() {
    let place =
        Place::with(&"{\"action\":\"a\",\"description\":\"long enough to fill the pipe\"}\n".repeat(2_000));
    for arguments in [
        &["query", "--json"][..],
        &["query", "--limit", "2000"],
        &["export", "--format", "csv"],
        &["--help"],
        &["completions", "bash"],
    ] {
        let mut command = place.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = support::finish(child).ok();
        assert_eq!(ran.err, "", "{arguments:?}");
    }
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
