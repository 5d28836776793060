//! An event of which nobody said how it ended says nothing of it anywhere: no outcome is invented, by whatever way the
//! event came in, and whatever way it is shown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::Place;
use support::server::Server;

const MAPPING: &str = r#"
format = "shop"
[event]
action = "do"
outcome = "how"
[[outcome]]
when = { status = "400..599" }
is = "failure"
"#;

/// Events without an outcome, by the ways of the command line; and two with one.
fn place() -> Place {
    let place = Place::new();
    let absent = [
        r#"{"action":"none.record","id":"n1","resource":"invoice/42"}"#,
        r#"{"action":"none.null","outcome":null}"#,
        r#"{"action":"none.empty","outcome":""}"#,
        r#"{"action":"none.error","error":"why"}"#,
    ];
    place.record(&absent.join("\n"));
    place.write("shop.toml", MAPPING);
    place.write("shop.jsonl", "{\"do\":\"none.import\"}\n{\"do\":\"some.failure\",\"status\":500}\n");
    place.run("import --map shop.toml shop.jsonl").ok();
    place.record(r#"{"action":"some.success","outcome":"SUCCESS"}"#);
    place
}

const ABSENT: u64 = 5;

#[test]
fn no_line_says_one_and_queries_find_that() {
    let place = place();
    let none = place.run("query --outcome none --order asc --format jsonl").ok().json_lines();
    assert_eq!(none.len() as u64, ABSENT);
    for event in &none {
        assert!(event["action"].as_str().unwrap().starts_with("none."), "{event}");
        assert!(event.get("outcome").is_none() && event["invalid"].is_null(), "{event}");
    }
    for (filters, count) in [
        ("--outcome none", 5),
        ("--outcome success", 1),
        ("--outcome failure", 1),
        ("--outcome unknown", 0),
        ("--outcome none --outcome success", 6),
        ("--outcome none --text why", 1),
        ("", 7),
    ] {
        assert_eq!(
            place.run(&format!("query {filters} --count")).ok().out,
            format!("{count}\n"),
            "{filters}"
        );
    }
    place.run("query --outcome nothing").could_not(&["unknown or none"]);
    // As well without the index, from the lines.
    std::fs::remove_dir_all(place.path("trail/index")).unwrap();
    assert_eq!(place.run("query --outcome none --count").ok().out, "5\n");
    assert_eq!(place.run("tail -n 9 --outcome none --format jsonl").ok().json_lines().len() as u64, ABSENT);
}

#[test]
fn tables_and_csv_show_nothing() {
    let place = place();
    let table = place.run("query --order asc").ok().out;
    for line in table.lines().filter(|line| line.contains("none.")) {
        assert!(
            ["success", "unknown", "none ", "failure"].iter().all(|word| !line.ends_with(word)),
            "{line:?}"
        );
        assert_eq!(line, line.trim_end(), "nothing behind the last column");
    }
    assert!(table.lines().any(|line| line.contains("some.success") && line.ends_with(" success")), "{table}");
    let history = place.run("history invoice/42").ok().out;
    assert!(history.contains("none.record") && !history.contains("success"), "{history}");
    let csv = place.run("query --format csv").ok().out;
    let at = csv.lines().next().unwrap().split(',').position(|name| name == "outcome").unwrap();
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells[at].is_empty(), line.contains(",none."), "{line}");
    }
}

#[test]
fn counts_have_it_as_a_value_of_its_own() {
    let place = place();
    let summary = place.run("summary --json").ok().json();
    assert_eq!(
        summary["by_outcome"],
        json!([{"value": "none", "count": 5}, {"value": "failure", "count": 1}, {"value": "success", "count": 1}])
    );
    // By one pass over the lines, too.
    let of_text = place.run("summary --json --text none.").ok().json();
    assert_eq!(of_text["by_outcome"], json!([{"value": "none", "count": 5}]));
    let text = place.run("summary").ok().out;
    assert!(text.contains("\nby outcome\n             5\n"), "under an empty name: {text}");
}

#[test]
fn exports_choose_by_it() {
    // What stands in the columns is looked at by strangers: `export.rs`.
    let place = place();
    for format in ["parquet", "sqlite", "bundle"] {
        let answer = place.run(&format!("export --outcome none --format {format} --out out --json")).ok();
        assert_eq!(answer.json()["count"], ABSENT, "{format}");
    }
    let lines = place.run("export --outcome none --format jsonl").ok().json_lines();
    assert_eq!(lines.len() as u64, ABSENT);
    place.run("verify").ok();
}

#[test]
fn http_takes_finds_counts_and_exports_none() {
    let place = Place::new();
    let server = Server::start(&place);
    let client = server.admin();
    client.record(r#"{"action":"one","resource":"invoice/42"}"#);
    client.record("{\"action\":\"line.1\",\"outcome\":\"\"}\n{\"action\":\"line.2\",\"outcome\":null}\n");
    client.record(
        r#"[{"action":"listed"},{"action":"good","outcome":"success"},{"action":"bad","outcome":"failure"}]"#,
    );
    // Everything before is durable and in the index with this.
    client.post("/v1/events?ack=store", r#"{"action":"last"}"#).is(202);
    assert_eq!((client.count("outcome=none"), client.count("outcome=success"), client.count("")), (5, 1, 7));
    let page = client.get("/v1/events?outcome=none&order=asc").is(200).events();
    assert!(page.iter().all(|event| event.get("outcome").is_none()), "{page:?}");
    let summary = client.get("/v1/summary").is(200).json();
    assert_eq!(summary["by_outcome"][0], json!({"value": "none", "count": 5}));
    let history = client.get("/v1/resources/invoice/42/history").is(200).json();
    assert_eq!(history["events"][0].get("outcome"), None, "{history}");
    let csv = client.header("Accept", "text/csv").get("/v1/events?action=one").is(200).text();
    assert!(csv.contains(",one,info,,"), "{csv}");
    client.get("/v1/events?outcome=nothing").is(400);
    // Recorded is recorded: what nobody said of the outcome is no failure.
    let stats: Value = client.get("/admin/audit/stats").is(200).json();
    assert_eq!((&stats["success_rate"], &stats["failed"]), (&json!("100.0%"), &json!(0)), "{stats}");
    let openapi = client.get("/openapi.json").is(200).text();
    assert!(openapi.contains(r#""unknown","none""#));
}

#[test]
fn cloudtrail_says_how_it_ended_by_what_it_leaves_out() {
    let place = Place::new();
    place.write(
        "trail.jsonl",
        concat!(
            r#"{"eventName":"GetObject","eventTime":"2026-01-01T00:00:00Z","eventID":"1"}"#,
            "\n",
            r#"{"eventName":"GetObject","eventTime":"2026-01-01T00:00:01Z","eventID":"2","errorCode":"AccessDenied"}"#,
        ),
    );
    place.run("import --from cloudtrail trail.jsonl").ok();
    let found = place.run("query --order asc --format jsonl").ok().field("outcome");
    assert_eq!(found, ["success", "denied"]);
}
