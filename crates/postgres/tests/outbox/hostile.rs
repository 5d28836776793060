//! Whoever may only write events stops no relay, and makes none grow.

use super::*;

/// The roles that the documentation names, with what it grants them.
const ROLES: &str = "CREATE ROLE shop LOGIN; CREATE ROLE shop_relay LOGIN; \
     GRANT USAGE ON SCHEMA trailseal_outbox TO shop; \
     GRANT INSERT (id, event, masked) ON trailseal_outbox.events TO shop; \
     GRANT USAGE ON SCHEMA trailseal_outbox TO shop_relay; \
     GRANT SELECT, INSERT, UPDATE, DELETE ON trailseal_outbox.events, trailseal_outbox.refused TO shop_relay; \
     GRANT SELECT, UPDATE ON trailseal_outbox.migrations TO shop_relay;";

fn url_of(server: &Server, role: &str) -> StoreUrl {
    StoreUrl::parse(&server.url_text().replace("//test@", &format!("//{role}@"))).unwrap()
}

#[test]
fn a_row_that_no_relay_could_read_is_refused_when_it_is_written() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    let write = |columns: &str, values: &str| {
        format!(
            "INSERT INTO trailseal_outbox.events (event, {columns}) VALUES ('{{\"action\":\"do\"}}', {values})"
        )
    };
    for (columns, values) in [
        ("written", "'infinity'"),
        ("written", "'-infinity'"),
        ("written", "'294276-12-31'"),
        ("written", "'10000-01-01 00:00:00+00'"),
        ("written", "'0001-12-31 23:59:59+00 BC'"),
        ("masked", "'{NULL}'"),
        ("masked", "'{a,NULL}'"),
        ("masked", "'{{a},{b}}'"),
        ("masked", "array_fill(''::text, ARRAY[300000])"),
        ("masked", "ARRAY[repeat('m', 9000000)]"),
        ("id", "repeat('i', 9000000)"),
        ("id, masked", "repeat('i', 5000000), ARRAY[repeat('m', 5000000)]"),
    ] {
        assert_eq!(server.refused(&write(columns, values)), "23514", "{columns} {values}");
    }
    let large = "INSERT INTO trailseal_outbox.events (event) VALUES (repeat('e', 9000000))";
    assert_eq!(server.refused(large), "23514");
    let taken = [
        ("written", "'0001-01-01 00:00:00+00'"),
        ("written", "'9999-12-31 23:59:59.999999+00'"),
        ("masked", "'{}'"),
        ("masked", "'[5:6]={a,b}'"),
    ];
    for (columns, values) in taken {
        server.execute(&write(columns, values));
    }
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    let stats = relay.stop();
    assert_eq!((stats.taken_over, stats.refused), (taken.len() as u64, 0), "{stats:?}");
    trail.close(SOON).unwrap();
}

#[test]
fn at_most_8_mib_are_read_at_once_and_ids_and_masked_paths_count() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    // How many rows each claim and each deletion takes.
    server.execute(
        "CREATE TABLE steps (kind text, rows bigint); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN INSERT INTO steps SELECT TG_OP, count(*) FROM some_rows; RETURN NULL; END'; \
         CREATE TRIGGER claimed AFTER UPDATE ON trailseal_outbox.events REFERENCING NEW TABLE AS some_rows \
             FOR EACH STATEMENT EXECUTE FUNCTION note(); \
         CREATE TRIGGER gone AFTER DELETE ON trailseal_outbox.events REFERENCING OLD TABLE AS some_rows \
             FOR EACH STATEMENT EXECUTE FUNCTION note();",
    );
    let write = |origin: &str| {
        server.execute(&format!(
            "INSERT INTO trailseal_outbox.events (id, event, masked, origin) \
             SELECT repeat(nth::text, 2000000), '{{\"action\":\"do\",\"id\":\"{origin}' || nth || '\"}}', \
                 ARRAY[repeat('m', 3000000)], nullif('{origin}', '') FROM generate_series(1, 4) AS nth"
        ));
    };
    // Two of each were claimed before.
    write("example.com/outbox");
    write("");
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    let stats = relay.stop();
    assert_eq!(stats.taken_over + stats.refused, 8, "{stats:?}");
    let steps = server.rows("SELECT kind, max(rows), sum(rows) FROM steps GROUP BY kind ORDER BY kind");
    assert_eq!(steps, [["DELETE", "1", "8"], ["UPDATE", "1", "4"]]);
    trail.close(SOON).unwrap();
}

#[test]
fn whatever_a_refused_event_holds_it_goes_aside_and_the_others_go_on() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    let mut connection = server.connect();
    for event in [
        r#"{"action":"one","id":"x\u0000y"}"#,
        r#"{"action":"other","id":"x\u0000y"}"#,
        r#"{"action":"last"}"#,
    ] {
        write_plain(&mut connection, event);
    }
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    assert_eq!(actions(dir.path()), ["one", "last"]);
    let reasons = server.rows("SELECT reason FROM trailseal_outbox.refused ORDER BY key");
    assert!(reasons[0][0].contains("x\u{fffd}y"), "{reasons:?}");
    // Whoever may set the place uses one again.
    server.execute(
        "INSERT INTO trailseal_outbox.events (place, event) OVERRIDING SYSTEM VALUE \
         SELECT place, 'not JSON' FROM trailseal_outbox.refused",
    );
    write_plain(&mut connection, r#"{"action":"behind"}"#);
    assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    assert_eq!(
        server.value("SELECT count(*) || ' ' || count(DISTINCT place) FROM trailseal_outbox.refused"),
        "2 1"
    );
    assert_eq!(actions(dir.path()), ["one", "last", "behind"]);
    assert_eq!(look(&mut connection).unwrap().refused, 2);
    assert_eq!(redeliver(&mut connection).unwrap().events, 2);
    relay.stop();
    trail.close(SOON).unwrap();
}

#[test]
fn a_writer_needs_three_columns_and_can_do_nothing_else() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    server.execute(ROLES);
    let trail = Trail::open(dir.path(), options("example.com/outbox")).unwrap();
    let event = OutboxEvent::of(&trail, &Event::new("by.writer")).unwrap();
    let mut shop = url_of(&server, "shop").connect(&MustEnd::default()).unwrap();
    let given = async |client: &mut Client| {
        client.execute(INSERT_SQL, &[&event.id(), &event.json(), &event.masked()]).await
    };
    shop.run("write into", SOON, given).unwrap();
    write_plain(&mut shop, r#"{"action":"by.hand"}"#);
    let event = |columns: &str, values: &str| {
        format!(
            "INSERT INTO trailseal_outbox.events (event, {columns}) OVERRIDING SYSTEM VALUE VALUES ('x', {values})"
        )
    };
    for denied in [
        event("place", "1"),
        event("origin", "'example.com/outbox'"),
        event("transaction", "'1'"),
        event("written", "now()"),
        "SELECT FROM trailseal_outbox.events".to_owned(),
        "DELETE FROM trailseal_outbox.events".to_owned(),
        "INSERT INTO trailseal_outbox.refused DEFAULT VALUES".to_owned(),
        "SELECT version FROM trailseal_outbox.migrations FOR KEY SHARE".to_owned(),
        "LOCK TABLE trailseal_outbox.migrations IN ROW SHARE MODE".to_owned(),
        "LOCK TABLE trailseal_outbox.events IN SHARE MODE".to_owned(),
    ] {
        assert_eq!(server.refused(&format!("SET ROLE shop; BEGIN; {denied}")), "42501", "{denied}");
    }
    // What the documentation grants to a relay is enough for it, and for what an operator does.
    let relay = Relay::start(trail.clone(), url_of(&server, "shop_relay")).unwrap();
    write_plain(&mut shop, "not JSON");
    assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    assert_eq!(actions(dir.path()), ["by.writer", "by.hand"]);
    let mut connection = url_of(&server, "shop_relay").connect(&MustEnd::default()).unwrap();
    assert_eq!(look(&mut connection).unwrap().refused, 1);
    assert_eq!(redeliver(&mut connection).unwrap().events, 1);
    assert_eq!(release(&mut connection, "example.com/gone").unwrap(), 0);
    relay.stop();
    trail.close(SOON).unwrap();
}

#[test]
fn whoever_may_do_more_than_write_is_found() {
    let server = with_outbox();
    server.execute(ROLES);
    let found = |role: &str| {
        let mut connection = url_of(&server, role).connect(&MustEnd::default()).unwrap();
        let found = wide_grants(&mut connection).unwrap();
        found.into_iter().map(|grant| (grant.role, grant.may)).collect::<Vec<_>>()
    };
    assert_eq!(found("shop_relay"), [], "what the documentation grants");
    server.execute(
        "CREATE ROLE \"Other\" LOGIN; CREATE ROLE one_more LOGIN; \
         GRANT USAGE, CREATE ON SCHEMA trailseal_outbox TO \"Other\"; GRANT INSERT ON trailseal_outbox.events TO \"Other\"; \
         GRANT UPDATE ON trailseal_outbox.migrations TO \"Other\"; \
         GRANT INSERT (id, event, masked, origin) ON trailseal_outbox.events TO shop; GRANT SELECT (event) ON trailseal_outbox.events TO shop; \
         GRANT USAGE ON SCHEMA trailseal_outbox TO PUBLIC; GRANT INSERT (event) ON trailseal_outbox.events TO PUBLIC; \
         GRANT SELECT, DELETE ON trailseal_outbox.events, trailseal_outbox.refused TO one_more; \
         GRANT SELECT ON trailseal_outbox.migrations TO one_more",
    );
    let wanted = [
        ("\"Other\"", "INSERT on events; UPDATE on migrations; CREATE on the schema"),
        ("PUBLIC", "INSERT (event) on events"),
        ("one_more", "DELETE, SELECT on events; DELETE, SELECT on refused"),
        ("shop", "INSERT (origin), SELECT (event) on events"),
    ];
    assert_eq!(found("shop_relay"), wanted.map(|(role, may)| (role.to_owned(), may.to_owned())));
    // A superuser is in every role, and still told of all; the relay's among them.
    assert_eq!(found("test").len(), wanted.len() + 1);
    // Whose role the user is in is a relay of the same.
    server.execute("GRANT one_more TO shop_relay");
    assert_eq!(found("shop_relay").len(), wanted.len() - 1);
}

#[test]
fn no_writer_can_hold_a_relay_up_and_a_lock_that_is_kept_is_told() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    server.execute(ROLES);
    let mut shop = url_of(&server, "shop").connect(&MustEnd::default()).unwrap();
    // Every lock that could be the relays', as far as two keys tell.
    let advisory = "SELECT pg_advisory_lock(7812737564217339503 + nth) FROM generate_series(-3, 3) AS nth";
    shop.run("lock", SOON, async |client| client.batch_execute(advisory).await).unwrap();
    write_plain(&mut shop, r#"{"action":"one"}"#);
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &url_of(&server, "shop_relay"));
    assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    assert_eq!(actions(dir.path()), ["one"]);
    // Another relay that hangs while it claims.
    let mut other = url_of(&server, "shop_relay").connect(&MustEnd::default()).unwrap();
    let lock = "BEGIN; SELECT FROM trailseal_outbox.migrations WHERE version = 1 FOR UPDATE";
    other.run("lock", SOON, async |client| client.batch_execute(lock).await).unwrap();
    write_plain(&mut shop, r#"{"action":"two"}"#);
    wait_until("it is told", || relay.stats().trouble.is_some());
    let trouble = relay.stats().trouble.unwrap();
    assert!(trouble.contains("trailseal_outbox.migrations") && trouble.contains("pg_locks"), "{trouble}");
    assert_eq!(actions(dir.path()), ["one"]);
    drop(other);
    assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    assert_eq!(actions(dir.path()), ["one", "two"]);
    assert_eq!(relay.stop().trouble, None);
    trail.close(SOON).unwrap();
}

#[test]
fn a_refused_event_that_no_row_can_be_stays_and_holds_no_other_up() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    let mut connection = server.connect();
    for number in 0..15 {
        write_plain(&mut connection, &format!("not JSON {number}"));
    }
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    let state = look(&mut connection).unwrap();
    assert_eq!((state.refused, state.newest_refused.len()), (15, 10), "{state:?}");
    assert!(state.newest_refused[0].key > state.newest_refused[9].key, "{state:?}");
    // Whoever corrects the events makes one larger than a row of the outbox may be.
    server.execute(
        "UPDATE trailseal_outbox.refused SET event = '{\"action\":\"mended\"}'; \
         UPDATE trailseal_outbox.refused SET event = repeat('e', 9000000) WHERE key = (SELECT min(key) FROM trailseal_outbox.refused); \
         UPDATE trailseal_outbox.refused SET masked = '{{a},{b}}' WHERE key = (SELECT max(key) FROM trailseal_outbox.refused)",
    );
    let done = redeliver(&mut connection).unwrap();
    assert_eq!((done.events, done.left, done.first_left.len()), (13, 2, 2), "{done:?}");
    let key = server.value("SELECT min(key) FROM trailseal_outbox.refused");
    assert_eq!(done.first_left[0].key.to_string(), key);
    assert!(done.first_left[0].reason.contains("bytes"), "{done:?}");
    assert!(done.first_left[1].reason.contains("masked"), "{done:?}");
    assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    assert_eq!(actions(dir.path()).len(), 13);
    relay.stop();
    trail.close(SOON).unwrap();
}
