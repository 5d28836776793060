//! A server that takes an outbox over shows how that goes, and records whatever becomes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../postgres/tests/server/mod.rs"]
mod postgres;
mod support;

use serde_json::{Value, json};
use support::server::{Client, Server};
use support::{Place, wait_until};

/// A sample of `/metrics`.
fn metric(client: &Client, name: &str) -> Option<f64> {
    let text = client.get("/metrics").is(200).text();
    let prefix = format!("{name} ");
    text.lines().find_map(|line| line.strip_prefix(&prefix)).map(|value| value.parse().unwrap())
}

fn stats(client: &Client) -> Value {
    client.get("/v1/stats").is(200).json()
}

fn insert(database: &postgres::Server, columns: &str, values: &str) {
    database.execute(&format!("INSERT INTO trailseal_outbox.events ({columns}) VALUES ({values})"));
}

#[test]
fn what_waits_is_claimed_is_put_aside_and_fails_is_shown_and_recording_goes_on() {
    let mut database = postgres::Server::start_own(&[]);
    let place = Place::new();
    place.run_all(&["outbox", "migrate", "--outbox", database.url_text()]).ok();
    place.write("trailseal.toml", format!("[outbox]\nurl = \"{}\"\n", database.url_text()));
    let server = Server::start(&place);
    let admin = server.admin();
    insert(&database, "event", r#"'{"action":"good"}'"#);
    wait_until("it is taken over", || metric(&admin, "trailseal_outbox_taken_over_total") == Some(1.0));
    assert_eq!(admin.count("action=good"), 1);
    let outbox = stats(&admin)["outbox"].clone();
    assert_eq!((&outbox["state"], &outbox["health"]), (&json!("running"), &json!("good")), "{outbox}");
    assert_eq!(admin.get("/readyz").is(200).json()["problems"], json!([]));

    insert(&database, "event", "'no event'");
    wait_until("it is put aside", || metric(&admin, "trailseal_outbox_put_aside_events") == Some(1.0));
    assert_eq!(metric(&admin, "trailseal_outbox_refused_total"), Some(1.0));
    let problems = admin.get("/readyz").is(200).text();
    assert!(problems.contains("trailseal outbox status"), "{problems}");
    let answer = admin.get("/v1/stats").is(200);
    assert_eq!(answer.header("x-audit-health"), Some("warning"));
    assert_eq!(answer.json()["outbox"]["seen"]["put_aside"], 1);

    // A trail that is gone has claimed one, two minutes ago.
    let gone = r#"'{"action":"claimed"}', 'example.com/gone', now() - interval '2 minutes'"#;
    insert(&database, "event, origin, written", gone);
    wait_until("it is seen", || metric(&admin, "trailseal_outbox_claimed_events") == Some(1.0));
    assert_eq!(metric(&admin, "trailseal_outbox_waiting_events"), Some(0.0));
    let age = metric(&admin, "trailseal_outbox_oldest_seconds").unwrap();
    assert!((120.0..180.0).contains(&age), "{age}");
    assert_eq!(stats(&admin)["outbox"]["health"], "warning");

    let failures = metric(&admin, "trailseal_outbox_failures_total").unwrap();
    database.kill();
    wait_until("it fails", || metric(&admin, "trailseal_outbox_failing") == Some(1.0));
    assert!(metric(&admin, "trailseal_outbox_failures_total").unwrap() > failures);
    admin.record(r#"{"action":"meanwhile"}"#);
    assert_eq!(admin.count("action=meanwhile"), 1);
    let ready = admin.get("/readyz").is(200).text();
    assert!(ready.contains("/v1/stats says why") && !ready.contains("127.0.0.1"), "{ready}");
    let outbox = stats(&admin)["outbox"].clone();
    assert_eq!(outbox["state"], "failing", "{outbox}");
    assert!(outbox["reason"].as_str().unwrap().contains("could not"), "{outbox}");
    let later = metric(&admin, "trailseal_outbox_oldest_seconds").unwrap();
    assert!(later > age, "what waits grows older though nobody can ask: {later}");

    database.start_again();
    wait_until("it is well again", || metric(&admin, "trailseal_outbox_failing") == Some(0.0));
    insert(&database, "event", r#"'{"action":"later"}'"#);
    wait_until("it is taken over", || admin.count("action=later") == 1);
    // Somebody who knows that the trail is gone says so.
    place.run_all(&["outbox", "release", "--origin", "example.com/gone"]).ok();
    wait_until("nothing is claimed", || {
        metric(&admin, "trailseal_outbox_claimed_events") == Some(0.0)
            && metric(&admin, "trailseal_outbox_oldest_seconds") == Some(0.0)
    });
}

#[test]
fn a_server_without_an_outbox_has_nothing_to_show() {
    let place = Place::new();
    let server = Server::start(&place);
    assert_eq!(stats(&server.admin())["outbox"], Value::Null);
    assert_eq!(metric(&server.admin(), "trailseal_outbox_failing"), None);
    assert!(server.admin().get("/metrics").is(200).text().contains("# TYPE trailseal_outbox_failing gauge"));
}
