//! Reviews: requested at one server they are seen at all, and of two who decide one has.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::server::{Client, Server};
use crate::support::wait_until;
use crate::{Common, servers, told};

/// Asks for an event of the server's own trail to be reviewed.
#[track_caller]
fn request(client: &Client, event: &str) -> String {
    let body = json!({"event": event, "reason": "looks odd"}).to_string();
    client.post("/v1/reviews", body).is(201).json()["id"].as_str().unwrap().to_owned()
}

fn list(client: &Client, query: &str) -> Vec<Value> {
    client.get(&format!("/v1/reviews{query}")).is(200).json()["reviews"].as_array().unwrap().clone()
}

fn decision(decision: &str) -> String {
    json!({"decision": decision, "comment": "seen"}).to_string()
}

#[test]
fn of_two_servers_that_decide_at_once_one_wins_and_the_other_is_told() {
    const ROUNDS: usize = 12;
    let common = Common::new();
    let mut servers = servers(&common.places);
    servers[0].admin().record(r#"{"action":"a","id":"e","tenant":"acme"}"#);
    let ann = servers[0].holder(r#"{"name":"ann","scopes":["review"]}"#);
    let bob = servers[1].holder(r#"{"name":"bob","scopes":["review"]}"#);
    for round in 0..ROUNDS {
        let id = request(&servers[0].admin(), "e");
        // The other server has it at once.
        assert_eq!(list(&bob, "?state=pending")[0]["id"], id.as_str(), "round {round}");
        let (path, barrier) = (format!("/v1/reviews/{id}"), Barrier::new(2));
        let answers = std::thread::scope(|scope| {
            let deciding = [(&ann, "approved"), (&bob, "rejected")].map(|(client, how)| {
                let (path, barrier) = (&path, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    client.post(path, decision(how))
                })
            });
            deciding.map(|deciding| deciding.join().unwrap())
        });
        let winner = usize::from(answers[0].status != 200);
        let [won, lost] = if winner == 0 {
            answers
        } else {
            let [one, two] = answers;
            [two, one]
        };
        let (name, state) = [("ann", "approved"), ("bob", "rejected")][winner];
        assert_eq!(won.is(200).json()["state"], state, "round {round}");
        lost.is(409)
            .says(json!({"type": "urn:trailseal:problem:decided", "state": state, "decided_by": name}));
        for server in &servers {
            let review = &list(&server.admin(), "")[0];
            assert_eq!((&review["state"], &review["decided_by"]), (&json!(state), &json!(name)));
            assert_eq!((&review["comment"], &review["event"]), (&json!("seen"), &json!("e")));
        }
    }
    wait_until("all is recorded", || common.is_settled());
    assert_eq!(servers[1].admin().get("/v1/stats").is(200).json()["reviews"]["pending"], 0);
    servers.iter_mut().for_each(Server::stop);
    let counts = common.places.each_ref().map(|place| told(place, "trail.review_decided"));
    assert_eq!(counts[0] + counts[1], ROUNDS, "{counts:?}");
}

#[test]
fn a_tenants_reviewer_sees_and_decides_its_own_reviews_at_every_server() {
    let common = Common::new();
    let servers = servers(&common.places);
    servers[0]
        .admin()
        .record(r#"[{"action":"a","id":"e1","tenant":"acme"},{"action":"a","id":"e2","tenant":"other"}]"#);
    let ids = ["e1", "e2"].map(|event| request(&servers[0].admin(), event));
    let acme = servers[1].holder(r#"{"name":"acme","scopes":["review"],"tenant":"acme"}"#);
    let seen = list(&acme, "");
    assert_eq!((seen.len(), &seen[0]["id"]), (1, &json!(ids[0])), "{seen:?}");
    acme.post(&format!("/v1/reviews/{}", ids[1]), decision("approved")).is(404);
    acme.post(&format!("/v1/reviews/{}", ids[0]), decision("approved")).is(200);
    assert_eq!(list(&servers[0].admin(), "?state=pending").len(), 1);
    assert_eq!(list(&servers[0].admin(), "?state=approved").len(), 1);
}

#[test]
fn what_rules_flag_and_what_was_decided_before_comes_into_the_store() {
    let common = Common::new();
    let [first, second] = &common.places;
    // At first it shares no store.
    let settings = first.read("trailseal.toml");
    let rule = "[[rule]]\nwhen = { action = \"odd.*\" }\nreview = \"odd\"\n";
    first.write("trailseal.toml", format!("origin = \"example.com/one\"\n{rule}"));
    let mut server = Server::start(first);
    server.admin().record(r#"[{"action":"odd.one","id":"e1"},{"action":"odd.two","id":"e2"}]"#);
    wait_until("both are flagged", || list(&server.admin(), "?state=pending").len() == 2);
    let id = list(&server.admin(), "")[0]["id"].as_str().unwrap().to_owned();
    server.admin().post(&format!("/v1/reviews/{id}"), decision("rejected")).is(200);
    server.stop();
    first.write("trailseal.toml", settings.replace("[store]", &format!("{rule}[store]")));
    server.launch();
    let other = Server::with(second, &[]);
    wait_until("the other server has both", || list(&other.admin(), "").len() == 2);
    assert_eq!(list(&other.admin(), "?state=rejected")[0]["id"], id.as_str());
    // One that is flagged now comes by itself.
    server.admin().record(r#"{"action":"odd.three","id":"e3"}"#);
    wait_until("the other server has it", || list(&other.admin(), "?state=pending").len() == 2);
    let rows = "SELECT count(*), count(DISTINCT id) FROM trailseal.reviews";
    assert_eq!(common.store.rows(rows), [["3", "3"]]);
}

#[test]
fn while_the_store_is_down_reviews_are_requested_and_not_decided() {
    let mut common = Common::new();
    let Common { store, places } = &mut common;
    let servers = servers(places);
    servers[0].admin().record(r#"{"action":"a","id":"e"}"#);
    let id = request(&servers[0].admin(), "e");
    store.stop();
    let path = format!("/v1/reviews/{id}");
    for server in &servers {
        let refused = server.admin().post(&path, decision("approved")).is(503);
        refused.says(json!({"type": "urn:trailseal:problem:store-unavailable"}));
    }
    let later = request(&servers[0].admin(), "e");
    store.start_again();
    wait_until("the other server has both", || {
        let answer = servers[1].admin().get("/v1/reviews?state=pending");
        answer.status == 200 && answer.json()["reviews"].as_array().unwrap().len() == 2
    });
    for id in [id, later] {
        servers[1].admin().post(&format!("/v1/reviews/{id}"), decision("approved")).is(200);
    }
}

#[test]
fn what_was_decided_stays_even_for_the_owner_of_the_tables() {
    let common = Common::new();
    let server = Server::with(&common.places[0], &[]);
    server.admin().record(r#"{"action":"a","id":"e"}"#);
    let id = request(&server.admin(), "e");
    server.admin().post(&format!("/v1/reviews/{id}"), decision("approved")).is(200);
    server.admin().ask("PUT", "/v1/policy", b"mode = \"sync\"").is(200);
    for sql in [
        "UPDATE trailseal.reviews SET state = 'rejected'",
        "DELETE FROM trailseal.reviews",
        "TRUNCATE trailseal.reviews",
        "DELETE FROM trailseal.decisions",
        "UPDATE trailseal.decisions SET about = '{}'",
        "DELETE FROM trailseal.policies",
    ] {
        assert_eq!(common.store.refused(sql), "42501", "{sql}");
    }
}
