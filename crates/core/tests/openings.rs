//! What an opening trusts: honest states go on, and nothing is signed that it cannot vouch for.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use support::{SOON, copy, goes_on, options, refused, reopen, rolling, sealed, segments, verdict};
use trailseal_core::file::StdFiles;
use trailseal_core::verify::Problem;
use trailseal_core::{Anchor, Folder, Notice, OpenError, Options, Trail, Witness};

#[test]
fn every_step_of_a_making_goes_on_and_only_those() {
    let whole = tempfile::tempdir().unwrap();
    Trail::open(whole.path(), options()).unwrap().close(SOON).unwrap();
    let key = fs::read(whole.path().join("keys/signing.key")).unwrap();
    // The checkpoint of size 0, as a making signs it.
    let first = {
        let seed =
            trailseal_tlog::SigningKey::from_private_string(std::str::from_utf8(&key).unwrap()).unwrap();
        let origin = trailseal_tlog::Origin::new("example.com/openings").unwrap();
        trailseal_tlog::Checkpoint::new(origin, 0, trailseal_tlog::empty_root()).sign(&seed)
    };
    let steps: [(&str, &[u8]); 4] = [
        ("tree/0", b""),
        ("keys/signing.key", &key),
        ("keys/signing.key.origin", b"example.com/openings\nmaking\n"),
        ("checkpoint", first.as_bytes()),
    ];
    for done in 0..=steps.len() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["segments", "keys", "checkpoints", "tree"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        for (name, bytes) in &steps[..done] {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        goes_on(dir.path(), options());
        let text = fs::read_to_string(dir.path().join("keys/signing.key.origin")).unwrap();
        assert_eq!(text, "example.com/openings\n");
        // With the manifest written, and the note beside the key not yet.
        fs::write(dir.path().join("keys/signing.key.origin"), "example.com/openings\nmaking\n").unwrap();
        goes_on(dir.path(), options());
    }
}

#[test]
fn no_trail_is_made_over_what_another_one_left() {
    let whole = sealed(options(), 3);
    let names = ["segments", "checkpoint", "tree/0", "handoff"];
    for kept in names {
        let dir = copy(whole.path());
        for name in names.iter().filter(|name| **name != kept).chain([&"trail.toml"]) {
            let path = dir.path().join(name);
            let _ = fs::remove_file(&path);
            let _ = fs::remove_dir_all(&path);
        }
        fs::remove_file(dir.path().join("keys/signing.key.origin")).unwrap();
        let error = refused(dir.path(), options());
        assert!(error.to_string().contains("trail.toml is missing"), "{kept}: {error}");
    }
    // Only the key is left, and it has signed.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("keys")).unwrap();
    for name in ["signing.key", "signing.key.origin"] {
        fs::copy(whole.path().join("keys").join(name), dir.path().join("keys").join(name)).unwrap();
    }
    let error = refused(dir.path(), options());
    assert!(error.to_string().contains("has signed for the trail example.com/openings"), "{error}");
}

#[test]
fn an_index_that_is_left_is_a_trail_that_lost_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("index")).unwrap();
    fs::write(dir.path().join("index/main.db"), "an index").unwrap();
    let error = refused(dir.path(), options());
    assert!(error.to_string().contains("index of a trail"), "{error}");
}

#[test]
fn a_key_outside_of_the_folder_is_used_for_one_trail_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.key_file = Some(dir.path().join("the.key"));
    goes_on(&dir.path().join("first"), options.clone());
    // What a volume that is mounted late looks like.
    fs::create_dir(dir.path().join("mount")).unwrap();
    let error = refused(&dir.path().join("mount"), options.clone());
    assert!(error.to_string().contains("has signed for the trail example.com/openings"), "{error}");
    goes_on(&dir.path().join("first"), options);
}

#[test]
fn no_trail_is_made_over_slots() {
    let dir = tempfile::tempdir().unwrap();
    let slot = Trail::open_slot(dir.path(), options()).unwrap();
    slot.record(&trailseal_event::Event::new("kept")).unwrap();
    // Beside the one that writes, and when it is closed.
    for _ in 0..2 {
        assert!(matches!(refused(dir.path(), options()), OpenError::HoldsSlots { .. }));
        slot.close(SOON).unwrap();
    }
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["0"], "nothing was made");
    Trail::open_slot(dir.path(), options()).unwrap().close(SOON).unwrap();
}

#[test]
fn without_leave_to_make_a_trail_an_empty_folder_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.create = false;
    let missing = dir.path().join("missing");
    assert!(matches!(refused(&missing, options.clone()), OpenError::NotMade { .. }));
    assert!(!missing.exists());
    assert!(matches!(refused(dir.path(), options.clone()), OpenError::NotMade { .. }));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let there = sealed(self::options(), 1);
    goes_on(there.path(), options);
}

#[test]
fn a_tree_signed_by_a_key_that_is_not_held_is_not_signed_on() {
    let dir = sealed(options(), 5);
    let own = trailseal_tlog::SigningKey::from_seed("example.com/openings", &[9; 32]);
    let note = fs::read_to_string(dir.path().join("checkpoint")).unwrap();
    let text = trailseal_tlog::SignedNote::parse(&note).unwrap().text().to_owned();
    fs::write(dir.path().join("checkpoint"), trailseal_tlog::sign_note(&text, &own)).unwrap();
    let error = refused(dir.path(), options());
    assert!(matches!(error.reason(), OpenError::Damaged { .. }), "{error}");
    // An own key in front of the real one does not help.
    let manifest = fs::read_to_string(dir.path().join("trail.toml")).unwrap();
    let key = format!("[[key]]\npublic_key = \"{}\"\nfrom = 0\n\n[[key]]", own.verifying_key());
    fs::write(dir.path().join("trail.toml"), manifest.replacen("[[key]]", &key, 1)).unwrap();
    let error = refused(dir.path(), options());
    assert!(error.to_string().contains("does not vouch"), "{error}");
}

#[test]
fn lines_that_anything_says_were_durable_must_be_there() {
    let whole = sealed(rolling(), 30);
    let all = segments(whole.path());
    assert!(all.len() > 4);
    let expect = |dir: &Path, options: Options, witness: &str| {
        let error = refused(dir, options);
        match error.reason() {
            OpenError::Missing { witness: told, .. } => assert!(told.contains(witness), "{error}"),
            other => panic!("{other}"),
        }
        assert!(error.to_string().contains("trailseal succeed"), "{error}");
    };
    let without = |gone: &[&PathBuf], and: &dyn Fn(&Path)| {
        let dir = copy(whole.path());
        for path in gone {
            fs::remove_file(dir.path().join(path.strip_prefix(whole.path()).unwrap())).unwrap();
        }
        and(dir.path());
        dir
    };
    let every: Vec<&PathBuf> = all.iter().collect();
    let nothing = |_: &Path| {};
    let no_handoff = |dir: &Path| fs::remove_file(dir.join("handoff")).unwrap();
    expect(without(&every, &no_handoff).path(), rolling(), "newest checkpoint");
    expect(without(&every[all.len() - 1..], &no_handoff).path(), rolling(), "newest checkpoint");
    expect(without(&every[..1], &nothing).path(), rolling(), "the name of");
    expect(without(&every[2..3], &nothing).path(), rolling(), "the name of");
    // The last lines, where only an index or the handoff tells.
    let set_back = |dir: &Path| {
        let last = segments(dir).pop().unwrap();
        let text = fs::read_to_string(&last).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        fs::write(&last, lines[..lines.len() - 1].concat()).unwrap();
        fs::copy(dir.join(format!("checkpoints/{}", first_of(&last))), dir.join("checkpoint")).unwrap();
    };
    expect(without(&[], &set_back).path(), rolling(), "the durable mark in");
    let dir = without(&[], &|dir| {
        set_back(dir);
        no_handoff(dir);
    });
    let mut options = rolling();
    options.witnesses = Some(Arc::new(|_: &Folder| vec![Witness { name: "the index".into(), events: 33 }]));
    let error = refused(dir.path(), options.clone());
    assert!(error.to_string().contains("the index says that there were 33"), "{error}");
    options.witnesses = Some(Arc::new(|_: &Folder| vec![Witness { name: "the index".into(), events: 30 }]));
    goes_on(dir.path(), options);
}

#[test]
fn a_closed_segment_that_no_checkpoint_covers_must_be_whole() {
    let whole = sealed(rolling(), 20);
    let all = segments(whole.path());
    let dir = copy(whole.path());
    // As after hours without a seal.
    let first = fs::read_to_string(whole.path().join(format!("checkpoints/{}", first_of(&all[1])))).unwrap();
    fs::write(dir.path().join("checkpoint"), first).unwrap();
    fs::remove_dir_all(dir.path().join("checkpoints")).unwrap();
    fs::remove_file(dir.path().join("handoff")).unwrap();
    goes_on(copy(dir.path()).path(), rolling());
    let cut = segments(dir.path())[2].clone();
    let text = fs::read_to_string(&cut).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(&cut, lines[..lines.len() - 1].concat()).unwrap();
    let error = refused(dir.path(), rolling());
    match error.reason() {
        OpenError::Missing { from, to, .. } => {
            assert_eq!((*from + 1, *to), (first_of(&all[3]), first_of(&all[3])), "{error}");
        }
        other => panic!("{other}"),
    }
}

fn first_of(segment: &Path) -> u64 {
    segment.file_name().unwrap().to_str().unwrap()[..20].parse().unwrap()
}

#[test]
fn a_damaged_line_below_the_durable_mark_is_not_set_aside() {
    let dir = sealed(options(), 10);
    // As after a kill: what was durable was not yet sealed, and the mark of the handoff knows of it.
    fs::remove_dir_all(dir.path().join("checkpoints")).unwrap();
    let text = fs::read_to_string(dir.path().join("keys/signing.key")).unwrap();
    let key = trailseal_tlog::SigningKey::from_private_string(text.trim()).unwrap();
    let origin = trailseal_tlog::Origin::new("example.com/openings").unwrap();
    let first = trailseal_tlog::Checkpoint::new(origin, 0, trailseal_tlog::empty_root()).sign(&key);
    fs::write(dir.path().join("checkpoint"), first).unwrap();
    let whole = copy(dir.path());
    goes_on(whole.path(), options());
    let segment = &segments(dir.path())[0];
    let mut bytes = fs::read(segment).unwrap();
    let at = bytes.len() / 2;
    bytes[at] = 0;
    fs::write(segment, bytes).unwrap();
    let error = refused(dir.path(), options());
    assert!(matches!(error.reason(), OpenError::Missing { to: 12, .. }), "{error}");
    assert_eq!(verdict(dir.path()).problem, Some(Problem::DurableMissing));
}

#[test]
fn a_checkpoint_that_lags_far_behind_says_nothing() {
    let dir = sealed(rolling(), 40);
    let mut sizes: Vec<u64> = fs::read_dir(dir.path().join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    sizes.sort_unstable();
    // Sealing failed for hours, and nothing after the first checkpoint was ever signed.
    for size in &sizes[1..] {
        fs::remove_file(dir.path().join(format!("checkpoints/{size}"))).unwrap();
    }
    fs::copy(dir.path().join(format!("checkpoints/{}", sizes[0])), dir.path().join("checkpoint")).unwrap();
    goes_on(dir.path(), rolling());
}

#[test]
fn the_newest_checkpoint_is_the_largest_that_the_held_key_has_signed() {
    let whole = sealed(rolling(), 40);
    let newest = fs::read_to_string(whole.path().join("checkpoint")).unwrap();
    let size: u64 = newest.lines().nth(1).unwrap().parse().unwrap();
    // Kept and not yet put in place; the one in place is some rounds older.
    let dir = copy(whole.path());
    fs::write(dir.path().join(format!("checkpoints/{size}")), &newest).unwrap();
    let older = fs::read_dir(dir.path().join("checkpoints")).unwrap().next().unwrap().unwrap().path();
    fs::copy(older, dir.path().join("checkpoint")).unwrap();
    goes_on(dir.path(), rolling());
    // Somebody set the trail back, and edited what was signed after: the kept one tells.
    let dir = copy(whole.path());
    fs::write(dir.path().join(format!("checkpoints/{size}")), &newest).unwrap();
    let older = fs::read_dir(dir.path().join("checkpoints")).unwrap().next().unwrap().unwrap().path();
    fs::copy(older, dir.path().join("checkpoint")).unwrap();
    let last = segments(dir.path()).pop().unwrap();
    let text = fs::read_to_string(&last).unwrap();
    fs::write(&last, text.replacen("number 39", "number 93", 1)).unwrap();
    let error = refused(dir.path(), rolling());
    assert!(matches!(error.reason(), OpenError::Tampered { .. }), "{error}");
}

#[test]
fn an_anchor_knows_a_later_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = rolling();
    options.anchors = vec![Anchor::File(dir.path().join("anchor"))];
    let folder = dir.path().join("trail");
    for _ in 0..3 {
        goes_on(&folder, options.clone());
    }
    let older = copy(&folder);
    goes_on(&folder, options.clone());
    // The folder, handoff and all, as it was before: only the anchor tells.
    let error = refused(older.path(), options.clone());
    assert!(matches!(error.reason(), OpenError::RolledBack { .. }), "{error}");
    options.anchors.clear();
    goes_on(older.path(), options);
}

#[test]
fn what_is_sealed_is_the_line_in_its_place_whatever_stands_before_it() {
    let dir = sealed(options(), 600);
    let segment = &segments(dir.path())[0];
    let whole = fs::read(segment).unwrap();
    let lines = whole.split_inclusive(|byte| *byte == b'\n').count();
    // Of the same length, and with as many line ends as there were lines: only the last lines are as they were.
    let changed: usize = whole.split_inclusive(|byte| *byte == b'\n').take(500).map(<[u8]>::len).sum();
    let forged =
        [&b"\n".repeat(lines), &*b"x".repeat(changed - lines - 1), b"\n", &whole[changed..]].concat();
    fs::write(segment, &forged).unwrap();
    let opened = reopen(dir.path(), options());
    let now = fs::read(segment).unwrap();
    assert_eq!(now[..changed], forged[..changed]);
    fs::write(segment, [&whole[..changed], &now[changed..]].concat()).unwrap();
    let verdict = verdict(dir.path());
    assert!(verdict.ok, "{opened:?}: {verdict}");
    goes_on(dir.path(), options());
}

#[test]
fn a_last_segment_that_was_compressed_is_a_closed_one() {
    let dir = sealed(options(), 20);
    let folder = Folder::new(dir.path(), Arc::new(StdFiles));
    let last = folder.segments().unwrap().pop().unwrap();
    // Its successor was given up before a line of it was on disk.
    let closed = trailseal_core::SegmentFile { end: Some(trailseal_event::Index::new(22)), ..last };
    trailseal_core::segment::compress(folder.files(), &closed).unwrap();
    goes_on(dir.path(), options());
    assert_eq!(segments(dir.path()).len(), 2);
}

#[test]
fn a_making_that_stopped_before_the_first_line_can_still_take_over() {
    let dir = sealed(options(), 0);
    let fresh = tempfile::tempdir().unwrap();
    // As a stop between trail.toml and the first line leaves it.
    for name in ["trail.toml", "keys/signing.key", "keys/signing.key.origin", "tree/0"] {
        fs::create_dir_all(fresh.path().join(name).parent().unwrap()).unwrap();
        fs::copy(dir.path().join(name), fresh.path().join(name)).unwrap();
    }
    fs::write(fresh.path().join("tree/0"), "").unwrap();
    let text = fs::read_to_string(dir.path().join("keys/signing.key")).unwrap();
    let key = trailseal_tlog::SigningKey::from_private_string(text.trim()).unwrap();
    let origin = trailseal_tlog::Origin::new("example.com/openings").unwrap();
    let first = trailseal_tlog::Checkpoint::new(origin, 0, trailseal_tlog::empty_root()).sign(&key);
    fs::write(fresh.path().join("checkpoint"), first).unwrap();
    fs::create_dir(fresh.path().join("segments")).unwrap();
    let mut options = options();
    let (origin, reason) = ("example.com/old".to_owned(), "it was edited".to_owned());
    options.succeeds = Some(trailseal_core::Succeeded { origin, good: None, reason });
    goes_on(fresh.path(), options.clone());
    let text = fs::read_to_string(&segments(fresh.path())[0]).unwrap();
    assert!(text.lines().next().unwrap().contains("\"trail.succeeded\""), "{text}");
    let error = reopen(fresh.path(), options).unwrap_err();
    assert!(error.to_string().contains("already holds a trail"), "{error}");
}

#[test]
fn a_line_after_the_close_was_recorded_by_nobody() {
    let dir = sealed(options(), 3);
    let segment = &segments(dir.path())[0];
    let text = fs::read_to_string(segment).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.contains("trail.closed"), "{last}");
    let forged = text.lines().nth(2).unwrap().replacen("\"index\":2,", "\"index\":5,", 1);
    let forged = forged.replacen(&text.lines().nth(2).unwrap()[26..60], &last[26..60], 1);
    fs::write(segment, format!("{text}{forged}\n")).unwrap();
    let error = refused(dir.path(), options());
    assert!(matches!(error.reason(), OpenError::NotRecorded { .. }), "{error}");
    let verdict = verdict(dir.path());
    assert_eq!((verdict.problem, verdict.first_bad), (Some(Problem::Inserted), Some(5)), "{verdict}");
}

#[test]
fn what_is_read_last_refuses_before_anything_is_written() {
    for (name, says) in [
        ("policy.toml", "remove it to return to the settings, or fix it"),
        ("keys/mask", "hex digits: put the right key there, or remove it"),
        ("keys/sampling", "hex digits: remove it to have another one made"),
    ] {
        let dir = sealed(options(), 3);
        fs::write(dir.path().join(name), "mode = \"fast\"").unwrap();
        let said = refused(dir.path(), options()).to_string();
        // Nothing is wrong with the lines, so no new trail is needed.
        assert!(said.contains(name) && said.contains(says), "{said}");
        assert!(
            !said.contains("signing key") && !said.contains("succeed") && !said.contains("damaged"),
            "{said}"
        );
        fs::remove_file(dir.path().join(name)).unwrap();
        goes_on(dir.path(), options());
    }
}

fn noticing(options: &mut Options) -> Arc<Mutex<Vec<String>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    options.on_notice =
        Some(Arc::new(move |notice: &Notice| telling.lock().unwrap().push(notice.to_string())));
    told
}

fn last_opened(dir: &Path) -> serde_json::Value {
    let text = fs::read_to_string(&segments(dir)[0]).unwrap();
    let line = text.lines().rfind(|line| line.contains("\"trail.opened\"")).unwrap();
    serde_json::from_str::<serde_json::Value>(line).unwrap()["details"].clone()
}

#[test]
fn an_opening_says_what_differs_from_the_last_one() {
    let dir = sealed(options(), 1);
    goes_on(dir.path(), options());
    let details = last_opened(dir.path());
    assert!(details.get("differs").is_none() && details.get("last_opening").is_none(), "{details}");
    assert!(details["policy"].as_str().unwrap().starts_with("sha256:"), "{details}");
    // A policy that appeared while nothing ran.
    fs::write(dir.path().join("policy.toml"), "mode = \"off\"\n").unwrap();
    let mut loud = options();
    let told = noticing(&mut loud);
    Trail::open(dir.path(), loud).unwrap().close(SOON).unwrap();
    assert_eq!(last_opened(dir.path())["differs"], serde_json::json!(["policy"]));
    assert!(told.lock().unwrap().iter().any(|told| told.contains("policy")), "{told:?}");
    // One that was set while it ran is known.
    let trail = Trail::open(dir.path(), options()).unwrap();
    trail.set_policy(trailseal_event::policy::Policy::default()).unwrap();
    trail.close(SOON).unwrap();
    goes_on(dir.path(), options());
    assert!(last_opened(dir.path()).get("differs").is_none());
    // A copy lies elsewhere.
    let copied = copy(dir.path());
    goes_on(copied.path(), options());
    assert_eq!(last_opened(copied.path())["differs"], serde_json::json!(["folder"]));
    // After a proper close the lines tell, without the file that only points to them.
    fs::remove_file(dir.path().join("opened")).unwrap();
    goes_on(dir.path(), options());
    let details = last_opened(dir.path());
    assert!(details.get("differs").is_none() && details.get("last_opening").is_none(), "{details}");
}

#[test]
fn what_a_stop_tore_is_set_aside_and_told() {
    let dir = sealed(options(), 1);
    let segment = &segments(dir.path())[0];
    let text = fs::read_to_string(segment).unwrap();
    let torn = "{\"v\":1,\"index\":3,\"recor";
    fs::write(segment, format!("{text}{torn}")).unwrap();
    let mut loud = options();
    let told = noticing(&mut loud);
    Trail::open(dir.path(), loud).unwrap().close(SOON).unwrap();
    assert!(told.lock().unwrap().iter().any(|told| told.starts_with("23 bytes after")), "{told:?}");
    assert_eq!(last_opened(dir.path())["cut_bytes"], 23);
    let aside = dir.path().join("segments/00000000000000000000.cut-0");
    assert_eq!(fs::read_to_string(aside).unwrap(), torn);
}

#[test]
fn a_line_far_in_the_future_is_told() {
    let dir = sealed(options(), 1);
    let segment = &segments(dir.path())[0];
    let text = fs::read_to_string(segment).unwrap();
    let index = text.lines().count();
    let line = format!(
        "{{\"v\":1,\"index\":{index},\"recorded\":\"9999-01-01T00:00:00.000000Z\",\"system\":true,\"action\":\"trail.opened\"}}\n"
    );
    fs::write(segment, text + &line).unwrap();
    let mut loud = options();
    let told = noticing(&mut loud);
    Trail::open(dir.path(), loud).unwrap().close(SOON).unwrap();
    assert!(told.lock().unwrap().iter().any(|told| told.contains("the clock is or was wrong")), "{told:?}");
    assert!(last_opened(dir.path())["recorded_ahead_seconds"].as_i64().unwrap() > 1_000_000);
}
