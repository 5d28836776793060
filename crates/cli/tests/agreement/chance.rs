//! Damage that is drawn by lot.

use std::path::Path;

use super::rotations::rotated;
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

/// One change to the file `name`.
fn damage(copy: &Copy<'_>, draw: &mut Draw, name: &str, other: &str) -> String {
    let kind = draw.below(7);
    let len = std::fs::metadata(copy.path(name)).unwrap().len() as usize;
    let at = draw.below(len.max(1));
    match kind {
        0 if len > 0 => copy.flip(name, at as u64),
        1 => copy.edit(name, |bytes| bytes.truncate(at)),
        2 => copy.edit(name, |bytes| drop(bytes.drain(at.min(bytes.len())..(at + 40).min(bytes.len())))),
        3 => drop(std::fs::copy(copy.path(other), copy.path(name)).unwrap()),
        // As after a power loss: a part that reads as zeros, and more behind the end.
        4 => copy.edit(name, |bytes| {
            let end = (at + 512).min(bytes.len());
            bytes[at.min(end)..end].fill(0);
        }),
        5 => copy.edit(name, |bytes| bytes.extend_from_within(..at)),
        _ => std::fs::remove_file(copy.path(name)).unwrap(),
    }
    format!("{name}: kind {kind} at {at} ({other})")
}

fn pick(copy: &Copy<'_>, draw: &mut Draw, folder: &str) -> Option<String> {
    let mut names = copy.names(folder);
    names.retain(|name| copy.path(folder).join(name).is_file() && !name.ends_with(".offsets"));
    // What a writer leaves for itself; and of the index a stranger knows nothing.
    names.retain(|name| !["lock", "handoff", "signing.key"].contains(&name.as_str()));
    let name = (!names.is_empty()).then(|| &names[draw.below(names.len())])?;
    Some(Path::new(folder).join(name).display().to_string())
}

#[test]
fn on_damage_that_was_drawn_by_lot() {
    let rounds = std::env::var("TRAILSEAL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(90);
    let trails = [trail(), rotated().0];
    let mut draw = Draw(0x7261_696C);
    for round in 0..rounds {
        let copy = Copy::of(&trails[round % 2]);
        let mut what = format!("round {round}");
        let kept = copy.kept().len();
        if draw.below(3) == 0 && kept > 0 {
            what.push_str(&format!(", set back to {}", copy.set_back(draw.below(kept))));
        }
        for _ in 0..=draw.below(2) {
            let folder = ["", "segments", "tree", "checkpoints"][draw.below(4)];
            let pair = (pick(&copy, &mut draw, folder), pick(&copy, &mut draw, folder));
            let (Some(name), Some(other)) = pair else { continue };
            what.push_str(&format!("; {}", damage(&copy, &mut draw, &name, &other)));
        }
        agreed(&trails[round % 2], "copy", PINS[round % 3], &what);
    }
}
