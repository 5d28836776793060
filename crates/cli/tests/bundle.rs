//! Bundles: evidence that stands alone, and zips that lie.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Write as _};

use sha2::{Digest as _, Sha256};
use support::Place;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

type Members = BTreeMap<String, Vec<u8>>;

fn bundled() -> (Place, Members) {
    let place = Place::with(
        &(0..9)
            .map(|number| format!("{{\"action\":\"a{}\",\"tenant\":\"t\"}}\n", number % 3))
            .collect::<String>(),
    );
    place.run_all(&["export", "--format", "bundle", "--action", "a1", "--out", "e.zip"]).ok();
    let mut zip = ZipArchive::new(Cursor::new(std::fs::read(place.path("e.zip")).unwrap())).unwrap();
    let mut members = Members::new();
    for at in 0..zip.len() {
        let mut bytes = Vec::new();
        let mut member = zip.by_index(at).unwrap();
        member.read_to_end(&mut bytes).unwrap();
        members.insert(member.name().unwrap().into_owned(), bytes);
    }
    (place, members)
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Writes the members as a bundle whose manifest has the right hashes, whatever is in them.
fn resealed(place: &Place, members: &Members) {
    let mut manifest: serde_json::Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    for (name, bytes) in members.iter().filter(|(name, _)| *name != "manifest.json") {
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        manifest["members"][name]["sha256"] = hash.into();
    }
    let lines = members["0/lines.jsonl"].iter().filter(|byte| **byte == b'\n').count();
    (manifest["count"], manifest["origins"][0]["count"]) = (lines.into(), lines.into());
    let manifest = manifest.to_string();
    let mut all = vec![("manifest.json", manifest.as_bytes())];
    all.extend(
        members
            .iter()
            .filter(|(name, _)| *name != "manifest.json")
            .map(|(name, bytes)| (name.as_str(), &bytes[..])),
    );
    place.write("e.zip", zipped(&all));
}

#[test]
fn a_bundle_holds_what_the_contract_says_and_is_proved_anywhere() {
    let (place, members) = bundled();
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    assert_eq!(names, ["0/checkpoint", "0/lines.jsonl", "0/proofs.jsonl", "0/public-key", "manifest.json"]);
    let manifest: serde_json::Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    assert_eq!((manifest["count"].as_u64(), &manifest["filters"]["action"][0]), (Some(3), &"a1".into()));
    let proof: serde_json::Value =
        serde_json::from_slice(members["0/proofs.jsonl"].split(|byte| *byte == b'\n').next().unwrap())
            .unwrap();
    assert_eq!(proof["index"], 2);
    assert!(proof["hashes"].as_array().unwrap().len() > 1);

    let away = Place::new();
    std::fs::copy(place.path("e.zip"), away.path("e.zip")).unwrap();
    let text = away.run_all(&["verify", "--bundle", "e.zip"]).ok().out;
    assert!(text.starts_with("ok 3 events are genuine"), "{text}");
    assert!(
        text.contains("cannot rule out: that lines were left out; that it was signed by somebody else's key"),
        "{text}"
    );
    let key = place.run_all(&["key", "show"]).out;
    let json = away.run_all(&["verify", "--bundle", "e.zip", "--public-key", &key, "--json"]).ok().json();
    assert_eq!(
        (json["ok"].as_bool(), json["count"].as_u64(), json["key_pinned"].as_bool()),
        (Some(true), Some(3), Some(true))
    );
    let other = Place::with("{\"action\":\"x\"}").run_all(&["key", "show"]).out;
    away.run_all(&["verify", "--bundle", "e.zip", "--public-key", &other]).no();
}

#[test]
fn a_bundle_goes_to_a_pipe_too() {
    let (place, _) = bundled();
    let output = place.command(&["export", "--format", "bundle"]).output().unwrap();
    assert!(output.status.success());
    place.write("piped.zip", output.stdout);
    assert_eq!(place.run_all(&["verify", "--bundle", "piped.zip", "--json"]).ok().json()["count"], 9);
}

#[test]
fn a_pipe_that_is_closed_ends_a_bundle_quietly() {
    // More than is gathered before it is written.
    let place = Place::with(&"{\"action\":\"a\",\"details\":{\"text\":\"some more of it\"}}\n".repeat(3_000));
    let mut command = place.command(&["export", "--format", "bundle"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn the_old_key_vouches_for_a_bundle_of_the_new_one() {
    let (place, _) = bundled();
    let old = place.run_all(&["key", "show"]).out;
    place.run_all(&["key", "rotate"]).ok();
    place.run_all(&["export", "--format", "bundle", "--out", "e.zip"]).ok();
    place.run_all(&["verify", "--bundle", "e.zip", "--public-key", &old]).ok();
}

#[test]
fn every_lie_in_a_bundle_is_found() {
    type Lie = fn(&mut Members);
    fn text(members: &mut Members, name: &str, change: impl FnOnce(&str) -> String) {
        let changed = change(std::str::from_utf8(&members[name]).unwrap());
        members.insert(name.to_owned(), changed.into_bytes());
    }
    let lies: [(Lie, &str); 9] = [
        (
            |members| text(members, "0/lines.jsonl", |lines| lines.replacen("\"t\"", "\"u\"", 1)),
            "line 1 is not event 2",
        ),
        (
            |members| {
                text(members, "0/lines.jsonl", |lines| format!("{lines}{}\n", lines.lines().next().unwrap()))
            },
            "differ in length",
        ),
        (
            |members| {
                for name in ["0/lines.jsonl", "0/proofs.jsonl"] {
                    text(members, name, |lines| format!("{lines}{}\n", lines.lines().last().unwrap()));
                }
            },
            "is there twice",
        ),
        (
            |members| {
                text(members, "0/proofs.jsonl", |lines| lines.replacen("\"index\":2", "\"index\":3", 1))
            },
            "line 1 is not event 3",
        ),
        (|members| text(members, "0/proofs.jsonl", |lines| format!("{{}}\n{lines}")), "proof 1 is none"),
        (
            |members| text(members, "0/checkpoint", |note| note.replacen("\n11\n", "\n10\n", 1)),
            "0/checkpoint: ",
        ),
        (|members| text(members, "0/public-key", |_| "rubbish".into()), "0/public-key: "),
        (|members| text(members, "0/lines.jsonl", |lines| lines.trim_end().into()), "does not end"),
        (|members| text(members, "0/lines.jsonl", |_| " ".repeat(70_000)), "too long"),
    ];
    let (place, honest) = bundled();
    resealed(&place, &honest);
    place.run_all(&["verify", "--bundle", "e.zip"]).ok();
    for (number, (lie, wanted)) in lies.into_iter().enumerate() {
        let mut members = honest.clone();
        lie(&mut members);
        resealed(&place, &members);
        let ran = place.run_all(&["verify", "--bundle", "e.zip"]).no();
        assert!(ran.out.starts_with("TAMPERED: ") && ran.out.contains(wanted), "{number}: {}", ran.out);
        assert_eq!(place.run_all(&["verify", "--bundle", "e.zip", "--json"]).no().json()["ok"], false);
    }
}

#[test]
fn members_that_the_manifest_does_not_describe_are_refused() {
    let (place, members) = bundled();
    let all: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    let with = |more: &[(&str, &[u8])]| zipped(&[&all[..], more].concat());
    place.write("e.zip", with(&[("0/more", b"x")]));
    assert!(place.run_all(&["verify", "--bundle", "e.zip"]).no().out.contains("other members"));
    // Two members of one name: other tools might unpack the other one.
    let mut doubled = with(&[("0/lines.jsonX", b"{\"action\":\"forged\"}\n")]);
    let ends: Vec<usize> =
        (0..doubled.len() - 13).filter(|at| doubled[*at..].starts_with(b"0/lines.jsonX")).collect();
    for at in ends {
        doubled[at + 12] = b'l';
    }
    place.write("e.zip", doubled);
    assert_eq!(
        place.run_all(&["verify", "--bundle", "e.zip"]).no().out,
        "TAMPERED: it has other members than its manifest says\n"
    );
    let mut changed = members.clone();
    changed.get_mut("0/lines.jsonl").unwrap().push(b'\n');
    let all: Vec<(&str, &[u8])> = changed.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    place.write("e.zip", zipped(&all));
    place.run_all(&["verify", "--bundle", "e.zip"]).no();
}

#[test]
fn what_is_no_bundle_cannot_be_checked() {
    let place = Place::new();
    place.write("e.zip", "no zip at all");
    place.run_all(&["verify", "--bundle", "e.zip"]).could_not(&["e.zip", "it is no bundle"]);
    place.run_all(&["verify", "--bundle", "nothing.zip"]).could_not(&["nothing.zip"]);
    place.write("e.zip", zipped(&[("manifest.json", b"{}")]));
    place.run_all(&["verify", "--bundle", "e.zip"]).no();
    // 64 MiB of zeros in 64 KiB.
    place.write("e.zip", zipped(&[("manifest.json", &vec![b' '; 64 << 20])]));
    assert!(place.run_all(&["verify", "--bundle", "e.zip"]).no().out.contains("too large"));
}
