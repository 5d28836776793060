//! After a run with every secret of the corpus, nothing holds one: not a file of the trail, not an answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::Place;

/// A secret that is known by its looks, and the text that it stands in.
struct Case {
    secret: String,
    text: String,
}

/// Those of the corpus that are masked; the report of the tests of trailseal-event names the others.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../event/tests/masking");
    let report = std::fs::read_to_string(folder.join("report.txt")).unwrap();
    let missed = report.split("look-alikes changed").next().unwrap().to_owned();
    std::fs::read_to_string(folder.join("secrets.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|case| case.get("key").is_none())
        .filter_map(|case| {
            let secret = case["value"].as_str()?.to_owned();
            let text = case["text"].as_str().unwrap_or(&secret).to_owned();
            Some(Case { secret, text })
        })
        // A short one may be a word of its own text.
        .filter(|case| case.secret.len() >= 20 && case.secret.bytes().all(|byte| byte.is_ascii_graphic()))
        .filter(|case| !missed.contains(&*serde_json::to_string(&case.text).unwrap()))
        .collect()
}

fn events(cases: &[Case]) -> String {
    let mut events = String::new();
    for (number, Case { text, secret }) in cases.iter().enumerate() {
        let event = json!({
            "action": "secret.seen", "id": format!("e{number}"),
            "description": format!("it was {text} all along"),
            "error": text,
            "details": {
                "nested": {"list": [1, text]},
                "password": format!("pw{number}-{secret}"),
                "body": json!({"value": text, "api_key": secret}).to_string(),
                "header": format!("Authorization: Bearer {secret}"),
            },
            "before": {"setting": text}, "after": {"setting": "none"},
        });
        events.push_str(&format!("{event}\n"));
        // No key of this one says that anything in it is secret.
        let alone = json!({"action": "secret.alone", "id": format!("a{number}"), "details": {"note": text}});
        events.push_str(&format!("{alone}\n"));
        // A bad line that holds one: the message must not.
        events.push_str(&format!(
            "{{\"action\":\"\",\"details\":{{\"x\":\"{}\"}}}}\n",
            secret.replace('"', "")
        ));
    }
    events
}

fn check_nothing_holds(cases: &[Case], what: &str, bytes: &[u8]) {
    for Case { secret, .. } in cases {
        let found = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
        assert!(found.is_none(), "{what} holds {secret}");
    }
}

fn every_file(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { every_file(&path, visit) } else { visit(&path) }
    }
}

#[test]
fn nothing_holds_a_secret_after_a_run_with_all_of_them() {
    let secrets = cases();
    assert!(secrets.len() > 100, "only {} secrets stand alone", secrets.len());
    let place = Place::new();
    // What an earlier process had accepted is in the handoff file; it stays there until the next opening.
    place.write("trailseal.toml", "[handoff]\npath = \"handoff-elsewhere\"\n");
    let input = events(&secrets);
    let answer = place.feed("record --json", &input).no();
    check_nothing_holds(&secrets, "stdout", answer.out.as_bytes());
    check_nothing_holds(&secrets, "stderr", answer.err.as_bytes());
    // Again: repeats are compared after masking.
    let again = place.feed("record --json", &input).no();
    assert_eq!(again.out.matches("\"repeated\":true").count(), 2 * secrets.len(), "{}", again.err);
    check_nothing_holds(&secrets, "stderr", again.err.as_bytes());

    for format in ["jsonl", "csv", "parquet", "sqlite", "bundle"] {
        place.run(&format!("export --format {format} --out out.{format}")).ok();
    }
    let mut files = 0;
    every_file(&place.path("."), &mut |path| {
        files += 1;
        check_nothing_holds(&secrets, &path.display().to_string(), &std::fs::read(path).unwrap());
    });
    assert!(files > 10, "{files}");
    let parquet = place.run("export --format jsonl").ok().out;
    check_nothing_holds(&secrets, "the export", parquet.as_bytes());
    let lines = place.lines().join("\n");
    assert_eq!(lines.matches("\"masked\":[").count(), 2 * secrets.len(), "every event says what was masked");
    assert!(lines.contains("details.password") && lines.contains("***"));
    place.run("verify").ok();
}

#[test]
fn masking_can_be_switched_off_and_says_so_in_doctor() {
    let place = Place::new();
    place.write("trailseal.toml", "[mask]\nenabled = false\n");
    place.feed("record", "{\"action\":\"a\",\"details\":{\"password\":\"hunter2\"}}\n").ok();
    assert!(place.lines().join("").contains("hunter2"));
    assert!(place.run("doctor").out.contains("mask.enabled"));
}

#[test]
fn equal_secrets_are_found_again_by_their_hash() {
    let place = Place::new();
    place.write("trailseal.toml", "[mask]\nreplace_with = \"hmac\"\n");
    place.feed("record", "{\"action\":\"a\",\"details\":{\"password\":\"hunter2\"}}\n").ok();
    let hash = place.run("mask hash hunter2").ok().out;
    assert!(hash.starts_with("hmac:"), "{hash}");
    let found = place.run_all(&["query", "--count", "--text", hash.trim()]).ok();
    assert_eq!(found.out.trim(), "1");
    assert!(!place.lines().join("\n").contains("hunter2"));
}

#[test]
fn doctor_tells_what_patterns_cost() {
    let place = Place::with_events(&["a"]);
    place.write("trailseal.toml", "[[anchor]]\nfile = \"kept\"\n[mask]\npatterns = [\"emp-[0-9]{6}\"]\n");
    let answer = place.run("doctor").ok();
    assert!(
        answer.out.contains("mask_patterns: ") && answer.out.contains(" ns instead of"),
        "{}",
        answer.out
    );
    place.feed("record", "{\"action\":\"a\",\"description\":\"of emp-123456\"}\n").ok();
    assert!(place.lines().join("").contains("of ***"));
}
