//! Events go through Redis Streams and workers into the shared store: each once, whatever is killed, and nothing counts as stored
//! before it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../postgres/tests/server/mod.rs"]
mod postgres;
#[path = "../../redis/tests/server/mod.rs"]
mod redis;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::server::Server;
use support::{Answer, Place, Running, Said, wait_until};

const ORIGIN: &str = "example.com/streams";
const LINES: &str = "trailseal:{example.com/streams}:lines";
const CHECKPOINTS: &str = "trailseal:{example.com/streams}:checkpoints";
const LEASE: &str = "trailseal:{example.com/streams}:lease";
const STORED: &str = "trailseal:{example.com/streams}:stored";

/// A Redis, a PostgreSQL, and a trail that is delivered through the first to the second.
struct World {
    redis: redis::Server,
    database: postgres::Server,
    place: Place,
}

impl World {
    fn new() -> World {
        World::with(&[])
    }

    /// With further settings of Redis.
    fn with(settings: &[&str]) -> World {
        let world = World {
            redis: redis::Server::with(settings),
            database: postgres::Server::start_own(&[]),
            place: Place::new(),
        };
        world.place.write("trailseal.toml", world.settings(ORIGIN));
        world
    }

    fn settings(&self, origin: &str) -> String {
        format!("origin = \"{origin}\"\n[[sink]]\ntype = \"redis\"\nurl = \"{}\"\n", self.redis.url())
    }

    fn worker_arguments(&self) -> [String; 5] {
        let (from, to) = (self.redis.url(), self.database.url_text().to_owned());
        ["worker".to_owned(), "--from".to_owned(), from, "--to".to_owned(), to]
    }

    fn worker(&self) -> Running {
        let arguments = self.worker_arguments();
        let mut command = self.place.command(&arguments.each_ref().map(String::as_str));
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Running(command.spawn().unwrap())
    }

    /// Moves what there is.
    fn move_all(&self) -> Answer {
        let arguments = self.worker_arguments();
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        arguments.push("--until-empty");
        self.place.run_all(&arguments)
    }

    fn stored(&self, origin: &str) -> u64 {
        let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'trailseal'";
        if self.database.value(tables) == "0" {
            return 0;
        }
        let sql = format!("SELECT coalesce(max(next), 0) FROM trailseal.cursors WHERE origin = '{origin}'");
        self.database.value(&sql).parse().unwrap()
    }

    /// Each line of a trail is in the store once, with its exact bytes.
    fn all_there(&self, place: &Place, origin: &str) {
        let rows = self.database.rows(&format!(
            "SELECT idx, convert_from(line, 'UTF8') FROM trailseal.events WHERE origin = '{origin}' ORDER BY idx"
        ));
        let there: Vec<String> = rows.iter().map(|row| row[1].clone()).collect();
        assert!(there == place.lines(), "{} rows, {} lines", there.len(), place.lines().len());
    }

    /// The same, where the last lines may still be on their way.
    fn all_there_so_far(&self, origin: &str) {
        let rows = self.database.rows(&format!(
            "SELECT convert_from(line, 'UTF8') FROM trailseal.events WHERE origin = '{origin}' ORDER BY idx"
        ));
        let there: Vec<String> = rows.iter().map(|row| row[0].clone()).collect();
        assert!(self.place.lines().starts_with(&there), "{} rows", there.len());
    }

    fn verified(&self) {
        self.place.run_all(&["verify", "--store", self.database.url_text()]).ok();
    }
}

fn events(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|number| format!("{{\"action\":\"a.b\",\"details\":{{\"n\":{number}}}}}\n")).collect()
}

#[test]
fn level_store_waits_for_the_worker_and_everything_is_in_the_store() {
    let world = World::new();
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..500)).ok();
    assert!(world.stored(ORIGIN) >= 500);
    drop(worker);
    // Events and checkpoints of the close are in the stream, and a worker that ends by itself moves them.
    world.move_all().ok();
    world.all_there(&world.place, ORIGIN);
    world.verified();
    // Redis has only what it takes to go on.
    let mut keys = world.redis.keys();
    keys.retain(|key| key != LINES);
    assert_eq!(keys, [STORED]);
    assert_eq!(world.redis.ask(&["XLEN", LINES]), "0");
    let doctor = world.place.run("doctor");
    assert!(!doctor.out.contains("sink: "), "{}", doctor.out);
}

#[test]
fn without_a_worker_events_wait_and_that_is_said() {
    let world = World::new();
    let recorded = world.place.feed("record", events(0..10)).ok();
    assert!(recorded.err.contains("start `trailseal worker`"), "{}", recorded.err);
    let doctor = world.place.run("doctor").no();
    assert!(doctor.out.contains("sink: no worker has reported"), "{}", doctor.out);
    let asked = world.place.feed("record --ack store", events(10..11));
    assert_eq!(asked.code, Some(1), "{asked:?}");
    assert_eq!(world.stored(ORIGIN), 0);
    // What the sink still needs is not retired.
    let sinks = world.place.run("sink list --json").ok().json()["sinks"].clone();
    assert_eq!((&sinks[0]["name"], &sinks[0]["cursor"]), (&"redis".into(), &0.into()), "{sinks}");

    let worker = world.worker();
    world.place.feed("record --ack store", events(11..12)).ok();
    drop(worker);
    world.move_all().ok();
    world.all_there(&world.place, ORIGIN);
    world.verified();
}

#[test]
fn what_is_not_stored_yet_does_not_count_as_stored() {
    let world = World::new();
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..10)).ok();
    drop(worker);
    let server = Server::start(&world.place);
    let admin = server.admin();
    admin.record(events(10..20));
    wait_until("the events are in the stream", || {
        world.redis.ask(&["XLEN", LINES]).parse::<u64>().unwrap() >= 10
    });
    let sink = |name: &str| {
        let stats = admin.get("/v1/stats").is(200).json();
        stats["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == name).unwrap().clone()
    };
    assert!(sink("redis")["lag"]["events"].as_u64().unwrap() >= 10, "{}", sink("redis"));
    let answer = admin.post("/v1/events?ack=store", r#"{"action":"a.b"}"#);
    assert_eq!(answer.status, 504, "{}", answer.text());
    let _worker = world.worker();
    wait_until("nothing is missing in the store", || sink("redis")["lag"]["events"] == 0);
    wait_until("level store is reached in time", || {
        admin.post("/v1/events?ack=store", r#"{"action":"a.b"}"#).status == 202
    });
}

#[test]
fn whatever_is_killed_or_lost_every_event_is_stored_once() {
    let mut world = World::new();
    let mut worker = world.worker();
    let mut recorded = 0;
    {
        let place = Place::new();
        place.write("trailseal.toml", world.settings(ORIGIN));
        world.place = place;
    }
    let place = std::mem::replace(&mut world.place, Place::new());
    let mut server = Server::start(&place);
    for round in 0..12 {
        let admin = server.admin();
        for _ in 0..4 {
            admin.record(events(recorded..recorded + 200));
            recorded += 200;
        }
        match round % 6 {
            0 => drop(std::mem::replace(&mut worker, world.worker())),
            1 => {
                world.redis.kill();
                admin.record(events(recorded..recorded + 200));
                recorded += 200;
                world.redis.start_again();
            }
            2 => drop(world.redis.ask(&["FLUSHALL"])),
            3 => {
                server.kill();
                server.launch();
            }
            4 => {
                world.database.kill();
                admin.record(events(recorded..recorded + 200));
                recorded += 200;
                world.database.start_again();
            }
            _ => drop(world.redis.ask(&["DEL", LINES])),
        }
        std::thread::sleep(Duration::from_millis(150));
    }
    let admin = server.admin();
    wait_until("everything is stored", || {
        let stats = admin.get("/v1/stats").is(200).json();
        let sinks = stats["sinks"].as_array().unwrap();
        sinks.iter().all(|sink| sink["lag"]["events"] == 0)
    });
    let ours = "SELECT count(*), count(DISTINCT details ->> 'n') FROM trailseal.events WHERE action = 'a.b'";
    let ours =
        world.database.rows(&ours.replace("details", "(convert_from(line, 'UTF8')::jsonb -> 'details')"));
    assert_eq!(ours[0], [recorded.to_string(), recorded.to_string()]);
    server.stop();
    drop(worker);
    world.move_all().ok();
    world.all_there(&place, ORIGIN);
    world.verified();
}

#[test]
fn several_workers_share_many_trails() {
    let world = World::new();
    let workers = [world.worker(), world.worker()];
    let mut places = BTreeMap::new();
    for number in 0..4 {
        let origin = format!("example.com/many-{number}");
        let place = Place::new();
        place.write("trailseal.toml", world.settings(&origin));
        places.insert(origin, place);
    }
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for place in places.values() {
                scope.spawn(|| place.feed("record --ack store", events(0..300)).ok());
            }
        });
    }
    drop(workers);
    world.move_all().ok();
    for (origin, place) in &places {
        world.all_there(place, origin);
    }
    world.verified();
}

#[test]
fn what_no_trail_wrote_is_thrown_away() {
    let world = World::new();
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..10)).ok();
    let next = world.stored(ORIGIN).to_string();
    drop(worker);
    for fields in [["line", "{}"], ["line", "junk"], ["other", "x"]] {
        world.redis.ask(&["XADD", LINES, &format!("{next}-1"), fields[0], fields[1]]);
        world.redis.ask(&["SADD", "trailseal:origins", ORIGIN]);
        let worker = world.worker();
        world.place.feed("record --ack store", events(10..20)).ok();
        drop(worker);
    }
    world.move_all().ok();
    world.all_there(&world.place, ORIGIN);
    world.verified();
}

#[test]
fn a_gap_in_the_stream_is_not_passed_over() {
    let world = World::new();
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..10)).ok();
    drop(worker);
    world.move_all().ok();
    let next = world.stored(ORIGIN);
    world.place.feed("record", events(10..20)).ok();
    assert_eq!(world.redis.ask(&["XDEL", LINES, &format!("{next}-1")]), "1");
    let moved = world.move_all().no();
    assert!(moved.err.contains(&format!("event {next} is not in the stream")), "{}", moved.err);
    assert_eq!(world.stored(ORIGIN), next);
    // The trail sends again what is missing.
    let _worker = world.worker();
    world.place.feed("record --ack store", events(20..21)).ok();
    assert!(world.stored(ORIGIN) > next + 10);
    world.verified();
}

#[test]
fn a_trail_that_was_rolled_back_is_stopped_and_named() {
    let world = World::new();
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..10)).ok();
    world.place.copy("trail", "older");
    world.place.feed("record --ack store", events(10..20)).ok();
    drop(worker);
    world.move_all().ok();
    let before = world.stored(ORIGIN);
    std::fs::rename(world.place.path("trail"), world.place.path("newer")).unwrap();
    std::fs::rename(world.place.path("older"), world.place.path("trail")).unwrap();
    let recorded = world.place.feed("record", events(20..22)).ok();
    assert!(recorded.err.contains("redis holds"), "{}", recorded.err);
    world.move_all().ok();
    assert_eq!(world.stored(ORIGIN), before);
}

#[test]
fn a_trail_that_was_rolled_back_is_not_taken_for_what_is_in_the_stream() {
    let world = World::new();
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..3)).ok();
    drop(worker);
    world.move_all().ok();
    world.place.copy("trail", "older");
    world.place.feed("record", events(3..30)).ok();
    std::fs::rename(world.place.path("trail"), world.place.path("newer")).unwrap();
    std::fs::rename(world.place.path("older"), world.place.path("trail")).unwrap();
    // The stream has events of the same indexes, and more of them.
    let recorded = world.place.feed("record", events(100..103)).ok();
    assert!(recorded.err.contains("this trail did not write"), "{}", recorded.err);
    world.place.feed("record", events(103..104)).ok();
    world.move_all().ok();
    world.all_there(&world.place, ORIGIN);
    world.verified();
}

#[test]
fn workers_make_room_where_redis_has_no_memory_left() {
    let world = World::with(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..1)).ok();
    drop(worker);
    world.move_all().ok();
    let text = "x".repeat(2_000);
    let event = format!("{{\"action\":\"a.b\",\"details\":{{\"t\":\"{text}\"}}}}\n");
    let recorded = world.place.feed("record", event.repeat(4_000)).ok();
    assert!(recorded.err.contains("maxmemory"), "{}", recorded.err);
    let _worker = world.worker();
    world.place.feed("record --ack store", events(1..2)).ok();
    world.all_there_so_far(ORIGIN);
}

#[test]
fn a_stream_that_is_lost_is_told_and_holds_no_worker_up() {
    let world = World::new();
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..3)).ok();
    drop(worker);
    world.move_all().ok();
    world.place.feed("record", events(3..6)).ok();
    world.redis.ask(&["DEL", LINES]);
    let moved = world.move_all().no();
    assert!(moved.err.contains("is not in the stream"), "{}", moved.err);
    let doctor = world.place.run("doctor").no();
    assert!(doctor.out.contains("cannot store events: event"), "{}", doctor.out);
    world.place.feed("record", events(6..7)).ok();
    world.move_all().ok();
    world.all_there(&world.place, ORIGIN);
}

#[test]
fn what_somebody_puts_under_the_keys_of_one_origin_stalls_no_other() {
    let world = World::new();
    world.redis.ask(&["SET", "trailseal:{example.com/other}:stored", "x"]);
    world.redis.ask(&["SADD", "trailseal:origins", "example.com/other"]);
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..3)).ok();
    world.redis.ask(&["HSET", CHECKPOINTS, "junk", "x"]);
    world.redis.ask(&["HSET", CHECKPOINTS, &i64::MAX.to_string(), "x"]);
    world.redis.ask(&["XADD", LINES, "18446744073709551615-1", "line", "x"]);
    world.place.feed("record --ack store", events(3..6)).ok();
    drop(worker);
    world.redis.ask(&["SREM", "trailseal:origins", "example.com/other"]);
    world.move_all().ok();
    world.all_there(&world.place, ORIGIN);
    world.verified();
}

/// Redis makes it, of this many MiB.
fn large(mebibytes: u64) -> String {
    format!("string.rep('x', {mebibytes} * 1048576)")
}

#[test]
fn what_somebody_made_large_is_not_read() {
    let world = World::new();
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..3)).ok();
    let (text, other) = (large(100), large(1));
    for command in [
        format!("'HSET', '{STORED}', 'other', {text}"),
        format!("'HSET', '{STORED}', 'failing', {text}"),
        format!("'HSET', '{CHECKPOINTS}', {text}, 'x'"),
        format!("'HSET', '{CHECKPOINTS}', '1', {text}"),
        format!("'XADD', '{LINES}', '9000000-1', 'line', {text}"),
        format!("'SADD', 'trailseal:origins', {text}, {other}"),
    ] {
        world.redis.ask(&["EVAL", &format!("redis.call({command})"), "0"]);
        // The trail that begins with this may have to wait for a worker that has thrown it away.
        world.place.feed("record", events(3..4)).ok();
    }
    world.place.feed("record --ack store", events(4..5)).ok();
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.0.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    let peak: u64 = peak.strip_suffix(" kB").unwrap().parse().unwrap();
    assert!(peak < 60_000, "{peak} kB");
    drop(worker);
    world.move_all().ok();
    world.all_there(&world.place, ORIGIN);
    world.verified();
}

#[test]
fn what_has_another_type_is_told_by_doctor() {
    let world = World::new();
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..3)).ok();
    drop(worker);
    world.move_all().ok();
    world.place.run("doctor").ok();
    for key in [LINES, CHECKPOINTS, STORED] {
        world.redis.ask(&["DEL", key]);
        world.redis.ask(&["SET", key, "x"]);
        world.redis.ask(&["SADD", "trailseal:origins", ORIGIN]);
        world.move_all().no();
        let doctor = world.place.run("doctor").no();
        assert!(doctor.out.contains("WRONGTYPE"), "{key}: {}", doctor.out);
        world.redis.ask(&["DEL", key]);
        world.move_all().ok();
        world.place.run("doctor").ok();
    }
}

#[test]
fn what_could_not_be_stored_and_is_gone_is_not_said_to_be_stored() {
    let world = World::new();
    world.redis.ask(&["SET", STORED, "x"]);
    world.redis.ask(&["SADD", "trailseal:origins", ORIGIN]);
    let arguments = world.worker_arguments();
    let mut command = world.place.command(&arguments.each_ref().map(String::as_str));
    let mut worker = Running(command.stderr(std::process::Stdio::piped()).spawn().unwrap());
    let said = Said::of(worker.0.stderr.take().unwrap());
    said.wait("cannot be stored");
    world.redis.ask(&["FLUSHALL"]);
    said.wait("waits in Redis any more");
    drop(worker);
    assert!(!said.all().contains("stored again"));
}

#[test]
fn a_lease_that_nobody_holds_any_more_ends() {
    let world = World::new();
    world.move_all().ok();
    for lease in [&["SET", LEASE, "x"][..], &["LPUSH", LEASE, "x"], &["SET", LEASE, "x", "PX", "90000000"]] {
        world.redis.ask(&["DEL", LEASE]);
        world.redis.ask(lease);
        let worker = world.worker();
        world.place.feed("record --ack store", events(0..3)).ok();
        drop(worker);
    }
    world.move_all().ok();
    world.all_there(&world.place, ORIGIN);
}

#[test]
fn what_is_wrong_with_redis_is_said_once_and_also_when_it_is_over() {
    let world = World::new();
    let arguments = world.worker_arguments();
    let mut command = world.place.command(&arguments.each_ref().map(String::as_str));
    let mut worker = Running(command.stderr(std::process::Stdio::piped()).spawn().unwrap());
    let said = Said::of(worker.0.stderr.take().unwrap());
    said.wait("moving events");
    world.redis.ask(&["SET", "trailseal:origins", "x"]);
    said.wait("`trailseal:origins`");
    world.redis.ask(&["CONFIG", "SET", "requirepass", "hunter2"]);
    world.redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    let own = |words: &[&str]| world.redis.ask(&[&["-a", "hunter2", "--no-auth-warning"], words].concat());
    own(&["CLIENT", "KILL", "TYPE", "normal"]);
    said.wait("NOAUTH");
    own(&["DEL", "trailseal:origins"]);
    own(&["CONFIG", "SET", "requirepass", ""]);
    said.wait("Redis can be used again");
    drop(worker);
    let all = said.all();
    for once in ["WRONGTYPE", "NOAUTH", "Redis can be used again"] {
        assert_eq!(all.matches(once).count(), 1, "{once}: {all}");
    }
    assert!(!all.contains("Pipeline") && !all.contains("@user_script"), "{all}");
}

#[test]
fn a_store_that_was_put_back_gets_what_it_lacks() {
    let world = World::new();
    let worker = world.worker();
    world.place.feed("record --ack store", events(0..5)).ok();
    drop(worker);
    world.move_all().ok();
    let next = world.stored(ORIGIN);
    let leaf = world.database.value("SELECT encode(leaf, 'hex') FROM trailseal.cursors");
    world.place.feed("record", events(5..20)).ok();
    world.move_all().ok();
    world.database.execute(&format!(
        "SET session_replication_role = replica; DELETE FROM trailseal.events WHERE idx >= {next}; \
         DELETE FROM trailseal.checkpoints WHERE size > {next}; \
         UPDATE trailseal.cursors SET next = {next}, leaf = decode('{leaf}', 'hex')"
    ));
    // Whoever retires asks anew what the store has.
    let _worker = world.worker();
    world.place.run("retain --older-than 1d").ok();
    wait_until("it has them again", || world.stored(ORIGIN) > next + 15);
    world.all_there_so_far(ORIGIN);
}

#[test]
fn passwords_are_not_shown() {
    let redis = redis::Server::with(&["--requirepass", "hunter2secret"]);
    let database = postgres::Server::start_own(&[]);
    let place = Place::new();
    let url = redis.url();
    place.write(
        "trailseal.toml",
        format!("[[sink]]\ntype = \"redis\"\nurl = \"{url}\"\npassword = \"hunter2secret\"\n"),
    );
    let with_password = url.replace("redis://", "redis://:hunter2secret@");
    let mut command = place.command(&["worker", "--from", &with_password, "--to", database.url_text()]);
    let mut worker = Running(command.spawn().unwrap());
    let said = Said::of(worker.0.stderr.take().unwrap());
    said.wait("moving events");
    let shown = std::fs::read(format!("/proc/{}/cmdline", worker.0.id())).unwrap();
    assert!(!String::from_utf8_lossy(&shown).contains("hunter2"), "{}", String::from_utf8_lossy(&shown));
    place.feed("record --ack store", events(0..5)).ok();
    for words in ["doctor", "doctor --json"] {
        let answer = place.run(words);
        assert!(!answer.out.contains("hunter2") && answer.out.contains(&url), "{}", answer.out);
    }
    drop(worker);
    let wrong = place.run_all(&[
        "worker",
        "--from",
        &url.replace("redis://", "redis://:hunter3@"),
        "--to",
        database.url_text(),
        "--until-empty",
    ]);
    assert!(wrong.code == Some(1) && !wrong.err.contains("hunter3"), "{wrong:?}");
    let none = place.run_all(&["worker", "--from", &url, "--to", database.url_text(), "--until-empty"]).no();
    assert!(none.err.contains("NOAUTH"), "{none:?}");
}

#[test]
fn what_cannot_be_used_is_said() {
    let world = World::new();
    let run = |arguments: &[&str]| world.place.run_all(arguments);
    run(&["worker", "--from", "http://h", "--to", "postgres://h/d"]).could_not(&["--from", "redis://"]);
    run(&["worker", "--to", "http://h"]).could_not(&["--to", "postgres://"]);
    run(&["worker"]).could_not(&["--to"]);
    let settings = |text: &str, wanted: &[&str]| {
        world.place.write("bad.toml", text);
        world.place.run("stats --config bad.toml").could_not(wanted);
    };
    settings("[[sink]]\ntype = \"kafka\"\nurl = \"x\"\n", &["bad.toml:2", "redis"]);
    settings("[[sink]]\nurl = \"redis://h\"\n", &["bad.toml:1", "`type`"]);
    settings("[[sink]]\ntype = \"redis\"\n", &["bad.toml:1", "`url`"]);
    settings("[[sink]]\ntype = \"redis\"\nurl = \"h:6379\"\n", &["bad.toml:3", "redis://"]);
    settings("[[sink]]\ntype = \"redis\"\nurl = \"redis://h\"\nname = \"store\"\n", &["\"store\"", "name"]);
    let one = "[[sink]]\ntype = \"redis\"\nurl = \"redis://h\"\n";
    settings(&format!("{one}{one}"), &["another sink", "`name`"]);
    // A store that is not there.
    world.redis.ask(&["SADD", "trailseal:origins", ORIGIN]);
    let nowhere = "postgres://test@127.0.0.1:1/postgres";
    let moved = run(&["worker", "--to", nowhere, "--until-empty"]).no();
    assert!(moved.err.contains(ORIGIN) && moved.err.contains("127.0.0.1:1"), "{}", moved.err);
}
