//! The lists of retired lines in a trail that is copied.

use std::io;
use std::time::{Duration, Instant};

use trailseal_event::Index;

use super::error::{BackupError, failed};
use crate::folder::Folder;
use crate::lock;
use crate::retire::Journal;
use crate::segment::{parse_retired_name, retired_name};

/// How long a retirement of the running writer is waited for.
const RETIRING_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The first indexes of the segments with a list, and how long each list is.
pub(super) type Lists = Vec<(Index, u64)>;

/// The lists of a trail once no retirement of a running writer is going on. One that a killed writer has left is copied
/// as it is: the copy's opening ends it.
pub(super) fn settled(folder: &Folder) -> Result<Lists, BackupError> {
    let begun = Instant::now();
    let is_going_on =
        || -> io::Result<bool> { Ok(Journal::read(folder)?.is_some() && lock::held_by(folder)?.is_some()) };
    while is_going_on().map_err(failed("read", folder.root()))? {
        if begun.elapsed() > RETIRING_TIMEOUT {
            let what = "it has been retiring events for a minute: try again later".into();
            return Err(BackupError::Source { path: folder.root().to_owned(), what });
        }
        std::thread::sleep(LOOK_EVERY);
    }
    lists(folder)
}

pub(super) fn lists(folder: &Folder) -> Result<Lists, BackupError> {
    let segments = folder.segments_folder();
    let names = folder.files().list(&segments).map_err(failed("list", &segments))?;
    let mut lists = Vec::new();
    for name in names {
        let Some(first) = parse_retired_name(&name) else { continue };
        let path = segments.join(&name);
        let file = folder.files().open_read(&path).map_err(failed("open", &path))?;
        lists.push((first, file.len_bytes().map_err(failed("look at", &path))?));
    }
    Ok(lists)
}

/// How long the list of one segment is now; `None` if there is none.
pub(super) fn list_len(folder: &Folder, first: Index) -> Result<Option<u64>, BackupError> {
    let path = folder.segments_folder().join(retired_name(first));
    match folder.files().open_read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.and_then(|file| file.len_bytes()).map(Some).map_err(failed("look at", &path)),
    }
}
