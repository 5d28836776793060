//! A folder of slots: none disappears from the verdict, and what an auditor keeps of each goes to the right one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use trailseal_attacks::{Answer, Folder, Key, Kind, Place, Writer, snapshot};

/// Three slots with events in each, since three writers ran at a time.
fn three() -> Place {
    let place = Place::new(Kind::Slots).with("TRAILSEAL_SEGMENT__ROLL", "1KiB");
    let mut writers = Vec::new();
    for slot in 0..3 {
        let mut writer = place.writer();
        for number in 0..10 {
            writer.send(&format!("{{\"action\":\"slot.{slot}.{number}\"}}"));
        }
        (0..10).for_each(|_| drop(writer.receipt()));
        writers.push(writer);
    }
    writers.into_iter().for_each(Writer::close);
    assert_eq!(verify(&place, &[]).ok().json()["trails"].as_array().unwrap().len(), 3);
    place
}

fn slot(place: &Place, number: u32) -> Folder {
    Folder(place.path(&format!("trail/{number}")))
}

fn verify(place: &Place, options: &[&str]) -> Answer {
    place.run(&[&["verify", "--json"], options].concat())
}

#[test]
fn a_slot_without_its_manifest_does_not_disappear() {
    let base = three();
    for number in 0..3 {
        for left in [
            &["segments"][..],
            &["tree"],
            &["checkpoint"],
            &["segments", "tree", "checkpoint", "checkpoints"],
        ] {
            let place = base.copy();
            let folder = slot(&place, number);
            for name in
                ["trail.toml", "keys", "index", "lock", "segments", "tree", "checkpoint", "checkpoints"]
            {
                if !left.contains(&name) {
                    folder.remove(name);
                }
            }
            println!("slot {number}, left are {left:?}");
            verify(&place, &[]).not_clean();
            if number == 0 {
                place.record(&["more"]).refused(&[]);
            }
        }
    }
}

#[test]
fn a_slot_with_forged_events_and_no_manifest_is_a_finding() {
    let place = three();
    let folder = slot(&place, 1);
    let own = Key::of_seed("example.com/attacked/1", 5);
    folder.edit_line(4, |line| line.extend_from_slice(b" "));
    folder.forge(folder.lines().len() as u64, &own, &[]);
    folder.remove("trail.toml");
    let verdict = verify(&place, &[]).not_clean();
    let trails = verdict.json()["trails"].as_array().cloned().unwrap_or_default();
    assert_eq!(trails.len(), 3, "each slot has its verdict: {verdict:#?}");
}

#[test]
fn a_gap_in_the_numbers_is_a_finding() {
    for number in [0, 1] {
        let place = three();
        place.trail();
        std::fs::remove_dir_all(slot(&place, number).0).unwrap();
        verify(&place, &[]).finds(&["slot_missing"]);
    }
}

#[test]
fn what_was_kept_of_each_slot_goes_to_the_slot_that_it_names() {
    let place = three();
    let keys: Vec<String> = (0..3).map(|number| slot(&place, number).key().public()).collect();
    for number in 0..3 {
        std::fs::copy(slot(&place, number).path("checkpoint"), place.path(&format!("kept-{number}")))
            .unwrap();
    }
    let mut all: Vec<&str> = keys.iter().flat_map(|key| ["--public-key", key]).collect();
    verify(&place, &all).ok();
    all.extend(["--checkpoint", "kept-2", "--checkpoint", "kept-0", "--checkpoint", "kept-1"]);
    verify(&place, &all).ok();
    // One is pinned: that is no word against the others.
    verify(&place, &["--public-key", &keys[1]]).ok();
    verify(&place, &["--checkpoint", "kept-1"]).ok();
    let foreign = Key::of_seed("example.com/attacked/1", 5).public();
    verify(&place, &["--public-key", &foreign]).not_clean();
    // A slot that was made anew by another key, or set back, is found by what was kept of it.
    let forged = place.copy();
    let folder = slot(&forged, 1);
    let size = folder.lines().len() as u64;
    let own = Key::of_seed("example.com/attacked/1", 5);
    folder.edit_line(4, |line| line.extend_from_slice(b" "));
    folder.forge(size, &own, &[]);
    folder.write("trail.toml", folder.read("trail.toml").replace(&keys[1], &own.public()));
    verify(&forged, &[]).ok();
    verify(&forged, &["--public-key", &keys[1]]).not_clean();
    verify(&forged, &["--public-key", &keys[0], "--checkpoint", "kept-1"]).not_clean();
    std::fs::remove_dir_all(&folder.0).unwrap();
    verify(&forged, &["--checkpoint", "kept-1"]).not_clean();
}

#[test]
fn a_slot_that_is_refused_is_neither_skipped_nor_changed() {
    let place = three();
    slot(&place, 0).edit_line(4, |line| line.extend_from_slice(b" "));
    slot(&place, 0).remove("segments");
    std::fs::create_dir(slot(&place, 0).path("segments")).unwrap();
    let before = snapshot(&place.path("trail"));
    place.record(&["more"]).refused(&[]);
    assert!(before == snapshot(&place.path("trail")));
}
