//! What is missing or wrong in how a store is guarded is named, each for itself.

use trailseal_postgres::roles::GapKind;
use trailseal_postgres::version;

use super::*;

#[test]
fn gaps_in_the_guard_are_named() {
    let (server, dir) = (store(), tempfile::tempdir().unwrap());
    let kinds = |user: &str| {
        let gaps = roles::gaps(&mut as_user(&server, user)).unwrap();
        gaps.into_iter().map(|gap| (gap.kind, gap.what)).collect::<Vec<_>>()
    };
    let trail = delivering(dir.path(), options(ORIGIN), &url(&server, "billing"));
    record(&trail, 0..10);
    trail.close(SOON).unwrap();
    assert_eq!(kinds("billing"), [], "a writer that is only that");
    assert_eq!(kinds("audit_owner").iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [GapKind::Roles]);
    assert!(kinds("test")[0].1.contains("superuser"));
    assert_eq!(version(&mut as_user(&server, "billing")).unwrap(), Some(trailseal_postgres::VERSION));

    let part = partition(&server);
    let name = part.trim_start_matches("trailseal.").to_owned();
    let tables = [
        (
            format!("ALTER TABLE {part} DISABLE TRIGGER no_truncate"),
            format!("ALTER TABLE {part} ENABLE TRIGGER no_truncate"),
            GapKind::AppendOnly,
            &*name,
        ),
        (
            format!("ALTER TABLE {part} DISABLE TRIGGER append_only"),
            format!("ALTER TABLE {part} ENABLE TRIGGER append_only"),
            GapKind::AppendOnly,
            &*name,
        ),
        (
            "ALTER TABLE trailseal.checkpoints DISABLE TRIGGER ALL".to_owned(),
            "ALTER TABLE trailseal.checkpoints ENABLE TRIGGER ALL".to_owned(),
            GapKind::AppendOnly,
            "checkpoints",
        ),
        (
            "ALTER TABLE trailseal.events DISABLE ROW LEVEL SECURITY".to_owned(),
            "ALTER TABLE trailseal.events ENABLE ROW LEVEL SECURITY".to_owned(),
            GapKind::Tenants,
            "row-level security",
        ),
        (
            format!("GRANT DELETE ON {part} TO trailseal_writer"),
            format!("REVOKE DELETE ON {part} FROM trailseal_writer"),
            GapKind::Roles,
            "billing",
        ),
        (
            "CREATE TABLE trailseal.rest PARTITION OF trailseal.events DEFAULT".to_owned(),
            "DROP TABLE trailseal.rest".to_owned(),
            GapKind::Partitions,
            "default",
        ),
    ];
    for (sql, undo, kind, named) in tables.into_iter().chain(more_gaps(&part)) {
        run(&server, "test", &sql).unwrap();
        let found = kinds("billing");
        assert!(found.iter().any(|(found, what)| *found == kind && what.contains(named)), "{sql}: {found:?}");
        run(&server, "test", &undo).unwrap();
        assert_eq!(kinds("billing"), [], "{undo}");
    }
}

/// What to do, how to undo it, and what must be said of it.
fn more_gaps(part: &str) -> Vec<(String, String, GapKind, &'static str)> {
    const MINE: &str = "USING (tenant = ANY ((SELECT trailseal.my_tenants())::text[]))";
    let mut gaps = Vec::new();
    let mut add =
        |sql: &str, undo: &str, kind, named| gaps.push((sql.to_owned(), undo.to_owned(), kind, named));
    for (table, trigger) in [
        ("reviews", "decided_once"),
        ("decisions", "no_delete"),
        ("policies", "append_only"),
        ("dropped", "no_truncate"),
    ] {
        let change = |how: &str| format!("ALTER TABLE trailseal.{table} {how} TRIGGER {trigger}");
        add(&change("DISABLE"), &change("ENABLE"), GapKind::AppendOnly, table);
    }
    let policy = |what: &str| format!("ALTER POLICY own_tenants ON trailseal.events {what}");
    add(&policy("USING (true)"), &policy(MINE), GapKind::Tenants, "own_tenants");
    add(
        "CREATE POLICY open ON trailseal.events FOR SELECT USING (true)",
        "DROP POLICY open ON trailseal.events",
        GapKind::Tenants,
        "open",
    );
    let function = |body: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION trailseal.my_tenants() RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER \
             SET search_path = pg_catalog, pg_temp AS $$ {body} $$"
        )
    };
    add(
        &function("SELECT '{t1,t2}'::text[]"),
        &function(
            "SELECT coalesce(array_agg(tenant), '{}') FROM trailseal.readers WHERE role = session_user::text",
        ),
        GapKind::Tenants,
        "my_tenants",
    );
    add(
        &format!("GRANT SELECT ON {part} TO trailseal_reader"),
        &format!("REVOKE SELECT ON {part} FROM trailseal_reader"),
        GapKind::Tenants,
        "trailseal_reader",
    );
    add(
        &format!("ALTER TABLE {part} ENABLE ROW LEVEL SECURITY"),
        &format!("ALTER TABLE {part} DISABLE ROW LEVEL SECURITY"),
        GapKind::Partitions,
        "row-level security is on",
    );
    add(
        "ALTER DATABASE audit SET session_replication_role = replica",
        "ALTER DATABASE audit RESET session_replication_role",
        GapKind::AppendOnly,
        "everybody in the database audit",
    );
    add(
        "ALTER ROLE stranger SET session_replication_role = replica",
        "ALTER ROLE stranger RESET session_replication_role",
        GapKind::AppendOnly,
        "the user stranger",
    );
    add(
        "ALTER ROLE billing SET default_transaction_read_only = on",
        "SET default_transaction_read_only = off; ALTER ROLE billing RESET default_transaction_read_only",
        GapKind::Roles,
        "default_transaction_read_only",
    );
    add(
        &format!("REVOKE INSERT ON {part} FROM trailseal_writer"),
        &format!("GRANT INSERT ON {part} TO trailseal_writer"),
        GapKind::Roles,
        "may not add rows",
    );
    gaps
}

#[test]
fn every_table_and_column_that_is_missing_is_named() {
    let server = store();
    let mut owner = as_user(&server, "test");
    let mut asking = as_user(&server, "billing");
    let made = "SELECT c.relname, string_agg(a.attname, ' ' ORDER BY attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
        WHERE relnamespace = 'trailseal'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0 GROUP BY 1";
    for table in rows(&server, "test", made) {
        let [table, columns] = &table[..] else { panic!("{table:?}") };
        let mut check = |change: String, undo: String, named: String| {
            for (sql, is_changed) in [(change, true), (undo, false)] {
                owner.run("change", SOON, async |client| client.batch_execute(&sql).await).unwrap();
                let gaps = roles::gaps(&mut asking).unwrap();
                let found: Vec<_> = gaps.iter().map(|gap| (gap.kind, gap.what.ends_with(&named))).collect();
                let wanted = if is_changed { vec![(GapKind::Schema, true)] } else { Vec::new() };
                assert_eq!(found, wanted, "{sql}: {gaps:?}");
            }
        };
        check(
            format!("ALTER TABLE trailseal.{table} RENAME TO other"),
            format!("ALTER TABLE trailseal.other RENAME TO {table}"),
            format!(": {table}"),
        );
        for column in columns.split(' ') {
            let rename =
                |from: &str, to: &str| format!("ALTER TABLE trailseal.{table} RENAME COLUMN {from} TO {to}");
            check(rename(column, "other"), rename("other", column), format!(": {table}.{column}"));
        }
    }
}
