//! Which checkpoint and which key an opening continues from.
//!
//! Trusted: the private key that is held, and what it has signed. Nothing signs `trail.toml`, so it decides nothing
//! alone: each key in it needs the statement of the one before, and the newest checkpoint is the largest in the folder
//! that the held key has signed, within its sizes. Without one nothing is signed.
//!
//! A checkpoint that carries out a rotation ends the old key: the rotation is finished here before anything else is
//! signed, or the opening refuses.

use std::io;
use std::path::{Path, PathBuf};

use trailseal_tlog::{Checkpoint, KeyRing, Rotation, SignedNote, SigningKey};

use crate::folder::Folder;
use crate::manifest::Manifest;
use crate::trail::error::OpenError;
use crate::trail::keys::signing_key::{next_file, read_signing_key};

const NOTE_BYTES_MAX: u64 = 1 << 20;
/// A writer keeps up to four checkpoints before it puts the newest in place.
const AHEAD_MAX: usize = 64;

/// What to continue from.
pub(super) struct Trusted {
    pub(in crate::trail) manifest: Manifest,
    pub(in crate::trail) signing: SigningKey,
    pub(in crate::trail) newest: Checkpoint,
    /// The note of `newest`, if it was kept but not yet put in place as the newest.
    pub(super) kept_ahead: Option<String>,
}

/// Finds the key and the newest checkpoint of an existing trail, and finishes a rotation that was interrupted.
pub(super) fn trusted(folder: &Folder, key_path: &Path, manifest: Manifest) -> Result<Trusted, OpenError> {
    let (mut ring, bad) = manifest.key_ring();
    if let Some(what) = bad {
        return Err(damaged(&folder.trail_toml(), what));
    }
    let text = match read(folder, &folder.checkpoint())? {
        Some(text) => text,
        None => return Err(damaged(&folder.checkpoint(), "it is missing".into())),
    };
    let size = signed_size(&text)
        .ok_or_else(|| damaged(&folder.checkpoint(), "it is not a signed checkpoint".into()))?;
    let mut notes = vec![(folder.checkpoint(), text)];
    // Kept before the newest was put in place.
    let sizes = folder.kept_checkpoints().map_err(OpenError::io("list", folder.kept_checkpoints_folder()))?;
    for kept in sizes.into_iter().rev().take_while(|kept| *kept > size).take(AHEAD_MAX) {
        let path = folder.kept_checkpoint(kept);
        if let Some(text) = read(folder, &path)? {
            notes.push((path, text));
        }
    }
    for (path, text) in &notes {
        if let Ok(note) = SignedNote::parse(text) {
            ring.learn(&note).map_err(|conflict| damaged(path, conflict.to_string()))?;
        }
    }
    // Everything is decided before anything is written: a refusal leaves the folder unchanged.
    let held = held_key(folder, key_path, manifest, &ring)?;
    let (newest, note) = newest(&notes, &held.signing, &ring)?;
    let kept_ahead = (newest.size > size).then_some(note);
    let (manifest, signing) = held.finish(folder, key_path)?;
    Ok(Trusted { manifest, signing, newest, kept_ahead })
}

fn damaged(path: &Path, what: String) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what }
}

fn read(folder: &Folder, path: &Path) -> Result<Option<String>, OpenError> {
    match folder.files().read(path, NOTE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io("read", path)(error)),
    }
}

fn signed_size(text: &str) -> Option<u64> {
    Some(Checkpoint::parse(SignedNote::parse(text).ok()?.text()).ok()?.size)
}

/// The current key, and what is still to be written of the rotation that introduced it.
struct HeldKey {
    manifest: Manifest,
    signing: SigningKey,
    is_manifest_behind: bool,
    is_next: bool,
}

/// Finds the current key. `ring` knows every rotation that a checkpoint shows.
fn held_key(
    folder: &Folder,
    key_path: &Path,
    mut manifest: Manifest,
    ring: &KeyRing,
) -> Result<HeldKey, OpenError> {
    let files = &**folder.files();
    let next_path = next_file(key_path);
    let next = read_signing_key(files, &next_path)?;
    // The checkpoint is in place, but trail.toml does not say so yet.
    let unfinished = unfinished(&manifest, ring);
    if let Some(rotation) = unfinished {
        manifest.rotate(rotation);
    }
    let current = manifest.current_key().cloned();
    let is_current = |key: &SigningKey| Some(key.verifying_key()) == current;
    let key = |what: &str| OpenError::Key { path: key_path.to_owned(), what: what.into() };
    let held = |signing, is_next| {
        Ok(HeldKey { manifest, signing, is_manifest_behind: unfinished.is_some(), is_next })
    };
    match (read_signing_key(files, key_path)?, next, unfinished) {
        (Some(signing), _, _) if is_current(&signing) => held(signing, false),
        (_, Some(next), _) if is_current(&next) => held(next, true),
        (_, _, Some(rotation)) => Err(key_missing(&next_path, rotation)),
        (None, _, None) => Err(key("is missing: put it back, or set key_file to where it is")),
        (Some(_), _, None) => Err(key(
            "is not the key that signs this trail now: set key_file to the right one, or, if the folder is an older \
             copy, restore a newer one",
        )),
    }
}

impl HeldKey {
    /// Writes what an interrupted rotation did not.
    fn finish(self, folder: &Folder, key_path: &Path) -> Result<(Manifest, SigningKey), OpenError> {
        let files = &**folder.files();
        if self.is_manifest_behind {
            let (path, text) = (folder.trail_toml(), self.manifest.to_toml());
            files.replace(&path, text.as_bytes(), false).map_err(OpenError::io("write", &path))?;
        }
        if self.is_next {
            files.rename(&next_file(key_path), key_path).map_err(OpenError::io("replace", key_path))?;
        }
        Ok((self.manifest, self.signing))
    }
}

/// A rotation of the manifest's last key that a checkpoint carries out.
fn unfinished<'a>(manifest: &Manifest, ring: &'a KeyRing) -> Option<&'a Rotation> {
    let last = manifest.current_key()?;
    ring.rotations().iter().find(|rotation| rotation.old_key() == last)
}

fn key_missing(next_path: &Path, rotation: &Rotation) -> OpenError {
    OpenError::Key {
        path: next_path.to_owned(),
        what: format!(
            "is missing, and the trail's checkpoint of size {} says that the key {} signs from there on: put that key \
             back",
            rotation.size(),
            rotation.new_key()
        ),
    }
}

/// The largest checkpoint that the held key has signed, with its note. The one in `checkpoint` comes first; an honest
/// disk never loses or exchanges that file, so it must belong to this trail in any case.
fn newest(
    notes: &[(PathBuf, String)],
    signing: &SigningKey,
    ring: &KeyRing,
) -> Result<(Checkpoint, String), OpenError> {
    let held = signing.verifying_key();
    let mut newest: Option<(Checkpoint, String)> = None;
    for (number, (path, text)) in notes.iter().enumerate() {
        match ring.open(text) {
            Err(error) if number == 0 => {
                let what =
                    format!("{error}; the key that is held has not signed it, so nothing is signed after it");
                return Err(damaged(path, what));
            }
            // A kept one by somebody else is for `verify` to report; it decides nothing here.
            Err(_) => continue,
            Ok(_) => {}
        }
        // One by an earlier key is used only if a later one is kept.
        if let Ok((checkpoint, _)) = Checkpoint::open(text, ring.origin(), std::slice::from_ref(&held))
            && newest.as_ref().is_none_or(|(newest, _)| newest.size < checkpoint.size)
        {
            newest = Some((checkpoint, text.clone()));
        }
    }
    newest.ok_or_else(|| {
        let path = notes.first().map_or(Path::new("checkpoint"), |(path, _)| path);
        damaged(path, "the key that is held has not signed it, so nothing is signed after it".into())
    })
}
