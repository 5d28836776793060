//! The schema on a real server: made once by many, newer ones refused, partitions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;

use server::Server;
use std::time::Duration;

use trailseal_core::deliver::MustEnd;
use trailseal_postgres::{Connection, Problem, StoreError, StoreUrl, VERSION, migrate, outbox, version};

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
fn whoever_can_only_connect_holds_no_migration_up_and_whoever_can_is_named() {
    let server = Server::start_own(&[]);
    server.execute("CREATE ROLE nosy LOGIN");
    let nosy = StoreUrl::parse(&server.url_text().replace("//test@", "//nosy@")).unwrap();
    let mut nosy = nosy.connect(&MustEnd::default()).unwrap();
    // The numbers that this program has ever locked.
    execute(
        &mut nosy,
        "SELECT pg_advisory_lock(7812737564217339500 + nth) FROM generate_series(-1, 4) AS nth",
    );
    // Whoever waits for a lock gives up with an error.
    migrate(&mut server.connect()).unwrap();
    outbox::migrate(&mut server.connect()).unwrap();

    // An owner who has begun to make an outbox, and another who changes the store, and neither goes on.
    server.execute(
        "DROP SCHEMA trailseal_outbox CASCADE; DELETE FROM trailseal.migrations \
         WHERE version = (SELECT max(version) FROM trailseal.migrations)",
    );
    let [mut maker, mut changer] = [server.connect(), server.connect()];
    execute(&mut maker, "SET application_name = 'maker'; BEGIN; CREATE SCHEMA trailseal_outbox");
    let sql = "BEGIN; LOCK TABLE trailseal.migrations IN SHARE UPDATE EXCLUSIVE MODE";
    execute(&mut changer, sql);
    let refused: Vec<String> = std::thread::scope(|scope| {
        type Try = fn(&mut Connection) -> Result<(), StoreError>;
        let tries: [Try; 2] = [outbox::migrate, migrate];
        let tries = tries.map(|migrate| {
            let server = &server;
            scope.spawn(move || migrate(&mut server.connect()).unwrap_err())
        });
        tries
            .into_iter()
            .map(|tried| {
                let error = tried.join().unwrap();
                assert_eq!(error.problem(), Problem::Locked, "{error:?}");
                error.to_string()
            })
            .collect()
    });
    for (said, holder) in refused.iter().zip([&mut maker, &mut changer]) {
        let process = process(holder);
        assert!(
            said.contains("may hold it") && said.contains(&format!("process {process} of test")),
            "{said}"
        );
        // It may be another, so there is no command to end it.
        assert!(!said.contains("pg_terminate_backend"), "{said}");
    }
    assert!(refused[0].contains("(maker)"), "{refused:?}");
    execute(&mut maker, "ROLLBACK");
    outbox::migrate(&mut server.connect()).unwrap();
    assert_eq!(outbox::version(&mut server.connect()).unwrap(), Some(1));
    // A schema of that name that is no outbox is left alone.
    server.execute("DROP SCHEMA trailseal_outbox CASCADE; CREATE SCHEMA trailseal_outbox");
    let error = outbox::migrate(&mut server.connect()).unwrap_err();
    let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(why.contains("already exists"), "{error}: {why}");
}

fn execute(connection: &mut Connection, sql: &str) {
    connection
        .run("execute", Duration::from_secs(30), async |client| client.batch_execute(sql).await)
        .unwrap();
}

fn process(connection: &mut Connection) -> i32 {
    let ask = "SELECT pg_backend_pid()";
    let asked =
        connection.run("ask", Duration::from_secs(30), async |client| client.query_one(ask, &[]).await);
    asked.unwrap().get(0)
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

#[test]
fn what_a_hint_says_fits_what_is_wrong() {
    let server = Server::start_own(&[]);
    migrate(&mut server.connect()).unwrap();
    let said = |doing: &'static str, sql: &str| {
        let done = server
            .connect()
            .run(doing, Duration::from_secs(30), async |client| client.batch_execute(sql).await);
        done.unwrap_err().to_string()
    };
    let reviews =
        "INSERT INTO trailseal.reviews (id, origin, idx, line, state) VALUES ('x', 'o', 0, 'x', 'other')";
    for (doing, sql, wanted) in [
        (
            "add events to",
            reviews,
            "(nothing is missing: a constraint or column in its schema trailseal refuses",
        ),
        ("read", "SELECT other FROM trailseal.events", "(a column is missing in its schema trailseal:"),
        ("read", "SELECT FROM trailseal.other", "(restore what is missing in its schema trailseal)"),
        (
            "look into the outbox of",
            "SELECT FROM trailseal_outbox.other",
            "what is missing in its schema trailseal_outbox)",
        ),
    ] {
        let text = said(doing, sql);
        assert!(text.contains(wanted), "{sql}: {text}");
    }
    server.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0; CREATE ROLE many LOGIN");
    server.execute("CREATE DATABASE narrow CONNECTION LIMIT 0");
    let connected = |user: &str, database: &str| {
        let url = format!("postgres://{user}@127.0.0.1:{}/{database}", server.port());
        let connected = StoreUrl::parse(&url).unwrap().connect(&Default::default());
        connected.err().unwrap().to_string()
    };
    assert!(connected("few", "postgres").contains("ALTER ROLE"), "{}", connected("few", "postgres"));
    assert!(connected("many", "narrow").contains("ALTER DATABASE"), "{}", connected("many", "narrow"));
    assert!(connected("many", "nowhere").contains("create the database"), "{}", connected("many", "nowhere"));
    let mut connection = server.connect();
    let asked = connection.run("wait in", Duration::from_millis(300), async |client| {
        client.batch_execute("SELECT pg_sleep(9)").await
    });
    assert!(asked.unwrap_err().to_string().ends_with("no answer in time"));
}
