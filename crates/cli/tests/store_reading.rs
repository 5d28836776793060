//! `query` and `history` of a shared store: the same answers as from the folders, with the trail's name first in each event.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../postgres/tests/server/mod.rs"]
mod postgres;
mod support;

use std::collections::BTreeMap;

use support::Place;

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
