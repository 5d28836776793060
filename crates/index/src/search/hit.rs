//! An event that was found.

use std::borrow::Cow;
use std::sync::Arc;

use trailseal_event::personal::{PersonalKeys, reveal};
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
    /// Its line. Private, so that whoever shows it must say with which keys.
    pub(super) line: Vec<u8>,
}

impl Hit {
    /// Its line, byte for byte: what is hashed, sealed and proved. Personal values in it are cipher text.
    pub fn exact_line(&self) -> &[u8] {
        &self.line
    }

    /// Its line as a reader sees it: personal values in plain with their keys, and as a word without.
    pub fn shown(&self, keys: Option<&dyn PersonalKeys>) -> Cow<'_, [u8]> {
        reveal(&self.line, keys)
    }

    /// The event on the line as [`shown`](Hit::shown).
    ///
    /// # Errors
    /// When the line is not one that a trail writes; `verify` then says more.
    pub fn read(&self, keys: Option<&dyn PersonalKeys>) -> Result<Recorded, BadLine> {
        Event::from_line(&self.shown(keys))
    }

    /// Its place in its trail by time, counted from this end.
    pub(super) fn place(&self, first: First) -> Key {
        first.turn((self.time.as_micros(), self.index.get()))
    }
}
