//! What is to be retired, and what became of it.

use trailseal_event::{Category, Index};

/// The largest age that a rule may name, in days; the smallest is 1.
pub const RETAIN_DAYS_MAX: u32 = 36_500;

/// Which events are old enough to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    /// Events that were recorded at least this many days ago: 1 to [`RETAIN_DAYS_MAX`].
    pub older_than_days: u32,
    /// Only events of this tenant, if given.
    pub tenant: Option<String>,
    /// Only events of these categories, if there are any.
    pub category: Vec<Category>,
}

impl RetentionRule {
    /// All events that were recorded at least `days` ago.
    pub fn older_than_days(days: u32) -> Self {
        RetentionRule { older_than_days: days, tenant: None, category: Vec::new() }
    }
}

/// What a run has retired, or would have if it was a dry one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// How many events.
    pub events: u64,
    /// The bytes of their lines, with newlines.
    pub bytes: u64,
    /// From how many segments.
    pub segments: u64,
    /// How many of these are gone as a whole.
    pub segments_removed: u64,
    /// By how many bytes the segments' files are smaller now.
    pub freed_bytes: u64,
    /// What is old enough and stays, and why.
    pub kept: Kept,
    /// The indexes of the events `trail.retired`.
    pub retired_by: Vec<Index>,
    /// Where the archive says that the lines are.
    pub archive: Option<String>,
}

/// What is old enough and stays. Each event counts once, for the first reason that applies, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The trail's own events that are never retired: `trail.retired`, `trail.erased` and `trail.key_rotated`.
    pub own: u64,
    /// Events that match a legal hold.
    pub held: u64,
    /// The holds that did that, each with how many events it holds.
    pub held_by: Vec<(String, u64)>,
    /// Events that a sink still has to receive.
    pub undelivered: u64,
    /// Those sinks.
    pub sinks: Vec<SinkBehind>,
    /// Events that no signed checkpoint covers yet, in closed segments.
    pub unsealed: u64,
    /// Events in the segment that is still being written.
    pub in_open_segment: u64,
}

/// A sink that still has to receive events that are old enough to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkBehind {
    /// Its name.
    pub name: String,
    /// The next index that it needs.
    pub cursor: Index,
    /// Whether it is attached now. One that is gone for good can be forgotten.
    pub is_attached: bool,
}

/// A sink that must have received an event before that may be retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSink {
    /// Its name.
    pub name: String,
    /// Everything below is stored there: for one that is not attached, as of the last time that it was.
    pub cursor: Index,
    /// Whether it is attached now.
    pub is_attached: bool,
}
