//! Delivery to a real server: every line once with its exact bytes, across months, and nothing dropped where a trail is not what
//! the store holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;
mod trails;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use server::Server;
use trails::{check_equal, copy_folder, delivering, lines, options, record, wait_stopped, wait_stored};
use trailseal_core::clock::Clock;
use trailseal_core::deliver::{Batch, BatchLine, DeliveryState, Sink, SinkError};
use trailseal_core::{Ack, AnyEvent, Status, Trail};
use trailseal_event::{Event, Index, Timestamp};
use trailseal_postgres::StoreSink;

const ORIGIN: &str = "example.com/delivery";

#[test]
fn every_event_arrives_once_with_its_exact_bytes() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    for opening in 0..3 {
        let trail = delivering(dir.path(), options(ORIGIN), &server.url());
        record(&trail, opening * 500..(opening + 1) * 500);
        // The close delivers the rest.
        let closed = trail.close(trails::SOON).unwrap();
        assert_eq!(closed.deliveries[0].lag_events, 0);
        check_equal(&server, ORIGIN, dir.path());
    }
}

#[test]
fn store_is_reached_only_once_the_row_is_there() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    for number in 0..20 {
        let receipt = trail.with(Ack::Store).record(&trails::event(number)).unwrap();
        assert_eq!(receipt.status, Status::Stored);
        let index = receipt.index.unwrap();
        assert_eq!(server.value(&format!("SELECT count(*) FROM trailseal.events WHERE idx = {index}")), "1");
    }
    trail.close(trails::SOON).unwrap();
}

#[test]
fn no_content_keeps_an_event_out() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    let long = "é".repeat(3_000);
    for json in [
        r#"{"action":"a\u0000b","tenant":"\u0000","actor":{"id":"x\u0000","name":"\ud800"},"id":"\u0000"}"#.to_owned(),
        format!(r#"{{"action":"{long}","resource":{{"type":"{long}","id":"{long}","name":"{long}"}}}}"#),
        format!(r#"{{"action":"a","tenant":"{long}","actor":{{"id":"{long}"}},"details":{{"x":"{long}"}}}}"#),
        r#"{"action":"a","time":"9999-12-31T23:59:59Z","context":{"ip":"::ffff:192.0.2.7"}}"#.to_owned(),
        r#"{"action":"a","time":"0001-01-01T00:00:00Z","context":{"ip":"no address"}}"#.to_owned(),
        r#"{"action":"a","related":[{"type":"t","id":"1","name":"n\u0000"},{"type":"u"},{"id":"without type"}]}"#.to_owned(),
        format!(r#"{{"action":"a","related":[{}]}}"#, vec![format!(r#"{{"type":"t","id":"{long}"}}"#); 90].join(",")),
        r#"{"action":"'); DROP TABLE trailseal.events; --","details":{"n":1e999,"deep":[[[[[[]]]]]]}}"#.to_owned(),
    ] {
        let receipt = trail.with(Ack::Store).record(AnyEvent::Json(json.as_bytes())).unwrap();
        assert_eq!(receipt.status, Status::Stored, "{json}");
    }
    trail.close(trails::SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
    let row = |condition: &str, columns: &str| {
        server.rows(&format!(
            "SELECT {columns} FROM trailseal.events WHERE NOT system AND {condition} ORDER BY idx"
        ))
    };
    assert_eq!(
        row("action LIKE 'a_b'", "action, tenant, actor_id"),
        [["a\u{fffd}b", "\u{fffd}", "x\u{fffd}"]]
    );
    assert_eq!(row("ip IS NOT NULL", "ip"), [["192.0.2.7"], ["no address"]]);
    assert_eq!(
        row("related @> '{u/}'", "related"),
        [[r#"{"/without type",t/,t/1,t/n@,u/}"#.replace('@', "\u{fffd}")]]
    );
    assert_eq!(row("time > recorded", "idx").len(), 0);
    assert_eq!(server.value("SELECT max(octet_length(action)) FROM trailseal.events"), "1024");
}

/// A clock that the test sets.
#[derive(Clone)]
struct Set(Arc<AtomicI64>);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[test]
fn lines_go_into_the_partitions_of_their_months() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let micros = |text: &str| Timestamp::parse(text).unwrap().as_micros();
    let clock = Set(Arc::new(micros("2031-01-31T23:59:59.999Z").into()));
    let mut options = options(ORIGIN);
    options.clock = Arc::new(clock.clone());
    // All of it is there before delivery begins, so that one batch goes over the ends of months.
    let trail = Trail::open(dir.path(), options.clone()).unwrap();
    record(&trail, 0..10);
    trail.flush(trails::SOON).unwrap();
    for month in ["2031-02-28T23:59:59.999999Z", "2031-05-01T00:00:00Z"] {
        clock.0.store(micros(month), Ordering::Relaxed);
        record(&trail, 10..20);
        trail.flush(trails::SOON).unwrap();
    }
    trail.close(trails::SOON).unwrap();
    let trail = delivering(dir.path(), options, &server.url());
    wait_stored(&trail);
    trail.close(trails::SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
    let partitions = "SELECT partition FROM trailseal.extents WHERE rows > 0 ORDER BY 1";
    let found: Vec<String> = server.rows(partitions).into_iter().flatten().collect();
    assert!(found.len() >= 3 && found.iter().all(|name| name.starts_with("events_2031_0")), "{found:?}");
}

#[test]
fn partitions_are_there_before_their_month_begins() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    wait_stored(&trail);
    let ahead = "SELECT count(*) FROM generate_series(0, 2) AS months WHERE to_regclass('trailseal.events_' || \
        to_char(now() AT TIME ZONE 'UTC' + months * interval '1 month', 'YYYY_MM')) IS NOT NULL";
    trails::wait_until("partitions are made ahead", || server.value(ahead) == "3");
    trail.close(trails::SOON).unwrap();
}

/// The lines of a trail as a batch that begins at `first`.
fn deliver(sink: &mut StoreSink, lines: &[(u64, Vec<u8>)], first: u64) -> Result<(), SinkError> {
    let lines: Vec<BatchLine<'_>> = lines
        .iter()
        .map(|(index, bytes)| BatchLine {
            index: Index::new(*index),
            bytes,
            segment: Index::new(0),
            offset: 0,
        })
        .collect();
    sink.deliver(&Batch { first: Index::new(first), lines: &lines })
}

#[test]
fn of_two_writers_of_one_origin_each_event_comes_from_one() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let trail = Trail::open(dir.path(), options(ORIGIN)).unwrap();
    record(&trail, 0..400);
    trail.close(trails::SOON).unwrap();
    let all = lines(dir.path());
    // Each delivers the lines from where it believes the cursor to be, as fast as it can.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut sink = StoreSink::new(server.url(), ORIGIN);
                let mut at = sink.position().unwrap().cursor.get() as usize;
                while at < all.len() {
                    let end = (at + 7).min(all.len());
                    at = match deliver(&mut sink, &all[at..end], at as u64) {
                        Ok(()) => end,
                        Err(SinkError::Gap { cursor, .. }) => cursor.get() as usize,
                        Err(error) => panic!("{error:?}"),
                    };
                }
            });
        }
    });
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn a_batch_that_does_not_begin_at_the_cursor_changes_nothing() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let trail = Trail::open(dir.path(), options(ORIGIN)).unwrap();
    record(&trail, 0..30);
    trail.close(trails::SOON).unwrap();
    let all = lines(dir.path());
    let mut sink = StoreSink::new(server.url(), ORIGIN);
    sink.position().unwrap();
    deliver(&mut sink, &all[..10], 0).unwrap();
    for first in [0, 5, 11, 20] {
        let refused = deliver(&mut sink, &all[first..], first as u64);
        assert!(matches!(refused, Err(SinkError::Gap { cursor, .. }) if cursor.get() == 10), "{refused:?}");
    }
    assert_eq!(server.value("SELECT count(*) FROM trailseal.events"), "10");
    // What was retired in between leaves numbers out, and is no gap.
    deliver(&mut sink, &all[15..], 10).unwrap();
    assert_eq!(sink.position().unwrap().cursor.get(), all.len() as u64);
}

#[test]
fn a_trail_that_was_rolled_back_is_stopped_and_nothing_is_dropped() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let (now, before) = (dir.path().join("now"), dir.path().join("before"));
    let trail = delivering(&now, options(ORIGIN), &server.url());
    record(&trail, 0..50);
    trail.close(trails::SOON).unwrap();
    copy_folder(&now, &before);
    let trail = delivering(&now, options(ORIGIN), &server.url());
    record(&trail, 50..100);
    trail.close(trails::SOON).unwrap();
    let held = server.value("SELECT count(*) FROM trailseal.events");
    let trail = delivering(&before, options(ORIGIN), &server.url());
    let (_, reason) = wait_stopped(&trail);
    assert!(reason.contains("store holds"), "{reason}");
    // It goes on recording, and grows past the store: now the line before the cursor tells them apart.
    record(&trail, 200..400);
    trail.close(trails::SOON).unwrap();
    let trail = delivering(&before, options(ORIGIN), &server.url());
    let (at, reason) = wait_stopped(&trail);
    assert!(reason.contains("differs from the trail's"), "{reason}");
    assert_eq!(at + 1, server.value("SELECT next FROM trailseal.cursors").parse::<u64>().unwrap());
    trail.close(trails::SOON).unwrap();
    assert_eq!(server.value("SELECT count(*) FROM trailseal.events"), held);
    check_equal(&server, ORIGIN, &now);
}

#[test]
fn a_store_restored_from_an_older_backup_is_filled_up_again() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    record(&trail, 0..300);
    wait_stored(&trail);
    trail.close(trails::SOON).unwrap();
    // As the backup had it: rows, extent and cursor.
    server.execute(
        "SET session_replication_role = replica; DELETE FROM trailseal.events WHERE idx >= 100; \
         UPDATE trailseal.extents SET last_idx = 99, rows = 100; \
         UPDATE trailseal.extents SET min_time = (SELECT min(time) FROM trailseal.events); \
         UPDATE trailseal.cursors SET next = 100, leaf = (SELECT leaf FROM trailseal.events WHERE idx = 99)",
    );
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    record(&trail, 300..310);
    wait_stored(&trail);
    trail.close(trails::SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn rows_that_a_trigger_swallows_are_not_called_stored() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    record(&trail, 0..3);
    wait_stored(&trail);
    server.execute(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE FUNCTION swallow_some() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN IF NEW.idx % 2 = 0 THEN RETURN NULL; END IF; RETURN NEW; END'",
    );
    let part = server.value("SELECT tableoid::regclass::text FROM trailseal.events LIMIT 1");
    let tables = [
        ("trailseal.checkpoints", "INSERT", "swallow"),
        ("trailseal.extents", "INSERT OR UPDATE", "swallow"),
        ("trailseal.cursors", "UPDATE", "swallow"),
        (&*part, "INSERT", "swallow"),
        (&*part, "INSERT", "swallow_some"),
    ];
    for (number, (table, on, function)) in (10..).step_by(10).zip(tables) {
        server.execute(&format!(
            "CREATE TRIGGER a_swallows BEFORE {on} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"
        ));
        let held = server.value("SELECT count(*) FROM trailseal.events");
        record(&trail, number..number + 4);
        let why = trails::wait_failing(&trail);
        assert!(
            why.contains(table) && why.contains("somebody put a trigger on that table"),
            "{table}: {why}"
        );
        if table != "trailseal.checkpoints" {
            assert_eq!(server.value("SELECT count(*) FROM trailseal.events"), held, "{table}");
        }
        server.execute(&format!("DROP TRIGGER a_swallows ON {table}"));
        // It is tried again by itself.
        trails::wait_until("delivery works again", || {
            !matches!(trails::delivery(&trail).state, DeliveryState::Failing { .. })
        });
        wait_stored(&trail);
    }
    trail.close(trails::SOON).unwrap();
    check_equal(&server, ORIGIN, dir.path());
}

#[test]
fn many_trails_fill_one_store_side_by_side() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let origins: Vec<String> = (0..4).map(|number| format!("example.com/node-{number}")).collect();
    std::thread::scope(|scope| {
        for origin in &origins {
            scope.spawn(|| {
                let own = dir.path().join(origin.rsplit('/').next().unwrap());
                let trail = delivering(&own, options(origin), &server.url());
                record(&trail, 0..400);
                wait_stored(&trail);
                trail.close(trails::SOON).unwrap();
            });
        }
    });
    for origin in &origins {
        check_equal(&server, origin, &dir.path().join(origin.rsplit('/').next().unwrap()));
    }
}

#[test]
fn a_related_resource_is_listed() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    let event = Event::new("merge").resource("order", "1").related("order", "2");
    trail.with(Ack::Store).record(&event).unwrap();
    let found =
        "SELECT resource_type, resource_id, related FROM trailseal.events WHERE related @> '{order/2}'";
    assert_eq!(server.rows(found), [["order", "1", "{order/,order/2}"]]);
    trail.close(trails::SOON).unwrap();
}
