//! A trail built by plain code, and everything that can be done to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trailseal_event::Index;
use trailseal_tlog::leaf_hash;

use super::*;
use crate::file::StdFiles;
use crate::segment::{OFFSETS_EVERY, Offsets, offsets_name};

mod built;
mod trust;

use built::{Built, Plan, folder, key, line};

/// Expects the problem, and the first bad index or the range.
#[track_caller]
fn expect_bad(verdict: &Verdict, problem: Problem, first_bad: Option<u64>) {
    assert_eq!((verdict.problem, verdict.first_bad), (Some(problem), first_bad), "{verdict}");
    assert!(!verdict.ok);
    assert!(verdict.to_string().starts_with("TAMPERED"), "{verdict}");
}

#[track_caller]
fn expect_ok(verdict: &Verdict) {
    assert!(verdict.ok, "{verdict}");
    assert_eq!((verdict.problem, verdict.first_bad, verdict.range), (None, None, None));
}

#[test]
fn whole_trails_are_ok_in_every_form() {
    for threads in [1, 2, 3] {
        for (lines, segments, sealed, compressed) in [
            (0, vec![], 0, 0),
            (1, vec![0], 1, 0),
            (12, vec![0, 6], 12, 1),
            (256, vec![0], 256, 0),
            (1000, vec![0, 300, 301, 777], 900, 2),
        ] {
            let built = Plan { lines, segments, sealed, compressed, ..Plan::default() }.build();
            let verdict = built.verify_with(VerifyOptions { threads, ..VerifyOptions::default() });
            expect_ok(&verdict);
            assert_eq!(
                (verdict.sealed, verdict.unsealed, verdict.tree_size),
                (sealed, lines - sealed, sealed)
            );
            assert_eq!(verdict.longest_silence_seconds, if lines > 1 { 1.5 } else { 0.0 });
        }
    }
}

#[test]
fn an_empty_folder_is_no_trail() {
    let dir = tempfile::tempdir().unwrap();
    let error = verify(&folder(dir.path()), &VerifyOptions::default()).unwrap_err();
    assert!(matches!(error, VerifyError::NoTrail { .. }));
}

type Tampering = (&'static str, fn(&Built), Problem, Option<u64>);

/// What can be done to lines and segments, and what must be said about it.
const TAMPERINGS: &[Tampering] = &[
    (
        "byte edited",
        |built| built.change(0, |lines| lines[3] = lines[3].replace("made", "mado")),
        Problem::Edited,
        Some(3),
    ),
    (
        "index edited",
        |built| built.change(0, |lines| lines[3] = lines[3].replace(":3,", ":9,")),
        Problem::Edited,
        Some(3),
    ),
    (
        "line grown beyond every limit",
        |built| built.change(0, |lines| lines[3] = "x".repeat(3 << 20)),
        Problem::LineTooLong,
        Some(3),
    ),
    ("line made empty", |built| built.change(0, |lines| lines[3].clear()), Problem::Edited, Some(3)),
    (
        "line deleted in a closed segment",
        |built| built.change(0, |lines| drop(lines.remove(2))),
        Problem::Missing,
        Some(2),
    ),
    (
        "two lines deleted",
        |built| built.change(300, |lines| drop(lines.drain(4..6))),
        Problem::Missing,
        Some(304),
    ),
    (
        "last line of a closed segment deleted",
        |built| built.change(0, |lines| drop(lines.pop())),
        Problem::Missing,
        Some(299),
    ),
    (
        "first line of all deleted",
        |built| built.change(0, |lines| drop(lines.remove(0))),
        Problem::Missing,
        Some(0),
    ),
    (
        "line deleted in the last segment",
        |built| built.change(600, |lines| drop(lines.remove(5))),
        Problem::Missing,
        Some(605),
    ),
    ("last line deleted", |built| built.change(600, |lines| drop(lines.pop())), Problem::Missing, Some(699)),
    (
        "line inserted",
        |built| built.change(0, |lines| lines.insert(4, line(4, "forged"))),
        Problem::Inserted,
        Some(4),
    ),
    (
        "lines inserted",
        |built| {
            built.change(600, |lines| {
                for n in 0..9 {
                    lines.insert(4, line(n, "forged"))
                }
            })
        },
        Problem::Inserted,
        Some(604),
    ),
    (
        "line inserted at the beginning",
        |built| built.change(0, |lines| lines.insert(0, line(0, "forged"))),
        Problem::Inserted,
        Some(0),
    ),
    ("neighbours swapped", |built| built.change(0, |lines| lines.swap(1, 2)), Problem::Reordered, Some(1)),
    ("far lines swapped", |built| built.change(0, |lines| lines.swap(1, 298)), Problem::Reordered, Some(1)),
    (
        "line doubled",
        |built| built.change(0, |lines| lines.insert(3, lines[2].clone())),
        Problem::Duplicated,
        Some(3),
    ),
    (
        "line doubled over another",
        |built| built.change(0, |lines| lines[5] = lines[2].clone()),
        Problem::Duplicated,
        Some(5),
    ),
    ("segment cut within a line", |built| cut(&built.segment(300), 1000), Problem::Missing, Some(310)),
    ("last segment cut within a line", |built| cut(&built.segment(600), 1000), Problem::Missing, Some(610)),
    ("last segment emptied", |built| cut(&built.segment(600), 0), Problem::SegmentMissing, Some(600)),
    (
        "first segment missing",
        |built| fs::remove_file(built.segment(0)).unwrap(),
        Problem::SegmentMissing,
        Some(0),
    ),
    (
        "middle segment missing",
        |built| fs::remove_file(built.segment(300)).unwrap(),
        Problem::SegmentMissing,
        Some(300),
    ),
    (
        "last segment missing",
        |built| fs::remove_file(built.segment(600)).unwrap(),
        Problem::SegmentMissing,
        Some(600),
    ),
    (
        "all segments missing",
        |built| fs::remove_dir_all(built.path("segments")).unwrap(),
        Problem::SegmentMissing,
        Some(0),
    ),
    (
        "segment replaced by another's",
        |built| assert_ne!(fs::copy(built.segment(600), built.segment(300)).unwrap(), 0),
        Problem::Missing,
        Some(300),
    ),
    (
        "segment replaced by a forged one",
        |built| {
            built.change(300, |lines| {
                for (n, text) in (300..).zip(lines) {
                    *text = line(n, "forged")
                }
            })
        },
        Problem::Edited,
        Some(300),
    ),
    ("leaf hash forged", |built| flip(&built.path("tree/0"), 257 * 32 + 8), Problem::TileForged, None),
    (
        "leaf hash of the edge forged",
        |built| flip(&built.path("tree/0"), 699 * 32),
        Problem::TileForged,
        None,
    ),
    ("upper hash forged", |built| flip(&built.path("tree/1"), 32), Problem::TileForged, None),
    ("leaf hashes cut", |built| cut(&built.path("tree/0"), 64), Problem::TreeMissing, None),
    (
        "leaf hashes cut within one",
        |built| cut(&built.path("tree/0"), 699 * 32 + 31),
        Problem::TreeMissing,
        None,
    ),
    (
        "leaf hashes missing",
        |built| fs::remove_file(built.path("tree/0")).unwrap(),
        Problem::TreeMissing,
        None,
    ),
    (
        "upper hashes missing",
        |built| fs::remove_file(built.path("tree/1")).unwrap(),
        Problem::TreeMissing,
        None,
    ),
    (
        "whole tree missing",
        |built| fs::remove_dir_all(built.path("tree")).unwrap(),
        Problem::TreeMissing,
        None,
    ),
    (
        "checkpoint missing",
        |built| fs::remove_file(built.path("checkpoint")).unwrap(),
        Problem::CheckpointMissing,
        None,
    ),
    ("checkpoint emptied", |built| cut(&built.path("checkpoint"), 0), Problem::CheckpointInvalid, None),
    ("checkpoint cut", |built| cut(&built.path("checkpoint"), 60), Problem::CheckpointInvalid, None),
    (
        "checkpoint of another size",
        |built| rewrite(built, "checkpoint", "\n700\n", "\n701\n"),
        Problem::SignatureInvalid,
        None,
    ),
    (
        "checkpoint of another origin",
        |built| rewrite(built, "checkpoint", "example.com/test\n", "example.com/tess\n"),
        Problem::OriginMismatch,
        None,
    ),
    (
        "trail.toml of another origin",
        |built| {
            rewrite(built, "trail.toml", "origin = \"example.com/test\"", "origin = \"example.com/tess\"")
        },
        Problem::OriginMismatch,
        None,
    ),
    (
        "trail.toml missing",
        |built| fs::remove_file(built.path("trail.toml")).unwrap(),
        Problem::ManifestInvalid,
        None,
    ),
    ("checkpoint signed by another key", |built| sign_with(built, 2), Problem::KeyUnknown, None),
    (
        "kept checkpoint damaged",
        |built| flip(&built.path("checkpoints/300"), 40),
        Problem::SignatureInvalid,
        None,
    ),
];

fn cut(path: &Path, len: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn rewrite(built: &Built, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(built.path(name)).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(built.path(name), text.replacen(from, to, 1)).unwrap();
}

fn sign_with(built: &Built, seed: u8) {
    let other =
        Plan { seed, lines: 700, segments: vec![0, 300, 600], sealed: 700, ..Plan::default() }.build();
    fs::copy(other.path("checkpoint"), built.path("checkpoint")).unwrap();
}

fn big() -> Plan {
    Plan { lines: 700, segments: vec![0, 300, 600], sealed: 700, ..Plan::default() }
}

#[test]
fn every_tampering_is_named() {
    for (what, tamper, problem, first_bad) in TAMPERINGS {
        let built = big().build();
        expect_ok(&built.verify());
        tamper(&built);
        for threads in [1, 2] {
            let verdict = built.verify_with(VerifyOptions { threads, ..VerifyOptions::default() });
            assert_eq!(
                (verdict.problem, verdict.first_bad),
                (Some(*problem), *first_bad),
                "{what}: {verdict}"
            );
            assert!(!verdict.ok, "{what}");
        }
    }
}

#[test]
fn a_tree_forged_beside_forged_lines_leaves_a_range() {
    let built = big().build();
    built.change(300, |lines| lines[20] = line(320, "forged"));
    // The tree is made to fit the forged line.
    let path = built.path("tree/0");
    let mut leaves = fs::read(&path).unwrap();
    leaves[320 * 32..321 * 32].copy_from_slice(&leaf_hash(line(320, "forged").as_bytes()).0);
    fs::write(&path, leaves).unwrap();
    let verdict = built.verify();
    expect_bad(&verdict, Problem::RootMismatch, None);
    assert_eq!(verdict.range, Some((300, 600)));
    assert!(verdict.to_string().starts_with("TAMPERED in 300..600: "), "{verdict}");
}

#[test]
fn what_lies_in_the_tree_beyond_the_signed_size_says_nothing() {
    let built = big().build();
    for (level, len) in [(0, 700), (1, 2)] {
        let path = built.path(&format!("tree/{level}"));
        let mut hashes = fs::read(&path).unwrap();
        assert_eq!(hashes.len(), len * 32);
        hashes.extend_from_slice(&[7; 50]);
        fs::write(&path, hashes).unwrap();
    }
    expect_ok(&built.verify());
}

type UnsealedChange = (fn(&Built), Problem, u64);

#[test]
fn unsealed_lines_must_follow_each_other() {
    let plan = || Plan { lines: 20, segments: vec![0, 6, 15], sealed: 12, ..Plan::default() };
    let changes: [UnsealedChange; 5] = [
        (|built| built.change(15, |lines| drop(lines.remove(1))), Problem::Missing, 16),
        (|built| built.change(6, |lines| drop(lines.pop())), Problem::Missing, 14),
        (|built| built.change(15, |lines| lines.insert(1, lines[0].clone())), Problem::Duplicated, 16),
        (|built| built.change(15, |lines| lines[2] = "{}".into()), Problem::Edited, 17),
        (
            |built| built.change(15, |lines| lines[2] = lines[2].replace("2023", "2022")),
            Problem::Reordered,
            17,
        ),
    ];
    let verdict = plan().build().verify();
    expect_ok(&verdict);
    assert_eq!((verdict.unsealed, verdict.cannot_rule_out.last()), (8, Some(&Unproven::Unsealed)));
    for (change, problem, first_bad) in changes {
        let built = plan().build();
        change(&built);
        expect_bad(&built.verify(), problem, Some(first_bad));
    }
    let torn = plan().build();
    let path = torn.segment(15);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"v\":1,\"ind");
    fs::write(&path, bytes).unwrap();
    expect_ok(&torn.verify());
}

#[test]
fn proofs_stand_alone_and_only_for_what_was_signed() {
    let (older, newer) = (Plan { lines: 650, sealed: 650, ..big() }.build(), big().build());
    let mut reader = crate::Reader::open(newer.dir.path(), Arc::new(StdFiles)).unwrap();
    let keys = [key(1).verifying_key()];
    let proof = reader.prove(Index::new(321)).unwrap().to_text();
    let proved = verify_proof(&proof, &keys).unwrap();
    assert_eq!((proved.index, proved.line, proved.checkpoint.size), (321, line(321, "").into_bytes(), 700));
    let problem = |text: &str, keys: &[_]| verify_proof(text, keys).unwrap_err().problem;
    assert_eq!(problem(&proof, &[key(2).verifying_key()]), Some(Problem::KeyUnknown));
    assert_eq!(problem(&proof.replace("index 321", "index 322"), &keys), Some(Problem::RootMismatch));
    assert_eq!(problem(&proof.replace("\n700\n", "\n701\n"), &keys), Some(Problem::SignatureInvalid));
    assert_eq!(problem("nonsense", &keys), None);
    assert_eq!(problem(&proof, &[]), None);

    let growth = reader.consistency(&older.checkpoint()).unwrap();
    let proved = verify_consistency(&growth.to_text(), &keys).unwrap();
    assert_eq!((proved.old.size, proved.new.size), (650, 700));
    let forged = Plan { lines: 650, sealed: 650, note: "forged", ..big() }.build();
    let other = trailseal_tlog::ConsistencyProof { old: forged.checkpoint(), ..growth.clone() };
    assert_eq!(verify_consistency(&other.to_text(), &keys).unwrap_err().problem, Some(Problem::RootMismatch));
    let back = trailseal_tlog::ConsistencyProof { old: growth.new, new: growth.old, ..growth };
    assert_eq!(verify_consistency(&back.to_text(), &keys).unwrap_err().problem, Some(Problem::Rollback));
}

/// Every bit of every file, one after the other. What is not found must be on the list, with its reason.
#[test]
fn every_flipped_bit_is_found_or_explained() {
    for compressed in [0, 1] {
        let built = Plan { compressed, ..Plan::default() }.build();
        let offsets = Offsets {
            first: Index::new(0),
            lines: 6,
            len_bytes: 600,
            offsets: vec![0],
            ..Offsets::default()
        };
        assert!(offsets.lines < OFFSETS_EVERY);
        fs::write(built.path("segments").join(offsets_name(Index::new(0))), offsets.encode()).unwrap();
        let mut files = Vec::new();
        list_files(built.dir.path(), &mut files);
        assert!(files.len() >= 5, "{files:?}");
        for path in files {
            let name = path.strip_prefix(built.dir.path()).unwrap().to_str().unwrap().to_owned();
            let bytes = fs::read(&path).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, &flipped).unwrap();
                let verdict = verify(
                    &folder(built.dir.path()),
                    &VerifyOptions { threads: 1, ..VerifyOptions::default() },
                );
                let found = verdict.as_ref().map_or(true, |verdict| !verdict.ok);
                assert!(found || harmless(&name, bit / 8, &bytes), "{name}, bit {bit}: {verdict:?}");
            }
            fs::write(&path, bytes).unwrap();
        }
        expect_ok(&built.verify());
    }
}

fn list_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list_files(&path, out) } else { out.push(path) }
    }
}

/// Whether byte `at` of the file `name` may change unseen, since nothing that is proven depends on it.
fn harmless(name: &str, at: usize, bytes: &[u8]) -> bool {
    if name.ends_with(".offsets") {
        return true; // derived: rebuilt from the segment
    }
    if name == "trail.toml" {
        // Nothing signs it. Its origin and key must fit the checkpoint; the time of creation and the
        // sizes from which on a key signs are told to people.
        let text = std::str::from_utf8(bytes).unwrap();
        let line_start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let line = &text[line_start..];
        return line.starts_with("created") || line.starts_with("from");
    }
    if name.ends_with(".zst") {
        // The seek table is derived; and zstd's frame header has bits that say nothing about the content.
        let table = bytes.len() - 17 - 8;
        return at >= table || at < 18;
    }
    false
}
