//! Whose word counts: pinned checkpoints and keys, and how one key vouches for the next.

use std::fs;

use trailseal_tlog::{Checkpoint, Origin};

use super::built::{Built, ORIGIN, Plan, key};
use super::{big, expect_bad, expect_ok};
use crate::verify::{Problem, Unproven, VerifyOptions};

#[test]
fn a_rolled_back_trail_passes_only_without_a_pinned_checkpoint() {
    let newer = big().build();
    let older = Plan { lines: 650, sealed: 650, ..big() }.build();
    let verdict = older.verify();
    expect_ok(&verdict);
    assert!(verdict.cannot_rule_out.contains(&Unproven::Rollback));
    let pinned =
        || VerifyOptions { checkpoints: vec![newer.checkpoint()], threads: 1, ..VerifyOptions::default() };
    expect_bad(&older.verify_with(pinned()), Problem::Rollback, Some(650));
    let verdict = newer.verify_with(pinned());
    expect_ok(&verdict);
    assert_eq!(verdict.cannot_rule_out, [Unproven::KeyReplaced]);
    // Cut back to an older signed checkpoint: the lines after it look like unsealed ones.
    let cut_back = big().build();
    fs::copy(older.path("checkpoint"), cut_back.path("checkpoint")).unwrap();
    let verdict = cut_back.verify();
    expect_ok(&verdict);
    assert_eq!((verdict.sealed, verdict.unsealed), (650, 50));
    expect_bad(&cut_back.verify_with(pinned()), Problem::Rollback, Some(650));
}

#[test]
fn another_history_fails_beside_a_pinned_checkpoint() {
    let genuine = big().build();
    let forged = Plan { note: "forged", ..big() }.build();
    expect_ok(&forged.verify());
    let older = Plan { lines: 650, sealed: 650, ..big() }.build();
    for pinned in [genuine.checkpoint(), older.checkpoint()] {
        let options = VerifyOptions { checkpoints: vec![pinned], threads: 1, ..VerifyOptions::default() };
        expect_bad(&forged.verify_with(options), Problem::RootMismatch, None);
    }
}

#[test]
fn signing_anew_passes_only_without_anything_pinned() {
    let genuine = big().build();
    let resigned = Plan { seed: 2, note: "forged", ..big() }.build();
    let verdict = resigned.verify();
    expect_ok(&verdict);
    assert!(verdict.cannot_rule_out.contains(&Unproven::KeyReplaced));
    let keys =
        VerifyOptions { public_keys: vec![key(1).verifying_key()], threads: 1, ..VerifyOptions::default() };
    expect_bad(&resigned.verify_with(keys), Problem::KeyUnknown, None);
    let checkpoint =
        VerifyOptions { checkpoints: vec![genuine.checkpoint()], threads: 1, ..VerifyOptions::default() };
    expect_bad(&resigned.verify_with(checkpoint), Problem::KeyUnknown, None);
    let right =
        VerifyOptions { public_keys: vec![key(1).verifying_key()], threads: 1, ..VerifyOptions::default() };
    let verdict = genuine.verify_with(right);
    expect_ok(&verdict);
    assert!(verdict.key_pinned && !verdict.cannot_rule_out.contains(&Unproven::KeyReplaced));
}

fn rotation(from: u8, to: u8, size: u64) -> trailseal_tlog::Rotation {
    let origin = Origin::new(ORIGIN).unwrap();
    trailseal_tlog::Rotation::sign(&origin, &key(from), &key(to).verifying_key(), size)
}

/// The newest checkpoint as key `by` would sign it, with these rotations.
fn resigned(built: &Built, by: &[u8], rotations: &[trailseal_tlog::Rotation]) -> String {
    let note = trailseal_tlog::SignedNote::parse(&built.checkpoint()).unwrap();
    let keys: Vec<_> = by.iter().map(|seed| key(*seed)).collect();
    let note = Checkpoint::parse(note.text()).unwrap().sign_by(&keys.iter().collect::<Vec<_>>());
    rotations.iter().fold(note, |note, rotation| note + &rotation.to_signature_line())
}

/// `trail.toml` after this rotation.
fn write_manifest(built: &Built, rotation: &trailseal_tlog::Rotation) -> String {
    let text = fs::read_to_string(built.path("trail.toml")).unwrap();
    let mut manifest = crate::Manifest::parse(&text).unwrap();
    manifest.rotate(rotation);
    fs::write(built.path("trail.toml"), manifest.to_toml()).unwrap();
    manifest.to_toml()
}

fn pinning(seed: u8) -> VerifyOptions {
    VerifyOptions { public_keys: vec![key(seed).verifying_key()], threads: 1, ..VerifyOptions::default() }
}

#[test]
fn a_key_is_trusted_if_a_pinned_one_vouches_for_it() {
    let built = big().build();
    let rotation = rotation(1, 2, 600);
    fs::write(built.path("checkpoint"), resigned(&built, &[2], std::slice::from_ref(&rotation))).unwrap();
    write_manifest(&built, &rotation);
    expect_ok(&built.verify());
    let verdict = built.verify_with(pinning(1));
    expect_ok(&verdict);
    assert_eq!(verdict.public_key, Some(key(2).verifying_key().to_string()));
    // Who pins the key of today has kept checkpoints by the key before it.
    expect_ok(&built.verify_with(pinning(2)));
    expect_bad(&built.verify_with(pinning(3)), Problem::KeyUnknown, None);
}

#[test]
fn a_rotated_key_signs_nothing_larger_than_the_size_of_the_rotation() {
    for size in [600, 699, 700] {
        let built = big().build();
        let rotation = rotation(1, 2, size);
        let after = resigned(&built, &[2], std::slice::from_ref(&rotation));
        write_manifest(&built, &rotation);
        let is_last = size == 700;
        // By the old key alone: its last size is that of the rotation.
        let verdict = built.verify();
        assert_eq!(
            verdict.problem,
            Some(if is_last { Problem::RotationInvalid } else { Problem::KeyUnknown })
        );
        // Set back, `trail.toml` does not tell; a checkpoint that was kept does.
        let manifest = crate::Manifest::new(
            Origin::new(ORIGIN).unwrap(),
            trailseal_event::Timestamp::from_micros(0),
            key(1).verifying_key(),
        );
        fs::write(built.path("trail.toml"), manifest.to_toml()).unwrap();
        expect_ok(&built.verify_with(pinning(1)));
        let mut kept = pinning(1);
        kept.checkpoints = vec![after];
        let verdict = built.verify_with(kept);
        assert_eq!(verdict.problem, (!is_last).then_some(Problem::KeyUnknown), "{verdict}");
    }
}

#[test]
fn trail_toml_tells_of_the_rotations_that_were_signed_and_of_no_others() {
    let signed = rotation(1, 2, 600);
    let plan = || {
        let built = big().build();
        fs::write(built.path("checkpoint"), resigned(&built, &[2], std::slice::from_ref(&signed))).unwrap();
        built
    };
    let expect = |built: &Built, problem| {
        for options in [VerifyOptions::default(), pinning(1), pinning(2)] {
            let verdict = built.verify_with(options);
            assert_eq!(verdict.problem, Some(problem), "{verdict}");
        }
    };
    // A forged, a missing and an exchanged voucher, other sizes, and one that no checkpoint carries.
    for (from, to) in [
        ("vouched = \"\u{2014} example.com/test ", "vouched = \"\u{2014} example.com/test AAAA"),
        ("from = 600", "from = 601"),
        ("to = 600", "to = 599"),
    ] {
        let built = plan();
        let text = write_manifest(&built, &signed);
        assert!(text.contains(from), "{text}");
        fs::write(built.path("trail.toml"), text.replacen(from, to, 1)).unwrap();
        expect(&built, Problem::RotationInvalid);
    }
    let built = plan();
    let text = write_manifest(&built, &signed);
    let line = text.lines().find(|line| line.starts_with("vouched")).unwrap();
    fs::write(built.path("trail.toml"), text.replacen(line, "", 1)).unwrap();
    expect(&built, Problem::RotationInvalid);

    let built = plan();
    write_manifest(&built, &rotation(1, 2, 650));
    expect(&built, Problem::RotationInvalid);

    let built = big().build();
    write_manifest(&built, &rotation(1, 2, 500));
    fs::write(built.path("checkpoint"), resigned(&built, &[2], &[])).unwrap();
    expect(&built, Problem::RotationInvalid);

    // A key that stands in front of the real one, and is vouched for by nobody.
    let built = big().build();
    let text = fs::read_to_string(built.path("trail.toml")).unwrap();
    let own = format!("[[key]]\npublic_key = \"{}\"\nfrom = 0\n\n", key(9).verifying_key());
    fs::write(built.path("trail.toml"), text.replacen("[[key]]", &format!("{own}[[key]]"), 1)).unwrap();
    let verdict = built.verify();
    assert!(!verdict.ok, "{verdict}");
    expect_bad(&built.verify_with(pinning(1)), Problem::RotationInvalid, None);
}
