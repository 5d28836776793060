//! Viewer tokens: what one server makes the others know, as long as they know its key and whoever made it.

use serde_json::json;

use crate::support::server::{Client, Server};
use crate::support::wait_until;
use crate::tokens::earlier;
use crate::{Common, servers};

fn status(server: &Server<'_>, token: &str) -> u16 {
    server.client(token).get("/v1/events").status
}

fn make(client: &Client) -> String {
    let body = json!({"tenant": "acme", "ttl_seconds": 600}).to_string();
    client.post("/v1/viewer-tokens", body).is(201).json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_viewer_token_of_one_server_shows_the_same_at_the_other_until_its_maker_is_revoked() {
    let common = Common::new();
    let servers = servers(&common.places);
    let events = r#"[{"action":"a","id":"e1","tenant":"acme"},{"action":"a","id":"e2","tenant":"other"}]"#;
    servers[0].admin().post("/v1/events?ack=store", events).is(202);
    let app = servers[0].holder(r#"{"name":"app","scopes":["read"]}"#);
    let token = make(&app);
    // At once, though the other one may not have looked since.
    for server in [&servers[1], &servers[0]] {
        let found = server.client(&token).get("/v1/events").is(200).events();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["id"], "e1");
        server.client(&token).get("/v1/events?tenant=other").is(403);
        server.client(&token).post("/v1/events", r#"{"action":"a"}"#).is(403);
        server.client(&token).post("/v1/viewer-tokens", "{}").is(403);
    }
    // Of two with one name, the first one's grants are not the second one's.
    servers[1].admin().ask("DELETE", "/v1/tokens/app", b"").is(204);
    servers[1].holder(r#"{"name":"app","scopes":["read"]}"#);
    assert_eq!(status(&servers[1], &token), 401);
    wait_until("it stops where it was made", || status(&servers[0], &token) == 401);
}

#[test]
fn the_store_has_nothing_that_a_viewer_token_can_be_made_of() {
    let common = Common::new();
    let servers = servers(&common.places);
    let token = make(&servers[0].admin());
    assert_eq!(status(&servers[1], &token), 200);
    let secrets = common.places.each_ref().map(|place| {
        let kept: serde_json::Value = serde_json::from_str(&place.read("trail/tokens.json")).unwrap();
        kept["viewer_secret"].as_str().unwrap().to_owned()
    });
    let rows = common.store.rows("SELECT origin, key FROM trailseal.viewer_keys ORDER BY origin");
    assert_eq!(
        rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(),
        ["example.com/one", "example.com/two"]
    );
    for row in &rows {
        assert!(row[1].starts_with("viewer+"), "a public key: {row:?}");
        assert!(secrets.iter().all(|secret| !row.concat().contains(secret.as_str())), "{row:?}");
    }
    // A key that has not been renewed for a day counts nowhere but at its server.
    let kept = |ago: &str| {
        let set = format!("UPDATE trailseal.viewer_keys SET kept = now() - interval '{ago}'");
        common.store.execute(&format!("{set} WHERE origin = 'example.com/one'"));
    };
    kept("25 hours");
    wait_until("the other server no longer knows it", || status(&servers[1], &token) == 401);
    assert_eq!(status(&servers[0], &token), 200);
    kept("0 hours");
    wait_until("the other server knows it", || status(&servers[1], &token) == 200);
}

#[test]
fn a_key_that_was_rejected_counts_at_no_other_server_until_there_is_a_new_one() {
    let common = Common::new();
    let mut servers = servers(&common.places);
    let token = make(&servers[0].admin());
    assert_eq!(status(&servers[1], &token), 200);
    let reject = |origin: &str| common.places[1].run(&format!("store reject-viewers {origin} --json"));
    assert_eq!(reject("example.com/one").ok().json(), json!({"origin": "example.com/one", "rejected": 1}));
    for none_left in ["example.com/one", "example.com/three"] {
        reject(none_left).no();
    }
    wait_until("the other server rejects it", || status(&servers[1], &token) == 401);
    assert_eq!(status(&servers[0], &token), 200);
    // At its start a server renews its key at once.
    servers[0].stop();
    servers[0].launch();
    wait_until("it is told so", || servers[0].log().contains("was rejected in the store"));
    let later = make(&servers[0].admin());
    assert_eq!((status(&servers[0], &later), status(&servers[1], &later)), (200, 401));
    servers[0].stop();
    let mut kept: serde_json::Value =
        serde_json::from_str(&common.places[0].read("trail/tokens.json")).unwrap();
    kept.as_object_mut().unwrap().remove("viewer_secret").unwrap();
    common.places[0].write("trail/tokens.json", kept.to_string());
    servers[0].launch();
    let new = make(&servers[0].admin());
    assert_eq!((status(&servers[0], &new), status(&servers[1], &new)), (200, 200));
    assert_eq!((status(&servers[0], &later), status(&servers[1], &token)), (401, 401));
}

#[test]
fn keys_that_could_not_be_read_for_ten_minutes_count_no_more() {
    let common = Common::new();
    let mut servers = servers(&common.places);
    let token = make(&servers[0].admin());
    assert_eq!(status(&servers[1], &token), 200);
    let place = &common.places[1];
    wait_until("the other server remembers the key", || {
        place.read("trail/tokens.json").matches("viewer+").count() == 2
    });
    servers[1].stop();
    // As where the rights on this one table are missing: everything else can be read.
    common.store.execute("ALTER TABLE trailseal.viewer_keys RENAME TO away");
    servers[1].launch();
    assert_eq!(status(&servers[1], &token), 200, "it knew the key lately");
    servers[1].stop();
    let mut kept: serde_json::Value = serde_json::from_str(&place.read("trail/tokens.json")).unwrap();
    let as_of = kept["shared"]["viewer_keys_as_of"].as_str().unwrap();
    kept["shared"]["viewer_keys_as_of"] = earlier(as_of, 11).into();
    place.write("trail/tokens.json", kept.to_string());
    servers[1].launch();
    assert_eq!(status(&servers[1], &token), 401);
    common.store.execute("ALTER TABLE trailseal.away RENAME TO viewer_keys");
    wait_until("it knows the key again", || status(&servers[1], &token) == 200);
}

#[test]
fn while_the_store_is_down_known_viewer_tokens_work_also_after_a_restart() {
    let mut common = Common::new();
    let Common { store, places } = &mut common;
    let mut servers = servers(places);
    let token = make(&servers[0].admin());
    assert_eq!(status(&servers[1], &token), 200);
    wait_until("the other server remembers the key", || {
        places[1].read("trail/tokens.json").matches("viewer+").count() == 2
    });
    store.stop();
    // It is let in; only there is nothing to be searched.
    assert_eq!(status(&servers[1], &token), 503);
    servers[1]
        .client(&token)
        .get("/v1/events")
        .says(json!({"type": "urn:trailseal:problem:store-unavailable"}));
    assert_eq!(servers[1].client(&token).post("/v1/events", r#"{"action":"a"}"#).status, 403);
    servers[1].stop();
    servers[1].launch();
    assert_eq!(servers[1].client(&token).post("/v1/events", r#"{"action":"a"}"#).status, 403);
    // One that it makes meanwhile works at once here, and at the other server when the store is there again.
    let later = make(&servers[1].admin());
    assert_eq!(servers[1].client(&later).post("/v1/events", r#"{"action":"a"}"#).status, 403);
    store.start_again();
    wait_until("the first server knows it", || status(&servers[0], &later) == 200);
}
