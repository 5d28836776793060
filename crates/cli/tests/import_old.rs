//! `trailseal import` of what other audit logs have today: tables by URL, in dumps, in files of SQLite; a file of JSON lines; blocks.
//! The data is made up, in the applications' own tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../postgres/tests/server/mod.rs"]
mod postgres;
mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::{Answer, Place};

const TABLES: &str = include_str!("../../postgres/tests/tables.sql");
const BUD: &str = include_str!("../../import/tests/old/audit_trail.jsonl");
const ORCHESTRATOR: &str = include_str!("../../import/tests/old/audit_events.jsonl");

const YACHT: &str = "85fe1119-b04c-41ac-80f1-829d23322598";
const USER: &str = "6f9619ff-8b86-4011-b42d-00c04fc964ff";

/// A server with the applications' tables, and rows in them.
fn database() -> postgres::Server {
    let server = postgres::Server::start_own(&[]);
    server.execute(
        &TABLES
            .replace("SCHEMA before;", "SCHEMA audit;")
            .replace("before.audit_entries", "audit.audit_entries")
            .replace("before_resync", "resync")
            .replace("before.", "public."),
    );
    let insert = |table: &str, row: &Value| {
        let text = row.to_string().replace('\'', "''");
        server.execute(&format!(
            "INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, '{text}')"
        ));
    };
    for line in BUD.lines() {
        let mut row: Value = serde_json::from_str(line).unwrap();
        row["created_at"] = row["timestamp"].clone();
        row["modified_at"] = row["timestamp"].clone();
        insert("public.audit_trail", &row);
    }
    let snake = |name: &Value| {
        let mut out = String::new();
        for letter in name.as_str().unwrap().chars() {
            if letter.is_ascii_uppercase() && !out.is_empty() {
                out.push('_');
            }
            out.push(letter.to_ascii_lowercase());
        }
        Value::String(out)
    };
    for line in ORCHESTRATOR.lines() {
        let mut row: Value = serde_json::from_str(line).unwrap();
        for key in ["event_type", "resource_type"] {
            row[key] = snake(&row[key]);
        }
        // As a driver stores nanoseconds: the rest is cut off, not rounded.
        let time = row["timestamp"].as_str().unwrap().trim_end_matches('Z').to_owned();
        row["timestamp"] = format!("{}Z", time.get(..26).unwrap_or(&time)).into();
        match row["result"]["Failure"].clone() {
            Value::Null => row["result"] = snake(&row["result"]),
            error => (row["result"], row["result_error"]) = ("failure".into(), error),
        }
        insert("public.audit_events", &row);
    }
    for number in 0..3 {
        let time = format!("2026-01-0{}T10:00:00.5+02:00", number + 1);
        let thing = format!("0a0a0a0a-8b86-4011-b42d-00c04fc964f{number}");
        insert(
            "public.pms_audit_log",
            &json!({"id": format!("00000000-0000-4000-8000-00000000000{number}"), "yacht_id": YACHT,
            "action": "update_work_order", "entity_type": "work_order", "entity_id": thing, "user_id": USER,
            "old_values": {"status": "open"}, "new_values": {"status": "tab\there\\N"}, "signature": {}, "created_at": time}),
        );
        insert(
            "public.audit_logs",
            &json!({"id": format!("00000000-0000-7000-8000-00000000000{number}"), "tenant_id": YACHT,
            "user_id": USER, "assumed_by_user_id": thing, "action": "identity.assumed", "entity_type": "user",
            "changes": {"_assumed_identity": {"reason": "help"}}, "status": "failure", "error_message": "no\nway",
            "created_at": "2026-01-01T10:00:00"}),
        );
        insert(
            "audit.audit_entries",
            &json!({"id": number + 1, "action": "config_change", "user_id": "anna", "entity_type": "setting",
            "entity_id": "limit", "old_value": 5, "new_value": {"n": 7.50}, "timestamp": time,
            "metadata": {"details": {}, "correlation_id": "c1", "source_component": "main", "severity": "WARNING"}}),
        );
    }
    server
}

fn import(place: &Place, from: &str, source: &str) -> Answer {
    place.run_all(&["import", "--json", "--from", from, source])
}

fn dump(server: &postgres::Server, more: &[&str]) -> Vec<u8> {
    let mut command = Command::new(postgres::program("pg_dump"));
    // Another zone than ours: times stay the same.
    command.env("PGTZ", "Asia/Kolkata").arg(server.url_text()).args(more);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn counts(summary: &Value) -> [u64; 4] {
    let count = |key: &str| summary[key].as_u64().unwrap();
    [count("read"), count("recorded"), count("repeated"), summary["failed"].as_array().unwrap().len() as u64]
}

#[test]
fn a_table_gives_the_same_events_by_url_and_from_dumps() {
    let (server, place) = (database(), Place::new());
    let url = server.url_text();
    for (format, rows) in [
        ("audit_trail", 8),
        ("audit_events", 7),
        ("pms_audit_log", 3),
        ("audit-logs", 3),
        ("audit_entries", 3),
    ] {
        let summary = import(&place, format, url).ok().json();
        assert_eq!(counts(&summary), [rows, rows, 0, 0], "{format}: {summary:#}");
        assert_eq!(summary["defaulted"], json!({}), "{format}");
        match format {
            "audit_trail" => assert_eq!(
                summary["hashes"],
                json!({"held": 7, "without": 1, "failed": [], "failed_more": 0})
            ),
            "audit_events" => assert_eq!(
                summary["hashes"],
                json!({"held": 7, "without": 0, "failed": [], "failed_more": 0})
            ),
            _ => assert_eq!(summary["hashes"], Value::Null),
        }
        assert_eq!(counts(&import(&place, format, url).ok().json()), [rows, 0, rows, 0], "{format} again");
        for (name, more) in [
            ("copy.sql", &[][..]),
            ("inserts.sql", &["--inserts"]),
            ("rows.sql", &["--column-inserts", "--rows-per-insert=2", "--data-only"]),
        ] {
            place.write(name, dump(&server, more));
            let summary = import(&place, format, name).ok().json();
            assert_eq!(counts(&summary), [rows, 0, rows, 0], "{format} {name}: {summary:#}");
        }
    }
    assert_eq!(place.run("query --count").ok().out, "24\n");
    // What became of a row of each.
    let found = |words: &str| -> Value {
        let out = place.run(&format!("query --format jsonl {words}")).ok().out;
        serde_json::from_str(out.lines().next().unwrap_or_else(|| panic!("{words} finds nothing"))).unwrap()
    };
    let event = found("--action update_work_order --since 2026-01-03T00:00:00Z");
    assert_eq!(
        (&event["id"], &event["tenant"]),
        (&json!("00000000-0000-4000-8000-000000000002"), &json!(YACHT))
    );
    assert_eq!(
        (&event["time"], &event["after"]["status"]),
        (&json!("2026-01-03T08:00:00.500000Z"), &json!("tab\there\\N"))
    );
    let event = found("--action identity.assumed --actor 0a0a0a0a-8b86-4011-b42d-00c04fc964f1");
    assert_eq!(event["on_behalf_of"], json!({"id": USER, "reason": "help"}));
    assert_eq!((&event["outcome"], &event["error"]), (&json!("failure"), &json!("no\nway")));
    let event = found("--action config_change --severity warning");
    assert_eq!(
        (&event["before"], &event["after"], &event["context"]["component"]),
        (&json!(5), &json!({"n": 7.50}), &json!("main"))
    );
    let event = found("--action workflow.execute --outcome failure");
    assert_eq!(
        (&event["error"], &event["duration_ms"], &event["category"]),
        (&json!("boom | bang"), &json!(1200), &json!("workflow"))
    );
    let event = found("--action login_failed --outcome failure --category authentication");
    assert_eq!(event["context"]["ip"], "192.0.2.8");
    place.run("verify").ok();

    // One that was changed is named, and the rest goes in: here it is all there.
    server.execute(
        "UPDATE audit_trail SET action = 'delete' WHERE id = '00000000-0000-0000-0000-000000000001'",
    );
    let summary = import(&place, "audit_trail", url).no().json();
    assert_eq!(counts(&summary), [8, 0, 7, 1], "{summary:#}");
    let failed = &summary["hashes"]["failed"][0];
    assert_eq!(failed["line"], 1);
    assert!(failed["reason"].as_str().unwrap().contains("does not fit"), "{summary:#}");
    let fresh = Place::new();
    let answer = fresh.run_all(&["import", "--from", "audit_trail", url]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(
        answer.err.contains("line 1: does not verify: record 00000000-0000-0000-0000-000000000001"),
        "{}",
        answer.err
    );
    assert!(
        answer.err.contains("8 read, 8 recorded")
            && answer.err.contains("6 hold, 1 do not; 1 records have none"),
        "{}",
        answer.err
    );
}

#[test]
fn which_table_is_said_and_what_is_hidden_is_no_secret_gap() {
    let (server, place) = (database(), Place::new());
    let url = server.url_text();
    import(&place, "auto", url).could_not(&[
        "public.audit_logs (audit_logs)",
        "resync.audit_logs (resync_audit_logs)",
        "--from",
    ]);
    import(&place, "cloudtrail", url).could_not(&["is a database", "pms_audit_log"]);
    import(&place, "audit_queue", url).could_not(&["no table audit_queue", "--from"]);
    place.write("dump.sql", dump(&server, &[]));
    import(&place, "auto", "dump.sql").could_not(&["is a dump", "--from"]);
    place.write("dump.bin", dump(&server, &["-Fc"]));
    import(&place, "audit_trail", "dump.bin").could_not(&["pg_restore -f -"]);
    assert!(!place.path("trail").exists(), "nothing was recorded");

    // A role that sees only some rows is told so, rather than that these are all.
    server.execute(
        "CREATE ROLE captain LOGIN PASSWORD 's3cr3t'; GRANT SELECT ON pms_audit_log TO captain; \
         ALTER TABLE pms_audit_log ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON pms_audit_log USING (yacht_id IS NULL)",
    );
    server.require_password("captain");
    let with = |login: &str, password: Option<&str>| {
        let url = url.replace("test@", login);
        let mut command = place.command(&["import", "--from", "pms_audit_log", &url]);
        command.envs(password.map(|password| ("PGPASSWORD", password)));
        Answer::of(command, b"")
    };
    for answer in [with("captain:s3cr3t@", None), with("captain@", Some("s3cr3t"))] {
        assert!(!answer.err.contains("s3cr3t") && !answer.out.contains("s3cr3t"), "{answer:?}");
        answer.could_not(&["row-level security"]);
    }
    with("captain:wr0ng@", None).could_not(&["password"]);
    let answer = place.run("import --from pms_audit_log mysql://me:s3cr3t@db/x");
    assert!(!answer.err.contains("s3cr3t"), "{answer:?}");
    answer.could_not(&["postgres://", "dump"]);
}

#[test]
fn a_large_table_is_read_through_a_cursor() {
    let (server, place) = (database(), Place::new());
    server.execute(
        "INSERT INTO audit.audit_entries (id, action, user_id, timestamp, metadata) SELECT n + 100, 'a', 'u' || n, \
         '2025-01-01'::timestamptz + n * interval '1 second', jsonb_build_object('n', n, 'text', repeat('x', n % 500)) \
         FROM generate_series(1, 20000) AS n",
    );
    let summary = import(&place, "audit_entries", server.url_text()).ok().json();
    assert_eq!(counts(&summary), [20_003, 20_003, 0, 0]);
    // A server that fails is said, and is no end of the table.
    server.execute("DROP TABLE public.audit_logs");
    server.execute(
        "CREATE VIEW public.audit_logs AS SELECT n::text AS id, 't' AS tenant_id, 'a' AS action, now() AS created_at, \
         10 / (15000 - n) AS odd FROM generate_series(1, 20000) AS n",
    );
    let fresh = Place::new();
    let summary = import(&fresh, "audit_logs", server.url_text()).no().json();
    let failed = summary["failed"][0]["reason"].as_str().unwrap();
    assert!(failed.contains("division by zero"), "{summary:#}");
}

#[test]
fn tables_in_sqlite_and_files_of_json_lines_and_blocks() {
    let place = Place::new();
    let database = rusqlite::Connection::open(place.path("audit.db")).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE audit_logs (id INTEGER NOT NULL, action VARCHAR(255) NOT NULL, user_id VARCHAR(255) NOT NULL, timestamp DATETIME,
                details TEXT, correlation_id VARCHAR(255), source_component VARCHAR(255), severity VARCHAR(50), PRIMARY KEY (id));
             CREATE TABLE audit_queue (id INTEGER PRIMARY KEY AUTOINCREMENT, memory_id TEXT NOT NULL UNIQUE, user_query TEXT NOT NULL,
                agent_response TEXT NOT NULL, ia_audit_reason TEXT, ia_audit_confidence REAL, status TEXT NOT NULL DEFAULT 'pending',
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, reviewed_at TIMESTAMP);
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1200)
             INSERT INTO audit_logs SELECT n, 'login', 'anna', '2026-01-01 10:00:00.000000', '{\"n\": ' || n || '}', 'c1', 'main', 'ERROR' FROM n;
             INSERT INTO audit_queue (memory_id, user_query, agent_response, ia_audit_confidence, status, created_at, reviewed_at)
                VALUES ('m1', 'q', 'a', 0.25, 'approved', '2026-01-01 10:00:00', '2026-01-02 10:00:00'),
                       ('m2', 'q', 'a', 0.5, 'pending', '2026-01-01 11:00:00', NULL);",
        )
        .unwrap();
    import(&place, "auto", "audit.db")
        .could_not(&["audit_logs (resync_audit_logs), audit_queue (audit_queue)"]);
    // Beside its writer.
    for _ in 0..2 {
        import(&place, "resync_audit_logs", "audit.db").ok();
    }
    assert_eq!(
        place.run("query --count --action login --severity error --correlation-id c1").ok().out,
        "1200\n"
    );
    place.write(
        "dump.sql",
        "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE audit_logs (id INTEGER NOT NULL, action VARCHAR(255) NOT NULL, user_id VARCHAR(255) \
         NOT NULL, timestamp DATETIME, details TEXT, correlation_id VARCHAR(255), source_component VARCHAR(255), severity VARCHAR(50), PRIMARY KEY (id));\n\
         INSERT INTO audit_logs VALUES(7,'login','anna','2026-01-01 10:00:00.000000','{\"n\": 7}','c1','main','ERROR');\nCOMMIT;\n",
    );
    assert_eq!(counts(&import(&place, "resync_audit_logs", "dump.sql").ok().json()), [1, 0, 1, 0]);
    assert_eq!(counts(&import(&place, "audit_queue", "audit.db").ok().json()), [2, 2, 0, 0]);
    assert_eq!(
        place.run("query --count --action review.decided --resource memory/m1 --outcome success").ok().out,
        "1\n"
    );

    // The file of 004, told by its content; and changed.
    place.write("audit.log", ORCHESTRATOR);
    let answer = place.run_all(&["import", "--from", "auto", "audit.log"]).ok();
    assert!(
        answer.err.contains("taken for audit_events") && answer.err.contains("7 hold, 0 do not"),
        "{}",
        answer.err
    );
    place.write("audit.log", ORCHESTRATOR.replace("Workflow executed", "Workflow deleted"));
    let summary = import(&place, "audit_events", "audit.log").no().json();
    assert_eq!(summary["hashes"]["failed"][0]["line"], 2);
    assert_eq!(counts(&summary), [7, 0, 6, 1], "its id is known with other content: {summary:#}");

    // 000's blocks, as its application made them, with the keys beside them; and without.
    let old = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/tests/old/blocks");
    let blocks = |from: &std::path::Path| {
        let paths = [0, 1].map(|number| from.join(format!("block_{number:06}.audit")));
        let mut arguments = vec!["import", "--json", "--from", "auto"];
        arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
        place.run_all(&arguments)
    };
    let summary = blocks(&old).ok().json();
    assert_eq!(counts(&summary), [5, 5, 0, 0], "{summary:#}");
    assert_eq!(summary["hashes"]["held"], 5);
    std::fs::create_dir(place.path("bare")).unwrap();
    for number in 0..2 {
        let name = format!("block_{number:06}.audit");
        std::fs::copy(old.join(&name), place.path("bare").join(&name)).unwrap();
    }
    let summary = blocks(&place.path("bare")).no().json();
    assert!(summary["failed"][0]["reason"].as_str().unwrap().contains("encryption_keys.json"), "{summary:#}");
}
