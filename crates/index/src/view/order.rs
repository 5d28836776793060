//! The order of events.

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

/// An event's place in its trail by time: effective time and index. Events recorded later have a higher index, so this
/// is the complete order of one trail.
pub(crate) type Key = (i64, u64);

/// Every place, from either end.
pub(crate) const ALL: std::ops::Range<Key> = (i64::MIN, 0)..(i64::MAX, u64::MAX);

impl First {
    /// The place counted from this end: the first has the highest value, so that walks from both ends go downward
    /// alike. Turning twice restores it.
    pub(crate) fn turn(self, (time, index): Key) -> Key {
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
