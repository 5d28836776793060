//! A store that is down for the length of many events, and then back: the built program catches up, and its memory stays what it was.
//!
//! Any run takes 20,000 events. The whole, 1,000,000 with the program as it is released, is `cargo xtask long`, which keeps what came of
//! it in `crates/cli/results/store_down.txt`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../../postgres/tests/server/mod.rs"]
mod postgres;
mod support;

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::Place;
use support::server::{Client, Connection, Server};

const EVENTS: u64 = 20_000;
/// Recorded before, so that what a server needs anyway is there.
const BEFORE: u64 = 60_000;
/// In one request.
const BATCH: u64 = 1_000;
/// So much may come and go with requests, batches and the index, whatever the number of events: what waits is about 600 MB.
const GROWTH_MAX: u64 = 64 << 20;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(1_200);

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

fn event(random: &mut Random, number: u64, out: &mut String) {
    let (tenant, actor, resource) = (random.below(50), random.below(5_000), random.below(100_000));
    let text = "x".repeat(random.below(300) as usize);
    let _ = writeln!(
        out,
        r#"{{"action":"order.{}","tenant":"t{tenant}","actor":{{"id":"u{actor}"}},"resource":"order/{resource}","outcome":"success","context":{{"correlation_id":"c{number}","ip":"192.0.2.{}"}},"details":{{"number":{number},"text":"{text}"}}}}"#,
        random.below(30),
        random.below(250),
    );
}

fn record(client: &Client, random: &mut Random, events: std::ops::Range<u64>) {
    let mut connection = Connection::open(client).unwrap();
    for from in events.clone().step_by(BATCH as usize) {
        let mut body = String::new();
        (from..events.end.min(from + BATCH)).for_each(|number| event(random, number, &mut body));
        let answer = connection.try_ask("POST", "/v1/events?ack=durable", body.as_bytes()).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
}

/// Of its store's sink: how far it is, and how much is missing.
fn stored(client: &Client) -> (u64, u64) {
    let stats = client.get("/v1/stats").is(200).json();
    let sink =
        stats["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] != "index").unwrap().clone();
    (sink["stored"].as_u64().unwrap(), sink["lag"]["events"].as_u64().unwrap())
}

fn wait_stored(client: &Client) {
    let end = Instant::now() + CAUGHT_UP_WITHIN;
    while stored(client).1 > 0 {
        assert!(Instant::now() < end, "it does not catch up: {:?}", stored(client));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Events come before the checkpoint of them, and without one in the store nothing vouches for them.
fn wait_sealed(database: &postgres::Server) {
    let end = Instant::now() + CAUGHT_UP_WITHIN;
    while database.value("SELECT count(*) FROM trailseal.checkpoints") == "0" {
        assert!(Instant::now() < end, "no checkpoint comes");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Default)]
struct Memory {
    /// Its own: no file, and nothing that others have too.
    own: u64,
    /// All of it, with what it has mapped of files.
    all: u64,
}

impl Memory {
    fn of(process: u32) -> Memory {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
        };
        Memory { own: of("RssAnon:"), all: of("VmRSS:") }
    }

    fn or_more(self, other: Memory) -> Memory {
        Memory { own: self.own.max(other.own), all: self.all.max(other.all) }
    }
}

/// Does `work`; returns the most memory that the process had meanwhile, and how long it took.
fn watched(process: u32, work: impl FnOnce()) -> (Memory, Duration) {
    let (most, ends, begun) = (Mutex::new(Memory::of(process)), AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                let mut most = most.lock().unwrap();
                *most = most.or_more(Memory::of(process));
                drop(most);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = End(&ends);
        work();
    });
    (most.into_inner().unwrap(), begun.elapsed())
}

#[test]
fn what_came_while_the_store_was_down_is_caught_up_and_memory_stays_flat() {
    let events = std::env::var("TRAILSEAL_DOWN_EVENTS").map_or(EVENTS, |events| events.parse().unwrap());
    let before = if events > EVENTS { BEFORE } else { BEFORE / 10 };
    let seed = 17;
    let mut random = Random(seed);
    let mut database = postgres::Server::start_own(&["max_wal_size=4GB", "shared_buffers=128MB"]);
    let place = Place::new();
    let settings = format!("origin = \"example.com/down\"\n[store]\nurl = \"{}\"\n", database.url_text());
    place.write("trailseal.toml", settings);
    let server = Server::start(&place);
    let (admin, process) = (server.admin(), server.id());
    record(&admin, &mut random, 0..before);
    wait_stored(&admin);
    let start = Memory::of(process);

    database.kill();
    let (down, recording) = watched(process, || record(&admin, &mut random, before..before + events));
    let (_, waiting) = stored(&admin);
    assert!(waiting >= events, "{waiting} wait");
    let at_end_of_outage = Memory::of(process);
    let (catching_up, took) = watched(process, || {
        database.start_again();
        wait_stored(&admin);
    });
    let end = Memory::of(process);

    let rows = "SELECT count(*), count(DISTINCT idx), max(idx) + 1 FROM trailseal.events";
    let rows = database.rows(rows).remove(0);
    assert!(rows[0] == rows[1] && rows[1] == rows[2], "rows, indexes and the end: {rows:?}");
    let ours = database.value("SELECT count(*) FROM trailseal.events WHERE action LIKE 'order.%'");
    assert_eq!(ours, (before + events).to_string());
    wait_sealed(&database);
    let verified = place.run_all(&["verify", "--store", database.url_text()]).ok();
    assert!(verified.out.contains("ok "), "{verified:?}");
    let peak = down.or_more(catching_up);
    let grown = peak.own.saturating_sub(start.own);
    let results = Results {
        events,
        waiting,
        seed,
        recording,
        took,
        memory: [start, down, at_end_of_outage, catching_up, end],
    };
    println!("{}", results.page());
    assert!(grown <= GROWTH_MAX, "its own memory grew by {} MiB", grown >> 20);
    if let Some(path) = std::env::var_os("TRAILSEAL_DOWN_RESULTS") {
        let path = std::path::PathBuf::from(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, results.page()).unwrap();
    }
}

struct Results {
    events: u64,
    waiting: u64,
    seed: u64,
    recording: Duration,
    took: Duration,
    /// At the start, the most while the store was down, at the end of that, the most while it caught up, and at the end.
    memory: [Memory; 5],
}

impl Results {
    fn page(&self) -> String {
        let Results { events, waiting, seed, recording, took, .. } = self;
        let commit = std::env::var("TRAILSEAL_COMMIT").unwrap_or_else(|_| "unknown".to_owned());
        let rate = |time: &Duration| (*waiting as f64 / time.as_secs_f64()) as u64;
        let mut page = format!(
            "A store that is down while events are recorded over HTTP, and then back. Made by `cargo xtask long`.\n\n\
             command:   TRAILSEAL_DOWN_EVENTS={events} cargo test -p trailseal-cli --test store_down, with TRAILSEAL_PROGRAM a \
             release build\ncommit:    {commit}\nseed:      {seed}\n\
             recorded:  {events} events in {:.1} s while PostgreSQL was killed (one client, {BATCH} in a request, each durable)\n\
             waited:    {waiting} events, with the trail's own\n\
             caught up: {:.1} s after the start of PostgreSQL, which begins with its recovery: {} events a second\n\
             missing or doubled in the store: 0; `verify --store`: ok\n\nMiB of the server   its own     all, with mapped files\n",
            recording.as_secs_f64(),
            took.as_secs_f64(),
            rate(took),
        );
        let moments = ["before", "down, at most", "end of the outage", "catching up, at most", "afterwards"];
        for (moment, memory) in moments.iter().zip(&self.memory) {
            let _ = writeln!(page, "{moment:<20}{:>7.1}{:>12.1}", mib(memory.own), mib(memory.all));
        }
        page
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
