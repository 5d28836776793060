//! A kept policy that somebody replaced while nothing ran, as `doctor` tells it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::Place;

/// What `doctor` finds of the policy.
fn found(place: &Place) -> Vec<String> {
    let answer = place.run("doctor --json").json();
    let findings = answer["findings"].as_array().unwrap().iter();
    let of_policy = findings.filter(|finding| finding["code"] == "policy");
    of_policy.map(|finding| finding["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn doctor_tells_of_a_policy_that_was_put_back_or_removed() {
    let place = Place::with_events(&["before"]);
    assert_eq!(found(&place), Vec::<String>::new());
    place.run("policy set off").ok();
    let weak = place.read("trail/policy.toml");
    place.run("policy set sync").ok();
    assert_eq!(found(&place), Vec::<String>::new());
    let strict = place.read("trail/policy.toml");
    assert_ne!(weak, strict);

    place.write("trail/policy.toml", &weak);
    let said = found(&place);
    assert!(said.len() == 1 && said[0].contains("policy.toml is another policy than event"), "{said:?}");
    std::fs::remove_file(place.path("trail/policy.toml")).unwrap();
    let said = found(&place);
    assert!(said.len() == 1 && said[0].contains("policy.toml is gone"), "{said:?}");
    place.write("trail/policy.toml", "mode = \"sometimes\"\n");
    assert_eq!(found(&place).len(), 1);

    // An opening with it says so itself, and then it is the policy in force.
    place.write("trail/policy.toml", &weak);
    let answer = place.feed("record", "").ok();
    assert!(answer.err.contains("different from the last opening: policy"), "{answer:?}");
    assert_eq!(found(&place), Vec::<String>::new());
    // Settings may change between two openings.
    std::fs::remove_file(place.path("trail/policy.toml")).unwrap();
    place.feed("record", "").ok();
    place.write("trailseal.toml", "mode = \"sync\"\n");
    assert_eq!(found(&place), Vec::<String>::new());
}
