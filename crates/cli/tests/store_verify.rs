//! What a superuser can do to a store by SQL: `trailseal verify --store` finds each, or docs/store.md says why it cannot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "this is test code")]

#[path = "../../postgres/tests/server/mod.rs"]
mod server;
mod support;
#[path = "../../postgres/tests/trails/mod.rs"]
mod trails;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use server::Server;
use support::{Answer, Place};
use trailseal_core::Manifest;
use trailseal_core::clock::Clock;
use trailseal_core::file::StdFiles;
use trailseal_event::Timestamp;

const A: &str = "example.com/verify/a";
const B: &str = "example.com/verify/b";

/// No trigger fires, and none of the rows' own checks.
const UNGUARDED: &str = "SET session_replication_role = replica;";

/// A clock that the test sets.
struct Set(AtomicI64);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1_000, Ordering::Relaxed))
    }
}

/// A store with two trails, each with three openings in three months, and the folders of the trails.
struct Filled {
    server: Server,
    place: Place,
    databases: std::cell::Cell<u32>,
}

impl Filled {
    fn new() -> Filled {
        let (server, place) = (Server::start(), Place::new());
        for origin in [A, B] {
            for month in ["2026-01-10T08:00:00Z", "2026-02-10T08:00:00Z", "2026-03-10T08:00:00Z"] {
                let mut options = trails::options(origin);
                options.clock = Arc::new(Set(Timestamp::parse(month).unwrap().as_micros().into()));
                let trail = trails::delivering(&folder(&place, origin), options, &server.url());
                trails::record(&trail, 0..10);
                trail.close(trails::SOON).unwrap();
            }
            trails::check_equal(&server, origin, &folder(&place, origin));
        }
        Filled { server, place, databases: 0.into() }
    }

    /// The URL of a database with this name on the same server.
    fn url(&self, database: &str) -> String {
        let (authority, options) =
            self.server.url_text().split_once('?').unwrap_or((self.server.url_text(), ""));
        let at = authority.rfind('/').unwrap();
        format!("{}/{database}?{options}", &authority[..at])
    }

    /// A copy of the database, to which `sql` was done.
    fn tampered(&self, sql: &str) -> String {
        self.databases.set(self.databases.get() + 1);
        let source = self.server.value("SELECT current_database()");
        let name = format!("{source}_copy_{}", self.databases.get());
        execute(&self.url("template1"), &format!("CREATE DATABASE {name} TEMPLATE {source}"));
        let url = self.url(&name);
        execute(&url, sql);
        url
    }

    fn drop_copy(&self, url: &str) {
        let name = url.split('?').next().unwrap().rsplit('/').next().unwrap();
        execute(&self.url("template1"), &format!("DROP DATABASE {name} WITH (FORCE)"));
    }

    fn key(&self, origin: &str) -> String {
        let folder = trailseal_core::Folder::new(folder(&self.place, origin), Arc::new(StdFiles));
        let (ring, _) = Manifest::read(&folder).unwrap().unwrap().key_ring();
        ring.keys()[0].key.to_string()
    }

    /// Far from any trail, so that none helps.
    fn verify(&self, url: &str, more: &[&str]) -> (Answer, Value) {
        let mut arguments = vec!["verify", "--dir", "nowhere", "--store", url, "--json"];
        arguments.extend(more);
        let answer = self.place.run_all(&arguments);
        let json: Value = serde_json::from_str(&answer.out).unwrap_or_else(|_| panic!("{answer:?}"));
        assert_eq!(answer.code, Some(if json["ok"] == true { 0 } else { 1 }), "{answer:?}");
        (answer, json)
    }

    fn verify_with_keys(&self, url: &str) -> Value {
        let (a, b) = (self.key(A), self.key(B));
        self.verify(url, &["--public-key", &a, "--public-key", &b]).1
    }
}

fn folder(place: &Place, origin: &str) -> std::path::PathBuf {
    place.path(origin.rsplit('/').next().unwrap())
}

fn execute(url: &str, sql: &str) {
    let url = trailseal_postgres::StoreUrl::parse(url).unwrap();
    let mut connection = url.connect(&Default::default()).unwrap();
    let done = connection.run("execute", trails::SOON, async |client| client.batch_execute(sql).await);
    done.unwrap_or_else(|error| panic!("{}\n{sql}", trailseal_cli_causes(&error)));
}

fn trailseal_cli_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(|error| error.to_string())
        .collect::<Vec<_>>()
        .join(": ")
}

/// The verdict on one origin.
fn of<'a>(json: &'a Value, origin: &str) -> &'a Value {
    json["trails"]
        .as_array()
        .unwrap()
        .iter()
        .find(|verdict| verdict["origin"] == origin)
        .unwrap_or_else(|| panic!("{json}"))
}

/// What must be said of the first trail.
enum Said {
    /// This problem, at this event.
    At(&'static str, u64),
    /// This problem, in a range that has this event in it.
    Around(&'static str, u64),
    /// This problem, nowhere in particular.
    Of(&'static str),
}

use Said::{Around, At, Of};

/// The rows of the first trail at `which` are copied, changed by `change`, and added.
fn added(which: &str, change: &str) -> String {
    format!(
        "{UNGUARDED} CREATE TEMP TABLE copied AS SELECT * FROM trailseal.events WHERE {which}; UPDATE copied SET {change}; \
         INSERT INTO trailseal.events SELECT * FROM copied"
    )
}

fn updated(set: &str, index: u64) -> String {
    format!("{UNGUARDED} UPDATE trailseal.events SET {set} WHERE origin = '{A}' AND idx = {index}")
}

const EDITED: &str = "line = convert_to(replace(convert_from(line, 'UTF8'), 'event', 'avent'), 'UTF8')";
const EDITED_WITH_LEAF: &str = "line = convert_to(replace(convert_from(line, 'UTF8'), 'event', 'avent'), 'UTF8'), \
    leaf = sha256('\\x00'::bytea || convert_to(replace(convert_from(line, 'UTF8'), 'event', 'avent'), 'UTF8'))";

fn tamperings() -> Vec<(&'static str, String, Said)> {
    let swapped = |columns: &str| {
        format!(
            "{UNGUARDED} CREATE TEMP TABLE copied AS SELECT * FROM trailseal.events WHERE origin = '{A}' AND idx IN (4, 7); \
             UPDATE trailseal.events e SET ({columns}) = (SELECT {columns} FROM copied c WHERE c.idx = 11 - e.idx) \
             WHERE origin = '{A}' AND idx IN (4, 7)"
        )
    };
    let february = "trailseal.events_2026_02";
    // The first event of the second month.
    let first = 12;
    vec![
        ("a line edited", updated(EDITED, 5), At("edited", 5)),
        ("a line and its leaf edited", updated(EDITED_WITH_LEAF, 5), Around("root_mismatch", 5)),
        ("a leaf edited", updated("leaf = sha256('x')", 5), At("store_differs", 5)),
        (
            "a tenant changed, which hides the event from it",
            updated("tenant = 'other'", 5),
            At("store_differs", 5),
        ),
        ("an actor removed", updated("actor_id = NULL", 15), At("store_differs", 15)),
        ("a time changed", updated("time = time - interval '1 year'", 5), At("store_differs", 5)),
        ("an event made the trail's own", updated("system = true", 5), At("store_differs", 5)),
        ("a related resource invented", updated("related = '{x/1}'", 5), At("store_differs", 5)),
        (
            "a row deleted, the triggers off",
            format!(
                "ALTER TABLE trailseal.events DISABLE TRIGGER append_only; \
                 DELETE FROM trailseal.events WHERE origin = '{A}' AND idx = 5"
            ),
            At("missing", 5),
        ),
        (
            "rows deleted, and extents with them",
            format!(
                "{UNGUARDED} DELETE FROM trailseal.events WHERE origin = '{A}' AND idx BETWEEN 5 AND 8; \
                 UPDATE trailseal.extents SET rows = rows - 4 WHERE origin = '{A}' AND partition = 'events_2026_01'"
            ),
            At("missing", 5),
        ),
        (
            "a second row of an event",
            added(
                &format!("origin = '{A}' AND idx = 5"),
                &format!("recorded = recorded + interval '1 s', {EDITED_WITH_LEAF}"),
            ),
            At("inserted", 5),
        ),
        (
            "a row added at the end",
            added(
                &format!("origin = '{A}' AND idx = 5"),
                "idx = (SELECT next FROM trailseal.cursors LIMIT 1), recorded = recorded + interval '70 days'",
            ),
            At("inserted", 0), // Wherever the end is.
        ),
        ("the indexes of two rows swapped", swapped("line, leaf"), At("reordered", 4)),
        (
            "two lines swapped, with all columns",
            swapped("line, leaf, id, action, tenant, time, actor_id, resource_id, outcome"),
            At("reordered", 4),
        ),
        (
            "an event put in another's place",
            updated(
                &format!(
                    "(line, leaf) = (SELECT line, leaf FROM trailseal.events WHERE origin = '{A}' AND idx = 3)"
                ),
                5,
            ),
            At("duplicated", 5),
        ),
        (
            "an event of another origin put in one's place",
            updated(
                &format!(
                    "(line, leaf) = (SELECT line, leaf FROM trailseal.events WHERE origin = '{B}' AND idx = 5)"
                ),
                5,
            ),
            Around("root_mismatch", 5),
        ),
        (
            "a partition truncated",
            format!("ALTER TABLE {february} DISABLE TRIGGER ALL; TRUNCATE {february}"),
            At("missing", first),
        ),
        (
            "a partition truncated, as a replica",
            format!("{UNGUARDED} TRUNCATE {february}"),
            At("missing", first),
        ),
        ("a partition dropped", format!("DROP TABLE {february}"), At("missing", first)),
        (
            "a partition detached",
            format!("ALTER TABLE trailseal.events DETACH PARTITION {february}"),
            At("missing", first),
        ),
        (
            "a partition dropped by the function",
            "SELECT trailseal.drop_partition('events_2026_02')".to_owned(),
            At("missing", first),
        ),
        ("everything truncated", format!("{UNGUARDED} TRUNCATE trailseal.events"), At("missing", 0)),
        (
            "the cursor put back",
            format!("UPDATE trailseal.cursors SET next = 5 WHERE origin = '{A}'"),
            At("store_differs", 5),
        ),
        (
            "the cursor put forward",
            format!("UPDATE trailseal.cursors SET next = next + 5 WHERE origin = '{A}'"),
            At("missing", 0),
        ),
        (
            "the cursor's leaf changed",
            format!("UPDATE trailseal.cursors SET leaf = sha256('x') WHERE origin = '{A}'"),
            At("store_differs", 0),
        ),
        (
            "the cursor removed",
            format!("DELETE FROM trailseal.cursors WHERE origin = '{A}'"),
            Of("store_differs"),
        ),
        (
            "an extent changed, which hides a month",
            format!(
                "UPDATE trailseal.extents SET min_time = 'infinity' WHERE origin = '{A}' AND partition = 'events_2026_02'"
            ),
            At("store_differs", first),
        ),
        (
            "the newest checkpoint replaced by the oldest",
            format!(
                "{UNGUARDED} UPDATE trailseal.checkpoints SET note = (SELECT note FROM trailseal.checkpoints WHERE origin = '{A}' ORDER BY size LIMIT 1) \
                 WHERE origin = '{A}' AND size = (SELECT max(size) FROM trailseal.checkpoints WHERE origin = '{A}')"
            ),
            Of("checkpoint_invalid"),
        ),
        (
            "the newest checkpoint replaced by another trail's",
            format!(
                "{UNGUARDED} UPDATE trailseal.checkpoints c SET note = (SELECT note FROM trailseal.checkpoints o WHERE o.origin = '{B}' ORDER BY size DESC LIMIT 1) \
                 WHERE origin = '{A}' AND size = (SELECT max(size) FROM trailseal.checkpoints WHERE origin = '{A}')"
            ),
            Of("origin_mismatch"),
        ),
        (
            "a checkpoint forged",
            format!(
                "{UNGUARDED} INSERT INTO trailseal.checkpoints (origin, size, note) VALUES ('{A}', 3, 'x')"
            ),
            Of("checkpoint_invalid"),
        ),
        (
            "all checkpoints removed",
            format!("{UNGUARDED} DELETE FROM trailseal.checkpoints WHERE origin = '{A}'"),
            Of("checkpoint_missing"),
        ),
        (
            "the origin removed altogether",
            ["events", "cursors", "extents", "checkpoints"]
                .map(|table| format!("{UNGUARDED} DELETE FROM trailseal.{table} WHERE origin = '{A}';"))
                .concat(),
            At("missing", 0),
        ),
        (
            "a name with no cursor and no checkpoint",
            ["cursors", "extents", "checkpoints"]
                .map(|table| format!("{UNGUARDED} DELETE FROM trailseal.{table} WHERE origin = '{A}';"))
                .concat(),
            At("inserted", 0),
        ),
    ]
}

#[test]
fn what_a_superuser_does_to_a_store_is_found() {
    let filled = Filled::new();
    let whole = filled.verify_with_keys(filled.server.url_text());
    assert_eq!(whole["ok"], true, "{whole}");
    for origin in [A, B] {
        let verdict = of(&whole, origin);
        assert_eq!((&verdict["unsealed"], &verdict["key_pinned"]), (&json!(0), &json!(true)), "{verdict}");
        assert!(verdict["sealed"].as_u64().unwrap() >= 36, "{verdict}");
        assert_eq!(verdict["public_key"], filled.key(origin), "{verdict}");
        assert_eq!(verdict["cannot_rule_out"], json!(["rollback"]), "{verdict}");
    }
    let mut missed = Vec::new();
    for (what, sql, said) in tamperings() {
        let url = filled.tampered(&sql);
        let json = filled.verify_with_keys(&url);
        let verdict = of(&json, A);
        let first_bad = verdict["first_bad"].as_u64();
        let is_said = match said {
            // Some happen at the end, wherever it is.
            At(problem, 0) => verdict["problem"] == problem && first_bad.is_some(),
            At(problem, index) => verdict["problem"] == problem && first_bad == Some(index),
            Around(problem, index) => {
                let bound = |at: usize| verdict["range"][at].as_u64();
                verdict["problem"] == problem
                    && bound(0).is_some_and(|from| from <= index)
                    && bound(1).is_some_and(|to| index < to)
            }
            Of(problem) => verdict["problem"] == problem && first_bad.is_none(),
        };
        if !is_said || verdict["ok"] == true || json["ok"] == true {
            missed.push(format!("{what}: {verdict}"));
        }
        if !sql.contains("TRUNCATE")
            && !sql.contains("PARTITION")
            && !sql.contains("DROP TABLE")
            && !sql.contains("drop_partition")
        {
            assert_eq!(of(&json, B)["ok"], true, "{what} is no matter of the other trail: {json}");
        }
        filled.drop_copy(&url);
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Where leaf hashes in the store were changed as well, the tree in the trail's own folder names the row.
#[test]
fn a_trail_that_can_be_reached_names_the_row() {
    let filled = Filled::new();
    let url = filled.tampered(&updated(EDITED_WITH_LEAF, 15));
    let answer = filled.place.run_all(&["verify", "--dir", "a", "--store", &url, "--json"]);
    let json: Value = serde_json::from_str(&answer.out).unwrap();
    let verdict = of(&json, A);
    assert_eq!((&verdict["problem"], &verdict["first_bad"]), (&json!("edited"), &json!(15)), "{verdict}");
}

/// What docs/store.md says that no store alone can show: a checkpoint or key kept elsewhere does.
#[test]
fn what_a_store_alone_cannot_show_is_shown_by_what_was_kept_elsewhere() {
    let filled = Filled::new();
    let kept = std::fs::read_to_string(folder(&filled.place, A).join("checkpoint")).unwrap();
    filled.place.write("kept", &kept);
    let key = filled.key(A);

    // The newest month taken away with all that tells of it.
    let cut = format!(
        "{UNGUARDED} DELETE FROM trailseal.checkpoints WHERE size > (SELECT max(idx) + 1 FROM trailseal.events WHERE origin = '{A}' AND recorded < '2026-03-01'); \
         DELETE FROM trailseal.events WHERE recorded >= '2026-03-01'; \
         DELETE FROM trailseal.extents WHERE partition = 'events_2026_03'; \
         UPDATE trailseal.cursors c SET next = last.idx + 1, leaf = last.leaf FROM \
         (SELECT DISTINCT ON (origin) origin, idx, leaf FROM trailseal.events ORDER BY origin, idx DESC) AS last \
         WHERE c.origin = last.origin"
    );
    let url = filled.tampered(&cut);
    let (_, json) = filled.verify(&url, &["--public-key", &key]);
    assert_eq!(json["ok"], true, "{json}");
    assert!(of(&json, A)["cannot_rule_out"].as_array().unwrap().contains(&json!("rollback")), "{json}");
    let (_, json) = filled.verify(&url, &["--public-key", &key, "--checkpoint", "kept"]);
    assert_eq!((&of(&json, A)["problem"], &of(&json, B)["ok"]), (&json!("rollback"), &json!(true)), "{json}");

    // The newest checkpoints removed: what they covered is counted.
    let url = filled.tampered(&format!(
        "{UNGUARDED} DELETE FROM trailseal.checkpoints WHERE origin = '{A}' AND size > 12"
    ));
    let (answer, json) = filled.verify(&url, &["--public-key", &key]);
    let verdict = of(&json, A);
    let (sealed, unsealed) = (verdict["sealed"].as_u64().unwrap(), verdict["unsealed"].as_u64().unwrap());
    assert!(json["ok"] == true && sealed <= 12 && sealed + unsealed >= 36, "{answer:?}");
    assert!(verdict["cannot_rule_out"].as_array().unwrap().contains(&json!("unsealed")), "{json}");

    // Without a key, and beside a key and a checkpoint that fit.
    let (_, json) = filled.verify(filled.server.url_text(), &[]);
    let verdict = of(&json, A);
    assert_eq!((&json["ok"], &verdict["public_key"]), (&json!(true), &Value::Null), "{json}");
    assert_eq!(verdict["cannot_rule_out"], json!(["rollback", "key_replaced"]), "{json}");
    let (_, json) = filled.verify(filled.server.url_text(), &["--public-key", &key, "--checkpoint", "kept"]);
    assert_eq!(of(&json, A)["cannot_rule_out"], json!([]), "{json}");
    assert_eq!(
        (&json["without_public_key"], &json["without_checkpoint"]),
        (&json!([B]), &json!([B])),
        "{json}"
    );

    // The text of it.
    let text = filled.place.run_all(&["verify", "--dir", "nowhere", "--store", filled.server.url_text()]);
    assert_eq!(text.code, Some(0), "{text:?}");
    assert!(text.out.starts_with(&format!("ok {A}: every one of ")), "{text:?}");
    assert!(
        text.out.contains("no signature was checked")
            && text.out.contains("cannot rule out: that the newest"),
        "{text:?}"
    );
}

#[test]
fn an_empty_store_and_one_that_is_none_are_no_verdict() {
    let (server, place) = (Server::start(), Place::new());
    let verify = || place.run_all(&["verify", "--store", server.url_text(), "--json"]);
    let answer = verify();
    assert_eq!(answer.code, Some(2), "{answer:?}");
    place.run_all(&["store", "migrate", "--store", server.url_text()]).ok();
    let answer = verify();
    assert!(answer.code == Some(2) && answer.err.contains("holds no trail"), "{answer:?}");
    let json: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(json["ok"], false);
    assert!(!Path::new(&place.path("trail")).exists(), "nothing is made");
}

#[test]
fn doctor_says_what_is_missing_in_the_guard_of_a_store() {
    let (server, place) = (Server::start(), Place::with_events(&["a"]));
    place.write("trailseal.toml", format!("[store]\nurl = \"{}\"\n", server.url_text()));
    let codes = || {
        let answer = place.run("doctor --json");
        let json: Value = serde_json::from_str(&answer.out).unwrap();
        let findings = json["findings"].as_array().unwrap().iter();
        findings
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .filter(|code| code.starts_with("store"))
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(), ["store"], "there are no tables yet");
    place.run("store migrate").ok();
    place.run("store migrate").ok();
    assert_eq!(codes(), ["store_roles"], "the test's user is a superuser");
    server.execute(
        "ALTER TABLE trailseal.checkpoints DISABLE TRIGGER append_only; ALTER TABLE trailseal.events DISABLE ROW LEVEL SECURITY; \
         CREATE TABLE trailseal.rest PARTITION OF trailseal.events DEFAULT",
    );
    assert_eq!(
        codes(),
        ["store_append_only", "store_append_only", "store_tenants", "store_roles", "store_partitions"]
    );
    server.execute("DROP TABLE trailseal.rest; ALTER TABLE trailseal.holds RENAME TO gone");
    assert_eq!(codes(), ["store_schema"]);
    server.execute("ALTER TABLE trailseal.migrations RENAME TO versions_gone");
    assert!(codes().contains(&"store_schema".to_owned()), "{:?}", codes());
    place.write("trailseal.toml", "[store]\nurl = \"postgres://nobody:s3cret@127.0.0.1:1/none\"\n");
    assert_eq!(codes(), ["store"]);
    let answer = place.run("doctor");
    assert!(!format!("{answer:?}").contains("s3cret"), "{answer:?}");
}
