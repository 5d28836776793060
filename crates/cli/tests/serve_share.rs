//! One client takes its share of searches, streams and reviews, and others go on beside it; what a search may take is
//! bounded, and it says so where it ends early.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::net::TcpStream;

use support::server::{Client, Server, connect};
use support::{Place, wait_until};

/// Requests of one client that may be under way.
const PLACES_EACH: usize = 32;

/// Events of which a search for a text has to look at every one.
fn fill(server: &Server<'_>, batches: usize) {
    for _ in 0..batches {
        let event =
            r#"{"action":"fill","description":"some words that are looked through, one after the other"}"#;
        server.admin().record(vec![event; 10_000].join("\n"));
    }
}

/// Of those whose work takes turns.
fn requests_under_way(server: &Server<'_>) -> usize {
    let text = server.admin().get("/metrics").is(200).text();
    let value = text.lines().find_map(|line| line.strip_prefix("trailseal_http_requests_under_way "));
    value.unwrap().parse().unwrap()
}

/// Sends a request whose answer nobody reads.
fn send(client: &Client, head: &str, body: &str) -> TcpStream {
    let mut stream = connect(client.address).unwrap();
    let token = &client.token;
    let text = format!("{head} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{body}");
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

#[track_caller]
fn is_refused_for_now(client: &Client, path: &str) {
    let refused = client.get(path).is(429);
    assert!(
        refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()),
        "{refused:?}"
    );
}

#[test]
fn who_floods_with_searches_is_refused_and_others_pass() {
    let place = Place::new();
    let server = Server::start(&place);
    fill(&server, 5);
    let greedy = server.holder(r#"{"name":"greedy","scopes":["write","read"]}"#);
    let polite = server.holder(r#"{"name":"polite","scopes":["write","read"]}"#);
    let slow = "/v1/events?count=true&text=nowhere";
    let mut flood = Vec::new();
    // However quickly it is answered, it comes again.
    let mut is_refused = |path: &str| {
        wait_until("who floods is refused", || {
            flood = (0..2 * PLACES_EACH).map(|_| send(&greedy, &format!("GET {slow}"), "\r\n")).collect();
            // The question takes a place, too: another client's.
            assert!(requests_under_way(&server) <= PLACES_EACH + 1);
            let answer = greedy.get(path);
            assert!(answer.status != 429 || answer.header("retry-after").is_some());
            answer.status == 429
        });
    };
    is_refused("/v1/events?limit=1");
    assert_eq!(polite.get("/v1/events?limit=1").is(200).events().len(), 1);
    polite.get("/v1/summary?action=other").is(200);
    polite.post("/v1/events", r#"{"action":"beside"}"#).is(202);
    is_refused("/v1/events/0/proof");
    // What is recorded takes none of it.
    greedy.post("/v1/events", r#"{"action":"greedy"}"#).is(202);
    drop(flood);
    wait_until("who has gone gives back", || greedy.get("/v1/events?limit=1").status == 200);
}

#[test]
fn a_client_has_so_many_streams() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nstreams_max = 8\n");
    let server = Server::start(&place);
    let greedy = server.holder(r#"{"name":"greedy","scopes":["read"]}"#);
    let polite = server.holder(r#"{"name":"polite","scopes":["read"]}"#);
    let mut held = vec![greedy.stream("/v1/events/stream"), greedy.stream("/v1/events/stream")];
    is_refused_for_now(&greedy, "/v1/events/stream");
    let mut beside = polite.stream("/v1/events/stream");
    assert!(beside.next().unwrap().data.is_none());
    server.admin().record(r#"{"action":"seen"}"#);
    assert_eq!(beside.next().unwrap().data.unwrap()["action"], "seen");
    // They take no place of searches.
    greedy.get("/v1/events").is(200);
    held.pop();
    wait_until("a stream that has ended makes room", || {
        let answer = send(&greedy, "GET /v1/events/stream", "\r\n");
        let mut head = [0; 12];
        std::io::Read::read_exact(&mut &answer, &mut head).unwrap();
        head.ends_with(b" 200")
    });
}

#[test]
fn a_stream_of_long_events_from_the_beginning_is_whole() {
    let place = Place::new();
    let server = Server::start(&place);
    let event = |number: u32| {
        format!(r#"{{"action":"long","id":"n{number}","description":"{}"}}"#, "x".repeat(9_000))
    };
    let mut stream = server.admin().stream("/v1/events/stream");
    let begin = stream.next().unwrap().id;
    drop(stream);
    for batch in 0..4 {
        let events: Vec<String> = (batch * 100..(batch + 1) * 100).map(event).collect();
        server.admin().record(events.join("\n"));
    }
    let mut stream = server.admin().stream(&format!("/v1/events/stream?cursor={begin}"));
    stream.next().unwrap();
    for number in 0..400 {
        assert_eq!(stream.next().unwrap().data.unwrap()["id"], format!("n{number}"));
    }
}

#[test]
fn who_floods_with_reviews_is_refused_and_others_pass() {
    let place = Place::new();
    let server = Server::start(&place);
    server.admin().record(r#"{"action":"a","id":"seen"}"#);
    let greedy = server.holder(r#"{"name":"greedy","scopes":["write"]}"#);
    let polite = server.holder(r#"{"name":"polite","scopes":["write"]}"#);
    let review = r#"{"event":"seen"}"#;
    // All but their last byte: each is under way.
    let unsent = format!("Content-Length: {}\r\n\r\n{}", review.len(), &review[..review.len() - 1]);
    let flood: Vec<_> = (0..PLACES_EACH).map(|_| send(&greedy, "POST /v1/reviews", &unsent)).collect();
    wait_until("each has its place", || requests_under_way(&server) == PLACES_EACH + 1);
    let refused = greedy.post("/v1/reviews", review).is(429);
    assert!(refused.header("retry-after").is_some());
    polite.post("/v1/reviews", review).is(201);
    greedy.post("/v1/events", r#"{"action":"a"}"#).is(202);
    drop(flood);
    wait_until("who has gone gives back", || greedy.post("/v1/reviews", review).status == 201);
}

#[test]
fn a_long_query_is_recorded_in_part_and_hides_nothing() {
    let place = Place::new();
    let server = Server::start(&place);
    let reader = server.holder(r#"{"name":"reader","scopes":["read"]}"#);
    let long = "x".repeat(59_000);
    reader.get(&format!("/v1/events?actor={long}&actor=victim")).is(200);
    reader.get(&format!("/v1/resources/{long}/1/history")).is(200);
    let mut reads = Vec::new();
    wait_until("the reads are found", || {
        let path = "/v1/events?system=true&action=trail.read&actor=reader&order=asc";
        reads = server.admin().get(path).is(200).events();
        reads.len() == 2
    });
    let query = reads[0]["details"]["query"].as_str().unwrap();
    assert!(query.len() < 3_000 && query.ends_with("…&actor=victim"), "{query}");
    assert_eq!(reads[0]["details"]["query_bytes"], "actor=&actor=victim".len() + long.len());
    assert!(reads[1]["details"]["path"].as_str().unwrap().len() <= 1_024);
    assert!(reads[0].get("truncated").is_none(), "{}", reads[0]);
}

#[test]
fn a_search_that_reaches_its_budget_says_so() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nsearch_timeout_ms = 40\n");
    let server = Server::start(&place);
    let event =
        |number: u32| format!(r#"{{"action":"a","id":"n{number}","description":"the needle is here"}}"#);
    server.admin().record((0..10).map(event).collect::<Vec<_>>().join("\n"));
    fill(&server, 10);
    // Nothing is said of a count that is not whole.
    server.admin().get("/v1/events?count=true&text=nowhere").is(422);
    server.admin().get("/v1/summary?text=nowhere").is(422);
    // A page says how far it came, and goes on from there to the end.
    let (mut found, mut short, mut next) = (Vec::new(), 0, String::new());
    loop {
        let page = server.admin().get(&format!("/v1/events?text=needle&order_by=recorded{next}"));
        // Where even the first look took too long.
        if page.status == 422 {
            continue;
        }
        let page = page.is(200).json();
        found.extend(page["events"].as_array().unwrap().iter().map(|event| event["id"].clone()));
        match page["next"].as_str() {
            Some(cursor) => {
                assert!(page["scanned_to"].as_u64().is_some(), "{page}");
                short += 1;
                next = format!("&cursor={cursor}");
            }
            None => break,
        }
    }
    assert!(short > 0);
    let expected: Vec<_> = (0..10).rev().map(|number| format!("n{number}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_page_has_so_many_bytes_and_goes_on() {
    let place = Place::new();
    let server = Server::start(&place);
    let event = format!(r#"{{"action":"long","description":"{}"}}"#, "x".repeat(16_000));
    for _ in 0..4 {
        server.admin().record(vec![event.as_str(); 100].join("\n"));
    }
    let page = server.admin().get("/v1/events?limit=1000").is(200);
    assert!(page.body.len() < 3 << 20, "{}", page.body.len());
    let (mut page, mut found) = (page.json(), 0);
    assert!(page["scanned_to"].as_u64().is_some_and(|looked| looked >= 100), "{}", page["scanned_to"]);
    loop {
        found += page["events"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        page = server.admin().get(&format!("/v1/events?limit=1000&cursor={next}")).is(200).json();
    }
    assert_eq!(found, 400);
}

#[test]
fn what_needs_no_token_is_made_once() {
    let place = Place::new();
    let server = Server::start(&place);
    let anybody = server.client("");
    for path in ["/openapi.json", "/docs", "/", "/assets/base.css"] {
        let first = anybody.get(path).is(200);
        let tag = first.header("etag").unwrap_or_else(|| panic!("{path} has no tag")).to_owned();
        assert_eq!(anybody.get(path).is(200).body, first.body);
        for known in [tag.clone(), format!("\"other\", {tag}"), format!("W/{tag}"), "*".into()] {
            let again = anybody.header("If-None-Match", &known).get(path).is(304);
            assert_eq!((again.header("etag"), again.body.len()), (Some(tag.as_str()), 0), "{path}");
        }
        anybody.header("If-None-Match", "\"other\"").get(path).is(200);
    }
}
