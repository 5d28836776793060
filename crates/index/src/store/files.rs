//! The files of the index: their names, who may open them, and which of them are no longer needed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::state::RangeRow;
use crate::error::{IndexError, io_at};

const MAIN: &str = "main.db";

pub(crate) fn main_path(folder: &Path) -> PathBuf {
    folder.join(MAIN)
}

pub(crate) fn range_path(folder: &Path, lo: u64) -> PathBuf {
    folder.join(format!("r{lo}.db"))
}

/// Where a range is built before it gets its name.
pub(crate) fn new_range_path(folder: &Path, lo: u64) -> PathBuf {
    folder.join(format!("r{lo}.db.tmp"))
}

/// The first index of the range in a file of this name.
fn range_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix('r')?;
    digits.strip_suffix(".db.tmp").or_else(|| digits.strip_suffix(".db"))?.parse().ok()
}

fn is_ours(name: &str) -> bool {
    name.strip_prefix(MAIN).is_some_and(|rest| ["", "-wal", "-shm", "-journal"].contains(&rest))
        || name.strip_suffix("-journal").and_then(range_of_name).is_some()
        || range_of_name(name).is_some()
}

/// Creates an empty file that only its owner can open.
pub(crate) fn create_private(path: &Path) -> Result<File, IndexError> {
    let failed = io_at("make", path);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)
}

pub(crate) fn create_folder(folder: &Path) -> Result<(), IndexError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(io_at("make", folder)),
    }
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), IndexError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_at("sync", folder))
}

/// Removes the index in `folder`: all of its files, and the folder if nothing else is in it. The trail loses nothing.
/// No process may be writing to the index.
///
/// # Errors
/// When a file cannot be removed.
pub fn remove(folder: impl AsRef<Path>) -> Result<(), IndexError> {
    let folder = folder.as_ref();
    // The main file first: without it the rest is not an index.
    let mut names: Vec<String> = ours_in(folder)?;
    names.sort_by_key(|name| name != MAIN);
    for name in names {
        let path = folder.join(name);
        std::fs::remove_file(&path).map_err(io_at("remove", &path))?;
    }
    match std::fs::remove_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Ok(())
        }
        other => other.map_err(io_at("remove", folder)),
    }
}

fn ours_in(folder: &Path) -> Result<Vec<String>, IndexError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io_at("list", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(io_at("list", folder))?.file_name();
        names.extend(name.into_string().ok().filter(|name| is_ours(name)));
    }
    Ok(names)
}

/// Removes range files that no row names, left by a killed process.
pub(crate) fn remove_strays(folder: &Path, ranges: &[RangeRow]) -> Result<(), IndexError> {
    for name in ours_in(folder)? {
        let Some(lo) = range_of_name(name.trim_end_matches("-journal")) else { continue };
        let path = folder.join(&name);
        let is_named = path == range_path(folder, lo) && ranges.iter().any(|range| range.lo == lo);
        if !is_named {
            std::fs::remove_file(&path).map_err(io_at("remove", &path))?;
        }
    }
    Ok(())
}
