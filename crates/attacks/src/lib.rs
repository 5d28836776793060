//! An attacker's tools, and the built program under attack.
//!
//! Anyone who can write to a trail's folder has these tools: lines, trees, checkpoints, rotations and handoffs made by
//! independent code, from docs/format.md alone. Nothing here uses the product's crates, so a mistake that both the
//! product's writer and its verifier make is not repeated here.
//!
//! The crate is never published, and no program depends on it. It panics on whatever it did not expect of its input, the
//! disk or the clock: then a test fails and says where.
//!
//! The tests are in `tests/`: `got_through` has attacks that once succeeded; `honest` has states that any crash leaves
//! and that must open, each with the dishonest state beside it; `rotation` stops a change of keys at every step; `kill`
//! kills inside openings; `mutation` changes trails at random, by seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests report failures by panicking"
)]

mod built_program;
mod folder;
mod handoff;
mod note;
mod random;
mod tree;

pub use built_program::{Answer, Kind, Place, Writer, wait_until};
pub use folder::{Folder, Segment, copy_all, snapshot};
pub use handoff::{handoff, handoff_mark, set_handoff_mark};
pub use note::{Checkpoint, Key, ManifestKey, checkpoint_note, manifest, rotation_line};
pub use random::Random;
pub use tree::{Hash, leaf_hash, levels, root};
