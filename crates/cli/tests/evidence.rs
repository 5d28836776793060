//! Evidence over HTTP: bundles and Parquet of what the filters match, and the JSON of events in CSV when asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::server::Server;
use support::{Place, wait_until};

const EVENTS: &str = r#"{"action":"limit.raise","tenant":"acme","before":{"limit":100},"after":{"limit":900},"details":{"by":"phone, late"}}
{"action":"limit.raise","tenant":"zeta","before":{"limit":1},"after":{"limit":2}}
{"action":"user.login","tenant":"acme"}
"#;

#[test]
fn csv_has_the_json_of_events_when_asked_for() {
    let place = Place::with(EVENTS);
    let plain = place.run("export --format csv").ok().out;
    assert!(plain.lines().next().unwrap().ends_with(",description,error"), "{plain}");
    let more = place.run("export --format csv --json-columns --tenant acme").ok().out;
    let lines: Vec<&str> = more.lines().collect();
    assert!(lines[0].ends_with(",description,error,before,after,changes,details"), "{more}");
    let json = r#","{""limit"":100}","{""limit"":900}","{""limit"":{""before"":100,""after"":900}}","{""by"":""phone, late""}""#;
    assert!(lines[1].ends_with(json), "{more}");
    assert!(lines[2].ends_with(",,,,"), "{more}");
    place.run("export --format jsonl --json-columns").could_not(&["--json-columns is for --format csv"]);
    let server = Server::start(&place);
    let client = server.admin().header("Accept", "text/csv");
    let answer = client.get("/v1/events?order=asc&tenant=acme&json_columns=true").is(200).text();
    let behind = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split_once("limit.raise").map_or("", |(_, rest)| rest).to_owned())
            .collect()
    };
    assert_eq!(behind(&answer), behind(&more));
    client.get("/v1/events?json_columns=maybe").is(400).is_problem();
}

#[test]
fn a_bundle_over_http_has_what_the_token_may_see_and_is_checked_without_the_server() {
    let place = Place::with(EVENTS);
    let server = Server::start(&place);
    let token = place.run("token create acme --scope read --tenant acme").ok().out;
    wait_until("all of it is sealed", || {
        let origins = server.admin().get("/v1/origins").json();
        origins["origins"][0]["sealed"].as_u64() >= Some(4)
    });
    let zip = server.client(token.trim()).header("Accept", "application/zip");
    let bytes = zip.get("/v1/events?action=limit.*").is(200).body;
    std::fs::write(place.path("evidence.zip"), &bytes).unwrap();
    let key = place.public_key();
    let verdict =
        place.run_all(&["verify", "--bundle", "evidence.zip", "--public-key", &key, "--json"]).ok().json();
    assert_eq!((verdict["ok"].as_bool(), verdict["count"].as_u64()), (Some(true), Some(1)), "{verdict}");
    for query in ["limit=1", "cursor=x"] {
        zip.get(&format!("/v1/events?{query}")).is(400).is_problem();
    }
    let parquet = server.admin().header("Accept", "application/vnd.apache.parquet");
    let bytes = parquet.get("/v1/events?tenant=zeta").is(200).body;
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}
