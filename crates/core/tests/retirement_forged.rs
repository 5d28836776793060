//! Promise: a missing line is retired only if a sealed, signed event says so. Whatever somebody does to the lists, the
//! lines or the tree of a trail with retired lines is found, by our verifier and by a stranger's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what is wrong by panicking, and what it measured by printing"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::aged::{Moved, aged, check, options, record, verdict};
use support::hooked::hooked;
use support::{SOON, copy};
use trailseal_core::file::StdFiles;
use trailseal_core::verify::{Problem, Verdict, VerifyOptions, verify};
use trailseal_core::{Folder, RetainError, RetentionRule, Trail};
use trailseal_event::{Event, Object, Value};
use trailseal_tlog::{Origin, Rotation, SigningKey, VerifyingKey};

/// What a stranger, who has only read docs/format.md, says of the folder: the problem's code, or how many are retired.
fn stranger(dir: &Path) -> Result<u64, String> {
    stranger_with(dir, &[])
}

/// As `stranger`, for somebody who pinned these keys.
fn stranger_with(dir: &Path, keys: &[VerifyingKey]) -> Result<u64, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../strangers/python/verify_trail.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(dir).arg("--json");
    for key in keys {
        command.arg("--public-key").arg(key.to_string());
    }
    let run = command.output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let answer = trailseal_event::Value::parse(text.trim().as_bytes());
    let answer =
        answer.unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&run.stderr)));
    match answer.get("problem").and_then(|problem| problem.as_str()) {
        Some(problem) => Err(problem.to_owned()),
        None => Ok(answer.get("retired").and_then(|retired| retired.as_u64()).unwrap()),
    }
}

/// A closed trail of which segments are gone and others have holes.
fn retired() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let filters = [("id".to_owned(), "id-50".to_owned()), ("id".to_owned(), "id-52".to_owned())];
    trail.add_hold("case 7", "a dispute", &filters).unwrap();
    let retained = trail.retain(&RetentionRule::older_than_days(90), None).unwrap();
    assert_eq!(retained.kept.held_by, [("case 7".to_owned(), 2)]);
    assert!(retained.segments_removed > 3 && retained.segments_removed < retained.segments, "{retained:?}");
    record(&trail, 110..200);
    trail.close(SOON).unwrap();
    assert_eq!(check(dir.path()).retired, retained.events);
    assert_eq!(stranger(dir.path()), Ok(retained.events));
    dir
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    found.sort();
    found
}

/// The segment with holes, and its list.
fn holed(dir: &Path) -> (PathBuf, PathBuf) {
    let lists = files(dir, ".retired");
    let is_holed = |list: &PathBuf| first_of(list) > 0 && list.with_extension("jsonl").exists();
    let list = lists.into_iter().find(is_holed).unwrap();
    (list.with_extension("jsonl"), list)
}

/// The list of a segment that is gone.
fn of_gone(dir: &Path) -> PathBuf {
    files(dir, ".retired").into_iter().find(|list| !list.with_extension("jsonl").exists()).unwrap()
}

fn first_of(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

#[track_caller]
fn found(base: &Path, problems: &[&str], change: impl FnOnce(&Path)) {
    let dir = copy(base);
    change(dir.path());
    let verdict = verdict(dir.path());
    println!("{verdict}");
    let problem = verdict.problem.map(serde_name);
    assert!(problem.as_deref().is_some_and(|problem| problems.contains(&problem)), "{problem:?}: {verdict}");
    assert_eq!(stranger(dir.path()).err(), problem, "the stranger and {verdict}");
}

fn serde_name(problem: Problem) -> String {
    let mut name = String::new();
    for character in format!("{problem:?}").chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name
}

#[test]
fn a_list_that_is_deleted_moved_or_forged_is_found() {
    let base = retired();
    let base = base.path();
    found(base, &["missing"], |dir| fs::remove_file(holed(dir).1).unwrap());
    found(base, &["segment_missing"], |dir| fs::remove_file(of_gone(dir)).unwrap());
    // That of the first segment, which is gone.
    found(base, &["segment_missing", "missing"], |dir| fs::remove_file(&files(dir, ".retired")[0]).unwrap());
    // Moved to another segment, one more line taken with it.
    found(base, &["missing"], |dir| {
        let (segment, list) = holed(dir);
        fs::copy(of_gone(dir), list).unwrap();
        assert!(segment.exists());
    });
    // It says more than was announced, and the lines are gone.
    found(base, &["missing"], |dir| {
        let (segment, list) = holed(dir);
        let text = fs::read_to_string(&segment).unwrap();
        let (line, rest) = text.split_once('\n').unwrap();
        let index = trailseal_event::line::parse_front(line.as_bytes()).unwrap().index;
        fs::write(&segment, rest).unwrap();
        let more = fs::read_to_string(&list).unwrap() + &format!("{index} {}\n", index + 1);
        fs::write(&list, more).unwrap();
    });
    // A segment that nobody retired is deleted, and a list is made up for it.
    found(base, &["segment_missing"], |dir| {
        let segments = files(dir, ".jsonl");
        let (gone, next) = (&segments[segments.len() - 3], &segments[segments.len() - 2]);
        fs::write(gone.with_extension("retired"), format!("{} {}\n", first_of(gone), first_of(next)))
            .unwrap();
        fs::remove_file(gone).unwrap();
    });
    // As long as the one that was announced, and it says more.
    found(base, &["missing"], |dir| {
        let (segment, list) = holed(dir);
        let text = fs::read_to_string(&list).unwrap();
        let first = text.split(' ').next().unwrap().to_owned();
        let last = text.trim_end().rsplit(' ').next().unwrap().to_owned();
        let forged = format!("{first} {last}\n").repeat(text.lines().count());
        assert_eq!(forged.len(), text.len(), "{text:?}");
        fs::write(&list, forged).unwrap();
        let lines = fs::read_to_string(&segment).unwrap();
        fs::write(&segment, lines.split_once('\n').unwrap().1).unwrap();
    });
    // A byte of a list.
    found(base, &["missing", "segment_missing"], |dir| {
        let list = of_gone(dir);
        let mut bytes = fs::read(&list).unwrap();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs::write(&list, bytes).unwrap();
    });
}

#[test]
fn lines_beside_holes_are_as_safe_as_others() {
    let base = retired();
    let base = base.path();
    // A line that stays is taken out, and one is edited.
    found(base, &["missing"], |dir| {
        let (segment, _) = holed(dir);
        let text = fs::read_to_string(&segment).unwrap();
        fs::write(&segment, text.split_once('\n').unwrap().1).unwrap();
    });
    found(base, &["edited"], |dir| {
        let (segment, _) = holed(dir);
        let text = fs::read_to_string(&segment).unwrap();
        fs::write(&segment, text.replacen("number", "numbex", 1)).unwrap();
    });
    // The leaf hash of a retired line.
    found(base, &["root_mismatch", "missing", "tile_forged"], |dir| {
        let path = dir.join("tree/0");
        let mut bytes = fs::read(&path).unwrap();
        bytes[32 * 3] ^= 1;
        fs::write(&path, bytes).unwrap();
    });
    found(base, &["tree_missing"], |dir| fs::remove_file(dir.join("tree/0")).unwrap());
}

#[test]
fn only_a_signed_and_sealed_event_vouches() {
    let base = retired();
    // The newest checkpoint is set back to one before the event: nothing vouches for what is missing.
    let dir = copy(base.path());
    let kept = fs::read_dir(dir.path().join("checkpoints")).unwrap();
    let sizes: Vec<u64> =
        kept.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    let by = verdict(dir.path()).retired_by[0];
    let before = sizes.iter().copied().filter(|size| *size <= by).max().unwrap();
    for size in sizes.iter().filter(|size| **size > before) {
        fs::remove_file(dir.path().join(format!("checkpoints/{size}"))).unwrap();
    }
    fs::copy(dir.path().join(format!("checkpoints/{before}")), dir.path().join("checkpoint")).unwrap();
    let verdict = verdict(dir.path());
    assert!(matches!(verdict.problem, Some(Problem::Missing | Problem::SegmentMissing)), "{verdict}");
    assert_eq!(stranger(dir.path()).err(), verdict.problem.map(serde_name));
}

/// The details of an event as the trail signs them, by this key.
fn signed_details(origin: &str, key: &SigningKey, first: u64, list: &[u8]) -> Object {
    use base64::Engine as _;
    use sha2::Digest as _;
    let sha256: String = sha2::Sha256::digest(list).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut segment = Object::default();
    segment.insert("first", first);
    segment.insert("bytes", list.len() as u64);
    segment.insert("sha256", sha256);
    let mut details = Object::default();
    details.insert("segments", Value::Array(vec![Value::Object(segment)]));
    let text = details.to_string();
    let signed = format!("trailseal-retired@v1\n{origin}\n{}", text.strip_suffix('}').unwrap());
    details
        .insert("signature", base64::engine::general_purpose::STANDARD.encode(key.sign(signed.as_bytes())));
    details
}

/// Makes the details of an event: from the trail, its key, a segment and its list.
type Make = fn(&Trail, &SigningKey, u64, &[u8]) -> Object;

/// A trail whose own event of this name says that its second segment is retired; and then that segment is deleted.
fn announced_by(make: impl FnOnce(&Trail, &SigningKey, u64, &[u8]) -> Object) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let segments = files(dir.path(), ".jsonl");
    let list = format!("{} {}\n", first_of(&segments[1]), first_of(&segments[2]));
    let key = SigningKey::from_private_string(
        fs::read_to_string(dir.path().join("keys/signing.key")).unwrap().trim(),
    );
    let details = make(&trail, &key.unwrap(), first_of(&segments[1]), list.as_bytes());
    trail.record_own("retired", Event::default().details(details)).unwrap();
    trail.close(SOON).unwrap();
    fs::write(segments[1].with_extension("retired"), list).unwrap();
    fs::remove_file(&segments[1]).unwrap();
    dir
}

#[test]
fn an_event_counts_only_by_the_key_that_is_in_force() {
    // So far as the form goes, this one counts: the three others are not refused for some other reason.
    let right = announced_by(|trail, key, first, list| signed_details(trail.origin(), key, first, list));
    let verdict_of_right = verdict(right.path());
    assert!(verdict_of_right.ok && verdict_of_right.retired > 3, "{verdict_of_right}");
    assert_eq!(stranger(right.path()), Ok(verdict_of_right.retired));
    let wrong: [Make; 4] = [
        // Without a signature.
        |trail, key, first, list| {
            let mut details = signed_details(trail.origin(), key, first, list);
            details.remove("signature");
            details
        },
        // By another key.
        |trail, _, first, list| {
            let key = SigningKey::from_seed(trail.origin(), &[7; 32]);
            signed_details(trail.origin(), &key, first, list)
        },
        // Another trail's.
        |_, key, first, list| signed_details("example.com/another", key, first, list),
        // By a key that was rotated away before.
        |trail, key, first, list| {
            trail.rotate_key().unwrap();
            signed_details(trail.origin(), key, first, list)
        },
    ];
    for (number, make) in wrong.into_iter().enumerate() {
        let dir = announced_by(make);
        let verdict = verdict(dir.path());
        assert_eq!(verdict.problem, Some(Problem::SegmentMissing), "{number}: {verdict}");
        assert_eq!(stranger(dir.path()), Err("segment_missing".into()), "{number}");
    }
}

/// The keys that trail.toml names, the first one first.
fn keys_of(dir: &Path) -> Vec<VerifyingKey> {
    let text = fs::read_to_string(dir.join("trail.toml")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("public_key = "));
    lines.map(|line| VerifyingKey::parse(line.split('"').nth(1).unwrap()).unwrap()).collect()
}

fn verdict_with(dir: &Path, keys: &[VerifyingKey]) -> Verdict {
    let options = VerifyOptions { public_keys: keys.to_vec(), ..VerifyOptions::default() };
    verify(&Folder::new(dir, Arc::new(StdFiles)), &options).unwrap()
}

#[test]
fn a_key_that_only_the_folder_names_does_not_vouch_to_those_who_pinned_another() {
    let attacker = |origin: &str| SigningKey::from_seed(origin, &[7; 32]);
    let dir = announced_by(|trail, _, first, list| {
        signed_details(trail.origin(), &attacker(trail.origin()), first, list)
    });
    let manifest = dir.path().join("trail.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let pinned = keys_of(dir.path()).remove(0);
    let origin = Origin::new(pinned.name()).unwrap();
    // The attacker's key comes first, and gives way to the true one far beyond the newest checkpoint.
    let key = attacker(origin.as_str());
    let rotation = Rotation::sign(&origin, &key, &pinned, 1_000_000);
    let head = text.split("[[key]]").next().unwrap();
    let keys = format!(
        "[[key]]\npublic_key = \"{}\"\nfrom = 0\nto = 1000000\n\n[[key]]\npublic_key = \"{pinned}\"\nfrom = 1000000\n\
         vouched = \"{}\"\n",
        key.verifying_key(),
        rotation.to_signature_line().trim_end(),
    );
    fs::write(&manifest, format!("{head}{keys}")).unwrap();
    let verdict = verdict_with(dir.path(), std::slice::from_ref(&pinned));
    assert_eq!(verdict.problem, Some(Problem::SegmentMissing), "{verdict}");
    assert_eq!(stranger_with(dir.path(), &[pinned]), Err("segment_missing".into()));
}

#[test]
fn a_retirement_by_an_earlier_key_counts_if_that_one_is_pinned_too() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let retained = trail.retain(&RetentionRule::older_than_days(90), None).unwrap();
    trail.rotate_key().unwrap();
    trail.close(SOON).unwrap();
    let keys = keys_of(dir.path());
    // By an unbroken chain from the first, or with both.
    for pinned in [&keys[..1], &keys[..]] {
        let verdict = verdict_with(dir.path(), pinned);
        assert!(verdict.ok && verdict.retired == retained.events, "{verdict}");
        assert_eq!(stranger_with(dir.path(), pinned), Ok(retained.events));
    }
    let verdict = verdict_with(dir.path(), &keys[1..]);
    assert!(matches!(verdict.problem, Some(Problem::Missing | Problem::SegmentMissing)), "{verdict}");
    assert_eq!(stranger_with(dir.path(), &keys[1..]).err(), verdict.problem.map(serde_name));
}

#[test]
fn what_is_retired_while_it_is_verified_is_no_finding() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let is_first = AtomicBool::new(true);
    let same = trail.clone();
    // After the checkpoint was read, and before the lines are.
    let files = hooked(move |what, path: &Path| {
        if what == "listed" && path.ends_with("segments") && is_first.swap(false, Ordering::SeqCst) {
            assert!(same.retain(&RetentionRule::older_than_days(90), None).unwrap().events > 80);
        }
        Ok(())
    });
    let verdict = verify(&Folder::new(dir.path(), files), &VerifyOptions::default()).unwrap();
    assert!(verdict.ok && verdict.retired > 80, "{verdict}");
    trail.close(SOON).unwrap();
}

#[test]
fn lines_that_are_not_as_they_were_signed_are_not_retired() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let segment = &files(dir.path(), ".jsonl")[2];
    let text = fs::read_to_string(segment).unwrap();
    fs::write(segment, text.replacen("number", "numbex", 1)).unwrap();
    let error = trail.retain(&RetentionRule::older_than_days(90), None).unwrap_err();
    assert!(matches!(error, RetainError::NotSigned { .. }), "{error}");
    assert!(segment.exists() && !dir.path().join("retiring").exists());
    assert_eq!(files(dir.path(), ".retired").len(), 0, "nothing was announced");
    // What was done to it is still found.
    assert_eq!(verdict(dir.path()).problem, Some(Problem::Edited));
    trail.close(SOON).unwrap();
}

#[test]
fn another_key_does_not_end_what_the_old_one_has_signed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Moved::default();
    let trail = aged(dir.path(), options(&clock), &clock);
    let odd = RetentionRule { tenant: Some("odd".into()), ..RetentionRule::older_than_days(90) };
    trail.retain(&odd, None).unwrap();
    trail.rotate_key().unwrap();
    let second = trail.retain(&RetentionRule::older_than_days(90), None).unwrap();
    trail.rotate_key().unwrap();
    trail.close(SOON).unwrap();
    let trail = Trail::open(dir.path(), options(&clock)).unwrap();
    record(&trail, 110..120);
    trail.close(SOON).unwrap();
    let retired = check(dir.path()).retired;
    assert!(retired > second.events);
    assert_eq!(verdict(dir.path()).retired_by.len(), 2);
    assert_eq!(stranger(dir.path()), Ok(retired));
}
