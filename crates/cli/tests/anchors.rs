//! Anchors: what the command says of them, and what it never says.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use support::Place;

const SECRET: &str = "hunter2secret";

#[test]
fn the_text_of_a_command_is_never_shown() {
    let place = Place::new();
    let anchor = format!("[[anchor]]\ncommand = \"false # curl -H 'Authorization: Bearer {SECRET}'\"\n");
    let master = format!("[personal_keys]\nmaster_command = \"printf '%032d' 7 # {SECRET}\"\n");
    place.write("trailseal.toml", format!("{anchor}{master}"));
    let said = place.feed("record", "{\"action\":\"a\"}").ok();
    assert!(said.err.contains("an anchor: number 1, a command: ended with exit status: 1"), "{said:#?}");
    for command in ["record", "doctor", "doctor --json", "stats", "verify"] {
        let said = place.run(command);
        assert!(!said.err.contains(SECRET) && !said.out.contains(SECRET), "{said:#?}");
    }
    let rows = place.run("doctor --json").ok().json()["settings"].clone();
    let row = |name: &str| {
        let found = rows.as_array().unwrap().iter().find(|row| row["name"] == name);
        found.unwrap()["value"].as_str().unwrap().to_owned()
    };
    assert_eq!((row("anchor"), row("personal_keys.master_command")), ("command ***".into(), "***".into()));
}

fn found(place: &Place, code: &str) -> Vec<String> {
    let report = place.run("doctor --json").json();
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["code"] == code);
    findings.map(|finding| finding["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn doctor_finds_an_anchor_that_nothing_reaches() {
    let place = Place::with_events(&["a"]);
    place.write("trailseal.toml", "[[anchor]]\nfile = \"kept\"\n[[anchor]]\ncommand = \"touch ran\"\n");
    place.run("doctor").ok();
    assert!(!place.path("kept").exists() && !place.path("ran").exists(), "doctor only looks");
    place.write("trailseal.toml", "[[anchor]]\nfile = \"gone/kept\"\n");
    place.run("doctor").no();
    let [what] = &found(&place, "anchor")[..] else { panic!() };
    assert_eq!(what, "no checkpoint reaches the anchor gone/kept: the folder gone does not exist");
    place.write("trailseal.toml", "[[anchor]]\nfile = \"trail\"\n");
    let [what] = &found(&place, "anchor")[..] else { panic!() };
    assert!(what.ends_with("it is a folder"), "{what}");
}

#[test]
fn doctor_finds_an_origin_that_is_not_the_trails() {
    let place = Place::new();
    place.write("trailseal.toml", "origin = \"example.com/one\"\n");
    place.record("{\"action\":\"a\"}");
    place.run("doctor").ok();
    place.write("trailseal.toml", "origin = \"example.com/two\"\n");
    place.feed("record", "{\"action\":\"a\"}").could_not(&["example.com/one"]);
    place.run("doctor").no();
    let [what] = &found(&place, "origin")[..] else { panic!() };
    assert!(what.contains("example.com/two, but the trail is example.com/one"), "{what}");
}

#[test]
fn doctor_knows_the_origins_of_slots() {
    let place = Place::new();
    place.write("trailseal.toml", "origin = \"example.com/one\"\nworkers = \"slots\"\n");
    place.record("{\"action\":\"a\"}");
    place.run("doctor").ok();
    place.write("trailseal.toml", "origin = \"example.com/two\"\nworkers = \"slots\"\n");
    let [what] = &found(&place, "origin")[..] else { panic!() };
    assert!(what.contains("example.com/two/0, but the trail is example.com/one/0"), "{what}");
}
