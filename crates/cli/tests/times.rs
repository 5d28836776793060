//! Times as people write them, on the command line and over HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use support::Place;
use support::server::Server;
use trailseal_event::Timestamp;

const DAY: i64 = 86_400;

/// Seconds at the beginning of this day, and a text of a time.
fn today() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() / DAY * DAY
}

fn text(seconds: i64) -> String {
    Timestamp::from_micros(seconds * 1_000_000).to_string()
}

/// The days before this one with one event at noon each; the newest has the action `day.1`.
fn days_until(today: i64) -> Place {
    let lines: Vec<String> = (1..=40)
        .map(|day| format!(r#"{{"action":"day.{day}","time":"{}"}}"#, text(today - day * DAY + DAY / 2)))
        .collect();
    let place = Place::new();
    place.record(&lines.join("\n"));
    place
}

/// How many of these days begin at or after `since`, and before `until`.
fn days(today: i64, since: i64, until: i64) -> usize {
    (1..=40).map(|day| today - day * DAY).filter(|day| (since..until).contains(day)).count()
}

/// What each time means on this day.
fn meanings(today: i64) -> Vec<(&'static str, &'static str, usize)> {
    // 1970-01-01 was a Thursday.
    let monday = today - (today / DAY + 3) % 7 * DAY;
    let month = |text: String| {
        Timestamp::parse(&format!("{}-01T00:00:00Z", &text[..7])).unwrap().as_micros() / 1_000_000
    };
    let this_month = month(text(today));
    let last_month = month(text(this_month - DAY));
    vec![
        ("yesterday", "today", 1),
        ("yesterday", "now", 1),
        ("last week", "this week", 7),
        ("Last-Week", "this_week", 7),
        ("this week", "now", days(today, monday, today)),
        ("last month", "this month", days(today, last_month, this_month)),
        ("this month", "now", days(today, this_month, today)),
    ]
}

#[test]
fn words_find_the_same_on_the_command_line_and_over_http() {
    let mut begun = today();
    let mut place = days_until(begun);
    // Should midnight come meanwhile, it is all done again, once.
    for _ in 0..2 {
        let server = Server::start(&place);
        let client = server.admin();
        let found: Vec<_> = meanings(begun)
            .into_iter()
            .map(|(since, until, wanted)| {
                let counted =
                    place.run_all(&["query", "--since", since, "--until", until, "--count"]).ok().out;
                let path = format!(
                    "/v1/events?count=true&since={}&until={}",
                    since.replace(' ', "+"),
                    until.replace(' ', "+")
                );
                let answered = client.get(&path).json()["count"].as_u64().unwrap();
                (since, until, wanted, counted.trim().parse::<usize>().unwrap(), answered)
            })
            .collect();
        if today() == begun {
            for (since, until, wanted, counted, answered) in found {
                assert_eq!((counted, answered), (wanted, wanted as u64), "{since} {until}");
            }
            return;
        }
        drop(server);
        begun = today();
        place = days_until(begun);
    }
    panic!("two midnights in one test");
}

#[test]
fn a_month_a_year_and_a_moment_without_a_zone_are_in_utc() {
    let place = Place::with(concat!(
        r#"{"action":"february","time":"2026-03-01T00:30:00+01:00"}"#,
        "\n",
        r#"{"action":"march","time":"2026-03-01T00:00:00Z"}"#,
        "\n",
        r#"{"action":"moment","time":"2026-11-28T00:00:00Z"}"#,
        "\n"
    ));
    let server = Server::start(&place);
    let client = server.admin();
    for (since, until, wanted) in [
        ("2026-02", "2026-03", &["february"][..]),
        ("2026-03", "2026-04", &["march"]),
        ("2026", "2027", &["february", "march", "moment"]),
        ("2026-11-28T00:00", "2026-11-28T00:01", &["moment"]),
        ("2026-11-27", "2026-11-28T00:00", &[]),
        ("2026-11-28 00:00:00", "2026-11-29", &["moment"]),
    ] {
        let flags = ["query", "--order", "asc", "--format", "jsonl", "--since", since, "--until", until];
        assert_eq!(place.run_all(&flags).ok().field("action"), wanted, "{since}");
        let path = format!(
            "/v1/events?order=asc&since={}&until={}",
            since.replace(' ', "+"),
            until.replace(' ', "+")
        );
        let answer = client.get(&path).json();
        let found: Vec<_> =
            answer["events"].as_array().unwrap().iter().map(|event| &event["action"]).collect();
        assert_eq!(found, wanted, "{since}");
    }
    for text in ["2026-13", "next week", "yester", "2026-02-30"] {
        place.run_all(&["query", "--since", text]).could_not(&["--since cannot be", "yesterday"]);
        let problem = client.get(&format!("/v1/events?since={}", text.replace(' ', "+")));
        assert_eq!((problem.status, problem.json()["field"].as_str()), (400, Some("since")), "{text}");
    }
}

#[test]
fn a_span_is_no_word_and_a_token_does_not_expire_yesterday() {
    let place = Place::with_events(&["a"]);
    for text in ["today", "2026", "now", "0s"] {
        place.run_all(&["summary", "--bucket", text]).could_not(&["--bucket cannot be", "15m"]);
    }
    place.run("token create past --scope read --expires yesterday").could_not(&["--expires", "90d"]);
    place.run("token create day --scope read --expires 2999-01-01").ok();
    let list = place.run("token list --json").ok().out;
    assert!(list.contains("2999-01-01T00:00:00"), "{list}");
}
