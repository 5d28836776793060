//! Clients that mean harm, or are broken: slow ones, greedy ones, those that smuggle requests or climb out of a folder,
//! and pages of other sites that ask an open server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::json;
use support::Place;
use support::server::{Connection, Server, connect};

/// What comes behind `/tile/` and names no tile.
const TILES: &str = "0/00 0/0 0/0000 0/x000/000 0/000.p/256 0/000.p/0 0/000.p/01 0/000.p/-1 0/001.p/255 0/002 00/000 +0/000 \
    -1/000 64/000 9/000 0/000/ 0//000 0/./000 0/../0/000 0/000%00 0/000%20 0/000%0a \
    %30%2f000%2f..%2f..%2f..%2fkeys%2fsigning.key ../keys/signing.key 0/../../keys/signing.key \
    %2e%2e/keys/signing.key ..%2fkeys%2fsigning.key 0/%2e%2e/%2e%2e/keys/signing.key \
    ..%5ckeys%5csigning.key /etc/passwd //etc/passwd %2fetc%2fpasswd %252e%252e%252fkeys%252fsigning.key \
    0/..;/000 0/%c0%ae%c0%ae/000 0/9999999999999999999999 0 0/ data/000 %65ntries/000 en%74ries/000 \
    ENTRIES/000 ./entries/000 0/../entries/000 /entries/000";
/// Paths that lead to nothing.
const PATHS: &str = "/origins/../tile/0/000 /origins/x/tile/0/000 /origins//tile/0/000 /origins/tile/0/000 \
    /origins/%00/checkpoint /origins/../checkpoint /origins/..%2f..%2fetc/checkpoint /assets/../Cargo.toml \
    /assets/..%2fmain.rs /assets/%2e%2e%2f // /./ /%2e%2e/ //v1/events /v1/events/ /v1//events /V1/events \
    /v1/events;a=b /v1/tokens/..%2f..%2ftokens /nowhere";

/// The status of each answer in what a connection gave back.
fn statuses(answer: &str) -> Vec<u16> {
    answer
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|rest| rest.get(..3).and_then(|status| status.parse().ok()).unwrap_or_default())
        .collect()
}

#[test]
fn slow_heads_and_bodies_are_given_up_while_others_are_served() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nrequest_timeout_ms = 15000\n");
    let server = Server::start(&place);
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\n",
        server.token
    );
    let (begun, given_up) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let slow: Vec<_> = (0..100)
        .map(|number| {
            let (address, head, given_up) = (server.address, head.clone(), given_up.clone());
            std::thread::spawn(move || {
                let mut stream = connect(address).unwrap();
                if number % 2 == 1 {
                    stream.write_all(head.as_bytes()).unwrap();
                }
                stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                let text = ["GET /healthz HTTP/1.1\r\nX-Slow: ", "{\"action\":\"slow"][number % 2];
                let mut answer = Vec::new();
                // A byte now and then, for ever.
                for byte in text.bytes().chain(std::iter::repeat(b'a')) {
                    let is_written = stream.write_all(&[byte]).is_ok();
                    let mut buffer = [0; 4_096];
                    match stream.read(&mut buffer) {
                        Ok(0) => break,
                        Ok(read) => answer.extend_from_slice(&buffer[..read]),
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && is_written => {}
                        Err(_) => break,
                    }
                    assert!(begun.elapsed() < support::PATIENCE, "it holds on to a slow client");
                }
                given_up.fetch_add(1, Relaxed);
                (number % 2, String::from_utf8_lossy(&answer).into_owned())
            })
        })
        .collect();
    let admin = server.admin();
    let mut connection = Connection::open(&admin).unwrap();
    for _ in 0..100 {
        let answer = connection.try_ask("POST", "/v1/events", br#"{"action":"meanwhile"}"#).unwrap();
        assert_eq!(answer.status, 202);
    }
    // Whoever waited for the slow ones would wait until their time is up.
    assert_eq!(given_up.load(Relaxed), 0, "somebody else waited for them");
    for client in slow {
        let (is_body, answer) = client.join().unwrap();
        match is_body {
            1 => {
                assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("retry-after: "), "{answer:?}")
            }
            // Without a head there is nobody to answer; hyper may say 408.
            _ => assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer:?}"),
        }
    }
    assert_eq!(server.admin().count("action=slow*"), 0);
}

#[test]
fn when_all_connections_are_taken_the_next_waits_for_one() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nrequest_timeout_ms = 5000\nconnections_max = 4\n");
    let server = Server::start(&place);
    let silent: Vec<_> = (0..4).map(|_| connect(server.address).unwrap()).collect();
    // Those who say nothing lose their places.
    assert_eq!(server.admin().get("/healthz").status, 200);
    drop(silent);
    // The owner's commands come by the same door, and are served, too.
    place.run("token create waiting --scope read").ok();
}

#[test]
fn large_heads_are_refused() {
    let place = Place::new();
    let server = Server::start(&place);
    let auth = format!("Host: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n", server.token);
    let many: String = (0..200).map(|number| format!("X-{number}: a\r\n")).collect();
    let long = "x".repeat(160 << 10);
    for (what, request) in [
        ("headers", format!("GET /healthz HTTP/1.1\r\n{auth}{many}\r\n")),
        ("a header", format!("GET /healthz HTTP/1.1\r\n{auth}X-Long: {long}\r\n\r\n")),
        ("a path", format!("GET /{long} HTTP/1.1\r\n{auth}\r\n")),
        ("a method", format!("{long} / HTTP/1.1\r\n{auth}\r\n")),
        ("an endless line", "x".repeat(300 << 10)),
    ] {
        let answer = server.raw(request.as_bytes());
        let statuses = statuses(&answer);
        assert!(
            statuses.len() <= 1 && statuses.iter().all(|status| matches!(status, 400 | 414 | 431)),
            "{what}: {answer:?}"
        );
    }
    assert_eq!(statuses(&server.raw(format!("GET /healthz HTTP/1.1\r\n{auth}\r\n").as_bytes())), [200]);
}

#[test]
fn no_request_is_smuggled_in_another() {
    let place = Place::new();
    let server = Server::start(&place);
    let auth = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", server.token);
    let inner =
        format!("POST /v1/events HTTP/1.1\r\n{auth}Content-Length: 21\r\n\r\n{{\"action\":\"smuggled\"}}");
    assert!(inner.ends_with("{\"action\":\"smuggled\"}"));
    let length = inner.len();
    let outer = "POST /v1/events HTTP/1.1";
    let chunks = format!("{length:x}\r\n{inner}\r\n0\r\n\r\n");
    for (what, request) in [
        (
            "two lengths",
            format!("{outer}\r\n{auth}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{inner}"),
        ),
        ("a list of lengths", format!("{outer}\r\n{auth}Content-Length: 0, {length}\r\n\r\n{inner}")),
        ("a signed length", format!("{outer}\r\n{auth}Content-Length: +0\r\n\r\n{inner}")),
        ("a length in hexadecimal", format!("{outer}\r\n{auth}Content-Length: 0x0\r\n\r\n{inner}")),
        ("a folded length", format!("{outer}\r\n{auth}Content-Length:\r\n 0\r\n\r\n{inner}")),
        ("a folded header", format!("{outer}\r\n{auth}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n{inner}")),
        ("a space before the colon", format!("{outer}\r\n{auth}Content-Length : 0\r\n\r\n{inner}")),
        (
            "length and chunks",
            format!(
                "{outer}\r\n{auth}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
                length + 5
            ),
        ),
        (
            "chunks and length",
            format!("{outer}\r\n{auth}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunks}"),
        ),
        ("an unknown encoding", format!("{outer}\r\n{auth}Transfer-Encoding: xchunked\r\n\r\n{inner}")),
        (
            "chunked twice",
            format!(
                "{outer}\r\n{auth}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "chunks by HTTP/1.0",
            format!("POST /v1/events HTTP/1.0\r\n{auth}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        ),
        (
            "a bare line feed in a chunk's size",
            format!("{outer}\r\n{auth}Transfer-Encoding: chunked\r\n\r\n0\n\n{inner}"),
        ),
        ("a bare carriage return", format!("{outer}\r\n{auth}X-A: b\rContent-Length: 0\r\n\r\n{inner}")),
        ("a null byte", format!("{outer}\r\n{auth}X-A: \0\r\nContent-Length: 0\r\n\r\n{inner}")),
        ("no name", format!("{outer}\r\n{auth}: b\r\nContent-Length: 0\r\n\r\n{inner}")),
        ("two spaces", format!("POST  /v1/events HTTP/1.1\r\n{auth}Content-Length: 0\r\n\r\n{inner}")),
        ("no version", format!("POST /v1/events\r\n{auth}\r\n{inner}")),
        ("another version", format!("POST /v1/events HTTP/1.7\r\n{auth}\r\n{inner}")),
    ] {
        let answer = server.raw(request.as_bytes());
        let statuses = statuses(&answer);
        assert!(!statuses.contains(&202), "{what}: {answer}");
        assert!(statuses.len() <= 1, "{what} was taken for two requests: {answer}");
        assert!(statuses.iter().all(|status| matches!(status, 400 | 501 | 505)), "{what}: {answer}");
    }
    assert_eq!(server.admin().count("action=smuggled"), 0);
    // Two honest ones behind each other are two.
    let two = format!("{inner}GET /healthz HTTP/1.1\r\n{auth}Connection: close\r\n\r\n");
    assert_eq!(statuses(&server.raw(two.as_bytes())), [202, 200]);
}

#[test]
fn paths_lead_nowhere_else() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\npublic_tiles = true\n");
    let server = Server::start(&place);
    let admin = server.admin();
    admin.record(vec![r#"{"action":"a"}"#; 300].join("\n"));
    admin.get("/v1/events/3/proof").is(200);
    assert_eq!(admin.get("/tile/0/000").is(200).body.len(), 8_192);
    let secret = std::fs::read_to_string(place.path("trail/keys/signing.key")).unwrap();
    let nobody = server.client("");
    let origin = admin.get("/v1/origins").is(200).json()["origins"][0]["origin"].as_str().unwrap().to_owned();
    for rest in TILES.split_whitespace().chain([""]) {
        for path in [format!("/tile/{rest}"), format!("/origins/{origin}/tile/{rest}")] {
            for client in [&nobody, &admin] {
                // Bundles are the admin's to read, however their path is spelled.
                if (rest.contains("ntries") || rest.contains("%74ries")) && client.token == admin.token {
                    continue;
                }
                let response = client.get(&path);
                assert!(
                    matches!(response.status, 400 | 401 | 403 | 404),
                    "{path}: {} {:.200}",
                    response.status,
                    response.text()
                );
                assert!(!response.text().contains(&secret[..20.min(secret.len())]));
            }
        }
    }
    for path in PATHS.split_whitespace() {
        let response = admin.get(path);
        assert!(
            matches!(response.status, 400 | 404 | 405),
            "{path}: {} {}",
            response.status,
            response.text()
        );
    }
}

#[test]
fn bytes_that_are_no_text_and_names_that_mean_nothing_are_refused() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    admin.record(r#"{"action":"a","id":"known"}"#);
    for query in [
        "nonsense=1",
        "actor_id=x",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "limit=1&limit=2",
        "order=up",
        "cursor=nonsense",
        "cursor=%00",
        "outcome=bad",
        "severity=loud",
        "category=odd",
        "since=yesterdayish",
        "until=%ff",
        "tenant=%ff%fe",
        "%ff=1",
        "count=1",
        "count=maybe",
        "system=1",
        "=",
        "=x",
        "Tenant=a",
        "on-behalf-of=x",
    ] {
        let response = admin.get(&format!("/v1/events?{query}"));
        assert_eq!(response.status, 400, "{query}: {}", response.text());
        response.is(400);
    }
    for path in [
        "/v1/events/known?x=1",
        "/v1/events/known/proof?limit=1",
        "/v1/resources/a/b/history?actor=x",
        "/v1/summary?limit=1",
        "/v1/summary?bucket=0s",
        "/v1/summary?top=0",
        "/v1/reviews?state=odd",
        "/v1/reviews?limit=1",
        "/v1/events/stream?limit=1",
        "/v1/events/stream?cursor=x",
    ] {
        let response = admin.get(path);
        assert_eq!(response.status, 400, "{path}: {}", response.text());
        response.is(400);
    }
    admin.header("Last-Event-ID", "nonsense").get("/v1/events/stream").is(400);
    for path in ["/v1/events/%ff%fe", "/v1/events/a%ffb/proof", "/v1/resources/%ff/%fe/history"] {
        let response = admin.get(path);
        assert!(matches!(response.status, 400 | 404), "{path}: {}", response.status);
        response.is_problem();
    }
    for path in [
        "/v1/events/%00",
        "/v1/events/a%00b",
        "/v1/events/%2e%2e",
        "/v1/events/99999999999999999999999",
        "/v1/events/-1",
        "/v1/events/%20",
    ] {
        admin.get(path).is(404);
    }
    // A NUL in a filter is a value like others: nothing has it.
    assert_eq!(admin.count("tenant=%00"), 0);
    assert_eq!(admin.count("text=%00%01"), 0);
    // Bytes that are no URL at all.
    for target in ["/v1/events?a=\u{0}", "/\u{1}", "/v1/events ?a", "http://", "*", "v1/events", ""] {
        let answer = server
            .raw(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes());
        let statuses = statuses(&answer);
        assert!(
            statuses.len() <= 1 && statuses.iter().all(|status| (400..500).contains(status)),
            "{target:?}: {answer:?}"
        );
    }
    let answer =
        server.raw(b"GET /v1/events?a=\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(statuses(&answer).iter().all(|status| (400..500).contains(status)), "{answer:?}");
    // What has no end in what it says of itself.
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let answer = server.raw(bytes);
        assert!(statuses(&answer).iter().all(|status| *status >= 400), "{answer:?}");
    }
    assert_eq!(admin.count(""), 1);
}

#[test]
fn an_open_server_answers_nobody_elses_page() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nhosts = [\"audit.internal\"]\n");
    let server = Server::with(&place, &["--open"]);
    assert_eq!(server.token, "");
    let anybody = server.client("");
    let port = server.address.port();
    let event = r#"{"action":"open"}"#;
    anybody.record(event);
    for host in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.1.2.3:80",
        "[::1]",
        "[::1]:8410",
        "audit.internal",
        "Audit.Internal:80",
    ] {
        let client = anybody.header("Host", host);
        assert_eq!(client.get("/v1/events").status, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80",
        "0.0.0.0",
        "192.0.2.1",
        "[2001:db8::1]",
        "localhost@evil.example",
        "",
        "audit.internal.evil.example",
    ] {
        let client = anybody.header("Host", host);
        for path in ["/v1/events", "/", "/healthz", "/v1/policy"] {
            let status = client.get(path).status;
            assert!(status == 421 || (host.is_empty() && status == 400), "{host}{path}: {status}");
        }
        assert!(client.post("/v1/events", event).status >= 400, "{host}");
    }
    // A request that names its host in the target.
    let answer = server
        .raw(b"GET http://evil.example/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let status = statuses(&answer);
    assert!(status.len() == 1, "{answer}");
    let own = format!("http://{}", server.address);
    for origin in [
        "http://evil.example",
        "https://localhost.evil.example",
        "null",
        "http://127.0.0.1:1",
        "http://localhost",
        "file://",
        &format!("http://127.0.0.1.evil.example:{port}"),
    ] {
        let client = anybody.header("Origin", origin);
        for (method, path, body) in [
            ("POST", "/v1/events", event),
            ("POST", "/v1/tokens", r#"{"name":"evil","scopes":["admin"]}"#),
            ("PUT", "/v1/policy", "mode = \"off\"\n"),
            ("POST", "/v1/keys/rotate", ""),
            ("DELETE", "/v1/tokens/admin", ""),
        ] {
            client.ask(method, path, body.as_bytes()).is(403);
        }
        // A simple request that browsers send without asking first.
        client.header("Content-Type", "text/plain").post("/v1/events", event).is(403);
    }
    assert_eq!(anybody.header("Origin", &own).post("/v1/events?ack=durable", event).status, 202);
    assert_eq!(anybody.count(""), 2);
    assert_eq!(anybody.get("/v1/tokens").is(200).json()["tokens"], json!([]));
    // And it lets no page read what it answers.
    let response = anybody.header("Origin", "http://evil.example").get("/").is(200);
    assert_eq!(response.header("access-control-allow-origin"), None);
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn an_open_server_reads_and_records_nothing_for_another_sites_page() {
    let place = Place::new();
    let server = Server::with(&place, &["--open"]);
    let anybody = server.client("");
    let reads = || place.run("query --system --action trail.read --count").ok().out.trim().to_owned();
    let from = |name: &str, value: &str| anybody.header(name, value);
    for page in [
        from("Sec-Fetch-Site", "cross-site"),
        from("Sec-Fetch-Site", "same-site"),
        from("Sec-Fetch-Site", "nonsense"),
        from("Origin", "http://evil.example"),
        from("Origin", "null"),
        from("Sec-Fetch-Site", "same-origin").header("Origin", "http://evil.example"),
    ] {
        for path in
            ["/v1/events?text=slow", "/v1/summary", "/v1/stats", "/v1/events/stream", "/admin/audit/stats"]
        {
            page.get(path).is(403);
        }
        page.post("/v1/events", r#"{"action":"a"}"#).is(403);
        page.ask("HEAD", "/v1/events", b"");
        // A link to the viewer may stand anywhere.
        page.get("/").is(200);
        page.get("/healthz").is(200);
    }
    assert_eq!((reads().as_str(), place.run("query --count").ok().out.trim()), ("0", "0"));
    let own = format!("http://{}", server.address);
    for page in [
        anybody.clone(),
        from("Sec-Fetch-Site", "none"),
        from("Sec-Fetch-Site", "same-origin"),
        from("Sec-Fetch-Site", "same-origin").header("Origin", &own),
    ] {
        page.get("/v1/events").is(200);
        page.record(r#"{"action":"a"}"#);
    }
    // With tokens no page can ask in somebody's name: what browsers say is nobody's matter.
    let other = Place::new();
    let server = Server::start(&other);
    server.admin().header("Sec-Fetch-Site", "cross-site").get("/v1/events").is(200);
}

#[test]
fn what_proxies_say_counts_from_proxies_alone_and_never_refuses() {
    let place = Place::new();
    let read = |place: &Place| -> Vec<String> {
        let found = place.run("query --system --action trail.read --order asc --format jsonl").ok();
        found
            .json_lines()
            .iter()
            .map(|event| event["context"]["ip"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let mut server = Server::start(&place);
    let nonsense = ["1.2.3.4", "<script>", "unknown, , ,", "999.1.1.1", "[::1", "\u{e9}"];
    for value in nonsense {
        for name in ["X-Forwarded-For", "Forwarded"] {
            assert_eq!(server.admin().header(name, value).get("/v1/events").status, 200, "{name}: {value}");
            assert_eq!(
                server.admin().header(name, value).post("/v1/events", r#"{"action":"a"}"#).status,
                202,
                "{name}: {value}"
            );
        }
    }
    server.stop();
    let seen = read(&place);
    assert_eq!(seen.len(), 2 * nonsense.len());
    assert!(seen.iter().all(|ip| ip == "127.0.0.1"), "{seen:?}");
    place.write("trailseal.toml", "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
    server.launch();
    server.admin().header("X-Forwarded-For", "192.0.2.7, 127.0.0.9").get("/v1/events").is(200);
    server.admin().header("Forwarded", "for=\"[2001:db8::7]:80\"").get("/v1/events").is(200);
    server.admin().header("X-Forwarded-For", "192.0.2.7, nonsense").get("/v1/events").is(200);
    // A client cannot put itself in the dark by the header that the proxy does not write.
    let both = server.admin().header("X-Forwarded-For", "192.0.2.8").header("Forwarded", "x");
    both.get("/v1/events").is(200);
    server.stop();
    let expected = ["192.0.2.7", "127.0.0.1", "127.0.0.1", "192.0.2.8"];
    assert_eq!(read(&place)[2 * nonsense.len()..], expected);
    let settings = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\nproxy_header = \"forwarded\"\n";
    place.write("trailseal.toml", settings);
    server.launch();
    let both = server.admin().header("X-Forwarded-For", "192.0.2.8").header("Forwarded", "for=192.0.2.9");
    both.get("/v1/events").is(200);
    server.admin().header("X-Forwarded-For", "192.0.2.8").get("/v1/events").is(200);
    server.stop();
    assert_eq!(read(&place)[2 * nonsense.len() + 4..], ["192.0.2.9", "127.0.0.1"]);
    place.write("trailseal.toml", "[server]\nproxy_header = \"X-Real-IP\"\n");
    place
        .run("serve --listen 127.0.0.1:0")
        .could_not(&["server.proxy_header", "X-Forwarded-For or Forwarded"]);
}
