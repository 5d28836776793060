//! The server killed at any moment while it retires, with a writer and readers beside it: each retirement has finished or not
//! begun, the trail verifies, and nothing held went.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::server::{Client, Connection, Server};
use support::{Place, aged};

const EACH: usize = 100;
/// So many rounds are run at most until everything was seen.
const ROUNDS_MAX: usize = 40;

fn rounds() -> usize {
    std::env::var("TRAILSEAL_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10)
}

/// What a kill has met.
#[derive(Default)]
struct Seen {
    /// The retirement had not begun, and nothing went.
    not_begun: usize,
    /// It had begun; the opening has finished it, or undone what was not announced.
    begun: usize,
    /// It had ended.
    finished: usize,
}

impl Seen {
    fn is_all(&self) -> bool {
        self.not_begun > 0 && self.begun > 0 && self.finished > 0
    }
}

/// Writes and reads until the server is gone.
fn write(client: &Client, name: &str, written: &AtomicU64, is_over: &AtomicBool) {
    let Ok(mut connection) = Connection::open(client) else { return };
    while !is_over.load(Ordering::Relaxed) {
        let id = format!("{name}-{}", written.load(Ordering::Relaxed));
        let body = format!(r#"{{"id":"{id}","action":"page.written"}}"#);
        match connection.try_ask("POST", "/v1/events?ack=durable", body.as_bytes()) {
            Ok(response) => drop(response.is(202)),
            Err(_) => return,
        }
        written.fetch_add(1, Ordering::Relaxed);
    }
}

fn read(client: &Client, is_over: &AtomicBool) {
    let Ok(mut connection) = Connection::open(client) else { return };
    while !is_over.load(Ordering::Relaxed) {
        for path in [
            "/v1/events?limit=100&order=asc",
            "/v1/events?tenant=t0&count=true",
            "/v1/summary",
            "/v1/events/old-3",
        ] {
            match connection.try_ask("GET", path, b"") {
                // Gone or there; never half.
                Ok(response) => {
                    assert!(matches!(response.status, 200 | 410 | 503), "{path}: {}", response.text())
                }
                Err(_) => return,
            }
        }
    }
}

/// How long a retirement takes beside a writer and a reader that nobody kills.
fn duration(server: &Server<'_>, tenant: &str, written: &AtomicU64) -> Duration {
    let admin = server.admin();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| write(&admin, "undisturbed", written, &is_over));
        scope.spawn(|| read(&admin, &is_over));
        let begun = Instant::now();
        let body = format!(r#"{{"older_than_days":90,"tenant":"{tenant}"}}"#);
        admin.post("/v1/retention", &body).is(200);
        let duration = begun.elapsed();
        is_over.store(true, Ordering::Relaxed);
        duration
    })
}

#[test]
fn killed_at_any_moment_it_has_finished_or_not_begun() {
    let (rounds, most) = (rounds(), rounds().max(ROUNDS_MAX));
    let place = Place::new();
    // A tenant for each round, and one to measure.
    aged::make(&place.path("trail"), (most + 1) * EACH, most + 1);
    let mut server = Server::start(&place);
    server.admin().post("/v1/holds", r#"{"name":"case","reason":"r","filters":{"action":"case.*"}}"#).is(201);
    let held = server.admin().count("action=case.*");
    assert!(held > 0);
    let (written, mut seen) = (AtomicU64::new(0), Seen::default());
    let mut duration = duration(&server, &format!("t{most}"), &written);
    let journal = place.path("trail/retiring");
    for round in 0..most {
        if round >= rounds && seen.is_all() {
            break;
        }
        let tenant = format!("t{round}");
        let of = |client: &Client| client.count(&format!("tenant={tenant}&action=page.read"));
        let before = of(&server.admin());
        let admin = server.admin();
        let is_over = AtomicBool::new(false);
        // From at once to a quarter later than it takes, in an order that meets all of that soon.
        let part = [0, 5, 2, 7, 9, 1, 4, 8, 3, 6][round % 10];
        let wait = duration * part / 8 + Duration::from_millis(round as u64 % 7);
        let asked = Instant::now();
        let answered = std::thread::scope(|scope| {
            scope.spawn(|| write(&admin, &format!("w{round}"), &written, &is_over));
            scope.spawn(|| read(&admin, &is_over));
            let answered = scope.spawn(|| {
                let body = format!(r#"{{"older_than_days":90,"tenant":"{tenant}"}}"#);
                let mut connection = Connection::open(&admin).ok()?;
                connection.try_ask("POST", "/v1/retention", body.as_bytes()).ok()?.is(200);
                Some(asked.elapsed())
            });
            // The last ones wait until it has ended, however long that takes today.
            while if part >= 8 { !answered.is_finished() } else { asked.elapsed() < wait } {
                std::thread::sleep(Duration::from_millis(1));
            }
            server.kill();
            is_over.store(true, Ordering::Relaxed);
            answered.join().unwrap()
        });
        duration = answered.map_or(duration, |took| (duration + took) / 2);
        let had_begun = journal.exists();
        place.run("verify").ok();
        server.launch();
        assert!(!journal.exists(), "round {round}: the opening has left it unfinished");
        let admin = server.admin();
        let after = of(&admin);
        // The last of the old ones lie in the segment of the new ones.
        let is_gone = after <= before / 4;
        assert!(is_gone || after == before, "round {round}: {after} of {before} are left");
        match had_begun {
            true => seen.begun += 1,
            false if is_gone => seen.finished += 1,
            false => seen.not_begun += 1,
        }
        assert!(answered.is_none() || is_gone, "round {round}: answered, and {after} of {before} are left");
        assert_eq!(admin.count("action=case.*"), held, "round {round}: something held went");
        assert!(
            admin.count("action=page.written") >= written.load(Ordering::Relaxed),
            "round {round}: acknowledged and lost"
        );
    }
    let Seen { not_begun, begun, finished } = seen;
    println!("{not_begun} had not begun, {begun} had begun, {finished} had finished");
    assert!(seen.is_all(), "{not_begun} had not begun, {begun} had begun, {finished} had finished");
    // Whatever was left: it can be done, and then it is.
    server.admin().post("/v1/retention", r#"{"older_than_days":90}"#).is(200);
    assert_eq!(server.admin().count("action=case.*"), held);
    assert!(
        server.admin().count("action=page.written") >= written.load(Ordering::Relaxed),
        "acknowledged and lost"
    );
    server.stop();
    place.run("verify").ok();
    place.run("doctor").ok();
}
