//! The outbox: what commits is recorded once, in the order of the commits; what is rolled back leaves nothing; whoever is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod server;
mod trails;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use server::Server;
use tokio_postgres::{Client, Transaction};
use trails::{SOON, lines, options, wait_until};
use trailseal_core::deliver::MustEnd;
use trailseal_core::file::StdFiles;
use trailseal_core::verify::{VerifyOptions, verify};
use trailseal_core::{Folder, Notice, Trail};
use trailseal_event::{Event, Recorded};
use trailseal_outbox::{INSERT_SQL, OutboxEvent, SCHEMA_SQL};
use trailseal_postgres::outbox::{Relay, look, migrate, redeliver, release, version};
use trailseal_postgres::{Connection, StoreUrl};

const CHILD: &str = "TRAILSEAL_OUTBOX_CHILD";
const PLAIN: &str = "INSERT INTO trailseal_outbox.events (event) VALUES ($1)";

/// A server with an outbox and a table of the application's.
fn with_outbox() -> Server {
    let server = Server::start_own(&[]);
    migrate(&mut server.connect()).unwrap();
    server.execute("CREATE TABLE invoices (number bigint PRIMARY KEY, amount bigint)");
    server
}

/// Opens a trail, and a relay of it.
fn relaying(dir: &Path, origin: &str, url: &StoreUrl) -> (Trail, Relay) {
    let trail = Trail::open(dir, options(origin)).unwrap();
    let relay = Relay::start(trail.clone(), url.clone()).unwrap();
    (trail, relay)
}

/// What was recorded in a trail, besides its own events.
fn recorded(dir: &Path) -> Vec<Recorded> {
    let all = lines(dir).into_iter().map(|(_, line)| Event::from_line(&line).unwrap());
    all.filter(|event| !event.system).collect()
}

fn actions(dir: &Path) -> Vec<String> {
    recorded(dir).into_iter().map(|event| event.event.action).collect()
}

/// Does something in a transaction.
fn transact(
    connection: &mut Connection,
    commits: bool,
    work: impl AsyncFnOnce(&Transaction<'_>) -> Result<(), tokio_postgres::Error>,
) {
    let done = connection.run("work in", SOON, async |client: &mut Client| {
        let transaction = client.transaction().await?;
        work(&transaction).await?;
        if commits { transaction.commit().await } else { transaction.rollback().await }
    });
    done.unwrap();
}

fn write_plain(connection: &mut Connection, event: &str) {
    connection.run("write into", SOON, async |client| client.execute(PLAIN, &[&event]).await).unwrap();
}

#[test]
fn a_commit_is_recorded_with_its_secrets_masked_and_a_rollback_leaves_nothing() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    let event = |number: i64| {
        let event =
            Event::new("invoice.pay").actor("u1").detail("number", number).detail("password", "hunter2");
        OutboxEvent::of(&trail, &event).unwrap()
    };
    let (kept, dropped, by_sqlx, dropped_by_sqlx) = (event(1), event(2), event(3), event(4));
    let mut connection = server.connect();
    for (event, number, commits) in [(&dropped, 2_i64, false), (&kept, 1, true)] {
        transact(&mut connection, commits, async |transaction| {
            transaction.execute("INSERT INTO invoices VALUES ($1, 5)", &[&number]).await?;
            event.insert(transaction).await
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::Connection as _;
        let mut connection = sqlx::PgConnection::connect(server.url_text()).await.unwrap();
        for (event, commits) in [(&dropped_by_sqlx, false), (&by_sqlx, true)] {
            let mut transaction = connection.begin().await.unwrap();
            let invoice = sqlx::query("INSERT INTO invoices VALUES ($1, 5)").bind(i64::from(commits) + 2);
            invoice.execute(&mut *transaction).await.unwrap();
            event.insert_with_sqlx(&mut transaction).await.unwrap();
            if commits { transaction.commit().await } else { transaction.rollback().await }.unwrap();
        }
        connection.close().await.unwrap();
    });
    assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
    assert_eq!(server.value("SELECT string_agg(number::text, ' ' ORDER BY number) FROM invoices"), "1 3");
    let found = recorded(dir.path());
    let ids: Vec<&str> = found.iter().map(|event| event.event.id.as_deref().unwrap()).collect();
    assert_eq!(ids, [kept.id(), by_sqlx.id()]);
    for event in &found {
        assert_eq!(event.masked, ["details.password"]);
        assert_eq!(event.recorded_by.as_deref(), Some("outbox"));
        assert_eq!(event.event.details.get("password").unwrap().to_string(), r#""***""#);
        assert!(event.event.time.unwrap() < event.recorded && !event.time_ahead, "{event:?}");
    }
    assert_eq!(server.value("SELECT count(*) FROM trailseal_outbox.events"), "0");
    let stats = relay.stop();
    assert_eq!((stats.taken_over, stats.refused, stats.trouble), (2, 0, None));
    trail.close(SOON).unwrap();
    assert!(verify(&Folder::new(dir.path(), Arc::new(StdFiles)), &VerifyOptions::default()).unwrap().ok);
}

#[test]
fn no_secret_lies_in_the_table_and_a_plain_insert_of_any_driver_will_do() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    let trail = Trail::open(dir.path(), options("example.com/outbox")).unwrap();
    let secret =
        Event::new("login").detail("password", "hunter2").description("Bearer abcdef0123456789abcdef");
    let secret = OutboxEvent::of(&trail, &secret).unwrap();
    server
        .connect()
        .run("write into", SOON, async |client| {
            client.execute(INSERT_SQL, &[&secret.id(), &secret.json(), &secret.masked()]).await
        })
        .unwrap();
    // Whoever only knows SQL.
    server.execute(
        "CREATE ROLE application LOGIN; GRANT USAGE ON SCHEMA trailseal_outbox TO application; \
         GRANT INSERT (id, event, masked) ON trailseal_outbox.events TO application; SET ROLE application; \
         INSERT INTO trailseal_outbox.events (event) VALUES ('{\"action\":\"by.hand\",\"details\":{\"pin\":\"4711\",\"nul\":\"\\u0000\"}}'); \
         RESET ROLE",
    );
    let table =
        server.rows("SELECT event, written <= clock_timestamp() FROM trailseal_outbox.events ORDER BY place");
    assert!(!table[0][0].contains("hunter2") && !table[0][0].contains("abcdef"), "{table:?}");
    assert!(table[0][0].contains("***"), "{table:?}");
    let relay = Relay::start(trail.clone(), server.url()).unwrap();
    assert!(relay.wait_emptied(SOON));
    relay.stop();
    let found = recorded(dir.path());
    assert_eq!(found[0].masked.len(), 2, "{found:?}");
    let by_hand = &found[1];
    assert_eq!(by_hand.event.action, "by.hand");
    assert_eq!(by_hand.masked, ["details.pin"]);
    // Its time is that of its writing, and its id that of its row.
    assert!(by_hand.event.time.unwrap() < by_hand.recorded, "{by_hand:?}");
    assert_eq!(by_hand.event.id.as_ref().unwrap().len(), 36);
    trail.close(SOON).unwrap();
}

#[test]
fn events_come_in_the_order_of_the_commits_as_far_as_anybody_can_tell() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    server.execute("INSERT INTO invoices VALUES (1, 0)");
    // Somebody forgot to end this one; it writes, and so has a number.
    let mut forgotten = server.connect();
    forgotten
        .run("begin in", SOON, async |client| {
            client.batch_execute("BEGIN; INSERT INTO invoices VALUES (99, 0)").await
        })
        .unwrap();
    let mut first = server.connect();
    let mut second = server.connect();
    // The second begins first, and then waits for the first, which changes the same row.
    second
        .run("begin in", SOON, async |client| {
            client.batch_execute("BEGIN; INSERT INTO invoices VALUES (2, 0)").await
        })
        .unwrap();
    let both = "UPDATE invoices SET amount = amount + 1 WHERE number = 1";
    first.run("change", SOON, async |client| client.batch_execute(&format!("BEGIN; {both}")).await).unwrap();
    write_plain(&mut first, r#"{"action":"first"}"#);
    let waits = std::thread::spawn(move || {
        second.run("change", SOON, async |client| client.batch_execute(both).await).unwrap();
        write_plain(&mut second, r#"{"action":"second"}"#);
        second.run("commit", SOON, async |client| client.batch_execute("COMMIT").await).unwrap();
    });
    wait_until("the second waits", || {
        server.value("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") == "t"
    });
    first.run("commit", SOON, async |client| client.batch_execute("COMMIT").await).unwrap();
    waits.join().unwrap();
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    assert!(relay.wait_emptied(SOON), "a transaction that somebody forgot holds nothing up");
    assert_eq!(actions(dir.path()), ["first", "second"]);
    // One that wrote earlier and commits later comes later.
    let (mut early, mut late) = (server.connect(), server.connect());
    early.run("begin in", SOON, async |client| client.batch_execute("BEGIN").await).unwrap();
    write_plain(&mut early, r#"{"action":"commits.last"}"#);
    write_plain(&mut late, r#"{"action":"commits.first"}"#);
    assert!(relay.wait_emptied(SOON));
    early.run("commit", SOON, async |client| client.batch_execute("COMMIT").await).unwrap();
    assert!(relay.wait_emptied(SOON));
    assert_eq!(actions(dir.path())[2..], ["commits.first", "commits.last"]);
    drop(forgotten);
    relay.stop();
    trail.close(SOON).unwrap();
}

#[test]
fn what_commits_later_never_comes_into_the_middle_of_what_was_there() {
    const EVENTS: usize = 6_000;
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    let mut early = server.connect();
    early.run("begin in", SOON, async |client| client.batch_execute("BEGIN").await).unwrap();
    write_plain(&mut early, r#"{"action":"commits.last"}"#);
    server.execute(&format!(
        "INSERT INTO trailseal_outbox.events (event) SELECT '{{\"action\":\"do.' || number || '\"}}' \
         FROM generate_series(1, {EVENTS}) AS number"
    ));
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    wait_until("the first are there", || relay.stats().taken_over > 0);
    early.run("commit", SOON, async |client| client.batch_execute("COMMIT").await).unwrap();
    assert!(relay.wait_emptied(SOON));
    let mut wanted: Vec<String> = (1..=EVENTS).map(|number| format!("do.{number}")).collect();
    wanted.push("commits.last".to_owned());
    assert_eq!(actions(dir.path()), wanted);
    relay.stop();
    trail.close(SOON).unwrap();
}

#[test]
fn what_cannot_be_recorded_goes_aside_and_comes_again_when_it_was_put_right() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    let told = Arc::<Mutex<Vec<Notice>>>::default();
    let mut options = options("example.com/outbox");
    let telling = told.clone();
    options.on_notice = Some(Arc::new(move |notice| telling.lock().unwrap().push(notice.clone())));
    let trail = Trail::open(dir.path(), options).unwrap();
    let mut connection = server.connect();
    for event in [
        r#"{"action":"one","id":"a"}"#,
        "not JSON",
        r#"{"actor":"u1"}"#,
        r#"{"action":"other","id":"a"}"#,
        r#"{"action":"one","id":"a"}"#,
        r#"{"action":"two"}"#,
    ] {
        write_plain(&mut connection, event);
    }
    let relay = Relay::start(trail.clone(), server.url()).unwrap();
    assert!(relay.wait_emptied(SOON));
    assert_eq!(actions(dir.path()), ["one", "two"]);
    let stats = relay.stats();
    // The repeat of the first counts as taken over.
    assert_eq!((stats.taken_over, stats.refused), (3, 3), "{stats:?}");
    let refused = server.rows("SELECT event, reason, origin FROM trailseal_outbox.refused ORDER BY place");
    let events: Vec<&str> = refused.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(events, ["not JSON", r#"{"actor":"u1"}"#, r#"{"action":"other","id":"a"}"#]);
    assert!(refused[0][1].contains("JSON"), "{refused:?}");
    assert!(refused[1][1].contains("action"), "{refused:?}");
    assert!(refused[2][1].contains("other content"), "{refused:?}");
    assert!(refused.iter().all(|row| row[2] == "example.com/outbox"), "{refused:?}");
    let refusals =
        told.lock().unwrap().iter().filter(|notice| matches!(notice, Notice::OutboxRefused { .. })).count();
    assert_eq!(refusals, 3);
    let state = look(&mut connection).unwrap();
    assert_eq!((state.waiting, state.refused), (0, 3));
    assert!(state.first_refused.unwrap().contains("JSON"));
    server.execute(
        r#"UPDATE trailseal_outbox.refused SET event = '{"action":"mended"}' WHERE event = 'not JSON'"#,
    );
    assert_eq!(redeliver(&mut connection).unwrap(), 3);
    assert!(relay.wait_emptied(SOON));
    assert_eq!(actions(dir.path()), ["one", "two", "mended"]);
    assert_eq!(server.value("SELECT count(*) FROM trailseal_outbox.refused"), "2");
    relay.stop();
    trail.close(SOON).unwrap();
}

#[test]
fn what_a_trail_has_claimed_no_other_one_takes_and_a_relay_that_ends_leaves_no_claim() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    let mut connection = server.connect();
    write_plain(&mut connection, r#"{"action":"claimed"}"#);
    server.execute("UPDATE trailseal_outbox.events SET origin = 'example.com/dead'");
    write_plain(&mut connection, r#"{"action":"free"}"#);
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    assert!(relay.wait_emptied(SOON));
    assert_eq!(actions(dir.path()), ["free"]);
    let state = look(&mut connection).unwrap();
    assert_eq!((state.waiting, state.taken.len()), (0, 1));
    assert_eq!((state.taken[0].origin.as_str(), state.taken[0].events), ("example.com/dead", 1));
    // Its own trail does, if it comes back; an operator who knows that it will not says so.
    assert_eq!(release(&mut connection, "example.com/dead").unwrap(), 1);
    assert!(relay.wait_emptied(SOON));
    assert_eq!(actions(dir.path()), ["free", "claimed"]);
    server.execute(
        "INSERT INTO trailseal_outbox.events (event) SELECT '{\"action\":\"more\"}' FROM generate_series(1, 3000)",
    );
    let taken = relay.stop().taken_over - 2;
    let left = look(&mut connection).unwrap();
    assert_eq!((left.waiting + taken, left.taken.len()), (3000, 0), "{left:?}");
    assert_eq!(recorded(dir.path()).len() as u64, taken + 2);
    trail.close(SOON).unwrap();
}

#[test]
fn trouble_is_told_and_passes_and_a_close_ends_the_relay() {
    let (mut server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    assert!(relay.wait_emptied(SOON));
    server.stop();
    wait_until("the trouble is told", || relay.stats().trouble.is_some());
    server.start_again();
    write_plain(&mut server.connect(), r#"{"action":"after"}"#);
    wait_until("it is taken over", || relay.stats().taken_over == 1);
    assert_eq!(relay.stats().trouble, None);
    trail.close(SOON).unwrap();
    // What comes now is claimed at most.
    write_plain(&mut server.connect(), r#"{"action":"too.late"}"#);
    wait_until("it has ended", || relay.stats().has_ended);
    assert_eq!(server.value("SELECT count(*) FROM trailseal_outbox.events"), "1");
    drop((relay, trail));
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    assert!(relay.wait_emptied(SOON));
    assert_eq!(actions(dir.path()), ["after", "too.late"]);
    relay.stop();
    trail.close(SOON).unwrap();
}

#[test]
fn the_tables_are_made_once_however_many_begin_and_by_their_sql_too() {
    let server = Server::start_own(&[]);
    assert_eq!(version(&mut server.connect()).unwrap(), None);
    let trouble = look(&mut server.connect()).unwrap_err().to_string();
    assert!(trouble.contains("has no outbox yet"), "{trouble}");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| migrate(&mut server.connect()).unwrap());
        }
    });
    assert_eq!(version(&mut server.connect()).unwrap(), Some(1));
    server.execute("DROP SCHEMA trailseal_outbox CASCADE");
    server.execute(SCHEMA_SQL);
    assert_eq!(version(&mut server.connect()).unwrap(), Some(1));
    server.execute("INSERT INTO trailseal_outbox.migrations (version) VALUES (2)");
    let trouble = migrate(&mut server.connect()).unwrap_err().to_string();
    assert!(trouble.contains("use a newer trailseal"), "{trouble}");
}

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
    assert_eq!(redeliver(&mut connection).unwrap(), 2);
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
    assert_eq!(redeliver(&mut connection).unwrap(), 1);
    assert_eq!(release(&mut connection, "example.com/gone").unwrap(), 0);
    relay.stop();
    trail.close(SOON).unwrap();
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

/// The child's work; does nothing when the test suite runs it as a test.
#[test]
fn child_relays_until_it_is_killed() {
    let Ok(given) = std::env::var(CHILD) else { return };
    let [dir, origin, url] = given.split(' ').collect::<Vec<_>>()[..] else { panic!() };
    let (_trail, relay) = relaying(Path::new(dir), origin, &StoreUrl::parse(url).unwrap());
    wait_until("it is killed", || relay.stats().has_ended);
}

fn rounds() -> u64 {
    std::env::var("TRAILSEAL_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(25)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % end
    }
}

/// Writes transactions of one to three events until it is told to end; a third of them is rolled back. Returns the ids of the events
/// that were committed, and of those that may be, since the server died at their COMMIT.
fn write(url: &StoreUrl, writer: u64, ends: &AtomicBool) -> (Vec<String>, BTreeSet<String>) {
    let (mut committed, mut unknown) = (Vec::new(), BTreeSet::new());
    let masker = trailseal_outbox::OutboxWriter::new(&Default::default()).unwrap();
    let mut random = Random(writer);
    let mut connection = None;
    for number in 0_u64.. {
        if ends.load(Ordering::Acquire) {
            break;
        }
        let Some(open) = &mut connection else {
            connection = url.connect(&MustEnd::default()).ok();
            continue;
        };
        let events: Vec<OutboxEvent> = (0..=random.below(3))
            .map(|nth| {
                let event =
                    Event::new("test.write").detail("writer", writer).detail("number", number * 3 + nth);
                masker.prepare(&event).unwrap()
            })
            .collect();
        let commits = random.below(3) > 0;
        let ids = events.iter().map(|event| event.id().to_owned());
        let mut has_asked = false;
        let done = open.run("work in", SOON, async |client| {
            let transaction = client.transaction().await?;
            for event in &events {
                event.insert(&transaction).await?;
            }
            if commits {
                has_asked = true;
                transaction.commit().await
            } else {
                transaction.rollback().await
            }
        });
        match done {
            Ok(()) if commits => committed.extend(ids),
            Ok(()) => {}
            Err(_) => {
                if has_asked {
                    unknown.extend(ids);
                }
                connection = None;
            }
        }
        std::thread::sleep(Duration::from_micros(random.below(3_000)));
    }
    (committed, unknown)
}

#[test]
fn relays_that_are_killed_take_every_committed_event_over_once() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let mut server = with_outbox();
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = Random(seed);
    let ends = AtomicBool::new(false);
    let url = server.url();
    let start = |number: usize, url: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_relays_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{} example.com/outbox/{number} {url}", dirs[number].path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let written: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (url, ends) = (&url, &ends);
                scope.spawn(move || write(url, seed ^ writer, ends))
            })
            .collect();
        let text = server.url_text().to_owned();
        let mut relays: Vec<_> = (0..dirs.len()).map(|number| start(number, &text)).collect();
        for round in 0..rounds() {
            std::thread::sleep(Duration::from_micros(random.below(300_000)));
            match round % 6 {
                4 => server.cut_off(),
                5 => {
                    server.kill();
                    server.start_again();
                }
                _ => {
                    let number = random.below(relays.len() as u64) as usize;
                    relays[number].kill().unwrap();
                    relays[number].wait().unwrap();
                    relays[number] = start(number, &text);
                }
            }
        }
        ends.store(true, Ordering::Release);
        let written = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        for relay in &mut relays {
            relay.kill().unwrap();
            relay.wait().unwrap();
        }
        written
    });
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut per_trail = Vec::new();
    // Each takes over what it has claimed, and the first all the rest.
    for (number, dir) in dirs.iter().enumerate() {
        let (trail, relay) = relaying(dir.path(), &format!("example.com/outbox/{number}"), &server.url());
        assert!(relay.wait_emptied(SOON), "{:?}", relay.stats());
        relay.stop();
        trail.close(SOON).unwrap();
        let events = recorded(dir.path());
        per_trail.push(events.len());
        events.into_iter().for_each(|event| *found.entry(event.event.id.unwrap()).or_default() += 1);
        let verdict =
            verify(&Folder::new(dir.path(), Arc::new(StdFiles)), &VerifyOptions::default()).unwrap();
        assert!(verdict.ok, "{verdict}");
    }
    println!("{per_trail:?} events in the trails");
    assert_eq!(server.value("SELECT count(*) FROM trailseal_outbox.events"), "0");
    assert_eq!(server.value("SELECT count(*) FROM trailseal_outbox.refused"), "0");
    let (mut committed, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for (of_one, unsure) in written {
        committed.extend(of_one);
        unknown.extend(unsure);
    }
    assert!(committed.len() as u64 > rounds() * 10, "only {} events were committed", committed.len());
    assert!(per_trail.iter().all(|events| *events > 0), "both took part: {per_trail:?}");
    let twice: Vec<_> = found.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{} of {} came twice: {twice:?}", twice.len(), found.len());
    let lost: Vec<_> = committed.iter().filter(|id| !found.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), committed.len());
    let never: Vec<_> =
        found.keys().filter(|id| !committed.contains(*id) && !unknown.contains(*id)).collect();
    assert!(never.is_empty(), "{} were never committed: {never:?}", never.len());
}
