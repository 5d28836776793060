//! An event that was found.

use std::sync::Arc;

use trailseal_event::{BadLine, Event, Index, Recorded, Timestamp};

use crate::First;
use crate::view::Key;

/// An event that matches.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The name of its trail.
    pub origin: Arc<str>,
    /// Its position there.
    pub index: Index,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// Its [effective time](Recorded::effective_time).
    pub time: Timestamp,
    /// Its line.
    pub line: Vec<u8>,
}

impl Hit {
    /// The event on the line.
    ///
    /// # Errors
    /// When the line is not one that a trail writes; `verify` then says more.
    pub fn read(&self) -> Result<Recorded, BadLine> {
        Event::from_line(&self.line)
    }

    /// Its place in its trail by time, counted from this end.
    pub(super) fn place(&self, first: First) -> Key {
        first.turn((self.time.as_micros(), self.index.get()))
    }
}
