//! Who holds the ids of older events, so that memory need not.
//!
//! ```text
//! index:  0 ─────────────── known ──────────────── scanned ─ durable
//!         asked of `KnownIds`   │ in memory, by hash         │ still in memory, with their lines
//! ```
//!
//! A trail does not require this: without it, all ids are in memory after one scan. What must hold: for an id that is
//! looked up, each event is found below the mark or above it, whatever becomes of the implementation. So the mark moves
//! only if the last line that it has is this trail's; and if it fails, the mark returns to 0 and the trail is scanned.

use trailseal_event::Index;

use crate::deliver::Position;

/// Why ids could not be looked up; nothing is lost.
pub type KnownIdsError = Box<dyn std::error::Error + Send + Sync>;

/// Holds the ids of a trail's older events. Nobody else writes the trail, so what holds for an event holds forever.
pub trait KnownIds: Send {
    /// Returns how far it knows them now. During the life of a trail's handle it never goes back.
    ///
    /// # Errors
    /// When that cannot be determined now; it still knows what it knew.
    fn look(&mut self) -> Result<Known, KnownIdsError>;

    /// Adds the events that can have this id, of any tenant: every one below [`Known::end`] that has it, and perhaps
    /// others, in any order.
    ///
    /// # Errors
    /// When it cannot be determined. Then it is not asked again.
    fn find(&mut self, id: &str, found: &mut Vec<Index>) -> Result<(), KnownIdsError>;

    /// How many events may come before it is worth checking again.
    fn look_every(&self) -> u64 {
        50_000
    }
}

/// How far a trail's ids are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The ids of all events below are known.
    pub end: Index,
    /// What it was made from, which reveals another trail's.
    pub position: Position,
}
