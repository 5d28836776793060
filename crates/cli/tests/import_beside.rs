//! `trailseal import` while a server holds the trail: the same records, each once, by the server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use support::server::Server;
use support::{Lines, Place, SAMPLES, finish, sample, wait_until};

fn import(place: &Place, format: &str, path: &str) -> Value {
    place.run_all(&["import", "--json", "--anyway", "--from", format, path]).ok().json()
}

fn line(number: usize) -> String {
    format!("{{\"action\":\"a.b\",\"created_at\":{number},\"actor\":\"cat\"}}\n")
}

#[test]
fn with_and_without_a_server_the_same_events_come_of_it() {
    let place = Place::new();
    let equal = "{\"action\":\"repo.create\",\"created_at\":1621305118553}\n".repeat(3);
    let deep = format!("{{\"action\":\"deep\",\"a\":{}1{}}}\n", "[".repeat(63), "]".repeat(63));
    place.write("odd", format!("{equal}{{\"actor\":\"no action, no time\"}}\n{deep}{}", "{\"a\":1e999}\n"));
    let mut server = Server::start(&place);
    let all: Vec<(&str, String, usize)> = SAMPLES
        .iter()
        .map(|(format, name, lines)| (*format, sample(name).to_str().unwrap().to_owned(), *lines))
        .chain([("github", "odd".to_owned(), 6)])
        .collect();
    let by_path = |path: &str| match path {
        path if path.ends_with("aws-cloudtrail.jsonl") => json!({"time": 16}),
        path if path.ends_with("kubernetes-audit.jsonl") => json!({"action": 23, "time": 245}),
        path if path.ends_with("github-audit.jsonl") => json!({"time": 29}),
        _ => json!({"action": 2, "time": 3}),
    };
    for (recorded, repeated) in [(1, 0), (0, 1)] {
        for (format, path, lines) in &all {
            assert_eq!(
                import(&place, format, path),
                json!({
                    "read": lines, "recorded": lines * recorded, "repeated": lines * repeated,
                    "left_out": 0, "unconfirmed": 0, "defaulted": by_path(path), "failed": [],
                }),
                "{path}"
            );
        }
    }
    assert_eq!(server.admin().count(""), 807, "what was imported is on disk");
    server.stop();
    for (format, path, lines) in &all {
        assert_eq!(import(&place, format, path)["repeated"], *lines, "{path}");
    }
    assert_eq!(place.run("query --count").ok().out, "807\n");
    place.run("verify").ok();
}

#[test]
fn what_the_server_refuses_is_named_by_its_line_and_the_rest_goes_in() {
    let place = Place::new();
    let mapping = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/mappings/github.toml");
    let mapping = std::fs::read_to_string(mapping).unwrap();
    let _server = Server::start(&place);
    place.write("log", [line(1), "broken {\n".to_owned(), line(2), line(3)].concat());
    let answer = place.run("import --json --from github log").no();
    assert_eq!((&answer.json()["recorded"], &answer.json()["failed"][0]["line"]), (&json!(3), &json!(2)));
    // Under the same name the same ids come with other content.
    place.write("own.toml", mapping.replace("is = \"unknown\"", "is = \"partial\""));
    place.write("log", [line(4), "{\"actor\":\"cat\"}\n".to_owned(), line(5)].concat());
    place.run("import --from github log").ok();
    place.write("log", [line(5), line(6), "{\"actor\":\"cat\"}\n".to_owned(), line(7)].concat());
    let answer = place.run("import --json --map own.toml log").no();
    let summary = answer.json();
    assert_eq!((&summary["recorded"], &summary["repeated"]), (&json!(2), &json!(1)), "{summary:#}");
    assert_eq!(
        (&summary["failed"][0]["file"], &summary["failed"][0]["line"]),
        (&json!("log"), &json!(3)),
        "{summary:#}"
    );
    assert!(answer.err.contains("log, line 3: not recorded: "), "{answer:#?}");
    assert_eq!(place.run("query --count").ok().out, "8\n");
}

#[test]
fn more_than_the_server_takes_at_once_is_sent_in_parts() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nbatch_events_max = 7\nbody_bytes_max = 65536\n");
    let _server = Server::start(&place);
    let (format, name, lines) = SAMPLES[1];
    assert_eq!(import(&place, format, sample(name).to_str().unwrap())["recorded"], lines);
}

#[test]
fn the_servers_policy_and_masking_count() {
    let place = Place::new();
    place.write(
        "server.toml",
        "[[rule]]\nwhen = { action = \"noise\" }\nmode = \"off\"\n[mask]\nkeys = [\"actor\"]\n",
    );
    let mut server = Server::with(&place, &["--config", "server.toml"]);
    place.write(
        "log",
        "{\"action\":\"noise\",\"created_at\":1}\n{\"action\":\"a\",\"actor\":\"hidden-cat\"}\n",
    );
    let summary = import(&place, "github", "log");
    assert_eq!((&summary["recorded"], &summary["left_out"]), (&json!(1), &json!(1)), "{summary:#}");
    assert_eq!(import(&place, "github", "log")["repeated"], 1, "compared as it was written");
    server.stop();
    assert!(!place.lines().concat().contains("hidden-cat"));
}

#[test]
fn what_is_kept_and_not_confirmed_is_not_called_lost() {
    let place = Place::new();
    place.write("trailseal.toml", "mode = \"sync\"\ntimeout_ms = 0\n");
    let mut server = Server::start(&place);
    // The disk may be quicker than the look at it, but not each time.
    let (mut unconfirmed, mut recorded) = (0, 0);
    for part in 0..100 {
        place.write("log", (part * 10..part * 10 + 10).map(line).collect::<String>());
        let answer = place.run("import --json --from github log");
        let summary = answer.json();
        assert_eq!((&summary["recorded"], &summary["failed"]), (&json!(10), &json!([])), "{summary:#}");
        recorded += 10;
        unconfirmed = summary["unconfirmed"].as_u64().unwrap();
        assert_eq!(answer.code, Some((unconfirmed > 0).into()), "{answer:#?}");
        if unconfirmed > 0 {
            break;
        }
    }
    assert!(unconfirmed > 0);
    server.stop();
    assert_eq!(place.run("query --count").ok().out, format!("{recorded}\n"));
}

#[test]
fn a_server_that_goes_away_is_told_and_importing_again_completes_it() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let mut command = place.command(&["import", "--json", "--from", "github", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (first, rest): (String, String) = ((0..1100).map(line).collect(), (1100..1600).map(line).collect());
    stdin.write_all(first.as_bytes()).unwrap();
    // The second request goes out when the first was answered.
    wait_until("the second request is recorded", || server.admin().count("") > 500);
    server.kill();
    stdin.write_all(rest.as_bytes()).unwrap();
    drop(stdin);
    let answer = finish(child);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    let confirmed = answer.json()["recorded"].as_u64().unwrap();
    let told = answer.err.replace(',', "");
    assert!(told.contains(&format!(" {confirmed} of the records are confirmed")), "{answer:#?}");
    assert!(answer.err.contains("import again"), "{answer:#?}");
    server.launch();
    place.write("log", [first, rest].concat());
    let summary = import(&place, "github", "log");
    let (recorded, repeated) = (&summary["recorded"], &summary["repeated"]);
    assert!(repeated.as_u64().unwrap() >= confirmed && confirmed > 0, "{summary:#}");
    assert_eq!(recorded.as_u64().unwrap() + repeated.as_u64().unwrap(), 1600, "{summary:#}");
    assert_eq!(server.admin().count(""), 1600);
}

#[test]
fn a_server_that_limits_requests_is_waited_for() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nrequests_per_second = 1\n");
    let server = Server::start(&place);
    let elsewhere = Place::new();
    // More requests than may come at once.
    elsewhere.write("log", (0..1_700).map(line).collect::<String>());
    let url = format!("http://{}", server.address);
    let command = ["import", "--json", "--server", &url, "--token", &server.token, "--from", "github", "log"];
    let answer = elsewhere.run_all(&command).ok();
    assert_eq!(answer.json()["recorded"], 1_700, "{answer:#?}");
    assert!(answer.err.contains("too many requests from this address"), "{answer:#?}");
}

#[test]
fn a_server_without_room_is_waited_for_and_nothing_is_cut_in_halves() {
    let place = Place::new();
    place.write("trailseal.toml", "[server]\nbody_bytes_max = \"512KiB\"\nbodies_bytes_max = \"1MiB\"\n");
    let server = Server::start(&place);
    let hold = || {
        let mut stream = support::server::connect(server.address).unwrap();
        let head = format!("POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n", 512 << 10);
        let token = format!("Authorization: Bearer {}\r\n\r\n", server.token);
        stream.write_all(format!("{head}{token}").as_bytes()).unwrap();
        stream.write_all(&[b' '; (512 << 10) - 1]).unwrap();
        stream
    };
    let held = [hold(), hold()];
    let metrics = || server.admin().get("/metrics").is(200).text();
    let taken = format!("trailseal_http_bodies_bytes {}\n", 2 * (((512 - 64) << 10) - 1));
    wait_until("the room is taken", || metrics().contains(&taken));
    let event = format!("{{\"action\":\"a\",\"description\":\"{}\"}}\n", "x".repeat(700));
    place.write("events", event.repeat(500));
    let mut child = place.command(&["record", "events"]).spawn().unwrap();
    let told = Lines::of(child.stderr.take().unwrap());
    assert!(told.wait().contains("the server is not accepting events: too many large bodies"));
    drop(held);
    assert_eq!(finish(child).code, Some(0), "{}", told.wait());
    wait_until("all are found", || server.admin().count("") == 500);
    // A file is read, and so sent, in two parts.
    let accepted = |line: &str| line.contains("/v1/events\",status=\"202\"") && line.ends_with(" 2");
    assert!(metrics().lines().any(accepted), "{}", metrics());
}

#[test]
fn a_server_somewhere_else_imports_and_a_token_that_may_not_is_told_at_once() {
    let place = Place::new();
    let server = Server::start(&place);
    let elsewhere = Place::new();
    let url = format!("http://{}", server.address);
    let path = sample("github-audit.jsonl");
    let run = |token: &str| {
        elsewhere.run_all(&[
            "import",
            "--json",
            "--server",
            &url,
            "--token",
            token,
            "--from",
            "github",
            path.to_str().unwrap(),
        ])
    };
    assert_eq!(run(&server.token).ok().json()["recorded"], 92);
    let reader = server.holder(r#"{"name":"reader","scopes":["read"]}"#);
    for token in ["tsl_none", &reader.token] {
        let answer = run(token);
        assert_eq!((answer.code, &answer.json()["failed"]), (Some(2), &json!([])), "{answer:#?}");
    }
    elsewhere.write("events", "{\"action\":\"a\"}\n".repeat(20));
    let refused = elsewhere.run_all(&["record", "--server", &url, "--token", &reader.token, "events"]);
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    let metrics = server.admin().get("/metrics").is(200).text();
    let refusals = metrics.lines().filter(|line| line.contains("status=\"403\"")).collect::<Vec<_>>();
    let asked = |line: &&&str| line.contains("/v1/events") && line.ends_with(" 2");
    assert_eq!(refusals.iter().filter(asked).count(), 1, "one for each command: {refusals:?}");
    assert!(!elsewhere.path("trail").exists(), "nothing is made here");
}
