//! The schema on a real server: made once by many, newer ones refused, partitions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;

use server::Server;
use trailseal_core::deliver::MustEnd;
use trailseal_postgres::{StoreError, VERSION, migrate, version};

#[test]
fn many_that_start_at_once_make_one_schema() {
    let server = Server::start();
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| migrate(&mut server.connect()))).collect();
        for start in starts {
            start.join().unwrap().unwrap();
        }
    });
    assert_eq!(version(&mut server.connect()).unwrap(), Some(VERSION));
    assert_eq!(server.value("SELECT count(*) FROM trailseal.migrations"), VERSION.to_string());
}

#[test]
fn a_schema_of_a_newer_program_is_left_alone() {
    let server = Server::start();
    migrate(&mut server.connect()).unwrap();
    server.execute("INSERT INTO trailseal.migrations (version) VALUES (99)");
    let error = migrate(&mut server.connect()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error:?}");
}

#[test]
fn a_partition_is_made_once_by_many_and_takes_its_month_in_utc() {
    let server = Server::start();
    migrate(&mut server.connect()).unwrap();
    server.execute(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), \
         'America/Los_Angeles'); END $$",
    );
    let names: Vec<String> = std::thread::scope(|scope| {
        let make = || server.value("SELECT trailseal.make_partition('2026-10-31T23:59:59.999999Z')");
        let makes: Vec<_> = (0..6).map(|_| scope.spawn(make)).collect();
        makes.into_iter().map(|make| make.join().unwrap()).collect()
    });
    assert!(names.iter().all(|name| name == "events_2026_10"), "{names:?}");
    assert_eq!(server.value("SELECT trailseal.make_partition('2026-11-01T00:00:00Z')"), "events_2026_11");
    let bounds = "SET timezone = 'UTC'; SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_class \
        JOIN pg_inherits ON inhrelid = pg_class.oid WHERE inhparent = 'trailseal.events'::regclass ORDER BY 1";
    let wanted = [
        ["events_2026_10", "FOR VALUES FROM ('2026-10-01 00:00:00+00') TO ('2026-11-01 00:00:00+00')"],
        ["events_2026_11", "FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00')"],
    ];
    assert_eq!(server.rows(bounds), wanted);
    // Also where one statement makes several, and so finds what was made while it waited.
    let make = || {
        server.rows(
            "SELECT trailseal.make_partition('2027-01-01Z'::timestamptz + months * interval '1 month') \
        FROM generate_series(0, 11) AS months",
        )
    };
    std::thread::scope(|scope| {
        let makes: Vec<_> = (0..6).map(|_| scope.spawn(make)).collect();
        makes.into_iter().for_each(|make| assert_eq!(make.join().unwrap().len(), 12));
    });
    // Every index of the whole is there, and belongs to it.
    let indexes =
        |table| format!("SELECT count(*) FROM pg_index WHERE indrelid = 'trailseal.{table}'::regclass");
    assert_eq!(server.value(&indexes("events_2026_10")), server.value(&indexes("events")));
}

#[test]
fn nothing_recorded_is_changed_even_by_the_owner() {
    let server = Server::start();
    migrate(&mut server.connect()).unwrap();
    server.execute(
        "SELECT trailseal.make_partition('2026-11-05T00:00:00Z'); \
         INSERT INTO trailseal.events (origin, idx, recorded, time, action, system, leaf, line) \
         VALUES ('o', 0, '2026-11-05T00:00:00Z', '2026-11-05T00:00:00Z', 'a', false, '', ''); \
         INSERT INTO trailseal.checkpoints (origin, size, note) VALUES ('o', 1, '')",
    );
    for sql in [
        "UPDATE trailseal.events SET action = 'b'",
        "UPDATE trailseal.events_2026_11 SET action = 'b'",
        "DELETE FROM trailseal.events",
        "DELETE FROM trailseal.events_2026_11",
        "TRUNCATE trailseal.events",
        "TRUNCATE trailseal.events_2026_11",
        "UPDATE trailseal.checkpoints SET note = 'b'",
        "DELETE FROM trailseal.checkpoints",
        "TRUNCATE trailseal.checkpoints",
    ] {
        let url = server.url();
        let mut connection = url.connect(&MustEnd::default()).unwrap();
        let within = std::time::Duration::from_secs(30);
        let refused = connection.run("change", within, async |client| client.batch_execute(sql).await);
        let Err(StoreError::Postgres { source, .. }) = refused else { panic!("{sql} gave {refused:?}") };
        assert_eq!(source.code().unwrap().code(), "42501", "{sql}");
    }
}
