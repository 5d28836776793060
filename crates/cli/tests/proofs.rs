//! `trailseal checkpoint`, `prove`, `consistency` and `key`: what is proved away from the trail, and refused
//! when a byte of it was changed.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::Place;

/// Checks a file in another folder, with the public key alone.
fn elsewhere(kind: &str, text: &str, key: &str, json: bool) -> support::Answer {
    let place = Place::new();
    place.write("proof", text);
    let mut arguments = vec!["verify", kind, "proof", "--public-key", key];
    if json {
        arguments.push("--json");
    }
    place.run_all(&arguments)
}

#[test]
fn a_checkpoint_is_a_signed_note_over_the_tree() {
    let place = Place::with_events(&["a", "b"]);
    let checkpoint = place.run("checkpoint").ok().out;
    assert_eq!(checkpoint, place.read("trail/checkpoint"));
    let lines: Vec<&str> = checkpoint.lines().collect();
    let origin = place.run("stats --json").ok().json()["origin"].as_str().unwrap().to_owned();
    assert_eq!(lines[0], origin);
    assert_eq!(lines[1], place.lines().len().to_string());
    assert_eq!((lines[3], lines[4].starts_with(&format!("— {origin} "))), ("", true));
}

#[test]
fn the_public_key_is_the_first_line_in_the_form_of_signed_notes() {
    let place = Place::with_events(&["a"]);
    let key = place.public_key();
    let parts: Vec<&str> = key.splitn(3, '+').collect();
    assert!(parts[0].starts_with("trailseal.local/"), "{key}");
    assert!(parts[1].len() == 8 && parts[1].chars().all(|digit| digit.is_ascii_hexdigit()), "{key}");
    assert!(parts[2].starts_with('A'), "{key}: the algorithm's byte");
    // The private key is its owner's alone, and shown nowhere.
    use std::os::unix::fs::PermissionsExt as _;
    let file = place.path("trail/keys/signing.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap();
    let said = format!("{}{}{}", place.run("key show").out, place.run("doctor").out, place.run("verify").out);
    for word in secret.split_whitespace().flat_map(|word| word.split('+')).filter(|word| word.len() > 20) {
        assert!(!said.contains(word) || key.contains(word), "the private key was shown");
    }
}

#[test]
fn an_event_is_proved_by_index_id_and_origin() {
    let place = Place::new();
    let receipts = place
        .record("{\"action\":\"a\"}\n{\"action\":\"b\",\"id\":\"7\"}\n{\"action\":\"c\",\"id\":\"x#1\"}");
    let origin = receipts[0]["origin"].as_str().unwrap();
    let key = place.public_key();
    for (asked, number) in [
        (receipts[0]["index"].to_string(), 0),
        (receipts[0]["id"].as_str().unwrap().to_owned(), 0),
        (format!("{origin}#{}", receipts[1]["index"]), 1),
        ("id:7".to_owned(), 1),
        ("x#1".to_owned(), 2),
    ] {
        let proof = place.run_all(&["prove", &asked]).ok().out;
        let index = receipts[number]["index"].as_u64().unwrap();
        assert!(proof.starts_with("c2sp.org/tlog-proof@v1\n"), "{proof}");
        let proved = elsewhere("--proof", &proof, &key, false).ok();
        assert_eq!(proved.out.trim_end(), place.lines()[usize::try_from(index).unwrap()], "{asked}");
        let json = elsewhere("--proof", &proof, &key, true).ok().json();
        assert_eq!((&json["ok"], &json["index"]), (&true.into(), &index.into()));
    }
    place.run("prove 999").no();
    place.run("prove nobody").no();
    place.run("prove elsewhere.example#1").no();
}

#[test]
fn a_proof_has_the_line_as_extra_and_goes_to_a_file() {
    use base64::Engine as _;
    let place = Place::with_events(&["a"]);
    place.run("prove 1 --out event.tlog-proof").ok();
    let proof = place.read("event.tlog-proof");
    let lines: Vec<&str> = proof.lines().collect();
    let line =
        base64::engine::general_purpose::STANDARD.decode(lines[1].strip_prefix("extra ").unwrap()).unwrap();
    assert_eq!(String::from_utf8(line).unwrap(), place.lines()[1]);
    assert_eq!(lines[2], "index 1");
    assert!(proof.ends_with(&place.run("checkpoint").ok().out));
}

#[test]
fn a_changed_proof_is_refused() {
    let place = Place::new();
    place.import_samples();
    let key = place.public_key();
    let proof = place.run("prove 400").ok().out;
    elsewhere("--proof", &proof, &key, false).ok();
    for (at, line) in proof.lines().enumerate() {
        // The middle of each line, by another character that base64 and digits allow.
        let mut lines: Vec<String> = proof.lines().map(str::to_owned).collect();
        if line.is_empty() {
            lines.remove(at);
        } else {
            let middle = (line.len() / 2..).find(|&at| line.is_char_boundary(at)).unwrap();
            let other = if &line[middle..=middle] == "4" { "5" } else { "4" };
            lines[at].replace_range(middle..=middle, other);
        }
        let changed = lines.join("\n") + "\n";
        let refused = elsewhere("--proof", &changed, &key, false).no();
        assert_eq!(refused.out, "", "line {at}");
        assert!(refused.err.starts_with("NOT PROVED: "), "{refused:#?}");
        assert_eq!(elsewhere("--proof", &changed, &key, true).no().json()["ok"], false);
    }
    let stranger = Place::with_events(&["a"]).public_key();
    elsewhere("--proof", &proof, &stranger, false).no();
    elsewhere("--proof", "", &key, false).no();
    let without_key = Place::new();
    without_key.write("proof", &proof);
    without_key.run("verify --proof proof").could_not(&["--public-key"]);
    without_key.run("verify --proof nowhere").could_not(&["nowhere"]);
}

#[test]
fn consistency_is_proved_from_an_older_checkpoint() {
    let place = Place::with_events(&["a", "b"]);
    let old = place.run("checkpoint").ok().out;
    place.write("kept", &old);
    place.import_samples();
    place.run("consistency kept --out trail.consistency").ok();
    let proof = place.read("trail.consistency");
    let new = place.run("checkpoint").ok().out;
    assert!(proof.starts_with("trailseal-consistency@v1\n"));
    assert!(proof.ends_with(&format!("\n\n{old}\n{new}")), "{proof}");
    assert_eq!(place.run("consistency kept").ok().out, proof);
    let key = place.public_key();
    assert!(elsewhere("--consistency", &proof, &key, false).ok().out.starts_with("ok"));
    let json = elsewhere("--consistency", &proof, &key, true).ok().json();
    assert_eq!(
        (&json["ok"], &json["from"]),
        (&true.into(), &old.lines().nth(1).unwrap().parse::<u64>().unwrap().into())
    );
    // Changed, or with another trail's checkpoint, it proves nothing.
    let hash = proof.lines().nth(1).unwrap();
    let swapped =
        proof.replacen(hash, &format!("{}A{}", if hash.starts_with('A') { "B" } else { "" }, &hash[1..]), 1);
    if swapped != proof {
        elsewhere("--consistency", &swapped, &key, false).no();
    }
    let other = Place::with_events(&["a"]);
    elsewhere("--consistency", &proof, &other.public_key(), false).no();
    place.write("foreign", other.run("checkpoint").ok().out);
    place.run("consistency foreign").no();
    place.write("garbage", "no checkpoint");
    let refused = place.run("consistency garbage").no();
    assert!(refused.err.contains("not a checkpoint") && refused.out.is_empty(), "{refused:#?}");
    place.run("consistency nowhere").could_not(&["nowhere"]);
}

#[test]
fn proofs_carry_the_rotations_that_vouch_for_their_key() {
    let place = Place::with_events(&["a"]);
    let first = place.public_key();
    let old = place.run("checkpoint").ok().out;
    place.write("kept", &old);
    place.run("key rotate").ok();
    place.run("key rotate").ok();
    place.record("{\"action\":\"b\"}");
    let proof = place.run("prove 1").ok().out;
    elsewhere("--proof", &proof, &first, false).ok();
    elsewhere("--proof", &proof, &place.public_key(), false).ok();
    let consistency = place.run("consistency kept").ok().out;
    elsewhere("--consistency", &consistency, &first, false).ok();
}

#[test]
fn what_was_changed_or_rewritten_gets_no_proof() {
    let place = Place::with_events(&["a", "b"]);
    place.copy("trail", "rewritten");
    place.record("{\"action\":\"damning\"}");
    place.write("kept", place.run("checkpoint").ok().out);
    let refused = place.run("consistency kept --dir rewritten").no();
    assert!(refused.err.contains("does not begin") && refused.out.is_empty(), "{refused:#?}");
    let lines = "{\"action\":\"harmless\"}\n".repeat(9);
    place.feed("record --dir rewritten", lines).ok();
    let refused = place.run("consistency kept --dir rewritten").no();
    assert!(refused.err.contains("does not begin") && refused.out.is_empty(), "{refused:#?}");
    let mut lines = place.lines();
    lines[1] = lines[1].replace("\"action\":\"a\"", "\"action\":\"z\"");
    place.write_lines(&lines);
    let refused = place.run("prove 1").no();
    assert!(refused.err.contains("event 1 ") && refused.out.is_empty(), "{refused:#?}");
    place.run("prove 2").ok();
}
