//! A server that may open few files: however many connections there are, and whatever else takes files, what is accepted
//! gets sealed, and while it cannot be, everybody who asks is told.

// Limits of a process that runs are set as Linux sets them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit};
use serde_json::Value;
use support::server::{Connection, Server, connect};
use support::{Place, wait_until};

/// What a connection that is open already says of the server.
fn ask(connection: &mut Connection, path: &str) -> (u16, String) {
    let answer = connection.try_ask("GET", path, b"").unwrap();
    (answer.status, answer.text())
}

fn stats(connection: &mut Connection) -> Value {
    serde_json::from_str(&ask(connection, "/v1/stats").1).unwrap()
}

fn is_sealed(stats: &Value, from: u64) -> bool {
    let events = |name: &str| stats["events"][name].as_u64().unwrap();
    events("sealed") >= from && stats["sealing"]["state"] == "running"
}

/// Lets the running server have so many files open; those that are stay.
fn limit_files(server: &Server<'_>, max: u64) {
    let process = Pid::from_raw(server.id().cast_signed());
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(max), maximum: hard };
    rustix::process::prlimit(process, Resource::Nofile, limit).unwrap();
}

fn open_files(server: &Server<'_>) -> u64 {
    std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count() as u64
}

fn record(connection: &mut Connection, count: usize) {
    let body = vec![r#"{"action":"of.many"}"#; count].join("\n");
    let answer = connection.try_ask("POST", "/v1/events?ack=durable", body.as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Connections without a token that say nothing, again and again, while events are recorded, read, proven and sealed.
fn under_a_flood(limit: &str, silent: usize) {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nconnections_per_address_max = 5000\n[index]\nenabled = true\n");
    let mut server = Server::limited(&place, &[], limit);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when the test fails, or it would never end.
        let _end = End(&over);
        let flood = scope.spawn(|| {
            let mut held: Vec<TcpStream> = Vec::new();
            while !over.load(Ordering::Relaxed) {
                // One that is closed at once is as good.
                held.extend(connect(server.address));
                if held.len() >= silent {
                    held.drain(..silent / 10);
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            held
        });
        let evicted = |admin: &mut Connection| {
            let text = ask(admin, "/metrics").1;
            let line =
                text.lines().find_map(|line| line.strip_prefix("trailseal_http_connections_evicted_total "));
            line.unwrap().parse::<u64>().unwrap()
        };
        let admin = server.admin();
        let mut connection = Connection::open(&admin).unwrap();
        wait_until("all places are taken", || evicted(&mut connection) > 0);
        for round in 0..8 {
            record(&mut connection, 500);
            // A client that comes new gets through, too, and what it asks needs files.
            let found = admin.get("/v1/events?action=of.*&limit=5").is(200);
            assert_eq!(found.events().len(), 5);
            let id = found.events()[0]["id"].as_str().unwrap().to_owned();
            assert_eq!(admin.get(&format!("/v1/events/{id}/proof")).status, 200);
            place.run(&format!("token create reader-{round} --scope read")).ok();
            let now = stats(&mut connection);
            assert_ne!(now["health"], "critical", "{now}");
        }
        let durable = stats(&mut connection)["events"]["durable"].as_u64().unwrap();
        wait_until("everything is sealed under the flood", || is_sealed(&stats(&mut connection), durable));
        over.store(true, Ordering::Relaxed);
        drop(flood.join().unwrap());
    });
    server.tells("server.connections_max");
    server.stop();
    assert_eq!(place.run("verify --json").ok().json()["unsealed"], 0);
    assert_eq!(place.run("query --count --action of.many").ok().out.trim(), "4000");
}

#[test]
fn a_flood_of_silent_connections_takes_no_file_that_the_trail_needs_of_64() {
    under_a_flood("-n 64", 100);
}

#[test]
fn a_flood_of_silent_connections_takes_no_file_that_the_trail_needs_of_1024() {
    // The test holds as many as the server.
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    under_a_flood("-n 1024", 1_200);
}

#[test]
fn the_limit_is_raised_at_the_start() {
    let place = Place::new();
    let server = Server::limited(&place, &[], "-S -n 50");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}

#[test]
fn without_any_file_it_is_told_and_all_is_sealed_when_there_are_files_again() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let mut connection = Connection::open(&server.admin()).unwrap();
    // So many that the tree has two levels.
    record(&mut connection, 500);
    wait_until("all is sealed", || is_sealed(&stats(&mut connection), 500));
    // Not one more than are open: the sealer's own must do.
    limit_files(&server, open_files(&server));
    record(&mut connection, 300);
    wait_until("all is sealed", || is_sealed(&stats(&mut connection), 800));
    // None at all.
    limit_files(&server, 3);
    record(&mut connection, 300);
    wait_until("it is told", || stats(&mut connection)["sealing"]["state"] == "failing");
    let answer = connection.try_ask("GET", "/v1/stats", b"").unwrap();
    assert_eq!(answer.header("x-audit-health"), Some("critical"), "{}", answer.text());
    assert!(
        answer.json()["sealing"]["reason"].as_str().unwrap().contains("os error 24"),
        "{}",
        answer.text()
    );
    let answer = connection.try_ask("GET", "/admin/audit/stats", b"").unwrap();
    assert_eq!(answer.header("x-audit-health"), Some("critical"), "{}", answer.text());
    let (status, ready) = ask(&mut connection, "/readyz");
    assert!(status == 200 && ready.contains("sealing fails"), "{status} {ready}");
    assert!(ask(&mut connection, "/metrics").1.contains("\ntrailseal_seal_failing 1\n"));
    // Events are taken all the while.
    record(&mut connection, 300);
    limit_files(&server, 256);
    wait_until("all is sealed", || is_sealed(&stats(&mut connection), 1_400));
    assert!(ask(&mut connection, "/metrics").1.contains("\ntrailseal_seal_failing 0\n"));
    assert!(!ask(&mut connection, "/readyz").1.contains("sealing"));
    // A stop that cannot seal is told by its exit code.
    limit_files(&server, 3);
    record(&mut connection, 300);
    server.terminate();
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
    let log = server.log();
    assert!(log.contains("could not be sealed") && log.contains("os error 24"), "{log}");
    server.launch();
    server.stop();
    let verdict = place.run("verify --json").ok().json();
    assert_eq!((&verdict["ok"], &verdict["unsealed"]), (&true.into(), &0.into()), "{verdict}");
}

#[test]
fn a_stop_that_could_not_seal_for_another_reason_says_which() {
    let place = Place::new();
    let mut server = Server::start(&place);
    // A folder where the checkpoint is written before it gets its name.
    std::fs::create_dir(place.path("trail/checkpoint.tmp")).unwrap();
    let mut connection = Connection::open(&server.admin()).unwrap();
    record(&mut connection, 10);
    wait_until("it is told", || ask(&mut connection, "/readyz").1.contains("checkpoint"));
    assert_eq!(ask(&mut connection, "/readyz").0, 200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
    let log = server.log();
    let last = log.lines().last().unwrap();
    assert!(last.contains("could not be sealed") && last.contains("/checkpoint: "), "{log}");
    // So does a command.
    let told = place.feed("record", r#"{"action":"a"}"#).no();
    assert!(told.err.contains("could not be sealed"), "{told:?}");
    std::fs::remove_dir(place.path("trail/checkpoint.tmp")).unwrap();
    server.launch();
    server.stop();
    assert_eq!(place.run("verify --json").ok().json()["unsealed"], 0);
}

#[test]
fn who_has_no_place_is_not_left_without_an_end() {
    let place = Place::new();
    // Longer than the test waits for an answer.
    place.write("trailseal.toml", "[server]\nconnections_max = 4\nrequest_timeout_ms = 120000\n");
    let server = Server::start(&place);
    let silent: Vec<TcpStream> = (0..4).map(|_| connect(server.address).unwrap()).collect();
    // In the order in which they came, since each has said nothing for longer than the next.
    for mut oldest in silent {
        server.admin().get("/healthz").is(200);
        assert!(matches!(oldest.read(&mut [0; 16]), Ok(0) | Err(_)));
    }
}
