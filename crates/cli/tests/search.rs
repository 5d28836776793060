//! The index and many trails as their users meet them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;

use support::Place;

/// What each of these prints must not depend on the index.
const READS: [&str; 7] = [
    "query --format jsonl",
    "query --actor admin --format csv",
    "query --action *Get* --order asc --format jsonl",
    "query --outcome denied --count",
    "query --text policy --count",
    "summary --json",
    "export --format jsonl --since 2020-01-01",
];

fn all(place: &Place) -> Vec<String> {
    READS.iter().map(|words| place.run(words).ok().out).collect()
}

#[test]
fn the_index_can_be_deleted_or_damaged_and_rebuilt() {
    let place = Place::new();
    place.import_samples();
    let main = place.path("trail/index/main.db");
    assert!(main.exists(), "importing fills the index");
    let with = all(&place);
    assert!(with[0].lines().count() > 800);
    fs::remove_dir_all(place.path("trail/index")).unwrap();
    assert_eq!(all(&place), with, "without an index");
    place.run("reindex").ok();
    assert!(main.exists());
    assert_eq!(all(&place), with, "with a new one");
    fs::write(&main, "no database").unwrap();
    assert_eq!(all(&place), with, "with a damaged one");
    let answer = place.run("doctor").no();
    assert!(answer.out.contains("trailseal reindex"), "{}", answer.out);
    // Recording goes on without an index, and says so.
    let answer = place.feed("record", "{\"action\":\"still.recorded\"}\n").ok();
    assert!(answer.err.contains("not indexed"), "{}", answer.err);
    place.run("reindex").ok();
    assert_eq!(place.run("query --action still.recorded --count").ok().out.trim(), "1");
    place.run("verify").ok();
}

#[test]
fn an_index_of_other_events_is_named_by_verify_and_doctor() {
    let place = Place::with_events(&["a", "b", "c"]);
    let other = Place::with_events(&["d", "e", "f"]);
    fs::copy(other.path("trail/index/main.db"), place.path("trail/index/main.db")).unwrap();
    let answer = place.run("doctor").no();
    assert!(answer.out.contains("is the index of the trail"), "{}", answer.out);
    // It is not used, so it cannot make answers untrue, only slow.
    place.run("verify").ok();
    assert_eq!(place.run("query --count").ok().out.trim(), "3");
}

#[test]
fn an_index_that_hides_events_is_found_by_verify() {
    let place = Place::with_events(&["seen", "hidden", "seen"]);
    // Made of other lines, so that its checksums are right.
    place.copy("trail", "genuine");
    place.tamper(|lines| lines.iter_mut().for_each(|line| *line = line.replace("hidden", "other!")));
    place.run("reindex").ok();
    fs::rename(place.path("trail/index"), place.path("genuine/index.forged")).unwrap();
    fs::remove_dir_all(place.path("trail")).unwrap();
    fs::rename(place.path("genuine"), place.path("trail")).unwrap();
    fs::remove_dir_all(place.path("trail/index")).unwrap();
    fs::rename(place.path("trail/index.forged"), place.path("trail/index")).unwrap();
    assert_eq!(place.run("query --action hidden --count").ok().out.trim(), "0", "the index was believed");
    let answer = place.run("verify --json").no().json();
    assert_eq!(answer["problem"], "store_differs");
    assert_eq!(answer["first_bad"], 2, "{answer}");
    place.run("reindex").ok();
    place.run("verify").ok();
    assert_eq!(place.run("query --action hidden --count").ok().out.trim(), "1");
}

#[test]
fn slots_are_read_as_one_trail() {
    let place = Place::new();
    place.write("trailseal.toml", "workers = \"slots\"\norigin = \"example.org/app\"\n");
    place.feed("record", "{\"action\":\"one\",\"id\":\"a\"}\n").ok();
    // A second writer beside the first takes the second slot.
    let mut command = place.command(&["record", "--json"]);
    let mut first =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(first.stdin.as_mut().unwrap(), b"{\"action\":\"two\"}\n").unwrap();
    let receipts = support::Lines::of(first.stdout.take().unwrap());
    assert!(receipts.wait().contains("example.org/app/0"));
    let answer = place.feed("record --json", "{\"action\":\"three\",\"id\":\"b\"}\n").ok().json();
    assert_eq!(answer["origin"], "example.org/app/1");
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());

    assert_eq!(place.run("query --count").ok().out.trim(), "3");
    let events = place.run("query --format jsonl --order asc").ok().json_lines();
    let found: Vec<_> =
        events.iter().map(|event| (event["action"].as_str(), event["origin"].as_str())).collect();
    assert_eq!(
        found,
        [
            (Some("one"), Some("example.org/app/0")),
            (Some("two"), Some("example.org/app/0")),
            (Some("three"), Some("example.org/app/1")),
        ]
    );
    assert_eq!(place.run("query --origin example.org/app/1 --count").ok().out.trim(), "1");
    let verdict = place.run("verify --json").ok().json();
    assert_eq!(verdict["ok"], true);
    assert_eq!(verdict["trails"].as_array().unwrap().len(), 2);
    place.run("prove b --out b.tlog-proof").ok();
    assert!(place.read("b.tlog-proof").contains("example.org/app/1"));
    place.run("prove 1").could_not(&["ORIGIN#INDEX"]);
    place.run("prove example.org/app/0#1").ok();
    assert_eq!(place.run("stats --json").ok().json_lines().len(), 2);
    let exported = place.run("export --format jsonl").ok().json_lines();
    assert!(exported.iter().all(|event| event["origin"].as_str().unwrap().starts_with("example.org/app/")));
    place.run("export --format bundle --out both.zip").ok();
    let checked = place.run("verify --bundle both.zip --json").ok().json();
    assert_eq!((&checked["count"], checked["origins"].as_array().unwrap().len()), (&3.into(), 2));
    place.run("export --format bundle --origin example.org/app/1 --out one.zip").ok();
    assert_eq!(place.run("verify --bundle one.zip --json").ok().json()["count"], 1);
}

#[test]
fn a_slot_that_comes_later_is_followed_too() {
    let place = Place::new();
    place.write("trailseal.toml", "workers = \"slots\"\norigin = \"example.org/app\"\n");
    let mut writer = place.command(&["record", "--json"]);
    let mut writer =
        writer.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut feed = writer.stdin.take().unwrap();
    let recorded = support::Lines::of(writer.stdout.take().unwrap());
    let mut record_one = || {
        std::io::Write::write_all(&mut feed, b"{\"action\":\"one\"}\n").unwrap();
        recorded.wait();
    };
    record_one();
    let mut tail = place.command(&["tail", "-f", "-n", "0", "--format", "jsonl"]);
    let mut tail = tail.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let shown = support::Lines::of(tail.stdout.take().unwrap());
    // What it shows of the first slot tells that it follows.
    support::wait_until("the tail follows", || {
        record_one();
        shown.try_next().is_some()
    });
    // The first one is held, so this takes another slot, that was not there when the tail began.
    place.feed("record", "{\"action\":\"late\"}\n").ok();
    while !shown.wait().contains("\"late\"") {}
    tail.kill().unwrap();
    tail.wait().unwrap();
    drop(feed);
    writer.wait().unwrap();
}

#[test]
fn a_summary_counts_by_kind_and_over_time() {
    let place = Place::new();
    place.import_samples();
    let summary = place.run("summary --json --top 3").ok().json();
    let total: u64 = place.run("query --count").ok().out.trim().parse().unwrap();
    assert_eq!(summary["total"], total);
    let actions = summary["by_action"].as_array().unwrap();
    assert_eq!(actions.len(), 3);
    let first = actions[0]["value"].as_str().unwrap();
    let count = place.run_all(&["query", "--count", "--action", first]).ok().out;
    assert_eq!(actions[0]["count"].as_u64().unwrap(), count.trim().parse::<u64>().unwrap());
    let over_time: u64 =
        summary["histogram"].as_array().unwrap().iter().map(|bar| bar["count"].as_u64().unwrap()).sum();
    assert_eq!(over_time, total, "every event is in one bar");
    let text = place.run("summary --bucket 365d").ok().out;
    assert!(text.contains("by outcome") && text.contains("over time"), "{text}");
    place.run("summary --bucket soon").could_not(&["15m"]);
}

#[test]
fn doctor_looks_at_every_slot() {
    let place = Place::new();
    place.write("trailseal.toml", "workers = \"slots\"\n[[anchor]]\nfile = \"kept\"\n");
    place.feed("record", "{\"action\":\"one\"}\n").ok();
    place.run("doctor").ok();
    fs::write(place.path("trail/0/index/main.db"), "no database").unwrap();
    assert!(place.run("doctor").no().out.contains("trailseal reindex"));
}

#[test]
fn an_index_that_was_damaged_is_not_used_and_a_notice_says_so() {
    let place = Place::with_events(&["seen", "hidden", "seen"]);
    let main = place.path("trail/index/main.db");
    let mut bytes = fs::read(&main).unwrap();
    let at = bytes.windows(6).position(|bytes| bytes == b"hidden").unwrap();
    bytes[at] ^= 1;
    fs::write(&main, bytes).unwrap();
    let answer = place.run("query --action hidden --count").ok();
    assert_eq!(answer.out.trim(), "1");
    assert!(answer.err.starts_with("notice: ") && answer.err.contains("trailseal reindex"), "{}", answer.err);
    assert!(place.run("doctor").no().out.contains("trailseal reindex"));
    place.run("verify").ok();
    place.run("reindex").ok();
    assert_eq!(place.run("query --action hidden --count").ok().err, "");
}
