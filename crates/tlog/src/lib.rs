//! RFC 6962 Merkle trees and the C2SP formats around them: bytes in, bytes out.
//!
//! No files, clock, threads or events. To sign and open a checkpoint:
//!
//! ```
//! use trailseal_tlog::{Checkpoint, Origin, SigningKey, TileEdge, leaf_hash};
//!
//! let origin = Origin::new("example.com/billing/node-1")?;
//! let key = SigningKey::from_seed(origin.as_str(), &[7; 32]);
//! let mut tree = TileEdge::new();
//! tree.push(leaf_hash(b"a line"), &mut |_, _| {});
//! let note = Checkpoint::new(origin.clone(), tree.size(), tree.root()).sign(&key);
//!
//! let (checkpoint, _) = Checkpoint::open(&note, &origin, &[key.verifying_key()])?;
//! assert_eq!((checkpoint.size, checkpoint.root), (1, leaf_hash(b"a line")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
mod hash;
mod key_ring;
mod note;
mod proof;
mod rotation;
mod tile;
mod tree;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use hash::*;
pub use key_ring::{KeyRing, RingKey};
pub use note::{
    KeyError, NOTE_BYTES_MAX, NoteError, NoteSignature, Origin, OriginError, SignedNote, SigningKey,
    VerifyingKey, notes_in, sign_note,
};
pub use proof::*;
pub use rotation::{Rotation, RotationConflict};
pub use tile::*;
pub use tree::*;
