//! A change of keys that stopped at any step is finished, or refused with what is missing; and what `trail.toml` says
//! of it is believed only as far as the old key's signature goes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use trailseal_attacks::{Checkpoint, Folder, Key, Kind, Place, copy_all, rotation_line, snapshot};

/// A trail just before a rotation, the same one just after it, and what the rotation was.
struct Change {
    before: Place,
    after: Place,
    old: Key,
    new: Key,
    /// The size that the rotation names.
    size: u64,
    line: String,
}

fn change() -> Change {
    let before = Place::new(Kind::One).with("TRAILSEAL_SEGMENT__ROLL", "1KiB");
    before.session("first", 10);
    before.session("second", 10);
    let old = before.trail().key();
    let after = before.copy();
    after.run(&["key", "rotate"]).ok();
    let newest = after.trail().checkpoint().unwrap();
    let (sizes, lines) = (newest.rotation_sizes(), newest.rotation_lines());
    assert_eq!(sizes.len(), 1, "the checkpoint carries the rotation with its size: {newest:?}");
    Change { old, new: after.trail().key(), size: sizes[0], line: lines[0].clone(), before, after }
}

impl Change {
    /// The trail before the rotation with the first `lines` lines of the one after it.
    fn with_lines(&self, lines: u64) -> Place {
        let place = self.before.copy();
        let trail = place.trail();
        trail.remove("segments");
        trail.remove("index");
        copy_all(&self.after.trail().path("segments"), &trail.path("segments"));
        trail.cut_lines(lines);
        place
    }

    fn next_key(&self, trail: &Folder) {
        trail.write("keys/signing.key.next", self.new.to_file_text());
    }

    /// With the checkpoint that carries the rotation, and nothing after it.
    fn carried(&self) -> Place {
        let place = self.with_lines(self.size);
        let trail = place.trail();
        trail.write_tree(self.size);
        trail.write(
            "checkpoint",
            trail.note_of_lines(self.size, &[&self.old, &self.new], std::slice::from_ref(&self.line)),
        );
        self.next_key(&trail);
        place
    }

    /// It opens with this key in force, and every pin holds that must.
    #[track_caller]
    fn opens_with(&self, place: &Place, key: &Key, what: &str) {
        let answer = place.record(&["more"]);
        assert_eq!(answer.code, Some(0), "{what}: {answer:#?}");
        place.session("once.more", 2);
        let trail = place.trail();
        assert_eq!(trail.key().public(), key.public(), "{what}: the key file");
        for pinned in [&self.old, key] {
            let verdict = place.verify(&pinned.public(), None);
            assert_eq!(verdict.code, Some(0), "{what}: {verdict:#?}");
        }
        let listed = trail.read("trail.toml").matches("[[key]]").count();
        let is_changed = key.public() != self.old.public();
        assert_eq!(listed, if is_changed { 2 } else { 1 }, "{what}: the keys in trail.toml");
        let newest = trail.checkpoint().unwrap();
        let expected = if is_changed { vec![self.size] } else { vec![] };
        assert_eq!(newest.rotation_sizes(), expected, "{what}: the rotations in the checkpoint");
        if is_changed {
            assert!(!trail.path("keys/signing.key.next").exists(), "{what}: the next key is in its place");
        }
    }

    #[track_caller]
    fn refused(place: &Place, what: &str) -> String {
        let before = snapshot(&place.trail().0);
        let answer = place.record(&["more"]);
        assert_eq!(answer.code, Some(2), "{what}: {answer:#?}");
        assert!(before == snapshot(&place.trail().0), "{what}: changed by a refused opening");
        answer.err
    }
}

#[test]
fn the_first_checkpoint_over_the_rotation_carries_both_signatures_and_its_line() {
    let change = change();
    let trail = change.after.trail();
    let rotated = trail.position_of("trail.key_rotated").unwrap();
    assert!(change.size > rotated, "{} covers line {rotated}", change.size);
    assert_eq!(change.line, rotation_line(&change.old, &change.new, change.size, &change.old));
    let toml = trail.read("trail.toml");
    for wanted in
        [format!("to = {}", change.size), format!("from = {}", change.size), change.line.trim().into()]
    {
        assert!(toml.contains(&wanted), "{wanted:?} is not in {toml}");
    }
    let carried = trail.path(&format!("checkpoints/{}", change.size));
    if let Ok(note) = std::fs::read_to_string(carried) {
        let expected = trail.note_of_lines(change.size, &[&change.old, &change.new], &[change.line]);
        let sorted = |note: &str| {
            let mut lines = Checkpoint::parse(note).unwrap().signatures;
            lines.sort();
            lines
        };
        assert_eq!(sorted(&note), sorted(&expected));
    }
}

#[test]
fn a_saved_next_key_changes_nothing() {
    let change = change();
    let place = change.before.copy();
    change.next_key(&place.trail());
    change.opens_with(&place, &change.old, "only the next key was saved");
}

#[test]
fn a_rotation_that_no_checkpoint_carries_out_is_no_rotation() {
    let change = change();
    let rotated = change.after.trail().position_of("trail.key_rotated").unwrap();
    let place = change.with_lines(rotated + 1);
    change.next_key(&place.trail());
    change.opens_with(&place, &change.old, "the event was durable, its checkpoint not there");
    // The old key signed over it without carrying it out, as a sealer does that was asked for nothing.
    let place = change.with_lines(rotated + 1);
    place.trail().write_tree(rotated + 1);
    place.trail().write("checkpoint", place.trail().note_of_lines(rotated + 1, &[&change.old], &[]));
    change.next_key(&place.trail());
    change.opens_with(&place, &change.old, "signed over and not carried out");
}

#[test]
fn a_rotation_that_a_checkpoint_carries_is_finished_before_anything_is_signed() {
    let change = change();
    change.opens_with(&change.carried(), &change.new, "the checkpoint carries it, trail.toml does not");
    let kept_alone = change.carried();
    let trail = kept_alone.trail();
    std::fs::rename(trail.path("checkpoint"), trail.path(&format!("checkpoints/{}", change.size))).unwrap();
    trail.write("checkpoint", change.before.trail().read("checkpoint"));
    change.opens_with(&kept_alone, &change.new, "only the kept checkpoint carries it");
    let with_more_lines = change.with_lines(change.after.trail().lines().len() as u64);
    let carried = change.carried();
    for name in ["checkpoint", "keys/signing.key.next", "tree/0"] {
        with_more_lines.trail().write(name, std::fs::read(carried.trail().path(name)).unwrap());
    }
    change.opens_with(&with_more_lines, &change.new, "lines above it");
    let listed = change.carried();
    listed.trail().write("trail.toml", change.after.trail().read("trail.toml"));
    change.opens_with(&listed, &change.new, "trail.toml names the new key, the key file is the old one");
    let done = change.carried();
    done.trail().write("trail.toml", change.after.trail().read("trail.toml"));
    std::fs::rename(done.trail().path("keys/signing.key.next"), done.trail().path("keys/signing.key"))
        .unwrap();
    change.opens_with(&done, &change.new, "all but what comes after");
}

#[test]
fn a_rotation_whose_next_key_is_gone_is_refused_by_its_name() {
    let change = change();
    for listed in [false, true] {
        let place = change.carried();
        place.trail().remove("keys/signing.key.next");
        if listed {
            place.trail().write("trail.toml", change.after.trail().read("trail.toml"));
        }
        let said = Change::refused(&place, "the next key is gone");
        assert!(said.contains("signing.key"), "{said}");
    }
    let place = change.carried();
    place.trail().write("keys/signing.key.next", Key::of_seed(&place.origin(), 9).to_file_text());
    Change::refused(&place, "the next key is another one");
}

#[test]
fn a_folder_from_before_a_rotation_with_the_key_from_after_it_is_refused() {
    let change = change();
    let place = change.before.copy();
    place.trail().write("keys/signing.key", change.new.to_file_text());
    let said = Change::refused(&place, "the key elsewhere is already the new one");
    assert!(said.contains("trailseal succeed"), "{said}");
}

#[test]
fn a_forged_rotation_is_not_finished() {
    let change = change();
    let (origin, size) = (change.before.origin(), change.size);
    let own = Key::of_seed(&origin, 9);
    // An attacker puts his own key as the next one, and the rotation as he can sign it.
    let lines = [
        rotation_line(&change.old, &own, size, &own),
        rotation_line(&change.old, &own, size, &change.new),
        rotation_line(&own, &change.new, size, &own),
    ];
    for line in lines {
        for signers in [vec![&own], vec![&own, &own]] {
            let place = change.carried();
            let trail = place.trail();
            trail.write("keys/signing.key.next", own.to_file_text());
            trail.write("checkpoint", trail.note_of_lines(size, &signers, std::slice::from_ref(&line)));
            place.record(&["more"]).not_clean();
            place.verify(&change.old.public(), None).not_clean();
            assert_ne!(trail.key().public(), own.public());
        }
    }
    // A genuine line at another size than the checkpoint's.
    let place = change.carried();
    let trail = place.trail();
    let line = rotation_line(&change.old, &change.new, size + 5, &change.old);
    trail.write("checkpoint", trail.note_of_lines(size, &[&change.old, &change.new], &[line]));
    place.record(&["more"]);
    place.verify(&change.old.public(), None).not_clean();
}

#[test]
fn what_trail_toml_says_of_a_rotation_must_be_what_was_signed() {
    let change = change();
    change.after.session("after", 5);
    let text = change.after.trail().read("trail.toml");
    let vouched: String = text.lines().filter(|line| line.starts_with("vouched")).collect();
    let (size, own) = (change.size, Key::of_seed(&change.before.origin(), 9));
    let forged = rotation_line(&change.old, &change.new, size, &own);
    let other_size = rotation_line(&change.old, &change.new, size - 1, &change.old);
    let line = |voucher: &str| format!("vouched = \"{}\"", voucher.trim());
    for (what, changed) in [
        ("no voucher", text.replace(&format!("{vouched}\n"), "")),
        ("a forged voucher", text.replace(&vouched, &line(&forged))),
        ("a voucher of another size", text.replace(&vouched, &line(&other_size))),
        ("another end of the old key", text.replace(&format!("to = {size}"), &format!("to = {}", size + 2))),
        (
            "another begin of the new key",
            text.replace(&format!("from = {size}"), &format!("from = {}", size - 2)),
        ),
        ("no end of the old key", text.replace(&format!("to = {size}\n"), "")),
    ] {
        assert_ne!(changed, text, "{what}");
        let place = change.after.copy();
        place.trail().write("trail.toml", changed);
        println!("{what}");
        place.verify(&change.old.public(), None).finds(&["rotation_invalid", "manifest_invalid"]);
        place.verify(&change.new.public(), None).finds(&["rotation_invalid", "manifest_invalid"]);
        let recorded = place.record(&["more"]);
        if recorded.code == Some(0) {
            place.verify(&change.old.public(), None).finds(&["rotation_invalid", "manifest_invalid"]);
        }
    }
}

#[test]
fn each_key_counts_for_its_own_sizes_alone() {
    let change = change();
    change.after.session("after", 5);
    let base = &change.after;
    let last = base.trail().checkpoint().unwrap();
    let (before, after) = (change.size - 1, change.size + 1);
    // A genuine root signed by the key that was not in force then.
    for (size, key, name) in [(before, &change.new, "new"), (after, &change.old, "old")] {
        let place = base.copy();
        let note = place.trail().note_of_lines(size, &[key], &last.rotation_lines());
        place.trail().write(&format!("checkpoints/{size}"), &note);
        place.verify(&change.old.public(), None).not_clean();
        std::fs::write(place.path("given"), &note).unwrap();
        place.trail().remove(&format!("checkpoints/{size}"));
        println!("{name} key at {size}");
        place.verify(&change.old.public(), Some(&place.path("given"))).not_clean();
        // Who pins the new key alone has no word on when it began: the old key's does not count there.
        if size == after {
            place.verify(&change.new.public(), Some(&place.path("given"))).not_clean();
        }
    }
    // Both count at the size itself.
    for key in [&change.old, &change.new] {
        let place = base.copy();
        let note = place.trail().note_of_lines(change.size, &[key], &last.rotation_lines());
        std::fs::write(place.path("given"), note).unwrap();
        place.verify(&change.old.public(), Some(&place.path("given"))).ok();
    }
}
