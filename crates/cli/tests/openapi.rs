//! The interface is as `/openapi.json` describes it: schemathesis (PyPI) reads that, sends what it allows and what it
//! does not, and looks whether each answer is one that it names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::Place;
use support::server::Server;

/// Requests of each kind and operation; the same ones each time.
const EXAMPLES: &str = "25";
const SEED: &str = "20261121";

/// schemathesis, in the target folder or, for a build in a folder within it, above.
fn schemathesis() -> Option<PathBuf> {
    Path::new(env!("CARGO_TARGET_TMPDIR")).ancestors().find_map(|folder| {
        let program = folder.join("strangers/bin/schemathesis");
        program.exists().then_some(program)
    })
}

#[test]
fn schemathesis_finds_nothing() {
    let Some(program) = schemathesis() else {
        eprintln!("skipped: there is no schemathesis; `cargo xtask setup` puts it into the target folder");
        return;
    };
    let place = Place::new();
    let mut server = Server::start(&place);
    // More than a tile, so that a full one is there to be asked for.
    let event = r#"{"action":"invoice.pay","tenant":"acme","resource":{"type":"invoice","id":"7"}}"#;
    server.admin().record(vec![event; 300].join("\n"));
    server.admin().get("/v1/events/280/proof").is(200);
    let orders = ["asc", "desc"].into_iter().flat_map(|order| [(order, "time"), (order, "recorded")]);
    let cursors = orders.map(|(order, order_by)| {
        let query = format!("/v1/events?limit=1&order={order}&order_by={order_by}");
        let page = server.admin().get(&query).json();
        (format!("TRAILSEAL_CURSOR_{order}_{order_by}"), page["next"].as_str().unwrap().to_owned())
    });
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../strangers/schemathesis");
    let output = Command::new(program)
        .arg("run")
        .arg(format!("http://{}/openapi.json", server.address))
        .args(["--header", &format!("Authorization: Bearer {}", server.token)])
        // It never ends, and schemathesis waits for the end of each answer.
        .args(["--exclude-path", "/v1/events/stream"])
        .args(["--max-examples", EXAMPLES, "--seed", SEED, "--continue-on-failure", "--no-color"])
        .args(["--generation-database", "none", "--request-timeout", "30"])
        .env("SCHEMATHESIS_HOOKS", rules.join("hooks.py"))
        .envs(cursors)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(place.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{told}\nthe server's log:\n{}", server.log());
    assert!(said.contains("Tested: 38"), "not every operation was tested:\n{said}");
    server.stop();
    assert!(!server.log().contains("panicked"), "{}", server.log());
    place.run("verify").ok();
}

#[test]
fn the_document_has_what_is_taken_and_what_is_answered() {
    let place = Place::new();
    let server = Server::start(&place);
    let document = server.client("").get("/openapi.json").is(200).json();
    let parameters = document["paths"]["/v1/events"]["post"]["parameters"].as_array().unwrap();
    let strict = parameters.iter().find(|parameter| parameter["name"] == "strict").expect("strict");
    assert_eq!((&strict["in"], &strict["schema"]["type"]), (&json!("query"), &json!("boolean")));
    assert!(strict["description"].as_str().unwrap().contains("422"), "{strict}");
    let properties = |schema: &str| document["components"]["schemas"][schema]["properties"].clone();
    assert_eq!(properties("RetentionRequest")["archive"]["type"], json!(["string", "null"]));
    let problem = properties("Problem");
    for member in [
        "item",
        "field",
        "hint",
        "problem",
        "id",
        "index",
        "origin",
        "events",
        "more_warnings",
        "state",
        "decided_by",
        "hold",
        "retired_by",
        "not_yet_stored",
    ] {
        assert!(problem[member]["description"].is_string(), "{member}: {problem}");
    }
    // A problem has no members but these.
    server.admin().record(r#"{"action":"a","id":"one"}"#);
    for (path, body) in [
        ("/v1/events", r#"{"action":"b","id":"one"}"#),
        ("/v1/events?strict=true", r#"{"action":"b","ip":"x"}"#),
        ("/v1/events?strict=x", "{}"),
    ] {
        let answer = server.admin().post(path, body).json();
        for (name, value) in answer.as_object().unwrap() {
            let is_number = problem[name]["type"] == "integer";
            assert!(!problem[name].is_null() && is_number == value.is_number(), "{name}: {answer}");
        }
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let place = Place::new();
    let server = Server::start(&place);
    let document = server.client("").get("/openapi.json").is(200).json();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}
