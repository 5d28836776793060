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
