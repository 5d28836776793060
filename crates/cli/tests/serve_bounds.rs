//! What one client can take is bounded: of connections, of requests, and of memory for bodies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write as _;

use flate2::write::GzEncoder;
use support::server::{Client, Connection, Server};
use support::{Place, wait_until};

fn metric(client: &Client, name: &str) -> u64 {
    let text = client.get("/metrics").is(200).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// The most memory that the server has taken so far, in bytes.
fn peak(server: &Server<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    line.strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nconnections_per_address_max = 3\n");
    let server = Server::start(&place);
    let admin = server.admin();
    let ask =
        |connection: &mut Connection| connection.try_ask("GET", "/healthz", b"").map(|answer| answer.status);
    let mut held: Vec<Connection> = (0..3).map(|_| Connection::open(&admin).unwrap()).collect();
    for connection in &mut held {
        assert_eq!(ask(connection).unwrap(), 200);
    }
    let one_more = || Connection::open(&admin).and_then(|mut connection| ask(&mut connection));
    one_more().unwrap_err();
    assert_eq!(ask(&mut held[0]).unwrap(), 200, "those who are in stay in");
    held.pop();
    wait_until("a place that was given back is given", || one_more().is_ok());
    held.pop();
    wait_until("it is counted", || {
        Connection::open(&admin).is_ok_and(|mut connection| {
            let metrics = connection.try_ask("GET", "/metrics", b"");
            metrics.is_ok_and(|answer| !answer.text().contains("trailseal_http_connections_refused_total 0"))
        })
    });
    server.tells("127.0.0.1");
    // The owner's commands take none of them.
    place.run("token create beside --scope read").ok();
}

#[test]
fn the_connections_of_a_trusted_proxy_are_those_of_many() {
    let place = Place::new();
    let settings =
        "connections_per_address_max = 2\nrequests_per_second = 1\ntrusted_proxies = [\"127.0.0.1\"]\n";
    place.write("trailseal.toml", format!("[server]\n{settings}"));
    let server = Server::start(&place);
    let clients: Vec<Client> =
        (0..10).map(|n| server.admin().header("X-Forwarded-For", &format!("198.51.100.{n}"))).collect();
    let mut connections: Vec<Connection> =
        clients.iter().map(|client| Connection::open(client).unwrap()).collect();
    for connection in &mut connections {
        assert_eq!(connection.try_ask("GET", "/healthz", b"").unwrap().status, 200);
    }
    // Of requests, each of its clients has its own share.
    let mut statuses = (0..10).map(|_| clients[0].get("/healthz").status);
    assert!(statuses.any(|status| status == 429));
    assert_eq!(clients[1].get("/healthz").status, 200);
}

#[test]
fn large_bodies_have_bounded_room_together_and_small_ones_always_have_some() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nbody_bytes_max = \"1MiB\"\nbodies_bytes_max = \"2MiB\"\n");
    let server = Server::start(&place);
    let admin = server.admin();
    let event = format!(r#"{{"action":"large","description":"{}"}}"#, "x".repeat(1_000));
    let body = vec![event.as_str(); 900].join("\n");
    let held = || metric(&admin, "trailseal_http_bodies_bytes");
    let all_but_free = (body.len() - (64 << 10)) as u64;
    // All but their last byte.
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = support::server::connect(server.address).unwrap();
            let head = format!("POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n", body.len());
            let token = format!("Authorization: Bearer {}\r\n\r\n", server.token);
            stream.write_all(format!("{head}{token}").as_bytes()).unwrap();
            stream.write_all(&body.as_bytes()[..body.len() - 1]).unwrap();
            stream
        })
        .collect();
    wait_until("both are held", || held() == 2 * (all_but_free - 1));
    let refused = admin.post("/v1/events", &body).is(503);
    assert!(refused.header("retry-after").is_some());
    let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(body.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    assert!(packed.len() < 64 << 10);
    admin.header("Content-Encoding", "gzip").post("/v1/events", &packed).is(503);
    assert_eq!(held(), 2 * (all_but_free - 1), "what was refused is not held");
    admin.record(r#"{"action":"small"}"#);
    assert_eq!((admin.count("action=large"), admin.count("action=small")), (0, 1));
    drop(slow);
    wait_until("who has gone gives back", || held() == 0);
    admin.record(&body);
    admin.header("Content-Encoding", "gzip").record(&packed);
    assert_eq!((admin.count("action=large"), held()), (1_800, 0));
}

#[test]
fn one_client_leaves_the_others_room_for_large_bodies_and_exports() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nbody_bytes_max = \"1MiB\"\nbodies_bytes_max = \"8MiB\"\n");
    // More than sockets hold, so that an export that nobody reads goes on.
    let event = format!("{{\"action\":\"a\",\"description\":\"{}\"}}\n", "x".repeat(16_000));
    place.write("events", event.repeat(1_500));
    place.run("record events").ok();
    let server = Server::start(&place);
    let greedy = server.holder(r#"{"name":"greedy","scopes":["write","read"]}"#);
    let other = server.holder(r#"{"name":"other","scopes":["write","read"]}"#);
    let body = event.repeat(60);
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = support::server::connect(server.address).unwrap();
            let head = format!("POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n", body.len());
            let token = format!("Authorization: Bearer {}\r\n\r\n", greedy.token);
            stream.write_all(format!("{head}{token}").as_bytes()).unwrap();
            let _ = stream.write_all(&body.as_bytes()[..body.len() - 1]);
            stream
        })
        .collect();
    let all_but_free = (body.len() - 1 - (64 << 10)) as u64;
    wait_until("two of them are held", || {
        metric(&server.admin(), "trailseal_http_bodies_bytes") == 2 * all_but_free
    });
    let refused = greedy.post("/v1/events", &body).is(429);
    assert!(refused.header("retry-after").is_some());
    other.post("/v1/events", &body).is(202);
    drop(slow);
    let export = |client: &Client| client.header("Accept", "application/x-ndjson");
    let held: Vec<_> = (0..4).map(|_| export(&greedy).stream("/v1/events")).collect();
    let refused = export(&greedy).get("/v1/events?limit=1").is(429);
    assert!(refused.header("retry-after").is_some());
    greedy.get("/v1/events?limit=1").is(200);
    export(&other).get("/v1/events?limit=1").is(200);
    drop(held);
    wait_until("who has gone gives back", || export(&greedy).get("/v1/events?limit=1").status == 200);
}

#[test]
fn a_packed_body_of_tiny_events_takes_no_more_memory_than_its_bytes() {
    let place = Place::new();
    let server = Server::start(&place);
    let before = peak(&server);
    for (mut body, event, end) in [(vec![], "{}\n", ""), (vec![b'['], "0,", "0]")] {
        // Some 16 MiB, the most that is taken.
        while body.len() < (16 << 20) - 8 {
            body.extend_from_slice(event.as_bytes());
        }
        body.extend_from_slice(end.as_bytes());
        let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&body).unwrap();
        let packed = packer.finish().unwrap();
        let answer = server.admin().header("Content-Encoding", "gzip").post("/v1/events", &packed).is(413);
        assert!(answer.text().contains("10000"), "{}", answer.text());
    }
    // Places of millions of events were another 128 MiB.
    assert!(peak(&server) - before < 80 << 20, "{} bytes", peak(&server) - before);
}

#[test]
fn room_for_no_body_is_refused_at_the_start() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nbody_bytes_max = \"16MiB\"\nbodies_bytes_max = \"20MiB\"\n");
    place.run("serve --listen 127.0.0.1:0").could_not(&["server.bodies_bytes_max", "twice"]);
}

#[test]
fn a_body_that_comes_in_pieces_is_in_memory_once() {
    let place = Place::new();
    let server = Server::start(&place);
    let body = vec![b' '; 16 << 20];
    let before = peak(&server);
    server.admin().post("/v1/events", &body).is(400);
    let grown = peak(&server) - before;
    assert!(grown < 24 << 20, "{grown} bytes for {} of a body", body.len());
}
