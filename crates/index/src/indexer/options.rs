//! How an index is written.

/// A batch may hold at most this many events.
pub const BATCH_EVENTS_MAX: usize = 10_000;

/// How an index is written.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// The trail's origin. An index of another trail is refused.
    pub origin: String,
    /// A range is closed at this many events: 250,000, or fewer in tests. At least 1, at most 250,000.
    pub range_events: usize,
    /// A batch holds at most this many events: 1,000, or more to build an index faster. At most [`BATCH_EVENTS_MAX`].
    pub batch_events_max: usize,
    /// A dictionary holds at most this many values of its column: 250,000. Further ones are found by their hashes, like
    /// ids.
    pub dictionary_values_max: usize,
}

impl IndexOptions {
    /// The defaults for the trail of this origin.
    pub fn new(origin: impl Into<String>) -> Self {
        IndexOptions {
            origin: origin.into(),
            range_events: 250_000,
            batch_events_max: 1_000,
            dictionary_values_max: 250_000,
        }
    }
}
