//! Signed checkpoints as a verifier sees them: which key may sign, and what exactly is wrong with one.

use trailseal_tlog::{CheckpointError, Hash, KeyRing, VerifyingKey};

use super::Problem;

/// A checkpoint whose signature was checked.
#[derive(Clone, Debug)]
pub struct Signed {
    /// How many events it covers.
    pub size: u64,
    /// The root hash of the tree of them.
    pub root: Hash,
    /// The key that signed it.
    pub key: VerifyingKey,
    /// Whether a trusted key signed it, not just one that `trail.toml` names.
    pub is_trusted: bool,
}

/// Why a text is not a checkpoint that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// What is wrong with it.
    pub problem: Problem,
    /// The same in words, to follow the name of what was opened.
    pub message: String,
}

/// Opens the signed note `text`: of this trail, signed by a key of `ring` within its sizes.
///
/// # Errors
/// When it is not a checkpoint, or does not count.
pub fn open(text: &[u8], ring: &KeyRing) -> Result<Signed, Unsigned> {
    let invalid = |what: &str| Unsigned {
        problem: Problem::CheckpointInvalid,
        message: format!("is not a signed checkpoint: {what}"),
    };
    let text = std::str::from_utf8(text).map_err(|_| invalid("it is not UTF-8"))?;
    match ring.open(text) {
        Ok((checkpoint, key)) => {
            Ok(Signed { size: checkpoint.size, root: checkpoint.root, key, is_trusted: true })
        }
        Err(CheckpointError::Malformed(what)) => Err(invalid(what)),
        Err(CheckpointError::Origin { found, wanted }) => Err(Unsigned {
            problem: Problem::OriginMismatch,
            message: format!("is of the trail {found}, not of {wanted}"),
        }),
        Err(CheckpointError::UnknownKey) => Err(Unsigned {
            problem: Problem::KeyUnknown,
            message: "is signed by a key that is not trusted".into(),
        }),
        Err(CheckpointError::NotItsSize { size, to: Some(to) }) if to < size => Err(Unsigned {
            problem: Problem::KeyUnknown,
            message: format!("of size {size} is signed by a key that was rotated away at size {to}"),
        }),
        Err(CheckpointError::NotItsSize { size, .. }) => Err(Unsigned {
            problem: Problem::KeyUnknown,
            message: format!("of size {size} is signed by a key that signs only later sizes"),
        }),
        Err(CheckpointError::Rotation(conflict)) => {
            Err(Unsigned { problem: Problem::RotationInvalid, message: format!("shows that {conflict}") })
        }
        Err(_) => Err(Unsigned {
            problem: Problem::SignatureInvalid,
            message: "has an invalid signature: it was changed, or signed by somebody else".into(),
        }),
    }
}
