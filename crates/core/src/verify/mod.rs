//! Verification: is every line still the one that was signed?
//!
//! In: a folder, and what somebody kept elsewhere. Out: a [`Verdict`]. It only reads, needs no lock, and works beside a
//! running writer: the checkpoint is read first, and everything below its size does not change from then on, however
//! segments roll or are compressed.
//!
//! 1. `trust`, `notes`: the checkpoint, its signature, and which keys may sign which sizes
//! 2. `feed`, `hashing`: all lines, in blocks, and their leaf hashes, with several threads
//! 3. `pass`: the tree that they give, compared with every signed root and the tree on disk
//! 4. `locate`: if a root does not match, the first bad event and what was done to it
//! 5. `retired`: whether signed events say that what is missing was retired
//! 6. `judge`: the verdict
//!
//! `proof` checks self-contained proofs.

mod feed;
mod hashing;
mod judge;
mod locate;
mod notes;
mod owed_checkpoints;
mod pass;
mod proof;
mod read;
mod retired;
mod tree;
mod trust;
mod unsealed;
mod verdict;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use trailseal_tlog::VerifyingKey;

pub use judge::verify;
pub use notes::{Signed as SignedCheckpoint, Unsigned as NotSigned, open as open_checkpoint};
pub use owed_checkpoints::{KeptMissing, kept_missing};
pub use proof::{ProvedGrowth, ProvedLine, Unproved, verify_consistency, verify_proof};
pub use verdict::{Problem, Unproven, Verdict};

/// Called with the bytes read so far and the total.
pub type Progress = dyn Fn(u64, u64) + Send + Sync;

/// What to verify against, and how.
#[derive(Default)]
pub struct VerifyOptions {
    /// Public keys that were kept elsewhere. With at least one, only they may sign, and keys that they vouch for by an
    /// unbroken chain of rotations. Without any, the keys of `trail.toml` may.
    pub public_keys: Vec<VerifyingKey>,
    /// Signed checkpoints of this trail that were kept elsewhere: the trail must contain them.
    pub checkpoints: Vec<String>,
    /// How many threads hash lines; 0 for as many as there are processors.
    pub threads: usize,
    /// Reports how far the reading is.
    pub progress: Option<Box<Progress>>,
}

/// Why no verdict was possible. Damage and tampering are not errors: they are a [`Verdict`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The folder holds none.
    #[error("{} holds no trail: give the folder that has trail.toml in it", path.display())]
    NoTrail {
        /// The folder.
        path: PathBuf,
    },
    /// The system could not read a file.
    #[error("could not read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A given checkpoint is not a checkpoint.
    #[error("the given checkpoint {what}: give the whole text as the trail printed it")]
    Given {
        /// What is wrong with it.
        what: String,
    },
}
