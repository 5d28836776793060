//! `record` with a JSON array: whole or not at all, as over HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::Place;
use support::server::Server;

#[test]
fn an_array_goes_in_whole_from_a_file_and_from_a_pipe() {
    for (name, from_file) in [("a file", true), ("a pipe", false)] {
        let place = Place::new();
        let array =
            "\u{feff}\n [\n{\"action\":\"a\",\"id\":\"1\"},\n {\"action\":\"b\",\n\"details\":{\"n\":1}}]\n";
        place.write("array.json", array);
        let answer = match from_file {
            true => place.run("record --json --ack durable array.json").ok(),
            false => place.feed("record --json --ack durable", array).ok(),
        };
        assert_eq!(answer.field("index"), ["1", "2"], "{name}");
        let shown = place.run("query --order asc --format jsonl").ok();
        assert_eq!(shown.field("action"), ["a", "b"], "{name}");
        // Again: what has an id is a repeat.
        let again = place.feed("record", array).ok();
        assert_eq!(again.err, "1 recorded, 1 already there\n", "{name}");
    }
}

#[test]
fn nothing_of_an_array_goes_in_if_one_event_cannot_and_no_trail_is_made() {
    for (array, wanted) in [
        (r#"[{"action":"a"},{"no":"action"}]"#, "event 1 "),
        (r#"[{"action":"a"},7]"#, "event 1 "),
        (r#"[{"action":"a","id":"x"},{"action":"b","id":"x"}]"#, "x"),
        (r#"[{"action":"a"},"#, "not JSON"),
        (r#"[{"action":"a"}] {"action":"b"}"#, "not JSON: line 1"),
        ("[{\"action\":\"a\"}]\n{\"action\":\"b\"}", "not JSON: line 2"),
    ] {
        let place = Place::new();
        place.write("array.json", array);
        let answer = place.run("record array.json").no();
        assert!(
            answer.err.starts_with("nothing was recorded: ") && answer.err.contains(wanted),
            "{answer:#?}"
        );
        assert!(!wanted.contains("JSON") || !place.path("trail").exists(), "{array}");
        let place = Place::with_events(&["before"]);
        let answer = place.feed("record --json", array).no();
        assert!(answer.err.contains(wanted) && answer.out.is_empty(), "{answer:#?}");
        assert_eq!(place.run("query --count").ok().out, "1\n", "{array}");
    }
}

#[test]
fn an_empty_array_is_nothing_to_record() {
    let place = Place::new();
    assert_eq!(place.feed("record", "[]").ok().err, "0 recorded\n");
}

/// Its lines are many times as long as the array, and more than the usual handoff takes at once.
#[test]
fn the_handoff_grows_with_the_array() {
    let array = format!("[{}]", vec![r#"{"action":"a"}"#; 30_000].join(","));
    for from_file in [true, false] {
        let place = Place::new();
        place.write("array.json", &array);
        let answer = match from_file {
            true => place.run("record array.json").ok(),
            false => place.feed("record", &array).ok(),
        };
        assert_eq!(answer.err, "30,000 recorded\n", "from a file: {from_file}");
        assert_eq!(place.run("query --count").ok().out, "30000\n");
        place.run("verify").ok();
    }
    // Who has chosen a size gets it.
    let place = Place::new();
    place.write("array.json", &array);
    place.write("trailseal.toml", "handoff.size = \"1MiB\"\n");
    let answer = place.run("record array.json").no();
    assert!(answer.err.contains("a quarter of the handoff"), "{answer:#?}");
    assert_eq!(place.run("query --count").ok().out, "0\n");
}

#[test]
fn beside_a_server_it_is_the_same() {
    let place = Place::new();
    let server = Server::start(&place);
    let answer =
        place.feed("record --json --ack durable", "\n[{\"action\":\"a\"},\n{\"action\":\"b\"}]").ok();
    assert_eq!(answer.json_lines().len(), 2, "{answer:#?}");
    let answer = place.feed("record", r#"[{"action":"c"},{"no":"action"}]"#).no();
    assert!(answer.err.contains("nothing was recorded: "), "{answer:#?}");
    assert_eq!(answer.err.matches("not recorded").count(), 1, "told once and counted: {answer:#?}");
    assert_eq!(server.admin().count(""), 2);
}
