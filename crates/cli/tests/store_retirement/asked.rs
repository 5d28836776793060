//! Whoever asks the store for a retired event is told what the trail itself would say.

use serde_json::json;

use super::support::server::Server as Serving;
use super::*;

#[test]
fn a_retired_event_is_gone_and_not_unknown_wherever_it_is_asked_for() {
    let aged = Aged::new(Server::start(), 60, 3, true);
    let retained = aged.retain(&format!("{EVERY} --tenant t1"));
    let by = &retained["retired_by"][0];
    // One that the other server's own trail does not reach.
    let index = aged.number("SELECT max(to_idx) - 1 FROM trailseal.retired_lists, trailseal.ranges_of(list)");

    // By a server that has neither the trail nor its key.
    let elsewhere = Place::new();
    let settings =
        format!("origin = \"example.com/elsewhere\"\n[store]\nurl = \"{}\"\n", aged.server.url_text());
    elsewhere.write("trailseal.toml", settings);
    let serving = Serving::start(&elsewhere);
    let admin = serving.admin();
    let named = format!("/v1/events/{index}?origin={ORIGIN}");
    for path in [&*named, &format!("/v1/events/{index}"), "/v1/events/first-1"] {
        let problem = admin.get(path).is(410).json();
        assert_eq!(
            (&problem["type"], &problem["retired_by"], &problem["origin"]),
            (&json!("urn:trailseal:problem:retired"), by, &json!(ORIGIN)),
            "{path}: {problem}"
        );
        if !path.contains("first") {
            assert_eq!(problem["index"], index, "{problem}");
        }
    }
    admin.get(&format!("/v1/events/{index}/proof?origin={ORIGIN}")).is(410);
    admin.get(&format!("/v1/events/{index}?origin=example.com/elsewhere")).is(404);
    admin.get("/v1/events/first-1?origin=example.com/elsewhere").is(404);
    // One that stayed, and one that never was.
    admin.get(&format!("/v1/events/{}?origin={ORIGIN}", index + 1)).is(200);
    admin.get(&format!("/v1/events/999999999?origin={ORIGIN}")).is(404);
    // Whose an index was nobody knows any more; of an id that is known.
    let tenant = serving.holder(r#"{"name":"t1","scopes":["read"],"tenant":"t1"}"#);
    let other = serving.holder(r#"{"name":"t2","scopes":["read"],"tenant":"t2"}"#);
    tenant.get("/v1/events/first-1").is(410);
    other.get("/v1/events/first-1").is(404);
    tenant.get(&named).is(404);

    // By a command.
    let store = format!("--store {}", aged.server.url_text());
    for what in [format!("{index}"), "first-1".to_owned(), format!("{index} --origin {ORIGIN}")] {
        let answer = elsewhere.run(&format!("query --id {what} {store}"));
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.err.contains("retired"), "{answer:?}");
    }
    for what in [format!("{index} --origin example.com/elsewhere"), "never".to_owned()] {
        elsewhere.run(&format!("query --id {what} {store}")).ok();
    }
}
