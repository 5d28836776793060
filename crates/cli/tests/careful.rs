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
