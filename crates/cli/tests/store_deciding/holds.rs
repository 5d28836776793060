//! Legal holds: what is held at one server is held at all.

use serde_json::{Value, json};

use crate::support::server::{Client, Server};
use crate::support::{Place, aged, wait_until};
use crate::{Common, place, servers, told};

const RETAIN: &str = r#"{"older_than_days":90}"#;
const HOLD: &str = r#"{"name":"case-7","reason":"Acme v. Example","filters":{"tenant":"t1"}}"#;

/// A second place whose trail has old events of two tenants.
fn with_old_events() -> Common {
    let common = Common::new();
    let place = &common.places[1];
    aged::make(&place.path("trail"), 400, 2);
    // Its origin is in the trail.
    place
        .write("trailseal.toml", place.read("trailseal.toml").replace("example.com/two", "example.com/aged"));
    common
}

fn holds(client: &Client) -> Vec<Value> {
    client.get("/v1/holds").is(200).json()["holds"].as_array().unwrap().clone()
}

/// How many events of a tenant are in the trail, whatever the store has.
fn here(place: &Place, tenant: &str) -> u64 {
    let counted = place.run(&format!("query --count --tenant {tenant}")).ok();
    counted.out.trim().parse().unwrap()
}

/// Retires once the store has what is to go.
fn retire(client: &Client) -> Value {
    let mut retained = Value::Null;
    wait_until("the store has everything", || {
        let would = client.post("/v1/retention", r#"{"older_than_days":90,"dry_run":true}"#).is(200).json();
        would["kept"]["undelivered"] == 0
    });
    wait_until("it is done", || {
        let answer = client.post("/v1/retention", RETAIN);
        retained = answer.json();
        answer.status == 200
    });
    retained
}

#[test]
fn what_is_held_at_one_server_is_held_at_the_other_until_it_is_removed_at_either() {
    let common = with_old_events();
    let mut servers = servers(&common.places);
    let [one, two] = servers.each_ref().map(Server::admin);
    let added = one.post("/v1/holds", HOLD).is(201).json();
    assert!(added["index"].as_u64().is_some(), "{added}");
    two.post("/v1/holds", HOLD).is(409);
    // At once, though the other server has not looked since: nothing is retired before it does.
    let retained = retire(&two);
    assert_eq!(retained["kept"]["held_by"][0]["hold"], "case-7", "{retained}");
    let (held, left) = (here(&common.places[1], "t1"), here(&common.places[1], "t0"));
    assert!(held > 100 && retained["events"].as_u64().unwrap() > 100, "{retained}");
    assert!(left < 100, "the others are gone");
    wait_until("they are gone from the view of all trails", || two.count("tenant=t0") == left);
    assert_eq!(holds(&two)[0]["shared"], true);
    two.ask("DELETE", "/v1/holds/case-7", b"").is(204);
    two.ask("DELETE", "/v1/holds/case-7", b"").is(404);
    wait_until("the other one knows", || holds(&one).is_empty());
    retire(&two);
    assert!(here(&common.places[1], "t1") < held, "it is not held any more");
    wait_until("all is recorded", || common.is_settled());
    servers.iter_mut().for_each(Server::stop);
    // Each trail says what it holds, and that of the server that decided, who did.
    for (action, told_by) in
        [("added", [1, 1]), ("removed", [1, 1]), ("added_by", [1, 0]), ("removed_by", [0, 1])]
    {
        let action = format!("trail.hold_{action}");
        assert_eq!(common.places.each_ref().map(|place| told(place, &action)), told_by, "{action}");
    }
}

#[test]
fn nothing_is_retired_while_nobody_knows_what_is_held() {
    let mut common = with_old_events();
    let Common { store, places } = &mut common;
    let mut servers = servers(places);
    let [one, two] = servers.each_ref().map(Server::admin);
    one.post("/v1/holds", HOLD).is(201);
    wait_until("the other one has it", || !holds(&two).is_empty());
    let before = here(&places[1], "t0") + here(&places[1], "t1");
    store.stop();
    for (method, path, body) in [
        ("POST", "/v1/retention", RETAIN),
        ("POST", "/v1/holds", r#"{"name":"x","reason":"y"}"#),
        ("DELETE", "/v1/holds/case-7", ""),
    ] {
        let refused = two.ask(method, path, body.as_bytes()).is(503);
        refused.says(json!({"type": "urn:trailseal:problem:store-unavailable"}));
    }
    assert_eq!(here(&places[1], "t0") + here(&places[1], "t1"), before);
    // By command, too.
    servers[1].stop();
    places[1].run("retain --older-than 90d").could_not(&["could not connect"]);
    store.start_again();
    let held = places[1].run("retain --older-than 90d --dry-run --json").ok().json();
    assert_eq!(held["kept"]["held_by"][0]["hold"], "case-7", "{held}");
}

#[test]
fn holds_of_before_and_by_command() {
    let common = Common::new();
    let third = place("three", common.store.url_text());
    let settings = third.read("trailseal.toml");
    third.write("trailseal.toml", "origin = \"example.com/three\"\n");
    third.feed("record", r#"{"action":"a"}"#).ok();
    // Before it shares a store: it holds here, and goes on doing so.
    third.run("hold add own --reason before --tenant t1").ok();
    third.write("trailseal.toml", settings);
    third.run("hold add case-8 --reason now --tenant t2").ok();
    third.run("hold add case-8 --reason again --tenant t2").no();
    third.run("hold add own --reason again").no();
    let server = Server::with(&common.places[0], &[]);
    wait_until("the server has the one that is shared", || {
        let names: Vec<Value> = holds(&server.admin()).iter().map(|hold| hold["name"].clone()).collect();
        names == ["case-8"]
    });
    let listed = third.run("hold list").ok().out;
    assert!(listed.contains("case-8") && listed.contains("own "), "{listed}");
    third.run("hold remove own").ok();
    third.run("hold remove case-8").ok();
    third.run("hold remove case-8").no();
    wait_until("nothing is held", || holds(&server.admin()).is_empty());
    // A value that each trail would hide by a key of its own means nothing to the others.
    let secret = "AKIAIOSFODNN7EXAMPLE";
    let answer = third.run_all(&[
        "hold",
        "add",
        "x",
        "--reason",
        "y",
        "--session-id",
        &format!("sk_live_{secret}{secret}"),
    ]);
    answer.could_not(&["masking hides this value"]);
}

/// A nightly `retain` needs to know what is held, and no right to decide.
#[test]
fn whoever_reads_the_holds_can_retire_and_decides_nothing() {
    let common = with_old_events();
    let (store, aged) = (&common.store, &common.places[1]);
    aged.run("hold add case-7 --reason Example --tenant t1 --store settings").ok();
    store.execute(&aged.run("store roles").ok().out);
    store.execute(
        "CREATE ROLE billing LOGIN IN ROLE trailseal_writer; \
         CREATE ROLE nightly LOGIN IN ROLE trailseal_writer, trailseal_hold_reader",
    );
    let settings = aged.read("trailseal.toml");
    let as_user = |user: &str| aged.write("trailseal.toml", settings.replace("test@", &format!("{user}@")));
    as_user("billing");
    let commands =
        ["retain --older-than 90d --dry-run", "hold list --store settings", "erase --subject u1 --dry-run"];
    for command in commands {
        aged.run(command).could_not(&["store roles", "trailseal_hold_reader"]);
    }
    as_user("nightly");
    for command in commands {
        let answer = aged.run(command);
        assert!(!answer.err.contains("permission denied"), "{command}: {answer:?}");
    }
    assert!(aged.run("hold list --store settings").ok().out.contains("case-7"));
    let retained = aged.run("retain --older-than 90d").ok().out;
    assert!(retained.contains("held by legal holds") && retained.contains("case-7"), "{retained}");
    assert!(here(aged, "t1") > 100);
    for command in [
        "hold add more --reason Example --tenant t0 --store settings",
        "hold remove case-7 --store settings",
        "token create app --scope admin --store settings",
        "token list --store settings",
    ] {
        aged.run(command).could_not(&[]);
    }
    assert_eq!(
        store
            .value("SELECT (SELECT count(*) FROM trailseal.holds) + (SELECT count(*) FROM trailseal.tokens)"),
        "1"
    );
    let url = store.url_text().replace("test@", "nightly@");
    let url = trailseal_postgres::StoreUrl::parse(&url).unwrap();
    let mut connection = url.connect(&Default::default()).unwrap();
    let asked = connection.run("read tokens in", std::time::Duration::from_secs(9), async |client| {
        client.batch_execute("SELECT * FROM trailseal.tokens").await
    });
    assert!(asked.unwrap_err().to_string().contains("could not read tokens"));
}
