//! Verification: is every line still the one that was signed?
//!
//! Comes in: a folder, and what somebody kept elsewhere. Goes out: a [`Verdict`]. Reads only, needs no lock,
//! and works beside a running writer: the checkpoint is read first, and everything below its size stands
//! still from then on, however segments roll or are compressed.
//!
//! 1. `trust`, `notes`: the checkpoint, its signature, and which keys sign which sizes
//! 2. `feed`, `hashing`: all lines, in blocks, and their leaf hashes, by several threads
//! 3. `pass`: the tree that they give, beside every signed root and the tree on disk
//! 4. `locate`: if a root does not hold, the first bad event and what was done to it
//! 5. `judge`: the verdict
//!
//! `proof` checks proofs that stand alone.

mod feed;
mod hashing;
mod judge;
mod locate;
mod notes;
mod pass;
mod proof;
mod read;
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
pub use proof::{ProvedGrowth, ProvedLine, Unproved, verify_consistency, verify_proof};
pub use verdict::{Problem, Unproven, Verdict};

/// Called with the bytes that were read and the bytes there are.
pub type Progress = dyn Fn(u64, u64) + Send + Sync;

/// What to verify against, and how.
#[derive(Default)]
pub struct VerifyOptions {
    /// Public keys that were kept elsewhere. With at least one, only they may sign, and keys that they
    /// vouch for by an unbroken chain of rotations. Without any, the keys of `trail.toml` may.
    pub public_keys: Vec<VerifyingKey>,
    /// Signed checkpoints of this trail that were kept elsewhere: the trail must contain them.
    pub checkpoints: Vec<String>,
    /// How many threads hash lines; 0 for as many as there are processors.
    pub threads: usize,
    /// Told how far the reading is.
    pub progress: Option<Box<Progress>>,
}

/// Why nothing could be said about a trail. Damage and tampering are no errors: they are a [`Verdict`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The folder holds none.
    #[error("{} holds no trail: give the folder that has trail.toml in it", path.display())]
    NoTrail {
        /// The folder.
        path: PathBuf,
    },
    /// The system would not read a file.
    #[error("could not read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What was given to compare with is not a checkpoint.
    #[error("the checkpoint given {what}: give the whole text as the trail printed it")]
    Given {
        /// What is wrong with it.
        what: String,
    },
}
