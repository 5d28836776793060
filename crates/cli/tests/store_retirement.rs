//! Retirement on the shared store, by the built program: what a trail retires goes from the store, whatever dies meanwhile, the
//! store verifies without the trail, and whoever tampers with what is kept is found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "this is test code")]

#[path = "store_retirement/asked.rs"]
mod asked;
#[path = "../../postgres/tests/server/mod.rs"]
mod server;
mod support;
#[path = "../../postgres/tests/trails/mod.rs"]
mod trails;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use server::Server;
use support::Place;
use trailseal_core::clock::Clock;
use trailseal_core::{Ack, Roll, Trail};
use trailseal_event::{Event, Timestamp};

const ORIGIN: &str = "example.com/retired";
const EVERY: &str = "retain --older-than 90d";

/// A clock that the test sets.
#[derive(Clone, Default)]
struct Set(Arc<AtomicI64>);

impl Set {
    fn to(&self, time: &str) {
        self.0.store(Timestamp::parse(time).unwrap().as_micros(), Ordering::SeqCst);
    }
}

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1_000, Ordering::SeqCst))
    }
}

/// A trail with events of two months that are long over, and as many young ones as fill a segment; and a store.
struct Aged {
    server: Server,
    place: Place,
    databases: std::cell::Cell<u32>,
}

/// Two months that have been over for more than a year, as year and month.
fn months() -> [(u32, u32); 2] {
    let now = trailseal_core::clock::SystemClock.now();
    let text = Timestamp::from_micros(now.as_micros() - 500 * 86_400_000_000).to_string();
    let (year, month) = (text[..4].parse().unwrap(), text[5..7].parse().unwrap());
    [(year, month), if month == 12 { (year + 1, 1) } else { (year, month + 1) }]
}

fn partitions_of_old() -> [String; 2] {
    months().map(|(year, month)| format!("events_{year}_{month:02}"))
}

impl Aged {
    /// `each` old events a month, of so many tenants; the store has them unless it comes later.
    fn new(server: Server, each: usize, tenants: usize, has_store: bool) -> Aged {
        let aged = Aged { server, place: Place::new(), databases: 0.into() };
        let clock = Set::default();
        let times = months().map(|(year, month)| format!("{year}-{month:02}-10T08:00:00Z"));
        clock.to(&times[0]);
        let mut options = trails::options(ORIGIN);
        options.clock = Arc::new(clock.clone());
        options.segment.roll = Roll::Bytes(16 << 10);
        let trail = match has_store {
            true => trails::delivering(&aged.trail(), options, &aged.server.url()),
            false => Trail::open(aged.trail(), options).unwrap(),
        };
        let record = |count: usize, name: &str| {
            for number in 0..count {
                let event = Event::new("page.read")
                    .id(format!("{name}-{number}"))
                    .tenant(format!("t{}", number % tenants))
                    .description("x".repeat(300));
                // Segments roll between commits.
                let ack = if number % 16 == 15 { Ack::Durable } else { Ack::Accepted };
                trail.with(ack).record(&event).unwrap();
            }
        };
        for (time, name) in times.iter().zip(["first", "second"]) {
            clock.to(time);
            record(each, name);
        }
        let now = trailseal_core::clock::SystemClock.now();
        clock.0.store(now.as_micros() - 86_400_000_000, Ordering::SeqCst);
        record(80, "young");
        trail.close(trails::SOON).unwrap();
        aged.place.write("trailseal.toml", "");
        if has_store {
            aged.name_store();
        }
        aged
    }

    fn name_store(&self) {
        self.place.write("trailseal.toml", format!("[store]\nurl = \"{}\"\n", self.server.url_text()));
    }

    fn trail(&self) -> PathBuf {
        self.place.path("trail")
    }

    fn retain(&self, words: &str) -> Value {
        let answer = self.place.run(&format!("{words} --json")).ok();
        serde_json::from_str(answer.out.lines().last().unwrap()).unwrap()
    }

    /// The verdict on the store alone.
    fn verify(&self, url: &str) -> Value {
        let key = self.place.public_key();
        let answer = self.place.run_all(&[
            "verify",
            "--dir",
            "nowhere",
            "--store",
            url,
            "--public-key",
            &key,
            "--json",
        ]);
        let json: Value = serde_json::from_str(&answer.out).unwrap_or_else(|_| panic!("{answer:?}"));
        assert_eq!(answer.code, Some(if json["ok"] == true { 0 } else { 1 }), "{answer:?}");
        json["trails"][0].clone()
    }

    #[track_caller]
    fn verifies(&self) -> Value {
        let verdict = self.verify(self.server.url_text());
        assert_eq!(verdict["ok"], true, "{verdict}");
        verdict
    }

    /// The store holds exactly the lines that the trail still has.
    #[track_caller]
    fn holds_what_the_trail_has(&self) {
        let wanted: Vec<Vec<String>> = trails::lines(&self.trail())
            .iter()
            .map(|(index, line)| vec![index.to_string(), String::from_utf8(line.clone()).unwrap()])
            .collect();
        let stored =
            self.server.rows("SELECT idx, convert_from(line, 'UTF8') FROM trailseal.events ORDER BY idx");
        let differs = stored.iter().zip(&wanted).find(|(stored, wanted)| stored != wanted);
        assert_eq!((stored.len(), differs), (wanted.len(), None));
    }

    fn partitions(&self) -> Vec<String> {
        let list = "SELECT relname FROM pg_class WHERE oid IN (SELECT inhrelid FROM pg_inherits \
            WHERE inhparent = 'trailseal.events'::regclass) ORDER BY 1";
        self.server.rows(list).into_iter().flatten().collect()
    }

    /// Bytes of the partitions of old months, with their indexes. Others are made ahead at any time.
    fn bytes(&self) -> u64 {
        let [one, two] = partitions_of_old();
        let sum = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class";
        self.number(&format!("{sum} WHERE relname IN ('{one}', '{two}')"))
    }

    fn number(&self, sql: &str) -> u64 {
        self.server.value(sql).parse().unwrap()
    }

    /// A copy of the database, to which `sql` was done by a superuser with the triggers off.
    fn tampered(&self, sql: &str) -> String {
        self.databases.set(self.databases.get() + 1);
        let source = self.server.value("SELECT current_database()");
        let name = format!("{source}_copy_{}", self.databases.get());
        let url = |database: &str| {
            let (authority, options) =
                self.server.url_text().split_once('?').unwrap_or((self.server.url_text(), ""));
            format!("{}/{database}?{options}", &authority[..authority.rfind('/').unwrap()])
        };
        execute(&url("template1"), &format!("CREATE DATABASE {name} TEMPLATE {source}"));
        execute(&url(&name), &format!("SET session_replication_role = replica; {sql}"));
        url(&name)
    }
}

fn execute(url: &str, sql: &str) {
    let url = trailseal_postgres::StoreUrl::parse(url).unwrap();
    let mut connection = url.connect(&Default::default()).unwrap();
    let done = connection.run("execute", trails::SOON, async |client| client.batch_execute(sql).await);
    done.unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
}

#[test]
fn what_a_trail_retires_goes_from_the_store_and_its_space_comes_back() {
    let aged = Aged::new(Server::start(), 600, 3, true);
    aged.holds_what_the_trail_has();
    let all = aged.number("SELECT count(*) FROM trailseal.events WHERE NOT system");
    let full = aged.bytes();

    // A part of each segment: the rows go one by one.
    let dry = aged.retain(&format!("{EVERY} --tenant t1 --dry-run"));
    assert_eq!(aged.number("SELECT count(*) FROM trailseal.events WHERE NOT system"), all, "{dry}");
    let one = aged.retain(&format!("{EVERY} --tenant t1"));
    let went = one["events"].as_u64().unwrap();
    assert!(went > 350 && went == dry["events"], "{one}");
    assert_eq!(
        aged.number(
            "SELECT count(*) FROM trailseal.events WHERE time < now() - interval '90 days' AND tenant = 't1'"
        ),
        0
    );
    aged.holds_what_the_trail_has();
    let verdict = aged.verifies();
    assert_eq!((&verdict["retired"], &verdict["retired_by"]), (&one["events"], &one["retired_by"]));
    // Hashes and lists take a small part of what the rows took.
    let kept = aged.number(
        "SELECT pg_total_relation_size('trailseal.retired_lists') + pg_total_relation_size('trailseal.retired_leaves')",
    );
    assert!(kept < went * 400, "{kept} bytes are kept of {went} rows");
    assert_eq!(aged.number("SELECT count(*) FROM trailseal.retiring"), 0);
    assert_eq!(aged.number("SELECT count(*) FROM trailseal.retiring_now"), 0);
    // A month that is over gets no new rows, so that its free pages are of no use to anybody.
    for partition in partitions_of_old() {
        aged.server.execute(&format!("VACUUM FULL trailseal.{partition}"));
    }
    let less = aged.bytes();
    assert!(less < full * 9 / 10, "{less} of {full} bytes");

    // All of two months: the partitions go.
    assert!(partitions_of_old().iter().all(|name| aged.partitions().iter().any(|there| there == name)));
    let two = aged.retain(EVERY);
    assert!(two["events"].as_u64().unwrap() > 700, "{two}");
    aged.holds_what_the_trail_has();
    let verdict = aged.verifies();
    let both = one["events"].as_u64().unwrap() + two["events"].as_u64().unwrap();
    assert_eq!(verdict["retired"], both, "{verdict}");
    let by = [&one["retired_by"], &two["retired_by"]].map(|by| by[0].as_u64().unwrap());
    assert_eq!(verdict["retired_by"], serde_json::json!(by));
    assert!(partitions_of_old().iter().all(|name| !aged.partitions().iter().any(|there| there == name)));
    assert_eq!(aged.bytes(), 0);
    // A retired event answers as the trail does.
    let url = trailseal_postgres::StoreUrl::parse(aged.server.url_text()).unwrap();
    let reader = trailseal_postgres::Reader::new(Arc::new(trailseal_postgres::Pool::new(url, 1)));
    let mut trail =
        trailseal_core::Reader::open(aged.trail(), Arc::new(trailseal_core::file::StdFiles)).unwrap();
    for (id, tenant) in
        [("first-1", "t1"), ("first-2", "t2"), ("second-599", "t2"), ("young-3", "t0"), ("none", "t0")]
    {
        for tenant in [None, Some(tenant), Some("other")] {
            let wanted = trail.retired_by_id(id, tenant).unwrap();
            let found = reader.retired_by_id(id, tenant).unwrap();
            assert_eq!(
                found.is_empty(),
                !id.contains('-') || id.contains("young") || tenant == Some("other"),
                "{id}"
            );
            assert_eq!(
                found.iter().map(|event| (event.index, Some(event.by))).collect::<Vec<_>>(),
                wanted.iter().map(|event| (event.index, event.by)).collect::<Vec<_>>()
            );
            for event in found {
                assert!(reader.at(ORIGIN, event.index).unwrap().is_none());
                let of = |names: &[&str]| {
                    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
                    reader.retired_at(&names, event.index).unwrap()
                };
                assert_eq!(of(&[ORIGIN]), Some(event.clone()));
                assert_eq!(of(&[]), Some(event.clone()));
                assert_eq!((of(&["example.com/other"]), of(&["x\0y"])), (None, None));
            }
        }
    }
    // What stays is found, and counted, as in the trail.
    let count = |more: &str| aged.place.run(&format!("query --count --system {more}")).ok().out;
    assert_eq!(count("--store settings"), count(""));
    let text = aged.place.run("verify --store settings").ok().out;
    assert!(
        text.contains(&format!("retired:  {both} events, by event {}, event {}\n", by[0], by[1])),
        "{text}"
    );
}

#[test]
fn lines_retired_before_the_store_had_them_are_no_gap() {
    let aged = Aged::new(Server::start(), 200, 2, false);
    let retained = aged.retain(&format!("{EVERY} --tenant t1"));
    assert!(retained["events"].as_u64().unwrap() > 100, "{retained}");
    aged.name_store();
    aged.place.feed("record --store settings", r#"{"action":"now"}"#).ok();
    aged.holds_what_the_trail_has();
    let verdict = aged.verifies();
    assert_eq!((&verdict["retired"], &verdict["retired_by"]), (&retained["events"], &retained["retired_by"]));
    // And what goes later, from among them.
    let more = aged.retain(EVERY);
    aged.holds_what_the_trail_has();
    let verdict = aged.verifies();
    let both = retained["events"].as_u64().unwrap() + more["events"].as_u64().unwrap();
    assert_eq!(verdict["retired"], both);
}

/// What must be said: the problem, the first event or any, and a piece of the message.
type Said = (&'static str, Option<u64>, &'static str);

#[test]
fn whoever_tampers_with_what_is_kept_is_found() {
    let aged = Aged::new(Server::start(), 120, 3, true);
    let retained = aged.retain(&format!("{EVERY} --tenant t1"));
    let event = retained["retired_by"][0].as_u64().unwrap();
    aged.verifies();
    // The first that is gone, one that stays in the same segment, and the first of the second segment's list.
    let gone = aged.number(
        "SELECT min(from_idx) FROM trailseal.retired_lists, trailseal.ranges_of(list) WHERE segment = 0",
    );
    let stays = gone + 1;
    let second = aged.number("SELECT min(segment) FROM trailseal.retired_lists WHERE segment > 0");
    let longer = format!("list || convert_to('{stays} {}' || E'\\n', 'UTF8')", stays + 1);
    let leaf_of_stays = format!("(SELECT leaf FROM trailseal.events WHERE idx = {stays})");
    let table: Vec<(&str, String, Said)> = vec![
        (
            "a row that no list names removed",
            format!("DELETE FROM trailseal.events WHERE idx = {stays}"),
            ("missing", Some(stays), ""),
        ),
        (
            "a list removed",
            "DELETE FROM trailseal.retired_lists WHERE segment = 0".to_owned(),
            ("missing", Some(gone), "is not in the store"),
        ),
        (
            "all lists and hashes removed",
            "DELETE FROM trailseal.retired_lists; DELETE FROM trailseal.retired_leaves".to_owned(),
            ("missing", Some(gone), "is not in the store"),
        ),
        (
            "hashes removed",
            "DELETE FROM trailseal.retired_leaves WHERE segment = 0".to_owned(),
            ("missing", Some(gone), "leaf hash that was kept of it is missing"),
        ),
        (
            "a hash changed",
            "UPDATE trailseal.retired_leaves SET leaves = set_byte(leaves, 5, get_byte(leaves, 5) # 1) WHERE segment = 0"
                .to_owned(),
            ("root_mismatch", None, "only leaf hashes"),
        ),
        (
            "a list enlarged, and the row that it names removed",
            format!(
                "UPDATE trailseal.retired_leaves SET leaves = substring(leaves FOR 32) || {leaf_of_stays} || substring(leaves FROM 33) \
                 WHERE segment = 0; UPDATE trailseal.retired_lists SET list = {longer} WHERE segment = 0; \
                 DELETE FROM trailseal.events WHERE idx = {stays}"
            ),
            ("missing", Some(gone), "no sealed event `trail.retired`"),
        ),
        (
            "a part added to a list, and the row that it names removed",
            format!(
                "INSERT INTO trailseal.retired_leaves SELECT origin, 0, bytes + 8, {stays}, {stays} + 1, {leaf_of_stays} \
                 FROM trailseal.retired_lists WHERE segment = 0; \
                 INSERT INTO trailseal.retired_lists SELECT origin, 0, bytes + 8, event, convert_to('{stays} {}' || E'\\n', 'UTF8') \
                 FROM trailseal.retired_lists WHERE segment = 0; DELETE FROM trailseal.events WHERE idx = {stays}",
                stays + 1
            ),
            ("missing", Some(stays), "no sealed event `trail.retired`"),
        ),
        (
            "a list added, and no row removed",
            format!(
                "INSERT INTO trailseal.retired_lists SELECT origin, {stays}, 8, event, convert_to('{stays} {}' || E'\\n', 'UTF8') \
                 FROM trailseal.retired_lists WHERE segment = 0",
                stays + 1
            ),
            ("missing", None, ""),
        ),
        (
            "a list moved to another segment",
            format!(
                "DELETE FROM trailseal.retired_lists WHERE segment = {second}; \
                 UPDATE trailseal.retired_lists SET segment = {second} WHERE segment = 0; \
                 UPDATE trailseal.retired_leaves SET segment = -1 WHERE segment = {second}; \
                 UPDATE trailseal.retired_leaves SET segment = {second} WHERE segment = 0"
            ),
            ("missing", Some(gone), ""),
        ),
        (
            "the list of a segment of which nothing is missing",
            "INSERT INTO trailseal.retired_lists SELECT origin, (SELECT max(idx) FROM trailseal.events), 4, event, \
                 convert_to(E'1 2\\n', 'UTF8') FROM trailseal.retired_lists WHERE segment = 0".to_owned(),
            ("store_differs", None, "was changed or added"),
        ),
        (
            "lists that are others when they are read again",
            format!(
                "UPDATE trailseal.retired_leaves SET leaves = substring(leaves FOR 32) || {leaf_of_stays} || substring(leaves FROM 33) \
                 WHERE segment = 0; DELETE FROM trailseal.events WHERE idx = {stays}; \
                 ALTER TABLE trailseal.retired_lists RENAME TO genuine; \
                 CREATE FUNCTION trailseal.look() RETURNS integer LANGUAGE plpgsql AS $$ DECLARE looks integer := \
                 coalesce(nullif(current_setting('x.looks', true), ''), '0')::integer + 1; \
                 BEGIN PERFORM set_config('x.looks', looks::text, false); RETURN looks; END $$; \
                 CREATE VIEW trailseal.retired_lists AS SELECT origin, segment, bytes, event, \
                 CASE WHEN segment = 0 AND looks > (SELECT count(DISTINCT segment) FROM trailseal.genuine) + 1 THEN {longer} \
                 ELSE list END AS list FROM trailseal.genuine, (SELECT trailseal.look() AS looks OFFSET 0) AS look"
            ),
            ("missing", Some(gone), ""),
        ),
        (
            "the genuine list moved to a segment that none can be, and a longer one in its place",
            format!(
                "UPDATE trailseal.retired_leaves SET leaves = substring(leaves FOR 32) || {leaf_of_stays} || substring(leaves FROM 33) \
                 WHERE segment = 0; INSERT INTO trailseal.retired_lists SELECT origin, -1, bytes, event, list FROM trailseal.retired_lists \
                 WHERE segment = 0; UPDATE trailseal.retired_lists SET list = {longer} WHERE segment = 0; \
                 DELETE FROM trailseal.events WHERE idx = {stays}; \
                 DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_sort = off', current_database()); END $$"
            ),
            ("missing", Some(gone), ""),
        ),
        (
            "ids changed",
            "UPDATE trailseal.retired_ids SET entries = set_byte(entries, 3, get_byte(entries, 3) # 1) WHERE segment = 0".to_owned(),
            ("store_differs", Some(0), "ids that are kept"),
        ),
        (
            "ids removed",
            "DELETE FROM trailseal.retired_ids WHERE segment = 0".to_owned(),
            ("store_differs", Some(0), "are missing"),
        ),
        (
            "some of the ids removed",
            "UPDATE trailseal.retired_ids SET entries = substring(entries FROM 29) WHERE segment = 0".to_owned(),
            ("store_differs", Some(0), "ids that are kept"),
        ),
        (
            "the places of ids changed, so that no search finds them",
            r"UPDATE trailseal.retired_ids SET head = '\xff'".to_owned(),
            ("store_differs", Some(0), "ids that are kept"),
        ),
        (
            "another event named as the one that retired",
            "UPDATE trailseal.retired_lists SET event = 17 WHERE segment = 0".to_owned(),
            ("store_differs", Some(0), "says that event 17 retired them"),
        ),
        (
            "the event removed",
            format!("DELETE FROM trailseal.events WHERE idx = {event}"),
            ("missing", Some(event), ""),
        ),
        (
            "the event changed to name an enlarged list",
            format!(
                "UPDATE trailseal.events SET line = convert_to(replace(convert_from(line, 'UTF8'), \
                 (SELECT encode(sha256(list), 'hex') FROM trailseal.retired_lists WHERE segment = 0), repeat('0', 64)), 'UTF8') \
                 WHERE idx = {event}"
            ),
            ("edited", Some(event), ""),
        ),
    ];
    for (what, sql, (problem, first_bad, said)) in table {
        let url = aged.tampered(&sql);
        let verdict = aged.verify(&url);
        assert_eq!(verdict["problem"], problem, "{what}: {verdict}");
        if let Some(first_bad) = first_bad {
            assert_eq!(verdict["first_bad"], first_bad, "{what}: {verdict}");
        }
        assert!(verdict["message"].as_str().unwrap().contains(said), "{what}: {verdict}");
    }
}

fn rounds() -> usize {
    std::env::var("TRAILSEAL_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(8)
}

/// Reads the store until it is over; whatever it is told is one moment of it.
fn read(server_url: &str, is_over: &AtomicBool) -> usize {
    use trailseal_event::Order;
    use trailseal_event::filter::Filter;
    let url = trailseal_postgres::StoreUrl::parse(server_url).unwrap();
    let reader = trailseal_postgres::Reader::new(Arc::new(trailseal_postgres::Pool::new(url, 1)));
    let mut pages = 0;
    while !is_over.load(Ordering::Relaxed) {
        let filter = Filter { system: true, ..Filter::default() };
        // It fails while the server is down.
        let Ok(page) = reader.page(&filter, Order::NEWEST, None, 100, None) else { continue };
        // The young ones are always there.
        assert!(page.hits.len() >= 80, "{} events", page.hits.len());
        pages += 1;
    }
    pages
}

#[test]
fn killed_at_any_moment_it_goes_on_at_the_next_connecting() {
    let rounds = rounds();
    let mut aged = Aged::new(Server::start_own(&[]), rounds * 40, rounds + 1, true);
    // How long one takes that nobody kills.
    let begun = Instant::now();
    aged.retain(&format!("{EVERY} --tenant t{rounds}"));
    let whole = begun.elapsed();
    let url = aged.server.url_text().to_owned();
    let (is_over, mut met) = (AtomicBool::new(false), 0);
    let pages = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(&url, &is_over));
        for round in 0..rounds {
            let tenant = format!("t{round}");
            let words = format!("{EVERY} --tenant {tenant}");
            let mut command = aged.place.command(&words.split_whitespace().collect::<Vec<_>>());
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // From a third to all of it, in an order that meets all of that soon.
            let part = [5, 9, 7, 4, 8, 6, 10, 3][round % 8];
            std::thread::sleep(whole * part / 10 + Duration::from_millis(round as u64 % 5));
            if round % 3 == 2 {
                aged.server.kill();
                child.kill().unwrap();
                child.wait().unwrap();
                aged.server.start_again();
            } else {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            // Whatever it has done, nothing is missing that is not vouched for.
            aged.verifies();
            met += u64::from(aged.number("SELECT count(*) FROM trailseal.retiring") > 0);
        }
        is_over.store(true, Ordering::Relaxed);
        reading.join().unwrap()
    });
    println!("{met} of {rounds} kills met rows that were still to go, beside {pages} pages");
    assert!(pages > 0);
    // The next one finishes what was begun.
    aged.retain(EVERY);
    aged.holds_what_the_trail_has();
    let verdict = aged.verifies();
    assert_eq!(aged.number("SELECT count(*) FROM trailseal.retiring"), 0);
    let of_trail: Value = serde_json::from_str(&aged.place.run("verify --json").ok().out).unwrap();
    assert_eq!(
        (&verdict["retired"], &verdict["retired_by"]),
        (&of_trail["retired"], &of_trail["retired_by"])
    );
    assert!(partitions_of_old().iter().all(|name| !aged.partitions().iter().any(|there| there == name)));
}
