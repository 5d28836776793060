//! Views under the names of other audit logs: their columns, the SQL that is written for them, and who sees what through them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;
mod trails;

use server::Server;
use trails::{SOON, delivering, options};
use trailseal_core::deliver::MustEnd;
use trailseal_core::{AnyEvent, Trail};
use trailseal_postgres::views::{self, Ids, View};
use trailseal_postgres::{Connection, StoreError, StoreUrl, migrate, roles};

const YACHT: &str = "85fe1119-b04c-41ac-80f1-829d23322598";
const OTHER: &str = "11111111-2222-4333-8444-555555555555";
const USER: &str = "6f9619ff-8b86-4011-b42d-00c04fc964ff";
const OPERATOR: &str = "7f9619ff-8b86-4011-b42d-00c04fc964ff";
const THING: &str = "0a0a0a0a-8b86-4011-b42d-00c04fc964ff";

/// The tables of the documents, as their applications make them.
const TABLES: &str = include_str!("tables.sql");

/// A store with roles whose owner is no superuser.
fn store() -> Server {
    let server = Server::start_own(&[]);
    server.execute("CREATE ROLE audit_owner LOGIN");
    server.execute("CREATE DATABASE audit OWNER audit_owner ENCODING 'UTF8' TEMPLATE template0");
    migrate(&mut as_user(&server, "audit_owner")).unwrap();
    run(&server, "test", &roles::sql("trailseal").unwrap()).unwrap();
    let users = format!(
        "CREATE ROLE billing LOGIN IN ROLE trailseal_writer; CREATE ROLE support LOGIN IN ROLE trailseal_reader; \
         CREATE ROLE newcomer LOGIN IN ROLE trailseal_reader; CREATE ROLE auditor LOGIN IN ROLE trailseal_auditor; \
         CREATE ROLE stranger LOGIN; INSERT INTO trailseal.readers VALUES ('support', '{YACHT}')"
    );
    run(&server, "test", &users).unwrap();
    server
}

fn as_user(server: &Server, user: &str) -> Connection {
    let url = format!("postgres://{user}@127.0.0.1:{}/audit", server.port());
    StoreUrl::parse(&url).unwrap().connect(&MustEnd::default()).unwrap()
}

fn run(server: &Server, user: &str, sql: &str) -> Result<(), StoreError> {
    as_user(server, user).run("execute", SOON, async |client| client.batch_execute(sql).await)
}

fn rows(server: &Server, user: &str, sql: &str) -> Vec<Vec<String>> {
    server::rows(&mut as_user(server, user), sql)
}

/// Whether views show each reader their own rows. Before PostgreSQL 15 they cannot, and only their owner may read them.
fn has_readers(server: &Server) -> bool {
    let version = rows(server, "audit_owner", "SELECT current_setting('server_version_num')::int >= 150000");
    version == [["t"]]
}

/// Who sees every row through a view.
fn all_seeing(server: &Server) -> &'static str {
    if has_readers(server) { "auditor" } else { "audit_owner" }
}

#[track_caller]
fn refused(server: &Server, user: &str, sql: &str) -> String {
    match run(server, user, sql) {
        Err(StoreError::Postgres { source, .. }) => source.code().unwrap().code().to_owned(),
        other => panic!("{user} may {sql}: {other:?}"),
    }
}

/// Delivers these events.
fn deliver(server: &Server, events: &[String]) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("postgres://billing@127.0.0.1:{}/audit", server.port());
    let trail: Trail = delivering(dir.path(), options("example.com/views"), &StoreUrl::parse(&url).unwrap());
    for event in events {
        trail.record(AnyEvent::Json(event.as_bytes())).unwrap();
    }
    trail.close(SOON).unwrap();
}

fn events() -> Vec<String> {
    vec![
        format!(
            r#"{{"id":"00000000-0000-4000-8000-000000000001","time":"2026-01-01T10:00:00Z","action":"update_work_order","tenant":"{YACHT}","actor":"{USER}","resource":"work_order/{THING}","outcome":"success","before":{{"status":"open"}},"after":{{"status":"done"}},"details":{{"lens":"receiving"}},"approval":{{"role_at_signing":"captain"}},"context":{{"ip":"192.0.2.7","user_agent":"curl/8","request_id":"r1"}}}}"#
        ),
        format!(
            r#"{{"id":"00000000-0000-4000-8000-000000000002","time":"2026-01-02T10:00:00Z","action":"identity.assumed","tenant":"{OTHER}","actor":"{OPERATOR}","on_behalf_of":{{"id":"{USER}","reason":"help"}},"resource":{{"type":"user","id":"{USER}","name":"Anna"}},"outcome":"denied","error":"no","severity":"warning","details":{{"note":"a\u0000b"}},"context":{{"correlation_id":"c1","component":"main"}}}}"#
        ),
        format!(
            r#"{{"id":"not a uuid","time":"2026-01-03T10:00:00Z","action":"user.authenticate","category":"authentication","description":"User authentication attempt","tenant":"{YACHT}","actor":"anna","resource":"user/anna","outcome":"failure","error":"Authentication failed","context":{{"ip":"not an address"}}}}"#
        ),
        format!(
            r#"{{"time":"2026-01-04T10:00:00Z","action":"config.change","category":"config_change","tenant":"{YACHT}","actor":"{USER}","resource":"configuration/limit","outcome":"success","before":{{"limit":"5"}},"after":{{"limit":"7"}},"duration_ms":12}}"#
        ),
        r#"{"time":"2026-01-05T10:00:00Z","action":"workflow.update","category":"workflow","details":{"_value":["a"]}}"#
            .to_owned(),
    ]
}

fn made(server: &Server, views: &[View], schema: Option<&str>, ids: Ids) {
    run(server, "audit_owner", &views::sql(views, schema, ids).unwrap()).unwrap();
}

const FIVE: [View; 5] =
    [View::PmsAuditLog, View::AuditLogs, View::AuditTrail, View::AuditEvents, View::AuditEntries];

#[test]
fn the_views_have_the_columns_of_the_tables_and_answer_their_sql() {
    let server = store();
    deliver(&server, &events());
    made(&server, &FIVE, None, Ids::Uuid);
    // Again: nothing is in the way of itself.
    made(&server, &FIVE, None, Ids::Uuid);
    made(&server, &[View::ResyncAuditLogs], Some("resync"), Ids::Uuid);
    let auditor = all_seeing(&server);
    let ask = |sql: &str| rows(&server, auditor, sql);

    // Each column of each table, of a type that takes the same values.
    run(&server, "test", TABLES).unwrap();
    let columns = "SELECT t.table_schema, t.table_name, t.column_name, t.udt_name, v.udt_name FROM information_schema.columns AS t \
        LEFT JOIN information_schema.columns AS v ON v.table_name = t.table_name AND v.column_name = t.column_name \
        AND v.table_schema = CASE WHEN t.table_schema = 'before_resync' THEN 'resync' WHEN t.table_name = 'audit_entries' \
            THEN 'audit' ELSE 'public' END \
        WHERE t.table_schema LIKE 'before%' \
        AND coalesce(v.udt_name, '') <> replace(replace(t.udt_name, 'varchar', 'text'), 'int4', 'int8')";
    assert_eq!(rows(&server, "test", columns), [[""; 5]; 0]);
    let counted = "SELECT count(*) FROM information_schema.columns WHERE table_schema LIKE 'before%'";
    assert_eq!(rows(&server, "test", counted), [["81"]]);

    // 001.
    assert_eq!(ask("SELECT id FROM pms_audit_log LIMIT 1").len(), 1);
    assert_eq!(
        ask("SELECT * FROM pg_policies WHERE tablename = 'pms_audit_log' AND cmd = 'INSERT'").len(),
        0
    );
    let newest =
        format!("SELECT * FROM pms_audit_log WHERE yacht_id = '{YACHT}' ORDER BY created_at DESC LIMIT 10");
    assert_eq!(ask(&newest).len(), 3);
    let history = format!(
        "SELECT al.action, al.user_id, al.old_values->>'status' AS old_status, al.new_values->>'status', al.signature, \
         al.metadata, al.created_by = al.user_id FROM pms_audit_log al JOIN (SELECT '{USER}'::uuid AS id) AS u ON al.user_id = u.id \
         WHERE al.entity_type = 'work_order' AND al.entity_id = '{THING}' ORDER BY al.created_at ASC"
    );
    let signed = r#"{"role_at_signing": "captain"}"#;
    let lens = r#"{"lens": "receiving"}"#;
    assert_eq!(ask(&history), [["update_work_order", USER, "open", "done", signed, lens, "t"]]);

    // 002: the newest of a tenant by cursor, and who acted as whom.
    let page = format!(
        "SELECT action, user_id, assumed_by_user_id, status, error_message, changes, request_id, created_at FROM audit_logs \
         WHERE tenant_id = '{OTHER}'::uuid AND created_at < '2026-02-01'::timestamp ORDER BY created_at DESC LIMIT 51"
    );
    let assumed = ["identity.assumed", USER, OPERATOR, "failure", "no", "∅", "∅", "2026-01-02 10:00:00"];
    assert_eq!(ask(&page), [assumed]);

    // 003.
    let trail = "SELECT action, resource_name, details->>'success', ip_address, previous_state, new_state, length(record_hash) \
         FROM audit_trail WHERE timestamp >= '2026-01-01T00:00:00Z' ORDER BY timestamp";
    let told = ask(trail);
    assert_eq!(told.len(), 5);
    let (open, done) = (r#"{"status": "open"}"#, r#"{"status": "done"}"#);
    assert_eq!(told[0], ["update_work_order", "∅", "true", "192.0.2.7", open, done, "64"]);
    assert_eq!(told[1][1..4], ["Anna", "false", "∅"]);
    let failures =
        "SELECT count(*), count(DISTINCT user_id) FROM audit_trail WHERE details->>'success' = 'false'";
    assert_eq!(ask(failures), [["2", "1"]]);

    // 004: what its own code asks.
    let events = "SELECT id, event_type, user_id, action, resource_type, resource_id, result, result_error, details, ip_address \
        FROM audit_events WHERE 1=1 AND timestamp <= now() ORDER BY timestamp DESC LIMIT 100 OFFSET 0";
    let told = ask(events);
    assert_eq!(
        told[0][1..],
        ["workflow_update", "∅", "workflow.update", "", "", "unknown", "∅", r#"["a"]"#, "∅"]
    );
    let changed = r#"{"new_value": "7", "old_value": "5", "duration_ms": 12}"#;
    assert_eq!(told[1][1..3], ["config_change", USER]);
    assert_eq!(told[1][8], changed);
    let failed = [
        "authentication",
        "anna",
        "User authentication attempt",
        "user",
        "anna",
        "failure",
        "Authentication failed",
    ];
    assert_eq!(told[2][1..8], failed);
    assert_eq!(told[2][9], "∅", "what is no address is no inet");
    assert_eq!(told[4][9], "192.0.2.7");
    let one = "SELECT action FROM audit_events WHERE id = '00000000-0000-4000-8000-000000000001'::uuid";
    assert_eq!(ask(one), [["update_work_order"]]);
    assert_eq!(ask("SELECT count(DISTINCT id), count(id) FROM audit_events"), [["5", "5"]]);

    // 000, both generations. NUL is not JSON for PostgreSQL.
    let entries = "SELECT action, user_id, entity_type, old_value, metadata->'details'->>'note', metadata->>'severity' \
        FROM audit.audit_entries WHERE action = 'identity.assumed'";
    assert_eq!(ask(entries), [["identity.assumed", OPERATOR, "user", "∅", "a\u{fffd}b", "WARNING"]]);
    let ordered = "SELECT count(DISTINCT id), bool_and(id > before) FROM (SELECT id, lag(id, 1, 0) OVER (ORDER BY timestamp) AS before \
        FROM audit.audit_entries) AS all_of_them";
    assert_eq!(ask(ordered), [["5", "t"]]);
    let logs = "SELECT severity, correlation_id, source_component, details::json->>'note' FROM resync.audit_logs \
        WHERE timestamp >= '2026-01-02' AND severity = 'WARNING' ORDER BY timestamp DESC";
    assert_eq!(ask(logs), [["WARNING", "c1", "main", "a\u{fffd}b"]]);
}

#[test]
fn nobody_sees_more_through_a_view_or_changes_anything() {
    let server = store();
    deliver(&server, &events());
    made(&server, &FIVE, None, Ids::Uuid);
    made(&server, &FIVE, Some("plain"), Ids::Text);
    for view in [
        "pms_audit_log",
        "audit_logs",
        "audit_trail",
        "audit_events",
        "audit.audit_entries",
        "plain.audit_logs",
    ] {
        let count = format!("SELECT count(*) FROM {view}");
        let readers = [("support", "3"), ("newcomer", "0"), ("auditor", "5")];
        for (user, seen) in readers {
            match has_readers(&server) {
                true => assert_eq!(rows(&server, user, &count), [[seen]], "{user} {view}"),
                false => assert_eq!(refused(&server, user, &count), "42501", "{user} {view}"),
            }
        }
        assert_eq!(rows(&server, "audit_owner", &count), [["5"]], "{view}");
        for user in ["stranger", "billing"] {
            assert_eq!(refused(&server, user, &count), "42501", "{user} {view}");
        }
        // A function of the reader's own learns nothing of other tenants' rows.
        let leak = format!(
            "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS \
             $$ BEGIN IF $1 = 'identity.assumed' THEN RAISE EXCEPTION 'leaked %', $1; END IF; RETURN true; END $$; \
             SELECT count(*) FROM {view} WHERE pg_temp.leak(action)"
        );
        assert!(run(&server, "support", &leak).is_ok() || !has_readers(&server));
        for sql in [
            format!("INSERT INTO {view} (action) VALUES ('x')"),
            format!("UPDATE {view} SET action = 'x'"),
            format!("DELETE FROM {view}"),
        ] {
            assert!(run(&server, "audit_owner", &sql).is_err(), "{sql}");
            assert!(run(&server, "support", &sql).is_err(), "{sql}");
        }
    }
    // Ids as text are found by the store's indexes.
    let plan = |table: &str, value: &str| {
        let explain = format!(
            "SET LOCAL enable_seqscan = off; EXPLAIN SELECT * FROM {table} WHERE tenant_id = {value}"
        );
        rows(&server, all_seeing(&server), &format!("BEGIN; {explain}")).concat().concat()
    };
    let text = plan("plain.audit_logs", &format!("'{YACHT}'"));
    assert!(text.contains("Index Cond: (tenant = "), "{text}");
    let uuid = plan("audit_logs", &format!("'{YACHT}'::uuid"));
    assert!(!uuid.contains("Index Cond: (tenant = "), "docs/store.md says otherwise: {uuid}");
    // A row that is no event stops nobody.
    run(
        &server,
        "test",
        "SET session_replication_role = replica; INSERT INTO trailseal.events (origin, idx, recorded, time, action, system, leaf, line) \
         SELECT 'odd', n, now(), now(), 'odd', false, 'x', line FROM (VALUES (0, 'no json'::bytea), (1, '\\xff'::bytea)) AS v(n, line)",
    )
    .unwrap();
    for view in ["pms_audit_log", "audit_logs", "audit_trail", "audit_events", "audit.audit_entries"] {
        let odd = format!("SELECT * FROM {view} WHERE action = 'odd'");
        assert_eq!(rows(&server, all_seeing(&server), &odd).len(), 2, "{view}");
    }
}

#[test]
fn what_is_there_already_is_left_alone() {
    let server = store();
    run(
        &server,
        "audit_owner",
        "CREATE TABLE public.audit_logs (mine int); INSERT INTO public.audit_logs VALUES (7)",
    )
    .unwrap();
    run(&server, "audit_owner", "CREATE VIEW public.audit_trail AS SELECT 1 AS mine").unwrap();
    for name in [View::AuditLogs, View::AuditTrail] {
        let sql = views::sql(&[View::PmsAuditLog, name], None, Ids::Uuid).unwrap();
        assert_eq!(refused(&server, "audit_owner", &sql), "42P07");
        let left = "SELECT (SELECT mine FROM audit_logs), (SELECT mine FROM audit_trail), to_regclass('pms_audit_log') IS NULL";
        assert_eq!(rows(&server, "audit_owner", left), [["7", "1", "t"]], "all or nothing");
    }
    made(&server, &FIVE, Some("odd \"schema'"), Ids::Uuid);
    assert_eq!(
        rows(&server, all_seeing(&server), "SELECT count(*) FROM \"odd \"\"schema'\".audit_logs"),
        [["0"]]
    );
}
