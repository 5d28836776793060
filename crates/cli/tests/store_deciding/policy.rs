//! The policy that is set at run time: one for all servers.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::server::{Client, Server};
use crate::support::wait_until;
use crate::{Common, place, servers, told};

fn put(client: &Client, policy: &str) -> crate::support::server::Response {
    client.ask("PUT", "/v1/policy", policy.as_bytes())
}

fn policy(client: &Client) -> String {
    client.get("/v1/policy").is(200).text()
}

/// How often a trail says that its policy changed, and to what.
fn changes(place: &crate::support::Place) -> Vec<Value> {
    let answer = place
        .run("query --system --action trail.policy_changed --order asc --order-by recorded --format jsonl")
        .ok();
    answer.json_lines().iter().map(|event| event["details"]["to"].clone()).collect()
}

#[test]
fn a_policy_set_at_one_server_is_in_force_at_all_across_restarts() {
    let common = Common::new();
    let mut servers = servers(&common.places);
    let [one, two] = servers.each_ref().map(Server::admin);
    let wanted = put(&one, "mode = \"sync\"").is(200).text();
    wait_until("it reaches the other server", || policy(&two) == wanted);
    let wanted = put(&two, "mode = \"off\"").is(200).text();
    wait_until("it reaches the first", || policy(&one) == wanted);
    servers.iter_mut().for_each(Server::restart);
    for server in &servers {
        assert_eq!(policy(&server.admin()), wanted);
    }
    // One that joins has it from the start.
    let third = place("three", common.store.url_text());
    let joining = Server::knowing(&third, &[], &servers[0].token);
    assert_eq!(policy(&joining.admin()), wanted);
    // A hang-up sets what the settings say, for all.
    joining.hang_up();
    wait_until("the settings are in force", || {
        servers.iter().all(|server| policy(&server.admin()) != wanted)
    });
    wait_until("all is recorded", || common.is_settled());
    drop(joining);
    servers.iter_mut().for_each(Server::stop);
    let [one, two] = &common.places;
    // Each trail has each change once, whoever decided; and the deciding one says who did.
    assert_eq!((changes(one).len(), changes(two).len()), (3, 3));
    assert_eq!(changes(one), changes(two));
    assert_eq!((told(one, "trail.policy_set_by"), told(two, "trail.policy_set_by")), (1, 1));
}

#[test]
fn of_two_servers_that_set_it_at_once_no_decision_is_lost_in_silence() {
    let common = Common::new();
    let servers = servers(&common.places);
    let clients = servers.each_ref().map(Server::admin);
    let mut conflicts = 0;
    let mut set = 0;
    for round in 0..20 {
        let barrier = Barrier::new(2);
        let statuses = std::thread::scope(|scope| {
            let setting = clients.each_ref().map(|client| {
                let barrier = &barrier;
                // Both say something else than what is in force.
                let rate =
                    f64::from(round + 1) / if client.address == clients[0].address { 100.0 } else { 50.0 };
                scope.spawn(move || {
                    barrier.wait();
                    put(client, &format!("mode = \"sampled\"\nrate = {rate}")).status
                })
            });
            setting.map(|setting| setting.join().unwrap())
        });
        for status in statuses {
            match status {
                200 => set += 1,
                409 => conflicts += 1,
                other => panic!("{other}"),
            }
        }
        assert!(statuses.contains(&200), "{statuses:?}");
    }
    assert_eq!(common.store.value("SELECT count(*) FROM trailseal.policies"), set.to_string());
    assert_eq!(set + conflicts, 40);
    wait_until("both have the same", || policy(&clients[0]) == policy(&clients[1]));
}

#[test]
fn a_weaker_policy_is_requested_at_one_server_and_approved_at_another() {
    let common = Common::new();
    for place in &common.places {
        place.write(
            "trailseal.toml",
            format!("{}[review]\nsecond_person = [\"policy\"]\n", place.read("trailseal.toml")),
        );
    }
    let mut servers = servers(&common.places);
    let [one, two] = servers.each_ref().map(Server::admin);
    let ann = servers[0].holder(r#"{"name":"ann","scopes":["admin","review"]}"#);
    let review = put(&ann, "mode = \"off\"").is(202).json();
    let (before, path) = (policy(&one), format!("/v1/reviews/{}", review["id"].as_str().unwrap()));
    let own = servers[1].client(&ann.token).post(&path, r#"{"decision":"approved"}"#).is(403);
    own.says(json!({"type": "urn:trailseal:problem:own-request"}));
    assert_eq!(policy(&two), before);
    two.post(&path, r#"{"decision":"approved"}"#).is(200);
    assert!(policy(&two).contains("off"), "{}", policy(&two));
    wait_until("it reaches the server where it was requested", || policy(&one) == policy(&two));
    // One that is out of date cannot be approved.
    let review = put(&ann, "mode = \"off\"\n[[rule]]\nwhen = { action = \"a\" }\nmode = \"async\"").status;
    assert_eq!(review, 200, "it is stricter");
    two.post(&path, r#"{"decision":"approved"}"#)
        .is(409)
        .says(json!({"type": "urn:trailseal:problem:decided"}));
    wait_until("all is recorded", || common.is_settled());
    servers.iter_mut().for_each(Server::stop);
    let review =
        common.places[0].run("query --system --action trail.policy_changed --format jsonl").ok().json_lines();
    assert!(review.iter().any(|event| event["details"]["by"] == "review"), "{review:?}");
}

#[test]
fn while_the_store_is_down_the_last_policy_stays_and_none_is_set() {
    let mut common = Common::new();
    let Common { store, places } = &mut common;
    let mut servers = servers(places);
    let wanted = put(&servers[0].admin(), "mode = \"sync\"").is(200).text();
    wait_until("it reaches the other server", || policy(&servers[1].admin()) == wanted);
    store.stop();
    let refused = put(&servers[1].admin(), "mode = \"off\"").is(503);
    refused.says(json!({"type": "urn:trailseal:problem:store-unavailable"}));
    servers[1].restart();
    assert_eq!(policy(&servers[1].admin()), wanted);
    servers[1].admin().post("/v1/events", r#"{"action":"a"}"#).is(202);
    servers[1].stop();
    places[1].run("policy set async").could_not(&["could not connect"]);
    store.start_again();
    places[1].run("policy set async").ok();
    wait_until("it reaches the first server", || policy(&servers[0].admin()) != wanted);
    places[1].run("policy set settings").ok();
    assert_eq!(store.value("SELECT count(*) FROM trailseal.policies"), "3");
}
