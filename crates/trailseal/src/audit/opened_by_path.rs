//! Trails that are opened by their path: once in a process, whoever asks.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::storage::StorageError;
use crate::{OpenError, Trail};

/// How long the end of one is waited for that is being closed.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What is opened at most once at a path.
pub(super) struct Shared<T>(Mutex<Option<HashMap<PathBuf, Place<T>>>>);

/// What was opened at one path. Locked while that is opened, which may take long, and waited for by nobody elsewhere.
type Place<T> = Arc<Mutex<Option<Weak<T>>>>;

impl<T> Shared<T> {
    pub(super) const fn new() -> Self {
        Shared(Mutex::new(None))
    }

    /// That which is open at `path` and of use, or what `open` gives.
    pub(super) fn get_or_open(
        &self,
        path: &Path,
        is_of_use: impl Fn(&T) -> bool,
        open: impl Fn() -> Result<T, StorageError>,
    ) -> Result<Arc<T>, StorageError> {
        let place = self.place(path);
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = place.as_ref().and_then(Weak::upgrade).filter(|shared| is_of_use(shared)) {
            return Ok(shared);
        }
        let until = place.as_ref().map(|_| Instant::now() + CLOSED_WITHIN);
        let shared = loop {
            match open() {
                // It has just been closed, or its last user in this process has let go of it, and that takes a moment.
                Err(StorageError::Open(error)) if is_held_here(&error) => match until {
                    Some(until) if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
                    _ => return Err(StorageError::Open(error)),
                },
                other => break Arc::new(other?),
            }
        };
        *place = Some(Arc::downgrade(&shared));
        Ok(shared)
    }

    fn place(&self, path: &Path) -> Place<T> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places = places.get_or_insert_default();
        places.retain(|known, place| {
            let is_open = || match place.try_lock() {
                Ok(place) => place.as_ref().is_some_and(|opened| opened.strong_count() > 0),
                Err(_) => true,
            };
            known == path || Arc::strong_count(place) > 1 || is_open()
        });
        places.entry(path.to_owned()).or_default().clone()
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
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", parent.display()));
        std::fs::create_dir_all(parent).map_err(at)?;
    }
    Ok(Trail::open_with(dir, options)?)
}
