//! The outbox: what commits is recorded once, in the order of the commits; what is rolled back leaves nothing; whoever is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "outbox/hostile.rs"]
mod hostile;
#[path = "outbox/killed.rs"]
mod killed;
mod kills;
mod server;
mod trails;
#[path = "outbox/two_relays.rs"]
mod two_relays;

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
use trailseal_postgres::outbox::{Relay, look, migrate, redeliver, release, version, wide_grants};
use trailseal_postgres::{Connection, StoreUrl};

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
    let newest: Vec<&str> = state.newest_refused.iter().map(|event| &*event.reason).collect();
    assert!(
        newest.len() == 3 && newest[0].contains("other content") && newest[2].contains("JSON"),
        "{newest:?}"
    );
    server.execute(
        r#"UPDATE trailseal_outbox.refused SET event = '{"action":"mended"}' WHERE event = 'not JSON'"#,
    );
    assert_eq!(redeliver(&mut connection).unwrap().events, 3);
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

#[test]
fn the_age_is_known_and_the_last_count_kept_while_the_outbox_cannot_be_counted() {
    let (server, dir) = (with_outbox(), tempfile::tempdir().unwrap());
    server.execute(
        "INSERT INTO trailseal_outbox.events (event, origin, written) \
         VALUES ('{\"action\":\"claimed\"}', 'example.com/gone', now() - interval '700 seconds')",
    );
    let (trail, relay) = relaying(dir.path(), "example.com/outbox", &server.url());
    wait_until("it is counted", || relay.stats().seen.is_some_and(|seen| seen.claimed == 1));
    let mut other = server.connect();
    let lock = "BEGIN; LOCK TABLE trailseal_outbox.refused";
    other.run("lock a table of", SOON, async |client| client.batch_execute(lock).await).unwrap();
    wait_until("a count fails", || relay.stats().look_failed.is_some());
    let stats = relay.stats();
    assert_eq!(stats.seen.map(|seen| seen.claimed), Some(1), "{stats:?}");
    assert!(stats.look_failed.as_ref().is_some_and(|why| why.contains("statement timeout")), "{stats:?}");
    assert!(stats.oldest.is_some_and(|age| age.as_secs() >= 700), "{stats:?}");
    // Meanwhile it goes on, on the same connection.
    server.execute("INSERT INTO trailseal_outbox.events (event) VALUES ('{\"action\":\"go\"}')");
    wait_until("it goes on", || relay.stats().taken_over == 1);
    assert_eq!(relay.stats().failures, 0);
    relay.stop();
    trail.close(SOON).unwrap();
}
