//! `verify`: tampering by hand, and what an outsider has kept.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use support::Place;

/// A trail of ten events; indexes 1 to 10, between the trail's own.
fn ten() -> Place {
    Place::with(&(0..10).map(|number| format!("{{\"action\":\"a{number}\"}}\n")).collect::<String>())
}

#[test]
fn an_intact_trail_is_ok_and_says_what_cannot_be_ruled_out() {
    let place = ten();
    let text = place.run_all(&["verify"]).ok();
    let lines: Vec<&str> = text.out.lines().collect();
    assert!(lines[0].starts_with("ok "), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("cannot rule out: "), "{lines:?}");
    let json = place.run_all(&["verify", "--json"]).ok().json();
    assert_eq!(
        (json["ok"].as_bool(), json["sealed"].as_u64(), json["unsealed"].as_u64()),
        (Some(true), Some(12), Some(0))
    );
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = [
        "ok",
        "origin",
        "tree_size",
        "sealed",
        "unsealed",
        "retired",
        "first_bad",
        "range",
        "problem",
        "message",
        "public_key",
        "key_pinned",
        "checkpoint_pinned",
        "longest_silence_seconds",
        "cannot_rule_out",
    ];
    assert_eq!(names, wanted);
    place.write("kept", place.run_all(&["checkpoint"]).ok().out);
    place.write("key", place.run_all(&["key", "show"]).ok().out);
    let pinned =
        place.run_all(&["verify", "--json", "--checkpoint", "kept", "--public-key", "key"]).ok().json();
    assert_eq!(
        (pinned["key_pinned"].as_bool(), pinned["cannot_rule_out"].as_array().unwrap().len()),
        (Some(true), 0)
    );
}

/// What somebody did to the lines of the segment, the first bad index, and what is said of it.
#[test]
fn every_kind_of_tampering_is_named() {
    type Change = fn(&mut Vec<String>);
    let cases: [(Change, u64, &str); 7] = [
        (|lines| lines[4] = lines[4].replace("a3", "b3"), 4, "edited"),
        (|lines| lines[4] = lines[4].replace("\"severity\":\"info\"", "\"severity\":\"none\""), 4, "edited"),
        (|lines| drop(lines.remove(5)), 5, "missing"),
        (
            |lines| {
                lines.insert(5, "{\"v\":1,\"index\":5,\"recorded\":\"2026-01-01T00:00:00.000000Z\",\"id\":\"x\",\"action\":\"x\"}".into())
            },
            5,
            "inserted",
        ),
        (|lines| lines.swap(3, 7), 3, "reordered"),
        (|lines| lines.insert(6, lines[5].clone()), 6, "duplicated"),
        (|lines| lines.truncate(9), 9, "missing"),
    ];
    for (number, (change, index, problem)) in cases.into_iter().enumerate() {
        let place = ten();
        place.tamper(change);
        let json = place.run_all(&["verify", "--json"]).no().json();
        assert_eq!(
            (json["first_bad"].as_u64(), json["problem"].as_str()),
            (Some(index), Some(problem)),
            "{number}: {json}"
        );
        let text = place.run_all(&["verify"]).no().out;
        assert!(text.starts_with(&format!("TAMPERED at index {index}: ")), "{text}");
        assert_ne!(
            place.feed_all(&["record"], "{\"action\":\"x\"}").code,
            Some(0),
            "{number}: no more is signed on top"
        );
    }
}

#[test]
fn a_missing_checkpoint_or_segment_is_no_clean_bill() {
    let place = ten();
    std::fs::remove_file(place.path("trail/checkpoint")).unwrap();
    assert_eq!(place.run_all(&["verify", "--json"]).no().json()["problem"], "checkpoint_missing");
    let place = ten();
    std::fs::remove_file(place.segment()).unwrap();
    assert_eq!(place.run_all(&["verify", "--json"]).no().json()["problem"], "segment_missing");
    let place = ten();
    place.write("trail/checkpoint", place.read("trail/checkpoint").replace("\n12\n", "\n11\n"));
    assert_eq!(place.run_all(&["verify", "--json"]).no().json()["problem"], "signature_invalid");
    place.write("trail/checkpoint", "rubbish");
    assert_eq!(place.run_all(&["verify", "--json"]).no().json()["problem"], "checkpoint_invalid");
}

#[test]
fn a_rollback_passes_with_a_notice_and_fails_with_what_was_kept() {
    let place = ten();
    place.copy("trail", "older");
    place.feed_all(&["record"], "{\"action\":\"later\"}").ok();
    place.write("kept", place.run_all(&["checkpoint"]).ok().out);
    std::fs::remove_dir_all(place.path("trail")).unwrap();
    std::fs::rename(place.path("older"), place.path("trail")).unwrap();
    let without = place.run_all(&["verify", "--json"]).ok().json();
    assert!(without["cannot_rule_out"].as_array().unwrap().contains(&"rollback".into()));
    assert_eq!(
        place.run_all(&["verify", "--json", "--checkpoint", "kept"]).no().json()["problem"],
        "rollback"
    );
}

#[test]
fn another_key_passes_only_until_the_key_was_kept() {
    let place = ten();
    let other = ten();
    let key = other.run_all(&["key", "show"]).ok().out;
    let json = place.run_all(&["verify", "--json", "--public-key", &key]).no().json();
    assert!(["key_unknown", "signature_invalid"].contains(&json["problem"].as_str().unwrap()), "{json}");
    place.run_all(&["verify", "--public-key", "no key"]).could_not(&["--public-key \"no key\" is none"]);
}

#[test]
fn a_rotated_key_is_vouched_for_by_the_old_one() {
    let place = ten();
    let old = place.run_all(&["key", "show"]).ok().out;
    let new = place.run_all(&["key", "rotate"]).ok().out;
    assert_ne!(old, new);
    let shown = place.run_all(&["key", "show"]).ok().out;
    assert_eq!(shown.lines().next(), new.lines().next());
    assert!(shown.contains(old.trim()), "{shown}");
    place.feed_all(&["record"], "{\"action\":\"later\"}").ok();
    let json = place.run_all(&["verify", "--json", "--public-key", &old]).ok().json();
    assert_eq!((json["key_pinned"].as_bool(), json["public_key"].as_str()), (Some(true), new.lines().next()));
}

#[test]
fn a_proof_shows_one_event_away_from_the_trail() {
    let place = ten();
    let key = place.run_all(&["key", "show"]).out;
    let away = Place::new();
    away.write("p", place.run_all(&["prove", "4"]).ok().out);
    let ran = away.run_all(&["verify", "--proof", "p", "--public-key", &key]).ok();
    assert_eq!(
        ran.out,
        format!("{}\n", std::fs::read_to_string(place.segment()).unwrap().lines().nth(4).unwrap())
    );
    let id = serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["id"].as_str().unwrap().to_owned();
    let origin = place.run_all(&["stats", "--json"]).json()["origin"].as_str().unwrap().to_owned();
    for event in [id, format!("{origin}#4")] {
        assert_eq!(place.run_all(&["prove", &event]).ok().out, away.read("p"), "{event}");
    }
    away.run_all(&["verify", "--proof", "p"]).could_not(&["--public-key KEY"]);
    let other = ten().run_all(&["key", "show"]).out;
    assert!(
        away.run_all(&["verify", "--proof", "p", "--public-key", &other])
            .no()
            .err
            .starts_with("NOT PROVED: ")
    );
    away.write("q", away.read("p").replace("index 4", "index 5"));
    assert_eq!(
        away.run_all(&["verify", "--proof", "q", "--public-key", &key, "--json"]).no().json()["ok"],
        false
    );
    for (event, told) in [
        ("99", "there is no event 99"),
        ("nobody", "no event has the id nobody"),
        ("elsewhere#4", "not elsewhere"),
    ] {
        let ran = place.run_all(&["prove", event]).no();
        assert!(ran.err.contains(told) && ran.out.is_empty(), "{}", ran.err);
    }
}

#[test]
fn a_consistency_proof_shows_that_history_was_only_added_to() {
    let place = ten();
    let key = place.run_all(&["key", "show"]).out;
    place.write("old", place.run_all(&["checkpoint"]).out);
    place.feed_all(&["record"], "{\"action\":\"later\"}").ok();
    place.run_all(&["consistency", "old", "--out", "c"]).ok();
    assert!(place.read("c").starts_with("trailseal-consistency@v1\n"));
    let ran = place.run_all(&["verify", "--consistency", "c", "--public-key", &key]).ok();
    assert!(ran.out.starts_with("ok"), "{}", ran.out);
    place.write("d", place.read("c").replace("\n12\n", "\n11\n"));
    place.run_all(&["verify", "--consistency", "d", "--public-key", &key]).no();
    let stranger = ten();
    stranger.write("old", place.read("old"));
    assert_ne!(stranger.run_all(&["consistency", "old"]).code, Some(0));
}
