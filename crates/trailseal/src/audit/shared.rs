//! Trails that are opened by their path: once in a process, whoever asks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::storage::StorageError;
use crate::{OpenError, Trail};

/// How long the end of one is waited for that is being closed.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What is opened at most once at a path.
pub(super) struct Shared<T>(Mutex<Option<HashMap<PathBuf, Weak<T>>>>);

impl<T> Shared<T> {
    pub(super) const fn new() -> Self {
        Shared(Mutex::new(None))
    }

    /// That which is open at `path`, or what `open` gives.
    pub(super) fn get_or_open(
        &self,
        path: &Path,
        open: impl Fn() -> Result<T, StorageError>,
    ) -> Result<Arc<T>, StorageError> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = opened.get_or_insert_default();
        opened.retain(|known, weak| known == path || weak.strong_count() > 0);
        let before = opened.get(path);
        if let Some(shared) = before.and_then(Weak::upgrade) {
            return Ok(shared);
        }
        let until = before.map(|_| Instant::now() + CLOSED_WITHIN);
        let shared = loop {
            match open() {
                // The last user in this process has just let go of it, and it is being closed.
                Err(StorageError::Open(error)) if is_held_here(&error) => match until {
                    Some(until) if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
                    _ => return Err(StorageError::Open(error)),
                },
                other => break Arc::new(other?),
            }
        };
        opened.insert(path.to_owned(), Arc::downgrade(&shared));
        Ok(shared)
    }
}

fn is_held_here(error: &OpenError) -> bool {
    matches!(error, OpenError::Locked { holder, .. } if holder.pid == Some(std::process::id()))
}

/// The path as it is the same for all who name this file, which need not exist.
pub(super) fn whole_path(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (absolute.parent().and_then(|folder| folder.canonicalize().ok()), absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// Opens a trail for 004's names: what its folder lies in is made, too.
pub(super) fn open(dir: &Path, options: crate::Options) -> Result<Trail, StorageError> {
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    Ok(Trail::open_with(dir, options)?)
}
