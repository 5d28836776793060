//! `trailseal verify`: every way to change a trail by hand is found, named and answered with exit code 1.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::json;
use support::Place;

const FIELDS: [&str; 15] = [
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

fn place() -> Place {
    let names: Vec<String> = (0..20).map(|number| format!("step.{number}")).collect();
    Place::with_events(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The trail is tampered with: `code` at `first_bad`, in both forms of the answer.
#[track_caller]
fn check(place: &Place, code: &str, first_bad: Option<u64>) {
    let verdict = place.run("verify --json").no().json();
    assert_eq!(verdict["ok"], false, "{verdict:#}");
    assert_eq!(verdict["problem"], code, "{verdict:#}");
    if let Some(index) = first_bad {
        assert_eq!(verdict["first_bad"], index, "{verdict:#}");
        let text = place.run("verify").no();
        assert!(text.first_line().starts_with(&format!("TAMPERED at index {index}: ")), "{text:#?}");
    } else {
        assert!(place.run("verify").no().first_line().starts_with("TAMPERED"));
    }
}

#[test]
fn an_untouched_trail_is_ok_in_text_and_json() {
    let place = place();
    let text = place.run("verify").ok();
    let lines: Vec<&str> = text.out.lines().collect();
    assert!(lines[0].starts_with("ok "), "{text:#?}");
    assert!(lines[1].contains("sealed") && lines[1].contains('0'), "{text:#?}");
    assert!(text.out.contains(&place.public_key()), "{text:#?}");
    assert!(text.out.contains("silence"), "{text:#?}");
    assert!(lines.last().unwrap().starts_with("cannot rule out: "), "{text:#?}");
    let verdict = place.run("verify --json").ok().json();
    // In the contract's order.
    assert_eq!(
        serde_json::to_string(&verdict.as_object().unwrap().keys().collect::<Vec<_>>()).unwrap(),
        serde_json::to_string(&FIELDS).unwrap()
    );
    assert_eq!(verdict["ok"], true);
    assert_eq!(
        (&verdict["first_bad"], &verdict["range"], &verdict["problem"]),
        (&json!(null), &json!(null), &json!(null))
    );
    assert_eq!(verdict["tree_size"], place.lines().len());
    assert_eq!((&verdict["sealed"], &verdict["unsealed"]), (&verdict["tree_size"], &json!(0)));
    assert_eq!(verdict["cannot_rule_out"], json!(["rollback", "key_replaced"]));
    assert_eq!(verdict["public_key"], place.public_key());
}

#[test]
fn a_line_that_was_edited_deleted_inserted_swapped_or_doubled_is_named() {
    type Change = fn(&mut Vec<String>);
    let changes: [(&str, u64, Change); 8] = [
        ("edited", 7, |lines| lines[7] = lines[7].replace("step", "stop")),
        ("edited", 0, |lines| lines[0] = lines[0].replacen("recorded", "Recorded", 1)),
        ("missing", 7, |lines| drop(lines.remove(7))),
        ("inserted", 7, |lines| lines.insert(7, lines[7].replace("step", "none"))),
        ("reordered", 7, |lines| lines.swap(7, 9)),
        ("duplicated", 8, |lines| lines.insert(8, lines[7].clone())),
        ("missing", 18, |lines| lines.truncate(18)),
        ("missing", 0, |lines| drop(lines.remove(0))),
    ];
    for (code, index, change) in changes {
        let place = place();
        let mut lines = place.lines();
        change(&mut lines);
        place.write_lines(&lines);
        check(&place, code, Some(index));
    }
}

#[test]
fn any_byte_of_a_line_counts() {
    let place = place();
    let whole = std::fs::read(place.segment()).unwrap();
    let line_of = |at: usize| whole[..at].iter().filter(|&&byte| byte == b'\n').count() as u64;
    for at in (3..whole.len() - 1).step_by(331) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(place.segment(), &bytes).unwrap();
        let verdict = place.run("verify --json").no().json();
        assert_eq!(verdict["first_bad"], line_of(at), "byte {at}: {verdict:#}");
    }
    std::fs::write(place.segment(), &whole).unwrap();
    place.run("verify").ok();
}

#[test]
fn a_segment_that_is_cut_or_gone_is_named() {
    let place = place();
    let mut bytes = std::fs::read(place.segment()).unwrap();
    let end = bytes.len() - 10;
    bytes.truncate(end);
    std::fs::write(place.segment(), &bytes).unwrap();
    let last = place.lines().len() as u64 - 1;
    let verdict = place.run("verify --json").no().json();
    assert_eq!(verdict["first_bad"], last, "{verdict:#}");
    std::fs::write(place.segment(), b"").unwrap();
    check(&place, "segment_missing", Some(0));
    std::fs::remove_file(place.segment()).unwrap();
    check(&place, "segment_missing", Some(0));
}

#[test]
fn one_of_several_segments_gone_is_named() {
    let place = Place::new();
    place.write("trailseal.toml", "[segment]\nroll = \"1KiB\"\n");
    for number in 0..6 {
        let lines: String = (0..5).map(|at| format!("{{\"action\":\"s{number}.{at}\"}}\n")).collect();
        place.record(&lines);
    }
    place.run("verify").ok();
    let mut segments: Vec<_> = std::fs::read_dir(place.path("trail/segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl" || extension == "zst"))
        .collect();
    segments.sort();
    assert!(segments.len() > 2, "{segments:?}");
    let first: u64 = segments[1].file_name().unwrap().to_str().unwrap()[..20].parse().unwrap();
    std::fs::remove_file(&segments[1]).unwrap();
    check(&place, "segment_missing", Some(first));
}

#[test]
fn a_damaged_tree_is_told_from_a_forged_line_and_made_again() {
    let place = place();
    let path = place.path("trail/tree/0");
    let leaves = std::fs::read(&path).unwrap();
    let mut forged = leaves.clone();
    forged[32 * 5] ^= 1;
    std::fs::write(&path, forged).unwrap();
    check(&place, "tile_forged", None);
    assert!(!place.run("verify").no().out.contains("at index"), "no event is bad");
    std::fs::remove_file(&path).unwrap();
    check(&place, "tree_missing", None);
    place.feed("record", "{\"action\":\"a\"}\n").could_not(&["reindex --tree"]);
    place.run("reindex --tree").ok();
    place.run("verify").ok();
    assert_eq!(std::fs::read(&path).unwrap(), leaves);
    place.record("{\"action\":\"a\"}\n");
    place.run("verify").ok();
}

#[test]
fn lines_and_a_tree_forged_together_do_not_give_the_signed_root() {
    let (place, forger) = (place(), place());
    // A forger builds a whole trail of his own, and puts its lines and tree under the signed checkpoint.
    for name in ["segments/00000000000000000000.jsonl", "tree/0"] {
        std::fs::copy(forger.path(&format!("trail/{name}")), place.path(&format!("trail/{name}"))).unwrap();
    }
    place.run("reindex --tree").could_not(&["do not give the signed root"]);
    let verdict = place.run("verify --json").no().json();
    assert_eq!(verdict["ok"], false);
    assert!(verdict["problem"].is_string(), "{verdict:#}");
}

#[test]
fn a_checkpoint_that_is_gone_garbled_or_anothers_is_named() {
    let (place, other) = (place(), place());
    let path = place.path("trail/checkpoint");
    let genuine = place.read("trail/checkpoint");
    let lines: Vec<&str> = genuine.lines().collect();
    let size = lines[1];
    for (code, text) in [
        ("checkpoint_invalid", "garbage\n".to_owned()),
        ("signature_invalid", genuine.replacen(&format!("\n{size}\n"), "\n3\n", 1)),
        ("signature_invalid", genuine.replacen(&lines[2][..4], "AAAA", 1)),
        ("origin_mismatch", other.read("trail/checkpoint")),
    ] {
        std::fs::write(&path, text).unwrap();
        check(&place, code, None);
    }
    std::fs::remove_file(&path).unwrap();
    check(&place, "checkpoint_missing", None);
    std::fs::write(&path, genuine).unwrap();
    place.run("verify").ok();
}

/// As docs/operations.md says: the file that an anchor writes is given as it is.
#[test]
fn the_file_of_an_anchor_is_a_checkpoint_kept_elsewhere() {
    let place = Place::new();
    place.write("trailseal.toml", "[[anchor]]\nfile = \"kept\"\n");
    for number in 0..3 {
        place.record(&format!("{{\"action\":\"a{number}\"}}\n"));
        place.copy("trail", &format!("older{number}"));
    }
    assert!(place.read("kept").matches("\n\n").count() >= 6, "several checkpoints");
    let verdict = place.run("verify --checkpoint kept --json").ok().json();
    assert_eq!(verdict["checkpoint_pinned"], true);
    for older in 0..2 {
        let verdict = place.run(&format!("verify --dir older{older} --checkpoint kept --json")).no().json();
        assert_eq!(verdict["problem"], "rollback", "{verdict}");
    }
    // A power loss tore one, and later ones were appended to it.
    let genuine = place.read("kept");
    place.write("kept", format!("{}{genuine}", &genuine[..40]));
    let torn = place.run("verify --checkpoint kept").ok();
    assert!(torn.err.contains("1 parts of kept are no checkpoints"), "{torn:?}");
    assert_eq!(place.run("verify --dir older0 --checkpoint kept --json").no().json()["problem"], "rollback");
    place.write("kept", "torn");
    place.run("verify --checkpoint kept").could_not(&["not a signed checkpoint"]);
}

/// Slots have one anchor, and a trail has that of the trail before it.
#[test]
fn of_an_anchors_file_the_checkpoints_of_other_trails_are_left_out() {
    let place = Place::new();
    place.write("trailseal.toml", "[[anchor]]\nfile = \"kept\"\n");
    for dir in ["one", "two"] {
        for number in 0..2 {
            place.feed(&format!("record --dir {dir}"), format!("{{\"action\":\"a{number}\"}}\n")).ok();
            place.copy(dir, &format!("{dir}{number}"));
        }
    }
    for dir in ["one", "two"] {
        place.run(&format!("verify --dir {dir} --checkpoint kept")).ok();
        let older = place.run(&format!("verify --dir {dir}0 --checkpoint kept --json")).no().json();
        assert_eq!(older["problem"], "rollback", "{older}");
    }
    place.write("trailseal.toml", "");
    place.feed("record --dir three", "{\"action\":\"a\"}\n").ok();
    let other = place.run("verify --dir three --checkpoint kept --json").no().json();
    assert_eq!(other["problem"], "origin_mismatch", "{other}");
}

#[test]
fn a_rollback_is_found_with_a_checkpoint_kept_elsewhere_and_admitted_without() {
    let place = place();
    place.copy("trail", "older");
    place.record("{\"action\":\"damning\"}");
    place.write("kept", place.run("checkpoint").ok().out);
    place.run("verify --checkpoint kept").ok();
    // The older copy is genuine in itself, and says what that does not rule out.
    let without = place.run("verify --dir older --json").ok().json();
    assert!(without["cannot_rule_out"].as_array().unwrap().contains(&json!("rollback")));
    let with = place.run("verify --dir older --checkpoint kept --json").no().json();
    assert_eq!((&with["problem"], &with["ok"]), (&json!("rollback"), &json!(false)), "{with:#}");
    assert_eq!(with["checkpoint_pinned"], true);
    // Lines written anew after the older state are another history.
    place.run_all(&["record", "--dir", "older", "missing"]).could_not(&["missing"]);
    place.feed("record --dir older", "{\"action\":\"harmless\"}\n{\"action\":\"harmless\"}\n").ok();
    place.run("verify --dir older").ok();
    let rewritten = place.run("verify --dir older --checkpoint kept --json").no().json();
    assert_eq!(rewritten["problem"], "root_mismatch", "{rewritten:#}");
}

#[test]
fn pinning_both_rules_everything_out() {
    let place = place();
    place.write("kept", place.run("checkpoint").ok().out);
    let key = place.public_key();
    place.record("{\"action\":\"later\"}");
    let verdict =
        place.run_all(&["verify", "--json", "--checkpoint", "kept", "--public-key", &key]).ok().json();
    assert_eq!((&verdict["key_pinned"], &verdict["checkpoint_pinned"]), (&json!(true), &json!(true)));
    assert_eq!(verdict["cannot_rule_out"], json!([]));
    let stranger = Place::with_events(&["a"]).public_key();
    let verdict = place.run_all(&["verify", "--json", "--public-key", &stranger]).no().json();
    assert!(
        ["key_unknown", "origin_mismatch"].contains(&verdict["problem"].as_str().unwrap()),
        "{verdict:#}"
    );
    place.run_all(&["verify", "--public-key", "nonsense"]).could_not(&["--public-key", "nonsense"]);
    place.run("verify --checkpoint nowhere").could_not(&["nowhere"]);
}

#[test]
fn a_key_vouched_for_by_the_old_one_is_believed_and_a_replaced_one_is_not() {
    let place = place();
    let old = place.public_key();
    place.write("kept", place.run("checkpoint").ok().out);
    let rotated = place.run("key rotate").ok();
    let new = place.public_key();
    assert_eq!(rotated.first_line(), new);
    assert_ne!(old, new);
    place.record("{\"action\":\"after\"}");
    place.run_all(&["verify", "--public-key", &old, "--checkpoint", "kept"]).ok();
    place.run_all(&["verify", "--public-key", &new]).ok();
    // Trust goes forward alone: a new key says nothing about what an old one signed.
    let backward = place.run_all(&["verify", "--public-key", &new, "--checkpoint", "kept"]).no();
    assert!(backward.out.contains("not trusted"), "{backward:#?}");
    assert!(!backward.out.contains("\nruled out"), "{backward:#?}");
    place.run_all(&["verify", "--public-key", &new, "--public-key", &old, "--checkpoint", "kept"]).ok();
    place.run("key rotate").ok();
    place.run_all(&["verify", "--public-key", &old]).ok();
    assert!(place.run("key show").ok().out.contains(&old), "earlier keys are told");
    // Everything made anew under the same name by another key.
    let origin = place.run("stats --json").ok().json()["origin"].as_str().unwrap().to_owned();
    place.write("forged.toml", format!("origin = \"{origin}\"\ndir = \"forged\"\n"));
    place.feed("record --config forged.toml", "{\"action\":\"nothing happened\"}").ok();
    place.run("verify --dir forged").ok();
    let verdict = place.run_all(&["verify", "--dir", "forged", "--json", "--public-key", &old]).no().json();
    assert_eq!(verdict["problem"], "key_unknown", "{verdict:#}");
}

#[test]
fn a_tampered_trail_can_still_be_read_and_is_not_written_on() {
    let place = place();
    let mut lines = place.lines();
    lines[20] = lines[20].replace("step.19", "stop.19");
    place.write_lines(&lines);
    assert_eq!(place.run("query --count").ok().out, "20\n");
    place.feed("record", "{\"action\":\"more\"}").could_not(&["event 20", "trailseal verify"]);
    check(&place, "edited", Some(20));
}

/// Nothing that was signed is different for it, but somebody removed evidence.
#[test]
fn missing_kept_checkpoints_are_told_and_are_no_tampering() {
    let place = Place::new();
    place.write("trailseal.toml", "[segment]\nroll = \"64KiB\"\n");
    let line = format!("{{\"action\":\"a\",\"details\":{{\"text\":\"{}\"}}}}\n", "x ".repeat(1_000));
    for _ in 0..3 {
        place.feed("record", line.repeat(45)).ok();
    }
    let missing = || {
        let findings = place.run("doctor --json").json();
        let of_kept = |finding: &&serde_json::Value| finding["code"] == "kept_missing";
        let found = findings["findings"].as_array().unwrap().iter().find(of_kept);
        found.map(|finding| finding["what"].as_str().unwrap().to_owned())
    };
    assert_eq!(missing(), None);
    assert!(!place.run("verify").ok().out.contains("kept:"));
    let mut kept: Vec<u64> = std::fs::read_dir(place.path("trail/checkpoints"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().parse().ok())
        .collect();
    kept.sort_unstable();
    assert!(kept.len() > 1, "{kept:?}");
    std::fs::remove_file(place.path(&format!("trail/checkpoints/{}", kept[1]))).unwrap();
    let (count, first) = (kept.len(), kept[1]);
    assert!(missing().unwrap().contains(&format!("1 of {count} kept checkpoints")));
    assert!(missing().unwrap().ends_with(&format!("from size {first} on")));
    let said = place.run("verify").ok().out;
    assert!(said.contains(&format!("\nkept:     1 of {count} checkpoints")), "{said}");
    std::fs::remove_dir_all(place.path("trail/checkpoints")).unwrap();
    assert!(missing().unwrap().contains(&format!("{count} of {count} kept checkpoints")));
    assert!(place.run("verify").ok().out.contains(&format!("{count} of {count} checkpoints")));
}
