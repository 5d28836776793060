//! Bundles: evidence that stands alone, and zips that lie.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

mod support;

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Write as _};

use sha2::{Digest as _, Sha256};
use support::{Answer, Place};
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

/// Members in the order in which a bundle has them.
fn in_order(members: &Members) -> Vec<(&str, &[u8])> {
    let rank = |name: &str| {
        let (folder, member) = name.split_once('/').unwrap_or(("~", name));
        let order = ["lines.jsonl", "lines.jsonl.zst", "proofs.jsonl", "checkpoint", "public-key"];
        (folder.to_owned(), order.iter().position(|it| *it == member))
    };
    let mut all: Vec<(&str, &[u8])> =
        members.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    all.sort_by_key(|(name, _)| rank(name));
    all
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default().large_file(true)).unwrap();
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
    let listed = manifest["members"].as_object_mut().unwrap();
    listed.retain(|name, _| members.contains_key(name));
    let plain = members.get("0/lines.jsonl").cloned();
    let plain =
        plain.or_else(|| zstd::decode_all(&members["0/lines.jsonl.zst"][..]).ok()).unwrap_or_default();
    let lines = plain.iter().filter(|byte| **byte == b'\n').count();
    (manifest["count"], manifest["origins"][0]["count"]) = (lines.into(), lines.into());
    let mut members = members.clone();
    members.insert("manifest.json".into(), manifest.to_string().into_bytes());
    place.write("e.zip", zipped(&in_order(&members)));
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
fn a_full_disk_is_told_once_and_leaves_nothing() {
    let place = Place::new();
    let events: Vec<String> = (0..2_000).map(|number| format!(r#"{{"action":"a.{number}"}}"#)).collect();
    place.feed("record", events.join("\n")).ok();
    let limited = place.limited_command(&["export", "--format", "bundle", "--out", "b.zip"], "-f 16");
    let told = Answer::of(limited, b"").could_not(&["b.zip"]).err;
    // The library that writes the zip says what it failed to do when it is dropped.
    assert!(told.lines().count() == 1 && !told.contains("ZipWriter"), "{told}");
    assert!(!place.path("b.zip").exists());
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
            "occurs twice",
        ),
        (
            |members| {
                text(members, "0/proofs.jsonl", |lines| lines.replacen("\"index\":2", "\"index\":3", 1))
            },
            "line 1 is not event 3",
        ),
        (|members| text(members, "0/proofs.jsonl", |lines| format!("{{}}\n{lines}")), "proof 1 is malformed"),
        (
            |members| text(members, "0/checkpoint", |note| note.replacen("\n11\n", "\n10\n", 1)),
            "0/checkpoint: ",
        ),
        (|members| text(members, "0/public-key", |_| "rubbish".into()), "0/public-key: "),
        (|members| text(members, "0/lines.jsonl", |lines| lines.trim_end().into()), "has no end"),
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
    let all = in_order(&members);
    let with = |more: &[(&str, &[u8])]| zipped(&[&all[..], more].concat());
    place.write("e.zip", with(&[("0/more", b"x")]));
    assert!(place.run_all(&["verify", "--bundle", "e.zip"]).no().out.contains("not those of its manifest"));
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
        "TAMPERED: its members are not those of its manifest, or in another order\n"
    );
    let mut changed = members.clone();
    changed.get_mut("0/lines.jsonl").unwrap().push(b'\n');
    place.write("e.zip", zipped(&in_order(&changed)));
    place.run_all(&["verify", "--bundle", "e.zip"]).no();
}

#[test]
fn what_is_no_bundle_cannot_be_checked() {
    let place = Place::new();
    place.write("e.zip", "no zip at all");
    place.run_all(&["verify", "--bundle", "e.zip"]).could_not(&["e.zip", "it is not a bundle"]);
    place.run_all(&["verify", "--bundle", "nothing.zip"]).could_not(&["nothing.zip"]);
    place.write("e.zip", zipped(&[("manifest.json", b"{}")]));
    place.run_all(&["verify", "--bundle", "e.zip"]).no();
    // 64 MiB of zeros in 64 KiB.
    place.write("e.zip", zipped(&[("manifest.json", &vec![b' '; 64 << 20])]));
    assert!(place.run_all(&["verify", "--bundle", "e.zip"]).no().out.contains("too large"));
}

/// The same, in JSON: an answer, whatever was given.
#[test]
fn what_is_no_bundle_is_answered_in_json_too() {
    let place = Place::new();
    place.write("e.zip", "no zip at all");
    for name in ["e.zip", "nothing.zip", "."] {
        let ran = place.run_all(&["verify", "--bundle", name, "--json"]);
        assert_eq!((ran.code, &ran.json()["ok"]), (Some(2), &false.into()), "{ran:?}");
        assert!(ran.err.starts_with("error: "), "{ran:?}");
    }
}

/// A zip by our own hand, so that it can lie in every place.
#[derive(Clone, Default)]
struct Forged {
    /// Before the first member, and behind the end.
    front: Vec<u8>,
    behind: Vec<u8>,
    members: Vec<ForgedMember>,
    comment: Vec<u8>,
}

#[derive(Clone, Default)]
struct ForgedMember {
    local_name: String,
    name: String,
    packed: Vec<u8>,
    size: u64,
    crc: u32,
    /// What the local header says, where it says something else.
    local_size: Option<u64>,
    local_crc: Option<u32>,
    local_method: Option<u16>,
    local_flags: u16,
    flags: u16,
    local_extra: Vec<u8>,
    extra: Vec<u8>,
    comment: Vec<u8>,
    attributes: Option<u32>,
    descriptor: Vec<u8>,
    /// Between this member and the next one.
    between: Vec<u8>,
    /// In front of what is deflated belongs nothing; behind it, neither.
    is_unlisted: bool,
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl ForgedMember {
    fn of(name: &str, bytes: &[u8]) -> ForgedMember {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        ForgedMember {
            local_name: name.into(),
            name: name.into(),
            packed: deflated(bytes),
            size: bytes.len() as u64,
            crc: crc.sum(),
            ..ForgedMember::default()
        }
    }
}

fn put(out: &mut Vec<u8>, numbers: &[(u64, usize)]) {
    numbers.iter().for_each(|(number, len)| out.extend_from_slice(&number.to_le_bytes()[..*len]));
}

impl Forged {
    fn of(members: &Members) -> Forged {
        let members = in_order(members).into_iter().map(|(name, bytes)| ForgedMember::of(name, bytes));
        Forged { members: members.collect(), ..Forged::default() }
    }

    fn bytes(&self) -> Vec<u8> {
        let (mut out, mut directory, mut listed) = (self.front.clone(), Vec::new(), 0);
        for it in &self.members {
            let (at, packed) = (out.len() as u64, it.packed.len() as u64);
            let method = u64::from(it.local_method.unwrap_or(8));
            put(
                &mut out,
                &[(0x0403_4b50, 4), (45, 2), (it.local_flags.into(), 2), (method, 2), (0x21 << 16, 4)],
            );
            put(&mut out, &[(it.local_crc.unwrap_or(it.crc).into(), 4), (0xffff_ffff, 4), (0xffff_ffff, 4)]);
            put(&mut out, &[(it.local_name.len() as u64, 2), (20 + it.local_extra.len() as u64, 2)]);
            out.extend_from_slice(it.local_name.as_bytes());
            put(&mut out, &[(1, 2), (16, 2), (it.local_size.unwrap_or(it.size), 8), (packed, 8)]);
            for bytes in [&it.local_extra, &it.packed, &it.descriptor, &it.between] {
                out.extend_from_slice(bytes);
            }
            if it.is_unlisted {
                continue;
            }
            listed += 1;
            put(&mut directory, &[(0x0201_4b50, 4), (0x032d, 2), (45, 2), (it.flags.into(), 2), (8, 2)]);
            put(&mut directory, &[(0x21 << 16, 4), (it.crc.into(), 4), (0xffff_ffff, 4), (0xffff_ffff, 4)]);
            put(&mut directory, &[(it.name.len() as u64, 2), (20 + it.extra.len() as u64, 2)]);
            put(&mut directory, &[(it.comment.len() as u64, 2), (0, 4)]);
            put(&mut directory, &[(it.attributes.unwrap_or(0o100_644 << 16).into(), 4), (at, 4)]);
            directory.extend_from_slice(it.name.as_bytes());
            put(&mut directory, &[(1, 2), (16, 2), (it.size, 8), (packed, 8)]);
            directory.extend_from_slice(&it.extra);
            directory.extend_from_slice(&it.comment);
        }
        let (at, len) = (out.len() as u64, directory.len() as u64);
        out.append(&mut directory);
        put(&mut out, &[(0x0605_4b50, 4), (0, 4), (listed, 2), (listed, 2), (len, 4), (at, 4)]);
        put(&mut out, &[(self.comment.len() as u64, 2)]);
        out.extend_from_slice(&self.comment);
        out.extend_from_slice(&self.behind);
        out
    }
}

/// What a member says under the name in the directory, another tool reads under another name, or not at all.
#[test]
fn a_zip_that_other_tools_read_in_another_way_is_refused() {
    type Lie = fn(&mut Forged);
    let lies: [(&str, Lie); 22] = [
        ("bytes in front", |zip| zip.front = b"#!/bin/sh\n".to_vec()),
        ("a member in front that no entry lists", |zip| {
            let forged = ForgedMember::of("0/lines.jsonl", b"{\"action\":\"forged\"}\n");
            zip.members.insert(0, ForgedMember { is_unlisted: true, ..forged });
        }),
        ("a member at the end that no entry lists", |zip| {
            let forged = ForgedMember::of("0/lines.jsonl", b"{\"action\":\"forged\"}\n");
            zip.members.push(ForgedMember { is_unlisted: true, ..forged });
        }),
        ("bytes between members", |zip| zip.members[1].between = b"more".to_vec()),
        ("bytes behind the end", |zip| zip.behind = b"more".to_vec()),
        ("a whole zip behind the end", |zip| {
            zip.behind = Forged { members: vec![ForgedMember::of("x", b"x")], ..Forged::default() }.bytes();
        }),
        ("a comment", |zip| zip.comment = b"see the other file".to_vec()),
        ("a member's comment", |zip| zip.members[0].comment = b"more".to_vec()),
        ("a local name", |zip| zip.members[0].local_name = "0/linez.jsonl".into()),
        ("a local size", |zip| zip.members[0].local_size = Some(7)),
        ("a local hash", |zip| zip.members[0].local_crc = Some(7)),
        ("a local method", |zip| zip.members[0].local_method = Some(0)),
        ("locally encrypted", |zip| zip.members[0].local_flags = 1),
        ("encrypted", |zip| {
            (zip.members[0].local_flags, zip.members[0].flags) = (1, 1);
        }),
        ("a name in an extra field", |zip| {
            let mut extra = Vec::new();
            put(&mut extra, &[(0x7075, 2), (5 + 6, 2), (1, 1), (0, 4)]);
            extra.extend_from_slice(b"forged");
            zip.members[0].extra = extra;
        }),
        ("a local extra field", |zip| zip.members[0].local_extra = vec![9, 9, 0, 0]),
        ("a descriptor without its flag", |zip| zip.members[0].descriptor = vec![0; 24]),
        ("a descriptor of other sizes", |zip| {
            let it = &mut zip.members[0];
            (it.local_flags, it.flags) = (8, 8);
            put(&mut it.descriptor, &[(0x0807_4b50, 4), (it.crc.into(), 4), (1, 8), (it.size, 8)]);
        }),
        ("a link", |zip| zip.members[0].attributes = Some(0o120_777 << 16)),
        ("a size", |zip| zip.members[0].size += 1),
        ("a hash", |zip| zip.members[0].crc ^= 1),
        ("bytes behind what is deflated", |zip| zip.members[0].packed.extend_from_slice(b"more")),
    ];
    let (place, members) = bundled();
    let honest = Forged::of(&members);
    place.write("e.zip", honest.bytes());
    place.run_all(&["verify", "--bundle", "e.zip"]).ok();
    for (what, lie) in lies {
        let mut zip = honest.clone();
        lie(&mut zip);
        place.write("e.zip", zip.bytes());
        let ran = place.run_all(&["verify", "--bundle", "e.zip"]);
        assert!(ran.code == Some(1) && ran.out.starts_with("TAMPERED: "), "{what}: {ran:?}");
        let ran = place.run_all(&["verify", "--bundle", "e.zip", "--json"]);
        assert_eq!((ran.code, &ran.json()["ok"]), (Some(1), &false.into()), "{what}");
    }
}

/// A size that the directory gives a second time, for large files, and that other tools may not read.
#[test]
fn an_end_for_large_files_that_is_not_needed_is_refused() {
    let (place, members) = bundled();
    let bytes = Forged::of(&members).bytes();
    let (directory, end) = bytes.split_at(bytes.len() - 22);
    let (len, at) = (&end[12..16], &end[16..20]);
    let number = |bytes: &[u8]| u64::from(u32::from_le_bytes(bytes.try_into().unwrap()));
    let mut large = directory.to_vec();
    put(&mut large, &[(0x0606_4b50, 4), (44, 8), (45, 2), (45, 2), (0, 8), (5, 8), (5, 8)]);
    put(&mut large, &[(number(len), 8), (number(at), 8)]);
    put(&mut large, &[(0x0706_4b50, 4), (0, 4), (directory.len() as u64, 8), (1, 4)]);
    let mut end = end.to_vec();
    for changed in [false, true] {
        if changed {
            end[16..20].fill(0xff);
        }
        place.write("e.zip", [&large[..], &end].concat());
        place.run_all(&["verify", "--bundle", "e.zip"]).no();
    }
}

#[test]
fn one_origin_twice_is_refused() {
    let (place, mut members) = bundled();
    let mut manifest: serde_json::Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    let mut again = manifest["origins"][0].clone();
    again["folder"] = "1".into();
    manifest["origins"].as_array_mut().unwrap().push(again);
    for name in ["lines.jsonl", "proofs.jsonl", "checkpoint", "public-key"] {
        let (old, new) = (format!("0/{name}"), format!("1/{name}"));
        manifest["members"][&new] = manifest["members"][&old].clone();
        members.insert(new, members[&old].clone());
    }
    manifest["count"] = 6.into();
    members.insert("manifest.json".into(), manifest.to_string().into_bytes());
    place.write("e.zip", zipped(&in_order(&members)));
    let ran = place.run_all(&["verify", "--bundle", "e.zip"]).no();
    assert!(ran.out.contains("is in it twice"), "{}", ran.out);
    let json = place.run_all(&["verify", "--bundle", "e.zip", "--json"]).no().json();
    assert!(json["message"].as_str().unwrap().contains("is in it twice"));
}

#[test]
fn compressed_lines_hide_nothing() {
    let (place, members) = bundled();
    let lines = members["0/lines.jsonl"].clone();
    let packed = zstd::encode_all(&lines[..], 3).unwrap();
    let with = |packed: Vec<u8>| {
        let mut members = members.clone();
        members.remove("0/lines.jsonl");
        members.insert("0/lines.jsonl.zst".into(), packed);
        resealed(&place, &members);
        place.run("verify --bundle e.zip --json")
    };
    assert_eq!(with(packed.clone()).ok().json()["count"], 3);
    // What other tools would pass over, or read as more.
    let skipped = [&b"\x50\x2a\x4d\x18\x06\0\0\0"[..], b"hidden"].concat();
    let more = zstd::encode_all(&b"{\"action\":\"forged\"}\n"[..], 3).unwrap();
    let mut wide = zstd::Encoder::new(Vec::new(), 3).unwrap();
    wide.window_log(27).unwrap();
    wide.write_all(&lines).unwrap();
    for (what, forged) in [
        ("something skipped behind them", [&packed[..], &skipped].concat()),
        ("something skipped before them", [&skipped[..], &packed].concat()),
        ("another frame", [&packed[..], &more].concat()),
        ("an empty frame", [&packed[..], &zstd::encode_all(&b""[..], 3).unwrap()].concat()),
        ("a byte", [&packed[..], b"\n"].concat()),
        ("cut off", packed[..packed.len() - 1].to_vec()),
        ("not compressed", lines.clone()),
        ("a window that takes memory", wide.finish().unwrap()),
    ] {
        let answer = with(forged);
        assert_eq!(answer.code, Some(1), "{what}: {answer:?}");
        assert_eq!(answer.json()["ok"], false, "{what}");
    }
    // Both kinds of lines are too many members.
    let mut both = members.clone();
    both.insert("0/lines.jsonl.zst".into(), packed);
    resealed(&place, &both);
    place.run("verify --bundle e.zip").no();
}

#[test]
fn a_browser_reads_one_line_after_another() {
    let (place, mut members) = bundled();
    let said = |members: &Members| {
        resealed(&place, members);
        support::in_browser(&place.path("e.zip"), &place.public_key())
    };
    assert_eq!(said(&members), "proven");
    // All of these lines at once would take gigabytes.
    let ends = vec![b'\n'; 64 << 20];
    members.insert("0/lines.jsonl".into(), ends.clone());
    assert_eq!(said(&members), "failed");
    members.insert("0/proofs.jsonl".into(), ends);
    assert_eq!(said(&members), "failed");
}
