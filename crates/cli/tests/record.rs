//! `trailseal record`: what goes in, what is answered, and what is refused by its number.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use support::server::Server;
use support::{Lines, Place, Running, wait_until};

/// The one event of the user, as it was recorded from `line`.
fn recorded(line: &str) -> Value {
    let place = Place::new();
    place.record(line);
    place.run("query --format jsonl").ok().json()
}

#[test]
fn a_receipt_a_line_says_where_each_event_went() {
    let place = Place::new();
    let receipts = place.record("{\"action\":\"a\"}\n{\"action\":\"b\",\"id\":\"x1\"}\n");
    assert_eq!(receipts.len(), 2);
    for receipt in &receipts {
        let fields: Vec<&String> = receipt.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["origin", "index", "id"]);
        assert!(receipt["origin"].as_str().unwrap().starts_with("trailseal.local/"));
    }
    assert_eq!(receipts[1]["id"], "x1");
    assert_eq!(receipts[1]["index"].as_u64().unwrap(), receipts[0]["index"].as_u64().unwrap() + 1);
    // The index in the receipt is the one of the stored line.
    let stored = place.run("query --order asc --format jsonl").ok().json_lines();
    assert_eq!(stored[0]["index"], receipts[0]["index"]);
    assert_eq!(stored[0]["id"], receipts[0]["id"]);
}

#[test]
fn without_json_stdout_is_empty_and_stderr_sums_up() {
    let place = Place::new();
    let answer = place.feed("record", "{\"action\":\"a\"}\n{\"action\":\"b\"}\n").ok();
    assert_eq!((answer.out.as_str(), answer.err.as_str()), ("", "2 recorded\n"));
}

#[test]
fn a_file_a_dash_and_nothing_are_read_alike() {
    let place = Place::new();
    place.write("events.jsonl", "{\"action\":\"from.file\"}\n");
    place.run("record events.jsonl").ok();
    place.feed("record -", "{\"action\":\"from.dash\"}\n").ok();
    place.feed("record", "{\"action\":\"from.nothing\"}").ok();
    let answer = place.run("query --order asc --format jsonl").ok();
    assert_eq!(answer.field("action"), ["from.file", "from.dash", "from.nothing"]);
    place.run("record no-such-file").could_not(&["no-such-file"]);
}

#[test]
fn what_is_no_json_at_all_is_told_where_it_belongs() {
    let place = Place::new();
    let forms =
        ["{\n  \"action\": \"indented\"\n}\n", "action,actor\nuser.login,ann\n", "type=LOGIN msg=ok\n"];
    let (mut answers, hint) =
        (Vec::new(), "`jq -c .` makes lines of indented JSON, and `trailseal import` takes CSV");
    answers.extend(forms.map(|form| place.feed("record", form)));
    let server = Server::start(&place);
    let (url, token) = (format!("http://{}", server.address), server.token.clone());
    answers.extend(forms.map(|form| place.feed_all(&["record", "--server", &url, "--token", &token], form)));
    for answer in answers {
        assert!(answer.no().err.contains(hint));
    }
    // One good line, or one whose fault is another, says that the form is right.
    for form in ["{\"action\":\"a\"}\n{\n", "{\"no\":\"action\"}\n{\n"] {
        assert!(
            !place.feed_all(&["record", "--server", &url, "--token", &token], form).no().err.contains(hint)
        );
        assert!(!Place::new().feed("record", form).no().err.contains(hint));
    }
}

#[test]
fn a_bad_line_is_named_by_its_number_and_the_rest_goes_in() {
    let place = Place::new();
    let input = "{\"action\":\"a\"}\nnot json\n{\"no\":\"action\"}\n\n[1]\n{\"action\":\"\"}\n{\"action\":\"b\"}\n{\"action\":7}";
    let answer = place.feed("record --json", input).no();
    assert_eq!(answer.json_lines().len(), 2);
    let named: Vec<&str> = answer.err.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(named, ["line 2", "line 3", "line 5", "line 6", "line 8"], "{answer:#?}");
    assert!(answer.err.contains("action"), "{answer:#?}");
    assert_eq!(place.run("query --order asc --format jsonl").ok().field("action"), ["a", "b"]);
}

#[test]
fn bytes_that_are_not_utf_8_are_a_bad_line() {
    let place = Place::new();
    let answer = place.feed("record --json", b"{\"action\":\"\xff\xfe\"}\n{\"action\":\"b\"}\n").no();
    assert!(answer.err.starts_with("line 1: "), "{answer:#?}");
    assert_eq!(answer.json_lines().len(), 1);
}

#[test]
fn a_byte_order_mark_blank_lines_and_carriage_returns_are_skipped() {
    let place = Place::new();
    let answer =
        place.feed("record --json", "\u{feff}{\"action\":\"a\"}\r\n\r\n   \n\n{\"action\":\"b\"}\r\n").ok();
    assert_eq!(answer.json_lines().len(), 2);
    let answer = place.feed("record --json", "\u{feff}\n{\"action\":\"c\"}\n").ok();
    assert_eq!(answer.json_lines().len(), 1);
}

#[test]
fn an_id_given_again_is_a_repeat_or_a_conflict() {
    let place = Place::new();
    place.record("{\"action\":\"pay\",\"id\":\"p-1\",\"details\":{\"sum\":5}}");
    let repeat =
        place.feed("record --json", "{\"id\":\"p-1\",\"details\":{\"sum\":5},\"action\":\"pay\"}").ok();
    assert_eq!(repeat.json()["repeated"], true);
    let other = "{\"action\":\"pay\",\"id\":\"p-1\",\"details\":{\"sum\":6}}\n{\"action\":\"next\"}\n";
    let conflict = place.feed("record --json", other).no();
    assert!(conflict.err.starts_with("line 1: ") && conflict.err.contains("p-1"), "{conflict:#?}");
    assert_eq!(conflict.json_lines().len(), 1);
    assert_eq!(place.run("query --count").ok().out, "2\n");
}

#[test]
fn the_same_id_in_two_tenants_is_two_events() {
    let place = Place::new();
    let lines = "{\"action\":\"a\",\"id\":\"1x\",\"tenant\":\"t1\"}\n{\"action\":\"b\",\"id\":\"1x\",\"tenant\":\"t2\"}\n";
    assert!(place.record(lines).iter().all(|receipt| receipt["repeated"].is_null()));
    assert_eq!(place.run("query --id 1x --count").ok().out, "2\n");
}

#[test]
fn what_the_caller_did_not_say_has_a_default() {
    let event = recorded("{\"action\":\"a\"}");
    assert_eq!(event["severity"], "info");
    assert!(event.get("outcome").is_none(), "nobody said how it ended");
    assert_eq!(event["category"], "custom:other");
    assert!(event["id"].is_string() && event["time"].is_string() && event["recorded"].is_string());
    assert!(event["invalid"].is_null() && event["system"].is_null());
}

#[test]
fn fields_that_cannot_be_what_they_say_are_kept_and_listed() {
    let event = recorded(
        "{\"action\":\"a\",\"severity\":9,\"outcome\":\"maybe\",\"time\":\"yesterday\",\"category\":[1],\
         \"index\":77,\"recorded\":\"then\",\"actor\":{\"id\":{\"x\":1}},\"v\":9,\"system\":true}",
    );
    assert_eq!(event["severity"], "info");
    assert_eq!(event["outcome"], "unknown");
    assert_eq!(event["category"], "custom:other");
    assert!(event["system"].is_null());
    assert_ne!(event["index"], 77);
    let kept = &event["details"]["_invalid"];
    for (path, value) in [
        ("severity", json!(9)),
        ("outcome", json!("maybe")),
        ("time", json!("yesterday")),
        ("category", json!([1])),
        ("index", json!(77)),
        ("recorded", json!("then")),
        ("actor.id", json!({"x": 1})),
        ("v", json!(9)),
        ("system", json!(true)),
    ] {
        assert_eq!(kept[path], value, "{path} of {event:#}");
        assert!(event["invalid"].as_array().unwrap().contains(&json!(path)), "{path} of {event:#}");
    }
}

#[test]
fn doubled_keys_and_huge_numbers_and_deep_nesting_are_survived() {
    let event = recorded("{\"action\":\"first\",\"action\":\"last\"}");
    assert_eq!(event["action"], "last");
    assert_eq!(event["details"]["_invalid"]["action"], "first", "{event:#}");
    let huge = "123456789012345678901234567890123456789";
    let event = recorded(&format!("{{\"action\":\"a\",\"details\":{{\"n\":{huge}}}}}"));
    assert_eq!(event["details"]["n"], huge, "{event:#}");
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let event = recorded(&format!("{{\"action\":\"a\",\"details\":{{\"deep\":{deep}}}}}"));
    assert!(event["details"]["deep"].is_array(), "{event:#}");
}

#[test]
fn unknown_fields_are_kept_and_a_huge_event_is_cut_and_marked() {
    let event = recorded("{\"action\":\"a\",\"colour\":\"blue\"}");
    assert!(event.to_string().contains("\"colour\":\"blue\""), "{event:#}");
    let long = "x".repeat(200_000);
    let event = recorded(&format!("{{\"action\":\"a\",\"description\":\"{long}\"}}"));
    assert!(event["truncated"].is_array(), "no mark");
    assert!(event.to_string().len() <= 65_535);
}

#[test]
fn text_of_any_kind_comes_back_as_it_was() {
    let text = "Zoë \u{1f512} \u{0}\u{7f} \"quoted\" \\ \u{2028} <b>&";
    let event = recorded(&json!({"action": text, "tenant": text, "details": {text: text}}).to_string());
    assert_eq!(event["action"], text);
    assert_eq!(event["tenant"], text);
    assert_eq!(event["details"][text], text);
}

#[test]
fn a_receipt_comes_as_soon_as_its_level_is_reached() {
    for level in ["accepted", "durable"] {
        let place = Place::new();
        let mut command = place.command(&["record", "--json", "--ack", level]);
        let mut child = Running(command.stdin(Stdio::piped()).spawn().unwrap());
        let mut input = child.0.stdin.take().unwrap();
        let output = Lines::of(child.0.stdout.take().unwrap());
        for number in 0..3 {
            writeln!(input, "{{\"action\":\"step.{number}\"}}").unwrap();
            let line = output.wait();
            let receipt: Value = serde_json::from_str(&line).unwrap();
            assert!(receipt["index"].is_u64(), "{line}");
            if level == "durable" {
                assert!(place.lines().last().unwrap().contains(&format!("step.{number}")));
            }
        }
        drop(input);
        assert!(child.0.wait().unwrap().success());
    }
}

#[test]
fn the_store_is_the_index_and_without_it_its_level_cannot_be_reached() {
    let place = Place::new();
    place.feed("record --ack store", "{\"action\":\"a\"}").ok();
    assert!(place.path("trail/index/main.db").exists());
    let place = Place::new();
    place.write("trailseal.toml", "[index]\nenabled = false\n");
    place.feed("record --ack store", "{\"action\":\"a\"}").could_not(&["index.enabled", "durable"]);
    assert!(!place.path("trail").exists());
    place.feed("record", "{\"action\":\"a\"}").ok();
    assert!(!place.path("trail/index").exists());
}

#[test]
fn a_second_writer_is_told_who_is_first() {
    let place = Place::new();
    let mut command = place.command(&["record"]);
    let mut first = Running(command.stdin(Stdio::piped()).spawn().unwrap());
    let input = first.0.stdin.take().unwrap();
    let pid = first.0.id().to_string();
    wait_until("the first writer has the trail", || place.path("trail/checkpoint").exists());
    place.feed("record", "{\"action\":\"b\"}").could_not(&[&pid, "trail"]);
    place.run("key rotate").could_not(&[&pid]);
    let path = support::sample("github-audit.jsonl");
    place.run_all(&["import", "--from", "github", path.to_str().unwrap()]).could_not(&[&pid]);
    drop(input);
    assert!(first.0.wait().unwrap().success());
    place.feed("record", "{\"action\":\"b\"}").ok();
}

#[test]
fn a_killed_writers_events_are_shown_before_anybody_reopens_the_trail() {
    let place = Place::with_events(&["before"]);
    let mut command = place.command(&["record", "--json"]);
    let mut child = Running(command.stdin(Stdio::piped()).spawn().unwrap());
    let mut input = child.0.stdin.take().unwrap();
    let output = Lines::of(child.0.stdout.take().unwrap());
    let count = 500;
    for number in 0..count {
        writeln!(input, "{{\"action\":\"late.{number}\"}}").unwrap();
    }
    for _ in 0..count {
        let line = output.wait();
        assert!(line.contains("index"), "{line}");
    }
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let before = std::fs::read_dir(place.path("trail")).unwrap().count();
    assert_eq!(place.run("query --count --action late.*").ok().out, format!("{count}\n"));
    let shown = place.run("tail -n 1 --format jsonl").ok();
    assert_eq!(shown.field("action"), [format!("late.{}", count - 1)]);
    place.run("verify").ok();
    assert_eq!(std::fs::read_dir(place.path("trail")).unwrap().count(), before);
    place.run("doctor").no();
    // And whoever opens it has them too.
    place.record("{\"action\":\"after\"}");
    assert_eq!(place.run("query --count").ok().out, format!("{}\n", count + 2));
    place.run("verify").ok();
    place.run("doctor").ok();
}

#[test]
fn the_trails_own_events_are_left_out_unless_asked_for() {
    let place = Place::with_events(&["a"]);
    assert_eq!(place.run("query --count").ok().out, "1\n");
    assert_eq!(place.run("tail --format jsonl").ok().field("action"), ["a"]);
    assert_eq!(place.run("export --format jsonl").ok().field("action"), ["a"]);
    let all = place.run("query --system --order asc --format jsonl").ok().json_lines();
    assert!(all.len() > 1);
    assert!(all.iter().filter(|event| event["action"] != "a").all(|event| event["system"] == true));
    let stats = place.run("stats --json").ok().json();
    assert_eq!(stats["events"], 1);
    assert_eq!(stats["system_events"], all.len() - 1);
}
