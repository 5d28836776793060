//! `serve` with a shared store: several servers, each with its own trail, and one view of all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../postgres/tests/server/mod.rs"]
mod postgres;
mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::server::{Client, Connection, Message, Server, Stream, fields};
use support::{Place, wait_until};

/// A folder whose server has this origin and delivers to the store.
fn place(name: &str, url: &str, more: &str) -> Place {
    let place = Place::new();
    place.write(
        "trailseal.toml",
        format!("origin = \"example.com/{name}\"\ntimeout_ms = 60000\n{more}\n[store]\nurl = \"{url}\"\n"),
    );
    place
}

/// Two servers, which know the same tokens.
fn servers(places: &[Place; 2]) -> [Server<'_>; 2] {
    let first = Server::start(&places[0]);
    let token = first.token.clone();
    [first, Server::knowing(&places[1], &[], &token)]
}

/// One event; `name` is that of its trail.
fn event(name: &str, number: u32) -> String {
    let (tenant, day) = (["acme", "other"][(number % 2) as usize], 1 + number % 9);
    format!(
        r#"{{"id":"{name}-{number}","time":"2026-01-0{day}T00:00:00Z","action":"order.{name}","tenant":"{tenant}","actor":{{"id":"u{}"}},"resource":"order/{}"}}"#,
        number % 3,
        number % 5,
    )
}

fn events(name: &str, numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| event(name, number)).collect::<Vec<_>>().join("\n")
}

fn store(client: &Client, body: impl AsRef<[u8]>) {
    client.post("/v1/events?ack=store", body).is(202);
}

/// All events of a path, page after page. Each names its trail.
fn paged(client: &Client, path: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{cursor}")).is(200).json();
        for event in page["events"].as_array().unwrap() {
            let (id, origin) = (event["id"].as_str().unwrap(), event["origin"].as_str().unwrap());
            assert_eq!(origin, format!("example.com/{}", &id[..1]), "{event}");
            ids.push(id.to_owned());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

fn all(ids: &[String]) -> BTreeSet<&str> {
    ids.iter().map(String::as_str).collect()
}

#[test]
fn every_server_shows_the_events_of_all() {
    let database = postgres::Server::start();
    let places = ["a", "b"].map(|name| place(name, database.url_text(), ""));
    let servers = servers(&places);
    let [one, other] = [servers[0].admin(), servers[1].admin()];
    store(&one, events("a", 0..20));
    store(&other, events("b", 0..20));
    let everything: Vec<String> =
        ["a", "b"].iter().flat_map(|name| (0..20).map(move |number| format!("{name}-{number}"))).collect();
    for client in [&one, &other] {
        for order in
            ["order=desc", "order=asc", "order=desc&order_by=recorded", "order=asc&order_by=recorded"]
        {
            let found = paged(client, &format!("/v1/events?limit=7&{order}"));
            assert_eq!(found.len(), 40, "{order}: {found:?}");
            assert_eq!(all(&found), all(&everything), "{order}");
        }
        assert_eq!(paged(client, "/v1/resources/order/3/history?limit=3").len(), 8);
        assert_eq!((client.count("action=order.*"), client.count("tenant=acme&action=order.b")), (40, 10));
        let summary = client.get("/v1/summary?action=order.*").is(200).json();
        assert_eq!(summary["total"], 40, "{summary}");
        assert_eq!(
            summary["by_action"],
            json!([{"value": "order.a", "count": 20}, {"value": "order.b", "count": 20}])
        );
        let bars = summary["histogram"].as_array().unwrap();
        assert_eq!(bars.iter().map(|bar| bar["count"].as_u64().unwrap()).sum::<u64>(), 40);
        let values = client.get("/v1/values?field=actor&part=U1").is(200).json();
        assert_eq!(values, json!({"values": [{"value": "u1", "count": 14}]}));
        let csv = client.header("Accept", "text/csv").get("/v1/events?tenant=other").is(200).text();
        assert_eq!(csv.lines().count(), 21, "{csv}");
        assert_eq!(csv.matches("example.com/b,").count(), 10, "{csv}");
        let lines =
            client.header("Accept", "application/x-ndjson").get("/v1/events?order=asc").is(200).text();
        assert_eq!(lines.lines().count(), 40);
        assert!(lines.lines().all(|line| line.starts_with(r#"{"origin":"example.com/"#)), "{lines}");
    }
    // What is read is told in the trail of the server that was asked.
    let reads = |origin: &str| {
        let path = format!("/v1/events?limit=1000&system=true&action=trail.read&origin=example.com/{origin}");
        let found = one.get(&path).is(200).events();
        found.iter().filter(|read| read["details"]["path"] == "/v1/values").count()
    };
    wait_until("the reads of both are stored", || (reads("a"), reads("b")) == (1, 1));
    an_event_of_another_trail_is_found_and_proved_there([&one, &other]);
    trails_are_listed_with_their_checkpoints([&one, &other]);
    cursors_are_of_their_place(&one, &places[0]);
}

fn an_event_of_another_trail_is_found_and_proved_there([one, other]: [&Client; 2]) {
    let found = one.get("/v1/events/b-4").is(200).json();
    assert_eq!((&found["origin"], &found["id"]), (&json!("example.com/b"), &json!("b-4")));
    let index = found["index"].as_u64().unwrap();
    let by_place = format!("/v1/events/{index}?origin=example.com/b");
    assert_eq!(one.get(&by_place).is(200).json()["id"], "b-4");
    // An index is one event of each trail.
    let several = one.get(&format!("/v1/events/{index}")).is(300).events();
    assert_eq!(fields(&several, "origin"), ["example.com/a", "example.com/b"]);
    let asked = json!({"event": index.to_string()}).to_string();
    let several = one.post("/v1/reviews", asked).is(300).events();
    assert_eq!(fields(&several, "origin"), ["example.com/a", "example.com/b"]);
    for what in ["proof", "verify"] {
        let refused = one.get(&format!("/v1/events/b-4/{what}")).is(409);
        assert_eq!(refused.header("retry-after"), None);
        refused.says(json!({
            "type": "urn:trailseal:problem:elsewhere", "origin": "example.com/b", "index": index,
        }));
        other.get(&format!("/v1/events/b-4/{what}")).is(200);
    }
    assert_eq!(one.get("/v1/events/a-4/verify").is(200).json()["verified"], true);
    one.get("/v1/events/c-4").is(404);
    let zip = one.header("Accept", "application/zip");
    zip.get("/v1/events?action=order.*").is(409).says(json!({"origin": "example.com/a"}));
    zip.get("/v1/events?origin=example.com/b").is(409);
    assert!(zip.get("/v1/events?origin=example.com/a").is(200).body.starts_with(b"PK"));
    // Somebody who has seen it here may ask that it be looked at.
    let review = one.post("/v1/reviews", r#"{"event":"b-5","reason":"odd"}"#).is(201).json();
    wait_until("the review is listed", || {
        let listed = one.get("/v1/reviews?state=pending").is(200).json();
        let listed = listed["reviews"].as_array().unwrap();
        listed.iter().any(|one| one["id"] == review["id"] && one["origin"] == "example.com/b")
    });
}

fn trails_are_listed_with_their_checkpoints([one, other]: [&Client; 2]) {
    let own = |name: &str| other.get(&format!("/origins/example.com/{name}/checkpoint"));
    wait_until("the other trail has a checkpoint in the store", || {
        let origins = one.get("/v1/origins").is(200).json();
        let origins = origins["origins"].as_array().unwrap();
        assert_eq!(fields(origins, "origin"), ["example.com/a", "example.com/b"]);
        assert!(origins[1]["public_key"].is_null() && origins[0]["public_key"].is_string());
        assert!(origins[0]["size"].as_u64() >= origins[0]["stored"].as_u64());
        assert!(origins[1]["stored"].as_u64() >= Some(20), "{origins:?}");
        origins[1]["checkpoint"].as_str().is_some_and(|note| note.starts_with("example.com/b\n"))
    });
    for name in ["a", "b"] {
        wait_until("its checkpoint is in the store", || own(name).status != 404);
        let note = own(name).is(200).text();
        assert!(note.starts_with(&format!("example.com/{name}\n")), "{note}");
    }
    own("c").is(404);
    let elsewhere = one.get("/origins/example.com/b/tile/0/000.p/1").is(404).text();
    assert!(elsewhere.contains("at the server that writes it"), "{elsewhere}");
    other.get("/tile/0/000.p/1").is(200);
}

fn cursors_are_of_their_place(client: &Client, place: &Place) {
    let page = client.get("/v1/events?limit=2").is(200).json();
    let next = page["next"].as_str().unwrap();
    let wrong = client.get(&format!("/v1/events?order=asc&cursor={next}")).is(400).text();
    assert!(wrong.contains("order=desc and order_by=time"), "{wrong}");
    let of_folder = place.run("query --limit 2").err;
    let (_, rest) = of_folder.split_once("--cursor ").unwrap();
    let of_folder = rest.split_whitespace().next().unwrap();
    let wrong = client.get(&format!("/v1/events?cursor={of_folder}")).is(400).text();
    assert!(wrong.contains("not one of this server's cursors"), "{wrong}");
    client.header("Last-Event-ID", of_folder).get("/v1/events/stream").is(400);
}

/// The ids of the next events of a stream, and the id of the last message.
fn next(stream: &mut Stream, many: usize) -> (Vec<String>, String) {
    let (mut ids, mut last) = (Vec::new(), String::new());
    while ids.len() < many {
        let Message { id, data } = stream.next().expect("the stream goes on");
        last = id;
        ids.extend(data.map(|event: Value| event["id"].as_str().unwrap().to_owned()));
    }
    (ids, last)
}

#[test]
fn streams_have_what_arrives_at_any_server() {
    let mut database = postgres::Server::start_own(&[]);
    let places = ["a", "b"].map(|name| place(name, database.url_text(), ""));
    let servers = servers(&places);
    let [one, other] = [servers[0].admin(), servers[1].admin()];
    store(&one, events("a", 0..2));
    let mut streams = [one.stream("/v1/events/stream"), other.stream("/v1/events/stream?tenant=acme")];
    // Where each begins.
    let begun = streams.each_mut().map(|stream| stream.next().unwrap().id);
    store(&other, events("b", 0..4));
    store(&one, events("a", 2..4));
    let (seen, last) = next(&mut streams[0], 6);
    assert_eq!(all(&seen), BTreeSet::from(["a-2", "a-3", "b-0", "b-1", "b-2", "b-3"]));
    assert_eq!(next(&mut streams[1], 3).0.len(), 3);
    // From where it began, at another server; and from a page on.
    let again = other.header("Last-Event-ID", &begun[0]).stream("/v1/events/stream?origin=example.com/b");
    assert_eq!(next(&mut { again }, 4).0, ["b-0", "b-1", "b-2", "b-3"]);
    let page = one.get("/v1/events?order=asc&order_by=recorded&limit=1").is(200).json();
    assert_eq!(page["events"][0]["id"], "a-0");
    let rest = other.stream(&format!("/v1/events/stream?cursor={}", page["next"].as_str().unwrap()));
    assert_eq!(next(&mut { rest }, 7).0.len(), 7);
    // What a stream has shown, and what not, survives the database.
    database.stop();
    for stream in &mut streams {
        while stream.next().is_some() {}
    }
    let resumed = one.header("Last-Event-ID", &last);
    wait_until("a stream is refused", || resumed.get("/v1/events/stream").status == 503);
    other.post("/v1/events?ack=durable", events("b", 4..9)).is(202);
    database.start_again();
    wait_until("the store is back", || one.get("/v1/events?limit=1").status == 200);
    let mut resumed = resumed.stream("/v1/events/stream");
    assert_eq!(next(&mut resumed, 5).0, ["b-4", "b-5", "b-6", "b-7", "b-8"]);
}

const READING: [&str; 6] = [
    "/v1/events",
    "/v1/events?count=true",
    "/v1/events/a-1",
    "/v1/resources/order/3/history",
    "/v1/summary",
    "/v1/values?field=action",
];

#[test]
fn while_the_store_is_out_of_reach_only_reading_waits() {
    let mut database = postgres::Server::start_own(&[]);
    let places = ["a", "b"].map(|name| place(name, database.url_text(), ""));
    let servers = servers(&places);
    let [one, other] = [servers[0].admin(), servers[1].admin()];
    store(&one, events("a", 0..5));
    store(&other, events("b", 0..5));
    let tenant = servers[0].holder(r#"{"name":"acme","scopes":["read"],"tenant":"acme"}"#);
    assert_eq!((one.count(""), other.count(""), tenant.count("")), (10, 10, 6));
    database.stop();
    one.post("/v1/events?ack=durable", events("a", 5..8)).is(202);
    for path in READING {
        let refused = one.get(path).is(503);
        assert!(refused.header("retry-after").is_some(), "{path}: {refused:?}");
        let problem = refused.json();
        assert_eq!(problem["type"], "urn:trailseal:problem:store-unavailable", "{path}");
        assert!(problem["detail"].as_str().unwrap().contains("recording goes on"), "{problem}");
        assert!(problem["not_yet_stored"].as_u64() >= Some(3), "{path}: {problem}");
        assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
        // How much waits concerns all tenants.
        assert!(tenant.get(path).is(503).json().get("not_yet_stored").is_none(), "{path}");
    }
    assert!(one.header("Accept", "text/csv").get("/v1/events").status == 503);
    servers[0].client("").get("/readyz").is(200);
    let stats = one.get("/v1/stats").is(200).json();
    assert_eq!((&stats["reading"]["from"], &stats["reading"]["state"]), (&json!("store"), &json!("failing")));
    // Proofs of the own trail need no store to be made, but to be found; the tree itself does not.
    one.get("/checkpoint").is(200);
    database.start_again();
    wait_until("all is found again", || one.get("/v1/events?count=true").text() == r#"{"count":13}"#);
    assert_eq!(one.get("/v1/stats").is(200).json()["reading"]["state"], "running");
    // A connection that was cut meanwhile is nobody's failure.
    for _ in 0..3 {
        assert_eq!(other.count(""), 13);
        database.cut_off();
    }
}

#[test]
fn what_is_not_stored_yet_is_told_and_found_by_its_id() {
    let database = postgres::Server::start();
    let place = place("a", database.url_text(), "");
    let server = Server::start(&place);
    let admin = server.admin();
    let tenant = server.holder(r#"{"name":"acme","scopes":["read"],"tenant":"acme"}"#);
    store(&admin, events("a", 0..2));
    let mut held = database.connect();
    let within = std::time::Duration::from_secs(30);
    let mut run =
        |sql: &str| held.run("hold", within, async |client| client.batch_execute(sql).await).unwrap();
    run("BEGIN; SELECT FROM trailseal.cursors FOR UPDATE");
    admin.post("/v1/events?ack=durable", events("a", 2..6)).is(202);
    let page = admin.get("/v1/events").is(200).json();
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
    assert!(page["lag"]["not_yet_stored"].as_u64() >= Some(4), "{}", page["lag"]);
    for path in ["/v1/events?count=true", "/v1/summary", "/v1/values?field=action"] {
        let answer = admin.get(path).is(200).json();
        assert!(answer["lag"]["not_yet_stored"].as_u64() >= Some(4), "{path}: {answer}");
        assert!(tenant.get(path).is(200).json().get("lag").is_none(), "{path}");
    }
    assert_eq!(tenant.get("/v1/events").is(200).json()["lag"], json!({}));
    assert_eq!(admin.get("/v1/events/a-4").is(200).json()["origin"], "example.com/a");
    admin.get("/v1/events/a-4/proof").is(200);
    tenant.get("/v1/events/a-4").is(200);
    tenant.get("/v1/events/a-5").is(404);
    run("ROLLBACK");
    wait_until("they are stored", || admin.get("/v1/events?count=true").text() == r#"{"count":6}"#);
}

#[test]
fn no_tenant_sees_what_is_anothers_and_no_server_opens_what_others_sealed() {
    let database = postgres::Server::start();
    let personal = "[[personal]]\nfields = [\"details.mail\"]\nsubject = \"actor.id\"\n";
    let places = ["a", "b"].map(|name| place(name, database.url_text(), personal));
    let servers = servers(&places);
    for (server, name) in servers.iter().zip(["a", "b"]) {
        let of = |tenant: &str, number: u32| {
            format!(
                r#"{{"id":"{name}-{number}","action":"order.pay","tenant":"{tenant}","actor":{{"id":"u-{tenant}"}},"resource":"order/7","details":{{"mail":"plain-of-{name}","mark":"mark-of-{tenant}"}}}}"#
            )
        };
        store(&server.admin(), [of("acme", 1), of("other", 2), of("acme", 3)].join("\n"));
    }
    let own = r#"{"name":"own","scopes":["read","write","review"],"tenant":"acme"}"#;
    let own = servers[0].holder(own);
    let viewer = own.post("/v1/viewer-tokens", r#"{"resource":"order/7"}"#).is(201).json();
    let viewer = servers[0].client(viewer["token"].as_str().unwrap());
    let reference = own.get("/openapi.json").is(200).json();
    let mut seen = 0;
    for (path, methods) in reference["paths"].as_object().unwrap() {
        if methods.get("get").is_none() || path.contains("stream") {
            continue;
        }
        let filled = path.replace("{type}", "order").replace("{name}", "app.js").replace("{path}", "000.p/1");
        for id in ["b-1", "b-2", "a-2", "7", "4"] {
            let filled = filled.replace("{id}", id);
            for query in ["", "?tenant=other", "?origin=example.com/b", "?order=asc&limit=1", "?field=tenant"]
            {
                for client in [&own, &viewer] {
                    for accept in ["application/json", "text/csv", "application/x-ndjson"] {
                        let answer = client.header("Accept", accept).get(&format!("{filled}{query}"));
                        let text = answer.text();
                        assert!(!text.contains("mark-of-other"), "{filled}{query}: {text}");
                        assert!(
                            !text.contains("u-other") && !text.contains("\"b-2\""),
                            "{filled}{query}: {text}"
                        );
                        assert_ne!(answer.status, 500, "{filled}{query}: {text}");
                        seen += u32::from(text.contains("mark-of-acme"));
                    }
                }
            }
        }
    }
    assert!(seen > 20, "{seen} answers with events of its own");
    assert_eq!((own.count(""), viewer.count("")), (4, 4));
    own.get("/v1/events/b-1").is(200);
    own.get("/v1/events/b-2").is(404);
    own.get("/v1/events?tenant=other").is(403);
    let stream = own.stream("/v1/events/stream");
    store(&servers[1].admin(), r#"{"id":"b-8","action":"x","tenant":"other"}"#);
    store(&servers[1].admin(), r#"{"id":"b-9","action":"x","tenant":"acme"}"#);
    assert_eq!(next(&mut { stream }, 1).0, ["b-9"]);
    // Each server has the keys of its own trail.
    let reader = servers[0].holder(r#"{"name":"reader","scopes":["read","personal"]}"#);
    let mail = |client: &Client, id: &str| {
        client.get(&format!("/v1/events/{id}")).is(200).json()["details"]["mail"].clone()
    };
    assert_eq!((mail(&reader, "a-1"), mail(&reader, "b-1")), (json!("plain-of-a"), json!("erasable")));
    assert_eq!((mail(&own, "a-1"), mail(&own, "b-1")), (json!("erasable"), json!("erasable")));
    let lines = reader.header("Accept", "application/x-ndjson").get("/v1/events").is(200).text();
    assert_eq!((lines.matches("plain-of-a").count(), lines.matches("plain-of-b").count()), (3, 0), "{lines}");
}

/// How many statements of programs, not of tests, run in the database.
fn running(database: &postgres::Server) -> String {
    database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND datname = current_database() \
         AND (query LIKE '%trailseal.events%' OR query LIKE 'EXECUTE trailseal%') AND query NOT LIKE 'LOCK%'",
    )
}

#[test]
fn a_search_that_nobody_waits_for_ends_in_the_database_too() {
    let database = postgres::Server::start();
    let place = place("a", database.url_text(), "[server]\nsearch_timeout_ms = 1500\n");
    let server = Server::start(&place);
    let admin = server.admin();
    store(&admin, events("a", 0..2));
    let mut held = database.connect();
    let within = std::time::Duration::from_secs(60);
    let mut run =
        |sql: &str| held.run("hold", within, async |client| client.batch_execute(sql).await).unwrap();
    run("BEGIN; LOCK TABLE trailseal.events IN ACCESS EXCLUSIVE MODE");
    // It ends when its time is over.
    let late = admin.get("/v1/events?count=true").is(422);
    late.says(json!({"type": "urn:trailseal:problem:work-limit"}));
    wait_until("the statement is given up", || running(&database) == "0");
    // And when its client has gone: an export may take its time.
    let mut connection = Connection::open(&admin.header("Accept", "text/csv")).unwrap();
    connection.send("GET", "/v1/events", b"").unwrap();
    wait_until("the statement runs", || running(&database) != "0");
    drop(connection);
    wait_until("the statement is given up", || running(&database) == "0");
    admin.post("/v1/events?ack=durable", r#"{"action":"meanwhile"}"#).is(202);
    run("ROLLBACK");
    wait_until("all is found", || admin.get("/v1/events?count=true").text() == r#"{"count":3}"#);
}
