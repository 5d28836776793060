//! A policy that nobody could satisfy is refused before it is in force.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::json;
use support::Place;
use support::server::Server;

const NO_STORE: &str = "[index]\nenabled = false\n";
const WAITS: &str = "mode = \"sync\"\nacknowledge = \"store\"\n";
const RULE_WAITS: &str = "mode = \"async\"\n\n[[rule]]\nwhen = { category = \"admin\" }\nmode = \"sync\"\nacknowledge = \"store\"\n";

#[test]
fn a_server_without_a_store_starts_with_no_policy_that_waits_for_one() {
    for (policy, place_in_it) in [(WAITS, "all other events"), (RULE_WAITS, "rule 1")] {
        let place = Place::new();
        place.write("trailseal.toml", format!("{policy}\n{NO_STORE}"));
        let wanted = ["acknowledge", "index.enabled", "store.url", place_in_it];
        place.run("serve --listen 127.0.0.1:0").could_not(&wanted);
        // With the index there is one.
        place.write("trailseal.toml", policy);
        let server = Server::start(&place);
        server.admin().post("/v1/events", r#"{"action":"a","category":"admin"}"#).is(202);
    }
}

#[test]
fn a_server_without_a_store_takes_no_policy_that_waits_for_one() {
    let place = Place::new();
    place.write("trailseal.toml", NO_STORE);
    let server = Server::start(&place);
    let before = server.admin().get("/v1/policy").is(200).text();
    for policy in [WAITS, RULE_WAITS] {
        let answer = server.admin().ask("PUT", "/v1/policy", policy.as_bytes()).is(422);
        let answer = answer.says(json!({"field": "acknowledge"}));
        assert!(answer.text().contains("index.enabled"), "{}", answer.text());
    }
    assert_eq!(server.admin().get("/v1/policy").is(200).text(), before);
    server.admin().ask("PUT", "/v1/policy", b"mode = \"sync\"\n").is(200);
    server.admin().post("/v1/events", r#"{"action":"a"}"#).is(202);
}

#[test]
fn a_hang_up_puts_no_policy_in_force_that_waits_for_a_store_where_there_is_none() {
    let place = Place::new();
    place.write("trailseal.toml", NO_STORE);
    let server = Server::start(&place);
    place.write("trailseal.toml", format!("{WAITS}\n{NO_STORE}"));
    server.hang_up();
    server.tells("the policy is unchanged");
    server.tells("would wait for a store");
    server.admin().post("/v1/events", r#"{"action":"a"}"#).is(202);
}
