//! Separate roles, asked as the roles themselves: what each may do is enough for its work, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "roles/gaps.rs"]
mod gaps;
mod server;
mod trails;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use server::Server;
use trails::{SOON, check_equal, delivering, options, record, wait_stored};
use trailseal_core::clock::{Clock, SystemClock};
use trailseal_core::deliver::MustEnd;
use trailseal_core::{Ack, Manifest, RetentionRule, Roll};
use trailseal_event::Timestamp;
use trailseal_event::count::FacetField;
use trailseal_event::filter::Filter;
use trailseal_postgres::roles;
use trailseal_postgres::verify::{StoreVerifyError, StoreVerifyOptions, verify_store};
use trailseal_postgres::{Connection, Pool, Reader, StoreError, StorePosition, StoreUrl, migrate};

const ORIGIN: &str = "example.com/roles";

/// A store whose owner is no superuser, with the separate roles and a user in each.
fn store() -> Server {
    let server = Server::start_own(&[]);
    server.execute("CREATE ROLE audit_owner LOGIN");
    server.execute("CREATE DATABASE audit OWNER audit_owner ENCODING 'UTF8' TEMPLATE template0");
    migrate(&mut as_user(&server, "audit_owner")).unwrap();
    run(&server, "test", &roles::sql("trailseal").unwrap()).unwrap();
    // Again: nothing changes.
    run(&server, "test", &roles::sql("trailseal").unwrap()).unwrap();
    run(
        &server,
        "test",
        "CREATE ROLE billing LOGIN IN ROLE trailseal_writer; CREATE ROLE support LOGIN IN ROLE trailseal_reader; \
         CREATE ROLE newcomer LOGIN IN ROLE trailseal_reader; CREATE ROLE auditor LOGIN IN ROLE trailseal_auditor; \
         CREATE ROLE archivist LOGIN IN ROLE trailseal_retirer; CREATE ROLE stranger LOGIN; \
         INSERT INTO trailseal.readers VALUES ('support', 't1')",
    )
    .unwrap();
    server
}

fn url(server: &Server, user: &str) -> StoreUrl {
    StoreUrl::parse(&format!("postgres://{user}@127.0.0.1:{}/audit", server.port())).unwrap()
}

fn as_user(server: &Server, user: &str) -> Connection {
    url(server, user).connect(&MustEnd::default()).unwrap()
}

fn run(server: &Server, user: &str, sql: &str) -> Result<(), StoreError> {
    as_user(server, user).run("execute", SOON, async |client| client.batch_execute(sql).await)
}

fn rows(server: &Server, user: &str, sql: &str) -> Vec<Vec<String>> {
    server::rows(&mut as_user(server, user), sql)
}

/// The SQLSTATE with which PostgreSQL refuses this.
fn refused(server: &Server, user: &str, sql: &str) -> String {
    match run(server, user, sql) {
        Err(StoreError::Postgres { source, .. }) => source.code().unwrap().code().to_owned(),
        other => panic!("{user} may {sql}: {other:?}"),
    }
}

/// The partition of now.
fn partition(server: &Server) -> String {
    let month = "SELECT 'trailseal.events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')";
    rows(server, "test", month)[0][0].clone()
}

#[test]
fn each_role_can_do_its_work_and_nothing_else() {
    let (server, dir) = (store(), tempfile::tempdir().unwrap());
    // The writer: it delivers, and makes the partitions that it needs.
    let trail = delivering(dir.path(), options(ORIGIN), &url(&server, "billing"));
    record(&trail, 0..300);
    wait_stored(&trail);
    trail.close(SOON).unwrap();
    let counted = rows(
        &server,
        "auditor",
        "SELECT count(*), count(*) FILTER (WHERE tenant = 't1') FROM trailseal.events",
    );
    assert!(counted[0][0].parse::<u64>().unwrap() > 300, "{counted:?}");
    assert_eq!(counted[0][1], "100");
    let part = partition(&server);
    for sql in [
        "SELECT count(*) FROM trailseal.events".to_owned(),
        format!("SELECT count(*) FROM {part}"),
        "UPDATE trailseal.events SET tenant = 'x'".to_owned(),
        format!("UPDATE {part} SET tenant = 'x'"),
        format!("DELETE FROM {part}"),
        format!("TRUNCATE {part}"),
        format!("DROP TABLE {part}"),
        format!("ALTER TABLE {part} DISABLE TRIGGER ALL"),
        "DELETE FROM trailseal.cursors".to_owned(),
        "DELETE FROM trailseal.checkpoints".to_owned(),
        "UPDATE trailseal.checkpoints SET note = 'x'".to_owned(),
        "INSERT INTO trailseal.readers VALUES ('billing', 't1')".to_owned(),
        "INSERT INTO trailseal.migrations (version) VALUES (99)".to_owned(),
        // Nor does it decide anything.
        "SELECT sha256 FROM trailseal.tokens".to_owned(),
        "INSERT INTO trailseal.tokens (name, sha256, about, created) VALUES ('x', sha256('x'), '{\"scopes\":[\"admin\"]}', now())"
            .to_owned(),
        "DELETE FROM trailseal.tokens".to_owned(),
        "DELETE FROM trailseal.holds".to_owned(),
        "INSERT INTO trailseal.policies (number, policy) VALUES (1, 'mode = \"off\"')".to_owned(),
        "UPDATE trailseal.reviews SET state = 'approved'".to_owned(),
        "INSERT INTO trailseal.decisions (id, origin, what, about) VALUES ('x', 'o', 'token_revoked', '{}')".to_owned(),
        "UPDATE trailseal.versions SET number = 0".to_owned(),
        "SELECT trailseal.drop_partition('events_2026_01')".to_owned(),
        "CREATE TABLE trailseal.mine (x int)".to_owned(),
        "SET session_replication_role = replica".to_owned(),
        // Into the parent no policy lets it: its way in is a partition.
        "INSERT INTO trailseal.events SELECT 'o', 1, now(), now(), NULL, NULL, NULL, 'a', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
         NULL, NULL, NULL, NULL, NULL, NULL, false, 'x', 'x'"
            .to_owned(),
    ] {
        assert_eq!(refused(&server, "billing", &sql), "42501", "{sql}");
    }

    // The reader: its tenant, and nothing beside.
    let seen = |user: &str, sql: &str| rows(&server, user, sql);
    assert_eq!(seen("support", "SELECT DISTINCT tenant FROM trailseal.events"), [["t1"]]);
    assert_eq!(seen("support", "SELECT count(*) FROM trailseal.events"), [["100"]]);
    assert_eq!(seen("support", "SELECT count(*) FROM trailseal.events WHERE tenant = 't2'"), [["0"]]);
    assert_eq!(seen("support", "SELECT count(*) FROM trailseal.events WHERE tenant IS NULL"), [["0"]]);
    assert_eq!(seen("newcomer", "SELECT count(*) FROM trailseal.events"), [["0"]]);
    for sql in [
        format!("SELECT count(*) FROM {part}"),
        "SET row_security = off; SELECT count(*) FROM trailseal.events".to_owned(),
        "SELECT * FROM trailseal.readers".to_owned(),
        "SELECT * FROM trailseal.tokens".to_owned(),
        "SELECT * FROM trailseal.reviews".to_owned(),
        "SELECT * FROM trailseal.decisions".to_owned(),
        "SELECT * FROM trailseal.checkpoints".to_owned(),
        "INSERT INTO trailseal.readers VALUES ('support', 't2')".to_owned(),
        "SET SESSION AUTHORIZATION auditor".to_owned(),
        "SET ROLE trailseal_auditor".to_owned(),
        "ALTER TABLE trailseal.events DISABLE ROW LEVEL SECURITY".to_owned(),
        "SELECT trailseal.make_partition(now())".to_owned(),
        "UPDATE trailseal.events SET tenant = 't1'".to_owned(),
        "DELETE FROM trailseal.events".to_owned(),
    ] {
        assert_eq!(refused(&server, "support", &sql), "42501", "{sql}");
    }
    check_reading(&server);
    // A function of the reader's own learns nothing of other tenants' rows.
    run(
        &server,
        "support",
        "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS \
         $$ BEGIN IF $1 <> 't1' THEN RAISE EXCEPTION 'leaked %', $1; END IF; RETURN true; END $$; \
         SELECT count(*) FROM trailseal.events WHERE pg_temp.leak(tenant)",
    )
    .unwrap();

    // The auditor: everything, and the verdict.
    let verdicts = verify_store(&mut as_user(&server, "auditor"), &StoreVerifyOptions::default()).unwrap();
    assert!(verdicts.len() == 1 && verdicts[0].ok && verdicts[0].origin == ORIGIN, "{verdicts:?}");
    for sql in [
        "DELETE FROM trailseal.events",
        "INSERT INTO trailseal.readers VALUES ('x', 'y')",
        "TRUNCATE trailseal.dropped",
    ] {
        assert_eq!(refused(&server, "auditor", sql), "42501", "{sql}");
    }
    // Whoever sees only a part is told so, and gets no verdict.
    let error = verify_store(&mut as_user(&server, "support"), &StoreVerifyOptions::default()).unwrap_err();
    assert!(
        matches!(&error, StoreVerifyError::Store(StoreError::Unfit { what, .. }) if what.contains("some tenants")),
        "{error}"
    );

    assert_eq!(refused(&server, "stranger", "SELECT count(*) FROM trailseal.events"), "42501");
    check_in_audit(&server, &dir);
}

/// The rows are all there after everything that was tried.
/// Counts, values and what arrives are of the reader's tenant too, though the filter names none.
fn check_reading(server: &Server) {
    let reader = |user: &str| Reader::new(Arc::new(Pool::new(url(server, user), 1)));
    let (support, all) = (reader("support"), Filter { system: true, ..Filter::default() });
    assert_eq!(support.count(&all).unwrap(), 100);
    assert_eq!(support.facets(&all, FacetField::Tenant, 9).unwrap(), [("t1".to_owned(), 100)]);
    assert_eq!(support.summary(&all, 9, None).unwrap().total, 100);
    let arrived = support.after(&all, &StorePosition::default(), 10_000, None).unwrap();
    assert_eq!((arrived.hits.len(), arrived.is_all), (100, true));
    assert!(reader("newcomer").newest(&all, 9).unwrap().0.is_empty());
}

fn check_in_audit(server: &Server, dir: &tempfile::TempDir) {
    let wanted = trails::lines(dir.path()).len().to_string();
    assert_eq!(rows(server, "auditor", "SELECT count(*) FROM trailseal.events"), [[wanted]]);
}

#[test]
fn whoever_retires_can_drop_only_what_is_over() {
    let server = store();
    run(
        &server,
        "audit_owner",
        "SELECT trailseal.make_partition('2020-05-05'), trailseal.make_partition(now())",
    )
    .unwrap();
    run(
        &server,
        "audit_owner",
        "INSERT INTO trailseal.extents VALUES ('o', 'events_2020_05', 3, 9, '2020-05-05', 7)",
    )
    .unwrap();
    let drop = |name: &str| format!("SELECT trailseal.drop_partition('{name}')");
    let part = partition(&server);
    let now = part.trim_start_matches("trailseal.");
    assert_eq!(refused(&server, "archivist", &drop(now)), "55006", "its month is not over");
    for name in ["cursors", "checkpoints", "nothing", "events", "a'b"] {
        assert_eq!(refused(&server, "archivist", &drop(&name.replace('\'', "''"))), "42P01", "{name}");
    }
    for sql in [
        format!("DROP TABLE {part}"),
        "SELECT count(*) FROM trailseal.events".to_owned(),
        format!("TRUNCATE {part}"),
    ] {
        assert_eq!(refused(&server, "archivist", &sql), "42501", "{sql}");
    }
    run(&server, "archivist", &drop("events_2020_05")).unwrap();
    assert_eq!(
        rows(
            &server,
            "archivist",
            "SELECT partition, origin, first_idx, last_idx, rows, by_role FROM trailseal.dropped"
        ),
        [["events_2020_05", "o", "3", "9", "7", "archivist"]]
    );
    assert_eq!(rows(&server, "auditor", "SELECT count(*) FROM trailseal.extents"), [["0"]]);
    assert_eq!(refused(&server, "audit_owner", "DELETE FROM trailseal.dropped"), "42501");
}

#[test]
fn not_even_the_owner_changes_what_is_stored_by_accident() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let trail = delivering(dir.path(), options(ORIGIN), &server.url());
    record(&trail, 0..10);
    trail.close(SOON).unwrap();
    let part = server.value("SELECT tableoid::regclass::text FROM trailseal.events LIMIT 1");
    for sql in [
        "UPDATE trailseal.events SET tenant = 'x'".to_owned(),
        format!("UPDATE {part} SET tenant = 'x'"),
        format!("DELETE FROM {part}"),
        format!("TRUNCATE {part}"),
        "TRUNCATE trailseal.events".to_owned(),
        "UPDATE trailseal.checkpoints SET note = 'x'".to_owned(),
        "DELETE FROM trailseal.checkpoints".to_owned(),
        "TRUNCATE trailseal.checkpoints".to_owned(),
    ] {
        let done = server.connect().run("execute", SOON, async |client| client.batch_execute(&sql).await);
        let Err(StoreError::Postgres { source, .. }) = done else { panic!("{sql}: {done:?}") };
        assert_eq!(source.code().unwrap().code(), "42501", "{sql}");
        assert!(source.to_string().contains("only ever added to"), "{sql}: {source}");
    }
    check_equal(&server, ORIGIN, dir.path());
}

fn partitions(server: &Server) -> Vec<String> {
    let list = "SELECT DISTINCT partition FROM trailseal.extents";
    rows(server, "auditor", list).into_iter().flatten().collect()
}

/// A clock that the test sets.
#[derive(Clone, Default)]
struct Set(Arc<AtomicI64>);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1_000, Ordering::SeqCst))
    }
}

#[test]
fn writers_keep_what_is_retired_and_only_whoever_retires_drops_it() {
    let (server, dir) = (store(), tempfile::tempdir().unwrap());
    let (clock, mut options) = (Set::default(), options(ORIGIN));
    let now = SystemClock.now().as_micros();
    clock.0.store(now - 200 * 86_400_000_000, Ordering::SeqCst);
    options.clock = Arc::new(clock.clone());
    options.segment.roll = Roll::Bytes(16 << 10);
    let trail = delivering(dir.path(), options, &url(&server, "billing"));
    for number in 0..200 {
        trail.with(Ack::Durable).record(&trails::event(number)).unwrap();
    }
    clock.0.store(now - 86_400_000_000, Ordering::SeqCst);
    for number in 0..80 {
        trail.with(Ack::Durable).record(&trails::event(number)).unwrap();
    }
    wait_stored(&trail);
    let rule = RetentionRule { tenant: Some("t1".to_owned()), ..RetentionRule::older_than_days(90) };
    let retained = trail.retain(&rule, None).unwrap();
    assert!(retained.events > 20, "{retained:?}");
    trail.close(SOON).unwrap();
    let old =
        "SELECT count(*) FROM trailseal.events WHERE tenant = 't1' AND time < now() - interval '90 days'";
    let count = || rows(&server, "auditor", old)[0][0].parse::<u64>().unwrap();
    let before = count();
    assert!(before >= retained.events, "whoever writes drops nothing");
    let gone = rows(
        &server,
        "auditor",
        "SELECT min(from_idx) FROM trailseal.retired_lists, trailseal.ranges_of(list)",
    )[0][0]
        .clone();

    // Nobody goes around it.
    for user in ["billing", "archivist", "auditor", "support"] {
        for sql in [
            format!("DELETE FROM trailseal.events WHERE idx = {gone}"),
            "INSERT INTO trailseal.retired_lists VALUES ('o', 0, 4, 9, 'x')".to_owned(),
            "INSERT INTO trailseal.retiring VALUES ('o', 0, 4, 9)".to_owned(),
            "INSERT INTO trailseal.retiring_now VALUES (pg_current_xact_id(), 'o', 0, 9)".to_owned(),
            "DELETE FROM trailseal.retired_leaves".to_owned(),
        ] {
            assert_eq!(refused(&server, user, &sql), "42501", "{user}: {sql}");
        }
    }
    for user in ["billing", "auditor", "support"] {
        for sql in [
            "SELECT trailseal.drop_retired('example.com/roles', NULL)",
            "SELECT trailseal.drop_retired_partition('events_2020_01', NULL)",
        ] {
            assert_eq!(refused(&server, user, sql), "42501", "{user}: {sql}");
        }
    }
    assert_eq!(
        refused(&server, "audit_owner", &format!("DELETE FROM trailseal.events WHERE idx = {gone}")),
        "42501"
    );
    for sql in ["DELETE FROM trailseal.retired_lists", "TRUNCATE trailseal.retired_leaves"] {
        assert_eq!(refused(&server, "audit_owner", sql), "42501", "{sql}");
    }

    // What no event announces is not kept, nor a hash that is not the row's.
    let keep = |list: &str, hashes: &str| {
        let sql = format!(
            "SELECT outcome FROM trailseal.keep_retired('{ORIGIN}', 0, octet_length({list}) + coalesce((SELECT max(bytes) FROM \
             trailseal.retired_lists WHERE segment = 0), 0), {by}, {list}, 0, 1, {hashes}, NULL)",
            by = retained.retired_by[0]
        );
        rows(&server, "billing", &sql)[0][0].clone()
    };
    let zero = "convert_to(E'0 1\\n', 'UTF8')";
    let hash = "decode(repeat('00', 32), 'hex')";
    assert_eq!(keep(zero, hash), "not announced");

    // A writer can add a forged event, and a checkpoint that nobody has signed.
    let newest = rows(
        &server,
        "auditor",
        "SELECT tableoid::regclass::text, recorded FROM trailseal.events ORDER BY recorded DESC LIMIT 1",
    );
    // At its time: now may be of another month.
    let [part, recorded] = newest[0].as_slice() else { panic!("{newest:?}") };
    let whole = "(SELECT string_agg(list, '' ORDER BY bytes) FROM trailseal.retired_lists WHERE segment = 0)";
    let next = rows(&server, "auditor", "SELECT next FROM trailseal.cursors")[0][0].clone();
    let leaf = rows(&server, "auditor", "SELECT encode(leaf, 'hex') FROM trailseal.events WHERE idx = 0")[0]
        [0]
    .clone();
    run(
        &server,
        "billing",
        &format!(
            "INSERT INTO {part} (origin, idx, recorded, time, action, system, leaf, line) SELECT '{ORIGIN}', {next}, '{recorded}', '{recorded}', \
             'trail.retired', true, 'x', convert_to(format('{{\"v\":1,\"index\":{next},\"recorded\":\"x\",\"system\":true,\
             \"action\":\"trail.retired\",\"details\":{{\"segments\":[{{\"first\":0,\"bytes\":%s,\"sha256\":\"%s\"}}]}}}}', \
             octet_length({whole} || {zero}), encode(sha256({whole} || {zero}), 'hex')), 'UTF8'); \
             INSERT INTO trailseal.checkpoints VALUES ('{ORIGIN}', {next} + 1, 'x')"
        ),
    )
    .unwrap();
    let forged_list = |list: &str, hashes: &str| {
        let sql = format!(
            "SELECT outcome FROM trailseal.keep_retired('{ORIGIN}', 0, octet_length({whole} || {zero}), {next}, {list}, 0, 1, {hashes}, NULL)"
        );
        rows(&server, "billing", &sql)[0][0].clone()
    };
    let forged = |hashes: &str| forged_list(zero, hashes);
    let as_long = "convert_to(E'0 2\\n', 'UTF8')";
    assert_eq!(
        forged_list(as_long, hash),
        "not announced",
        "an event announces a list as long, and not this one"
    );
    // Nor does it help to hide the row from the table that says where rows are.
    let extents = rows(&server, "billing", "SELECT partition, first_idx, last_idx FROM trailseal.extents");
    run(&server, "billing", "UPDATE trailseal.extents SET first_idx = -1, last_idx = -1").unwrap();
    assert_eq!(forged(hash), "leaf differs");
    for extent in &extents {
        let [partition, first, last] = &extent[..] else { panic!() };
        let sql = format!(
            "UPDATE trailseal.extents SET first_idx = {first}, last_idx = {last} WHERE partition = '{partition}'"
        );
        run(&server, "billing", &sql).unwrap();
    }
    assert_eq!(forged(&format!("decode('{leaf}', 'hex')")), "kept");

    // Whoever retires drops what a key that it was given has signed.
    let key = {
        let folder = trailseal_core::Folder::new(dir.path(), Arc::new(trailseal_core::file::StdFiles));
        Manifest::read(&folder).unwrap().unwrap().key_ring().0.keys()[0].key.clone()
    };
    let other = trailseal_tlog::SigningKey::from_seed(ORIGIN, &[3; 32]).verifying_key();
    let retire = |key: &trailseal_tlog::VerifyingKey| {
        let retired =
            trailseal_postgres::retire(&mut as_user(&server, "archivist"), std::slice::from_ref(key))
                .unwrap();
        (retired[0].events, retired[0].left.clone().unwrap_or_default())
    };
    // A second row with the index of the genuine event, for a list that is none.
    run(
        &server,
        "billing",
        &format!(
            "INSERT INTO {part} (origin, idx, recorded, time, action, system, leaf, line) SELECT '{ORIGIN}', {by}, '{recorded}', '{recorded}', 'x', \
             false, 'x', convert_to(format('{{\"v\":1,\"index\":{by},\"recorded\":\"0\",\"system\":true,\
             \"action\":\"trail.retired\",\"details\":{{\"segments\":[{{\"first\":1,\"bytes\":4,\"sha256\":\"%s\"}}]}}}}', \
             encode(sha256(convert_to(E'0 9\\n', 'UTF8')), 'hex')), 'UTF8')",
            by = retained.retired_by[0]
        ),
    )
    .unwrap();
    let second = format!(
        "SELECT outcome FROM trailseal.keep_retired('{ORIGIN}', 1, 4, {}, convert_to(E'0 9\\n', 'UTF8'), 0, 9, decode(repeat('00', 288), \
         'hex'), NULL)",
        retained.retired_by[0]
    );
    assert_eq!(rows(&server, "billing", &second), [["not announced"]]);
    for name in partitions(&server) {
        let sql = format!("SELECT trailseal.drop_retired_partition('{name}', '{{\"{ORIGIN}\":[]}}')");
        assert_eq!(rows(&server, "archivist", &sql), [["kept"]]);
    }
    let (events, left) = retire(&other);
    assert!(events == 0 && left.contains("no given key has signed"), "{left}");
    assert_eq!(count(), before);
    let (events, left) = retire(&key);
    assert_eq!((events, count()), (retained.events, before - retained.events));
    assert!(left.contains(&format!("event {next}")), "{left}");
    assert_eq!(
        rows(&server, "auditor", "SELECT count(*) FROM trailseal.events WHERE idx = 0"),
        [["1"]],
        "forged"
    );
    // No writer fills the store with partitions.
    assert_eq!(refused(&server, "billing", "SELECT trailseal.make_partition('2999-01-01')"), "22008");
    // The forged list is found, and what it names is still there.
    let options = StoreVerifyOptions { public_keys: vec![key], ..StoreVerifyOptions::default() };
    let verdicts = verify_store(&mut as_user(&server, "auditor"), &options).unwrap();
    assert_eq!((verdicts[0].ok, verdicts[0].retired), (false, retained.events), "{}", verdicts[0].message);
}

#[test]
fn what_goes_with_a_whole_partition_is_counted() {
    let (server, dir) = (store(), tempfile::tempdir().unwrap());
    let (clock, mut options) = (Set::default(), options(ORIGIN));
    let now = SystemClock.now().as_micros();
    clock.0.store(now - 500 * 86_400_000_000, Ordering::SeqCst);
    options.clock = Arc::new(clock.clone());
    options.segment.roll = Roll::Bytes(16 << 10);
    let trail = delivering(dir.path(), options.clone(), &url(&server, "billing"));
    for number in 0..100 {
        trail.with(Ack::Durable).record(&trails::event(number)).unwrap();
    }
    clock.0.store(now - 86_400_000_000, Ordering::SeqCst);
    for number in 0..80 {
        trail.with(Ack::Durable).record(&trails::event(number)).unwrap();
    }
    trail.close(SOON).unwrap();
    // Of the opening that is under way something always stays.
    let trail = delivering(dir.path(), options, &url(&server, "billing"));
    wait_stored(&trail);
    let retained = trail.retain(&RetentionRule::older_than_days(90), None).unwrap();
    assert!(retained.events >= 100, "{retained:?}");
    trail.close(SOON).unwrap();
    let key = {
        let folder = trailseal_core::Folder::new(dir.path(), Arc::new(trailseal_core::file::StdFiles));
        Manifest::read(&folder).unwrap().unwrap().key_ring().0.keys()[0].key.clone()
    };
    let before = partitions(&server).len();
    let retired = trailseal_postgres::retire(&mut as_user(&server, "archivist"), &[key]).unwrap();
    assert_eq!((retired[0].events, &retired[0].left), (retained.events, &None));
    assert_eq!(partitions(&server).len(), before - 1, "as a whole");
}
