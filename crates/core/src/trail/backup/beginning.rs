//! Whether a copy is still a beginning of its trail, so that the next backup may append to it.
//!
//! A trail and a copy of it that continued by itself differ in every line after the fork, and so in every later hash
//! and byte: the last bytes of a file are enough to tell. Nothing is written before everything was checked.

use std::io;
use std::path::{Path, PathBuf};

use trailseal_event::Index;
use trailseal_tlog::{Checkpoint, KeyRing, TILE_LEVELS};

use super::error::{BackupError, failed};
use super::lists::{Lists, lists};
use crate::file::Files;
use crate::folder::Folder;
use crate::segment::{Form, NumberedLines, RetiredList, parse_segment_name, segment_name};
use crate::tree::root_of;

/// How much of a file's end is compared.
const COMPARED_BYTES: usize = 64 << 10;
/// What only a writer makes.
const WRITERS_OWN: [&str; 3] = ["lock", "handoff", "index"];

const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;

/// Refuses a copy in `to` that is not a beginning of the trail in `from`, whose newest checkpoint is `newest`.
pub(super) fn check(
    from: &Folder,
    to: &Folder,
    ring: &KeyRing,
    newest: &Checkpoint,
) -> Result<(), BackupError> {
    let names = to.files().list(to.root()).map_err(failed("list", to.root()))?;
    if let Some(name) = names.iter().find(|name| WRITERS_OWN.contains(&name.as_str())) {
        return Err(went_on(to.root(), format!("it was opened for writing (there is `{name}` in it)")));
    }
    check_checkpoint(from, to, ring, newest)?;
    for level in 0..TILE_LEVELS {
        let (ours, theirs) = (from.tree_level(level), to.tree_level(level));
        if !begins(&**from.files(), &ours, &theirs)?.unwrap_or(false) {
            return Err(differs(to, &theirs));
        }
    }
    check_segments(from, to)
}

fn went_on(path: &Path, what: String) -> BackupError {
    BackupError::WentOn { path: path.to_owned(), what }
}

fn differs(to: &Folder, path: &Path) -> BackupError {
    let name = path.strip_prefix(to.root()).unwrap_or(path);
    went_on(to.root(), format!("{} is not the trail's", name.display()))
}

fn check_checkpoint(
    from: &Folder,
    to: &Folder,
    ring: &KeyRing,
    newest: &Checkpoint,
) -> Result<(), BackupError> {
    let path = to.checkpoint();
    let note = match to.files().read(&path, CHECKPOINT_BYTES_MAX) {
        // The first backup was interrupted before it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(failed("read", &path))?,
    };
    let (kept, _) = ring
        .open(&String::from_utf8_lossy(&note))
        .map_err(|error| went_on(to.root(), format!("its checkpoint is not one of the trail's: {error}")))?;
    let root = match kept.size <= newest.size {
        true => root_of(from, kept.size).map_err(failed("read", &from.tree_folder()))?,
        false => None,
    };
    if root != Some(kept.root) {
        let what =
            format!("the trail does not begin with the {} events that its checkpoint signs", kept.size);
        return Err(went_on(to.root(), what));
    }
    Ok(())
}

fn check_segments(from: &Folder, to: &Folder) -> Result<(), BackupError> {
    let folder = to.segments_folder();
    let names = to.files().list(&folder).map_err(failed("list", &folder))?;
    let retired: Vec<Index> = lists(from)?.into_iter().map(|(first, _)| first).collect();
    for (first, form) in names.iter().filter_map(|name| parse_segment_name(name)) {
        let path = |of: &Folder, form| of.segments_folder().join(segment_name(first, form));
        if retired.contains(&first) {
            // Its lines are fewer than when it was copied.
            continue;
        }
        let is_beginning = match form {
            Form::Plain => begins(&**from.files(), &path(from, form), &path(to, form))?,
            Form::Compressed | Form::Gone => None,
        };
        let is_beginning = match is_beginning {
            Some(is_beginning) => is_beginning,
            // Another form of it replaces this one completely.
            None => is_there(from, first)?,
        };
        if !is_beginning {
            return Err(differs(to, &path(to, form)));
        }
    }
    Ok(())
}

/// Refuses a copy that has a part of a segment of which lines were retired since. Its checkpoint is for the lines that it
/// has; the others of that segment are gone, and the next segments cannot follow without them.
pub(super) fn check_half_copied(from: &Folder, to: &Folder, lists: &Lists) -> Result<(), BackupError> {
    if to.files().open_read(&to.checkpoint()).is_err() {
        // It never was one: what is there is replaced.
        return Ok(());
    }
    let segments = to.segments().map_err(failed("list", &to.segments_folder()));
    let Some(last) = segments?.pop().filter(|last| last.form == Form::Plain) else { return Ok(()) };
    if !lists.iter().any(|(first, _)| *first == last.first) {
        return Ok(());
    }
    let ours = from.segments_and_gone().map_err(failed("list", &from.segments_folder()))?;
    let end = ours.iter().find(|segment| segment.first == last.first).and_then(|segment| segment.end);
    let read = || {
        let mut lines = NumberedLines::open(to.files(), &last)?;
        while lines.next()?.is_some() {}
        Ok(lines.index())
    };
    let copied = read().map_err(failed("read", &last.path))?;
    let list = RetiredList::load(&**from.files(), &from.segments_folder(), last.first);
    let list = list.map_err(failed("read", &from.segments_folder()))?;
    let is_whole = end.is_some_and(|end| copied >= end.get() || list.covers(copied..end.get()).is_some());
    if !is_whole && !cfg!(trailseal_fault = "half_copied_passed_over") {
        let what = format!(
            "it ends with event {copied}, in the middle of a segment of which events were retired since that backup"
        );
        return Err(went_on(to.root(), what));
    }
    Ok(())
}

fn is_there(from: &Folder, first: Index) -> Result<bool, BackupError> {
    let folder = from.segments_folder();
    let names = from.files().list(&folder).map_err(failed("list", &folder))?;
    Ok(names.iter().filter_map(|name| parse_segment_name(name)).any(|(other, _)| other == first))
}

/// Whether the file `theirs` ends as `ours` does at that length; `None` if only `ours` is missing.
fn begins(files: &dyn Files, ours: &Path, theirs: &Path) -> Result<Option<bool>, BackupError> {
    let open = |path: &Path| match files.open_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(failed("open", path)),
    };
    let Some(copied) = open(theirs)? else { return Ok(Some(true)) };
    let Some(source) = open(ours)? else { return Ok(None) };
    let end = copied.len_bytes().map_err(failed("look at", theirs))?;
    ends_alike(&*source, &*copied, end).map(Some).map_err(failed("compare", theirs))
}

/// Whether the last bytes before `end` are the same in both files.
pub(super) fn ends_alike(
    ours: &dyn crate::file::ReadFile,
    theirs: &dyn crate::file::ReadFile,
    end: u64,
) -> io::Result<bool> {
    if cfg!(trailseal_fault = "backup_not_compared") {
        return Ok(true);
    }
    let from = end.saturating_sub(COMPARED_BYTES as u64);
    let len = (end - from) as usize;
    let (mut left, mut right) = (vec![0; len], vec![0; len]);
    let is_whole = ours.read_at(from, &mut left)? == len && theirs.read_at(from, &mut right)? == len;
    Ok(is_whole && left == right)
}

/// Removes a file of the copy durably, if it is there: a rename is durable, a removal is not.
pub(super) fn remove_for_good(files: &dyn Files, path: &Path) -> Result<(), BackupError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".tmp");
    let aside = PathBuf::from(aside);
    match files.rename(path, &aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", path)(error)),
        _ => {}
    }
    // Nobody reads it, and an earlier run may have been interrupted here.
    let _ = files.remove(&aside);
    Ok(())
}
