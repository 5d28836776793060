//! A server in operation: what it says of itself, what is set while it runs, and that those who take much leave enough
//! for others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::time::Duration;

use serde_json::{Value, json};
use support::server::{Connection, Server, connect, fields};
use support::{Lines, Place, Running, wait_until};

/// Events of many bytes.
fn fill(server: &Server<'_>, megabytes: usize) {
    let event = format!(r#"{{"action":"large","description":"{}"}}"#, "x".repeat(8_000));
    for _ in 0..megabytes {
        server.admin().record(vec![event.as_str(); 125].join("\n"));
    }
}

#[test]
fn exports_that_nobody_reads_hold_up_nobody() {
    // More than there are threads for work that blocks.
    const READERS: usize = 600;
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nconnections_per_address_max = 1000\n");
    let server = Server::start(&place);
    fill(&server, 8);
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\nAuthorization: Bearer {}\r\n\r\n",
        server.token
    );
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut stream = connect(server.address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    let export = server.admin().header("Accept", "text/csv");
    wait_until("no more exports are begun", || {
        let response = export.get("/v1/events?limit=1");
        assert!(matches!(response.status, 200 | 429), "{}", response.text());
        response.status == 429
    });
    assert!(export.get("/v1/events").is(429).header("retry-after").is_some());
    assert_eq!(server.admin().get("/v1/events?limit=1").is(200).events().len(), 1);
    server.admin().record(r#"{"action":"meanwhile"}"#);
    drop(readers);
    wait_until("those who have gone make room", || export.get("/v1/events?limit=1").status == 200);
}

#[test]
fn searches_that_nobody_waits_for_are_ended() {
    let place = Place::new();
    // Whoever ends its sending may still read: so much is waited for. A search takes longer, and beside other tests much
    // longer: it must be given up for no other reason.
    place.write("trailseal.toml", "[server]\nrequest_timeout_ms = 300\nsearch_timeout_ms = 120000\n");
    place.record(&"{\"action\":\"a\",\"description\":\"some words\"}\n".repeat(50_000));
    let server = Server::start(&place);
    let given_up = || {
        let text = server.admin().get("/metrics").is(200).text();
        let value =
            text.lines().find_map(|line| line.strip_prefix("trailseal_http_searches_given_up_total "));
        value.unwrap().parse::<u64>().unwrap()
    };
    // The name of a field stands in each line and in no value, so each line is looked at closely, and none matches.
    for (path, accept) in [
        ("/v1/events?count=true&text=words", "application/json"),
        ("/v1/summary?text=words", "application/json"),
        ("/v1/events?text=description", "application/json"),
        ("/v1/events?text=description", "text/csv"),
    ] {
        let before = given_up();
        wait_until("a search is given up", || {
            let mut stream = connect(server.address).unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n");
            let request = format!("{head}Authorization: Bearer {}\r\n\r\n", server.token);
            stream.write_all(request.as_bytes()).unwrap();
            // So that it is under way.
            std::thread::sleep(Duration::from_millis(5));
            drop(stream);
            given_up() > before
        });
    }
    assert_eq!(server.admin().count("text=words"), 50_000);
}

#[test]
fn commands_of_the_owner_are_served_when_all_connections_are_taken() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nconnections_max = 2\nrequest_timeout_ms = 60000\n");
    let server = Server::start(&place);
    let _streams = [(); 2].map(|()| server.admin().stream("/v1/events/stream"));
    place.run("token create waiting --scope read").ok();
}

#[test]
fn commands_beside_a_server_go_through_it() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let two = "{\"action\":\"beside\",\"id\":\"b1\"}\n{\"action\":\"beside\"}\n";
    // Only what is on disk is found.
    let receipts = place.feed("record --json --ack durable", two).ok().json_lines();
    assert_eq!(receipts.len(), 2);
    assert_eq!(server.admin().get("/v1/events/b1").is(200).json()["index"], receipts[0]["index"]);
    let again = place.record("{\"action\":\"beside\",\"id\":\"b1\"}\n");
    assert_eq!((&again[0]["repeated"], &again[0]["index"]), (&json!(true), &receipts[0]["index"]));
    place
        .feed(
            "record --ack durable",
            "{\"action\":\"good\"}\n{\"tenant\":\"no action\"}\n{\"action\":\"good\"}\n",
        )
        .no();
    assert_eq!(server.admin().count("action=good"), 2, "a bad line is left out, and the rest goes in");
    let before = place.public_key();
    place.run("key rotate").ok();
    assert_ne!(place.public_key(), before);
    server.admin().record(r#"{"action":"after"}"#);
    server.stop();
    place.run("verify").ok();
    place.run_all(&["verify", "--public-key", &before]).ok();
}

#[test]
fn a_folder_with_a_long_path_has_a_socket_too() {
    let place = Place::new();
    let folder = place.path(&"long".repeat(40));
    let dir = folder.to_str().unwrap();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--dir", dir]);
    let mut server = Running(command.spawn().unwrap());
    let lines = Lines::of(server.0.stdout.take().unwrap());
    assert!(lines.wait().starts_with("listening on "));
    place.feed_all(&["record", "--dir", dir], "{\"action\":\"a\"}\n").ok();
    let socket = std::fs::metadata(folder.join("socket")).unwrap();
    assert!(socket.file_type().is_socket() && socket.permissions().mode() & 0o777 == 0o600, "{socket:?}");
    // What a kill left is nobody's, and the next server takes its place.
    drop(server);
    place.feed_all(&["record", "--dir", dir], "{\"action\":\"b\"}\n").ok();
    let mut server = Running(command.spawn().unwrap());
    let lines = Lines::of(server.0.stdout.take().unwrap());
    assert!(lines.wait().starts_with("listening on "));
    let token = place.run_all(&["token", "create", "late", "--scope", "read", "--dir", dir]).ok();
    assert!(token.out.starts_with("tsl_"), "{token:?}");
}

#[test]
fn an_import_beside_a_server_goes_through_it() {
    let place = Place::new();
    let server = Server::start(&place);
    place.import_samples();
    place.import_samples();
    assert_eq!(server.admin().count(""), 801);
}

#[test]
fn a_policy_is_set_kept_and_refused() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let first = server.admin().get("/v1/policy").is(200).text();
    // What it gives, it takes.
    server.admin().ask("PUT", "/v1/policy", first.as_bytes()).is(200);
    let record = |server: &Server<'_>| server.admin().post("/v1/events", r#"{"action":"a"}"#).is(202).json();
    assert_eq!(record(&server)["accepted"], 1);
    server.admin().ask("PUT", "/v1/policy", b"mode = \"off\"\n").is(200);
    for _ in 0..3 {
        let answer = record(&server);
        assert_eq!(
            (&answer["accepted"], &answer["events"][0]["sampled_out"]),
            (&json!(0), &json!(true)),
            "{answer}"
        );
        assert_eq!(answer["events"][0]["index"], Value::Null);
        server.restart();
    }
    for bad in ["mode = \"loud\"", "nonsense", "unknown = 1", "[[rule]]\nunknown = 1\n", "\u{0}"] {
        server.admin().ask("PUT", "/v1/policy", bad.as_bytes()).is(422);
    }
    server.admin().ask("PUT", "/v1/policy", b"\xff").is(400);
    assert_eq!(record(&server)["accepted"], 0);
    server.admin().ask("PUT", "/v1/policy", first.as_bytes()).is(200);
    assert_eq!(record(&server)["accepted"], 1);
    server.stop();
    let own = place.run("query --system --action trail.policy_* --format jsonl").ok().json_lines();
    assert!(!own.is_empty());
}

#[test]
fn who_reads_is_recorded_once_and_by_name() {
    let place = Place::new();
    let server = Server::start(&place);
    let id = server.admin().record(r#"{"action":"a","resource":{"type":"t","id":"1"}}"#)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let reader = server.holder(r#"{"name":"auditor","scopes":["read"]}"#);
    let mut asked = HashMap::new();
    for path in [
        "/v1/events",
        "/v1/events?tenant=acme&limit=3",
        &format!("/v1/events/{id}"),
        &format!("/v1/events/{id}/proof"),
        &format!("/v1/events/{id}/verify"),
        "/v1/resources/t/1/history",
        "/v1/summary",
        "/v1/origins",
        "/v1/stats",
        "/admin/audit/stats",
    ] {
        reader.get(path).is(200);
        *asked.entry(path.split('?').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    drop(reader.stream("/v1/events/stream"));
    asked.insert("/v1/events/stream".to_owned(), 1);
    server.admin().record(r#"{"action":"last"}"#);
    let own = server
        .admin()
        .get("/v1/events?system=true&action=trail.read&actor=auditor&limit=1000")
        .is(200)
        .events();
    let mut read = HashMap::new();
    for event in &own {
        *read.entry(event["details"]["path"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        assert_eq!(event["context"]["ip"], "127.0.0.1");
    }
    assert_eq!(read, asked);
    assert!(own.iter().any(|event| event["details"]["query"] == "tenant=acme&limit=3"));
    // Not among what users recorded.
    assert_eq!(fields(&server.admin().get("/v1/events").is(200).events(), "action"), ["last", "a"]);
}

#[test]
fn numbers_and_health() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    let stats = admin.get("/admin/audit/stats").is(200);
    assert_eq!(stats.header("x-audit-health"), Some("good"));
    let names: Vec<String> = stats.json().as_object().unwrap().keys().cloned().collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, ["failed", "queue_size", "submitted", "succeeded", "success_rate"]);
    assert_eq!((&stats.json()["submitted"], &stats.json()["success_rate"]), (&json!(0), &json!("0.0%")));
    admin.post("/v1/events?ack=store", r#"[{"action":"a"},{"action":"a"}]"#).is(202);
    admin.post("/v1/events", r#"{"tenant":"no action"}"#).is(422);
    let stats = admin.get("/admin/audit/stats").is(200).json();
    assert_eq!(
        (&stats["submitted"], &stats["succeeded"], &stats["success_rate"]),
        (&json!(2), &json!(2), &json!("100.0%")),
        "{stats}"
    );
    let stats = admin.get("/v1/stats").is(200);
    assert_eq!(stats.header("x-audit-health"), Some("good"));
    assert_eq!(stats.json()["health"], "good");
    assert_eq!(stats.json()["accepting"], json!({"state": "running"}));
    let metrics = admin.get("/metrics").is(200);
    let text = metrics.text();
    assert!(text.lines().any(|line| line.starts_with("audit_events_total")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("audit_errors_total")), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("audit_") || name.starts_with("trailseal_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    // What was asked, by the route and not by the path: paths have no end.
    assert!(!text.contains("/v1/events/0"), "{text}");
    for path in ["/healthz", "/readyz"] {
        let response = server.client("").get(path).is(200);
        assert!(!response.text().contains("trailseal.local"), "{path} has data in it");
    }
    let openapi = server.client("").get("/openapi.json").is(200).json();
    assert!(openapi["paths"]["/v1/events"]["post"].is_object());
    for path in ["/", "/docs"] {
        let page = server.client("").get(path).is(200);
        let policy = page.header("content-security-policy").unwrap_or_else(|| panic!("{path}"));
        assert!(policy.contains("default-src") && !policy.contains("unsafe-inline"), "{policy}");
        assert_eq!(page.header("set-cookie"), None);
    }
}

#[test]
fn a_server_that_takes_no_events_is_not_healthy() {
    let place = Place::new();
    place.write("trailseal.toml", "disk_reserve = \"900000GiB\"\n");
    let server = Server::start(&place);
    let admin = server.admin();
    admin.post("/v1/events", r#"{"action":"a"}"#).is(503);
    let ready = admin.get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.text());
    let stats = admin.get("/v1/stats").is(200);
    assert_eq!(stats.header("x-audit-health"), Some("critical"));
    let stats = stats.json();
    assert_eq!((&stats["health"], &stats["accepting"]["state"]), (&json!("critical"), &json!("refusing")));
    assert_eq!(stats["accepting"]["reason"], ready.json()["problems"][0]);
}

#[test]
fn the_way_of_events_is_measured() {
    let place = Place::new();
    let server = Server::start(&place);
    let event = r#"{"action":"a","details":{"password":"hunter2"}}"#;
    server.admin().record([event, r#"{"action":"b"}"#, event].join("\n"));
    let text = server.admin().get("/metrics").is(200).text();
    let metrics: HashMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    assert_eq!(metrics["trailseal_events_masked_total"], 2.0);
    assert_eq!(metrics["trailseal_slow_writes_total"], 0.0);
    assert_eq!(metrics["trailseal_commit_events_sum"], metrics["trailseal_durable_events"]);
    assert_eq!(metrics["trailseal_commit_bytes_sum"], metrics["trailseal_durable_bytes_total"]);
    for (name, bound) in [
        ("trailseal_commit_events", "4.0"),
        ("trailseal_commit_bytes", "4096.0"),
        ("trailseal_commit_sync_seconds", "0.0001"),
    ] {
        let count = metrics[&*format!("{name}_count")];
        assert_eq!(count, metrics["trailseal_commits_total"], "{name}");
        assert_eq!(count, metrics[&*format!("{name}_bucket{{le=\"+Inf\"}}")], "{name}");
        assert!(metrics[&*format!("{name}_bucket{{le=\"{bound}\"}}")] <= count, "{name}");
    }
}

#[test]
fn more_requests_than_the_settings_allow_are_told_to_wait() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nrequests_per_second = 5\n");
    let server = Server::start(&place);
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let response = server.admin().post("/v1/events", r#"{"action":"a"}"#);
        if response.status == 429 {
            assert!(response.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
            response.is_problem();
        }
        statuses.push(response.status);
    }
    assert_eq!(statuses[0], 202);
    assert!(
        statuses.contains(&429) && statuses.iter().all(|status| matches!(status, 202 | 429)),
        "{statuses:?}"
    );
    // The owner's commands are not counted.
    for number in 0..20 {
        place.run(&format!("token create t{number} --scope read")).ok();
    }
}

#[test]
fn heads_continuations_and_old_clients() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    let auth = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", server.token);
    let mut connection = Connection::open(&admin).unwrap();
    for path in ["/healthz", "/v1/events", "/", "/nowhere"] {
        let whole = admin.get(path);
        let head = connection.try_ask("HEAD", path, b"").unwrap();
        assert_eq!(head.status, whole.status, "{path}");
        assert!(head.body.is_empty());
    }
    let body = r#"{"action":"continued"}"#;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\n{auth}Expect: 100-continue\r\nConnection: close\r\nContent-Length: "
    );
    let answer = server.raw(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 100 ") && answer.contains("HTTP/1.1 202 "), "{answer}");
    // Too large by its own word: refused before it is sent.
    let answer = server.raw(format!("{head}{}\r\n\r\n", 1_u64 << 40).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let answer = server.raw(format!("GET /healthz HTTP/1.0\r\n{auth}\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    let chunked = format!(
        "POST /v1/events?ack=durable HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    let answer = server.raw(
        format!("{chunked}4;a=b\r\n{{\"ac\r\n12\r\ntion\":\"continued\"}}\r\n0\r\nX-Trailer: a\r\n\r\n")
            .as_bytes(),
    );
    assert!(answer.contains("HTTP/1.1 202 "), "{answer}");
    let endless = format!("{chunked}{}", format!("8000\r\n{}\r\n", " ".repeat(0x8000)).repeat(600));
    let answer = server.raw(endless.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(admin.count("action=continued"), 2);
    admin.header("Idempotency-Key", "").post("/v1/events", body).is(400);
}
