//! What can go wrong with a trail, by family of operations.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trailseal_event::mask::MaskError;
use trailseal_event::{BadLine, Index, NoAction};

use crate::gate::Shut;
use crate::handoff::{Handoff, Refused};
use crate::lock::Holder;
use crate::log_state::Log;
use crate::trail::keys::secrets::SecretError;
use crate::trail::reading::reader::ReadError;

/// Why a trail could not be opened. A failed open loses nothing that was accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The keys of people cannot be used.
    #[error(transparent)]
    PersonalKeys(#[from] crate::personal::PersonalKeysError),
    /// Another process writes to it.
    #[error("{} is in use by {}: stop that process, or choose another folder", path.display(), holder_text(holder))]
    Locked {
        /// The trail's folder.
        path: PathBuf,
        /// Who.
        holder: Holder,
    },
    /// The events are not those that were signed.
    #[error("event {first_bad} of {} is not the one that was signed: leave the folder unchanged and run `trailseal \
        verify`", path.display())]
    Tampered {
        /// The trail's folder.
        path: PathBuf,
        /// The first event that differs, or is missing.
        first_bad: Index,
    },
    /// Lines are missing: something that is written only after them says that there were more.
    #[error(
        "events {from}..{to} of {} are missing or damaged: {witness} says that there were {to}; leave the folder \
         unchanged, \
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
    /// An anchor has a later checkpoint than the folder, or a different one of the same size.
    #[error(
        "{} was rolled back to an older state: its newest checkpoint covers {newest} events, but {} has one of \
         {anchored}; leave the folder unchanged, and restore the newer one", path.display(), anchor.display()
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
    /// There is no trail, and none may be created.
    #[error(
        "{} holds no trail, and `create = false` forbids creating one: check that its volume is mounted and that dir \
         is correct", path.display()
    )]
    NotMade {
        /// The folder.
        path: PathBuf,
    },
    /// It holds slots, each of which is a trail. A trail beside them would hide their events from every reader.
    #[error(
        "{} holds the trails of several processes: open it with `workers = \"slots\"`, or choose another folder",
        path.display()
    )]
    HoldsSlots {
        /// The folder.
        path: PathBuf,
    },
    /// A line that no checkpoint covers yet cannot have been recorded.
    #[error(
        "event {index} of {} follows `trail.closed` without an opening, so nobody recorded it: leave the folder \
         unchanged and run `trailseal verify`", path.display()
    )]
    NotRecorded {
        /// The trail's folder.
        path: PathBuf,
        /// The event.
        index: Index,
    },
    /// The trail cannot continue as it is.
    #[error(
        "{reason}; where nothing better can be restored, `trailseal succeed {} --dir NEW --origin ORIGIN` starts a \
         new trail that names the last good state of this one", dir.display()
    )]
    Refused {
        /// The trail's folder.
        dir: PathBuf,
        /// Why.
        #[source]
        reason: Box<OpenError>,
    },
    /// The folder does not hold a complete trail.
    #[error("{} is damaged: {what}; leave the folder unchanged and run `trailseal verify`", path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// In the handoff's place is a file that is not a handoff of this trail.
    #[error("{} is not a handoff of this trail, or cannot be read, so it is left unchanged: move it away, or name \
        another place in handoff.path", path.display())]
    ForeignHandoff {
        /// The file.
        path: PathBuf,
    },
    /// The handoff that this trail was to use, or that its last writer named, is that of another folder with the same
    /// trail: this folder is a copy of that one, or was moved here. What the handoff holds may be missing here.
    #[error("{} is the handoff of this trail in another folder, so it is left unchanged: if that folder is gone and this one \
        takes its place, move that file to {}, and what it holds is recovered; if this folder is a copy, {}", path.display(),
        home.display(), way_for_copy(*is_wanted))]
    HandoffElsewhere {
        /// The file.
        path: PathBuf,
        /// Where it would be this folder's.
        home: PathBuf,
        /// Whether the options name it, and not the last writer.
        is_wanted: bool,
    },
    /// A file is in the folder's place, or a link to nothing.
    #[error("{} is not a folder: choose another place for the trail", path.display())]
    NotAFolder {
        /// What should be the trail's folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// This user may not write in the folder.
    #[error(
        "this user may not write in {}: run this as its owner, or choose another folder", path.display()
    )]
    NotWritable {
        /// The trail's folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// It is on a network file system.
    #[error("{} is on a network file system ({kind}), whose locks and syncs are not reliable: choose a local folder, \
        or allow it explicitly", path.display())]
    NetworkFileSystem {
        /// The trail's folder.
        path: PathBuf,
        /// Which.
        kind: &'static str,
    },
    /// The given origin is not the trail's, or not an origin.
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
    /// The masking settings are invalid.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// The key for masking by hashes, or the secret of the sampling, cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The policy that was set while the trail ran cannot be used.
    #[error("{} cannot be used: {what}", path.display())]
    Policy {
        /// Its file.
        path: PathBuf,
        /// Why not, and what to do.
        what: String,
    },
    /// A file operation failed.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// What is wrong, without the way to continue.
    pub fn reason(&self) -> &OpenError {
        match self {
            OpenError::Refused { reason, .. } => reason,
            other => other,
        }
    }

    /// Adds how to continue, if the trail in `dir` cannot continue as it is.
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

    /// For `map_err`: names the attempted operation and its object.
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

/// Why an event did not get where it should. All except [`Unconfirmed`](RecordError::Unconfirmed) mean *refused*: it was
/// given no index, and will never be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// What is wrong with one of several events; none of them was recorded.
    #[error("event {place} cannot be recorded")]
    At {
        /// The event's place among them, from 0.
        place: usize,
        /// What is wrong with it.
        source: Box<RecordError>,
    },
    /// The text is not a valid event.
    #[error(transparent)]
    Invalid(BadLine),
    /// The event belongs to another tenant than whoever hands it in.
    #[error("it belongs to another tenant")]
    OtherTenant,
    /// An event with its id, but other content, is already there, or comes before it among those recorded with it.
    #[error("its id {id} belongs to {}, which has other content", match index {
        Some(index) => format!("event {index}"),
        None => "another event".to_owned(),
    })]
    Conflict {
        /// The id.
        id: String,
        /// The other one's index, if it is in the trail.
        index: Option<Index>,
    },
    /// The trail could not be read to look up the id.
    #[error("could not read the trail to look up the id")]
    Read(#[from] ReadError),
    /// The event has no action.
    #[error(transparent)]
    NoAction(#[from] NoAction),
    /// The handoff buffer stayed full until the deadline.
    #[error("the handoff buffer stayed full: the disk is too slow, or handoff.size is too small")]
    Full,
    /// The lines of one batch, including those of its flags, exceed a quarter of the handoff buffer.
    #[error(
        "including what the trail adds, the batch exceeds {max_bytes} bytes, a quarter of the handoff buffer: send \
         smaller ones"
    )]
    TooLarge {
        /// The maximum size of a batch.
        max_bytes: u64,
    },
    /// The trail was closed.
    #[error("the trail is closed")]
    Closed,
    /// This process is a forked child of the one that opened the trail.
    #[error("the trail was opened before a fork: open it again in this process, in a folder of its own")]
    Forked,
    /// Less space than the disk reserve is free.
    #[error("less than the disk reserve is free: free some space, or lower disk_reserve")]
    DiskReserve,
    /// The trail's path no longer leads to its folder.
    #[error("the trail's folder was moved or removed while in use: put it back, or open it where it is")]
    FolderMoved,
    /// The disk does not accept lines; what was accepted before is kept and retried.
    #[error(
        "the disk does not accept lines: what was accepted before is in the handoff, and is written when it does"
    )]
    DiskFailing {
        /// The system's error.
        #[source]
        source: Option<Arc<io::Error>>,
    },
    /// The writer thread ended by a panic; the next opening recovers what it left.
    #[error("the writer has stopped: close the trail and open it again")]
    WriterStopped,
    /// The event has an index and is kept, but did not reach the requested level in time.
    #[error("event {index} is kept, but was not confirmed in time: a retry with the same id {id} is safe")]
    Unconfirmed {
        /// Its index.
        index: Index,
        /// Its id.
        id: trailseal_event::complete::EventId,
    },
}

impl From<BadLine> for RecordError {
    fn from(error: BadLine) -> Self {
        match error {
            BadLine::NoAction(error) => RecordError::NoAction(error),
            error => RecordError::Invalid(error),
        }
    }
}

impl RecordError {
    /// For the event at `place` of several.
    pub(super) fn at(self, place: usize) -> RecordError {
        RecordError::At { place, source: Box::new(self) }
    }

    pub(super) fn of_shut(shut: Shut, log: &Log) -> RecordError {
        match shut {
            Shut::Closed => RecordError::Closed,
            Shut::DiskReserve => RecordError::DiskReserve,
            Shut::FolderMoved => RecordError::FolderMoved,
            Shut::DiskFailing => RecordError::DiskFailing { source: log.write_failure() },
            Shut::WriterDied => RecordError::WriterStopped,
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

/// Why a trail could not be closed in time. What it accepted stays in its folder, unless the handoff is in plain memory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The deadline came first.
    #[error("{not_durable} events were not yet on disk at the deadline{}", what_becomes_of_them(*.is_in_memory))]
    Late {
        /// Events that are accepted but not yet durable in a segment.
        not_durable: u64,
        /// Whether the handoff that holds them is in plain memory, and ends with the process.
        is_in_memory: bool,
    },
    /// This process is a forked child of the one that opened the trail.
    #[error("the trail was opened before a fork: only the process that opened it can close it")]
    Forked,
}

fn what_becomes_of_them(is_in_memory: bool) -> &'static str {
    match is_in_memory {
        true => {
            ", and the handoff is in plain memory: they are lost, unless this process goes on until the disk takes them"
        }
        false => ": they stay in the handoff and are recovered at the next opening",
    }
}

fn way_for_copy(is_wanted: bool) -> &'static str {
    match is_wanted {
        true => "name another place in handoff.path",
        false => "remove the file `lock` in it, which names that handoff",
    }
}
