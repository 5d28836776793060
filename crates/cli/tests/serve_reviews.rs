//! The review queue: one of two reviewers wins, what was decided survives, and each tenant has its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Barrier;

use serde_json::{Value, json};
use support::server::{Client, Server};
use support::{Place, wait_until};

/// Asks for an event to be reviewed.
#[track_caller]
fn request(client: &Client, event: &str) -> String {
    let body = json!({"event": event, "reason": "looks odd", "confidence": 0.75}).to_string();
    let answer = client.post("/v1/reviews", body).is(201).json();
    assert_eq!(answer["state"], "pending");
    answer["id"].as_str().unwrap().to_owned()
}

fn list(client: &Client, state: &str) -> Vec<Value> {
    client.get(&format!("/v1/reviews{state}")).is(200).json()["reviews"].as_array().unwrap().clone()
}

#[test]
fn a_review_is_asked_for_listed_and_decided_across_restarts() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let index = server.admin().record(r#"{"action":"a","id":"e1","tenant":"acme"}"#)[0]["index"].clone();
    server.admin().record(r#"[{"action":"a","id":"e2"},{"action":"a","id":"e3"}]"#);
    let ids = ["e1", "e2", "e3"].map(|event| request(&server.admin(), event));
    let comment = "fine \u{2014} seen \"by\" me";
    let decide = |decision: &str| json!({"decision": decision, "comment": comment}).to_string();
    let answer = server.admin().post(&format!("/v1/reviews/{}", ids[0]), decide("approved")).is(200).json();
    assert_eq!((&answer["id"], &answer["state"]), (&json!(ids[0]), &json!("approved")));
    for round in 0..3 {
        let all = list(&server.admin(), "");
        assert_eq!(all.len(), 3, "{all:?}");
        let first = all.iter().find(|review| review["id"] == ids[0]).unwrap();
        for (name, value) in [
            ("state", json!("approved")),
            ("event", json!("e1")),
            ("index", index.clone()),
            ("tenant", json!("acme")),
            ("reason", json!("looks odd")),
            ("confidence", json!(0.75)),
            ("comment", json!(comment)),
            ("requested_by", json!("admin")),
            ("decided_by", json!("admin")),
        ] {
            assert_eq!(first[name], value, "{name}");
        }
        assert_eq!(list(&server.admin(), "?state=pending").len(), if round == 2 { 1 } else { 2 });
        assert_eq!(list(&server.admin(), "?state=approved").len(), 1);
        assert_eq!(list(&server.admin(), "?state=rejected").len(), usize::from(round == 2));
        for decision in ["approved", "rejected"] {
            let again = server.admin().post(&format!("/v1/reviews/{}", ids[0]), decide(decision)).is(409);
            again.says(json!({"state": "approved", "decided_by": "admin"}));
        }
        match round {
            0 => server.restart(),
            1 => {
                server.admin().post(&format!("/v1/reviews/{}", ids[2]), decide("rejected")).is(200);
                server.kill();
                server.launch();
            }
            _ => {}
        }
    }
    assert_eq!(server.admin().get("/v1/stats").is(200).json()["reviews"]["pending"], 1);
    server.stop();
    // Each step is an event, and sealed.
    assert_eq!(place.run("query --system --action trail.review_requested --count").ok().out.trim(), "3");
    assert_eq!(place.run("query --system --action trail.review_decided --count").ok().out.trim(), "2");
    assert_eq!(place.run("verify --json").ok().json()["unsealed"], 0);
}

#[test]
fn of_two_reviewers_at_once_one_wins_and_the_other_is_told() {
    const ROUNDS: usize = 15;
    let place = Place::new();
    let server = Server::start(&place);
    server.admin().record(r#"{"action":"a","id":"e"}"#);
    let reviewers = ["ann", "bob", "eve"]
        .map(|name| server.holder(&format!(r#"{{"name":"{name}","scopes":["review"]}}"#)));
    for _ in 0..ROUNDS {
        let path = format!("/v1/reviews/{}", request(&server.admin(), "e"));
        let barrier = Barrier::new(reviewers.len());
        let decisions = ["approved", "rejected", "approved"];
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let deciding: Vec<_> = reviewers
                .iter()
                .zip(decisions)
                .map(|(client, decision)| {
                    let (path, barrier) = (&path, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        client.post(path, json!({"decision": decision}).to_string()).status
                    })
                })
                .collect();
            deciding.into_iter().map(|deciding| deciding.join().unwrap()).collect()
        });
        let mut sorted = statuses.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [200, 409, 409]);
        let winner = statuses.iter().position(|status| *status == 200).unwrap();
        let all = list(&server.admin(), "");
        let review = all.iter().find(|review| path.ends_with(review["id"].as_str().unwrap())).unwrap();
        assert_eq!(review["decided_by"], ["ann", "bob", "eve"][winner]);
        assert_eq!(review["state"], decisions[winner]);
    }
    server.admin().record(r#"{"action":"last"}"#);
    assert_eq!(server.admin().count("system=true&action=trail.review_decided"), ROUNDS as u64);
}

#[test]
fn of_two_servers_of_one_folder_one_decides_and_the_other_is_told() {
    let place = Place::new();
    place.write("trailseal.toml", "origin = \"example.org/app\"\nworkers = \"slots\"\n");
    let slot = |name: &str| {
        let server = Server::with(&place, &["--open"]);
        server.admin().record(format!("{{\"action\":\"a\",\"id\":\"{name}\"}}"));
        server
    };
    let servers = [slot("one"), slot("two")];
    let clients = servers.each_ref().map(Server::admin);
    for round in 0..20 {
        let path = format!("/v1/reviews/{}", request(&clients[round % 2], "one"));
        // So that the other one knows of it.
        wait_until("both list it", || {
            clients.iter().all(|client| !list(client, "?state=pending").is_empty())
        });
        let barrier = Barrier::new(clients.len());
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let deciding = clients.each_ref().map(|client| {
                let (path, barrier) = (&path, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    client.post(path, r#"{"decision":"approved"}"#).status
                })
            });
            deciding.into_iter().map(|deciding| deciding.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "round {round}");
    }
}

#[test]
fn a_tenants_reviewers_see_and_decide_their_own() {
    let place = Place::new();
    let mut server = Server::start(&place);
    for tenant in ["acme", "globex"] {
        server.admin().record(format!(r#"[{{"action":"a","id":"e-{tenant}","tenant":"{tenant}"}},{{"action":"a","id":"same","tenant":"{tenant}"}}]"#));
    }
    let tokens = ["acme", "globex"].map(|tenant| {
        server
            .holder(&format!(r#"{{"name":"{tenant}","scopes":["write","review"],"tenant":"{tenant}"}}"#))
            .token
    });
    let mut ids = Vec::new();
    for (token, tenant) in tokens.iter().zip(["acme", "globex"]) {
        let client = server.client(token);
        ids.push([request(&client, &format!("e-{tenant}")), request(&client, "same")]);
    }
    server.client(&tokens[0]).post("/v1/reviews", r#"{"event":"e-globex"}"#).is(404);
    server.client(&tokens[0]).post("/v1/reviews", r#"{"event":"0"}"#).is(404);
    for _ in 0..2 {
        for (own, tenant) in [(0, "acme"), (1, "globex")] {
            let client = server.client(&tokens[own]);
            let reviews = list(&client, "");
            assert_eq!(reviews.len(), 2, "{reviews:?}");
            assert!(reviews.iter().all(|review| review["tenant"] == tenant));
            for other in &ids[1 - own] {
                client.post(&format!("/v1/reviews/{other}"), r#"{"decision":"approved"}"#).is(404);
            }
        }
        assert_eq!(list(&server.admin(), "?state=pending").len(), 4);
        server.restart();
    }
    // Its events are the tenant's, too.
    server
        .client(&tokens[1])
        .post(&format!("/v1/reviews/{}", ids[1][0]), r#"{"decision":"rejected"}"#)
        .is(200);
    server.admin().record(r#"{"action":"last"}"#);
    assert_eq!(server.admin().count("system=true&action=trail.review_decided&tenant=globex"), 1);
}

#[test]
fn of_several_events_with_an_id_the_one_that_is_meant_is_named() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    for tenant in ["acme", "zeta"] {
        admin.record(format!(r#"{{"action":"a","id":"twin","tenant":"{tenant}"}}"#));
    }
    let several = admin.post("/v1/reviews", r#"{"event":"twin","reason":"odd"}"#).is(300);
    assert_eq!(several.json(), admin.get("/v1/events/twin").is(300).json());
    assert!(list(&admin, "").is_empty(), "nothing was asked for");
    let body = r#"{"event":"twin","reason":"odd","tenant":"zeta"}"#;
    admin.post("/v1/reviews", body).is(201);
    assert_eq!(list(&admin, "")[0]["tenant"], "zeta");
    let origin = several.events()[0]["origin"].clone();
    let body = json!({"event": "twin", "tenant": "acme", "origin": origin}).to_string();
    admin.post("/v1/reviews", body).is(201);
    admin.post("/v1/reviews", r#"{"event":"twin","origin":"elsewhere"}"#).is(404);
    // A tenant's token has one, and learns of no other.
    let writer = server.holder(r#"{"name":"writer","scopes":["write"],"tenant":"acme"}"#);
    writer.post("/v1/reviews", r#"{"event":"twin"}"#).is(201);
    writer.post("/v1/reviews", r#"{"event":"twin","tenant":"zeta"}"#).is(404);
    assert_eq!(list(&admin, "").len(), 3);
}

#[test]
fn what_cannot_be_a_review_is_refused() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let admin = server.admin();
    admin.record(r#"{"action":"a","id":"e"}"#);
    for (body, status) in [
        (r#"{"event":"none"}"#, 404),
        (r#"{"event":"e","confidence":2}"#, 422),
        (r#"{"event":"e","confidence":-0.1}"#, 422),
        (r#"{"event":"e","confidence":"high"}"#, 422),
        (r#"{"event":7}"#, 422),
        (r#"{"event":"e","unknown":1}"#, 422),
        ("{}", 422),
        ("[]", 422),
        ("", 400),
        ("{", 400),
        ("\"e\"", 422),
    ] {
        let response = admin.post("/v1/reviews", body);
        assert_eq!(response.status, status, "{body}: {}", response.text());
        response.is_problem();
    }
    assert!(list(&admin, "").is_empty());
    let path = format!("/v1/reviews/{}", request(&admin, "e"));
    for (body, status) in [
        (r#"{"decision":"maybe"}"#, 422),
        ("{}", 422),
        (r#"{"decision":"approved","unknown":1}"#, 422),
        ("", 400),
    ] {
        admin.post(&path, body).is(status);
    }
    admin.post("/v1/reviews/none", r#"{"decision":"approved"}"#).is(404);
    assert_eq!(list(&admin, "?state=pending").len(), 1);
    // A writer asks, a reviewer decides; neither does the other's.
    let writer = server.holder(r#"{"name":"writer","scopes":["write"]}"#);
    writer.get("/v1/reviews").is(403);
    writer.post(&path, r#"{"decision":"approved"}"#).is(403);
    // Nobody hands in a step of a review as an event.
    let id = path.rsplit('/').next().unwrap();
    let forged = json!({"action": "trail.review_decided", "system": true, "details": {"review": id, "decision": "approved"}});
    writer.post("/v1/events?ack=durable", forged.to_string());
    server.restart();
    assert_eq!(list(&server.admin(), "?state=pending").len(), 1);
}

#[test]
fn a_review_takes_few_bytes_of_memory_whatever_its_texts_are() {
    const REVIEWS: u64 = 20_000;
    let place = Place::new();
    let reason = "why ".repeat(250);
    let rule = format!("[[rule]]\nwhen = {{ action = \"refund\" }}\nreview = \"{reason}\"\n");
    place.write("trailseal.toml", rule);
    let mut server = Server::start(&place);
    let memory = |server: &Server<'_>| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap().trim();
        line.strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    };
    let none = memory(&server);
    server.stop();
    place.write("events", "{\"action\":\"refund\"}\n".repeat(usize::try_from(REVIEWS).unwrap()));
    place.run("record events").ok();
    server.launch();
    let grown = memory(&server).saturating_sub(none);
    // Events take some memory, too.
    let reasons = REVIEWS * reason.len() as u64;
    assert!(grown < reasons, "{grown} bytes for reviews of which the reasons alone have {reasons}");
    // What is not kept is read.
    let admin = server.admin();
    let oldest = list(&admin, "").pop().unwrap();
    admin
        .post(&format!("/v1/reviews/{}", oldest["id"].as_str().unwrap()), r#"{"decision":"rejected"}"#)
        .is(200);
    let rejected = list(&admin, "?state=rejected");
    assert_eq!((&rejected[0]["id"], &rejected[0]["reason"]), (&oldest["id"], &json!(reason.trim())));
    assert_eq!(admin.get("/v1/stats").is(200).json()["reviews"]["pending"], REVIEWS - 1);
}
