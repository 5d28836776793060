//! In which order events come.

/// In which order events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// By what they are ordered.
    pub by: By,
    /// At which end it begins.
    pub first: First,
}

/// What events are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By their effective time: the event's own, but never later than when it was recorded. At one time, as by
    /// [`Recorded`](By::Recorded).
    Time,
    /// By when they were recorded, the trail's origin, and their index.
    Recorded,
}

/// At which end an order begins.
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

/// Where an event stands among those of its trail by time: effective time and index. What was recorded later has a higher
/// index, so this is the whole order of one trail.
pub(crate) type Key = (i64, u64);

/// Every place, of whichever end.
pub(crate) const ALL: std::ops::Range<Key> = (i64::MIN, 0)..(i64::MAX, u64::MAX);

impl First {
    /// The place counted from this end: what comes first is the highest, so that walks from both ends go downward alike.
    /// Turned twice it is what it was.
    pub(crate) fn turn(self, (time, index): Key) -> Key {
        match self {
            First::Newest => (time, index),
            First::Oldest => (!time, !index),
        }
    }
}

/// The place straight after.
pub(crate) fn after((time, index): Key) -> Key {
    match index.checked_add(1) {
        Some(index) => (time, index),
        None => (time.saturating_add(1), 0),
    }
}
