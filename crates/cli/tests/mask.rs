//! `trailseal mask` and the settings `[mask]`.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use support::Place;

const EVENTS: &str = "{\"action\":\"a\",\"details\":{\"password\":\"hunter2\",\"url\":\"redis://:pw-9@cache/0\"}}\n\
    {\"action\":\"clean\"}\n\
    {\"action\":\"b\",\"details\":{\"iban\":\"DE89\"}}\n";

#[test]
fn shows_what_would_be_masked_and_no_secret() {
    let place = Place::new();
    place.write("events.jsonl", EVENTS);
    let answer = place.run("mask events.jsonl").ok();
    assert!(answer.out.contains("details.password  ***"), "{}", answer.out);
    assert!(answer.out.contains("details.url  redis://:***@cache/0"), "{}", answer.out);
    assert!(answer.err.contains("2 values would be masked, in 1 of 3 events"), "{}", answer.err);
    assert!(!answer.out.contains("hunter2") && !answer.out.contains("pw-9"));
    let lines = place.feed("mask - --json", EVENTS).ok().json_lines();
    assert_eq!(lines[0]["line"], 1);
    assert_eq!(lines[0]["masked"][0]["path"], "details.password");
    place.write("trailseal.toml", "[mask]\nkeys = [\"iban\"]\nreplace_with = \"remove\"\n");
    let answer = place.run("mask events.jsonl").ok();
    assert!(answer.out.contains("details.iban  (removed)"), "{}", answer.out);
    place.feed("mask -", "no event\n").no();
}

#[test]
fn settings_that_cannot_be_are_named_with_their_place() {
    let place = Place::new();
    for (text, wanted) in [
        ("[mask]\nkeys = [\"a\", 5]", "trailseal.toml:2:14: `mask.keys` cannot be \"integer\""),
        ("[mask]\nkeys = \"iban\"", "trailseal.toml:2:8: `mask.keys` cannot be"),
        (
            "[mask]\npatterns = [\"ok\",\n \"(\"]",
            "trailseal.toml:3:2: `mask.patterns`: the masking pattern \"(\"",
        ),
        ("[mask]\npreset = \"002\"", "`mask.preset` cannot be \"002\": use 000, 001-export or 003"),
        ("[mask]\nreplace_with = \"x\"", "use fixed, remove, last4 or hmac"),
        ("[mask]\nwith = \"x\"", "there is no setting `mask.with`"),
    ] {
        place.write("trailseal.toml", text);
        place.feed("mask -", "{}").could_not(&[wanted]);
    }
}

#[test]
fn a_hash_needs_the_trails_key() {
    let place = Place::new();
    place.run("mask hash x").could_not(&["has no masking key"]);
    std::fs::create_dir_all(place.path("trail/keys")).unwrap();
    place.write("trail/keys/mask", "07".repeat(32));
    let hash = place.run("mask hash hunter2").ok().out;
    assert!(hash.starts_with("hmac:") && hash.len() == 5 + 8 + 1 + 32 + 1, "{hash}");
    assert_eq!(place.feed("mask hash -", "hunter2\n").ok().out, hash);
    place.write("trailseal.toml", "[mask]\nreplace_with = \"hmac\"\n");
    let answer = place.feed("mask -", EVENTS).ok();
    assert!(answer.out.contains(hash.trim()), "{}", answer.out);
}
