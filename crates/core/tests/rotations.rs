//! A rotation of keys stands from its checkpoint on: a stop anywhere leaves it finished, to be finished, or not begun; and
//! the old key signs nothing more.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use support::{SOON, copy, goes_on, options, refused, sealed, verdict};
use trailseal_core::file::StdFiles;
use trailseal_core::{OpenError, Reader, RotateError, Trail};

/// The states that a stop within a rotation leaves: files as they were before and after it.
struct Rotated {
    before: tempfile::TempDir,
    after: tempfile::TempDir,
}

fn rotated() -> Rotated {
    let before = sealed(options(), 5);
    let after = copy(before.path());
    let trail = Trail::open(after.path(), options()).unwrap();
    trail.rotate_key().unwrap();
    // Nothing more is recorded after the checkpoint that carries it out.
    let rotated = copy(after.path());
    trail.close(SOON).unwrap();
    Rotated { before, after: rotated }
}

#[test]
fn a_rotation_that_stopped_anywhere_is_finished_or_has_not_begun() {
    let Rotated { before, after } = rotated();
    let note = fs::read_to_string(after.path().join("checkpoint")).unwrap();
    let old = fs::read(before.path().join("keys/signing.key")).unwrap();
    let new = fs::read(after.path().join("keys/signing.key")).unwrap();
    assert_ne!(old, new);
    assert_eq!(note.lines().filter(|line| line.starts_with('\u{2014}')).count(), 3, "{note}");
    let write = |dir: &Path, name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    let old_manifest = fs::read(before.path().join("trail.toml")).unwrap();
    let old_note = fs::read(before.path().join("checkpoint")).unwrap();

    // The checkpoint stands, trail.toml and key do not.
    let dir = copy(after.path());
    write(dir.path(), "trail.toml", &old_manifest);
    write(dir.path(), "keys/signing.key", &old);
    write(dir.path(), "keys/signing.key.next", &new);
    assert!(verdict(dir.path()).ok, "{}", verdict(dir.path()));
    goes_on(dir.path(), options());
    assert_eq!(fs::read(dir.path().join("keys/signing.key")).unwrap(), new);

    // The same without the next key: nothing can be signed.
    let dir = copy(after.path());
    write(dir.path(), "trail.toml", &old_manifest);
    write(dir.path(), "keys/signing.key", &old);
    let error = refused(dir.path(), options());
    assert!(error.to_string().contains("signing.key.next"), "{error}");
    assert!(error.to_string().contains("trailseal succeed"), "{error}");

    // The checkpoint is kept, and not yet put in place as the newest.
    let size = note.lines().nth(1).unwrap();
    let dir = copy(after.path());
    write(dir.path(), &format!("checkpoints/{size}"), note.as_bytes());
    write(dir.path(), "checkpoint", &old_note);
    write(dir.path(), "trail.toml", &old_manifest);
    write(dir.path(), "keys/signing.key", &old);
    write(dir.path(), "keys/signing.key.next", &new);
    goes_on(dir.path(), options());
    assert_eq!(fs::read(dir.path().join("keys/signing.key")).unwrap(), new);

    // trail.toml stands, the key does not.
    let dir = copy(after.path());
    write(dir.path(), "keys/signing.key", &old);
    write(dir.path(), "keys/signing.key.next", &new);
    goes_on(dir.path(), options());

    // The event is durable, and no checkpoint carries it out: the old key signs on.
    let dir = copy(after.path());
    write(dir.path(), "trail.toml", &old_manifest);
    write(dir.path(), "checkpoint", &old_note);
    write(dir.path(), "keys/signing.key", &old);
    write(dir.path(), "keys/signing.key.next", &new);
    goes_on(dir.path(), options());
    assert_eq!(fs::read(dir.path().join("keys/signing.key")).unwrap(), old);
    let trail = Trail::open(dir.path(), options()).unwrap();
    let key = trail.rotate_key().unwrap().to_string();
    trail.close(SOON).unwrap();
    assert!(String::from_utf8(new.clone()).unwrap().contains(key.split('+').next().unwrap()));
    assert!(verdict(dir.path()).ok);

    // A folder from before the rotation, with the key elsewhere already new.
    let dir = copy(before.path());
    write(dir.path(), "keys/signing.key", &new);
    let error = refused(dir.path(), options());
    assert!(error.to_string().contains("trailseal succeed"), "{error}");
}

#[test]
fn a_key_that_was_rotated_away_signs_nothing_more() {
    let Rotated { before, after } = rotated();
    // Whoever holds the old key sets trail.toml and the key back, and keeps the newest checkpoint.
    for name in ["trail.toml", "keys/signing.key"] {
        fs::copy(before.path().join(name), after.path().join(name)).unwrap();
    }
    let error = refused(after.path(), options());
    assert!(matches!(error.reason(), OpenError::Key { .. }), "{error}");
    // And signs the newest tree with it, keeping the line that retires it, or leaving it out.
    let note = fs::read_to_string(after.path().join("checkpoint")).unwrap();
    assert!(verdict(after.path()).ok, "the state of a stop within the rotation");
    let grown = note.replacen("\n\n", "\n", 1);
    fs::write(after.path().join("checkpoint"), grown).unwrap();
    assert!(!verdict(after.path()).ok);
    refused(after.path(), options());
}

#[test]
fn a_next_key_that_lies_there_is_not_the_one_that_a_rotation_uses() {
    let Rotated { before, after } = rotated();
    for planted in [before.path().join("keys/signing.key"), after.path().join("keys/signing.key")] {
        let dir = copy(after.path());
        fs::copy(planted, dir.path().join("keys/signing.key.next")).unwrap();
        let trail = Trail::open(dir.path(), options()).unwrap();
        let public = trail.rotate_key().unwrap();
        trail.close(SOON).unwrap();
        let manifest = fs::read_to_string(dir.path().join("trail.toml")).unwrap();
        assert_eq!(manifest.matches(&public.to_string()).count(), 1, "{manifest}");
        goes_on(dir.path(), options());
    }
}

#[test]
fn after_64_rotations_a_trail_is_read_on_and_rotates_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.seal_every = Duration::from_millis(1);
    let trail = Trail::open(dir.path(), options.clone()).unwrap();
    for _ in 0..64 {
        trail.rotate_key().unwrap();
    }
    let error = trail.rotate_key().unwrap_err();
    assert!(matches!(error, RotateError::TooMany { .. }), "{error}");
    assert!(error.to_string().contains("trailseal succeed"), "{error}");
    trail.close(SOON).unwrap();
    goes_on(dir.path(), options);
    let mut reader = Reader::open(dir.path(), Arc::new(StdFiles)).unwrap();
    reader.prove(trailseal_event::Index::new(1)).unwrap();
}
