//! What can go wrong with a trail, by family of operations.

use std::io;
use std::path::{Path, PathBuf};

use trailseal_event::mask::MaskError;
use trailseal_event::{Index, NoAction};

use super::secrets::SecretError;
use crate::gate::Shut;
use crate::handoff::{Handoff, Refused};
use crate::lock::Holder;

/// Why a trail could not be opened. Nothing that was accepted is lost by it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process writes to it.
    #[error("{} is in use by {}: stop that process, or choose another folder", path.display(), holder_text(holder))]
    Locked {
        /// The trail's folder.
        path: PathBuf,
        /// Who.
        holder: Holder,
    },
    /// The events are not those that were signed.
    #[error("event {first_bad} of {} is not the one that was signed: keep the folder as it is and run `trailseal verify`", path.display())]
    Tampered {
        /// The trail's folder.
        path: PathBuf,
        /// The first event that differs, or is missing.
        first_bad: Index,
    },
    /// Lines are missing: something that is written only after them says that there were more.
    #[error(
        "events {from}..{to} of {} are missing or damaged: {witness} says that there were {to}; keep the folder as it is, \
         run `trailseal verify`, and put them back from a backup", path.display()
    )]
    Missing {
        /// The trail's folder.
        path: PathBuf,
        /// The first event that is not there.
        from: u64,
        /// How many there were.
        to: u64,
        /// What says so.
        witness: String,
    },
    /// An anchor has a later checkpoint than the folder, or another one of the same size.
    #[error(
        "{} was set back to an older state: its newest checkpoint covers {newest} events, and {} has one of {anchored}; \
         keep the folder as it is, and restore the newer one", path.display(), anchor.display()
    )]
    RolledBack {
        /// The trail's folder.
        path: PathBuf,
        /// The anchor's file.
        anchor: PathBuf,
        /// Events that the folder's newest checkpoint covers.
        newest: u64,
        /// Events that the anchored one covers.
        anchored: u64,
    },
    /// There is no trail, and none may be made.
    #[error(
        "{} holds no trail, and `create = false` lets none be made: look whether its volume is mounted and dir is right", path.display()
    )]
    NotMade {
        /// The folder.
        path: PathBuf,
    },
    /// A line that no checkpoint covers yet cannot have been recorded.
    #[error(
        "event {index} of {} follows `trail.closed` without an opening, so nobody has recorded it: keep the folder as it \
         is and run `trailseal verify`", path.display()
    )]
    NotRecorded {
        /// The trail's folder.
        path: PathBuf,
        /// The event.
        index: Index,
    },
    /// The trail cannot go on as it is.
    #[error(
        "{reason}; where nothing better can be restored, `trailseal succeed {} --dir NEW --origin ORIGIN` begins a new \
         trail that names the good end of this one", dir.display()
    )]
    Refused {
        /// The trail's folder.
        dir: PathBuf,
        /// Why.
        #[source]
        reason: Box<OpenError>,
    },
    /// The folder does not hold a whole trail.
    #[error("{} is damaged: {what}; keep the folder as it is and run `trailseal verify`", path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Where the handoff should be lies a file that is not one of this trail's.
    #[error("{} is not a handoff of this trail, or cannot be read, and so is left as it is: move it away, or name another place in handoff.path", path.display())]
    ForeignHandoff {
        /// The file.
        path: PathBuf,
    },
    /// Its file system is a network's.
    #[error("{} is on a network file system ({kind}), whose locks and syncs cannot be relied on: choose a local folder, or allow it explicitly", path.display())]
    NetworkFileSystem {
        /// The trail's folder.
        path: PathBuf,
        /// Which.
        kind: &'static str,
    },
    /// The origin asked for is not the trail's, or no origin.
    #[error("{0}")]
    Origin(String),
    /// The signing key cannot be used.
    #[error("the signing key {} {what}", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// What is to be masked cannot be understood.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// The key for masking by hashes cannot be used.
    #[error(transparent)]
    MaskKey(#[from] SecretError),
    /// A file operation failed.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// What is wrong, without the way on.
    pub fn reason(&self) -> &OpenError {
        match self {
            OpenError::Refused { reason, .. } => reason,
            other => other,
        }
    }

    /// Names the way on, where the trail in `dir` cannot go on as it is.
    pub(super) fn with_way_on(self, dir: &Path) -> OpenError {
        match self {
            OpenError::Tampered { .. }
            | OpenError::Missing { .. }
            | OpenError::RolledBack { .. }
            | OpenError::NotRecorded { .. }
            | OpenError::Damaged { .. }
            | OpenError::Key { .. } => OpenError::Refused { dir: dir.to_owned(), reason: Box::new(self) },
            other => other,
        }
    }

    /// For `map_err`: names what was tried, and on what.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.into();
        move |source| OpenError::Io { action, path, source }
    }
}

fn holder_text(holder: &Holder) -> String {
    match holder.pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".into(),
    }
}

/// Why an event did not get where it should. All but the last mean *refused*: it was given no index, and will
/// never be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The event has no action.
    #[error(transparent)]
    NoAction(#[from] NoAction),
    /// The handoff buffer stayed full until the deadline.
    #[error("the handoff buffer stayed full: the disk is slower than the events, or handoff.size too small")]
    Full,
    /// The lines of one batch exceed a quarter of the handoff buffer, those of its flags included.
    #[error(
        "with what the trail adds the batch exceeds {max_bytes} bytes, a quarter of the handoff buffer: send smaller ones"
    )]
    TooLarge {
        /// How much a batch may have.
        max_bytes: u64,
    },
    /// The trail was closed.
    #[error("the trail is closed")]
    Closed,
    /// This process is a forked child of the one that opened the trail.
    #[error("the trail was opened before a fork: open it again in this process, in a folder of its own")]
    Forked,
    /// Less than the disk reserve is free.
    #[error("less than the disk reserve is free: make room, or lower disk_reserve")]
    DiskReserve,
    /// The trail's path does not lead to its folder any more.
    #[error(
        "the trail's folder was moved or removed while it was written: put it back, or open it where it is"
    )]
    FolderMoved,
    /// The disk does not take lines; what was accepted before is kept and tried again.
    #[error("the disk does not take lines: see the log for the reason")]
    DiskFailing,
    /// The event has an index and is kept, but did not reach the level asked for in time.
    #[error("event {index} is kept, but was not confirmed in time: a retry with the same id {id} is safe")]
    Unconfirmed {
        /// Its index.
        index: Index,
        /// Its id.
        id: trailseal_event::complete::EventId,
    },
}

impl RecordError {
    pub(super) fn of_shut(shut: Shut) -> RecordError {
        match shut {
            Shut::Closed => RecordError::Closed,
            Shut::DiskReserve => RecordError::DiskReserve,
            Shut::FolderMoved => RecordError::FolderMoved,
            Shut::DiskFailing | Shut::WriterDied => RecordError::DiskFailing,
        }
    }

    pub(super) fn of_refused(refused: Refused, handoff: &Handoff) -> RecordError {
        match refused {
            Refused::Full => RecordError::Full,
            Refused::Closed => RecordError::Closed,
            Refused::TooLarge => RecordError::TooLarge { max_bytes: handoff.payload_max() },
        }
    }
}

/// Why a trail could not be closed in time. What it accepted stays in its folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The deadline came first.
    #[error(
        "{not_durable} events were not yet on disk at the deadline: they stay in the handoff and are recovered at the next opening"
    )]
    Late {
        /// Events that are accepted, and not yet durable in a segment.
        not_durable: u64,
    },
    /// This process is a forked child of the one that opened the trail.
    #[error("the trail was opened before a fork: only the process that opened it can close it")]
    Forked,
}
