//! What else says how many events a trail had, besides its own lines.
//!
//! Each witness is written only after the lines that it speaks of are durable. So at every point at which an honest
//! disk can stop, it names at most as many events as there are lines; if one names more, lines are missing.
//!
//! An anchor's file is also one: a checkpoint goes there only after it was put in place in the folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trailseal_tlog::{Checkpoint, KeyRing, SignedNote, notes_in};

use crate::folder::Folder;
use crate::handoff::HandoffHeader;
use crate::seal::Anchor;
use crate::trail::error::OpenError;

/// How much of an anchor's file is read, from its end.
const ANCHOR_BYTES: u64 = 4 << 20;

/// Something outside the lines that says how many events there were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// What it is, for people: `the index's cursor`.
    pub name: String,
    /// How many events were durable.
    pub events: u64,
}

/// Finds further witnesses in a trail's folder: a program that delivers to a store knows its cursor.
pub type FindWitnesses = Arc<dyn Fn(&Folder) -> Vec<Witness> + Send + Sync>;

/// The witnesses of a trail's own folder, and those that `find` knows.
pub(super) fn witnesses(
    folder: &Folder,
    find: Option<&FindWitnesses>,
    newest: &Checkpoint,
    handoffs: &[(PathBuf, Vec<u8>)],
) -> Vec<Witness> {
    let mut found = vec![Witness { name: "its newest checkpoint".into(), events: newest.size }];
    for (path, file) in handoffs {
        if let Some(header) = HandoffHeader::decode(file) {
            let name = format!("the durable mark in {}", path.display());
            found.push(Witness { name, events: header.durable });
        }
    }
    if let Some(find) = find {
        found.extend(find(folder));
    }
    found
}

/// Refuses if an anchor has seen a later checkpoint than the newest, or a different one of its size.
pub(super) fn check_anchors(
    anchors: &[Anchor],
    folder: &Folder,
    newest: &Checkpoint,
    ring: &KeyRing,
) -> Result<(), OpenError> {
    for anchor in anchors {
        let Anchor::File(path) = anchor else { continue };
        // One that cannot be read now is not a witness; a failure to write it is reported while the trail runs.
        let Ok(text) = read_end(folder, path) else { continue };
        for note in notes_in(&text) {
            let Some(claimed) = claimed(note, newest) else { continue };
            if let Ok((anchored, _)) = ring.open(note) {
                return Err(OpenError::RolledBack {
                    path: folder.root().to_owned(),
                    anchor: path.clone(),
                    newest: newest.size,
                    anchored: anchored.size.max(claimed),
                });
            }
        }
    }
    Ok(())
}

fn read_end(folder: &Folder, path: &Path) -> io::Result<String> {
    let file = folder.files().open_read(path)?;
    let len = file.len_bytes()?;
    let from = len.saturating_sub(ANCHOR_BYTES);
    let mut bytes = vec![0; (len - from) as usize];
    let count = file.read_at(from, &mut bytes)?;
    bytes.truncate(count);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The size of a note of this trail that is inconsistent with the newest checkpoint. Who signed it is not yet known.
fn claimed(note: &str, newest: &Checkpoint) -> Option<u64> {
    let claimed = Checkpoint::parse(SignedNote::parse(note).ok()?.text()).ok()?;
    let is_other = claimed.size > newest.size || claimed.size == newest.size && claimed.root != newest.root;
    (claimed.origin == newest.origin && is_other).then_some(claimed.size)
}
