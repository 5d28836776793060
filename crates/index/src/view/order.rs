//! Places in the order of a trail by time.

use trailseal_event::First;

/// An event's place in its trail by time: effective time and index. Events recorded later have a higher index, so this
/// is the complete order of one trail.
pub(crate) type Key = (i64, u64);

/// Every place, from either end.
pub(crate) const ALL: std::ops::Range<Key> = (i64::MIN, 0)..(i64::MAX, u64::MAX);

/// Counts places from an end.
pub(crate) trait Turn {
    /// The place counted from this end: the first has the highest value, so that walks from both ends go downward
    /// alike. Turning twice restores it.
    fn turn(self, place: Key) -> Key;
}

impl Turn for First {
    fn turn(self, (time, index): Key) -> Key {
        match self {
            First::Newest => (time, index),
            First::Oldest => (!time, !index),
        }
    }
}

/// The place directly after.
pub(crate) fn after((time, index): Key) -> Key {
    match index.checked_add(1) {
        Some(index) => (time, index),
        None => (time.saturating_add(1), 0),
    }
}
