//! How the handoff is created, and what happens when it is full.

use std::path::PathBuf;
use std::time::Duration;

/// The handoff buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandoffOptions {
    /// Where its file is, if not in the trail's folder. A tmpfs is fine: it guards against a killed process.
    pub place: HandoffPlace,
    /// Its size in bytes; rounded up to a multiple of 4,096, at least 1 MiB.
    ///
    /// The part beyond 16 MiB is for a stalled disk: while the disk writes but events come faster, callers that may
    /// wait are slowed down there, so that no event is far from being durable.
    pub size_bytes: u64,
    /// What happens when it is full.
    pub full: Full,
    /// How long [`Full::Block`] waits for room, or slows a caller down.
    pub timeout: Duration,
}

impl Default for HandoffOptions {
    fn default() -> Self {
        HandoffOptions {
            place: HandoffPlace::InTrail,
            size_bytes: 64 << 20,
            full: Full::Block,
            timeout: Duration::from_millis(50),
        }
    }
}

/// Where the handoff buffer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HandoffPlace {
    /// In the file `handoff` of the trail's folder.
    #[default]
    InTrail,
    /// In this file.
    File(PathBuf),
    /// In plain memory: a killed process loses what was not yet written.
    Memory,
}

/// What `record` does if the buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// Waits for room, up to the deadline; then refuses.
    #[default]
    Block,
    /// Refuses at once.
    Refuse,
}
