//! The attacker's tools make what the program makes: an attack must not fail because its forgery is a bad one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use trailseal_attacks::{Key, Kind, Place, handoff};

fn trail(events: usize) -> Place {
    let place = Place::new(Kind::One)
        .with("TRAILSEAL_SEGMENT__ROLL", "1KiB")
        .with("TRAILSEAL_SEGMENT__COMPRESS", "true");
    place.session("first", events);
    place.session("second", events);
    place
}

#[test]
fn checkpoints_and_tree_are_the_same_to_the_byte() {
    for events in [1, 20, 300] {
        let place = trail(events);
        let trail = place.trail();
        let (key, size) = (trail.key(), trail.checkpoint().unwrap().size);
        assert_eq!(Key::from_file_text(&key.to_file_text()).public(), key.public());
        assert_eq!(trail.lines().len() as u64, size);
        assert_eq!(trail.read("checkpoint"), trail.note_of_lines(size, &[&key], &[]));
        for kept in trail.kept() {
            assert_eq!(trail.read(&format!("checkpoints/{kept}")), trail.note_of_lines(kept, &[&key], &[]));
        }
        let levels = |what: &str| -> Vec<Vec<u8>> {
            let read = |level: u32| std::fs::read(trail.path(&format!("tree/{level}"))).unwrap_or_default();
            let found: Vec<_> = (0..3).map(read).collect();
            assert_eq!(found[0].len() as u64, 32 * size, "{what}");
            found
        };
        let genuine = levels("written by the program");
        trail.write_tree(size);
        assert_eq!(genuine, levels("written by the tools"));
        place.verify(&key.public(), None).ok();
    }
}

#[test]
fn a_history_forged_with_the_real_key_is_believed() {
    let place = trail(20);
    let (trail, size) = (place.trail(), place.trail().checkpoint().unwrap().size);
    trail.edit_line(7, |line| line.extend_from_slice(b" "));
    place.verify(&trail.key().public(), None).not_clean();
    trail.forge(size, &trail.key(), &[]);
    place.verify(&trail.key().public(), None).ok();
    place.record(&["more"]).ok();
    place.verify(&trail.key().public(), None).ok();
}

#[test]
fn a_handoff_that_was_forged_is_taken_over() {
    let place = trail(5);
    let trail = place.trail();
    let next = trail.lines().len();
    let recorded = "2099-01-01T00:00:00.000000Z";
    let line = format!(
        "{{\"v\":1,\"index\":{next},\"recorded\":\"{recorded}\",\"id\":\"forged\",\"action\":\"x\"}}"
    );
    let lines = [line.into_bytes()];
    trail.write("handoff", handoff(&place.origin(), next as u64, &lines));
    let read = place.run(&["query", "--format", "jsonl", "--limit", "1"]).ok();
    assert!(read.out.contains("\"id\":\"forged\""), "{read:#?}");
}
