//! A new signing key, vouched for by the old one.
//!
//! Requested here; carried out by the sealer, with the first checkpoint that covers the event `trail.key_rotated`
//! (`seal/keys.rs` has the order).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine as _;
use trailseal_event::Object;
use trailseal_tlog::{SigningKey, VerifyingKey};

use super::signing_key::next_file;
use crate::file::Files;
use crate::manifest::ROTATIONS_MAX;
use crate::seal::Rotating;
use crate::trail::error::RecordError;
use crate::trail::flush::SealError;
use crate::trail::open_trail::Trail;

const SEAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a key was not rotated. The old key continues to sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The event of the rotation was refused.
    #[error(transparent)]
    Refused(#[from] RecordError),
    /// The event of the rotation was not sealed in time.
    #[error(
        "the rotation was not sealed within 30 seconds: it will be carried out with the next checkpoint; check the disk"
    )]
    NotSealed {
        /// Why, if sealing itself failed.
        #[source]
        source: Option<SealError>,
    },
    /// The trail has had as many keys as it can.
    #[error(
        "the trail's key was rotated {ROTATIONS_MAX} times, and other tools read no more signature lines: start a new \
         trail with `trailseal succeed {} --dir NEW --origin ORIGIN`", dir.display()
    )]
    TooMany {
        /// The trail's folder.
        dir: PathBuf,
    },
    /// A file operation failed.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl Trail {
    /// Makes a new signing key, vouched for by the old one. Both sign the first checkpoint that covers its event; only
    /// the new key signs later ones.
    ///
    /// # Errors
    /// The old key stays in force. [`RotateError::NotSealed`]: until the next checkpoint, which carries out the
    /// rotation.
    pub fn rotate_key(&self) -> Result<VerifyingKey, RotateError> {
        let inner = &*self.inner;
        inner.refuse_forked()?;
        // One at a time: there is one file for the next key.
        let _rotating = inner.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        self.ask_for_rotation()?;
        let sealed = self.seal(SEAL_TIMEOUT);
        let keys = inner.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.rotating {
            None if sealed.is_ok() => Ok(keys.signing.verifying_key()),
            _ => Err(RotateError::NotSealed { source: sealed.err() }),
        }
    }

    /// Saves the next key and records the event, unless that was done and only the checkpoint is missing.
    fn ask_for_rotation(&self) -> Result<(), RotateError> {
        let log = &self.inner.log;
        let files = &**log.folder.files();
        // The sealer signs under this lock: no checkpoint covers the event before it knows of the rotation.
        let mut keys = self.inner.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.rotating.is_some() {
            return Ok(());
        }
        if keys.manifest.keys.len() > ROTATIONS_MAX {
            return Err(RotateError::TooMany { dir: log.folder.root().to_owned() });
        }
        let key_file = self.inner.key_file.clone();
        let next_file = next_file(&key_file);
        let failed = |action| {
            let path = next_file.clone();
            move |source| RotateError::Io { action, path, source }
        };
        // Never an existing one: an opening has finished what it belonged to, and somebody may have put it there.
        let next = new_key(log.origin.as_str(), files, &next_file).map_err(failed("write a key to"))?;
        let index = self.record_system("trail.key_rotated", details(&keys.signing, &next.verifying_key()))?;
        keys.rotating = Some(Rotating { next, index, key_file, next_file, signed: None });
        Ok(())
    }
}

fn new_key(origin: &str, files: &dyn Files, path: &Path) -> io::Result<SigningKey> {
    let mut seed = [0; 32];
    getrandom::getrandom(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    let key = SigningKey::from_seed(origin, &seed);
    files.replace(path, key.to_private_string().as_bytes(), true)?;
    Ok(key)
}

/// What the event says, with the old key's signature over it.
fn details(old: &SigningKey, new: &VerifyingKey) -> Object {
    let (origin, old_key) = (old.name(), old.verifying_key());
    let signature = old.sign(format!("trailseal-key-rotated@v1\n{origin}\n{old_key}\n{new}\n").as_bytes());
    let mut details = Object::default();
    details.insert("old_key", old_key.to_string());
    details.insert("new_key", new.to_string());
    details.insert("signature", base64::engine::general_purpose::STANDARD.encode(signature));
    details
}
