//! The sinks that must have received an event before that may be retired.
//!
//! They are kept in `sinks.toml` with the cursor that each had when it was last seen: one that is not attached has at
//! least everything below that.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use trailseal_event::{Index, Object};

use super::error::ForgetSinkError;
use super::rule::KnownSink;
use crate::folder::Folder;
use crate::trail::open_trail::{Inner, Trail};

const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Default, Serialize, Deserialize)]
struct Sinks {
    /// Names and cursors.
    #[serde(default)]
    cursor: BTreeMap<String, u64>,
}

impl Folder {
    pub(super) fn sinks_file(&self) -> PathBuf {
        self.root().join("sinks.toml")
    }
}

fn read(folder: &Folder) -> io::Result<Sinks> {
    match folder.files().read(&folder.sinks_file(), FILE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Sinks::default()),
        Err(error) => Err(error),
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            toml::from_str(&text)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.message().to_owned()))
        }
    }
}

fn write(folder: &Folder, sinks: &Sinks) -> io::Result<()> {
    let text = toml::to_string(sinks).map_err(io::Error::other)?;
    folder.files().replace(&folder.sinks_file(), text.as_bytes(), false)
}

/// The sinks that must have received an event of the trail in `folder` before that may be retired, as they were last seen, for
/// anybody who may read it.
///
/// # Errors
/// When their file cannot be read.
pub fn sinks_in(folder: &Folder) -> io::Result<Vec<KnownSink>> {
    let known = read(folder)?.cursor.into_iter();
    Ok(known
        .map(|(name, cursor)| KnownSink { name, cursor: Index::new(cursor), is_attached: false })
        .collect())
}

impl Trail {
    /// The sinks that must have received an event before that may be retired.
    ///
    /// # Errors
    /// When their file cannot be read.
    pub fn sinks(&self) -> io::Result<Vec<KnownSink>> {
        self.inner.known_sinks()
    }

    /// Forgets a sink that is gone for good, so that it holds up no retirement any more; returns the event that says so.
    ///
    /// # Errors
    /// When there is none of this name, it is attached, or the disk fails.
    pub fn forget_sink(&self, name: &str) -> Result<Index, ForgetSinkError> {
        let _lock = self.inner.hold_lock()?;
        let folder = self.folder();
        let failed = |source| ForgetSinkError::Io { path: folder.sinks_file(), source };
        let known = self.sinks().map_err(failed)?;
        match known.iter().find(|sink| sink.name == name) {
            None => {
                let known = known.into_iter().map(|sink| sink.name).collect();
                return Err(ForgetSinkError::Unknown { name: name.into(), known });
            }
            Some(sink) if sink.is_attached => {
                return Err(ForgetSinkError::Attached { name: name.into() });
            }
            Some(_) => {}
        }
        let mut details = Object::default();
        details.insert("sink", name);
        let index = self.record_system("trail.sink_forgotten", details)?;
        let _changing = self.inner.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sinks = read(folder).map_err(failed)?;
        sinks.cursor.remove(name);
        write(folder, &sinks).map_err(failed)?;
        Ok(Index::new(index))
    }
}

impl Inner {
    /// Notes that a sink is being attached.
    pub(in super::super) fn note_sink(&self, name: &str) -> io::Result<()> {
        let _changing = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sinks = read(&self.log.folder)?;
        if sinks.cursor.contains_key(name) {
            return Ok(());
        }
        sinks.cursor.insert(name.to_owned(), 0);
        write(&self.log.folder, &sinks)
    }

    /// Notes how far the attached sinks are. Without it they only hold up more than they must.
    pub(in super::super) fn note_cursors(&self) -> io::Result<()> {
        let known = self.known_sinks()?;
        let _changing = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sinks = read(&self.log.folder)?;
        let before = sinks.cursor.clone();
        for sink in known.into_iter().filter(|sink| sink.is_attached) {
            sinks.cursor.insert(sink.name, sink.cursor.get());
        }
        if sinks.cursor == before { Ok(()) } else { write(&self.log.folder, &sinks) }
    }

    pub(super) fn known_sinks(&self) -> io::Result<Vec<KnownSink>> {
        self.known_sinks_under(&self.sinks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, while none can be attached.
    pub(super) fn known_sinks_under(&self, _attaching: &MutexGuard<'_, ()>) -> io::Result<Vec<KnownSink>> {
        let seen = sinks_in(&self.log.folder)?.into_iter();
        let mut known: BTreeMap<String, KnownSink> = seen.map(|sink| (sink.name.clone(), sink)).collect();
        // One that is attached says itself how far it is: nothing, until it has connected.
        for (name, cursor) in self.attached_cursors() {
            let sink = KnownSink { name: name.clone(), cursor, is_attached: true };
            known.insert(name, sink);
        }
        Ok(known.into_values().collect())
    }
}
