//! The result of verification, as data and as text.

use std::fmt;

use serde::{Serialize, Serializer};
use trailseal_tlog::Hash;

use super::owed_checkpoints::KeptMissing;

/// What is wrong with a trail. The list only grows; `docs/verify.md` explains each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// A line is not the one that was signed.
    Edited,
    /// A signed line is missing.
    Missing,
    /// A line that was never signed is there, and those after it are shifted.
    Inserted,
    /// A signed line is in another's place.
    Reordered,
    /// A signed line occurs a second time.
    Duplicated,
    /// A whole segment is missing.
    SegmentMissing,
    /// The lines are correct, but a hash of the tree is not.
    TileForged,
    /// The lines do not give a signed root.
    RootMismatch,
    /// There are segments but no checkpoint.
    CheckpointMissing,
    /// The checkpoint is malformed.
    CheckpointInvalid,
    /// The signature is not by the key it names.
    SignatureInvalid,
    /// The checkpoint belongs to another trail.
    OriginMismatch,
    /// The checkpoint is signed by a key that is not trusted.
    KeyUnknown,
    /// The trail is shorter than a checkpoint that was kept elsewhere.
    Rollback,
    /// A store differs from the trail.
    StoreDiffers,
    /// The lines are correct, but the tree, or a part of it, is missing.
    TreeMissing,
    /// `trail.toml` is missing, damaged, or contradicts itself.
    ManifestInvalid,
    /// A line is longer than a line may be.
    LineTooLong,
    /// A key rotation is not vouched for, or has two versions.
    RotationInvalid,
    /// Lines are missing that no checkpoint covers yet but that were durable.
    DurableMissing,
    /// One of several slots is missing.
    SlotMissing,
}

/// What this verification could not rule out, because nothing kept elsewhere was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unproven {
    /// The folder may be an older copy of itself: no checkpoint was pinned.
    Rollback,
    /// Everything may have been signed again with another key: no public key was pinned.
    KeyReplaced,
    /// Lines that no checkpoint covers yet may have been changed.
    Unsealed,
}

/// The outcome of a verification.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether everything that could be checked matches what was signed.
    pub ok: bool,
    /// The trail's name.
    pub origin: String,
    /// The tree size that the newest checkpoint signs.
    pub tree_size: u64,
    /// Lines that exist and that the checkpoint covers.
    pub sealed: u64,
    /// Lines that exist and that no checkpoint covers yet.
    pub unsealed: u64,
    /// Lines that were retired, vouched for by signed events.
    pub retired: u64,
    /// The indexes of those events. Left out of the JSON if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retired_by: Vec<u64>,
    /// Index of the first wrong event, if that is certain.
    pub first_bad: Option<u64>,
    /// If only a range (half-open) is certain: the last signed root that holds, and the next one.
    #[serde(serialize_with = "as_pair")]
    pub range: Option<(u64, u64)>,
    /// What is wrong.
    pub problem: Option<Problem>,
    /// The same in words.
    pub message: String,
    /// The key that signed the newest checkpoint, in the form of a signed note's verifier key.
    pub public_key: Option<String>,
    /// Whether the key was given from outside, or is vouched for by one that was.
    pub key_pinned: bool,
    /// Whether a checkpoint was given from outside.
    pub checkpoint_pinned: bool,
    /// The longest time between two consecutive events.
    pub longest_silence_seconds: f64,
    /// What could not be ruled out.
    pub cannot_rule_out: Vec<Unproven>,
    /// Kept checkpoints that are missing: no event is wrong for that.
    #[serde(skip)]
    pub kept: KeptMissing,
    /// The largest size that a trusted key has signed and whose root the lines give.
    #[serde(skip)]
    pub good: Option<(u64, Hash)>,
}

fn as_pair<S: Serializer>(range: &Option<(u64, u64)>, serializer: S) -> Result<S::Ok, S::Error> {
    range.map(|(from, to)| [from, to]).serialize(serializer)
}

impl Unproven {
    fn as_sentence(self) -> &'static str {
        match self {
            Unproven::Rollback => {
                "that the folder was rolled back to an older state (give a checkpoint kept elsewhere: --checkpoint)"
            }
            Unproven::KeyReplaced => {
                "that everything was signed again with another key (give the public key: --public-key)"
            }
            Unproven::Unsealed => "changes to the events that no checkpoint covers yet",
        }
    }
}

impl fmt::Display for Verdict {
    /// The first line is `ok …` or `TAMPERED …`, the last what cannot be ruled out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ok, self.first_bad, self.range) {
            (true, ..) => writeln!(formatter, "ok {}", self.message)?,
            (false, Some(index), _) => writeln!(formatter, "TAMPERED at index {index}: {}", self.message)?,
            (false, None, Some((from, to))) => {
                writeln!(formatter, "TAMPERED in {from}..{to}: {}", self.message)?;
            }
            (false, None, None) => writeln!(formatter, "TAMPERED: {}", self.message)?,
        }
        writeln!(formatter, "sealed:   {} events, {} not yet sealed", self.sealed, self.unsealed)?;
        if self.retired > 0 {
            let by: Vec<String> = self.retired_by.iter().map(|index| format!("event {index}")).collect();
            writeln!(formatter, "retired:  {} events, by {}", self.retired, by.join(", "))?;
        }
        let key = self.public_key.as_deref().unwrap_or("none");
        let pinned = if self.key_pinned { " (given)" } else { " (from trail.toml)" };
        writeln!(formatter, "key:      {key}{}", if self.public_key.is_some() { pinned } else { "" })?;
        writeln!(formatter, "silence:  {:.3} s at the longest", self.longest_silence_seconds)?;
        let KeptMissing { owed, missing } = &self.kept;
        if let Some(first) = missing.first() {
            let count = missing.len();
            writeln!(
                formatter,
                "kept:     {count} of {owed} checkpoints in checkpoints/ are missing, from size {first} on: a change of lines \
                 and tree together is found, but placed less exactly"
            )?;
        }
        if self.cannot_rule_out.is_empty() && !self.ok {
            return write!(formatter, "cannot rule out: further problems besides the one found first");
        }
        if self.cannot_rule_out.is_empty() {
            return write!(formatter, "ruled out: rollback and replaced keys, by what you provided");
        }
        let list: Vec<&str> = self.cannot_rule_out.iter().map(|unproven| unproven.as_sentence()).collect();
        write!(formatter, "cannot rule out: {}", list.join("; "))
    }
}
