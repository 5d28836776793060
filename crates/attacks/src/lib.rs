//! An attacker's tools, and the built program under attack.
//!
//! Whoever can write to a trail's folder has these: lines, trees, checkpoints, rotations and handoffs made by
//! code of its own, from docs/format.md alone. Nothing here uses the product's crates, so a mistake that both
//! its writer and its verifier make is not made a third time here.
//!
//! The tests lie in `tests/`: `got_through` are attacks that once succeeded, `honest` are states that any crash
//! leaves and that must open, with the dishonest state beside each; `rotation` is a change of keys stopped at
//! every step; `kill` kills inside openings; `mutation` changes trails at random, by seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what is wrong by panicking"
)]

mod folder;
mod handoff;
mod note;
mod place;
mod random;
mod tree;

pub use folder::{Folder, Segment, copy_all, snapshot};
pub use handoff::{handoff, handoff_mark, set_handoff_mark};
pub use note::{Checkpoint, Key, ManifestKey, checkpoint_note, manifest, rotation_line};
pub use place::{Answer, Kind, Place, Writer, wait_until};
pub use random::Random;
pub use tree::{Hash, leaf_hash, levels, root};
