//! Which key may sign which tree size.
//!
//! A ring starts with trusted keys and learns rotations from signature lines. The old key itself signs each rotation,
//! so it counts wherever it comes from: it ends the old key's sizes and begins those of the new one.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{NoteSignature, Origin, SignedNote, VerifyingKey};
use crate::rotation::{Rotation, RotationConflict};

/// A key, and the tree sizes that it may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingKey {
    /// The key.
    pub key: VerifyingKey,
    /// The first size that it may sign.
    pub from: u64,
    /// The last size that it may sign; `None` until it is rotated away.
    pub to: Option<u64>,
}

/// Trusted keys of one trail, with the sizes that each of them signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    origin: Origin,
    keys: Vec<RingKey>,
    rotations: Vec<Rotation>,
    /// Signature lines already in `rotations`, so that none is checked twice.
    lines: Vec<NoteSignature>,
}

impl KeyRing {
    /// A ring of keys that are trusted for all sizes until a rotation says otherwise. Keys with other names do not
    /// count: somebody who keeps the keys of several trails must not mistake one trail's checkpoint for another's.
    ///
    /// ```
    /// use trailseal_tlog::{Checkpoint, KeyRing, Origin, Rotation, SignedNote, SigningKey, leaf_hash};
    ///
    /// let origin = Origin::new("example.com/log")?;
    /// let [old, new] = [1, 2].map(|seed| SigningKey::from_seed(origin.as_str(), &[seed; 32]));
    /// let mut ring = KeyRing::new(origin.clone(), &[old.verifying_key()]);
    /// let rotation = Rotation::sign(&origin, &old, &new.verifying_key(), 7);
    ///
    /// let eight = Checkpoint::new(origin, 8, leaf_hash(b"a root"));
    /// let (by_old, by_new) = (eight.sign(&old), eight.sign(&new) + &rotation.to_signature_line());
    /// assert!(ring.open(&by_old).is_ok());
    /// assert!(ring.open(&by_new).is_ok(), "the note itself says that the old key vouches for the new one");
    /// ring.learn(&SignedNote::parse(&by_new)?)?;
    /// assert!(ring.open(&by_old).is_err(), "the old key ended at size 7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(origin: Origin, trusted: &[VerifyingKey]) -> Self {
        let named = trusted.iter().filter(|key| key.name() == origin.as_str());
        let keys = named.map(|key| RingKey { key: key.clone(), from: 0, to: None }).collect();
        KeyRing { origin, keys, rotations: Vec::new(), lines: Vec::new() }
    }

    /// The trail's name.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The keys with their sizes; a key comes after the one that vouches for it.
    pub fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// The rotations learned so far.
    pub fn rotations(&self) -> &[Rotation] {
        &self.rotations
    }

    /// Learns every rotation in the signature lines of `note` that a trusted key has signed.
    ///
    /// # Errors
    /// If one contradicts another of the same key. What was learned before stays.
    pub fn learn(&mut self, note: &SignedNote) -> Result<(), RotationConflict> {
        let mut at = 0;
        while let Some(old) = self.keys.get(at).map(|entry| entry.key.clone()) {
            for line in note.signatures() {
                if !self.lines.contains(line)
                    && let Some(rotation) = Rotation::from_signature(&self.origin, &old, line)
                {
                    self.add(rotation)?;
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// Learns one rotation, if a trusted key has signed it.
    ///
    /// # Errors
    /// As [`learn`](KeyRing::learn).
    pub fn add(&mut self, rotation: Rotation) -> Result<(), RotationConflict> {
        let Some(old) = self.keys.iter_mut().find(|entry| entry.key == *rotation.old_key()) else {
            return Ok(());
        };
        if let Some(known) = self.rotations.iter().find(|known| known.old_key() == rotation.old_key()) {
            return match *known == rotation {
                true => Ok(()),
                false => {
                    Err(RotationConflict { key: old.key.clone(), sizes: (known.size(), rotation.size()) })
                }
            };
        }
        old.to = Some(rotation.size());
        let (new, from) = (rotation.new_key().clone(), rotation.size());
        // A key that is also trusted directly still signs nothing from before the rotation.
        match self.keys.iter_mut().find(|entry| entry.key == new) {
            Some(known) => known.from = known.from.max(from),
            None => self.keys.push(RingKey { key: new, from, to: None }),
        }
        self.lines.push(rotation.to_signature());
        self.rotations.push(rotation);
        Ok(())
    }

    /// Opens a signed note as a checkpoint of this trail, and returns it with the key that signed it: a key of the
    /// ring, or one that the note itself shows to be vouched for, within the sizes that the key may sign.
    ///
    /// # Errors
    /// If it is not a checkpoint, or not trustworthy.
    pub fn open(&self, note: &str) -> Result<(Checkpoint, VerifyingKey), CheckpointError> {
        let (signed, checkpoint) = Checkpoint::parse_note(note, &self.origin)?;
        let mut ring = self.clone();
        ring.learn(&signed).map_err(CheckpointError::Rotation)?;
        let signers = signed.signers(ring.keys.iter().map(|entry| &entry.key));
        let signers = signers.map_err(|_| CheckpointError::BadSignature)?;
        let signs = |entry: &&RingKey| signers.contains(&&entry.key);
        let is_within = |entry: &&RingKey| {
            entry.from <= checkpoint.size && entry.to.is_none_or(|to| checkpoint.size <= to)
        };
        let mut signing = ring.keys.iter().filter(signs);
        match (signing.clone().find(is_within), signing.next()) {
            (Some(entry), _) => Ok((checkpoint, entry.key.clone())),
            (None, Some(beyond)) => Err(CheckpointError::NotItsSize { size: checkpoint.size, to: beyond.to }),
            (None, None) => Err(CheckpointError::UnknownKey),
        }
    }
}
