//! The trails that are changed: small, of every form.

use trailseal_attacks::{Checkpoint, Key, Kind, Place, Writer};

/// A trail, and what is known of it.
pub(crate) struct Base {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    /// The keys that have signed it, the newest last. An auditor may keep the first or the last.
    pub(crate) keys: Vec<Key>,
    /// Its lines, and how many of them the newest checkpoint covers.
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) sealed: u64,
    /// Every checkpoint that it has or once had.
    pub(crate) notes: Vec<Checkpoint>,
    /// Where files to exchange come from: another trail of the same name, and this one at an earlier time.
    pub(crate) stranger: Place,
    pub(crate) earlier: Place,
}

/// One of each form.
pub(crate) fn all() -> Vec<Base> {
    let one = || Place::new(Kind::One).with("TRAILSEAL_SEGMENT__ROLL", "1KiB");
    let compressed = || one().with("TRAILSEAL_SEGMENT__COMPRESS", "true");
    let slots = || Place::new(Kind::Slots).with("TRAILSEAL_SEGMENT__ROLL", "1KiB");
    let anchored = || {
        let place = one();
        std::fs::write(place.path("trailseal.toml"), "[[anchor]]\nfile = \"anchored\"\n").unwrap();
        place
    };
    vec![
        build("plain", one, false, false),
        build("one segment", || Place::new(Kind::One), false, false),
        build("compressed", compressed, false, false),
        build("rotated", one, true, false),
        build("rotated and compressed", compressed, true, false),
        build("anchored", anchored, false, false),
        build("killed", one, false, true),
        build("rotated and killed", anchored, true, true),
        build("slots", slots, true, true),
        build("two slots", two_slots, true, false),
    ]
}

/// The second slot has events too, since two writers ran at a time; the first is the one that is attacked.
fn two_slots() -> Place {
    let place = Place::new(Kind::Slots).with("TRAILSEAL_SEGMENT__ROLL", "1KiB");
    let first = place.writer();
    let mut second = place.writer();
    (0..12).for_each(|number| second.send(&format!("{{\"action\":\"second.slot.{number}\"}}")));
    (0..12).for_each(|_| drop(second.receipt()));
    [first, second].into_iter().for_each(Writer::close);
    assert!(place.path("trail/1/checkpoint").is_file());
    place
}

fn build(name: &'static str, place: impl Fn() -> Place, is_rotated: bool, is_killed: bool) -> Base {
    let stranger = place();
    stranger.session("stranger", 12);
    stranger.session("unknown", 12);
    stranger.session("nobody", 12);

    let mut place = place();
    place.session("first", 12);
    let mut keys = vec![place.trail().key()];
    let earlier = place.copy();
    if is_rotated {
        place.run_on_trail(&["key", "rotate"]).ok();
        keys.push(place.trail().key());
    }
    place.session("second", 12);
    place.session("third", 8);
    if is_killed {
        place.killed_session("unsealed", 12);
    }
    let trail = place.trail();
    std::fs::copy(trail.path("checkpoint"), place.path("kept")).unwrap();
    let (lines, sealed) = (trail.lines(), trail.checkpoint().unwrap().size);
    assert!(is_killed == (sealed < lines.len() as u64), "{name}: {sealed} of {} are sealed", lines.len());
    let notes = [&earlier, &place].into_iter().flat_map(notes).collect();
    Base { name, keys, lines, sealed, notes, stranger, earlier, place }
}

fn notes(place: &Place) -> Vec<Checkpoint> {
    let trail = place.trail();
    let kept = trail.kept().into_iter().map(|size| format!("checkpoints/{size}"));
    kept.chain(["checkpoint".to_owned()]).map(|name| Checkpoint::parse(&trail.read(&name)).unwrap()).collect()
}
