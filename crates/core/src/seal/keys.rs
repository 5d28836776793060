//! What signs checkpoints, and how one key succeeds another.
//!
//! The order of a rotation, each step on disk before the next: next key → event `trail.key_rotated` → the first
//! checkpoint that covers it, signed by both keys, with the old key's statement for the new one from that size on →
//! `trail.toml` → key file. The rotation takes effect with the checkpoint: nothing else is signed before the rest is
//! done, here or by the next opening. Before it nothing has happened, and the old key continues to sign.

use std::io;
use std::path::PathBuf;

use trailseal_tlog::{Checkpoint, Rotation, SigningKey};

use crate::folder::Folder;
use crate::manifest::Manifest;

const KEY_BYTES_MAX: u64 = 1 << 20;

/// What signs checkpoints.
pub(crate) struct SealKeys {
    pub(crate) signing: SigningKey,
    pub(crate) manifest: Manifest,
    pub(crate) rotating: Option<Rotating>,
}

/// A rotation whose event is in the trail, and whose checkpoint is still to come.
pub(crate) struct Rotating {
    pub(crate) next: SigningKey,
    /// Index of the event `trail.key_rotated`.
    pub(crate) index: u64,
    pub(crate) key_file: PathBuf,
    /// Where the next key was saved.
    pub(crate) next_file: PathBuf,
    /// Signed once: whether its writing failed is never certain, so it is written until it succeeds.
    pub(crate) signed: Option<Signed>,
}

/// The checkpoint that carries out a rotation.
pub(crate) struct Signed {
    checkpoint: Checkpoint,
    note: String,
    rotation: Rotation,
}

impl SealKeys {
    pub(crate) fn new(signing: SigningKey, manifest: Manifest) -> Self {
        SealKeys { signing, manifest, rotating: None }
    }

    /// The signed note of a checkpoint, with a line for each key rotation so far.
    pub(super) fn sign(&self, checkpoint: &Checkpoint) -> String {
        checkpoint.sign(&self.signing) + &self.rotation_lines()
    }

    fn rotation_lines(&self) -> String {
        let lines = self.manifest.keys.iter().filter_map(|key| key.vouched.as_deref());
        lines.map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// What to publish next: `newest`, or a smaller one that carries out a rotation and is not on disk yet.
    pub(super) fn next_note(&mut self, newest: Checkpoint) -> (Checkpoint, String) {
        let lines = self.rotation_lines();
        if let Some(rotating) = &mut self.rotating
            && (rotating.signed.is_some() || newest.size > rotating.index)
        {
            let signed = rotating.signed.get_or_insert_with(|| {
                let next = &rotating.next;
                let rotation =
                    Rotation::sign(&newest.origin, &self.signing, &next.verifying_key(), newest.size);
                let note = newest.sign_by(&[&self.signing, next]) + &lines + &rotation.to_signature_line();
                Signed { checkpoint: newest.clone(), note, rotation }
            });
            return (signed.checkpoint.clone(), signed.note.clone());
        }
        let note = self.sign(&newest);
        (newest, note)
    }

    /// Switches to the next key, if the checkpoint that says so is signed: it must be on disk by now.
    pub(super) fn carry_out(&mut self, folder: &Folder) -> io::Result<()> {
        let Some(Rotating { next, key_file, next_file, signed: Some(signed), .. }) = &self.rotating else {
            return Ok(());
        };
        let files = &**folder.files();
        let mut manifest = self.manifest.clone();
        manifest.rotate(&signed.rotation);
        files.replace(&folder.trail_toml(), manifest.to_toml().as_bytes(), false)?;
        match files.rename(next_file, key_file) {
            // An attempt that was reported as failed has done it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes = files.read(key_file, KEY_BYTES_MAX)?;
                if String::from_utf8_lossy(&bytes).trim() != next.to_private_string() {
                    return Err(error);
                }
            }
            done => done?,
        }
        *self = SealKeys::new(next.clone(), manifest);
        Ok(())
    }
}
