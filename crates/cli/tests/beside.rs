//! Commands that write, while a server holds the trail, and a server somewhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::Place;

/// A server in its own process, and what it said at its start.
struct Running {
    child: std::process::Child,
    url: String,
    token: String,
}

impl Running {
    fn start(place: &Place) -> Running {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let lines = support::Lines::of(child.stdout.take().unwrap());
        let url = lines.wait().strip_prefix("listening on ").unwrap().to_owned();
        lines.wait();
        let token = lines.wait().split_whitespace().last().unwrap().to_owned();
        Running { child, url, token }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_line_is_one_event_or_none_beside_a_server_as_without_one() {
    let place = Place::new();
    let huge =
        format!("{{\"action\":\"huge\",\"x\":\"{}{{\"action\":\"tail\"}}", "x".repeat((16 << 20) - 22));
    let bad = [
        r#"{"action":"comma"},{"action":"comma"}"#,
        r#"[{"action":"array"},{"action":"array"}]"#,
        r#"{"action":"two"} {"action":"two"}"#,
        r#"{"action":"open""#,
        &huge,
    ];
    let good = r#"{"action":"good"}"#;
    let mut input = bad.join(&format!("\n{good}\n"));
    input.push('\n');
    let check = |input: &str, bad: &[usize], good: usize| {
        let answer = place.feed("record --json --ack durable", input).no();
        let mut numbers: Vec<usize> = answer
            .err
            .lines()
            .filter_map(|line| line.strip_prefix("line ")?.split_once(": not recorded: ")?.0.parse().ok())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, bad, "{}", answer.err);
        assert_eq!(answer.out.lines().count(), good);
    };
    let check_all = || {
        check(&input, &[1, 3, 5, 7, 9], 4);
        // An array alone is several events, which are recorded as one: see arrays.rs.
        bad.iter().filter(|line| !line.starts_with('[')).for_each(|line| check(line, &[1], 0));
    };
    check_all();
    let _server = Running::start(&place);
    check_all();
    assert_eq!(place.run("query --count").ok().out, "8\n");
}

#[test]
fn whoever_stops_reading_receipts_does_not_stop_the_recording_beside_a_server() {
    let place = Place::new();
    let _server = Running::start(&place);
    // Several requests.
    place.write("events.jsonl", "{\"action\":\"a\"}\n".repeat(2_000));
    let mut command = place.command(&["record", "--json", "--ack", "durable", "events.jsonl"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(command.stdout(writer).status().unwrap().success());
    assert_eq!(place.run("query --count").ok().out, "2000\n");
}

#[test]
fn the_server_that_holds_the_trail_does_it() {
    let place = Place::new();
    let server = Running::start(&place);
    let lines = "{\"action\":\"one\",\"id\":\"a\"}\n\n{\"action\":\"\"}\n{\"action\":\"three\"}\nnonsense\n";
    let answer = place.feed("record --json --ack durable", lines).no();
    assert_eq!(answer.out.lines().count(), 2, "{}", answer.out);
    assert!(answer.err.contains("line 3") && answer.err.contains("line 5"), "{}", answer.err);
    assert_eq!(place.run("query --count").ok().out.trim(), "2");
    let again = place.feed("record --json", "{\"action\":\"one\",\"id\":\"a\"}\n").ok().json();
    assert_eq!(again["repeated"], true);
    place.feed("record", "{\"action\":\"other\",\"id\":\"a\"}\n").no();

    let before = place.run("key show").ok().out;
    let rotated = place.run("key rotate").ok().out;
    assert_ne!(before.lines().next(), rotated.lines().next());
    assert_eq!(place.run("key show").ok().out.lines().next(), rotated.lines().next());
    place.run("policy set sync").ok();
    assert!(place.run("policy show").ok().out.contains("mode = \"sync\""));
    place.run("policy set sampled").could_not(&["--rate"]);

    let token = place.run("token create auditor --scope read --expires 90d").ok().out;
    assert!(token.trim().starts_with("tsl_") && token.trim().len() > 24);
    place.run("token create auditor --scope read").no();
    assert!(place.run("token list").ok().out.contains("auditor"));
    place.run("token revoke auditor").ok();
    place.run("token revoke auditor").no();
    drop(server);
    // The socket is left over from the kill, and nobody answers on it.
    place.feed("record", "{\"action\":\"after\"}\n").ok();
    assert_eq!(place.run("query --count").ok().out.trim(), "3");
    place.run("verify").ok();
    let own = place.run("query --system --action trail.token_* --format jsonl").ok().json_lines();
    assert_eq!(own.len(), 3, "the first one, the auditor's, and its end: {own:?}");
}

#[test]
fn a_server_elsewhere_that_refuses_a_token_says_so_once() {
    let place = Place::new();
    let server = Running::start(&place);
    let run = |token: &str, words: &str, input: &str| {
        let words: Vec<&str> =
            ["--server", &server.url, "--token", token].into_iter().chain(words.split(' ')).collect();
        place.feed_all(&words, input)
    };
    let reader = place.run("token create auditor --scope read").ok().out.trim().to_owned();
    let lines = "{\"action\":\"a\"}\n".repeat(3);
    for (token, said) in [("bad", "token"), (&*reader, "scope")] {
        let refused = run(token, "policy set sync", "").could_not(&[said]).err;
        assert!(!refused.contains("could not be read") && !refused.contains("invalid key"), "{refused}");
        run(token, "record", &lines).could_not(&[said]);
        run(token, "record", "[{\"action\":\"a\"},{\"action\":\"b\"}]").could_not(&[said]);
    }
    let done = run(&server.token, "record", &lines).ok();
    let at = server.url.trim_start_matches("http://");
    assert_eq!(done.err, format!("3 recorded by the server at {at}\n"));
    assert_eq!(place.feed("record", &lines).ok().err, "3 recorded by the server beside\n");
}

#[test]
fn the_server_of_a_slot_does_it() {
    let place = Place::new();
    place.write("trailseal.toml", "origin = \"example.org/app\"\nworkers = \"slots\"\n");
    let first = Running::start(&place);
    let record = |id: &str| {
        place.feed("record --json", format!("{{\"action\":\"a\",\"id\":\"{id}\"}}\n")).ok().json()["origin"]
            .clone()
    };
    assert_eq!(record("a"), "example.org/app/0");
    place.write("log", "{\"action\":\"b.c\",\"created_at\":1}\n");
    assert_eq!(place.run("import --json --from github log").ok().json()["recorded"], 1);
    let token = place.run("token create auditor --scope write").ok();
    assert!(token.err.contains("only trail/0"), "{token:?}");
    let far = ["record", "--server", &first.url, "--token", token.out.trim()];
    place.feed_all(&far, "{\"action\":\"by token\"}\n").ok();
    assert!(place.run("policy set sync").ok().err.contains("only trail/0"));
    place.run("key rotate").ok();
    // A second server takes the next slot, and is asked once the first has gone.
    let second = Running::start(&place);
    assert_eq!(record("b"), "example.org/app/0");
    drop(first);
    assert_eq!(record("c"), "example.org/app/1");
    assert!(!place.run("token list").ok().out.contains("auditor"), "each slot has its own");
    drop(second);
    assert!(place.run("token list").ok().out.contains("auditor"));
    place.run("token revoke auditor").ok();
    assert!(!place.run("token list").ok().out.contains("auditor"));
    assert_eq!(place.run("query --count").ok().out, "5\n");
    place.run("verify").ok();
}

#[test]
fn a_server_somewhere_else_does_it() {
    let place = Place::new();
    let server = Running::start(&place);
    let elsewhere = Place::new();
    let (url, token) = (&*server.url, &*server.token);
    let answer = elsewhere.feed_all(
        &["record", "--json", "--ack", "durable", "--server", url, "--token", token],
        "{\"action\":\"far\"}\n",
    );
    assert!(answer.ok().json()["index"].is_u64());
    assert!(!elsewhere.path("trail").exists(), "nothing is made here");
    assert_eq!(place.run("query --action far --count").ok().out.trim(), "1");
    elsewhere
        .run_all(&["token", "list", "--server", url, "--token", "tsl_none"])
        .could_not(&["unknown, expired or revoked"]);
    elsewhere.run_all(&["token", "list", "--server", url]).could_not(&["--token"]);
    elsewhere.run_all(&["query", "--server", url, "--token", token]).could_not(&["--server is for record"]);
    elsewhere.run_all(&["token", "list", "--server", "here", "--token", "x"]).could_not(&["https://HOST"]);
}
