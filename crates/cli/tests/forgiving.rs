//! The values of a field, for people who type a part of one: counted, named, and only of what the token may see.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::server::{Client, Server};
use support::{Place, wait_until};

const EVENTS: &str = r#"{"action":"invoice.update","tenant":"acme","actor":{"id":"u-17","name":"Chen Wei"},"context":{"ip":"192.0.2.7"}}
{"action":"invoice.update","tenant":"acme","actor":{"id":"u-17","name":"Chen Wei"},"context":{"ip":"192.0.2.7"}}
{"action":"invoice.pay","tenant":"acme","actor":{"id":"u-18","name":"chen li"},"outcome":"denied"}
{"action":"user.login","tenant":"zeta","actor":{"id":"u-19","name":"Ana Chen"},"context":{"ip":"2001:db8::1"}}
{"action":"user.login","tenant":"zeta","actor":{"id":"marchen"}}
{"action":"user.login","tenant":"zeta","actor":{"name":"Nameless Chen"}}
"#;

fn values(client: &Client, query: &str) -> Vec<Value> {
    client.get(&format!("/v1/values?{query}")).is(200).json()["values"].as_array().unwrap().clone()
}

fn named(client: &Client, query: &str) -> Vec<String> {
    let text = |each: &Value| each["value"].as_str().unwrap().to_owned();
    values(client, query).iter().map(text).collect()
}

#[test]
fn a_part_of_an_id_or_name_in_any_case_is_enough() {
    let place = Place::with(EVENTS);
    let server = Server::start(&place);
    let client = server.admin();
    assert_eq!(
        values(&client, "field=actor&part=chen")[0],
        json!({"value": "u-17", "name": "Chen Wei", "count": 2})
    );
    assert_eq!(named(&client, "field=actor&part=CHEN"), ["u-17", "Nameless Chen", "marchen", "u-18", "u-19"]);
    assert_eq!(named(&client, "field=action&part=invoice.up"), ["invoice.update"]);
    assert_eq!(named(&client, "field=ip&part=db8"), ["2001:db8::1"]);
    assert_eq!(named(&client, "field=actor&part=chen&outcome=denied"), ["u-18"]);
    assert_eq!(named(&client, "field=actor&part=chen&top=1"), ["u-17"]);
    assert_eq!(named(&client, "field=actor&part=nobody"), [""; 0]);
    let problem = client.get("/v1/values?field=colour").is(400).json();
    assert_eq!(problem["field"], "field");
    assert!(problem["detail"].as_str().unwrap().contains("resource_type"), "{problem}");
    client.get("/v1/values").is(400).is_problem();
}

#[test]
fn a_command_that_finds_nothing_names_the_values_that_may_be_meant() {
    let place = Place::with(EVENTS);
    for (query, wanted) in [
        (
            "query --actor CHEN",
            "--actor matches whole values only: \"CHEN\" is part of u-17 (Chen Wei), Nameless Chen, marchen, …",
        ),
        (
            "query --actor chen --action invoice.pay",
            "--actor matches whole values only: \"chen\" is part of u-18 (chen li)",
        ),
        (
            "query --action invoice.up",
            "--action matches whole values only: \"invoice.up\" is part of invoice.update",
        ),
        ("query --tenant ac --actor u-17", "--tenant matches whole values only: \"ac\" is part of acme"),
        ("query --ip db8", "--ip matches whole values only: \"db8\" is part of 2001:db8::1"),
    ] {
        let answer = place.run(query).ok();
        assert_eq!(answer.err, format!("no event matches\n{wanted}\n"), "{query}");
    }
    for query in ["query --actor nobody", "query --actor chen --actor wei", "query --actor chen --since now"]
    {
        assert_eq!(place.run(query).ok().err, "no event matches\n", "{query}");
    }
    // Programs read these, and they take no longer for it.
    assert_eq!(place.run("query --actor chen --format jsonl").ok().err, "");
}

#[test]
fn it_is_the_same_with_the_index_and_without() {
    let place = Place::with(EVENTS);
    place.write("trailseal.toml", "index.enabled = false\n");
    let without = Place::new();
    without.write("trailseal.toml", "index.enabled = false\n");
    without.record(EVENTS);
    std::fs::remove_file(place.path("trailseal.toml")).unwrap();
    let (with_index, no_index) = (Server::start(&place), Server::start(&without));
    assert!(place.path("trail/index").exists() && !without.path("trail/index").exists());
    for field in ["actor", "action", "tenant", "ip", "outcome", "severity", "category", "resource_type"] {
        let query = format!("field={field}");
        assert_eq!(values(&with_index.admin(), &query), values(&no_index.admin(), &query), "{field}");
    }
}

#[test]
fn nobody_learns_another_tenants_values_and_what_is_typed_is_not_recorded() {
    let place = Place::with(EVENTS);
    let server = Server::start(&place);
    let token = place.run("token create acme --scope read --tenant acme").ok().out;
    let client = server.client(token.trim());
    assert_eq!(named(&client, "field=actor&part=chen"), ["u-17", "u-18"]);
    assert_eq!(named(&client, "field=tenant"), ["acme"]);
    client.get("/v1/values?field=actor&tenant=zeta").is(403).is_problem();
    // What is recorded is shown once it is durable.
    wait_until("the look-up is recorded, without what was typed", || {
        let own = server.admin().get("/v1/events?system=true&action=trail.read").is(200).events();
        let noted: Vec<&str> = own.iter().filter_map(|event| event["details"]["query"].as_str()).collect();
        assert!(!noted.iter().any(|query| query.contains("part=chen")), "{noted:?}");
        noted.contains(&"field=actor&part=…")
    });
}

#[test]
fn a_summary_has_the_names_and_addresses() {
    let place = Place::with(EVENTS);
    let summary = place.run("summary --json").ok().json();
    assert_eq!(summary["by_actor"][0], json!({"value": "u-17", "name": "Chen Wei", "count": 2}));
    assert_eq!(summary["by_ip"][0], json!({"value": "192.0.2.7", "count": 2}));
    let text = place.run("summary").ok().out;
    assert!(text.contains("  u-17 (Chen Wei)\n") && text.contains("by ip\n"), "{text}");
    // Without the index it is the same: text is found by reading each line.
    let read = place.run("summary --json --text chen").ok().json();
    assert_eq!(read["by_actor"], summary["by_actor"]);
}
