//! The server killed at any moment while it retires, with a writer and readers beside it: each retirement has finished or not
//! begun, the trail verifies, and nothing held went.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use support::server::{Client, Connection, Server};
use support::{Place, aged};

const EACH: usize = 100;

fn rounds() -> usize {
    std::env::var("TRAILSEAL_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10)
}

/// Writes and reads until the server is gone.
fn write(client: &Client, name: &str, written: &AtomicU64) {
    let Ok(mut connection) = Connection::open(client) else { return };
    loop {
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

#[test]
fn killed_at_any_moment_it_has_finished_or_not_begun() {
    let rounds = rounds();
    let place = Place::new();
    // A tenant for each round.
    aged::make(&place.path("trail"), rounds * EACH, rounds);
    let mut server = Server::start(&place);
    server.admin().post("/v1/holds", r#"{"name":"case","reason":"r","filters":{"action":"case.*"}}"#).is(201);
    let held = server.admin().count("action=case.*");
    assert!(held > 0);
    let (written, mut finished, mut not_begun) = (AtomicU64::new(0), 0, 0);
    for round in 0..rounds {
        let tenant = format!("t{round}");
        let of = |client: &Client| client.count(&format!("tenant={tenant}&action=page.read"));
        let before = of(&server.admin());
        let admin = server.admin();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| write(&admin, &format!("w{round}"), &written));
            scope.spawn(|| read(&admin, &is_over));
            scope.spawn(|| {
                let body = format!(r#"{{"older_than_days":90,"tenant":"{tenant}"}}"#);
                if let Ok(mut connection) = Connection::open(&admin) {
                    drop(connection.try_ask("POST", "/v1/retention", body.as_bytes()));
                }
            });
            std::thread::sleep(Duration::from_millis(5 + (round as u64 * 397) % 2_600));
            server.kill();
            is_over.store(true, Ordering::Relaxed);
        });
        place.run("verify").ok();
        server.launch();
        let admin = server.admin();
        let after = of(&admin);
        match after {
            _ if after == before => not_begun += 1,
            // The last of the old ones lie in the segment of the new ones.
            _ if after <= before / 4 => finished += 1,
            _ => panic!("round {round}: {after} of {before} are left"),
        }
        assert_eq!(admin.count("action=case.*"), held, "round {round}: something held went");
        assert_eq!(
            admin.count("action=page.written"),
            written.load(Ordering::Relaxed).max(admin.count("action=page.written"))
        );
    }
    println!("{finished} had finished, {not_begun} had not begun");
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
