//! Reading a shared store: the same answers as from the folders, with the trail's name first in each event.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../postgres/tests/server/mod.rs"]
mod postgres;
mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{Lines, Place};

/// Two trails delivered to one store, and what each has recorded.
fn two_trails(url: &str) -> (Place, Place) {
    let events = |name: &str| {
        let event = |number: u32| {
            let (tenant, day) = (["acme", "other"][(number % 2) as usize], 1 + number % 9);
            format!(
                r#"{{"id":"{name}-{number}","time":"2026-01-0{day}T00:00:00Z","action":"order.pay","tenant":"{tenant}","resource":"order/{}","before":{{"paid":{number}}},"after":{{"paid":{}}}}}"#,
                number % 5,
                number + 1,
            )
        };
        (0..40).map(event).collect::<Vec<_>>().join("\n")
    };
    let place = |name: &str| {
        let place = Place::new();
        place.write("trailseal.toml", format!("origin = \"example.com/{name}\"\n[store]\nurl = \"{url}\"\n"));
        place.feed("record --ack store", events(name)).ok();
        place
    };
    (place("a"), place("b"))
}

/// The ids of events printed as lines, each checked to begin with its trail.
fn ids(out: &str) -> Vec<String> {
    out.lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let origin = event["origin"].as_str().unwrap();
            assert!(line.starts_with(&format!("{{\"origin\":\"{origin}\",\"v\":1,\"index\":")), "{line}");
            assert!(event["id"].as_str().unwrap().starts_with(&origin[origin.len() - 1..]), "{line}");
            event["id"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn a_store_is_queried_like_the_folders_of_its_trails() {
    let server = postgres::Server::start();
    let (one, other) = two_trails(server.url_text());
    let query = |more: &str| one.run(&format!("query --store settings --format jsonl {more}")).ok();
    // In the store they are all of both trails; each line is the folder's, with the origin before it.
    let mut own = BTreeMap::new();
    for place in [&one, &other] {
        for line in place.run("query --format jsonl").ok().out.lines() {
            own.insert(
                serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].to_string(),
                line.to_owned(),
            );
        }
    }
    let all = query("");
    assert_eq!((all.out.lines().count(), own.len()), (80, 80));
    for line in all.out.lines() {
        let id = serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].to_string();
        assert!(line.ends_with(&own[&id][1..]), "{line}\n{}", own[&id]);
    }
    let all = ids(&all.out);
    // Newest first; the oldest first is the reverse.
    let mut reversed = ids(&query("--order asc").out);
    reversed.reverse();
    assert_eq!(reversed, all);
    assert_eq!(ids(&query("--tenant acme").out).len(), 40);
    assert_eq!(ids(&query("--origin example.com/b --tenant acme").out).len(), 20);
    assert_eq!(ids(&query("--id a-7").out), ["a-7"]);
    let url = server.url_text();
    let count = |words: &str| one.run(&format!("query --store {url} --count {words}")).ok().out;
    assert_eq!(
        [count("--action order.*"), count("--resource order/3"), count("--text nothing")],
        ["80\n", "16\n", "0\n"]
    );
    // Page after page.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = query(&format!("--limit 7 {cursor}"));
        paged.extend(ids(&page.out));
        let Some((_, rest)) = page.err.split_once("--cursor ") else { break };
        cursor = format!("--cursor {}", rest.split_whitespace().next().unwrap());
    }
    assert_eq!(paged, all);
    // A cursor holds its order, and is of its place.
    one.run(&format!("query --store settings --order asc {cursor}"))
        .could_not(&["--cursor belongs to a query in another order: add --order desc --order-by time"]);
    one.run(&format!("query {cursor}")).could_not(&["--cursor is not a cursor of this program"]);
    // Without the flag, the folder is read.
    assert_eq!(one.run("query --count").ok().out, "40\n");
    // From anywhere, without a trail of one's own.
    let nowhere = Place::new();
    assert_eq!(nowhere.run(&format!("query --store {url} --count")).ok().out, "80\n");
    assert!(!nowhere.path("trail").exists(), "what only reads makes nothing");
    nowhere.run("query --store settings").could_not(&["store.url"]);
}

#[test]
fn the_history_of_a_resource_is_that_of_all_trails() {
    let server = postgres::Server::start();
    let (one, _other) = two_trails(server.url_text());
    let history = one.run("history --store settings order/2").ok().out;
    assert_eq!(history.matches("order.pay").count(), 16, "{history}");
    assert_eq!(history.matches("paid: ").count(), 16, "{history}");
    let lines = one.run("history --store settings order/2 --format jsonl").ok().out;
    assert_eq!(ids(&lines).len(), 16);
}

#[test]
fn what_is_no_store_is_said() {
    let server = postgres::Server::start();
    let place = Place::new();
    let url = server.url_text();
    place.run(&format!("query --store {url}")).could_not(&["holds no store yet"]);
    place.run("query --store postgres://nobody@127.0.0.1:1/none").could_not(&["could not connect to"]);
    place.run("query --store mysql://me:s3cr3t@db/x").could_not(&["the store's URL cannot be used"]);
}

/// The values of a field in a summary, with their counts.
fn counts(summary: &Value, field: &str) -> Vec<(String, u64)> {
    let one = |value: &Value| (value["value"].as_str().unwrap().to_owned(), value["count"].as_u64().unwrap());
    summary[field].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn a_store_is_summed_up() {
    let server = postgres::Server::start();
    let (one, _other) = two_trails(server.url_text());
    let summary = |more: &str| -> Value {
        serde_json::from_str(&one.run(&format!("summary --store settings --json {more}")).ok().out).unwrap()
    };
    let all = summary("");
    assert_eq!(all["total"], 80);
    assert_eq!(counts(&all, "by_tenant"), [("acme".to_owned(), 40), ("other".to_owned(), 40)]);
    assert_eq!(counts(&all, "by_action"), [("order.pay".to_owned(), 80)]);
    assert_eq!(all["bucket_seconds"], 1, "nine moments");
    let bars = all["histogram"].as_array().unwrap();
    assert_eq!((bars.len(), bars.iter().map(|bar| bar["count"].as_u64().unwrap()).sum::<u64>()), (9, 80));
    let some = summary("--origin example.com/b --tenant acme --bucket 7d");
    assert_eq!((&some["total"], &some["bucket_seconds"]), (&Value::from(20), &Value::from(604_800)));
    let text = one.run("summary --store settings --resource order/3").ok().out;
    assert!(text.starts_with("16 events\n") && text.contains("by tenant"), "{text}");
    assert!(one.run("summary").ok().out.starts_with("40 events"), "without the flag, the folder is read");
}

#[test]
fn a_store_is_exported_as_trails_are() {
    let server = postgres::Server::start();
    let (one, _other) = two_trails(server.url_text());
    let export = |words: &str| one.run(&format!("export --store settings {words}")).ok();
    let lines = export("--format jsonl").out;
    assert_eq!(ids(&lines).len(), 80);
    let query = "query --store settings --order asc --order-by recorded --format jsonl";
    assert_eq!(lines, one.run(query).ok().out, "by recording, each with its trail's name first");
    assert_eq!(ids(&export("--format jsonl --origin example.com/a --tenant acme").out).len(), 20);
    let csv = export("--format csv --json-columns").out;
    assert_eq!((csv.lines().count(), csv.matches("example.com/b,").count()), (81, 40), "{csv}");
    for (format, begin) in [("parquet", &b"PAR1"[..]), ("sqlite", b"SQLite format 3\0")] {
        let answer = export(&format!("--format {format} --out events"));
        assert!(answer.err.contains("80 events exported"), "{answer:#?}");
        assert!(std::fs::read(one.path("events")).unwrap().starts_with(begin), "{format}");
        std::fs::remove_file(one.path("events")).unwrap();
    }
    one.run("export --store settings --format bundle --out evidence.zip")
        .could_not(&["which a store does not have", "without --store"]);
    assert!(!one.path("evidence.zip").exists());
}

#[test]
fn a_store_is_followed_also_past_an_outage() {
    let mut server = postgres::Server::start_own(&[]);
    let (one, other) = two_trails(server.url_text());
    let newest = one.run("tail --store settings -n 3 --format jsonl").ok().out;
    let all = one.run("query --store settings --order asc --order-by recorded --format jsonl").ok().out;
    assert!(all.ends_with(&newest) && newest.lines().count() == 3, "{newest}");
    let tail = ["tail", "--store", "settings", "-f", "-n", "1000", "--format", "jsonl", "--tenant", "acme"];
    let mut following = one.command(&tail).spawn().unwrap();
    let (out, err) =
        (Lines::of(following.stdout.take().unwrap()), Lines::of(following.stderr.take().unwrap()));
    let event = |place: &Place, id: &str, ack: &str| {
        let event = format!(r#"{{"id":"{id}","action":"late","tenant":"acme"}}"#);
        place.feed(&format!("record --ack {ack}"), event).ok();
    };
    event(&other, "b-new", "store");
    let mut seen = Vec::new();
    let mut wait_for = |id: &str| {
        while seen.last().is_none_or(|last: &String| last != id) {
            seen.extend(ids(&out.wait()));
        }
    };
    wait_for("b-new");
    server.stop();
    let told = err.wait();
    assert!(told.contains("waiting for it"), "{told}");
    // What the trail alone has, the next one that delivers brings.
    event(&one, "a-kept", "durable");
    server.start_again();
    event(&other, "b-after", "store");
    event(&one, "a-after", "store");
    wait_for("a-after");
    following.kill().unwrap();
    following.wait().unwrap();
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((sorted.len(), seen.len()), (44, 44), "each once: {seen:?}");
}
