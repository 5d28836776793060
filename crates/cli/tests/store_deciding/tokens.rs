//! Tokens: made at one server they work at all, and revoked they stop everywhere.

use std::sync::Barrier;

use serde_json::json;

use crate::support::server::{Connection, Server};
use crate::support::wait_until;
use crate::{Common, ids_of, place, postgres, servers, told};

const EVENT: &str = r#"{"action":"a"}"#;

#[test]
fn a_token_works_at_every_server_until_it_is_revoked_at_one() {
    let common = Common::new();
    let mut servers = servers(&common.places);
    // The first start of either makes the one first token.
    assert_eq!(common.store.value("SELECT string_agg(name, ',') FROM trailseal.tokens"), "admin");
    let body = json!({"name": "app", "scopes": ["write", "read"]}).to_string();
    let app =
        servers[0].admin().post("/v1/tokens", &body).is(201).json()["token"].as_str().unwrap().to_owned();
    // At once, though the other one has not looked since.
    servers[1].client(&app).post("/v1/events", EVENT).is(202);
    servers[1].admin().post("/v1/tokens", &body).is(409);
    let listed = servers[1].admin().get("/v1/tokens").is(200).text();
    assert!(listed.contains("\"app\"") && listed.contains("\"admin\""), "{listed}");
    for text in common.store.rows("SELECT about, encode(sha256, 'escape') FROM trailseal.tokens").concat() {
        assert!(!text.contains(&app[4..]), "the store has the token");
    }
    servers[1].client("tsl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").post("/v1/events", EVENT).is(401);
    servers[1].admin().ask("DELETE", "/v1/tokens/app", b"").is(204);
    assert_eq!(servers[1].client(&app).post("/v1/events", EVENT).status, 401);
    wait_until("it stops at the other server", || {
        servers[0].client(&app).post("/v1/events", EVENT).status == 401
    });
    servers[0].admin().ask("DELETE", "/v1/tokens/app", b"").is(404);
    wait_until("the store knows that all is recorded", || common.is_settled());
    servers.iter_mut().for_each(Server::stop);
    let [one, two] = &common.places;
    assert_eq!((told(one, "trail.token_created"), told(two, "trail.token_created")), (2, 0));
    assert_eq!((told(one, "trail.token_revoked"), told(two, "trail.token_revoked")), (0, 1));
}

#[test]
fn of_two_servers_that_make_a_token_of_one_name_one_does() {
    let common = Common::new();
    let servers = servers(&common.places);
    for round in 0..8 {
        let body = json!({"name": format!("app-{round}"), "scopes": ["write"]}).to_string();
        let barrier = Barrier::new(2);
        let mut statuses = std::thread::scope(|scope| {
            let making = servers.each_ref().map(|server| {
                let (barrier, body) = (&barrier, &body);
                scope.spawn(move || {
                    barrier.wait();
                    server.admin().post("/v1/tokens", body).status
                })
            });
            making.map(|making| making.join().unwrap())
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "round {round}");
    }
    wait_until("all is recorded", || common.is_settled());
    assert_eq!(common.store.value("SELECT count(*) FROM trailseal.decisions"), "9");
}

#[test]
fn while_the_store_is_down_known_tokens_work_and_nothing_is_decided() {
    let mut common = Common::new();
    let Common { store, places } = &mut common;
    let token = {
        let mut servers = servers(places);
        let token = servers[0].token.clone();
        // Both know it.
        servers.iter().for_each(|server| drop(server.admin().post("/v1/events", EVENT).is(202)));
        store.stop();
        for server in &servers {
            server.admin().post("/v1/events?ack=durable", EVENT).is(202);
            let body = json!({"name": "later", "scopes": ["write"]}).to_string();
            let refused = server.admin().post("/v1/tokens", &body).is(503);
            assert!(refused.header("retry-after").is_some());
            refused.says(json!({"type": "urn:trailseal:problem:store-unavailable"}));
            server.admin().ask("DELETE", "/v1/tokens/admin", b"").is(503);
            // Nobody can say whether it is one.
            server.client("tsl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").post("/v1/events", EVENT).is(503);
        }
        // A restart shuts nobody out, and is not held up.
        servers.iter_mut().for_each(Server::stop);
        servers[0].launch();
        servers[0].admin().post("/v1/events?ack=durable", EVENT).is(202);
        servers[0].stop();
        token
    };
    // What was known 11 minutes ago says nothing any more.
    let path = places[0].path("trail/tokens.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    kept["shared"]["as_of"] = earlier(kept["shared"]["as_of"].as_str().unwrap(), 11).into();
    std::fs::write(&path, kept.to_string()).unwrap();
    let server = Server::knowing(&places[0], &[], &token);
    server
        .admin()
        .post("/v1/events", EVENT)
        .is(503)
        .says(json!({"type": "urn:trailseal:problem:store-unavailable"}));
    store.start_again();
    wait_until("it is known again", || server.admin().post("/v1/events", EVENT).status == 202);
    assert_eq!(store.value("SELECT count(*) FROM trailseal.tokens"), "1");
}

/// A time as many minutes earlier.
pub(crate) fn earlier(time: &str, minutes: i64) -> String {
    let time = trailseal_event::Timestamp::parse(time).unwrap();
    trailseal_event::Timestamp::from_micros(time.as_micros() - minutes * 60_000_000).to_string()
}

#[test]
fn what_was_decided_is_told_once_whenever_the_server_is_killed() {
    let common = Common::new();
    let mut server = Server::with(&common.places[0], &[]);
    let mut made = Vec::new();
    for round in 0..6 {
        let (admin, killed) = (server.admin(), std::sync::atomic::AtomicBool::new(false));
        made.extend(std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                let mut made = Vec::new();
                for number in 0.. {
                    let name = format!("t-{round}-{number}");
                    let body = json!({"name": name, "scopes": ["write"]}).to_string();
                    let asked = Connection::open(&admin)
                        .and_then(|mut connection| connection.try_ask("POST", "/v1/tokens", body.as_bytes()));
                    match asked.map(|answer| answer.status) {
                        Ok(201) => made.push(name),
                        _ if killed.load(std::sync::atomic::Ordering::Relaxed) => break,
                        _ => {}
                    }
                }
                made
            });
            std::thread::sleep(std::time::Duration::from_millis(20 + 35 * round));
            server.kill();
            killed.store(true, std::sync::atomic::Ordering::Relaxed);
            making.join().unwrap()
        }));
        server.launch();
    }
    wait_until("all is recorded", || common.is_settled());
    check_told(&common);
    // As if it had been killed between the event and the note of it, and between the decision and the event.
    common.store.execute(
        "SET session_replication_role = replica; UPDATE trailseal.decisions SET idx = NULL; \
         INSERT INTO trailseal.decisions (id, origin, what, about) VALUES \
         ('019a01f2-7c00-7abc-8def-0123456789ab', 'example.com/one', 'token_revoked', '{\"by\":\"ann\",\"tenant\":null,\"details\":{\"name\":\"x\"}}'), \
         ('019a01f2-7c00-7abc-8def-0123456789ac', 'example.com/one', 'opened', '{\"by\":\"ann\",\"tenant\":null,\"details\":{}}')",
    );
    server.kill();
    server.launch();
    let left = "SELECT string_agg(what, ',') FROM trailseal.decisions WHERE idx IS NULL";
    // No store makes a trail say what it has not decided.
    wait_until("only what is no decision is left", || common.store.value(left) == "opened");
    server.stop();
    check_told(&common);
    let revoked = common.places[0].run("query --system --action trail.token_revoked --format jsonl").ok();
    assert_eq!(revoked.json_lines()[0]["actor"]["id"], "ann");
    assert!(made.len() > 3, "{made:?}");
}

/// Each decision is one event of the first trail, by its id.
#[track_caller]
fn check_told(common: &Common) {
    let decided = "SELECT id FROM trailseal.decisions WHERE what LIKE 'token%' ORDER BY id";
    let decided: Vec<String> = common.store.rows(decided).concat();
    let mut told = ids_of(&common.places[0], "trail.token_*");
    told.sort_unstable();
    assert_eq!(told, decided);
}

#[test]
fn who_only_writes_events_makes_no_token_and_starts_no_server() {
    let store = postgres::Server::start_own(&[]);
    let owner = place("owner", store.url_text());
    owner.run("store migrate --store settings").ok();
    store.execute(&owner.run("store roles").ok().out);
    store.execute(
        "CREATE ROLE billing LOGIN IN ROLE trailseal_writer; CREATE ROLE server LOGIN IN ROLE trailseal_writer, trailseal_decider",
    );
    let url = |user: &str| store.url_text().replace("test@", &format!("{user}@"));
    let writer = place("writer", &url("billing"));
    // It can deliver.
    writer.feed("record --ack store", EVENT).ok();
    writer.run("token create app --scope admin").could_not(&["trailseal_decider", "store roles"]);
    writer.run("token list").could_not(&["store roles"]);
    writer.run("serve --listen 127.0.0.1:0").could_not(&["decided in the shared store", "store roles"]);
    assert_eq!(store.value("SELECT count(*) FROM trailseal.tokens"), "0");
    // The right role is enough for both.
    let decider = place("decider", &url("server"));
    let server = Server::with(&decider, &[]);
    server.admin().post("/v1/events?ack=store", EVENT).is(202);
}

#[test]
fn commands_decide_in_the_store_too() {
    let common = Common::new();
    let servers = servers(&common.places);
    let third = place("three", common.store.url_text());
    let token = third.run("token create app --scope write").ok().out.trim().to_owned();
    servers.iter().for_each(|server| drop(server.client(&token).post("/v1/events", EVENT).is(202)));
    third.run("token create app --scope write").no();
    let listed = third.run("token list").ok().out;
    assert!(listed.contains("app ") && listed.contains("admin "), "{listed}");
    // Beside a server, it is the server that decides.
    common.places[0].run("token revoke app").ok();
    wait_until("it stops everywhere", || {
        servers.iter().all(|server| server.client(&token).post("/v1/events", EVENT).status == 401)
    });
    common.places[0].run_all(&["token", "list", "--store", common.store.url_text()]).could_not(&["--store"]);
    third.run("token revoke app").no();
    assert_eq!((told(&third, "trail.token_created"), told(&common.places[0], "trail.token_revoked")), (1, 1));
    assert!(common.is_settled());
}
