//! The real command killed at any moment, its index with it: afterwards the index, once it has caught up, says what the
//! lines say, and every search agrees with looking at all lines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use support::Place;

const ROUNDS: u64 = 15;
/// Where the disk is quick, the index is seldom behind the lines: so many rounds at most until it was often enough.
const ROUNDS_MAX: u64 = 150;
const OFTEN: u64 = 3;

/// Feeds events until nobody takes them any more.
fn feed(mut input: std::process::ChildStdin, round: u64) {
    for number in 0.. {
        let event = format!(
            "{{\"action\":\"round.{}\",\"tenant\":\"t{}\",\"id\":\"{round}-{number}\",\"actor\":{{\"id\":\"u{}\"}}}}\n",
            round % 4,
            number % 3,
            number % 50,
        );
        if input.write_all(event.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn after_kills_at_any_moment_the_index_says_what_the_lines_say() {
    let place = Place::new();
    let (mut behind, mut round) = (0, 0);
    while round < ROUNDS || behind < OFTEN {
        assert!(round < ROUNDS_MAX, "only {behind} of {round} kills left the index behind the lines");
        let before = segment_bytes(&place);
        let mut command = place.command(&["record"]);
        let mut child =
            support::Running(command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let input = child.0.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || feed(input, round));
        // From before the first batch to well after many. How long a start takes depends on the machine.
        if round > 2 {
            support::wait_until("lines are on disk", || segment_bytes(&place) > before);
        }
        std::thread::sleep(Duration::from_millis(round * 37 % 150));
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        feeder.join().unwrap();
        round += 1;
        if !place.path("trail/trail.toml").exists() {
            continue;
        }
        // Read before anybody opens it again: the index is behind, and what it lacks is scanned.
        let answer = place.run("stats --json").ok().json();
        behind += u64::from(answer["not_indexed"].as_u64().unwrap() > 0);
        check(&place, round);
    }
    place.feed("record --ack store", "{\"action\":\"last\"}\n").ok();
    let answer = place.run("stats --json").ok().json();
    assert_eq!(answer["not_indexed"], 0, "a clean close leaves nothing behind");
    check(&place, round);
}

fn segment_bytes(place: &Place) -> u64 {
    let Ok(files) = std::fs::read_dir(place.path("trail/segments")) else { return 0 };
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len()).sum()
}

fn check(place: &Place, round: u64) {
    let filters =
        [vec!["--tenant", "t1"], vec!["--action", "round.2"], vec!["--actor", "u7", "--tenant", "t0"]];
    let answers = |place: &Place| -> Vec<String> {
        filters
            .iter()
            .map(|filter| {
                let count = place.run_all(&[&["query", "--count"], &filter[..]].concat()).ok().out;
                let found = place.run_all(&[&["query", "--format", "jsonl"], &filter[..]].concat()).ok().out;
                assert_eq!(count.trim(), found.lines().count().to_string(), "round {round}");
                found
            })
            .collect()
    };
    let with = answers(place);
    let (index, aside) = (place.path("trail/index"), place.path("index-aside"));
    if index.exists() {
        std::fs::rename(&index, &aside).unwrap();
        let without = answers(place);
        std::fs::rename(&aside, &index).unwrap();
        assert_eq!(with, without, "round {round}");
    }
    // It compares the index with the lines.
    place.run("verify").ok();
}
