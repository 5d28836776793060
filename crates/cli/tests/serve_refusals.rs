//! What is said of a request that is refused: what is wrong with it, in plain words, and where.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::Place;
use support::server::Server;

#[test]
fn what_strict_refuses_is_not_said_to_be_kept() {
    let place = Place::new();
    let server = Server::start(&place);
    for (member, problem, hint) in [
        (r#""ip":"203.0.113.7""#, "not an event field here", "send it as context.ip"),
        (r#""recorded":"2026-01-01""#, "filled by the trail itself", "leave it out"),
        (r#""description":203"#, "a number", "send a text"),
        (r#""own":1"#, "not an event field", "put your own fields into details"),
    ] {
        let event = format!("{{\"action\":\"a\",{member}}}");
        let answer = server.admin().post("/v1/events?strict=true", event).is(422).json();
        assert_eq!((&answer["problem"], &answer["hint"]), (&json!(problem), &json!(hint)));
        assert!(answer["detail"].as_str().unwrap().ends_with(&format!("is {problem}: {hint}")), "{answer}");
        assert!(!answer.to_string().contains("kept"), "{answer}");
    }
    assert_eq!(server.admin().count(""), 0);
}

#[test]
fn what_is_wrong_with_a_body_is_said_plainly_and_where() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    admin.record(r#"{"action":"a","id":"known"}"#);
    for (path, body, field) in [
        ("/v1/tokens", r#"{"name":"t","scopes":["root"]}"#, json!("scopes")),
        ("/v1/tokens", r#"{"name":"t","scopes":"read"}"#, json!("scopes")),
        ("/v1/tokens", r#"{"name":"t","scopes":[7]}"#, json!("scopes")),
        ("/v1/tokens", r#"{"scopes":["read"]}"#, json!("name")),
        ("/v1/tokens", r#"{"name":7,"scopes":["read"]}"#, json!("name")),
        ("/v1/tokens", r#"{"name":"t","scopes":["read"],"ttl_seconds":"1d"}"#, json!("ttl_seconds")),
        ("/v1/tokens", r#"{"name":"t","scopes":["read"],"ttl":1}"#, json!("ttl")),
        ("/v1/tokens", "[]", Value::Null),
        ("/v1/reviews", r#"{"event":"known","confidence":"x"}"#, json!("confidence")),
        ("/v1/reviews", r#"{"event":"known","confidence":2}"#, json!("confidence")),
        ("/v1/reviews", r#"{"event":7}"#, json!("event")),
        ("/v1/reviews", r#"{"event":"known","reason":null}"#, json!("reason")),
        ("/v1/reviews", "{}", json!("event")),
        ("/v1/reviews/x", r#"{"decision":true}"#, json!("decision")),
        ("/v1/reviews/x", r#"{"decision":"approved","comment":7}"#, json!("comment")),
        ("/v1/holds", r#"{"name":"h","reason":"r","filters":{"actor":7}}"#, json!("filters")),
        ("/v1/holds", r#"{"name":"h","reason":"r","filters":{"actor":["u",7]}}"#, json!("filters")),
        ("/v1/holds", r#"{"name":"h","reason":"r","filters":[]}"#, json!("filters")),
        ("/v1/viewer-tokens", "[]", Value::Null),
        ("/v1/viewer-tokens", "7", Value::Null),
        ("/v1/viewer-tokens", r#"{"tenant":7}"#, json!("tenant")),
        ("/v1/viewer-tokens", r#"{"ttl_seconds":1.5}"#, json!("ttl_seconds")),
        ("/v1/retention", r#"{"older_than_days":"90"}"#, json!("older_than_days")),
        ("/v1/retention", r#"{"older_than_days":90,"dry_run":"yes"}"#, json!("dry_run")),
        ("/v1/retention", r#"{"older_than_days":90,"category":"step"}"#, json!("category")),
        ("/v1/retention", r#"{"older_than_days":90,"dryrun":true}"#, json!("dryrun")),
        ("/v1/subjects/-/erase", r#"{"subject":7}"#, json!("subject")),
    ] {
        let answer = admin.post(path, body).is(422).json();
        assert_eq!(answer["field"], field, "{path} {body}: {answer}");
        let detail = answer["detail"].as_str().unwrap();
        for word in ["variant", "untagged", "struct", "f64", "u64", "expected", "invalid type"] {
            assert!(!detail.contains(word), "{path} {body}: {detail}");
        }
    }
    // A whole number may be written with a point.
    admin.post("/v1/retention", r#"{"older_than_days":90.0,"dry_run":true}"#).is(200);
    admin.post("/v1/viewer-tokens", r#"{"tenant":null,"ttl_seconds":60}"#).is(201);
    for (path, field) in [("/v1/events?ack=x", "ack"), ("/v1/events?strict=1", "strict")] {
        admin.post(path, r#"{"action":"a"}"#).is(400).says(json!({"field": field}));
    }
    let answer = admin.ask("DELETE", "/v1/sinks/nope", b"").is(404).json();
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains("nope") && !detail.trim_end().ends_with(':'), "{detail}");
}

#[test]
fn the_bad_item_of_an_array_is_named() {
    let place = Place::new();
    let server = Server::start(&place);
    let good = r#"{"action":"a"}"#;
    for (body, item) in [
        (format!(r#"[{good},{{"action":}}]"#), json!(1)),
        (r#"[{"action":}]"#.to_owned(), json!(0)),
        (format!("[\n{good} , {good},\n nonsense, {good}]"), json!(2)),
        (format!(r#"[{good},{{"action":"cut"#), json!(1)),
        // What is wrong lies between items, or behind them.
        (format!("[{good}"), Value::Null),
        (format!("[{good},]"), Value::Null),
        (format!("[{good} {good}]"), Value::Null),
        (format!("[{good}] x"), Value::Null),
        ("[".to_owned(), Value::Null),
    ] {
        let answer = server.admin().post("/v1/events", &body).is(400).json();
        assert_eq!(answer["item"], item, "{body}: {answer}");
    }
}
