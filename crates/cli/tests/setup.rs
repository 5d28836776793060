//! What settings do to a trail: its name, its anchors, its segments; and what `doctor` says of them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::{Answer, Place};

fn with_environment(place: &Place, words: &str, variables: &[(&str, &str)]) -> Answer {
    let mut command = place.command(&words.split_whitespace().collect::<Vec<_>>());
    command.envs(variables.iter().copied());
    Answer::of(command, b"{\"action\":\"a\"}\n")
}

/// Value and source of a setting, as `doctor` tells them.
fn setting(answer: &Answer, name: &str) -> (String, String) {
    let value = answer.json();
    let row = value["settings"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    (row["value"].as_str().unwrap().to_owned(), row["source"].as_str().unwrap().to_owned())
}

#[test]
fn another_settings_file_is_read_and_must_be_there() {
    let place = Place::new();
    place.write("own.toml", "origin = \"example.com/billing\"\n");
    let receipt = place.feed("record --json --config own.toml", "{\"action\":\"a\"}").ok().json();
    assert_eq!(receipt["origin"], "example.com/billing");
    assert!(place.public_key().starts_with("example.com/billing+"));
    place.run("query --config nowhere.toml").could_not(&["nowhere.toml"]);
    // The origin is fixed from then on.
    place.write("own.toml", "origin = \"example.com/other\"\n");
    let refused = place.feed("record --config own.toml", "{\"action\":\"a\"}");
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.err.contains("example.com/billing"), "{refused:#?}");
}

#[test]
fn doctor_prints_each_value_and_where_it_came_from() {
    let place = Place::with_events(&["a"]);
    place.write("trailseal.toml", "mode = \"sync\"\n[segment]\nroll = \"day\"\n[handoff]\nsize = \"8MiB\"\n");
    let answer =
        with_environment(&place, "doctor --json --dir trail", &[("TRAILSEAL_HANDOFF__SIZE", "16MiB")]).ok();
    assert_eq!(answer.json()["ok"], true);
    assert_eq!(setting(&answer, "handoff.size"), ("16MiB".to_owned(), "TRAILSEAL_HANDOFF__SIZE".to_owned()));
    assert_eq!(setting(&answer, "dir"), ("trail".to_owned(), "--dir".to_owned()));
    let (mode, source) = setting(&answer, "mode");
    assert!(mode == "sync" && source.starts_with("trailseal.toml:1"), "{source}");
    let (roll, source) = setting(&answer, "segment.roll");
    assert!(roll == "day" && source.starts_with("trailseal.toml:3"), "{source}");
    assert_eq!(setting(&answer, "seal.every_ms").1, "default");
    let text = place.run("doctor").ok();
    assert!(text.out.contains("segment.roll") && text.out.contains("trailseal.toml:3"), "{text:#?}");
}

#[test]
fn each_checkpoint_goes_to_the_anchors() {
    let place = Place::new();
    place.write(
        "trailseal.toml",
        "[[anchor]]\nfile = \"anchored\"\n[[anchor]]\ncommand = \"cat >> commanded\"\n",
    );
    place.record("{\"action\":\"a\"}");
    let checkpoint = place.run("checkpoint").ok().out;
    assert!(place.read("anchored").trim_end().ends_with(checkpoint.trim_end()));
    assert!(place.read("commanded").contains(&checkpoint));
}

#[test]
fn segments_roll_and_are_compressed_as_the_settings_say() {
    let place = Place::new();
    place.write("trailseal.toml", "[segment]\nroll = \"4KiB\"\ncompress = true\n");
    for round in 0..4 {
        let lines: String = (0..20).map(|number| format!("{{\"action\":\"r{round}.{number}\"}}\n")).collect();
        place.record(&lines);
    }
    let count = place.run("stats --json").ok().json()["segments"].as_u64().unwrap();
    assert!(count > 1, "{count}");
    assert_eq!(place.run("query --count").ok().out, "80\n");
    place.run("verify").ok();
}

#[test]
fn an_origin_that_cannot_be_one_is_refused() {
    let place = Place::new();
    for origin in ["has space", "a+b", "a//b", "a/tile/b", "checkpoint", "é"] {
        place.write("trailseal.toml", format!("origin = \"{origin}\"\ndir = \"fresh\"\n"));
        let refused = place.feed("record", "{\"action\":\"a\"}").could_not(&[]);
        assert!(refused.err.contains("origin"), "{refused:#?}");
        assert!(!place.path("fresh/segments").exists(), "{origin}");
    }
}
