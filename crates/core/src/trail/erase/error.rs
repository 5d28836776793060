//! Why nobody was erased. No text here says who was meant.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::error::RecordError;
use super::super::flush::SealError;
use super::super::retain::HoldError;
use crate::personal::PersonalKeysError;
use crate::trail::keys::secrets::SecretError;

/// Why nobody was erased, or the erasure is not finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// The policy has no `[[personal]]` rule, and had none before.
    #[error(
        "this trail has no keys of people: nothing in it was ever marked as personal, so there is nothing to erase"
    )]
    Off,
    /// Nobody with this id has a key.
    #[error(
        "nobody with this id has personal values in this trail: check the id; it is the one that the rule's `subject` \
         names"
    )]
    Unknown,
    /// A legal hold holds events of this person.
    #[error(
        "nothing was erased: the legal hold {hold:?} holds events with values of this person; remove it first"
    )]
    Held {
        /// The hold.
        hold: String,
    },
    /// Another erasure is going on.
    #[error("another erasure in this trail is running: wait until it has ended")]
    Running,
    /// The event `trail.erased` was not sealed in time.
    #[error(
        "`trail.erased` was not sealed within {seconds} seconds, so no key has gone yet: the next erasure or opening \
         finishes it if it is sealed by then; check the disk"
    )]
    NotSealed {
        /// How long it was waited for.
        seconds: u64,
        /// Why not, if that is known.
        #[source]
        source: Option<SealError>,
    },
    /// The event was refused. Nothing was erased.
    #[error(transparent)]
    Refused(#[from] RecordError),
    /// The holds cannot be read, so nobody knows what is held. Nothing was erased.
    #[error(transparent)]
    Holds(#[from] HoldError),
    /// The masking key cannot be read, so nobody knows what is held. Nothing was erased.
    #[error("nothing was erased: nobody knows what is held")]
    MaskKey(#[from] SecretError),
    /// The key file cannot be used. Nothing was erased.
    #[error(transparent)]
    Keys(#[from] PersonalKeysError),
    /// The asynchronous runtime stopped before the result was known. The next opening finishes or cancels the erasure.
    #[error(
        "the runtime stopped before the erasure ended: the next opening of the trail finishes it, or cancels it if it was \
         not announced"
    )]
    Stopped,
    /// A file operation failed. What was announced before that is finished by the next erasure or opening.
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

impl EraseError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EraseError + use<> {
        let path = path.to_owned();
        move |source| EraseError::Io { action, path, source }
    }

    pub(super) fn not_sealed(timeout: Duration, source: Option<SealError>) -> EraseError {
        EraseError::NotSealed { seconds: timeout.as_secs(), source }
    }
}
