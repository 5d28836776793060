//! Retirement and holds over HTTP, by a second person, and at a time of the day.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::json;
use support::server::{Client, Server};
use support::{Place, aged, wait_until};

const OLD: usize = 400;
const TENANTS: usize = 4;

fn aged_place(settings: &str) -> Place {
    let place = Place::new();
    aged::make(&place.path("trail"), OLD, TENANTS);
    place.write("trailseal.toml", settings);
    place
}

const RETAIN: &str = r#"{"older_than_days":90}"#;

#[test]
fn events_are_retired_over_http_and_gone_for_everybody() {
    let place = aged_place("");
    let server = Server::start(&place);
    let admin = server.admin();
    let tenant = server.holder(r#"{"name":"t3","scopes":["read"],"tenant":"t3"}"#);
    let other = server.holder(r#"{"name":"t2","scopes":["read"],"tenant":"t2"}"#);
    let bundle = "/tile/entries/000";
    admin.get(bundle).is(200);
    let count = admin.count("");

    let would = admin.post("/v1/retention", r#"{"older_than_days":90,"dry_run":true}"#).is(200).json();
    assert_eq!((admin.count(""), &would["dry_run"]), (count, &json!(true)));
    let retained = admin.post("/v1/retention", RETAIN).is(200).json();
    let gone = retained["events"].as_u64().unwrap();
    assert_eq!(would["events"], gone);
    assert!(gone > 300, "{retained}");
    assert!(admin.count("") < count - 300);
    let by = retained["retired_by"][0].as_u64().unwrap();
    assert_eq!(admin.get(&format!("/v1/events/{by}")).is(200).json()["action"], "trail.retired");

    // 410 for whoever could have seen it, and no more than 404 for everybody else.
    for path in ["/v1/events/old-7", "/v1/events/8", "/v1/events/old-7/proof", "/v1/events/8/verify"] {
        let problem = admin.get(path).is(410).json();
        assert_eq!(
            (&problem["type"], &problem["retired_by"]),
            (&json!("urn:trailseal:problem:retired"), &json!(by))
        );
    }
    tenant.get("/v1/events/old-7").is(410);
    other.get("/v1/events/old-7").is(404);
    admin.get("/v1/events/old-7?tenant=t2").is(404);
    for stranger in [&tenant, &other] {
        stranger.get("/v1/events/8").is(404);
    }
    admin.get("/v1/events/never").is(404);
    admin.get(bundle).is(404);
    admin.get("/tile/0/000").is(200);

    // Sent again, it is a repeat of what is gone.
    let again = admin.post("/v1/events", aged::line(7, TENANTS)).is(202).json();
    let receipt = &again["events"][0];
    assert_eq!(
        (&again["accepted"], &receipt["repeated"], &receipt["retired"]),
        (&json!(0), &json!(true), &json!(true)),
        "{again}"
    );
    assert_eq!(
        admin.get("/v1/events?system=true&action=trail.retired_by").is(200).json()["events"][0]["actor"]["id"],
        "admin"
    );
    place.run("verify").ok();
}

#[test]
fn who_may_not_retire_does_not_and_what_is_wrong_is_said() {
    let place = aged_place("");
    let server = Server::start(&place);
    let admin = server.admin();
    let count = admin.count("");
    let reader = server.holder(r#"{"name":"r","scopes":["read","write","review"]}"#);
    let of_tenant = server.holder(r#"{"name":"a","scopes":["admin"],"tenant":"t1"}"#);
    for client in [&reader, &of_tenant] {
        client.post("/v1/retention", RETAIN).is(403);
        client.get("/v1/holds").is(403);
        client.post("/v1/holds", r#"{"name":"x","reason":"y"}"#).is(403);
        client.ask("DELETE", "/v1/holds/x", b"").is(403);
        client.get("/v1/sinks").is(403);
        client.ask("DELETE", "/v1/sinks/x", b"").is(403);
    }
    server.client("").post("/v1/retention", RETAIN).is(401);
    for (body, field) in [
        (r#"{"older_than_days":0}"#, "older_than_days"),
        (r#"{"older_than_days":36501}"#, "older_than_days"),
        (r#"{"older_than_days":90,"category":["nonsense"]}"#, "category"),
    ] {
        assert_eq!(admin.post("/v1/retention", body).is(422).json()["field"], field, "{body}");
    }
    for body in ["", "{}", r#"{"older_than_days":90,"tenants":"t1"}"#] {
        let status = admin.post("/v1/retention", body).status;
        assert!(status == 400 || status == 422, "{body}: {status}");
    }
    // A token writes nowhere: that would be any file of the server's.
    let place_of_theirs = place.path("theirs");
    let body = json!({"older_than_days": 90, "archive": place_of_theirs}).to_string();
    assert_eq!(admin.post("/v1/retention", body).is(403).json()["field"], "archive");
    assert!(!place_of_theirs.exists());
    assert_eq!(admin.count(""), count, "nothing went");
    admin.ask("DELETE", "/v1/sinks/postgres", b"").is(404);
}

#[test]
fn holds_over_http_and_by_the_command_beside_the_server() {
    let place = aged_place("");
    let server = Server::start(&place);
    let admin = server.admin();
    let added = admin.post(
        "/v1/holds",
        r#"{"name":"case 7","reason":"Acme","filters":{"action":["case.*"],"tenant":"t1"}}"#,
    );
    let added = added.is(201).json();
    assert_eq!(added["announced"], 0, "{added}");
    admin.post("/v1/holds", r#"{"name":"case 7","reason":"again"}"#).is(409);
    for body in [
        r#"{"name":"x","reason":" "}"#,
        r#"{"name":"","reason":"y"}"#,
        r#"{"name":"x","reason":"y","filters":{"nonsense":"z"}}"#,
    ] {
        admin.post("/v1/holds", body).is(422);
    }
    let listed = admin.get("/v1/holds").is(200).json();
    assert_eq!(listed["holds"][0]["filters"], json!({"action": ["case.*"], "tenant": ["t1"]}), "{listed}");
    assert_eq!(place.run("hold list --json").ok().json()["holds"], listed["holds"]);

    let held = admin.count("action=case.*&tenant=t1");
    // Through the socket, with an archive where this command stands.
    let retained = place.run("retain --older-than 90d --tenant t1 --archive archive --json").ok().json();
    assert_eq!(retained["kept"]["held_by"][0]["hold"], "case 7", "{retained}");
    assert_eq!(admin.count("action=case.*&tenant=t1"), held);
    let bundle = std::fs::read_dir(place.path("archive")).unwrap().next().unwrap().unwrap().path();
    place.run_all(&["verify", "--bundle", bundle.to_str().unwrap()]).ok();
    place.run_all(&["hold", "add", "second", "--reason", "of the command", "--since", "24h"]).ok();
    place.run_all(&["hold", "remove", "case 7"]).ok();
    place.run_all(&["hold", "remove", "case 7"]).no();
    admin.ask("DELETE", "/v1/holds/case%207", b"").is(404);
    admin.ask("DELETE", "/v1/holds/second", b"").is(204);
    assert_eq!(admin.get("/v1/holds").is(200).json()["holds"], json!([]));
    let told = || {
        let told = admin.get("/v1/events?system=true&action=trail.hold_*&order=asc").is(200).json();
        told["events"].as_array().unwrap().iter().map(|event| event["action"].to_string()).collect::<Vec<_>>()
    };
    let [added, removed] = ["added", "removed"]
        .map(|what| [format!("\"trail.hold_{what}\""), format!("\"trail.hold_{what}_by\"")]);
    let each = [&added, &added, &removed, &removed].map(|both| both.to_vec()).concat();
    wait_until("each change is an event, with who made it", || told() == each);
    place.run("sink list").ok();
    place.run("verify").ok();
}

fn person(server: &Server<'_>, name: &str) -> Client {
    server.holder(&format!(r#"{{"name":"{name}","scopes":["admin","review","read"]}}"#))
}

#[test]
fn a_second_person_lets_events_go() {
    let place = aged_place("review.second_person = [\"retention\"]\n");
    place.run("retain --older-than 90d").could_not(&["second person"]);
    let mut server = Server::start(&place);
    let tokens = ["ann", "bob"].map(|name| person(&server, name).token);
    let [ann, bob] = [0, 1].map(|number| server.client(&tokens[number]));
    let count = ann.count("");
    ann.post("/v1/retention", r#"{"older_than_days":90,"dry_run":true}"#).is(200);
    let asked = ann
        .post("/v1/retention", r#"{"older_than_days":90,"tenant":"t1","category":["workflow"]}"#)
        .is(202)
        .json();
    assert_eq!((&asked["state"], &asked["kind"]), (&json!("pending"), &json!("retention")), "{asked}");
    assert!(place.run("retain --older-than 90d").no().err.contains("second person"), "nor by the command");
    let path = format!("/v1/reviews/{}", asked["id"].as_str().unwrap());
    server.restart();
    let [ann, bob_again] = [0, 1].map(|number| server.client(&tokens[number]));
    drop(bob);
    let reviews = bob_again.get("/v1/reviews?state=pending").is(200).json();
    let review =
        reviews["reviews"].as_array().unwrap().iter().find(|review| review["id"] == asked["id"]).unwrap();
    for (name, value) in [
        ("kind", json!("retention")),
        ("older_than_days", json!(90)),
        ("for_tenant", json!("t1")),
        ("category", json!(["workflow"])),
        ("requested_by", json!("ann")),
    ] {
        assert_eq!(review[name], value, "{name}: {review}");
    }
    let approve = r#"{"decision":"approved"}"#;
    ann.post(&path, approve).is(403).says(json!({"type": "urn:trailseal:problem:own-request"}));
    assert_eq!(ann.count(""), count, "nothing went yet");
    let (left, others) = (ann.count("tenant=t1&category=workflow"), ann.count("tenant=t3"));
    let done = bob_again.post(&path, approve).is(200).json();
    assert_eq!(done["state"], "approved");
    assert!(done["retained"]["events"].as_u64().unwrap() > 30, "{done}");
    assert!(ann.count("tenant=t1&category=workflow") < left / 4);
    assert_eq!(ann.count("tenant=t3"), others);
    bob_again.post(&path, approve).is(409);
    // What is rejected stays.
    let asked = ann.post("/v1/retention", RETAIN).is(202).json();
    let left = ann.count("");
    let path = format!("/v1/reviews/{}", asked["id"].as_str().unwrap());
    bob_again.post(&path, r#"{"decision":"rejected"}"#).is(200);
    assert_eq!(ann.count(""), left);
    place.run("verify").ok();
}

#[test]
fn the_settings_retire_at_a_time_of_the_day_and_archive_first() {
    let output =
        std::process::Command::new("date").args(["-u", "-d", "4 seconds", "+%H:%M:%S"]).output().unwrap();
    let at = String::from_utf8(output.stdout).unwrap();
    let settings = format!(
        "[retention]\nat = \"{}\"\narchive = \"kept\"\n[[retention.rule]]\nolder_than = \"90d\"\ntenant = \"t1\"\n\
         [[retention.rule]]\nolder_than = \"90d\"\ncategory = [\"data_access\"]\n",
        at.trim()
    );
    let place = aged_place(&settings);
    let before = place.run("query --count --tenant t1").ok().out;
    assert!(before.trim().parse::<u64>().unwrap() > 90);
    let mut server = Server::start(&place);
    let admin = server.admin();
    let kept = admin.count("tenant=t3&category=workflow");
    let gone = || {
        admin.get("/v1/events?system=true&count=true&action=trail.retired").is(200).json()["count"].clone()
    };
    wait_until("both rules are applied", || gone() == json!(2));
    wait_until("both bundles are there", || {
        std::fs::read_dir(place.path("kept")).is_ok_and(|found| found.count() == 2)
    });
    // It is announced before the lines go.
    wait_until("they are gone", || {
        admin.count("tenant=t1") < 15 && admin.count("tenant=t2&category=data_access") < 15
    });
    assert_eq!(admin.count("tenant=t3&category=workflow"), kept, "no rule selects it");
    for entry in std::fs::read_dir(place.path("kept")).unwrap() {
        place.run_all(&["verify", "--bundle", entry.unwrap().path().to_str().unwrap()]).ok();
    }
    server.stop();
    place.run("verify").ok();
    // One file may be that of several servers, of which one retires: the others say that they do not.
    place.write("trailseal.toml", "[[retention.rule]]\nolder_than = \"90d\"\n");
    let mut server = Server::start(&place);
    server.tells("retention.at is not set");
    server.stop();
    // What makes no sense is told at the start.
    for (settings, said) in [
        ("[retention]\nat = \"03:00\"\n", "[[retention.rule]]"),
        (
            "[retention]\nat = \"03:00\"\narchive = \"gopher://x\"\n[[retention.rule]]\nolder_than = \"90d\"\n",
            "retention.archive: ",
        ),
        ("[retention]\nat = \"3am\"\n", "time of day"),
        ("[[retention.rule]]\nolder_than = \"0d\"\n", "1d to 36500d"),
        ("[[retention.rule]]\ntenant = \"x\"\n", "older_than is missing"),
        ("[[retention.rule]]\nolder_than = \"1d\"\nactor = \"x\"\n", "older_than, tenant and category"),
    ] {
        place.write("trailseal.toml", settings);
        place.run("serve").could_not(&[said]);
    }
}
