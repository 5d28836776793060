//! What is at the handoff's path: only a handoff of this trail is ever replaced or removed.

use std::fs;
use std::io;
use std::path::Path;

use super::header::HandoffHeader;
use super::map::HEADER_LEN;
use super::owner::Owner;
use crate::file::Files;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lies {
    /// Nothing.
    Nothing,
    /// A handoff of this trail: it has the magic and the trail's mark. A handoff gets its name with both in it, so ours
    /// always has them, wherever we were stopped.
    Own,
    /// A handoff of this trail in another folder: this one is a copy of that, or the other way round.
    Elsewhere,
    /// An empty file.
    Empty,
    /// Something else, which is not ours.
    Foreign,
}

/// What is at `path`, for this owner.
pub(crate) fn lies_at(files: &dyn Files, path: &Path, owner: &Owner) -> Lies {
    if cfg!(trailseal_fault = "foreign_handoff_taken") {
        return Lies::Own;
    }
    let data = fs::symlink_metadata(path);
    if let Ok(data) = &data
        && !data.is_file()
    {
        // Neither followed nor opened: a pipe would never respond.
        return Lies::Foreign;
    }
    match handoff_header(files, path) {
        Some(header) if header.trail != owner.trail => Lies::Foreign,
        Some(header) if owner.may_take(path, &header) => Lies::Own,
        Some(_) => Lies::Elsewhere,
        None => match data {
            Ok(data) if data.len() == 0 => Lies::Empty,
            Ok(_) => Lies::Foreign,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Lies::Nothing,
            // What cannot be read cannot be known to be ours.
            Err(_) => Lies::Foreign,
        },
    }
}

/// The header of a handoff file; `None` if it cannot be read.
pub(crate) fn handoff_header(files: &dyn Files, path: &Path) -> Option<HandoffHeader> {
    let mut header = [0; HEADER_LEN];
    let count = files.open_read(path).ok()?.read_at(0, &mut header).ok()?;
    HandoffHeader::decode(&header[..count])
}

/// The same for a handoff of this owner, if there is one.
pub(crate) fn own_header(files: &dyn Files, path: &Path, owner: &Owner) -> Option<HandoffHeader> {
    if lies_at(files, path, owner) == Lies::Own { handoff_header(files, path) } else { None }
}

/// Removes what is there: a handoff that is no longer needed, or an empty file in its place.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}
