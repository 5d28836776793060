//! Why nothing was retired, a hold was not changed, or a sink was not forgotten.

use std::io;
use std::path::PathBuf;

use trailseal_event::Index;
use trailseal_event::filter::FilterError;

use super::super::error::RecordError;
use super::super::flush::SealError;
use super::rule::RETAIN_DAYS_MAX;

/// Why an archive did not take lines; nothing was retired.
pub type ArchiveError = Box<dyn std::error::Error + Send + Sync>;

/// Why nothing was retired, or not everything.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetainError {
    /// The age is out of bounds.
    #[error("the age must be between 1 and {RETAIN_DAYS_MAX} days, and is {days}")]
    Days {
        /// What was asked for.
        days: u32,
    },
    /// The clock cannot be right, so nobody knows how old an event is.
    #[error("nothing was retired: {what}; set the clock right and try again")]
    Clock {
        /// What is wrong.
        what: String,
    },
    /// The asynchronous runtime stopped before the result was known. The next opening finishes what was announced.
    #[error(
        "the runtime stopped before the retirement ended: the next opening of the trail finishes what was announced"
    )]
    Stopped,
    /// Another run is going on.
    #[error("another retirement of this trail is running: wait until it has ended")]
    Running,
    /// The archive did not take the lines. Nothing was retired.
    #[error("nothing was retired: the archive did not take the events")]
    Archive(#[source] ArchiveError),
    /// The event `trail.retired` was refused. Nothing was retired.
    #[error(transparent)]
    Refused(#[from] RecordError),
    /// The event `trail.retired` was not sealed in time.
    #[error(
        "`trail.retired` was not sealed within {seconds} seconds, so no line has gone yet: the next retirement or \
         opening finishes it; check the disk"
    )]
    NotSealed {
        /// How long it was waited for.
        seconds: u64,
        /// Why, if sealing itself failed.
        #[source]
        source: Option<SealError>,
    },
    /// The lines in a segment are not those that were signed. Nothing was retired from it.
    #[error("event {index} in {} is not the one that was signed: run `trailseal verify`", path.display())]
    NotSigned {
        /// The event.
        index: Index,
        /// The segment.
        path: PathBuf,
    },
    /// The holds cannot be read, so nobody knows what is held. Nothing was retired.
    #[error(transparent)]
    Holds(#[from] HoldError),
    /// A file holds something impossible.
    #[error("{} {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A file operation failed. What was announced before that is finished by the next run or opening.
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

/// Why the holds could not be read or changed. They are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// The name cannot be one.
    #[error(
        "a hold's name has 1 to 128 printable characters without blanks at the ends, and {name:?} does not"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A hold says why it is there.
    #[error("a hold needs a reason of at most 4,096 bytes")]
    Reason,
    /// There is a hold of this name.
    #[error("there is a hold {name:?} already: remove it first, or choose another name")]
    Exists {
        /// The name.
        name: String,
    },
    /// There is no hold of this name.
    #[error("there is no hold {name:?}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A filter of the hold was not understood.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A resource's id is hashed, and where it begins is not known.
    #[error(
        "ids of resources are hashed, and where the type ends is not known: give TYPE/HASH, with what `trailseal mask \
         hash ID` prints"
    )]
    Resource,
    /// Masking would keep the value as a hash.
    #[error(
        "{filter}: masking hides this value, by a key that each trail has of its own, so a hold that several trails share \
         cannot name it: hold by something else"
    )]
    Masked {
        /// The filter.
        filter: String,
    },
    /// The event was refused; the holds are as they were.
    #[error(transparent)]
    Refused(#[from] RecordError),
    /// The event was not on disk in time. Whether the hold is changed is what the list of holds says.
    #[error(
        "the event of the hold was not on disk within 10 seconds: check the disk, and look at the holds again"
    )]
    NotDurable,
    /// The file of holds holds something impossible: nothing is retired until it is mended.
    #[error("{} {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file of holds could not be read or written.
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

/// Why a sink was not forgotten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetSinkError {
    /// There is none.
    #[error("no sink {name:?} holds up retirement: {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// Those that are known.
        known: Vec<String>,
    },
    /// It is attached.
    #[error("the sink {name:?} is attached: take it out of the settings first")]
    Attached {
        /// The name.
        name: String,
    },
    /// The event was refused; the sink is still known.
    #[error(transparent)]
    Refused(#[from] RecordError),
    /// The file of known sinks could not be read or written.
    #[error("could not read or write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}
