//! What `doctor` says of the file with the keys of people, whatever became of it while nothing ran.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use support::Place;

const SETTINGS: &str = "[[personal]]\nfield = \"actor.name\"\nsubject = \"actor.id\"\n";
const FILE: &str = "trail/keys/personal";

fn place() -> Place {
    let place = Place::new();
    place.write("trailseal.toml", SETTINGS);
    record(&place, "u-ann");
    place
}

fn record(place: &Place, who: &str) {
    let event = format!(r#"{{"action":"user.login","actor":{{"id":"{who}","name":"Zq7Rhubarb"}}}}"#);
    place.feed("record", event).ok();
}

/// What is found of the keys: code and text. Only advice leaves the answer at yes.
#[track_caller]
fn found(place: &Place) -> Vec<(String, String)> {
    let answer = place.run("doctor --json");
    let report = answer.json();
    let text = |finding: &serde_json::Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let all = report["findings"].as_array().unwrap().iter();
    let own = all.filter(|finding| finding["code"].as_str().unwrap().starts_with("personal"));
    let found: Vec<_> = own.map(|finding| (text(finding, "code"), text(finding, "what"))).collect();
    let is_well = found.iter().all(|(code, _)| code == "personal_master");
    assert_eq!(answer.code, Some(if is_well { 0 } else { 1 }), "{answer:#?}");
    assert!(!answer.out.contains("Zq7Rhubarb") && !answer.out.contains("u-ann"), "{answer:#?}");
    found
}

#[track_caller]
fn says(place: &Place, code: &str, words: &str) {
    let found = found(place);
    assert!(found.iter().any(|(own, what)| own == code && what.contains(words)), "{words}: {found:#?}");
}

#[track_caller]
fn only_advice(place: &Place) {
    let found = found(place);
    assert!(found.iter().all(|(code, _)| code == "personal_master"), "{found:#?}");
}

#[test]
fn a_file_in_order_is_only_advised_on() {
    let plain = Place::with_events(&["a"]);
    assert_eq!(found(&plain), [], "without a rule there is nothing to say");
    let place = place();
    says(&place, "personal_master", "no master key wraps them");
    assert_eq!(found(&place).len(), 1);
    // Elsewhere and wrapped.
    let place = Place::new();
    place.write("master", "07".repeat(32));
    let keys = "[personal_keys]\nfile = \"elsewhere/personal\"\nmaster_key = \"master\"\n";
    place.write("trailseal.toml", format!("{SETTINGS}{keys}"));
    record(&place, "u-ann");
    assert_eq!(found(&place), []);
    place.write("master", "08".repeat(32));
    says(&place, "personal_keys", "another master key");
    place.write("trailseal.toml", format!("{SETTINGS}[personal_keys]\nfile = \"elsewhere/personal\"\n"));
    says(&place, "personal_keys", "wrapped by a master key");
}

#[test]
fn a_file_that_others_may_read_is_named() {
    let place = place();
    fs::set_permissions(place.path(FILE), fs::Permissions::from_mode(0o640)).unwrap();
    says(&place, "personal_permissions", "640");
    fs::set_permissions(place.path(FILE), fs::Permissions::from_mode(0o600)).unwrap();
    only_advice(&place);
}

#[test]
fn a_file_that_is_gone_or_another_is_named_before_and_after_the_next_opening() {
    let place = place();
    // The next opening says in its event that the trail has keys.
    record(&place, "u-bob");
    let kept = fs::read(place.path(FILE)).unwrap();
    fs::remove_file(place.path(FILE)).unwrap();
    says(&place, "personal_keys", "is missing, though event");
    record(&place, "u-ann");
    says(&place, "personal_keys", "was missing: a new one was made");
    let other = fs::read(place.path(FILE)).unwrap();
    fs::write(place.path(FILE), &kept).unwrap();
    says(&place, "personal_keys", "is another key file than event");
    record(&place, "u-ann");
    says(&place, "personal_keys", "was another than before");
    record(&place, "u-ann");
    only_advice(&place);
    assert_ne!(kept[..128], other[..128]);
}

#[test]
fn a_file_that_is_damaged_or_older_is_named() {
    let place = place();
    record(&place, "u-ann");
    let whole = fs::read(place.path(FILE)).unwrap();
    let mut bytes = whole.clone();
    bytes[20] ^= 1;
    fs::write(place.path(FILE), &bytes).unwrap();
    says(&place, "personal_keys", "is damaged");
    // One slot: the rest is used.
    bytes = whole.clone();
    bytes[4_096 + 50] ^= 1;
    fs::write(place.path(FILE), &bytes).unwrap();
    record(&place, "u-bob");
    says(&place, "personal_keys", "had 1 damaged keys");
    fs::write(place.path(FILE), &whole).unwrap();
    record(&place, "u-carl");
    says(&place, "personal_keys", "older than the trail");
    // A file of another trail is no key file of this one.
    let stranger = self::place();
    fs::copy(stranger.path(FILE), place.path(FILE)).unwrap();
    says(&place, "personal_keys", "of another trail");
}
