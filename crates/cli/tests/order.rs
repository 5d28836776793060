//! The order of events as their users meet it: by time, but nobody's time is later than the trail's clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::Value;
use support::Place;
use support::server::{Server, fields};
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::Timestamp;

fn hours_ago(hours: i64) -> String {
    Timestamp::from_micros(SystemClock.now().as_micros() - hours * 3_600_000_000).to_string()
}

/// In the order of recording: today, a backfill of yesterday, one dated 2099, and today again.
fn events() -> [String; 4] {
    [
        r#"{"action":"first"}"#.to_owned(),
        format!(r#"{{"action":"backfill","time":"{}"}}"#, hours_ago(24)),
        r#"{"action":"future","time":"2099-01-01T00:00:00Z"}"#.to_owned(),
        r#"{"action":"last"}"#.to_owned(),
    ]
}

const BY_TIME: [&str; 4] = ["last", "future", "first", "backfill"];
const BY_RECORDING: [&str; 4] = ["last", "future", "backfill", "first"];

fn reversed(actions: [&str; 4]) -> Vec<&str> {
    actions.into_iter().rev().collect()
}

#[test]
fn a_backfill_stands_below_today_and_the_future_does_not_own_page_one() {
    let place = Place::new();
    place.record(&events().join("\n"));
    // By the index, which has been written, and without.
    for _ in 0..2 {
        let actions = |words: &str| place.run(&format!("query --format jsonl {words}")).ok().field("action");
        assert_eq!(actions(""), BY_TIME);
        assert_eq!(actions("--order asc"), reversed(BY_TIME));
        assert_eq!(actions("--order-by time --limit 1"), BY_TIME[..1]);
        assert_eq!(actions("--order-by recorded"), BY_RECORDING);
        assert_eq!(actions("--order-by recorded --order asc"), reversed(BY_RECORDING));
        assert_eq!(actions("--since 1h"), BY_TIME[..3]);
        assert_eq!(actions("--until 1h"), ["backfill"]);
        assert!(actions("--since 2098-01-01").is_empty());
        assert_eq!(actions("--text fut"), ["future"]);
        // What tells of what came in goes by recording.
        for command in ["export --format jsonl", "tail --format jsonl"] {
            assert_eq!(place.run(command).ok().field("action"), reversed(BY_RECORDING), "{command}");
        }
        let summary = place.run("summary --json --bucket 1h").ok().json();
        let bars = summary["histogram"].as_array().unwrap();
        assert!(bars.iter().all(|bar| bar["start"].as_str() < Some("2098")), "{bars:?}");
        let _ = std::fs::remove_dir_all(place.path("trail/index"));
    }
    let marked: Vec<Value> = place.run("query --format jsonl").ok().json_lines();
    let ahead: Vec<&str> = fields(&marked, "action")
        .into_iter()
        .zip(&marked)
        .filter(|(_, event)| event["time_ahead"] == true)
        .map(|(action, _)| action)
        .collect();
    assert_eq!(ahead, ["future"]);
    assert_eq!(marked[1]["time"], "2099-01-01T00:00:00.000000Z", "what was sent is kept");
    place.run("verify").ok();
}

#[test]
fn what_came_in_is_found_whatever_time_it_claims() {
    let place = Place::new();
    let events = events();
    place.record(&events[..2].join("\n"));
    let before = place.run("query --format jsonl --limit 1 --order-by recorded").ok().json();
    place.record(&events[2..].join("\n"));
    let newest = place.run("query --format jsonl --limit 1 --order-by recorded").ok().json();
    let (from, to) = (before["recorded"].as_str().unwrap(), newest["recorded"].as_str().unwrap());
    for _ in 0..2 {
        let actions = |words: &str| place.run(&format!("query --format jsonl {words}")).ok().field("action");
        assert_eq!(actions(&format!("--recorded-since {from}")), ["last", "future", "backfill"]);
        assert_eq!(actions(&format!("--recorded-until {from}")), ["first"]);
        assert_eq!(
            actions(&format!("--recorded-since {from} --recorded-until {to}")),
            ["future", "backfill"]
        );
        assert_eq!(actions("--recorded-since 1h --until 1h"), ["backfill"]);
        assert_eq!(place.run(&format!("query --count --recorded-since {from}")).ok().out.trim(), "3");
        let summary = place.run(&format!("summary --json --recorded-until {to}")).ok().json();
        assert_eq!(summary["total"], 3);
        let _ = std::fs::remove_dir_all(place.path("trail/index"));
    }
    place.run("query --recorded-since soon").could_not(&["--recorded-since", "24h"]);
}

#[test]
fn a_cursor_goes_with_its_order_alone() {
    let place = Place::new();
    place.record(&events().join("\n"));
    let server = Server::start(&place);
    let client = server.admin();
    let orders = ["order=desc", "order=asc", "order=desc&order_by=recorded", "order=asc&order_by=recorded"];
    for order in orders {
        let page = client.get(&format!("/v1/events?limit=1&{order}")).is(200).json();
        let next = page["next"].as_str().unwrap().to_owned();
        for other in orders {
            let answer = client.get(&format!("/v1/events?limit=3&{other}&cursor={next}"));
            if other == order {
                assert_eq!(answer.is(200).events().len(), 3, "{order}");
                continue;
            }
            let problem = answer.is(400).json();
            let detail = problem["detail"].as_str().unwrap();
            let (first, by) = order.split_once('&').unwrap_or((order, "order_by=time"));
            assert!(detail.contains(first) && detail.contains(by), "{order}: {detail}");
            assert_eq!(problem["field"], "cursor");
        }
        // Who gave no order had the first.
        let is_usual = order == orders[0];
        client.get(&format!("/v1/events?cursor={next}")).is(if is_usual { 200 } else { 400 });
        let words: Vec<String> =
            order.split('&').map(|part| format!("--{}", part.replace('_', "-"))).collect();
        place.run(&format!("query --cursor {next} {}", words.join(" "))).ok();
        if !is_usual {
            place.run(&format!("query --cursor {next}")).could_not(&["--cursor", "another order", "--order"]);
        }
    }
    client.get("/v1/events?order_by=size").is(400);
    place.run("query --order-by size").could_not(&["size", "time", "recorded"]);
}

#[test]
fn a_cursor_goes_with_its_trails_alone() {
    let (place, other) = (Place::new(), Place::new());
    let servers = [&place, &other].map(|place| {
        place.record(&events().join("\n"));
        Server::start(place)
    });
    let [own, foreign] = servers.each_ref().map(Server::admin);
    for order in ["desc", "asc", "desc&order_by=recorded", "asc&order_by=recorded"] {
        let page = own.get(&format!("/v1/events?limit=1&order={order}")).is(200).json();
        let next = page["next"].as_str().unwrap();
        let query = format!("order={order}&cursor={next}");
        assert_eq!(own.get(&format!("/v1/events?{query}")).is(200).events().len(), 3, "{order}");
        for (path, accept) in [
            (format!("/v1/events?{query}"), "application/json"),
            (format!("/v1/events?{query}"), "text/csv"),
            (format!("/v1/resources/invoice/1/history?{query}"), "application/json"),
            (format!("/v1/resources/invoice/1/history?{query}"), "application/x-ndjson"),
        ] {
            let problem = foreign.header("Accept", accept).get(&path).is(400).json();
            assert_eq!(problem["field"], "cursor", "{path} as {accept}: {problem}");
        }
        if order == "asc&order_by=recorded" {
            let problem = foreign.get(&format!("/v1/events/stream?cursor={next}")).is(400).json();
            assert_eq!(problem["field"], "cursor", "{problem}");
            let problem = foreign.header("Last-Event-ID", next).get("/v1/events/stream").is(400).json();
            assert!(problem["type"].as_str().unwrap().ends_with(":header"), "{problem}");
        }
    }
}

#[test]
fn a_table_shows_the_times_that_it_is_ordered_by() {
    let place = Place::new();
    place.record(
        &[&events()[..], &[r#"{"action":"old","time":"2001-02-03T04:05:00Z"}"#.to_owned()]]
            .concat()
            .join("\n"),
    );
    let day = hours_ago(0)[5..10].to_owned();
    for command in ["query", "tail"] {
        let table = place.run(command).ok().out;
        let row = |action: &str| table.lines().find(|row| row.contains(action)).unwrap().to_owned();
        assert!(row("future").contains(&format!(" {day} ")), "{table}");
        assert!(row("old").contains(" 2001-02-03 "), "there is no room for the clock: {table}");
    }
}

#[test]
fn pages_over_http_go_by_time_and_the_stream_by_recording() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    let begin = client.get("/v1/events?order=asc&order_by=recorded&limit=1").is(200).json();
    assert!(begin["next"].is_null());
    let mut stream = client.stream("/v1/events/stream?action=*");
    for event in events() {
        client.record(event);
    }
    let actions = |query: &str| {
        let events = client.get(&format!("/v1/events?{query}")).is(200).events();
        fields(&events, "action").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(actions(""), BY_TIME);
    assert_eq!(actions("order=asc"), reversed(BY_TIME));
    assert_eq!(actions("order_by=recorded"), BY_RECORDING);
    assert_eq!(actions("order_by=recorded&order=asc"), reversed(BY_RECORDING));
    assert_eq!(actions("since=1h"), BY_TIME[..3]);
    assert_eq!(actions("recorded_since=1h&until=1h"), ["backfill"]);
    let streamed: Vec<String> = std::iter::from_fn(|| stream.next())
        .filter_map(|message| message.data)
        .take(4)
        .map(|event| event["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(streamed, reversed(BY_RECORDING));
    let csv = client.header("Accept", "text/csv").get("/v1/events?order=asc").is(200).text();
    let places: Vec<usize> = reversed(BY_TIME).iter().map(|action| csv.find(action).unwrap()).collect();
    assert!(places.is_sorted(), "{csv}");
}
