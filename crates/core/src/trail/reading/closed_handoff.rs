//! A handoff that this user may not read: the events that are only in it are missing from what is shown.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::folder::Folder;
use crate::lock;

/// The handoff of the trail in `folder` that may hold events that this user cannot see: the last writer did not close the trail, and
/// only the handoff's owner may read it.
pub fn closed_handoff(folder: &Folder) -> Option<PathBuf> {
    // While a writer lives, what it has written is shown, to everybody alike.
    if lock::held_by(folder).ok()?.is_some() {
        return None;
    }
    let left = lock::left_in(folder);
    if left.closed {
        return None;
    }
    let is_closed_to_us = |path: &PathBuf| {
        let opened = folder.files().open_read(path);
        opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    left.handoff.into_iter().chain([folder.handoff()]).find(is_closed_to_us)
}
