//! Damage that is drawn by lot.

use std::path::Path;

use super::{Copy, PINS, agreed, trail};

/// Draws numbers; the same ones in each run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn on_damage_that_was_drawn_by_lot() {
    let place = trail();
    let mut draw = Draw(0x7261_696C);
    for round in 0..80 {
        let copy = Copy::of(&place);
        let folder = ["", "segments", "tree", "checkpoints"][draw.below(4)];
        let mut names = copy.names(folder);
        names.retain(|name| {
            copy.path(folder).join(name).is_file()
                && !["lock", "handoff"].contains(&name.as_str())
                && !name.ends_with(".offsets")
        });
        let name = Path::new(folder).join(&names[draw.below(names.len())]).display().to_string();
        let other = Path::new(folder).join(&names[draw.below(names.len())]).display().to_string();
        let kind = draw.below(5);
        let at = draw.below(std::fs::metadata(copy.path(&name)).unwrap().len().max(1) as usize);
        match kind {
            0 => copy.flip(&name, at as u64),
            1 => copy.edit(&name, |bytes| bytes.truncate(at)),
            2 => copy.edit(&name, |bytes| drop(bytes.drain(at..(at + 40).min(bytes.len())))),
            3 => drop(std::fs::copy(copy.path(&other), copy.path(&name)).unwrap()),
            _ => std::fs::remove_file(copy.path(&name)).unwrap(),
        }
        let what = format!("round {round}: {name}, kind {kind} at {at}, {other}");
        agreed(&place, "copy", PINS[round % 3], &what);
    }
}
