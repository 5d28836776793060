//! The one door into the handoff: whatever a trail records is admitted, put there and counted here.

use std::time::Duration;

use super::frame::{Frame, put};
use super::review_flag::{Flag, put_flagged};
use crate::trail::error::RecordError;
use crate::trail::open_trail::Inner;

impl Inner {
    /// Records events, preceded by their flags: all of them, or none. Returns the first event's index.
    pub(super) fn push(
        &self,
        flags: &[Flag],
        events: Frame<'_>,
        room_wait: Duration,
    ) -> Result<u64, RecordError> {
        self.refuse_forked()?;
        self.try_push(flags, events, room_wait).map_err(|error| self.refused(events.ends.len() as u64, error))
    }

    /// The same, without counting events that are refused; not in a forked child.
    #[inline(always)]
    pub(super) fn try_push(
        &self,
        flags: &[Flag],
        events: Frame<'_>,
        room_wait: Duration,
    ) -> Result<u64, RecordError> {
        match self.log.gate.shut() {
            Some(shut) => Err(RecordError::of_shut(shut, &self.log)),
            None if flags.is_empty() => put(&self.log, events, room_wait),
            None => put_flagged(&self.log, &self.masker, flags, events, room_wait),
        }
    }

    /// Counts events that were refused.
    pub(in crate::trail) fn refused(&self, events: u64, error: RecordError) -> RecordError {
        self.log.counters.refused.add(events);
        error
    }

    /// Counts events in which something was masked.
    pub(super) fn count_masked(&self, events: u64) {
        if events > 0 {
            self.log.counters.masked.add(events);
        }
    }

    /// Counts warnings about accepted events.
    pub(super) fn count_warnings(&self, warnings: u64) {
        if warnings > 0 {
            self.log.counters.warnings.add(warnings);
        }
    }
}
