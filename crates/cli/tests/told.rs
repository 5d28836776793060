//! What people and programs are told of fields in the wrong place or form: on the command line, beside a server, over
//! HTTP; and what `strict` refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::Place;
use support::server::{Client, Server};

/// An event with one fault, the field that is told, what is to be done, and whether a strict reader refuses it.
const FAULTS: [(&str, &str, &str, bool); 12] = [
    (r#""ip":"203.0.113.7""#, "ip", "send it as context.ip", true),
    (r#""userId":"u1""#, "userId", "send it as actor.id", true),
    (r#""actor":{"ip":"203.0.113.7"}"#, "actor.ip", "send it as context.ip", true),
    (r#""detials":{}"#, "detials", "send it as details", true),
    (r#""recorded":"2026-01-01""#, "recorded", "leave it out", true),
    (r#""description":203"#, "description", "send a text", true),
    (r#""time":"203.0.113.7""#, "time", "send RFC 3339", false),
    (r#""severity":"203.0.113.7""#, "severity", "send debug", false),
    (r#""outcome":"203.0.113.7""#, "outcome", "send success", false),
    (r#""category":"203.0.113.7""#, "category", "send authentication", false),
    (r#""resource":"203.0.113.7""#, "resource", "send TYPE/ID", false),
    (r#""details":{"n":1e999}"#, "details.n", "it is kept as text", false),
];

fn event(member: &str) -> String {
    format!("{{\"action\":\"a\",{member}}}")
}

/// Names the field and what to do, and never the value.
fn check(warnings: &Value, field: &str, hint: &str) {
    let [warning] = &warnings.as_array().unwrap()[..] else { panic!("{warnings}") };
    let keys: Vec<&String> = warning.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["field", "problem", "hint"], "{warning}");
    assert_eq!(warning["field"], field, "{warning}");
    assert!(warning["hint"].as_str().unwrap().starts_with(hint), "{warning}");
    assert!(!warning.to_string().contains("203"), "a value: {warning}");
}

#[test]
fn the_command_tells_and_records_all_the_same() {
    let place = Place::new();
    for (member, field, hint, _) in FAULTS {
        let answer = place.feed("record --json", event(member)).ok();
        check(&answer.json()["warnings"], field, hint);
        assert_eq!(answer.err, "", "it stands in the answer");
        let answer = place.feed("record", event(member)).ok();
        assert!(answer.err.starts_with(&format!("warning: line 1: `{field}` is ")), "{answer:#?}");
        assert!(answer.err.ends_with("\n1 recorded\n") && !answer.err.contains("203"), "{answer:#?}");
    }
    let answer = place.feed("record --json", event(r#""actor":"u1","resource":"invoice/42","own":1"#)).ok();
    assert_eq!(answer.json()["warnings"], Value::Null);
    let found = place.run("query --actor u1 --resource invoice/42 --format jsonl").ok().json();
    assert_eq!((&found["actor"], &found["own"]), (&json!({"id": "u1"}), &json!(1)));
    assert_eq!(found["resource"], json!({"type": "invoice", "id": "42"}));
    assert_eq!(place.run("query --count").ok().out, format!("{}\n", 2 * FAULTS.len() + 1));
}

#[test]
fn three_are_told_and_the_others_counted() {
    let place = Place::new();
    let line = event(r#""ip":"x","userId":"y","time":"now","level":1,"ts":2"#);
    let answer = place.feed("record --json", &line).ok().json();
    assert_eq!((answer["warnings"].as_array().unwrap().len(), &answer["more_warnings"]), (3, &json!(2)));
    let answer = place.feed("record", [&*line; 4].join("\n")).ok();
    let said: Vec<&str> = answer.err.lines().collect();
    assert_eq!(said.len(), 5, "{answer:#?}");
    assert!(said[..3].iter().all(|line| line.starts_with("warning: line 1: `")), "{answer:#?}");
    assert_eq!(said[3..], ["warning: there are 17 more; --json lists up to three an event", "4 recorded"]);
    let one_more = [event(r#""ip":1"#), event(r#""ip":1"#), event(r#""ip":1,"ts":2"#)].join("\n");
    let answer = place.feed("record", one_more).ok();
    assert!(
        answer.err.contains("warning: there is one more; --json lists up to three an event\n"),
        "{answer:#?}"
    );
}

#[test]
fn strict_refuses_by_line_what_the_author_wrote() {
    let place = Place::new();
    for (number, (member, field, _, is_refused)) in FAULTS.into_iter().enumerate() {
        let input = format!("{}\n{{\"action\":\"good.{number}\"}}", event(member));
        let answer = place.feed("record --strict --json", input);
        if is_refused {
            let answer = answer.no();
            let said = format!("line 1: not recorded: strict: `{field}` is ");
            assert!(answer.err.starts_with(&said) && !answer.err.contains("203"), "{answer:#?}");
            assert!(!answer.err.contains("kept"), "nothing of it is: {answer:#?}");
            assert_eq!(answer.json_lines().len(), 1);
        } else {
            check(&answer.ok().json_lines()[0]["warnings"], field, "");
        }
    }
    let own = place.feed("record --strict", event(r#""order_ref":7"#)).no();
    assert!(
        own.err.contains("`order_ref` is not an event field: put your own fields into details"),
        "{own:#?}"
    );
    place.feed("record --strict", event(r#""details":{"order_ref":7}"#)).ok();
}

#[test]
fn beside_a_server_it_is_the_same() {
    let place = Place::new();
    let _server = Server::start(&place);
    for (member, field, hint, is_refused) in FAULTS {
        check(&place.feed("record --json", event(member)).ok().json()["warnings"], field, hint);
        let answer = place.feed("record --strict", event(member));
        let answer = if is_refused { answer.no() } else { answer.ok() };
        assert!(
            answer.err.contains(&format!(
                "line 1: {}`{field}` is ",
                if is_refused { "not recorded: " } else { "" }
            )),
            "{answer:#?}"
        );
    }
    let line = event(r#""ip":"x","userId":"y","time":"now","level":1"#);
    let answer = place.feed("record", [&*line; 2].join("\n")).ok();
    assert!(
        answer.err.contains("warning: there are 5 more; --json lists up to three an event\n"),
        "{answer:#?}"
    );
}

/// The first block of JSON on a page.
fn block(page: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("```json\n").unwrap();
    rest.split_once("\n```").unwrap().0.replace('\n', " ")
}

#[test]
fn the_events_on_the_pages_are_events() {
    let place = Place::new();
    for page in ["README.md", "docs/event.md"] {
        let answer = place.feed("record --strict --json", block(page)).ok();
        assert_eq!((answer.json()["warnings"].clone(), answer.err.as_str()), (Value::Null, ""), "{page}");
    }
    // The whole event is whole: of the fields of the top it lacks those that an application seldom sends.
    let whole: Value = serde_json::from_str(&block("README.md")).unwrap();
    let lacks: Vec<&str> =
        trailseal_event::OWN_KEYS[0].iter().filter(|name| whole.get(**name).is_none()).copied().collect();
    assert_eq!(lacks, ["error", "changes", "approval"]);
}

fn warned(client: &Client) -> u64 {
    let text = client.get("/metrics").is(200).text();
    let line = text.lines().find(|line| line.starts_with("trailseal_warnings_total ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn http_tells_in_the_receipt_and_counts() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    for (member, field, hint, is_refused) in FAULTS {
        let receipts = client.record(event(member));
        check(&receipts[0]["warnings"], field, hint);
        let strict = client
            .post("/v1/events?strict=true&ack=durable", format!("[{{\"action\":\"b\"}},{}]", event(member)));
        if is_refused {
            let problem = strict.is(422).json();
            assert_eq!((&problem["item"], &problem["field"]), (&json!(1), &json!(field)), "{problem}");
            assert!(problem["hint"].as_str().unwrap().starts_with(hint), "{problem}");
            assert!(!problem.to_string().contains("203"), "a value: {problem}");
        } else {
            check(&strict.is(202).json()["events"][1]["warnings"], field, hint);
        }
        client.post("/v1/events?strict=false", event(member)).is(202);
    }
    client.post("/v1/events?strict=perhaps", event("\"actor\":\"u\"")).is(400);
    assert_eq!(client.record(event(r#""actor":"u1","own":1"#))[0]["warnings"], Value::Null);
    client.post("/v1/events?strict=true", event(r#""own":1"#)).is(422);
    let values = FAULTS.iter().filter(|(.., is_refused)| !is_refused).count();
    assert_eq!(warned(&client), (2 * FAULTS.len() + values) as u64);
    // Of a refused request nothing is there.
    assert_eq!(client.count("action=b"), values as u64);
}

#[test]
fn an_answer_tells_a_hundred_and_counts_the_rest() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    let line = event(r#""ip":"x","userId":"y","time":"now","level":1"#);
    let answer = client.post("/v1/events", [&*line; 50].join("\n")).is(202).json();
    let events = answer["events"].as_array().unwrap();
    let told = |event: &Value| event["warnings"].as_array().map_or(0, Vec::len);
    let more = |event: &Value| event["more_warnings"].as_u64().unwrap_or(0);
    assert_eq!(events.iter().map(told).sum::<usize>(), 100);
    assert!(events.iter().all(|event| told(event) as u64 + more(event) == 4), "{answer}");
    assert_eq!((told(&events[0]), told(&events[33]), told(&events[34])), (3, 1, 0));
    assert_eq!(more(&answer), 100);
    assert_eq!(warned(&client), 200);
}

#[test]
fn a_client_cannot_keep_its_own_record_out_of_a_strict_server() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    let long = "x".repeat(70_000);
    let hostile = ["", "\u{0}\n\u{2028}", "1e999", "../../etc", "{\"a\":1}", "0 or 1=1", &*long];
    for (number, value) in hostile.into_iter().enumerate() {
        let body = json!({
            "action": "a", "id": format!("{number}{value}"), "time": value, "tenant": value, "category": value,
            "severity": value, "outcome": value, "description": value, "error": value, "resource": value,
            "actor": {"id": value, "type": value, "name": value, "email": value, "roles": [value]},
            "context": {"ip": value, "user_agent": value, "request_id": value, "session_id": value},
            "details": {"body": {"_invalid": value, "ip": value, "action": 7}}, "after": {"Actor": value},
        });
        client.post("/v1/events?strict=true&ack=durable", body.to_string()).is(202);
    }
    // What serde never writes.
    for value in [r#""\ud800""#, "1e999"] {
        let body = format!(
            r#"{{"action":"a","duration_ms":1e999,"details":{{"k":{value},"k":{value}}},"actor":{{"id":"\ud800"}}}}"#
        );
        client.post("/v1/events?strict=true&ack=durable", body).is(202);
    }
    assert_eq!(client.count("action=a"), hostile.len() as u64 + 2);
}
