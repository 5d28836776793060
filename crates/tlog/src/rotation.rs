//! A new key, vouched for by the old one from a tree size on.
//!
//! The old key signs the statement `trailseal-rotation@v2\n<origin>\n<old key>\n<new key>\n<size>\n`. Both keys sign
//! the checkpoint of that size; only the new key signs larger ones. The statement travels in the checkpoint of that
//! size and each later one, as a signature line that standard tools skip because they do not know its key:
//!
//! ```text
//! — <origin> base64(id[4] ‖ new public key[32] ‖ size, big-endian[8] ‖ signature[64])
//! id = SHA-256(origin ‖ "\n" ‖ 0xff ‖ "trailseal-rotation@v2" ‖ old public key)[..4]
//! ```

use crate::note::{NoteSignature, Origin, SigningKey, VerifyingKey, key_id};

const NAME: &str = "trailseal-rotation@v2";
const SIGNATURE_TYPE: &[u8] = b"\xfftrailseal-rotation@v2";

/// One key has vouched for two others, or for one from two sizes on: its holder has made two histories.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key {key} was rotated in two ways, at size {} and at size {}", sizes.0, sizes.1)]
pub struct RotationConflict {
    /// The key that vouches.
    pub key: VerifyingKey,
    /// The sizes of both rotations.
    pub sizes: (u64, u64),
}

/// A rotation of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    origin: Origin,
    old: VerifyingKey,
    new: VerifyingKey,
    size: u64,
    signature: [u8; 64],
}

impl Rotation {
    /// The old key's statement for the new one, from tree size `size` on.
    pub fn sign(origin: &Origin, old: &SigningKey, new: &VerifyingKey, size: u64) -> Self {
        let public = old.verifying_key();
        let signature = old.sign(statement(origin, &public, new, size).as_bytes());
        Rotation { origin: origin.clone(), old: public, new: new.clone(), size, signature }
    }

    /// Parses a signature line by `old`; `None` if it is another line or not signed by it.
    pub fn from_signature(origin: &Origin, old: &VerifyingKey, line: &NoteSignature) -> Option<Self> {
        let is_meant = line.name == origin.as_str()
            && old.name() == origin.as_str()
            && line.id == key_id(origin.as_str(), SIGNATURE_TYPE, old.as_bytes());
        let (new, rest) = line.bytes.split_first_chunk::<32>().filter(|_| is_meant)?;
        let (size, signature) = rest.split_first_chunk::<8>()?;
        let (new, size) = (VerifyingKey::from_parts(origin.as_str(), *new), u64::from_be_bytes(*size));
        let signature = signature.try_into().ok()?;
        let is_right = old.verify(statement(origin, old, &new, size).as_bytes(), &signature);
        is_right.then(|| Rotation { origin: origin.clone(), old: old.clone(), new, size, signature })
    }

    /// Parses a signature line by `old` as text; `None` as in [`from_signature`](Rotation::from_signature).
    pub fn parse(origin: &Origin, old: &VerifyingKey, line: &str) -> Option<Self> {
        Rotation::from_signature(origin, old, &NoteSignature::parse(line.trim_end()).ok()?)
    }

    /// The key that vouches; [`size`](Rotation::size) is the last size that it may sign.
    pub fn old_key(&self) -> &VerifyingKey {
        &self.old
    }

    /// The key that is vouched for; [`size`](Rotation::size) is the first size that it may sign.
    pub fn new_key(&self) -> &VerifyingKey {
        &self.new
    }

    /// The tree size whose checkpoint both keys sign.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The signature line, with its line end.
    pub fn to_signature_line(&self) -> String {
        self.to_signature().to_string()
    }

    pub(crate) fn to_signature(&self) -> NoteSignature {
        let mut bytes = self.new.as_bytes().to_vec();
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.signature);
        let id = key_id(self.origin.as_str(), SIGNATURE_TYPE, self.old.as_bytes());
        NoteSignature { name: self.origin.to_string(), id, bytes }
    }
}

fn statement(origin: &Origin, old: &VerifyingKey, new: &VerifyingKey, size: u64) -> String {
    format!("{NAME}\n{origin}\n{old}\n{new}\n{size}\n")
}
