//! Lines that go into the handoff as one.

use std::time::Duration;

use trailseal_event::Timestamp;

use crate::handoff::{self, Rests};
use crate::log_state::Log;
use crate::trail::error::RecordError;

/// Lines that are ready but for their fronts.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// The rest of each with its newline, one after the other.
    pub(in crate::trail) bytes: &'a [u8],
    /// Where each ends in `bytes`.
    pub(in crate::trail) ends: &'a [usize],
    /// The trail's clock when they were created.
    pub(in crate::trail) now: Timestamp,
}

/// Puts lines into the handoff as one frame, and wakes the writer if that fills it. Returns the first one's index.
pub(super) fn put(log: &Log, frame: Frame<'_>, wait: Duration) -> Result<u64, RecordError> {
    let Frame { bytes, ends, now } = frame;
    let rests = Rests { bytes, ends, crc: handoff::checksum(bytes), now };
    let given = log
        .handoff
        .push(&rests, wait, || log.wake_writer())
        .map_err(|refused| RecordError::of_refused(refused, &log.handoff))?;
    if given.wake_writer {
        log.wake_writer();
    }
    Ok(given.first)
}
