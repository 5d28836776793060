//! `trailseal export --format parquet|sqlite`, opened by others: DuckDB and the `sqlite3` command.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::{Answer, Place};

/// Somebody else's program that reads what we export.
#[derive(Clone, Copy, Debug)]
enum Stranger {
    DuckDb,
    Sqlite3,
}

const STRANGERS: [Stranger; 2] = [Stranger::DuckDb, Stranger::Sqlite3];

impl Stranger {
    fn format(self) -> &'static str {
        match self {
            Stranger::DuckDb => "parquet",
            Stranger::Sqlite3 => "sqlite",
        }
    }

    /// Exports to the file `events.FORMAT`.
    #[track_caller]
    fn export(self, place: &Place, flags: &str) -> Answer {
        let format = self.format();
        place.run(&format!("export --format {format} --out events.{format} {flags}")).ok()
    }

    /// The rows that a query of that file gives.
    #[track_caller]
    fn query(self, place: &Place, sql: &str) -> Vec<Value> {
        let file = place.path(&format!("events.{}", self.format()));
        let output = match self {
            Stranger::DuckDb => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../strangers/duckdb/query.py");
                let mut command = Command::new(python());
                command.arg(script).arg(file).arg(sql).current_dir(place.path("")).output()
            }
            Stranger::Sqlite3 => {
                Command::new("sqlite3").args(["-batch", "-readonly", "-json"]).arg(file).arg(sql).output()
            }
        };
        let output = output.expect("it can be started: `cargo xtask test` installs it");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        match self {
            Stranger::DuckDb => text.lines().map(|row| serde_json::from_str(row).unwrap()).collect(),
            Stranger::Sqlite3 if text.is_empty() => Vec::new(),
            Stranger::Sqlite3 => {
                let rows: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&text).unwrap();
                rows.into_iter().map(|row| row.into_iter().map(|(_, value)| value).collect()).collect()
            }
        }
    }

    /// Asks for one number.
    #[track_caller]
    fn number(self, place: &Place, sql: &str) -> u64 {
        self.query(place, sql)[0][0].as_u64().unwrap()
    }
}

/// Python with DuckDB, in the target folder or, for a build in a folder within it, above.
fn python() -> PathBuf {
    let mut folders = Path::new(env!("CARGO_TARGET_TMPDIR")).ancestors();
    let found = folders.find_map(|folder| {
        let python = folder.join("strangers/bin/python3");
        python.exists().then_some(python)
    });
    found.expect("DuckDB is there: `cargo xtask test` puts it into the target folder")
}

fn count(place: &Place, flags: &str) -> u64 {
    place.run(&format!("query --count {flags}")).ok().out.trim().parse().unwrap()
}

#[test]
fn a_dash_is_standard_output() {
    let place = Place::with_events(&["a", "b"]);
    for words in ["export --format jsonl", "prove 0"] {
        let plain = place.run(words).ok().out;
        assert_eq!(place.run(&format!("{words} --out -")).ok().out, plain, "{words}");
    }
    assert!(!place.path("-").exists());
}

#[test]
fn strangers_count_and_group_the_real_records_as_we_do() {
    let place = Place::new();
    place.import_samples();
    let mut by_action = BTreeMap::new();
    for action in place.run("query --format jsonl").ok().field("action") {
        *by_action.entry(action).or_insert(0) += 1;
    }
    assert!(by_action.len() > 50, "{by_action:?}");
    let wanted: Vec<Value> = by_action.iter().map(|(action, count)| json!([action, count])).collect();
    for stranger in STRANGERS {
        let told = stranger.export(&place, "");
        assert_eq!(told.err, "801 events exported\n", "{stranger:?}");
        assert_eq!(stranger.number(&place, "SELECT count(*) FROM events"), count(&place, ""), "{stranger:?}");
        let grouped =
            stranger.query(&place, "SELECT action, count(*) FROM events GROUP BY action ORDER BY action");
        assert_eq!(grouped, wanted, "{stranger:?}");
        for (condition, flag) in [
            ("outcome = 'failure'", "--outcome failure"),
            ("outcome = 'denied'", "--outcome denied"),
            (
                "severity <> 'info'",
                "--severity warning --severity error --severity notice --severity critical",
            ),
            ("actor_id = 'kubernetes-admin' OR actor_name = 'kubernetes-admin'", "--actor kubernetes-admin"),
            ("resource_type = 'pods'", "--resource pods"),
        ] {
            let found = stranger.number(&place, &format!("SELECT count(*) FROM events WHERE {condition}"));
            assert_eq!(found, count(&place, flag), "{stranger:?}: {condition}");
        }
    }
}

#[test]
fn strangers_get_every_line_byte_for_byte_and_in_order() {
    let place = Place::new();
    place.import_samples();
    let lines = place.lines();
    for stranger in STRANGERS {
        stranger.export(&place, "--system");
        let rows = stranger.query(&place, "SELECT \"index\", line, system FROM events");
        assert!(rows.len() > 801, "{stranger:?}: the trail's own events are missing");
        for (place, (row, line)) in rows.iter().zip(&lines).enumerate() {
            assert_eq!(row[0], place, "{stranger:?}");
            assert_eq!(row[1], line.as_str(), "{stranger:?}");
            assert_eq!(
                [json!(true), json!(1)].contains(&row[2]),
                line.contains(",\"system\":true,"),
                "{line}"
            );
        }
        assert_eq!(rows.len(), lines.len(), "{stranger:?}");
        assert_eq!(stranger.number(&place, "SELECT count(DISTINCT origin) FROM events"), 1);
    }
}

#[test]
fn columns_hold_what_the_line_says_in_types_that_sql_can_use() {
    let place = Place::new();
    place.record(
        r#"{"id":"n1","action":"invoice.pay","outcome":"denied","time":"2026-05-01T12:00:00.25+02:00","duration_ms":12.5,"tenant":"a\u0000b","actor":{"id":"ü\"1'"},"context":{"ip":"10.0.0.1","host":"h"},"before":{"sum":1.50},"after":{"sum":2},"related":[{"type":"x","id":"1"}],"details":{"deep":{"list":[1,2,3]}}}"#,
    );
    place.record(r#"{"id":"n2","action":"invoice.void"}"#);
    for stranger in STRANGERS {
        stranger.export(&place, "");
        let get = |expression: &str| {
            let sql = format!("SELECT {expression} FROM events ORDER BY \"index\"");
            stranger.query(&place, &sql).into_iter().map(|row| row[0].clone()).collect::<Vec<_>>()
        };
        assert_eq!(get("id"), ["n1", "n2"]);
        assert_eq!(get("duration_ms * 2"), [json!(25.0), Value::Null], "{stranger:?}");
        assert_eq!(get("actor_id"), [json!("ü\"1'"), Value::Null], "{stranger:?}");
        assert_eq!(get("before"), [json!(r#"{"sum":1.50}"#), Value::Null], "{stranger:?}");
        assert_eq!(get("changes")[0], r#"{"sum":{"before":1.50,"after":2}}"#, "{stranger:?}");
        assert_eq!(get("related")[0], r#"[{"type":"x","id":"1"}]"#, "{stranger:?}");
        assert_eq!(get("context")[0], r#"{"ip":"10.0.0.1","host":"h"}"#, "{stranger:?}");
        assert_eq!(get("hex(CAST(tenant AS BLOB))")[0], "610062", "{stranger:?}: cut at a zero byte");
        assert_eq!(get("outcome"), [json!("denied"), Value::Null], "{stranger:?}: nobody said");
        assert_eq!(get("service IS NULL AND masked IS NULL AND sample_rate IS NULL").len(), 2);
        let (list, time, kind) = match stranger {
            Stranger::DuckDb => ("details->>'$.deep.list[2]'", "epoch_us(time)::VARCHAR", "typeof(time)"),
            Stranger::Sqlite3 => ("CAST(details->>'$.deep.list[2]' AS TEXT)", "time", "typeof(time)"),
        };
        assert_eq!(get(list), [json!("3"), Value::Null], "{stranger:?}");
        let wanted = match stranger {
            Stranger::DuckDb => ["1777629600250000", "TIMESTAMP WITH TIME ZONE"],
            Stranger::Sqlite3 => ["2026-05-01T10:00:00.250000Z", "text"],
        };
        assert_eq!([&get(time)[0], &get(kind)[0]], wanted, "{stranger:?}");
    }
}

#[test]
fn filters_decide_what_is_exported_and_nothing_is_a_table_too() {
    let place = Place::with_events(&["a.x", "b.x", "a.y"]);
    for stranger in STRANGERS {
        for (flags, wanted) in [("--action a.*", 2), ("--action none", 0), ("--origin elsewhere", 0), ("", 3)]
        {
            stranger.export(&place, flags);
            let found = stranger.number(&place, "SELECT count(*) FROM events");
            assert_eq!(found, wanted, "{stranger:?} {flags}");
        }
    }
}

#[test]
fn files_are_whole_and_their_owners_alone() {
    let place = Place::with_events(&["a"]);
    for format in ["parquet", "sqlite", "jsonl", "csv"] {
        place.write("out", "what was there");
        place.write("out.part", "what a killed command left");
        let ran = place.run(&format!("export --format {format} --out out --json")).ok();
        assert_eq!(ran.json()["count"], 1, "{format}");
        let mode = std::fs::metadata(place.path("out")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{format}");
        let mut names: Vec<_> =
            std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["out", "trail"], "{format}");
        place
            .run(&format!("export --format {format} --out no/such/x"))
            .could_not(&["could not make no/such/x"]);
    }
}

#[test]
fn sqlite_needs_a_file_and_says_so() {
    let place = Place::with_events(&["a"]);
    place.run("export --format sqlite").could_not(&["SQLite", "--out FILE"]);
    place.run("export --format sqlite --out /dev/null").could_not(&["/dev/null", "regular file"]);
    place.run("export --format sqlite --dir nowhere --out x.sqlite").could_not(&["nowhere"]);
    assert!(!place.path("x.sqlite").exists() && !place.path("x.sqlite.part").exists());
}

#[test]
fn names_that_mean_more_to_sqlite_are_only_names() {
    let place = Place::with_events(&["a"]);
    for name in ["file:x?mode=memory", ":memory:", "a b%20?#'\""] {
        place.run_all(&["export", "--format", "sqlite", "--out", name]).ok();
        let bytes = std::fs::read(place.path(name)).unwrap();
        assert!(bytes.starts_with(b"SQLite format 3\0"), "{name}: {} bytes", bytes.len());
    }
}

#[test]
fn parquet_streams_to_a_pipe_that_may_be_closed() {
    let place = Place::new();
    place.record(&"{\"action\":\"a\",\"details\":{\"text\":\"é\\\"\"}}\n".repeat(3_000));
    Stranger::DuckDb.export(&place, "");
    let piped = place.command(&["export", "--format", "parquet"]).output().unwrap();
    assert!(piped.status.success());
    assert_eq!(piped.stdout, std::fs::read(place.path("events.parquet")).unwrap());
    let mut child = place.command(&["export", "--format", "parquet"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn a_line_that_cannot_be_read_is_left_out_and_told() {
    let place = Place::with_events(&["a", "b", "c"]);
    place.tamper(|lines| {
        let at = lines.iter().position(|line| line.contains("\"action\":\"b\"")).unwrap();
        lines[at] = lines[at].replace("\"b\"", "\"b");
    });
    for stranger in STRANGERS {
        let told = stranger.export(&place, "");
        assert!(told.err.contains("1 lines are unreadable"), "{told:#?}");
        assert!(told.err.ends_with("2 events exported\n"), "{told:#?}");
        let actions = stranger.query(&place, "SELECT action FROM events ORDER BY \"index\"");
        assert_eq!(actions, [json!(["a"]), json!(["c"])], "{stranger:?}");
    }
}

#[test]
fn every_query_in_the_documentation_runs() {
    let place = Place::new();
    place.import_samples();
    place.record(r#"{"action":"a","before":{"sum":1},"after":{"sum":2}}"#);
    for stranger in STRANGERS {
        stranger.export(&place, "");
    }
    let page = include_str!("../../../docs/export.md");
    let queries: Vec<&str> =
        page.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(queries.len(), 5);
    for query in queries {
        let (comment, sql) = query.trim_end_matches([';', '\n']).split_once('\n').unwrap();
        if sql.starts_with("CREATE") {
            let file = place.path("events.sqlite");
            assert!(Command::new("sqlite3").arg(file).arg(sql).status().unwrap().success(), "{sql}");
            continue;
        }
        let rows = if comment.starts_with("-- duckdb") {
            // As text: Python has no moment with a time zone without a further package.
            Stranger::DuckDb.query(&place, &format!("SELECT CAST(answer AS VARCHAR) FROM ({sql}) AS answer"))
        } else {
            assert!(comment.starts_with("-- sqlite3"), "{query}");
            Stranger::Sqlite3.query(&place, sql)
        };
        assert!(!rows.is_empty(), "{query}");
    }
}
