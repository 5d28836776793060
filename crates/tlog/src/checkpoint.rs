//! Checkpoints (c2sp.org/tlog-checkpoint): origin, tree size and root hash, in a signed note.

use crate::hash::{Hash, empty_root};
use crate::note::{NoteError, Origin, SignedNote, SigningKey, VerifyingKey, sign_note, sign_note_by};
use crate::rotation::RotationConflict;

/// The content of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The trail's name.
    pub origin: Origin,
    /// How many leaves the tree has.
    pub size: u64,
    /// Its root hash.
    pub root: Hash,
}

/// Why a checkpoint could not be read or trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It is malformed.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// It belongs to another trail.
    #[error("the checkpoint is of {found}, not of {wanted}")]
    Origin {
        /// The origin it names.
        found: String,
        /// The expected origin.
        wanted: String,
    },
    /// No signature is by a known key.
    #[error("the checkpoint is not signed by a known key")]
    UnknownKey,
    /// A signature by a known key is invalid.
    #[error("the checkpoint's signature is wrong")]
    BadSignature,
    /// It is signed by a key that may not sign checkpoints of its size.
    #[error("the checkpoint of size {size} is signed by a key that {}", match to {
        Some(to) if to < size => format!("was rotated away at size {to}"),
        _ => "signs only later sizes".to_owned(),
    })]
    NotItsSize {
        /// Its size.
        size: u64,
        /// The last size that the key may sign, if it was rotated away.
        to: Option<u64>,
    },
    /// Its signature lines show two rotations of one key.
    #[error(transparent)]
    Rotation(RotationConflict),
}

impl Checkpoint {
    /// A checkpoint of a tree.
    pub fn new(origin: Origin, size: u64, root: Hash) -> Self {
        Checkpoint { origin, size, root }
    }

    /// The text that is signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// The signed note.
    pub fn sign(&self, key: &SigningKey) -> String {
        sign_note(&self.to_text(), key)
    }

    /// The note signed by several keys, as at a rotation.
    pub fn sign_by(&self, keys: &[&SigningKey]) -> String {
        sign_note_by(&self.to_text(), keys)
    }

    /// Parses the text of a note without checking who signed it. Extension lines are allowed and skipped.
    ///
    /// # Errors
    /// If it is not a checkpoint.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        use CheckpointError::Malformed;
        let mut lines = text.strip_suffix('\n').ok_or(Malformed("no line end"))?.split('\n');
        let origin = lines.next().and_then(|line| Origin::new(line).ok()).ok_or(Malformed("no origin"))?;
        let size =
            lines.next().and_then(decimal).ok_or(Malformed("the tree size is not a decimal number"))?;
        let root = lines.next().and_then(|line| Hash::from_base64(line).ok());
        let root = root.ok_or(Malformed("the root is not base64 of 32 bytes"))?;
        if lines.any(str::is_empty) {
            return Err(Malformed("an extension line is empty"));
        }
        if size == 0 && root != empty_root() {
            return Err(Malformed("the tree is empty, but the root is not that of an empty tree"));
        }
        Ok(Checkpoint { origin, size, root })
    }

    /// Parses a signed note as a checkpoint of `origin`, without checking who signed it.
    pub(crate) fn parse_note(note: &str, origin: &Origin) -> Result<(SignedNote, Self), CheckpointError> {
        let note = SignedNote::parse(note).map_err(|error| match error {
            NoteError::Form(what) => CheckpointError::Malformed(what),
            _ => CheckpointError::Malformed("not a signed note"),
        })?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != *origin {
            let (found, wanted) = (checkpoint.origin.to_string(), origin.to_string());
            return Err(CheckpointError::Origin { found, wanted });
        }
        Ok((note, checkpoint))
    }

    /// Opens a signed note as a checkpoint of `origin`, and returns it with the one of `keys` that signed it. Only keys
    /// named like the origin count: somebody who keeps the keys of several trails must not mistake one trail's
    /// checkpoint for another's.
    ///
    /// # Errors
    /// If it is not a checkpoint, or not trustworthy.
    pub fn open(
        note: &str,
        origin: &Origin,
        keys: &[VerifyingKey],
    ) -> Result<(Self, VerifyingKey), CheckpointError> {
        let (note, checkpoint) = Checkpoint::parse_note(note, origin)?;
        let named = |key: &&VerifyingKey| key.name() == origin.as_str();
        let keys: Vec<VerifyingKey> = keys.iter().filter(named).cloned().collect();
        match note.verify(&keys) {
            Ok(key) => Ok((checkpoint, key.clone())),
            Err(NoteError::UnknownKey) => Err(CheckpointError::UnknownKey),
            Err(_) => Err(CheckpointError::BadSignature),
        }
    }
}

/// A decimal number without leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}
