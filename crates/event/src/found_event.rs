//! An event that was found, and the order in which events are found.

use std::borrow::Cow;
use std::sync::Arc;

use crate::event::{BadLine, Event, Recorded};
use crate::index::Index;
use crate::line::{effective_time, parse_front};
use crate::personal::{PersonalKeys, reveal, reveal_elsewhere};
use crate::timestamp::Timestamp;

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
    line: Vec<u8>,
}

impl Hit {
    /// The event on this line; `None` if not even its front can be read.
    pub fn new(origin: Arc<str>, index: Index, line: Vec<u8>) -> Option<Hit> {
        let recorded = parse_front(&line)?.recorded;
        let time = effective_time(&line).unwrap_or(recorded);
        Some(Hit { origin, index, recorded, time, line })
    }

    /// Its line, byte for byte: what is hashed, sealed and proved. Personal values in it are cipher text.
    pub fn exact_line(&self) -> &[u8] {
        &self.line
    }

    /// Its line as a reader sees it: personal values in plain with their keys, and as a word without.
    pub fn shown(&self, keys: Option<&dyn PersonalKeys>) -> Cow<'_, [u8]> {
        reveal(&self.line, keys)
    }

    /// The same for an event of another trail, whose keys may be held elsewhere: there its personal values are a word, and can still be
    /// erased.
    pub fn shown_elsewhere(&self, keys: &dyn PersonalKeys) -> Cow<'_, [u8]> {
        reveal_elsewhere(&self.line, keys)
    }

    /// The event on the line as [`shown`](Hit::shown).
    ///
    /// # Errors
    /// When the line is not one that a trail writes; `verify` then says more.
    pub fn read(&self, keys: Option<&dyn PersonalKeys>) -> Result<Recorded, BadLine> {
        Event::from_line(&self.shown(keys))
    }
}

/// The order of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What they are ordered by.
    pub by: By,
    /// The end at which the order begins.
    pub first: First,
}

/// What events are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By effective time: the event's own, but never later than its recording. At the same time, as by
    /// [`Recorded`](By::Recorded).
    Time,
    /// By when they were recorded, then the trail's origin, then their index.
    Recorded,
}

/// The end at which an order begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum First {
    Newest,
    Oldest,
}

impl Order {
    /// By time, newest first.
    pub const NEWEST: Order = Order { by: By::Time, first: First::Newest };
    /// By time, oldest first.
    pub const OLDEST: Order = Order { by: By::Time, first: First::Oldest };
    /// By recording, newest first.
    pub const NEWEST_RECORDED: Order = Order { by: By::Recorded, first: First::Newest };
    /// By recording, oldest first.
    pub const OLDEST_RECORDED: Order = Order { by: By::Recorded, first: First::Oldest };
}
