//! Self-contained proofs: checked without the trail, with only the public key.

use trailseal_tlog::{
    Checkpoint, ConsistencyProof, KeyRing, Origin, SignedNote, TlogProof, VerifyingKey,
    verify_consistency as check,
};

use super::Problem;
use super::notes::{self, Signed};

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unproved {
    /// What is wrong; `None` if the text is not a proof at all.
    pub problem: Option<Problem>,
    /// The same in words.
    pub message: String,
}

/// What an inclusion proof proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedLine {
    /// The event's index in its trail.
    pub index: u64,
    /// Its exact line, without a newline.
    pub line: Vec<u8>,
    /// The checkpoint that covers it.
    pub checkpoint: Checkpoint,
    /// The key that signed the checkpoint: one of those given, or vouched for by one.
    pub key: VerifyingKey,
}

/// Checks an inclusion proof that carries its line, and returns the line.
///
/// # Errors
/// When it is not a proof, is not signed by one of `keys` (or a key that one of them vouches for), or the line is not
/// the one that was signed.
pub fn verify_proof(text: &str, keys: &[VerifyingKey]) -> Result<ProvedLine, Unproved> {
    let proof = TlogProof::parse(text).map_err(|error| not_a_proof(error.to_string()))?;
    let (checkpoint, key) = open("the proof's checkpoint", &proof.checkpoint, keys, &[])?;
    let line = proof.extra.clone().ok_or_else(|| not_a_proof("it does not contain the line".into()))?;
    proof.verify_line(&line, checkpoint.size, &checkpoint.root).map_err(|error| Unproved {
        problem: Some(Problem::RootMismatch),
        message: format!("the line is not event {} of what was signed: {error}", proof.index),
    })?;
    Ok(ProvedLine { index: proof.index, line, checkpoint, key })
}

/// What a consistency proof proves: the trail of `new` begins with the whole trail of `old`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedGrowth {
    /// The older checkpoint.
    pub old: Checkpoint,
    /// The newer one.
    pub new: Checkpoint,
    /// The key that signed the newer one.
    pub key: VerifyingKey,
}

/// Checks a consistency proof that carries both checkpoints.
///
/// # Errors
/// When it is not a proof, a checkpoint is not signed by one of `keys` (or a key that one of them vouches for), or the
/// newer trail does not begin with the older one.
pub fn verify_consistency(text: &str, keys: &[VerifyingKey]) -> Result<ProvedGrowth, Unproved> {
    let proof = ConsistencyProof::parse(text).map_err(|error| not_a_proof(error.to_string()))?;
    let both = [&*proof.old, &*proof.new];
    let (old, _) = open("the older checkpoint", &proof.old, keys, &both)?;
    let (new, key) = open("the newer checkpoint", &proof.new, keys, &both)?;
    let differ = |message| Unproved { problem: Some(Problem::RootMismatch), message };
    if old.size > new.size {
        let problem = Some(Problem::Rollback);
        let message = format!("the newer checkpoint covers {} events, the older one {}", new.size, old.size);
        return Err(Unproved { problem, message });
    }
    check(old.size, &old.root, new.size, &new.root, &proof.hashes)
        .map_err(|error| differ(format!("the newer trail does not begin with the older one: {error}")))?;
    Ok(ProvedGrowth { old, new, key })
}

fn not_a_proof(message: String) -> Unproved {
    Unproved { problem: None, message }
}

/// The trail's name is the keys' name. Rotations in any note of `beside` count.
fn open(
    which: &str,
    note: &str,
    keys: &[VerifyingKey],
    beside: &[&str],
) -> Result<(Checkpoint, VerifyingKey), Unproved> {
    let claimed = SignedNote::parse(note).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
    // Among keys of several trails, those with this name count.
    let named =
        |key: &&VerifyingKey| claimed.as_ref().is_none_or(|claimed| claimed.origin.as_str() == key.name());
    let origin = keys.iter().find(named).or(keys.first()).and_then(|key| Origin::new(key.name()).ok());
    let Some(origin) = origin else {
        return Err(not_a_proof("no public key was given: give the one of the trail (--public-key)".into()));
    };
    let wrong = |problem, message: String| Unproved { problem: Some(problem), message };
    let mut ring = KeyRing::new(origin.clone(), keys);
    for note in beside.iter().filter_map(|text| SignedNote::parse(text).ok()) {
        ring.learn(&note).map_err(|conflict| wrong(Problem::RotationInvalid, conflict.to_string()))?;
    }
    match notes::open(note.as_bytes(), &ring) {
        Ok(Signed { size, root, key, .. }) => Ok((Checkpoint::new(origin, size, root), key)),
        Err(unsigned) => Err(wrong(unsigned.problem, format!("{which} {}", unsigned.message))),
    }
}
