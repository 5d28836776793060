//! Which lines go: the same answer each time that it is asked for, so that nobody has to remember it.

use std::collections::BTreeSet;

use trailseal_event::filter::{Filter, LastingFilter};
use trailseal_event::line::Front;
use trailseal_event::{Timestamp, Value};

use super::plain::is_selected;
use super::rule::KnownSink;
use crate::segment::SegmentFile;

/// The trail's own events that are never retired: they vouch for what is missing, for keys and for what came before.
const NEVER_RETIRED: [&str; 4] = ["trail.retired", "trail.erased", "trail.key_rotated", "trail.succeeded"];

/// What decides about each line.
#[derive(Debug)]
pub(super) struct Choice {
    /// Selects the rule's tenant and categories; `None` if it names none.
    pub(super) rule: Option<Filter>,
    /// When the newest event that may go was recorded, at the latest.
    pub(super) before: Timestamp,
    pub(super) holds: Vec<(String, LastingFilter)>,
    pub(super) sinks: Vec<KnownSink>,
    /// Lines that the next opening needs.
    pub(super) pointed_at: BTreeSet<u64>,
    /// The tree size that covers all that goes.
    pub(super) sealed: u64,
    /// Where what is read ends.
    pub(super) durable: u64,
}

/// Whether a line goes, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is too young, or the rule does not select it.
    NotMeant,
    Own,
    Held,
    Undelivered,
    Unsealed,
    InOpenSegment,
    Goes,
}

impl Choice {
    /// What becomes of a line of this segment.
    pub(super) fn fate(&self, segment: &SegmentFile, front: &Front, line: &[u8]) -> Fate {
        if front.recorded > self.before || !self.rule.as_ref().is_none_or(|rule| is_selected(rule, line)) {
            return Fate::NotMeant;
        }
        if self.pointed_at.contains(&front.index) || front.system && is_never_retired(line) {
            return Fate::Own;
        }
        if self.holding(line).next().is_some() {
            return Fate::Held;
        }
        if self.waiting(front.index).next().is_some() {
            return Fate::Undelivered;
        }
        match segment.end {
            None => Fate::InOpenSegment,
            Some(end) if end.get() > self.sealed => Fate::Unsealed,
            Some(_) => Fate::Goes,
        }
    }

    /// The names of the holds that match a line.
    pub(super) fn holding<'a>(&'a self, line: &'a [u8]) -> impl Iterator<Item = &'a str> {
        let holds = self.holds.iter().filter(|_| !cfg!(trailseal_fault = "held_retired"));
        holds.filter(|(_, filter)| filter.accepts(line)).map(|(name, _)| name.as_str())
    }

    /// The sinks that still have to receive an event.
    pub(super) fn waiting(&self, index: u64) -> impl Iterator<Item = &KnownSink> {
        let sinks = self.sinks.iter().filter(|_| !cfg!(trailseal_fault = "undelivered_retired"));
        sinks.filter(move |sink| sink.cursor.get() <= index)
    }
}

/// Whether one of the trail's own lines stays for ever. One that cannot be read stays, too.
fn is_never_retired(line: &[u8]) -> bool {
    let Ok(line) = Value::parse(line) else { return true };
    line.get("action").and_then(Value::as_str).is_none_or(|action| NEVER_RETIRED.contains(&action))
}
