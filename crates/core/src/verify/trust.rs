//! Which keys a verifier trusts, for which sizes, and what is wrong with what says so.
//!
//! Pinned keys count, each for all sizes until a rotation says otherwise; without any, the keys of `trail.toml`, each
//! if the one before vouches for it. The old key itself signs a rotation, so it counts wherever it is found: in the
//! newest checkpoint, a kept or given one, or `trail.toml`.

use trailseal_tlog::{KeyRing, Origin, Rotation, SignedNote, VerifyingKey};

use super::locate::Located;
use super::read::{io_error, read};
use super::{Problem, VerifyError, VerifyOptions};
use crate::folder::Folder;
use crate::manifest::{Manifest, ManifestError};

/// Who may sign, and for which trail.
pub(super) struct Trust {
    /// The keys that count.
    pub(super) ring: KeyRing,
    /// The keys of trail.toml. Whoever pins today's key still has kept checkpoints by earlier keys; they only help to
    /// locate a change.
    pub(super) named: Option<KeyRing>,
    /// What is wrong with `trail.toml`, or with a rotation, if anything is.
    pub(super) bad: Option<Located>,
}

/// Who may sign this trail. Without a name for the trail there is only what is wrong.
pub(super) fn trust(folder: &Folder, options: &VerifyOptions) -> Result<Result<Trust, Located>, VerifyError> {
    let pinned = &options.public_keys;
    let manifest = match Manifest::read(folder) {
        Ok(Some(manifest)) => Ok(manifest),
        Ok(None) if is_empty(folder)? => {
            return Err(VerifyError::NoTrail { path: folder.root().to_owned() });
        }
        Ok(None) => Err((
            Problem::ManifestInvalid,
            "trail.toml is missing, and with it the trail's name and key".into(),
        )),
        Err(ManifestError::Io(error)) => return Err(io_error(&folder.trail_toml(), error)),
        Err(invalid) => Err((Problem::ManifestInvalid, format!("trail.toml is damaged: {invalid}"))),
    };
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err((problem, message)) => {
            let bad = Located::nowhere(problem, message);
            let origin = pinned.first().and_then(|key| Origin::new(key.name()).ok());
            return Ok(match origin {
                Some(origin) => Ok(Trust { ring: KeyRing::new(origin, pinned), named: None, bad: Some(bad) }),
                None => Err(bad),
            });
        }
    };
    let (named, what) = manifest.key_ring();
    let mut bad = what.map(|what| {
        Located::nowhere(Problem::RotationInvalid, format!("trail.toml cannot be trusted: {what}"))
    });
    if pinned.is_empty() {
        return Ok(Ok(Trust { ring: named.clone(), named: Some(named), bad }));
    }
    let mut ring = KeyRing::new(manifest.origin.clone(), pinned);
    if ring.keys().is_empty() {
        let given = pinned.first().map_or("", VerifyingKey::name);
        let message = format!("the folder holds the trail {}, not {given}", manifest.origin);
        bad = Some(Located::nowhere(Problem::OriginMismatch, message));
    }
    for rotation in named.rotations() {
        // Nothing was learned yet, so nothing contradicts it.
        let _ = ring.add(rotation.clone());
    }
    Ok(Ok(Trust { ring, named: Some(named), bad }))
}

fn is_empty(folder: &Folder) -> Result<bool, VerifyError> {
    let segments = folder.segments().map_err(|source| io_error(&folder.segments_folder(), source))?;
    Ok(segments.is_empty() && read(folder, &folder.checkpoint())?.is_none())
}

impl Trust {
    /// Learns the rotations in the signature lines of these notes.
    pub(super) fn learn<'a>(&mut self, notes: impl Iterator<Item = &'a [u8]>) {
        for note in notes {
            let Some(note) = std::str::from_utf8(note).ok().and_then(|text| SignedNote::parse(text).ok())
            else {
                continue;
            };
            if let Err(conflict) = self.ring.learn(&note) {
                let problem = Problem::RotationInvalid;
                self.bad.get_or_insert_with(|| Located::nowhere(problem, conflict.to_string()));
            }
        }
    }

    /// Whether `trail.toml` and the newest checkpoint, of size `size`, agree about rotations.
    pub(super) fn compare(&mut self, newest: &[u8], size: u64) {
        let Some(named) = &self.named else { return };
        let Some(newest) = std::str::from_utf8(newest).ok().and_then(|text| SignedNote::parse(text).ok())
        else {
            return;
        };
        let carries = |rotation: &Rotation| {
            let parsed = |line| Rotation::from_signature(named.origin(), rotation.old_key(), line);
            newest.signatures().iter().any(|line| parsed(line).as_ref() == Some(rotation))
        };
        // The one whose checkpoint is the newest may be missing: a stop at that moment leaves it so.
        let unnamed = |rotation: &&Rotation| rotation.size() < size && !named.rotations().contains(rotation);
        let what = if let Some(rotation) = self.ring.rotations().iter().find(unnamed) {
            format!("trail.toml lacks the rotation at size {}", rotation.size())
        } else if let Some(rotation) =
            named.rotations().iter().find(|rotation| rotation.size() <= size && !carries(rotation))
        {
            format!("the newest checkpoint lacks the rotation at size {}", rotation.size())
        } else {
            return;
        };
        self.bad.get_or_insert(Located::nowhere(Problem::RotationInvalid, what));
    }
}
