//! Events that a rule of the policy flags: each waits in the review queue once, whatever way it came in and whatever
//! was killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::{Value, json};
use support::server::{Client, Connection, Server};
use support::{Place, wait_until};

const SETTINGS: &str = r#"
[[rule]]
when = { action = "refund.*", outcome = "success" }
mode = "sync"
review = "a refund: look at the amount"

[[rule]]
when = { action = "read.*" }
mode = "sampled"
rate = 0
review = "never kept"
"#;

fn reviews(client: &Client, state: &str) -> Vec<Value> {
    client.get(&format!("/v1/reviews?state={state}")).is(200).json()["reviews"].as_array().unwrap().clone()
}

/// Each flagged event has one review, which leads to it.
#[track_caller]
fn check_pending(client: &Client, ids: &[&str]) {
    let mut pending: Vec<Value> = reviews(client, "pending");
    pending.sort_by_key(|review| review["event"].to_string());
    let found: Vec<&str> = pending.iter().map(|review| review["event"].as_str().unwrap()).collect();
    assert_eq!(found, ids);
    for review in &pending {
        for (name, value) in [
            ("kind", json!("event")),
            ("state", json!("pending")),
            ("reason", json!("a refund: look at the amount")),
            ("requested_by", json!("policy")),
        ] {
            assert_eq!(review[name], value, "{name}: {review}");
        }
        let event = client.get(&format!("/v1/events/{}", review["index"])).is(200).json();
        assert_eq!((&event["id"], &event["tenant"]), (&review["event"], &review["tenant"]), "{review}");
        assert_eq!(event["origin"], review["origin"]);
    }
}

#[test]
fn flagged_by_a_rule_through_every_way_in() {
    let place = Place::new();
    place.write("trailseal.toml", SETTINGS);
    // By the command alone: the ordinary text, one that is out of the ordinary, and one without an id.
    let receipts = place.record(concat!(
        r#"{"action":"refund.pay","id":"c1","tenant":"acme"}"#,
        "\n",
        r#"{"action":"other","id":"c2"}"#,
        "\n",
        r#"{"action":"refund.pay","id":"c3","severity":7,"details":{"password":"hunter2"}}"#,
        "\n",
        r#"{"action":"refund.pay","id":"c4","outcome":"denied"}"#,
        "\n",
        r#"{"action":"read.it","id":"c5"}"#,
    ));
    let lines = place.run("query --system --format jsonl --order asc").ok().json_lines();
    for receipt in receipts.iter().filter(|receipt| receipt["index"].is_u64()) {
        let line = lines.iter().find(|line| line["index"] == receipt["index"]).unwrap();
        assert_eq!(line["id"], receipt["id"]);
    }
    let mut server = Server::start(&place);
    check_pending(&server.admin(), &["c1", "c3"]);
    // By the server: alone, in a batch between others, sent again, by the command beside it.
    server.admin().record(r#"{"action":"refund.pay","id":"s1"}"#);
    let sent = concat!(
        r#"[{"action":"x","id":"s2"},{"action":"refund.pay","id":"s3","tenant":"acme"},{"action":"read.it","id":"s4"},"#,
        r#"{"action":"refund.late","id":"s5","time":"not a time"},{"action":"refund.pay","id":"s1"}]"#,
    );
    let answers = server.admin().record(sent);
    assert_eq!(answers[4]["repeated"], true);
    for answer in answers.iter().filter(|answer| answer["index"].is_u64()) {
        let event = server.admin().get(&format!("/v1/events/{}", answer["index"])).is(200).json();
        assert_eq!(event["id"], answer["id"]);
    }
    server.admin().record(sent);
    place.feed("record --ack durable", r#"{"action":"refund.pay","id":"s6"}"#).ok();
    let all = ["c1", "c3", "s1", "s3", "s5", "s6"];
    check_pending(&server.admin(), &all);
    let metrics = server.admin().get("/metrics").is(200).text();
    assert!(metrics.contains("trailseal_reviews_pending 6\n"), "{metrics}");
    server.restart();
    check_pending(&server.admin(), &all);
    server.kill();
    server.launch();
    check_pending(&server.admin(), &all);
    // A tenant's reviewer sees the tenant's.
    let own = server.holder(r#"{"name":"own","scopes":["review","read"],"tenant":"acme"}"#);
    check_pending(&own, &["c1", "s3"]);
    let id = reviews(&own, "pending")[0]["id"].as_str().unwrap().to_owned();
    own.post(&format!("/v1/reviews/{id}"), r#"{"decision":"approved"}"#).is(200);
    server.restart();
    check_pending(&server.admin(), &["c1", "c3", "s1", "s5", "s6"]);
    server.stop();
    let flags = place.run("query --system --action trail.review_requested --count").ok();
    assert_eq!(flags.out.trim(), "6");
    assert_eq!(place.run("verify --json").ok().json()["unsealed"], 0);
}

#[test]
fn a_flag_leads_to_its_event_whatever_is_masked() {
    let place = Place::new();
    // Tables begin in these settings.
    place.write(
        "trailseal.toml",
        format!("mask.keys = [\"review\", \"event\", \"ahead\", \"origin\", \"actor\"]\n{SETTINGS}"),
    );
    // As an id this is no card number.
    place.record(r#"{"action":"refund.pay","id":"4111111111111111"}"#);
    let server = Server::start(&place);
    server.admin().record(r#"{"action":"refund.pay","id":"b2","tenant":"acme"}"#);
    server.admin().record(
        r#"[{"action":"refund.pay","id":"c3"},{"action":"refund.pay","details":{"password":"x"},"id":"d4"}]"#,
    );
    check_pending(&server.admin(), &["4111111111111111", "b2", "c3", "d4"]);
}

#[test]
fn a_batch_that_only_its_flags_make_too_large_is_told_so() {
    let place = Place::new();
    place.write("trailseal.toml", format!("handoff.size = \"1MiB\"\n{SETTINGS}"));
    let server = Server::start(&place);
    let batch = |action: &str| format!("{{\"action\":\"{action}\"}}\n").repeat(700);
    server.admin().post("/v1/events", batch("other")).is(202);
    let answer = server.admin().post("/v1/events", batch("refund.pay")).is(413).text();
    assert!(answer.contains("including what the trail adds"), "{answer}");
    assert!(reviews(&server.admin(), "pending").is_empty());
    // The command sends smaller ones.
    place.feed("record", batch("refund.pay")).ok();
    assert_eq!(reviews(&server.admin(), "pending").len(), 700);
}

#[test]
fn older_reviews_can_be_listed_too() {
    let place = Place::new();
    place.write("trailseal.toml", SETTINGS);
    place.record(&"{\"action\":\"refund.pay\"}\n".repeat(1_001));
    let server = Server::start(&place);
    let list = |query: &str| server.admin().get(&format!("/v1/reviews?state=pending{query}")).is(200).json();
    let first = list("");
    let last = first["reviews"][999]["id"].as_str().unwrap();
    assert_eq!(first["next"], last);
    let rest = list(&format!("&before={last}"));
    let oldest = rest["reviews"].as_array().unwrap();
    assert_eq!((oldest.len(), &rest["next"]), (1, &Value::Null));
    assert!(oldest[0]["id"].as_str().unwrap() < last);
}

#[test]
fn no_flag_is_lost_or_doubled_by_kills() {
    let place = Place::new();
    place.write("trailseal.toml", SETTINGS);
    let mut server = Server::start(&place);
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let (admin, answers) = (server.admin(), AtomicUsize::new(0));
        let sent: Vec<String> = std::thread::scope(|scope| {
            let sending = scope.spawn(|| send_until_gone(&admin, round, &answers));
            wait_until("the server answers", || answers.load(Relaxed) > 3 * round);
            server.kill();
            sending.join().unwrap()
        });
        acknowledged.extend(sent);
        server.launch();
    }
    server.stop();
    let mut flags = BTreeMap::new();
    for line in place.run("query --system --action trail.review_requested --format jsonl").ok().json_lines() {
        let at = line["index"].as_u64().unwrap() + line["details"]["ahead"].as_u64().unwrap();
        let of = flags.insert(at, line["details"]["event"].clone());
        assert_eq!(of, None, "flagged twice");
    }
    let events = place.run("query --action refund.* --format jsonl").ok().json_lines();
    assert_eq!(events.len(), flags.len());
    for event in &events {
        assert_eq!(flags.get(&event["index"].as_u64().unwrap()), Some(&event["id"]));
    }
    let ids: std::collections::HashSet<&str> =
        events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    assert!(acknowledged.iter().all(|id| ids.contains(id.as_str())));
}

/// Sends flagged events, alone and in batches, until the server is gone, and counts the answers. Returns the ids of those that it
/// took.
fn send_until_gone(client: &Client, round: usize, answers: &AtomicUsize) -> Vec<String> {
    let mut taken = Vec::new();
    let Ok(mut connection) = Connection::open(client) else { return taken };
    for turn in 0.. {
        let ids: Vec<String> = (0..turn % 3 + 1).map(|nth| format!("r{round}-{turn}-{nth}")).collect();
        let lines: Vec<String> = ids
            .iter()
            .map(|id| format!("{{\"action\":\"refund.pay\",\"id\":\"{id}\"}}\n{{\"action\":\"other\"}}\n"))
            .collect();
        let path = ["/v1/events?ack=accepted", "/v1/events?ack=durable"][turn % 2];
        match connection.try_ask("POST", path, lines.concat().as_bytes()) {
            Ok(response) if response.status == 202 => taken.extend(ids),
            _ => break,
        }
        answers.fetch_add(1, Relaxed);
    }
    taken
}

#[test]
fn the_policy_commands_know_the_reason() {
    let place = Place::new();
    place.write("trailseal.toml", SETTINGS);
    place.run("policy check trailseal.toml").ok();
    let shown = place.run("policy show").ok().out;
    assert!(shown.contains("review = \"a refund: look at the amount\"\n"), "{shown}");
    place.run("policy set sync").ok();
    let shown = place.run("policy show").ok().out;
    assert!(
        shown.contains("mode = \"sync\"\n\n[[rule]]") && shown.contains("review = \"a refund"),
        "{shown}"
    );
    place.write("off.toml", "[[rule]]\nwhen = {}\nmode = \"off\"\nreview = \"why\"\n");
    let answer = place.run("policy check off.toml").no();
    assert!(answer.err.contains("off.toml:4:10: mode off keeps nothing"), "{}", answer.err);
}
