//! Fields that say who it is, seen from outside: kept apart, hashed where they are secrets, and found by their plain value
//! on the command line, over HTTP, with the index and without.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use serde_json::json;
use support::Place;
use support::server::Server;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
const OTHER_JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIyIn0.c2lnbmF0dXJl";
const CARDS: [&str; 3] = ["4242424242424242", "4000056655665556", "5555555555554444"];

fn count(place: &Place, filter: &[&str]) -> String {
    place.run_all(&[&["query", "--count"], filter].concat()).ok().out.trim().to_owned()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn tenants_that_look_like_cards_stay_apart() {
    let place = Place::new();
    let server = Server::start(&place);
    let admin = server.admin();
    for tenant in CARDS {
        // The same id each time: one tenant's event is no repeat of another's, and no conflict.
        let event = json!({"action": "pay", "id": "1", "tenant": tenant, "actor": {"id": tenant}});
        let answer = admin.post("/v1/events", event.to_string()).is(202).json();
        assert_eq!(answer["accepted"], 1, "{answer}");
    }
    admin.record(json!({"action": "pay", "id": "2", "tenant": JWT}).to_string());
    admin.record(json!({"action": "pay", "id": "2", "tenant": OTHER_JWT}).to_string());
    for tenant in CARDS {
        let reader =
            server.holder(&json!({"name": tenant, "scopes": ["read"], "tenant": tenant}).to_string());
        let events = reader.get("/v1/events").is(200).events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!((&events[0]["tenant"], &events[0]["actor"]["id"]), (&json!(tenant), &json!(tenant)));
        assert!(events[0].get("masked").is_none(), "{events:?}");
    }
    // What masking leaves elsewhere is no tenant that anything was merged into.
    for tenant in ["***", "REDACTED", ""] {
        let name = format!("of-{}", tenant.len());
        let reader = server.holder(&json!({"name": name, "scopes": ["read"], "tenant": tenant}).to_string());
        assert_eq!(reader.count(""), 0, "{tenant}");
    }
    assert_eq!(admin.count(&format!("tenant={JWT}")), 1);
}

#[test]
fn no_token_is_made_for_a_tenant_that_no_event_keeps() {
    let place = Place::new();
    let long = "t".repeat(1_025);
    let create =
        |tenant: &str| place.run_all(&["token", "create", "x", "--scope", "read", "--tenant", tenant]);
    create(JWT).could_not(&["the tenant is a secret (jwt)"]);
    create(&long).could_not(&["the tenant has 1025 bytes: use at most 1024"]);
    let mut server = Server::start(&place);
    create(JWT).could_not(&["the tenant is a secret (jwt)"]);
    let admin = server.admin();
    for tenant in [JWT, &long] {
        let body = json!({"name": "x", "scopes": ["read"], "tenant": tenant}).to_string();
        let refused = admin.post("/v1/tokens", body).is(422);
        assert_eq!(refused.json()["field"], "tenant");
        assert!(!refused.text().contains(tenant));
        let refused = admin.post("/v1/viewer-tokens", json!({"tenant": tenant}).to_string()).is(422);
        assert_eq!(refused.json()["field"], "tenant");
    }
    let list = place.run("token list --json").ok().json();
    assert!(list["tokens"].as_array().unwrap().iter().all(|token| token["name"] != "x"), "{list}");
    server.stop();
    let everything = place.run("query --system --format jsonl").ok().out + &server.log();
    assert!(!everything.contains(JWT));
}

/// Events with a secret in each field that a filter asks for.
fn secret_events() -> String {
    let one = |id: &str, secret: &str| {
        json!({
            "action": "a", "id": id, "actor": {"id": secret}, "on_behalf_of": {"id": secret},
            "resource": {"type": "doc", "id": secret}, "tenant": secret,
            "context": {"request_id": secret, "correlation_id": secret, "session_id": secret, "trace_id": secret},
        })
        .to_string()
            + "\n"
    };
    one("1", JWT) + &one("2", OTHER_JWT) + &one(JWT, "plain") + &one("4", "plain")
}

const FILTERS: [&str; 7] = [
    "--actor",
    "--on-behalf-of",
    "--tenant",
    "--request-id",
    "--correlation-id",
    "--session-id",
    "--trace-id",
];

#[test]
fn a_secret_identity_is_found_by_its_plain_value_and_by_its_hash() {
    for settings in ["", "[index]\nenabled = false\n"] {
        let place = Place::new();
        place.write("trailseal.toml", settings);
        place.record(&secret_events());
        assert!(!place.lines().join("").contains("eyJ"), "kept");
        let hash = place.run_all(&["mask", "hash", JWT]).ok().out.trim().to_owned();
        for value in [JWT, &hash] {
            for filter in FILTERS {
                assert_eq!(count(&place, &[filter, value]), "1", "{filter} {settings}");
                assert_eq!(count(&place, &[filter, value, filter, "plain"]), "3", "{filter} {settings}");
            }
            assert_eq!(count(&place, &["--resource", &format!("doc/{value}")]), "1");
            assert_eq!(count(&place, &["--id", value]), "1");
            let history = place.run_all(&["history", &format!("doc/{value}"), "--json"]).ok().json_lines();
            assert_eq!(history.len(), 1);
            place.run_all(&["prove", value, "--out", "proof"]);
        }
        // A retry is known by what was sent.
        let again = place.feed("record --json", secret_events()).ok();
        assert_eq!(again.out.matches("\"repeated\":true").count(), 4, "{}", again.out);
        place.run_all(&["export", "--format", "bundle", "--out", "b.zip", "--actor", JWT]).ok();
        let mut bundle = zip::ZipArchive::new(std::fs::File::open(place.path("b.zip")).unwrap()).unwrap();
        let manifest = std::io::read_to_string(bundle.by_name("manifest.json").unwrap()).unwrap();
        assert!(manifest.contains(&hash) && !manifest.contains(JWT), "{manifest}");
        let told = place.run("verify --bundle b.zip --json").json();
        assert_eq!((&told["ok"], &told["count"]), (&json!(true), &json!(1)), "{told}");
        assert_eq!(count(&place, &[]), "4");
    }
}

#[test]
fn over_http_too_and_the_record_of_the_question_tells_no_secret() {
    let place = Place::new();
    place.write(
        "trailseal.toml",
        "[mask]\nhash = [\"context.session_id\", \"resource.id\", \"context.ip\"]\n",
    );
    let mut server = Server::start(&place);
    let admin = server.admin();
    let event = |id: &str, session: &str| {
        json!({"action": "a", "id": id, "actor": {"id": JWT}, "resource": {"type": "doc", "id": "plan-9"},
            "context": {"session_id": session, "ip": "203.0.113.77", "trace_id": "trace-7"}})
    };
    admin.record(json!([event("1", "plain-session-1"), event("2", "plain-session-2")]).to_string());
    assert_eq!(admin.count("session_id=plain-session-1"), 1);
    assert_eq!(admin.count("session_id=plain-session-1&session_id=plain-session-2"), 2);
    assert_eq!(admin.count("session_id=plain-session-3"), 0);
    assert_eq!(admin.count("ip=203.0.113.77&trace_id=trace-7"), 2);
    assert_eq!(admin.count(&format!("actor={JWT}")), 2);
    assert_eq!(admin.get("/v1/resources/doc/plan-9/history").is(200).events().len(), 2);
    let events = admin.get("/v1/events?session_id=plain-session-1").is(200).events();
    assert!(events[0]["context"]["session_id"].as_str().unwrap().starts_with("hmac:"), "{events:?}");
    assert_eq!(events[0]["context"]["trace_id"], "trace-7");
    let masked = ["actor.id", "resource.id", "context.ip", "context.session_id"];
    assert_eq!(events[0]["masked"], json!(masked), "{events:?}");
    admin.get(&format!("/v1/summary?actor={}", encoded(JWT))).is(200);
    admin.get(&format!("/v1/events/{JWT}/proof")).is(404);
    admin.post("/v1/viewer-tokens", json!({"actor": JWT, "resource": "doc/plan-9"}).to_string()).is(201);
    // By the command beside the server, and by the hash of it.
    assert_eq!(count(&place, &["--session-id", "plain-session-2"]), "1");
    let hash = place.run("mask hash plain-session-2").ok().out;
    assert_eq!(count(&place, &["--session-id", hash.trim()]), "1");
    assert_eq!(count(&place, &["--text", hash.trim()]), "1");
    server.stop();
    let everything = place.run("query --system --format jsonl").ok().out;
    for plain in ["plain-session", "plan-9", "203.0.113.77", JWT] {
        assert!(!everything.contains(plain), "{plain} in {everything}");
    }
    assert!(everything.contains("/v1/resources/doc/hmac:") && everything.contains("session_id=hmac:"));
}

#[test]
fn a_reader_without_the_key_is_told() {
    let place = Place::new();
    place.write("trailseal.toml", "[mask]\nhash = [\"context.session_id\"]\n");
    place.record("{\"action\":\"a\",\"context\":{\"session_id\":\"s-1\"}}\n");
    let hash = place.run("mask hash s-1").ok().out;
    place.run("backup copy").ok();
    let copied =
        |filter: &[&str]| place.run_all(&[&["query", "--dir", "copy", "--count"], filter].concat()).ok();
    let answer = copied(&["--session-id", "s-1"]);
    assert_eq!(answer.out.trim(), "0");
    assert!(answer.err.contains("the masking key is missing"), "{}", answer.err);
    // By its hash it is found, and nothing is said where no such value is asked for.
    assert_eq!(copied(&["--session-id", hash.trim()]).out.trim(), "1");
    assert_eq!(copied(&["--action", "a"]).err, "");
    place.run("mask hash s-1 --dir copy").could_not(&["has no masking key", "--with-keys"]);
    place.run("backup whole --with-keys").ok();
    assert_eq!(place.run("query --dir whole --count --session-id s-1").ok().out.trim(), "1");
}

#[test]
fn slots_are_asked_by_their_keys() {
    let place = Place::new();
    place.write("trailseal.toml", "workers = \"slots\"\n");
    let event = json!({"action": "a", "actor": {"id": JWT}}).to_string();
    place.feed("record", &event).ok();
    assert_eq!(count(&place, &["--actor", JWT]), "1");
    let hash = place.run_all(&["mask", "hash", JWT]).ok().out;
    assert_eq!(count(&place, &["--actor", hash.trim()]), "1");
}

#[test]
fn settings_of_paths_to_hash_are_checked() {
    let place = Place::new();
    place.write("trailseal.toml", "[mask]\nhash = [\"context.session_id\", \"tenant\"]\n");
    place.feed("mask -", "{}").could_not(&["`mask.hash`: \"tenant\" cannot be hashed"]);
    place.write("trailseal.toml", "[mask]\nhash = [\"details.*.card\"]\n");
    let shown = place.feed("mask - --json", "{\"action\":\"a\",\"details\":{\"x\":{\"card\":\"7\"}}}").ok();
    assert_eq!(shown.json_lines()[0]["masked"][0]["path"], "details.x.card");
}
