//! The parameters of addresses: a route takes those that it knows, each as often as it means something.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::json;
use support::Place;
use support::server::Server;

#[test]
fn every_route_refuses_parameters_that_it_does_not_know() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    admin.record(r#"{"action":"a","id":"known"}"#);
    let policy = admin.get("/v1/policy").is(200).text();
    for (method, path, body) in [
        ("POST", "/v1/events?dry_run=true", r#"{"action":"refused"}"#),
        ("POST", "/v1/retention?dry_run=true", r#"{"older_than_days":1}"#),
        ("POST", "/v1/retention?older_than_days=1", r#"{"older_than_days":1,"dry_run":true}"#),
        ("POST", "/v1/tokens?dry_run=true", r#"{"name":"refused","scopes":["read"]}"#),
        ("GET", "/v1/tokens?limit=1", ""),
        ("DELETE", "/v1/tokens/admin?dry_run=true", ""),
        ("POST", "/v1/reviews?event=known", r#"{"event":"known"}"#),
        ("POST", "/v1/reviews/known?decision=approved", r#"{"decision":"approved"}"#),
        ("GET", "/v1/holds?name=refused", ""),
        ("POST", "/v1/holds?dry_run=true", r#"{"name":"refused","reason":"r"}"#),
        ("DELETE", "/v1/holds/refused?x=1", ""),
        ("GET", "/v1/policy?x=1", ""),
        ("PUT", "/v1/policy?dry_run=true", "mode = \"sync\"\n"),
        ("POST", "/v1/keys/rotate?dry_run=true", ""),
        ("POST", "/v1/viewer-tokens?tenant=acme", "{}"),
        ("GET", "/v1/sinks?x=1", ""),
        ("DELETE", "/v1/sinks/refused?x=1", ""),
        ("POST", "/v1/subjects/u1/erase?dry_run=true", ""),
        ("GET", "/v1/origins?limit=1", ""),
        ("GET", "/v1/stats?x=1", ""),
        ("GET", "/admin/audit/stats?x=1", ""),
        ("GET", "/metrics?x=1", ""),
        ("GET", "/checkpoint?x=1", ""),
        ("GET", "/tile/0/000.p/1?x=1", ""),
        ("GET", "/v1/events/known?x=1", ""),
        ("GET", "/v1/events?x=1", ""),
        ("GET", "/v1/events/stream?x=1", ""),
        ("GET", "/v1/summary?x=1", ""),
        ("GET", "/healthz?x=1", ""),
        ("GET", "/readyz?x=1", ""),
        ("GET", "/openapi.json?x=1", ""),
    ] {
        let response = admin.ask(method, path, body.as_bytes());
        assert_eq!(response.status, 400, "{method} {path}: {}", response.text());
        let (_, query) = path.split_once('?').unwrap();
        let name = query.split('=').next().unwrap();
        let response = response.is(400);
        response.says(json!({"type": "urn:trailseal:problem:query", "field": name}));
    }
    // Who may not ask at all is told that first.
    server.client("").ask("POST", "/v1/retention?dry_run=true", b"{}").is(401);
    // Nothing was done.
    assert_eq!(admin.count("system=true&action=trail.retired"), 0);
    assert_eq!(admin.count("action=refused"), 0);
    assert_eq!(admin.get("/v1/tokens").is(200).json()["tokens"].as_array().unwrap().len(), 1);
    assert_eq!(admin.get("/v1/holds").is(200).json(), json!({"holds": []}));
    assert_eq!(admin.get("/v1/policy").is(200).text(), policy);
    // A page is opened with whatever a link to it has.
    for path in ["/?utm_source=mail&tenant=acme", "/docs?x=1", "/assets/base.css?v=2"] {
        server.client("").get(path).is(200);
    }
}

#[test]
fn what_has_one_value_is_given_once() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    admin.record(r#"[{"action":"a"},{"action":"b"}]"#);
    for name in ["since", "until", "recorded_since", "recorded_until"] {
        for path in ["/v1/events", "/v1/events/stream", "/v1/summary"] {
            let answer = admin.get(&format!("{path}?{name}=24h&{name}=1h")).is(400).json();
            assert_eq!(
                (&answer["detail"], &answer["field"]),
                (&json!(format!("{name} is given twice")), &json!(name))
            );
        }
    }
    admin.get("/v1/events?system=true&system=true").is(400).says(json!({"field": "system"}));
    assert_eq!(admin.count("action=a&action=b"), 2, "either value of a list");
    // A hold is of these filters, too.
    let hold = r#"{"name":"h","reason":"r","filters":{"since":["2026-01-01","2026-02-01"]}}"#;
    admin.post("/v1/holds", hold).is(422).says(json!({"field": "filters"}));
    let hold = r#"{"name":"h","reason":"r","filters":{"since":["2026-01-01"],"action":["a","b"]}}"#;
    admin.post("/v1/holds", hold).is(201);
}

#[test]
fn the_page_of_the_interface_names_what_each_path_takes() {
    let place = Place::new();
    let server = Server::start(&place);
    let page = server.client("").get("/docs").is(200).text();
    let openapi = server.client("").get("/openapi.json").is(200).json();
    for (path, operations) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let row = page
                .lines()
                .find(|row| {
                    row.contains(&format!("<td>{}</td><td><code>{path}</code>", method.to_uppercase()))
                })
                .unwrap_or_else(|| panic!("{method} {path} is not on the page"));
            let query = operation["parameters"].as_array().into_iter().flatten();
            let query: Vec<&str> = query
                .filter(|each| each["in"] != "path")
                .map(|each| each["name"].as_str().unwrap())
                .collect();
            for name in query {
                let is_filter = row.contains("the filters") && page.contains(&format!("<code>{name}</code>"));
                assert!(
                    row.contains(&format!("<code>{name}</code>")) || is_filter,
                    "{method} {path}: {name}"
                );
            }
        }
    }
}
