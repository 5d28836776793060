//! What a rule flags in a trail that has no server is in the queue of every server of the store.

use serde_json::{Value, json};

use crate::support::Place;
use crate::support::server::{Client, Server};
use crate::support::wait_until;
use crate::{Common, place, postgres, servers};

const RULE: &str = "[[rule]]\nwhen = { action = \"odd.*\" }\nreview = \"looks odd\"\n";

/// A trail with a rule, which commands write into and deliver.
fn writer(name: &str, url: &str) -> Place {
    let place = place(name, url);
    let settings = place.read("trailseal.toml");
    place.write("trailseal.toml", settings.replace("[store]", &format!("{RULE}[store]")));
    place
}

fn pending(client: &Client) -> Vec<Value> {
    client.get("/v1/reviews?state=pending").is(200).json()["reviews"].as_array().unwrap().clone()
}

#[test]
fn flags_of_trails_without_a_server_are_in_every_queue_and_decided_once() {
    let common = Common::new();
    let library = writer("library", common.store.url_text());
    library
        .feed(
            "record --ack store",
            "{\"action\":\"plain\"}\n{\"action\":\"odd.one\",\"id\":\"o1\",\"tenant\":\"acme\"}\n",
        )
        .ok();
    let servers = servers(&common.places);
    for server in &servers {
        wait_until("the flag is in the queue", || pending(&server.admin()).len() == 1);
    }
    library.feed("record --ack store", "{\"action\":\"odd.two\",\"id\":\"o2\"}\n").ok();
    wait_until("so is the next", || pending(&servers[1].admin()).len() == 2);
    let found = pending(&servers[0].admin());
    assert_eq!((&found[0]["event"], &found[1]["event"]), (&json!("o2"), &json!("o1")), "{found:?}");
    for review in &found {
        assert_eq!((&review["reason"], &review["requested_by"]), (&json!("looks odd"), &json!("policy")));
        assert_eq!(review["origin"], "example.com/library");
        // It names the event where it is.
        let (origin, index) = (review["origin"].as_str().unwrap(), review["index"].as_u64().unwrap());
        let event = servers[0].admin().get(&format!("/v1/events/{index}?origin={origin}")).is(200).json();
        assert_eq!(event["id"], review["event"], "{event}");
    }
    // A tenant's reviewer sees those of its tenant.
    let acme = servers[1].holder(r#"{"name":"acme","scopes":["review"],"tenant":"acme"}"#);
    let seen = pending(&acme);
    assert_eq!((seen.len(), &seen[0]["event"]), (1, &json!("o1")), "{seen:?}");
    let path = format!("/v1/reviews/{}", found[1]["id"].as_str().unwrap());
    let approved = json!({"decision": "approved"}).to_string();
    acme.post(&path, &approved).is(200);
    servers[0].admin().post(&path, &approved).is(409);
    assert_eq!(pending(&servers[0].admin()).len(), 1);
    assert_eq!(common.store.value("SELECT count(*) FROM trailseal.reviews"), "2");
}

#[test]
fn what_a_server_decided_before_it_shared_the_store_counts_though_another_found_the_flag_first() {
    let common = Common::new();
    let alone = Place::new();
    alone.write("trailseal.toml", format!("origin = \"example.com/alone\"\n{RULE}"));
    let mut server = Server::start(&alone);
    server.admin().record(r#"[{"action":"odd.one","id":"e1"},{"action":"odd.two","id":"e2"}]"#);
    wait_until("both are flagged", || pending(&server.admin()).len() == 2);
    let id = pending(&server.admin())[0]["id"].as_str().unwrap().to_owned();
    server.admin().post(&format!("/v1/reviews/{id}"), r#"{"decision":"rejected"}"#).is(200);
    server.stop();
    let other = Server::with(&common.places[0], &[]);
    // Its events come into the store by a command, so both flags do.
    let settings = alone.read("trailseal.toml");
    alone.write(
        "trailseal.toml",
        settings.replace(RULE, &format!("{RULE}[store]\nurl = \"{}\"\n", common.store.url_text())),
    );
    alone.feed("record --ack store", "{\"action\":\"plain\"}\n").ok();
    wait_until("both wait", || pending(&other.admin()).len() == 2);
    server.launch();
    wait_until("one is decided", || pending(&other.admin()).len() == 1);
    let rejected = other.admin().get("/v1/reviews?state=rejected").is(200).json();
    assert_eq!(rejected["reviews"][0]["id"], id.as_str(), "{rejected}");
}

#[test]
fn a_writer_gets_only_flags_into_the_queue_and_none_without_its_event() {
    let common = Common::new();
    let library = writer("library", common.store.url_text());
    library.feed("record --ack store", "{\"action\":\"odd.one\",\"id\":\"o1\"}\n").ok();
    let next = common.store.value("SELECT next FROM trailseal.cursors WHERE origin = 'example.com/library'");
    let next: u64 = next.parse().unwrap();
    // As a writer could add them by SQL: a change of the policy to be approved, a flag of an event that is not there, one that names
    // the event of another trail, and one without a place. The first is followed by the event that it names, as a flag is.
    let line = |index: u64, rest: Value| {
        let mut line = json!({"v": 1, "index": index, "recorded": "2026-11-30T00:00:00.000000Z"});
        // A trail has this member before those of the event.
        if rest["system"] == true {
            line["system"] = true.into();
        }
        line["id"] = format!("f{index}").into();
        (line["category"], line["severity"]) = ("system".into(), "info".into());
        line.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        line.to_string()
    };
    let requested =
        |details: Value| json!({"system": true, "action": "trail.review_requested", "details": details});
    let forged = [
        requested(
            json!({"review": "019a01f2-7c00-7abc-8def-0123456789a1", "origin": "example.com/library", "event": "o2", "ahead": 1,
            "change": "policy", "from": "", "to": "mode = \"off\""}),
        ),
        json!({"id": "o2", "action": "odd.two"}),
        requested(
            json!({"review": "019a01f2-7c00-7abc-8def-0123456789a2", "origin": "example.com/library", "event": "gone", "ahead": 1}),
        ),
        requested(
            json!({"review": "019a01f2-7c00-7abc-8def-0123456789a3", "origin": "example.com/one", "event": "o1", "ahead": 1}),
        ),
        requested(
            json!({"review": "019a01f2-7c00-7abc-8def-0123456789a4", "origin": "example.com/library", "event": "o1", "index": 1}),
        ),
    ];
    for (index, rest) in (next..).zip(&forged) {
        insert(&common.store, "example.com/library", index, &line(index, rest.clone()));
    }
    let end = next + forged.len() as u64;
    common
        .store
        .execute(&format!("UPDATE trailseal.cursors SET next = {end} WHERE origin = 'example.com/library'"));
    let server = Server::with(&common.places[0], &[]);
    wait_until("all was looked at", || {
        let seen =
            "SELECT coalesce(max(next), 0) FROM trailseal.flag_cursors WHERE origin = 'example.com/library'";
        common.store.value(seen) == end.to_string()
    });
    let found = pending(&server.admin());
    assert_eq!((found.len(), &found[0]["event"]), (1, &json!("o1")), "{found:?}");
    // Nor is any there that is not shown yet, such as a change of a policy that may come into force.
    let reviews = common.store.rows("SELECT line::text, id FROM trailseal.reviews");
    assert_eq!(reviews.len(), 1, "{reviews:?}");
}

#[test]
fn flags_whose_events_never_come_hold_up_no_other_trail_and_are_given_up() {
    let common = Common::new();
    let library = writer("library", common.store.url_text());
    library.feed("record --ack store", "{\"action\":\"plain\"}\n").ok();
    // More than one look takes, and recorded before anything of the others.
    for index in 0..600_u64 {
        let details = json!({"review": format!("019a01f2-7c00-7abc-8def-{index:012x}"), "origin": "example.com/noise", "event": "gone", "ahead": 1000});
        let line = json!({"v": 1, "index": index, "recorded": "2026-11-30T00:00:00.000000Z", "system": true, "id": format!("f{index}"),
            "category": "system", "action": "trail.review_requested", "severity": "info", "details": details});
        insert(&common.store, "example.com/noise", index, &line.to_string());
    }
    common.store.execute("INSERT INTO trailseal.cursors VALUES ('example.com/noise', 600)");
    // And trails that lag further than any, and have no rows.
    common.store.execute(
        "INSERT INTO trailseal.cursors SELECT 'example.com/far' || n, 1::bigint << 62 FROM generate_series(1, 20) AS n",
    );
    let server = Server::with(&common.places[0], &[]);
    library.feed("record --ack store", "{\"action\":\"odd.one\",\"id\":\"o1\"}\n").ok();
    wait_until("the flag is in the queue", || pending(&server.admin()).len() == 1);
    // Others of that trail arrive, and the event of its flag does not.
    common.store.execute("UPDATE trailseal.cursors SET next = 601 WHERE origin = 'example.com/noise'");
    wait_until("it is given up", || {
        let log = server.log();
        log.lines()
            .any(|line| line.contains("its event has not arrived") && line.contains("example.com/noise"))
    });
    wait_until("the cursor goes on", || {
        common.store.value(
            "SELECT count(*) FROM trailseal.flag_cursors WHERE origin = 'example.com/noise' AND next > 0",
        ) == "1"
    });
    library.feed("record --ack store", "{\"action\":\"odd.two\",\"id\":\"o2\"}\n").ok();
    wait_until("so is the next", || pending(&server.admin()).len() == 2);
}

#[test]
fn what_was_flagged_before_the_servers_followed_comes_into_the_queue_only_if_somebody_wants_it() {
    let common = Common::new();
    let library = writer("library", common.store.url_text());
    library.feed("record --ack store", "{\"action\":\"odd.one\",\"id\":\"o1\"}\n").ok();
    // A store of the version before.
    common.store.execute("DROP TABLE trailseal.viewer_keys, trailseal.flag_cursors");
    common.store.execute("DELETE FROM trailseal.migrations WHERE version = 5");
    let server = Server::with(&common.places[0], &[]);
    library.feed("record --ack store", "{\"action\":\"odd.two\",\"id\":\"o2\"}\n").ok();
    wait_until("what is new is in the queue", || pending(&server.admin()).len() == 1);
    assert_eq!(pending(&server.admin())[0]["event"], "o2");
    common.store.execute("UPDATE trailseal.flag_cursors SET next = 0 WHERE origin = 'example.com/library'");
    wait_until("so is what is old", || pending(&server.admin()).len() == 2);
}

fn insert(store: &postgres::Server, origin: &str, index: u64, line: &str) {
    let event: Value = serde_json::from_str(line).unwrap();
    let [id, action] = ["id", "action"].map(|field| event[field].as_str().unwrap_or_default());
    let is_system = event["system"] == true;
    store.execute(&format!(
        "SELECT trailseal.make_partition(now()); \
         INSERT INTO trailseal.events (origin, idx, recorded, time, id, action, system, leaf, line) \
         VALUES ('{origin}', {index}, now(), now(), '{id}', '{action}', {is_system}, \
         sha256('x'), convert_to('{}', 'UTF8'))",
        line.replace('\'', "''")
    ));
}
