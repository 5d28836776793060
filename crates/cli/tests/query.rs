//! `trailseal query`, `tail`, `history` and `export`: the right events, in the promised form.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use support::{Lines, Place, Running, wait_until};

const CSV_HEADER: &str = "origin,index,id,recorded,time,tenant,category,action,severity,outcome,actor_id,\
    actor_name,on_behalf_of,resource_type,resource_id,ip,request_id,correlation_id,description,error";

/// A trail of invoices, with an event for each filter to find.
fn invoices() -> Place {
    let place = Place::new();
    let line = |action: &str, rest: &str| format!("{{\"action\":\"{action}\"{rest}}}\n");
    let mut lines = String::new();
    lines += &line(
        "invoice.create",
        ",\"tenant\":\"acme\",\"actor\":{\"id\":\"u1\",\"name\":\"Ann\"},\"resource\":{\"type\":\"invoice\",\"id\":\"a/1\"},\
         \"time\":\"2026-01-01T00:00:00Z\",\"category\":\"data_change\",\"before\":null,\"after\":{\"sum\":5}",
    );
    lines += &line(
        "invoice.update",
        ",\"tenant\":\"acme\",\"actor\":{\"id\":\"u2\"},\"on_behalf_of\":{\"id\":\"u1\"},\"outcome\":\"denied\",\
         \"resource\":{\"type\":\"invoice\",\"id\":\"a/1\"},\"time\":\"2026-02-01T00:00:00Z\",\"severity\":\"warning\",\
         \"changes\":{\"sum\":{\"before\":5,\"after\":7}}",
    );
    lines += &line(
        "invoice.delete",
        ",\"tenant\":\"zeta\",\"actor\":{\"id\":\"u1\"},\"outcome\":\"failure\",\"resource\":{\"type\":\"invoice\",\"id\":\"b\"},\
         \"time\":\"2026-03-01T00:00:00Z\",\"error\":\"no, \\\"never\\\"\",\"context\":{\"ip\":\"10.0.0.7\",\
         \"request_id\":\"r1\",\"correlation_id\":\"c1\",\"session_id\":\"s1\",\"trace_id\":\"t1\"}",
    );
    lines +=
        &line("login", ",\"id\":\"42\",\"description\":\"two\\nlines\",\"time\":\"2026-01-01T00:00:00Z\"");
    assert_eq!(place.record(&lines).len(), 4);
    place
}

#[track_caller]
fn check(place: &Place, filters: &str, wanted: &[&str]) {
    let answer = place.run(&format!("query --order asc --order-by recorded --format jsonl {filters}")).ok();
    assert_eq!(answer.field("action"), wanted, "{filters}");
    let count = place.run(&format!("query --count --limit 1 {filters}")).ok();
    assert_eq!(count.out, format!("{}\n", wanted.len()), "{filters}");
    let exported = place.run(&format!("export --format jsonl {filters}")).ok();
    assert_eq!(exported.out, answer.out, "{filters}");
    let tailed = place.run(&format!("tail -n 100 --format jsonl {filters}")).ok();
    assert_eq!(tailed.out, answer.out, "{filters}");
}

#[test]
fn each_filter_finds_its_events_in_query_count_export_and_tail() {
    let place = invoices();
    let (create, update, delete) = ("invoice.create", "invoice.update", "invoice.delete");
    for (filters, wanted) in [
        ("", &[create, update, delete, "login"][..]),
        ("--tenant acme", &[create, update]),
        ("--tenant acme --tenant zeta", &[create, update, delete]),
        ("--tenant nobody", &[]),
        ("--actor u1", &[create, delete]),
        ("--actor Ann", &[create]),
        ("--on-behalf-of u1", &[update]),
        ("--action invoice.*", &[create, update, delete]),
        ("--action *.delete", &[delete]),
        ("--action invoice", &[]),
        ("--category data_change", &[create]),
        ("--category custom:other --action login", &["login"]),
        ("--resource invoice", &[create, update, delete]),
        ("--resource invoice/a/1", &[create, update]),
        ("--resource invoice/b", &[delete]),
        ("--outcome denied", &[update]),
        ("--outcome denied --outcome failure", &[update, delete]),
        ("--severity warning", &[update]),
        ("--ip 10.0.0.7", &[delete]),
        ("--request-id r1", &[delete]),
        ("--correlation-id c1", &[delete]),
        ("--session-id s1", &[delete]),
        ("--trace-id t1", &[delete]),
        ("--since 2026-02-01", &[update, delete]),
        ("--until 2026-02-01", &[create, "login"]),
        ("--since 2026-02-01T00:00:00Z --until 2026-03-01T00:00:00Z", &[update]),
        ("--text never", &[delete]),
        ("--text two", &["login"]),
        ("--id id:42", &["login"]),
        ("--origin nowhere", &[]),
        ("--tenant acme --outcome denied --actor u2", &[update]),
    ] {
        check(&place, filters, wanted);
    }
    let origin = place.run("stats --json").ok().json()["origin"].as_str().unwrap().to_owned();
    check(&place, &format!("--origin {origin} --actor u2"), &[update]);
}

#[test]
fn digits_alone_are_an_index_and_id_before_them_an_id() {
    let place = Place::new();
    let receipts = place
        .record("{\"action\":\"a\"}\n{\"action\":\"b\",\"id\":\"1\"}\n{\"action\":\"c\",\"id\":\"word\"}\n");
    let index = receipts[0]["index"].to_string();
    check(&place, &format!("--id {index}"), &["a"]);
    check(&place, "--id id:1", &["b"]);
    check(&place, "--id word", &["c"]);
}

#[test]
fn values_that_no_filter_has_are_refused_with_what_is_possible() {
    let place = invoices();
    place.run("query --outcome maybe").could_not(&["--outcome", "maybe", "denied"]);
    place.run("query --severity loud").could_not(&["--severity", "loud", "critical"]);
    place.run("query --since soon").could_not(&["--since", "soon", "24h"]);
    place.run("query --cursor nonsense").could_not(&["--cursor"]);
    place.run("query --order up").could_not(&["up", "asc", "desc"]);
    place.run("query --limit many").could_not(&["many"]);
    place.run("query --no-such-flag").could_not(&["--no-such-flag"]);
    place.run("nonsense").could_not(&["nonsense", "--help"]);
    place.run("history invoice").could_not(&["invoice", "TYPE/ID"]);
}

#[test]
fn jsonl_is_the_exact_bytes_of_the_lines() {
    let place = Place::new();
    place.record("{\"action\":\"a\u{7f}\u{9b}31mred\\u001b[31m\",\"details\":{\"z\":1.50,\"a\":\"\u{1f600}\"}}\n{\"action\":\"b\"}");
    let stored = std::fs::read_to_string(place.segment()).unwrap();
    assert_eq!(place.run("query --system --order asc --format jsonl").ok().out, stored);
    assert_eq!(place.run("query --system --order asc --json").ok().out, stored);
    assert_eq!(place.run("export --system --format jsonl").ok().out, stored);
    place.run("export --system --format jsonl --out copy.jsonl").ok();
    assert_eq!(place.read("copy.jsonl"), stored);
}

#[test]
fn csv_has_the_promised_header_and_quotes() {
    let place = invoices();
    for command in ["query --order asc --format csv", "export --format csv"] {
        let answer = place.run(command).ok();
        assert_eq!(answer.first_line(), CSV_HEADER);
        assert!(answer.out.contains(",\"no, \"\"never\"\"\"\n"), "{answer:#?}");
        assert!(answer.out.contains("\"two\nlines\""), "{answer:#?}");
        let first: Vec<&str> = answer.out.lines().nth(1).unwrap().split(',').collect();
        assert_eq!(first.len(), CSV_HEADER.split(',').count());
        assert_eq!(first[5..8], ["acme", "data_change", "invoice.create"]);
        assert_eq!(first[10..15], ["u1", "Ann", "", "invoice", "a/1"]);
    }
    // Without events there is still a header.
    assert_eq!(place.run("query --format csv --tenant nobody").ok().out, format!("{CSV_HEADER}\n"));
}

#[test]
fn cursors_page_through_everything_once_in_both_orders() {
    let place = Place::new();
    place.import_samples();
    for order in ["asc", "desc"] {
        let whole = place.run(&format!("query --format jsonl --order {order}")).ok().field("index");
        assert_eq!(whole.len(), 801);
        let mut paged = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = place.run(&format!("query --format jsonl --order {order} --limit 267 {cursor}")).ok();
            paged.extend(page.field("index"));
            let Some((_, rest)) = page.err.split_once("--cursor ") else { break };
            cursor = format!("--cursor {}", rest.split_whitespace().next().unwrap());
        }
        assert_eq!(paged, whole, "{order}");
    }
}

#[test]
fn cursors_of_no_trail_or_another_one_are_refused() {
    let place = Place::with_events(&["a", "b", "c"]);
    // No text of ours, one without a trail, and one of a trail that is not here.
    let other = "MmQBAgMEBQYHCAAD";
    for cursor in ["garbage", "MmQ", other] {
        for more in ["", " --count", " --format jsonl"] {
            place
                .run(&format!("query --cursor {cursor}{more}"))
                .could_not(&["--cursor is not a cursor of this program"]);
        }
    }
    let told = place.run("query --limit 1").ok().err;
    let cursor = told.split("--cursor ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert_eq!(place.run(&format!("query --count --cursor {cursor}")).ok().out.trim(), "3");
}

#[test]
fn newest_are_first_and_a_table_stops_at_fifty() {
    let place = Place::new();
    let lines: String = (0..60).map(|number| format!("{{\"action\":\"n{number}\"}}\n")).collect();
    place.record(&lines);
    let table = place.run("query").ok();
    assert_eq!(table.out.lines().count(), 51, "a header and fifty");
    assert!(table.err.contains("there are more") && table.err.contains("--limit"), "{table:#?}");
    assert!(table.out.lines().nth(1).unwrap().contains("n59"));
    assert_eq!(place.run("query --format jsonl").ok().out.lines().count(), 60);
    assert_eq!(place.run("query --format csv").ok().out.lines().count(), 61);
    assert_eq!(place.run("query --limit 55").ok().out.lines().count(), 56);
    assert_eq!(place.run("query --limit 3 --format jsonl").ok().field("action"), ["n59", "n58", "n57"]);
    assert_eq!(place.run("query --count").ok().out, "60\n");
    assert_eq!(place.run("query --count --json").ok().json(), serde_json::json!({"count": 60}));
}

#[test]
fn no_match_is_no_failure_and_no_trail_is() {
    let place = Place::with_events(&["a"]);
    let answer = place.run("query --actor nobody").ok();
    assert_eq!((answer.out.as_str(), answer.err.as_str()), ("", "no event matches\n"));
    assert_eq!(place.run("query --actor nobody --format jsonl").ok().out, "");
    for command in
        ["query", "tail", "history a/b", "verify", "checkpoint", "prove 1", "stats", "key show", "key rotate"]
    {
        place.run(&format!("{command} --dir nowhere")).could_not(&["nowhere"]);
    }
    place.run("export --format jsonl --dir nowhere").could_not(&["nowhere"]);
    std::fs::create_dir(place.path("empty")).unwrap();
    place.run("query --dir empty").could_not(&["empty"]);
    assert_eq!(std::fs::read_dir(place.path("empty")).unwrap().count(), 0);
    assert!(!place.path("nowhere").exists());
}

#[test]
fn tail_shows_the_newest_oldest_of_them_first() {
    let place = Place::with_events(&["a", "b", "c", "d"]);
    assert_eq!(place.run("tail -n 2 --format jsonl").ok().field("action"), ["c", "d"]);
    assert_eq!(place.run("tail --json").ok().field("action"), ["a", "b", "c", "d"]);
    assert_eq!(place.run("tail -n 0").ok().out, "");
}

#[test]
fn a_follower_shows_events_as_they_come() {
    let place = Place::with_events(&["old.1", "old.2"]);
    let mut child = Running(
        place.command(&["tail", "-n", "1", "-f", "--format", "jsonl", "--action", "*.*"]).spawn().unwrap(),
    );
    let lines = Lines::of(child.0.stdout.take().unwrap());
    assert!(lines.wait().contains("old.2"));
    place.record("{\"action\":\"ignored\"}\n{\"action\":\"new.1\"}");
    assert!(lines.wait().contains("new.1"));
    place.record("{\"action\":\"new.2\"}");
    assert!(lines.wait().contains("new.2"));
}

#[test]
fn a_history_says_what_changed() {
    let place = invoices();
    let table = place.run("history invoice/a/1").ok();
    assert!(table.out.contains("invoice.create") && table.out.contains("invoice.update"), "{table:#?}");
    assert!(!table.out.contains("invoice.delete"), "{table:#?}");
    assert!(table.out.contains("sum: 5 → 7"), "{table:#?}");
    assert!(table.out.find("invoice.create") < table.out.find("invoice.update"), "oldest first");
    let lines = place.run("history invoice/a/1 --format jsonl").ok();
    assert_eq!(lines.field("action"), ["invoice.create", "invoice.update"]);
    let nothing = place.run("history invoice/none").ok();
    assert_eq!(nothing.out, "");
    assert!(nothing.err.contains("invoice/none"), "{nothing:#?}");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let place = Place::new();
    let lines: String = (0..20_000).map(|number| format!("{{\"action\":\"n{number}\"}}\n")).collect();
    place.feed("record", lines).ok();
    for command in [
        &["query", "--format", "jsonl"][..],
        &["query", "--limit", "20000"],
        &["query", "--format", "csv"],
        &["export", "--format", "jsonl"],
        &["tail", "-n", "20000"],
        &["completions", "bash"],
        &["query", "--help"],
    ] {
        let mut child = place.command(command).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::with_capacity(16, child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        drop(output);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{command:?}");
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), "", "{command:?}");
    }
}

#[test]
fn a_writer_at_work_does_not_keep_readers_out() {
    let place = Place::with_events(&["before"]);
    let mut command = place.command(&["record", "--json", "--ack", "durable"]);
    let mut writer = Running(command.stdin(Stdio::piped()).spawn().unwrap());
    let mut input = writer.0.stdin.take().unwrap();
    let receipts = Lines::of(writer.0.stdout.take().unwrap());
    writeln!(input, "{{\"action\":\"during\"}}").unwrap();
    receipts.wait();
    assert_eq!(place.run("query --order asc --format jsonl").ok().field("action"), ["before", "during"]);
    place.run("verify").ok();
    wait_until("it is sealed", || place.run("stats --json").ok().json()["unsealed"] == 0);
    place.run("prove id:none").no();
    assert_eq!(place.run("stats --json").ok().json()["in_use"], true);
    drop(input);
    assert!(writer.0.wait().unwrap().success());
    assert_eq!(place.run("stats --json").ok().json()["in_use"], false);
}

#[test]
fn a_folder_that_cannot_be_written_is_read_and_nothing_in_it_changes() {
    let place = invoices();
    let snapshot = || {
        let mut names: Vec<_> = walk(&place.path("trail"));
        names.sort();
        names
    };
    let before = snapshot();
    set_writable(&place.path("trail"), false);
    for command in
        ["query", "tail", "history invoice/b", "verify", "checkpoint", "prove id:42", "stats", "key show"]
    {
        place.run(command).ok();
    }
    place.run("export --format csv").ok();
    place.run("export --format bundle --out b.zip").ok();
    set_writable(&place.path("trail"), true);
    assert_eq!(snapshot(), before);
}

/// Every file below a folder, with its time of change and length.
fn walk(folder: &std::path::Path) -> Vec<(std::path::PathBuf, std::time::SystemTime, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let data = entry.metadata().unwrap();
        if data.is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push((entry.path(), data.modified().unwrap(), data.len()));
        }
    }
    found
}

fn set_writable(folder: &std::path::Path, writable: bool) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = if writable { 0o755 } else { 0o555 };
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            set_writable(&path, writable);
        }
    }
}

#[test]
fn a_table_fits_the_columns_that_there_are() {
    let place = Place::new();
    place.import_samples();
    for width in [50, 60, 80, 100, 140] {
        let mut command = place.command(&["query", "--limit", "200"]);
        command.env("COLUMNS", width.to_string());
        let answer = support::Answer::of(command, b"").ok();
        let widest = answer.out.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width, "{widest} columns in a terminal of {width}");
        assert!(!answer.out.contains('\u{1b}'), "colours in a file");
        assert!(answer.out.lines().all(|line| line == line.trim_end()), "blanks at the end of a line");
    }
}

#[test]
fn what_an_event_says_cannot_move_the_cursor_of_a_terminal() {
    let place = Place::new();
    place.record("{\"action\":\"a\\u001b[2J\\u202eb\\r\",\"actor\":{\"id\":\"\\u009b31m\"},\"resource\":{\"type\":\"x\\ny\",\"id\":\"1\"}}");
    let answer = place.run("query").ok();
    assert_eq!(answer.out.lines().count(), 2, "{answer:#?}");
    assert!(!answer.out.contains(['\u{1b}', '\u{202e}', '\r', '\u{9b}']), "{answer:#?}");
}
