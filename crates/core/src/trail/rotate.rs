//! A new signing key, vouched for by the old one.
//!
//! Order: the next key is saved; the event `trail.key_rotated` with the old key's signature is durable and
//! covered by a checkpoint that the old key signs; the manifest names the next key; the key file is
//! replaced. A stop before the manifest leaves the old key in force, one after it is finished at opening.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine as _;
use trailseal_tlog::{Rotation, SigningKey, VerifyingKey};

use super::Trail;
use super::error::{OpenError, RecordError};
use super::folder::{Folder, Manifest, ManifestKey};
use crate::event::Object;
use crate::file::Files;
use crate::seal::SealKeys;

const SEAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a key was not rotated. The old key signs on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The event of the rotation was refused.
    #[error(transparent)]
    Refused(#[from] RecordError),
    /// The event of the rotation was not sealed in time.
    #[error(
        "the rotation was not sealed within 30 seconds: the old key signs on; look at the disk and try again"
    )]
    NotSealed,
    /// A file operation failed.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Trail {
    /// Makes a new signing key, vouched for by the old one, and signs with it from the next checkpoint on.
    ///
    /// # Errors
    /// The old key stays in force; but if only the key's file could not be renamed the new one is, and the
    /// next opening or rotation finishes that.
    pub fn rotate_key(&self) -> Result<VerifyingKey, RotateError> {
        let inner = &*self.inner;
        inner.refuse_forked()?;
        // One at a time: there is one file for the next key.
        let _rotating = inner.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &inner.shared;
        let files = &*shared.options.files;
        let key_file = key_file(&shared.folder, shared.options.key_file.as_deref());
        let next_file = next_file(&key_file);
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| RotateError::Io { action, path, source }
        };
        let manifest = inner.keys.lock().unwrap_or_else(PoisonError::into_inner).manifest.clone();
        let unreadable = |error: OpenError| failed("read", &next_file)(io::Error::other(error.to_string()));
        finish_rotation(files, &key_file, &manifest).map_err(unreadable)?;
        // One that an earlier attempt left is used: the manifest on disk may name it already, so it must
        // never be written over.
        let next = match super::open::read_signing_key(files, &next_file).map_err(unreadable)? {
            Some(next) => next,
            None => new_key(shared.origin.as_str(), files, &next_file)
                .map_err(failed("write a key to", &next_file))?,
        };

        let rotation = {
            let keys = self.inner.keys.lock().unwrap_or_else(PoisonError::into_inner);
            Rotation::sign(&shared.origin, &keys.signing, &next.verifying_key())
        };
        self.record_system("trail.key_rotated", details(&rotation))?;
        if !self.seal(SEAL_TIMEOUT) {
            return Err(RotateError::NotSealed);
        }

        // The sealer signs under this lock, so it signs with the old key before and the new one after.
        let mut keys = self.inner.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let from = shared.progress.sealed() + 1;
        let mut manifest = keys.manifest.clone();
        if let Some(old) = manifest.keys.last_mut() {
            old.to = Some(from);
        }
        manifest.keys.push(ManifestKey {
            public_key: next.verifying_key(),
            from,
            to: None,
            vouched: Some(rotation.to_signature_line().trim_end().to_owned()),
        });
        let path = shared.folder.trail_toml();
        files.replace(&path, manifest.to_toml().as_bytes(), false).map_err(failed("write", &path))?;
        let public_key = next.verifying_key();
        *keys = SealKeys { signing: next, manifest };
        drop(keys);
        // From here on the rotation is done; should this rename fail, the next opening finishes it.
        files.rename(&next_file, &key_file).map_err(failed("replace", &key_file))?;
        Ok(public_key)
    }
}

fn new_key(origin: &str, files: &dyn Files, path: &Path) -> io::Result<SigningKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    let key = SigningKey::from_seed(origin, &seed);
    files.replace(path, key.to_private_string().as_bytes(), true)?;
    Ok(key)
}

fn details(rotation: &Rotation) -> Object {
    let mut details = Object::default();
    details.insert("old_key", rotation.old_key().to_string());
    details.insert("new_key", rotation.new_key().to_string());
    let signature = base64::engine::general_purpose::STANDARD.encode(rotation.signature());
    details.insert("signature", signature);
    details
}

pub(super) fn key_file(folder: &Folder, configured: Option<&Path>) -> PathBuf {
    configured.map_or_else(|| folder.keys_folder().join("signing.key"), Path::to_owned)
}

fn next_file(key_file: &Path) -> PathBuf {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

/// Finishes a rotation that stopped between the manifest and the key file.
pub(super) fn finish_rotation(
    files: &dyn Files,
    key_file: &Path,
    manifest: &Manifest,
) -> Result<(), OpenError> {
    let next_file = next_file(key_file);
    let Some(next) = super::open::read_signing_key(files, &next_file)? else { return Ok(()) };
    if manifest.current_key() == Some(&next.verifying_key()) {
        files.rename(&next_file, key_file).map_err(OpenError::io("replace", key_file))?;
    }
    Ok(())
}
