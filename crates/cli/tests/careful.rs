//! What commands leave alone, what they refuse, and how they say so.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use support::{Answer, Place};

const EVENT: &str = "{\"action\":\"a\"}";

fn with(place: &Place, words: &str, name: &str, value: &str) -> Answer {
    let mut command = place.command(&words.split_whitespace().collect::<Vec<_>>());
    command.env(name, value);
    Answer::of(command, EVENT.as_bytes())
}

#[test]
fn what_is_the_trails_own_is_not_written_over() {
    let place = Place::with_events(&["a"]);
    let checkpoint = place.read("trail/checkpoint");
    for to in ["trail", "trail/tree", "./trail/../trail/segments/x"] {
        place.run(&format!("tiles {to}")).could_not(&["is the trail's own folder"]);
    }
    std::os::unix::fs::symlink("trail", place.path("link")).unwrap();
    for out in ["trail/checkpoint", "trail/segments/x", "link/trail.toml"] {
        for command in ["export --format jsonl", "export --format bundle", "prove 0"] {
            place.run(&format!("{command} --out {out}")).could_not(&["belongs to the trail"]);
        }
    }
    place.write("kept", &checkpoint);
    place.run("consistency kept --out trail/tree/0").could_not(&["belongs to the trail"]);
    assert_eq!(place.read("trail/checkpoint"), checkpoint);
    place.run("verify").ok();
    // The folder of a trail may be that of other things.
    place.run("export --format jsonl --out trail/events.jsonl").ok();
    place.run("tiles trail/public").ok();
    place.write("trailseal.toml", "workers = \"slots\"\ndir = \"slots\"\n");
    place.feed("record", EVENT).ok();
    place.run("tiles slots").could_not(&["slots/0 is the trail's own folder"]);
    place.run("export --format jsonl --out slots/0/checkpoint").could_not(&["belongs to the trail"]);
}

#[test]
fn where_no_trail_is_nothing_is_made() {
    let place = Place::new();
    place.run("token revoke x").could_not(&["trail holds no trail"]);
    with(&place, "demo", "TRAILSEAL_CREATE", "false").could_not(&["create = false"]);
    assert!(!place.path("trail").exists() && !place.path("trailseal-demo").exists());
    place.run("policy show").ok();
    std::fs::create_dir(place.path("trail")).unwrap();
    place.run("policy show").could_not(&["trail holds no trail"]);
    assert_eq!(std::fs::read_dir(place.path("trail")).unwrap().count(), 0);
}

#[test]
fn a_dry_run_of_an_import_ends_as_the_import_would() {
    let place = Place::new();
    let good = std::fs::read_to_string(support::sample("github-audit.jsonl")).unwrap();
    place.write("log", format!("{}\nnonsense\n", good.lines().next().unwrap()));
    let dry = place.run("import --from github --dry-run --json log").no().json();
    assert_eq!(dry["failed"].as_array().unwrap().len(), 1, "{dry}");
    assert!(place.run("import --from github --dry-run log").no().out.contains("would not be recorded"));
    place.write("log", good);
    place.run("import --from github --dry-run log").ok();
}

#[test]
fn settings_that_cannot_be_meant_are_refused_with_a_way_on() {
    let place = Place::new();
    with(&place, "record", "TRAILSEAL_RULE", "x")
        .could_not(&["TRAILSEAL_RULE: `rule` is set in a file", "[[rule]]"]);
    for (text, said) in [
        ("handoff.size = \"1KiB\"", "use a size such as 64MiB, at least 1MiB"),
        ("origin = 5", "`origin` cannot be \"integer\": use a name"),
        ("dir = true", "`dir` cannot be \"boolean\": use a folder"),
        (
            "key_file = \"gone/key\"",
            "the signing key gone/key cannot be made, since its folder does not exist: make that",
        ),
    ] {
        place.write("trailseal.toml", text);
        place.feed("record", EVENT).could_not(&[said]);
    }
    std::fs::create_dir(place.path("gone")).unwrap();
    place.feed("record", EVENT).ok();
    place.write("trailseal.toml", "workers = \"slots\"\nkey_file = \"gone/key\"\n");
    for command in ["record", "serve --listen 127.0.0.1:0"] {
        let said = place.feed(command, EVENT).could_not(&["trail is itself a trail", "set workers to one"]);
        assert!(!said.err.contains("damaged"), "{said:#?}");
    }
}

#[test]
fn a_slot_is_named_in_plain_words() {
    let place = Place::new();
    place.write("trailseal.toml", "workers = \"slots\"\n");
    place.feed("record", EVENT).ok();
    let said = place.run("policy set sync").ok().err;
    assert!(said.contains("each slot has its own policy"), "{said}");
}
