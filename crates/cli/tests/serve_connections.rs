//! What a connection may do: end its sending before it is answered, send a head up to the limit, and no request whose host
//! can be read in two ways; and what becomes of it when others need its place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use support::server::{Server, connect};
use support::{Place, wait_until};

/// What a client reads that sends this and ends its sending.
fn half_closed(server: &Server<'_>, request: &str) -> String {
    let mut stream = connect(server.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of each answer.
fn statuses(answer: &str) -> Vec<&str> {
    answer.split("HTTP/1.1 ").skip(1).map(|rest| rest.get(..3).unwrap_or_default()).collect()
}

#[test]
fn a_client_that_ends_its_sending_gets_its_answer() {
    let place = Place::new();
    // Events wait for company longer than a glance.
    place.write("trailseal.toml", "[commit]\nlinger_ms = 100\n");
    let server = Server::start(&place);
    let token = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", server.token);
    let event = r#"{"action":"half.closed"}"#;
    let post =
        |path: &str| format!("POST {path} HTTP/1.1\r\n{token}Content-Length: {}\r\n\r\n{event}", event.len());
    let chunked = format!(
        "POST /v1/events?ack=durable HTTP/1.1\r\n{token}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n0\r\n\r\n",
        event.len()
    );
    let get = format!("GET /v1/events?limit=1 HTTP/1.1\r\n{token}\r\n");
    for (request, expected) in [
        (post("/v1/events"), &["202"][..]),
        (post("/v1/events?ack=durable"), &["202"]),
        (post("/v1/events?ack=store"), &["202"]),
        (chunked, &["202"]),
        (get.clone(), &["200"]),
        (format!("{}{get}", post("/v1/events?ack=durable")), &["202", "200"]),
        // The proof waits for the next checkpoint.
        (format!("GET /v1/events/0/proof HTTP/1.1\r\n{token}\r\n"), &["200"]),
    ] {
        let answer = half_closed(&server, &request);
        assert_eq!(statuses(&answer), expected, "{request}: {answer}");
    }
    assert_eq!(server.admin().count("action=half.closed"), 5);
    // A long answer is read to its end.
    let line = format!("{{\"action\":\"long\",\"description\":\"{}\"}}\n", "x".repeat(10_000));
    for _ in 0..10 {
        server.admin().record(line.repeat(100));
    }
    let export =
        format!("GET /v1/events?action=long HTTP/1.1\r\n{token}Accept: application/x-ndjson\r\n\r\n");
    let answer = half_closed(&server, &export);
    assert_eq!(answer.matches("\"action\":\"long\"").count(), 1_000);
    assert!(answer.ends_with("\r\n0\r\n\r\n"), "it is cut");
    // The same by the owner's socket.
    let mut stream = std::os::unix::net::UnixStream::connect(place.path("trail/socket")).unwrap();
    stream.write_all(post("/v1/events?ack=durable").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(statuses(&answer), ["202"], "{answer}");
}

#[test]
fn a_body_that_is_cut_off_is_not_recorded() {
    let place = Place::new();
    let server = Server::start(&place);
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n\r\n",
        server.token
    );
    let answer = half_closed(&server, &format!("{head}{{\"action\":\"cut\"}}"));
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(server.admin().count("action=cut"), 0);
}

#[test]
fn a_request_names_one_host() {
    let place = Place::new();
    let server = Server::start(&place);
    for (version, hosts, expected) in [
        ("1.1", "", 400),
        ("1.1", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("1.1", "Host: localhost\r\nX-A: b\r\nhost: evil.example\r\n", 400),
        ("1.1", "Host: localhost\r\n", 200),
        ("1.0", "", 200),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
    ] {
        let request = format!("GET /healthz HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let answer = server.raw(request.as_bytes());
        let status = answer.get(9..12).unwrap_or_default();
        assert_eq!(status, expected.to_string(), "{request}{answer}");
        if expected == 400 {
            assert!(answer.contains("application/problem+json") && answer.contains("Host"), "{answer}");
        }
    }
    let metrics = server.admin().get("/metrics").is(200).text();
    assert!(metrics.contains("route=\"none\",status=\"400\"} 4"), "{metrics}");
}

#[test]
fn a_head_may_have_64_kib_and_100_lines_and_no_more() {
    let place = Place::new();
    let server = Server::start(&place);
    let fixed = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Long: ";
    let with_bytes = |len: usize| format!("{fixed}{}\r\n\r\n", "x".repeat(len - fixed.len() - 4));
    let padded = |len: usize| format!("{fixed}{}x\r\n\r\n", " ".repeat(len - fixed.len() - 5));
    let with_lines = |lines: usize| {
        let more: String = (2..lines).map(|number| format!("X-{number}: a\r\n")).collect();
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n")
    };
    for (what, request, expected) in [
        ("65,536 bytes", with_bytes(65_536), "200"),
        ("65,537 bytes", with_bytes(65_537), "431"),
        ("100,000 bytes", with_bytes(100_000), "431"),
        ("65,536 bytes with blanks", padded(65_536), "200"),
        ("100,000 bytes with blanks", padded(100_000), "431"),
        ("100 lines", with_lines(100), "200"),
        ("101 lines", with_lines(101), "431"),
    ] {
        let answer = server.raw(request.as_bytes());
        assert_eq!(answer.get(9..12), Some(expected), "{what}: {answer}");
    }
    // Behind another one on the same connection, too.
    let first = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = server.raw(format!("{first}{}", with_bytes(100_000)).as_bytes());
    assert_eq!(statuses(&answer), ["200", "431"], "{answer}");
}

#[test]
fn who_is_served_by_a_token_keeps_its_place_and_the_next_waits() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nconnections_max = 2\n");
    let server = Server::start(&place);
    let admin = server.admin();
    let mut streams = vec![admin.stream("/v1/events/stream"), admin.stream("/v1/events/stream")];
    let waiting = std::thread::spawn({
        let admin = admin.clone();
        move || admin.get("/healthz").status
    });
    // By the socket, since the places are taken.
    place.feed("record", r#"{"action":"meanwhile"}"#).ok();
    for stream in &mut streams {
        assert!(stream.next().is_some(), "it is still served");
    }
    assert!(!waiting.is_finished(), "there is no place yet");
    drop(streams.pop());
    assert_eq!(waiting.join().unwrap(), 200);
}

#[test]
fn a_head_that_never_ends_gives_its_place_to_whoever_comes() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nconnections_max = 3\n");
    let server = Server::start(&place);
    let mut slow: Vec<TcpStream> = (0..3).map(|_| connect(server.address).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
    }
    server.admin().record(r#"{"action":"meanwhile"}"#);
    wait_until("one of them is closed", || {
        slow.iter_mut().any(|stream| {
            // A byte now and then: it is still no whole head.
            stream.write_all(b"a").is_err() || {
                stream.set_nonblocking(true).unwrap();
                let read = stream.read(&mut [0; 16]);
                stream.set_nonblocking(false).unwrap();
                matches!(read, Ok(0))
            }
        })
    });
    let metrics = server.admin().get("/metrics").is(200).text();
    let line =
        metrics.lines().find(|line| line.starts_with("trailseal_http_connections_evicted_total")).unwrap();
    assert!(!line.ends_with(" 0"), "{line}");
}
