//! Creates a trail: in what order, and when not.
//!
//! The order, each step on disk before the next: folders and the empty tree → key → `<key file>.origin` → checkpoint of
//! size 0 → `trail.toml`. A folder with only the earlier ones is an interrupted creation, which continues. A folder
//! with anything that only a complete trail has, or a key that has signed for one, is a trail that lost something:
//! creating another in its place would sign size 0 over it, so that is refused.

use std::io;
use std::path::{Path, PathBuf};

use sha2::Digest as _;
use trailseal_tlog::{Checkpoint, Origin, SigningKey, empty_root};

use super::options::Options;
use crate::file::Files;
use crate::folder::Folder;
use crate::handoff::{HandoffHeader, replay};
use crate::manifest::Manifest;
use crate::trail::error::OpenError;
use crate::trail::keys::signing_key::{key_file, read_signing_key};
use crate::trail::slots::slots_in;

const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;
/// A handoff file larger than this is not one of ours.
const HANDOFF_BYTES_MAX: u64 = 16 << 30;
/// The second line of `<key file>.origin` until the trail is complete.
const MAKING: &str = "making";

/// Refuses if no trail may be created, before anything is written.
pub(super) fn check_may_make(folder: &Folder, options: &Options) -> Result<(), OpenError> {
    let files = &**folder.files();
    let path = folder.root().to_owned();
    if is_there(files, &folder.trail_toml())? {
        return Ok(());
    }
    if !options.create {
        return Err(OpenError::NotMade { path });
    }
    let holds_slots = match slots_in(&path, files) {
        Ok(slots) => !slots.is_empty(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(OpenError::io("list", &path)(error)),
    };
    if holds_slots && !cfg!(trailseal_fault = "trail_over_slots") {
        return Err(OpenError::HoldsSlots { path });
    }
    Ok(())
}

/// A new trail in `folder`. `handoffs` are the places where one could be.
pub(in crate::trail) fn make(
    folder: &Folder,
    options: &Options,
    handoffs: &[PathBuf],
) -> Result<(Manifest, SigningKey), OpenError> {
    let files = &**folder.files();
    let key_path = key_file(folder, options.key_file.as_deref());
    let held = read_signing_key(files, &key_path)?;
    refuse_left_over(folder, held.as_ref())?;
    let held_text = held.as_ref().map(SigningKey::to_private_string);
    let signing = match held {
        Some(held) => SigningKey::from_seed(origin(options, &held.seed())?.as_str(), &held.seed()),
        None => {
            let mut seed = [0; 32];
            getrandom::getrandom(&mut seed)
                .map_err(|error| OpenError::Key { path: key_path.clone(), what: error.to_string() })?;
            SigningKey::from_seed(origin(options, &seed)?.as_str(), &seed)
        }
    };
    refuse_used_handoff(folder, handoffs, HandoffHeader::trail_mark(signing.name()))?;
    refuse_used_key(files, &key_path, &signing)?;
    make_folders(folder, files)?;
    let write = |path: &Path, text: &str, is_private: bool| {
        files.replace(path, text.as_bytes(), is_private).map_err(OpenError::io("write", path))
    };
    // An existing one may be where it can only be read.
    if held_text.as_deref() != Some(&signing.to_private_string()) {
        let written = files.replace(&key_path, signing.to_private_string().as_bytes(), true);
        written.map_err(|error| key_not_written(&key_path, error))?;
    }
    note_making(files, &key_path, signing.name())?;
    let origin = Origin::new(signing.name()).map_err(|error| OpenError::Origin(error.to_string()))?;
    let note = Checkpoint::new(origin.clone(), 0, empty_root()).sign(&signing);
    write(&folder.checkpoint(), &note, false)?;
    let manifest = Manifest::new(origin, options.clock.now(), signing.verifying_key());
    write(&folder.trail_toml(), &manifest.to_toml(), false)?;
    note_made(files, &key_path, signing.name())?;
    Ok((manifest, signing))
}

fn key_not_written(path: &Path, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::NotFound => OpenError::Key {
            path: path.to_owned(),
            what: "cannot be made, since its folder does not exist: make that, or correct key_file"
                .to_owned(),
        },
        _ => OpenError::io("write", path)(error),
    }
}

/// Records next to the key for which trail it is about to sign.
fn note_making(files: &dyn Files, key_path: &Path, origin: &str) -> Result<(), OpenError> {
    let (path, text) = (origin_file(key_path), format!("{origin}\n{MAKING}\n"));
    match files.read(&path, SMALL_FILE_BYTES_MAX) {
        Ok(bytes) if bytes == text.as_bytes() => Ok(()),
        _ => files.replace(&path, text.as_bytes(), false).map_err(|error| OpenError::Key {
            path: key_path.to_owned(),
            what: format!(
                "cannot be recorded as this trail's ({error}): make its folder writable while the trail is created, \
                 or create the file {} yourself, with the lines `{origin}` and `{MAKING}`",
                path.display()
            ),
        }),
    }
}

/// Records next to the key that it has signed for this trail: after that it is used for no other.
pub(super) fn note_made(files: &dyn Files, key_path: &Path, origin: &str) -> Result<(), OpenError> {
    let (path, text) = (origin_file(key_path), format!("{origin}\n"));
    match files.read(&path, SMALL_FILE_BYTES_MAX) {
        Ok(bytes) if bytes == text.as_bytes() => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::io("read", path)(error)),
        _ => match files.replace(&path, text.as_bytes(), false) {
            // The key may be in a read-only place; the trail is complete and knows its key.
            Err(error) if is_read_only(&error) => Ok(()),
            done => done.map_err(OpenError::io("write", path)),
        },
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn origin(options: &Options, seed: &[u8; 32]) -> Result<Origin, OpenError> {
    let text = match &options.origin {
        Some(origin) => origin.clone(),
        None => default_origin(seed),
    };
    Origin::new(&text).map_err(|error| OpenError::Origin(error.to_string()))
}

/// `trailseal.local/` and the first 16 hex digits of the public key's SHA-256.
fn default_origin(seed: &[u8; 32]) -> String {
    let public = SigningKey::from_seed("trailseal.local", seed).verifying_key();
    let digest = sha2::Sha256::digest(public.as_bytes());
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("trailseal.local/{digits}")
}

fn make_folders(folder: &Folder, files: &dyn Files) -> Result<(), OpenError> {
    for needed in [
        folder.segments_folder(),
        folder.keys_folder(),
        folder.kept_checkpoints_folder(),
        folder.tree_folder(),
    ] {
        files.create_folder(&needed).map_err(OpenError::io("make", &needed))?;
    }
    let leaves = folder.tree_level(0);
    match files.create_append(&leaves) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(OpenError::io("make", leaves)(error))
        }
        _ => Ok(()),
    }
}

/// Where it is recorded for which trail a key has signed.
pub(super) fn origin_file(key_path: &Path) -> PathBuf {
    let mut name = key_path.as_os_str().to_owned();
    name.push(".origin");
    PathBuf::from(name)
}

fn refuse_used_key(files: &dyn Files, key_path: &Path, signing: &SigningKey) -> Result<(), OpenError> {
    let path = origin_file(key_path);
    let text = match files.read(&path, SMALL_FILE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(OpenError::io("read", &path))?,
    };
    let text = String::from_utf8_lossy(&text);
    if text == format!("{}\n{MAKING}\n", signing.name()) {
        return Ok(());
    }
    let used_for = text.lines().next().unwrap_or_default();
    Err(OpenError::Key {
        path: key_path.to_owned(),
        what: format!(
            "has signed for the trail {used_for}, which is not here: check that its volume is mounted and that dir is \
             correct. A key is used for only one trail: for a new one, set key_file to another place"
        ),
    })
}

fn left(path: &Path, what: &str) -> Result<(), OpenError> {
    let what =
        format!("{what}, but trail.toml is missing: put it back from a backup, or choose another folder");
    Err(OpenError::Damaged { path: path.to_owned(), what })
}

/// Refuses if something exists that an interrupted creation would not have written yet.
fn refuse_left_over(folder: &Folder, held: Option<&SigningKey>) -> Result<(), OpenError> {
    let files = &**folder.files();
    for (path, what) in [
        (folder.segments_folder(), "it holds segments of a trail"),
        (folder.kept_checkpoints_folder(), "it holds checkpoints of a trail"),
        (folder.root().join("index"), "it is the index of a trail"),
        (folder.root().join("tile"), "it is the tree of a trail, as an unreleased version wrote it"),
    ] {
        if !files.list(&path).map_err(OpenError::io("list", &path))?.is_empty() {
            return left(&path, what);
        }
    }
    for name in files.list(&folder.tree_folder()).map_err(OpenError::io("list", folder.tree_folder()))? {
        let path = folder.tree_folder().join(name);
        let file = files.open_read(&path).map_err(OpenError::io("open", &path))?;
        if file.len_bytes().map_err(OpenError::io("look at", &path))? > 0 {
            return left(&path, "it holds the tree of a trail");
        }
    }
    let path = folder.checkpoint();
    match files.read(&path, SMALL_FILE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(bytes) if is_first(&String::from_utf8_lossy(&bytes), held) => {}
        Ok(_) => return left(&path, "it is the checkpoint of a trail"),
        Err(error) => return Err(OpenError::io("read", path)(error)),
    }
    Ok(())
}

/// Refuses if a handoff holds events of this trail. One elsewhere may be another trail's, which is reported later.
fn refuse_used_handoff(folder: &Folder, handoffs: &[PathBuf], mark: u64) -> Result<(), OpenError> {
    for path in handoffs {
        let bytes = match folder.files().read(path, HANDOFF_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read.map_err(OpenError::io("read", path))?,
        };
        let is_ours = *path == folder.handoff()
            || HandoffHeader::decode(&bytes).is_some_and(|header| header.trail == mark);
        if is_ours && holds_events(&bytes) {
            return left(path, "it is a handoff with events of a trail");
        }
    }
    Ok(())
}

/// Whether the note is the checkpoint of size 0 that a creation signs with this key.
fn is_first(note: &str, held: Option<&SigningKey>) -> bool {
    let Some(held) = held else { return false };
    let Ok(origin) = Origin::new(held.name()) else { return false };
    Checkpoint::open(note, &origin, &[held.verifying_key()]).is_ok_and(|(checkpoint, _)| checkpoint.size == 0)
}

/// Whether a handoff was ever used: frames in it, or a mark above 0.
fn holds_events(file: &[u8]) -> bool {
    let Some(header) = HandoffHeader::decode(file) else { return false };
    header.durable > 0 || replay(file, 0, |_, _| {}) > 0
}

fn is_there(files: &dyn Files, path: &Path) -> Result<bool, OpenError> {
    match files.read(path, SMALL_FILE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        // Whatever else is wrong with it is reported by whoever reads it.
        _ => Ok(true),
    }
}
