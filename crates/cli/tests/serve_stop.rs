//! The server stopped as a service manager stops it: with requests under way it ends well, and everything that it
//! acknowledged is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use support::server::{Connection, Server, connect};
use support::{Place, wait_until};

#[test]
fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let socket = place.path("trail/socket");
    let metadata = std::fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    for round in 0..3 {
        let (admin, answered) = (server.admin(), AtomicUsize::new(0));
        let acknowledged: u64 = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..6)
                .map(|number| {
                    let (admin, answered) = (&admin, &answered);
                    scope.spawn(move || {
                        let mut connection = Connection::open(admin).unwrap();
                        let path = ["/v1/events", "/v1/events?ack=durable"][number % 2];
                        let mut acknowledged = 0;
                        loop {
                            let body = format!(r#"{{"action":"round.{round}"}}"#);
                            match connection.try_ask("POST", path, body.as_bytes()) {
                                Ok(response) if response.status == 202 => {
                                    answered.fetch_add(usize::from(acknowledged == 0), Relaxed);
                                    acknowledged += 1;
                                }
                                // Refused while it stops, nothing recorded; the next one meets nobody.
                                Ok(response) => drop(response.is(503)),
                                Err(_) => return acknowledged,
                            }
                        }
                    })
                })
                .collect();
            wait_until("every client is answered", || answered.load(Relaxed) == 6);
            server.stop();
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        assert!(!socket.exists(), "the socket is removed");
        assert!(server.log().contains("stopped: "), "{}", server.log());
        let found = place.run(&format!("query --count --action round.{round}")).ok().out;
        // One for each client may have been recorded with the answer cut off.
        let found: u64 = found.trim().parse().unwrap();
        assert!(
            (acknowledged..=acknowledged + 6).contains(&found),
            "{found} found, {acknowledged} acknowledged"
        );
        assert!(acknowledged > 0);
        let verdict = place.run("verify --json").ok().json();
        assert_eq!(verdict["unsealed"], 0, "everything is sealed: {verdict}");
        server.launch();
    }
}

#[test]
fn idle_slow_and_streaming_clients_do_not_hold_up_a_stop() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nstop_timeout_ms = 1500\n");
    let mut server = Server::start(&place);
    let admin = server.admin();
    let mut idle = Connection::open(&admin).unwrap();
    idle.try_ask("GET", "/healthz", b"").unwrap();
    let mut stream = admin.stream("/v1/events/stream");
    assert!(stream.next().is_some());
    let mut silent = connect(server.address).unwrap();
    let mut half = connect(server.address).unwrap();
    half.write_all(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{").unwrap();
    admin.record(r#"{"action":"a"}"#);
    server.stop();
    while stream.next().is_some() {}
    let _ = silent.read(&mut [0; 64]);
    assert_eq!(place.run("query --count").ok().out.trim(), "1");
}

#[test]
fn a_request_whose_body_is_under_way_is_answered_before_the_end() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let body = r#"{"action":"slow"}"#;
    let mut slow = connect(server.address).unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        server.token,
        body.len()
    );
    slow.write_all(head.as_bytes()).unwrap();
    // It is being read when the stop comes: the server asks for it.
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    slow.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 "));
    slow.write_all(&body.as_bytes()[..5]).unwrap();
    server.terminate();
    std::thread::sleep(Duration::from_millis(200));
    slow.write_all(&body.as_bytes()[5..]).unwrap();
    let mut answer = String::new();
    let _ = slow.read_to_string(&mut answer);
    let is_recorded = answer.starts_with("HTTP/1.1 202 ");
    assert!(is_recorded || answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert_eq!(place.run("query --count").ok().out.trim(), u64::from(is_recorded).to_string());
}

#[test]
fn it_says_when_it_cannot_start() {
    let place = Place::new();
    let mut server = Server::start(&place);
    // The trail has a writer, and the port is taken.
    place.run("serve --listen 127.0.0.1:0").could_not(&[]);
    let other = Place::new();
    other.run(&format!("serve --listen {}", server.address)).could_not(&["could not listen on"]);
    // Others could read along.
    other.run("serve --listen 0.0.0.0:0").could_not(&["tls_cert", "allow_plain_http"]);
    other.run("serve --listen [::]:0").could_not(&["tls_cert"]);
    other.run("serve --open --listen 0.0.0.0:0").could_not(&["loopback"]);
    other.write("trailseal.toml", "[server]\nbatch_events_max = 0\n");
    other.run("serve --listen 127.0.0.1:0").could_not(&["batch_events_max"]);
    other.write("trailseal.toml", "[server]\nlisten = \"nowhere\"\n");
    other.run("serve").could_not(&["server.listen"]);
    other.write("trailseal.toml", "[server]\ntls_cert = \"missing.pem\"\ntls_key = \"missing.pem\"\n");
    other.run("serve --listen 127.0.0.1:0").could_not(&["missing.pem"]);
    server.stop();
}

#[test]
fn a_kill_leaves_a_socket_that_is_in_nobodys_way() {
    let place = Place::new();
    let mut server = Server::start(&place);
    server.admin().record(r#"{"action":"a"}"#);
    server.kill();
    assert!(place.path("trail/socket").exists());
    place.run("query --count").ok();
    place.run("token list").ok();
    server.launch();
    place.run("token create beside --scope read").ok();
    wait_until("it answers", || server.admin().get("/readyz").status == 200);
    server.stop();
    assert!(!place.path("trail/socket").exists());
}
