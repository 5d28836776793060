//! Weakening the policy, where that needs a second person.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Barrier;

use serde_json::{Value, json};
use support::Place;
use support::server::{Client, Connection, Server};

const SETTINGS: &str = "review.second_person = [\"policy\"]\nmode = \"sync\"\n";

fn place() -> Place {
    let place = Place::new();
    place.write("trailseal.toml", SETTINGS);
    place
}

/// Somebody who may change the policy and decide.
fn person(server: &Server<'_>, name: &str) -> Client {
    server.holder(&format!(r#"{{"name":"{name}","scopes":["admin","review","write","read"]}}"#))
}

fn policy(client: &Client) -> String {
    client.get("/v1/policy").is(200).text()
}

/// Asks for a weaker policy; gives the path of its review.
#[track_caller]
fn ask(client: &Client, policy: &str) -> String {
    let answer = client.ask("PUT", "/v1/policy", policy.as_bytes()).is(202).json();
    assert_eq!((&answer["state"], &answer["kind"]), (&json!("pending"), &json!("policy")), "{answer}");
    format!("/v1/reviews/{}", answer["id"].as_str().unwrap())
}

fn reviews(client: &Client) -> Vec<Value> {
    client.get("/v1/reviews").is(200).json()["reviews"].as_array().unwrap().clone()
}

const APPROVE: &str = r#"{"decision":"approved","comment":"seen"}"#;
const REJECT: &str = r#"{"decision":"rejected"}"#;

#[test]
fn a_weakening_waits_for_a_second_person_across_restarts() {
    let place = place();
    let mut server = Server::start(&place);
    let tokens = ["ann", "bob"].map(|name| person(&server, name).token);
    let ann = server.client(&tokens[0]);
    // Not as strict as the settings; then stricter, which is in force at once.
    let strict = "mode = \"sync\"\n\n[[rule]]\nwhen = { action = [\"refund.*\"] }\nmode = \"async\"\nreview = \"look\"\n";
    ask(&ann, strict);
    let strict = strict.replace("async", "sync");
    assert_eq!(ann.ask("PUT", "/v1/policy", strict.as_bytes()).is(200).text(), strict);
    // Weaker: not before somebody else said so.
    let weak = "mode = \"async\"\n";
    let path = ask(&ann, weak);
    for kill in [false, true] {
        let (ann, bob) = (server.client(&tokens[0]), server.client(&tokens[1]));
        assert_eq!(policy(&ann), strict);
        let review =
            reviews(&bob).into_iter().find(|review| path.ends_with(review["id"].as_str().unwrap())).unwrap();
        for (name, value) in [
            ("kind", json!("policy")),
            ("state", json!("pending")),
            ("requested_by", json!("ann")),
            ("from", json!(strict)),
            ("to", json!(weak)),
        ] {
            assert_eq!(review[name], value, "{name}: {review}");
        }
        let weakens = review["weakens"].to_string();
        assert!(weakens.contains("mode sync becomes async") && weakens.contains("no review"), "{weakens}");
        ann.post(&path, APPROVE).is(403).says(json!({"type": "urn:trailseal:problem:own-request"}));
        match kill {
            false => server.restart(),
            true => {
                server.kill();
                server.launch();
            }
        }
    }
    let (ann, bob) = (server.client(&tokens[0]), server.client(&tokens[1]));
    assert_eq!(bob.post(&path, APPROVE).is(200).json()["state"], "approved");
    assert_eq!(policy(&ann), weak);
    bob.post(&path, APPROVE).is(409).says(json!({"state": "approved", "decided_by": "bob"}));
    server.kill();
    server.launch();
    let (ann, bob) = (server.client(&tokens[0]), server.client(&tokens[1]));
    assert_eq!(policy(&ann), weak);
    // Rejected, by whoever asked or by another: nothing happens.
    for client in [&ann, &bob] {
        let path = ask(&ann, "mode = \"off\"\n");
        client.post(&path, REJECT).is(200);
        bob.post(&path, APPROVE).is(409).says(json!({"state": "rejected"}));
    }
    assert_eq!(policy(&ann), weak);
    server.stop();
    let changes = place
        .run("query --system --action trail.policy_changed --format jsonl --order asc")
        .ok()
        .json_lines();
    let by: Vec<&str> = changes.iter().map(|change| change["details"]["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["set", "review"]);
    assert!(path.ends_with(changes[1]["details"]["review"].as_str().unwrap()));
    assert_eq!(place.run("query --system --action trail.review_requested --count").ok().out.trim(), "4");
    assert_eq!(place.run("query --system --action trail.review_decided --count").ok().out.trim(), "3");
    assert_eq!(place.run("verify --json").ok().json()["unsealed"], 0);
}

#[test]
fn a_change_that_no_longer_fits_is_told_and_not_made() {
    let place = place();
    let mut server = Server::start(&place);
    let (ann, bob) = (person(&server, "ann"), person(&server, "bob"));
    let path = ask(&ann, "mode = \"off\"\n");
    let stricter = "mode = \"sync\"\ntimeout_ms = 5000\n\n[[rule]]\nwhen = { action = [\"x\"] }\nmode = \"sync\"\nreview = \"y\"\n";
    bob.ask("PUT", "/v1/policy", stricter.as_bytes()).is(200);
    for _ in 0..2 {
        let (ann, bob) = (server.client(&ann.token), server.client(&bob.token));
        assert_eq!(reviews(&bob)[0]["outdated"], true);
        bob.post(&path, APPROVE).is(409).says(json!({"type": "urn:trailseal:problem:outdated"}));
        assert_eq!(policy(&ann), stricter);
        assert_eq!(reviews(&bob)[0]["state"], "pending", "it is still to be rejected");
        server.restart();
    }
    server.client(&bob.token).post(&path, REJECT).is(200);
}

#[test]
fn of_two_who_approve_at_once_one_does() {
    let place = place();
    let server = Server::start(&place);
    let ann = person(&server, "ann");
    let others = ["bob", "eve", "joe"].map(|name| person(&server, name));
    for round in 0..6 {
        let (weak, strict) = ("mode = \"async\"\n", "mode = \"sync\"\n");
        let path = ask(&ann, weak);
        let barrier = Barrier::new(others.len());
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let deciding: Vec<_> = others
                .iter()
                .map(|client| {
                    let (path, barrier) = (&path, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        client.post(path, APPROVE).status
                    })
                })
                .collect();
            deciding.into_iter().map(|deciding| deciding.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409], "round {round}");
        assert_eq!(policy(&ann), weak);
        ann.ask("PUT", "/v1/policy", strict.as_bytes()).is(200);
    }
    server.admin().record(r#"{"action":"last"}"#);
    assert_eq!(server.admin().count("system=true&action=trail.review_decided"), 6);
}

#[test]
fn what_was_approved_is_in_force_whenever_the_server_is_killed() {
    const ROUNDS: u64 = 12;
    const ROUNDS_MAX: u64 = 100;
    let place = place();
    let mut server = Server::start(&place);
    let tokens = ["ann", "bob"].map(|name| person(&server, name).token);
    let (mut approved, mut round) = (0, 0);
    // Killed later each round; on a slow machine no decision comes before the first kills.
    while round < ROUNDS || approved == 0 {
        assert!(round < ROUNDS_MAX, "in no round was it killed after the decision");
        let (ann, bob) = (server.client(&tokens[0]), server.client(&tokens[1]));
        ann.ask("PUT", "/v1/policy", b"mode = \"sync\"\n").is(200);
        let path = ask(&ann, "mode = \"async\"\n");
        let told = std::thread::scope(|scope| {
            let deciding = scope.spawn(|| {
                let mut connection = Connection::open(&bob).ok()?;
                connection.try_ask("POST", &path, APPROVE.as_bytes()).ok()
            });
            std::thread::sleep(std::time::Duration::from_millis(round * 2));
            server.kill();
            deciding.join().unwrap()
        });
        server.launch();
        let ann = server.client(&tokens[0]);
        let review =
            reviews(&ann).into_iter().find(|review| path.ends_with(review["id"].as_str().unwrap())).unwrap();
        let is_approved = review["state"] == "approved";
        assert_eq!(
            policy(&ann),
            if is_approved { "mode = \"async\"\n" } else { "mode = \"sync\"\n" },
            "{review}"
        );
        assert!(is_approved || told.is_none_or(|told| told.status != 200), "round {round}: it was told");
        approved += u64::from(is_approved);
        round += 1;
    }
}

#[test]
fn who_may_not_decide_does_not() {
    let place = place();
    let server = Server::start(&place);
    let ann = person(&server, "ann");
    let path = ask(&ann, "mode = \"off\"\n");
    let tenant = server.holder(r#"{"name":"t","scopes":["admin","review"],"tenant":"acme"}"#);
    tenant.post(&path, APPROVE).is(404);
    assert!(reviews(&tenant).is_empty(), "it is about all tenants");
    let admin = server.holder(r#"{"name":"a","scopes":["admin","read","write"]}"#);
    admin.post(&path, APPROVE).is(403);
    // A step that somebody hands in as an event is none.
    let id = path.rsplit('/').next().unwrap();
    let forged = json!({"action": "trail.review_decided", "system": true, "details": {"review": id, "decision": "approved"}});
    admin.post("/v1/events?ack=durable", forged.to_string());
    assert_eq!(reviews(&ann)[0]["state"], "pending");
    assert!(policy(&ann).contains("sync"));
    let many: String =
        (0..30).map(|n| format!("[[rule]]\nwhen = {{ action = \"a{n}\" }}\nmode = \"off\"\n")).collect();
    let answer = ann.ask("PUT", "/v1/policy", many.as_bytes()).is(202).json();
    let weakens = answer["weakens"].as_array().unwrap();
    assert_eq!((weakens.len(), &weakens[20]), (21, &json!("and more: compare the policies")));
    let huge: String = (0..900)
        .map(|n| format!("[[rule]]\nwhen = {{ action = \"a-long-action-number-{n}\" }}\nmode = \"off\"\n"))
        .collect();
    // Nor one that is stricter: nobody could take it back.
    let strict = format!("mode = \"sync\"\n{}", huge.replace("off", "sync"));
    for huge in [strict, huge] {
        let answer = ann.ask("PUT", "/v1/policy", huge.as_bytes()).is(422).text();
        assert!(answer.contains("too many for a review"), "{answer}");
    }
}

#[test]
fn no_mask_makes_two_persons_of_one() {
    let place = place();
    place.write(
        "trailseal.toml",
        format!("{SETTINGS}mask.keys = [\"actor\", \"review\", \"decision\", \"reason\"]\n"),
    );
    let mut server = Server::start(&place);
    // One has a name that looks like a secret.
    let secret = "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0fG3hJ6";
    let tokens = ["ann", secret, "bob"].map(|name| person(&server, name).token);
    let paths = [0, 1].map(|who| ask(&server.client(&tokens[who]), "mode = \"off\"\n"));
    for round in 0..2 {
        for (who, path) in paths.iter().enumerate() {
            let answer = server.client(&tokens[who]).post(path, APPROVE).is(403);
            answer.says(json!({"type": "urn:trailseal:problem:own-request"}));
        }
        let by: Vec<Value> =
            reviews(&server.admin()).iter().map(|review| review["requested_by"].clone()).collect();
        assert_eq!(by, [json!(secret), json!("ann")], "round {round}");
        server.restart();
    }
    server.client(&tokens[2]).post(&paths[0], APPROVE).is(200);
    for _ in 0..2 {
        let decided = &reviews(&server.admin())[1];
        assert_eq!((&decided["state"], &decided["decided_by"]), (&json!("approved"), &json!("bob")));
        server.restart();
    }
}

#[test]
fn the_command_and_the_signal_are_no_way_around() {
    let place = place();
    let mut server = Server::start(&place);
    let answer = place.run("policy set async").no();
    assert!(answer.err.contains("needs a second person"), "{}", answer.err);
    let review = reviews(&server.admin()).remove(0);
    assert_eq!((&review["requested_by"], &review["to"]), (&json!("owner"), &json!("mode = \"async\"\n")));
    assert!(answer.err.contains(review["id"].as_str().unwrap()), "{}", answer.err);
    // The settings are weaker now: a signal does not bring them into force.
    place.write("trailseal.toml", "review.second_person = [\"policy\"]\nmode = \"off\"\n");
    server.hang_up();
    server.tells("needs a second person");
    assert!(policy(&server.admin()).contains("sync"));
    server.admin().post(&format!("/v1/reviews/{}", review["id"].as_str().unwrap()), APPROVE).is(200);
    assert!(policy(&server.admin()).contains("async"));
    // Stricter, by the command: at once.
    place.run("policy set sync").ok();
    assert!(policy(&server.admin()).contains("sync"));
    server.stop();
    // Without a server there is nobody to ask.
    place.run("policy set async").could_not(&["second person", "mode sync becomes async", "trailseal serve"]);
    place.run("policy set settings").could_not(&["second person"]);
    assert!(place.run("policy show").ok().out.contains("mode = \"sync\""));
    place.write("trailseal.toml", "mode = \"off\"\n");
    place.run("policy set async").ok();
}

#[test]
fn by_default_one_is_enough_and_open_servers_have_no_second() {
    let place = Place::new();
    let mut server = Server::start(&place);
    server.admin().ask("PUT", "/v1/policy", b"mode = \"off\"\n").is(200);
    assert!(reviews(&server.admin()).is_empty());
    server.stop();
    place.write("trailseal.toml", SETTINGS);
    place.run("serve --open --listen 127.0.0.1:0").could_not(&["review.second_person"]);
    place.write("trailseal.toml", "review.second_person = [\"all\"]\n");
    place.run("stats").could_not(&["trailseal.toml:1", "review.second_person", "policy"]);
}

#[test]
fn an_approved_change_that_cannot_be_made_can_be_asked_for_again() {
    let place = place();
    let server = Server::start(&place);
    let [ann, bob] = ["ann", "bob"].map(|name| person(&server, name));
    let before = policy(&ann);
    let weak = "mode = \"async\"\n";
    let path = ask(&ann, weak);
    // Where it would be kept, something else is.
    std::fs::create_dir_all(place.path("trail/policy.toml/in the way")).unwrap();
    let answer = bob.post(&path, APPROVE).is(500);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("approved") && detail.contains("request the same change again"), "{detail}");
    assert_eq!(policy(&ann), before);
    bob.post(&path, APPROVE).is(409).says(json!({"state": "approved"}));
    std::fs::remove_dir_all(place.path("trail/policy.toml")).unwrap();
    bob.post(&ask(&ann, weak), APPROVE).is(200);
    assert_eq!(policy(&ann), weak);
}
