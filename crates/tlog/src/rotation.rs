//! A new key, vouched for by the old one.
//!
//! The statement `trailseal-rotation@v1\n<origin>\n<old key>\n<new key>\n` is signed by the old key. It also
//! travels in each later checkpoint, as a signature line that standard tools pass over because they do not
//! know its key:
//! ```text
//! — <origin> base64(id[4] ‖ new public key[32] ‖ signature[64])
//! id = SHA-256(origin ‖ "\n" ‖ 0xff ‖ "trailseal-rotation@v1" ‖ old public key)[..4]
//! ```

use crate::note::{NoteSignature, Origin, SignedNote, SigningKey, VerifyingKey, key_id};

const NAME: &str = "trailseal-rotation@v1";
const SIGNATURE_TYPE: &[u8] = b"\xfftrailseal-rotation@v1";

/// A rotation of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    origin: Origin,
    old: VerifyingKey,
    new: VerifyingKey,
    signature: [u8; 64],
}

impl Rotation {
    /// The old key's word for the new one.
    pub fn sign(origin: &Origin, old: &SigningKey, new: &VerifyingKey) -> Self {
        let public = old.verifying_key();
        let signature = old.sign(statement(origin, &public, new).as_bytes());
        Rotation { origin: origin.clone(), old: public, new: new.clone(), signature }
    }

    /// From its parts; `None` unless the old key signed it.
    pub fn verified(
        origin: &Origin,
        old: VerifyingKey,
        new: VerifyingKey,
        signature: [u8; 64],
    ) -> Option<Self> {
        let is_right = old.verify(statement(origin, &old, &new).as_bytes(), &signature);
        is_right.then(|| Rotation { origin: origin.clone(), old, new, signature })
    }

    /// The key that vouches.
    pub fn old_key(&self) -> &VerifyingKey {
        &self.old
    }

    /// The key that is vouched for.
    pub fn new_key(&self) -> &VerifyingKey {
        &self.new
    }

    /// The old key's signature.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// The signature line, with its line end.
    pub fn to_signature_line(&self) -> String {
        let mut bytes = self.new.as_bytes().to_vec();
        bytes.extend_from_slice(&self.signature);
        let id = key_id(self.origin.as_str(), SIGNATURE_TYPE, self.old.as_bytes());
        NoteSignature { name: self.origin.to_string(), id, bytes }.to_string()
    }

    fn from_signature(origin: &Origin, old: &VerifyingKey, line: &NoteSignature) -> Option<Self> {
        let is_meant = line.name == origin.as_str()
            && old.name() == origin.as_str()
            && line.id == key_id(origin.as_str(), SIGNATURE_TYPE, old.as_bytes());
        let (new, signature) = line.bytes.split_first_chunk::<32>().filter(|_| is_meant)?;
        let new = VerifyingKey::from_parts(origin.as_str(), *new);
        Rotation::verified(origin, old.clone(), new, signature.try_into().ok()?)
    }
}

fn statement(origin: &Origin, old: &VerifyingKey, new: &VerifyingKey) -> String {
    format!("{NAME}\n{origin}\n{old}\n{new}\n")
}

/// The pinned keys, and all that an unbroken chain of rotations in `note` vouches for. A key vouches only for
/// the trail it is named after.
pub fn trusted_keys(pinned: &[VerifyingKey], note: &SignedNote, origin: &Origin) -> Vec<VerifyingKey> {
    let mut trusted = pinned.to_vec();
    let mut at = 0;
    while let Some(old) = trusted.get(at).cloned() {
        for line in note.signatures() {
            if let Some(rotation) = Rotation::from_signature(origin, &old, line)
                && !trusted.contains(rotation.new_key())
            {
                trusted.push(rotation.new_key().clone());
            }
        }
        at += 1;
    }
    trusted
}
