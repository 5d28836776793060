//! Lines that the trail cannot take, whatever they say, such as on a full disk: told once, and counted.

use trailseal_core::RecordError;

use crate::output::{tell, thousands};

/// The lines refused so far for one reason after the other.
#[derive(Default)]
pub(in crate::commands) struct Refused {
    reason: String,
    last: String,
    more: u64,
}

impl Refused {
    /// A line, named by its place, was refused.
    pub(in crate::commands) fn add(&mut self, place: &str, reason: &str) {
        if self.reason == reason {
            self.more += 1;
            self.last.clear();
            self.last.push_str(place);
            return;
        }
        self.finish();
        tell(&format!("{place}: not recorded: {reason}"));
        reason.clone_into(&mut self.reason);
    }

    /// Says how many there were, if that was not said.
    pub(in crate::commands) fn finish(&mut self) {
        match std::mem::take(&mut self.more) {
            0 => {}
            1 => tell(&format!("{}: not recorded, for the same reason", self.last)),
            more => tell(&format!(
                "{} more, up to {}: not recorded, for the same reason",
                thousands(more),
                self.last
            )),
        }
        self.reason.clear();
    }
}

/// Whether the trail is the reason, and not the event.
pub(in crate::commands) fn is_by_trail(error: &RecordError) -> bool {
    matches!(
        error,
        RecordError::DiskReserve
            | RecordError::DiskFailing { .. }
            | RecordError::Full
            | RecordError::Closed
            | RecordError::WriterStopped
    )
}
