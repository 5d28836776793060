//! `demo`, and imports that cannot begin.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use support::Place;

#[test]
fn what_cannot_be_imported_is_said_before_anything_is_made() {
    let place = Place::new();
    place.write("bad.toml", "[event]\nactoin = \"x\"\n");
    place.write("a", "{}");
    for (arguments, wanted) in [
        (
            &["import", "--from", "syslog", "a"][..],
            &["syslog", "cloudtrail, kubernetes, github", "--map"][..],
        ),
        (&["import", "a"], &["--from"]),
        (&["import", "--from", "github"], &["<FILE>..."]),
        (&["import", "--from", "github", "a", "nothing"], &["could not read nothing"]),
        (&["import", "--map", "bad.toml", "a"], &["bad.toml:"]),
    ] {
        place.run_all(arguments).could_not(wanted);
        assert!(!place.path("trail").exists(), "{arguments:?}");
    }
}

#[test]
fn the_demo_catches_a_tampering_and_leaves_an_intact_trail() {
    let place = Place::new();
    let ran = place.run_all(&["demo"]).ok();
    assert!(ran.out.lines().count() <= 45, "more than a screen and a half: {}", ran.out);
    assert!(ran.out.contains("TAMPERED at index ") && !ran.out.contains('\x1b'), "{}", ran.out);
    assert_eq!(place.run_all(&["query", "--dir", "trailseal-demo", "--count"]).ok().out, "801\n");
    place.run_all(&["verify", "--dir", "trailseal-demo"]).ok();
    // Again, from the beginning; elsewhere, too.
    place.run_all(&["demo"]).ok();
    assert_eq!(place.run_all(&["query", "--dir", "trailseal-demo", "--count"]).ok().out, "801\n");
    std::fs::create_dir(place.path("empty")).unwrap();
    place.run_all(&["demo", "--dir", "empty"]).ok();
    place.run_all(&["verify", "--dir", "empty"]).ok();
}

#[test]
fn the_demo_leaves_other_folders_alone() {
    let place = Place::with("{\"action\":\"a\"}");
    place.run_all(&["demo", "--dir", "trail"]).could_not(&["trail was not made by the demo", "--dir"]);
    assert_eq!(place.run_all(&["query", "--count"]).ok().out, "1\n");
    place.write("file", "mine");
    place.run_all(&["demo", "--dir", "file"]).could_not(&["file"]);
    assert_eq!(place.read("file"), "mine");
}

#[test]
fn each_command_that_the_demo_names_works() {
    let place = Place::new();
    let answer = place.run("demo").ok();
    // Each command that it names works.
    let mut named = 0;
    for line in answer.out.lines().filter_map(|line| line.trim().strip_prefix("trailseal ")) {
        let command: Vec<&str> = line.split('|').next().unwrap().split_whitespace().collect();
        let command: Vec<&str> = command.iter().map(|word| word.trim_matches('\'')).collect();
        assert_ne!(place.run_all(&command).ok().out, "", "{command:?}");
        named += 1;
    }
    assert!(named >= 3);
}

#[test]
fn the_demo_starts_afresh_only_in_a_folder_that_it_made() {
    let place = Place::new();
    place.run("demo").ok();
    place.feed("record --dir trailseal-demo", "{\"action\":\"play\"}").ok();
    place.run("demo").ok();
    assert_eq!(place.run("query --dir trailseal-demo --count").ok().out, "801\n");
    place.record("{\"action\":\"precious\"}");
    place.run("demo --dir trail").could_not(&["trail", "--dir"]);
    assert_eq!(place.run("query --count").ok().out, "1\n");
    place.run("demo --dir elsewhere").ok();
    place.run("verify --dir elsewhere").ok();
}
