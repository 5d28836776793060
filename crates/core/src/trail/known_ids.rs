//! Who holds the ids of older events, so that memory need not.
//!
//! ```text
//! index:  0 ─────────────── known ──────────────── scanned ─ durable
//!         asked of `KnownIds`   │ in memory, by hash         │ still in memory, with their lines
//! ```
//! A trail needs nobody for this: it then holds all ids in memory, after one scan. What must hold: of an id that was
//! asked for, each event is found below the mark or above it, whatever becomes of the one who is asked. So the mark moves
//! only when the last line that they have is this trail's; and when they fail, it returns to 0 and the trail is scanned.

use trailseal_event::Index;

use crate::deliver::Position;

/// Why ids could not be looked up; nothing is lost by it.
pub type KnownIdsError = Box<dyn std::error::Error + Send + Sync>;

/// Holds the ids of a trail's older events. Nobody else writes the trail, so what holds of an event holds for ever.
pub trait KnownIds: Send {
    /// Looks how far it knows them now. It never comes back from what it said before, in the life of a trail's handle.
    ///
    /// # Errors
    /// When that cannot be told now; what it knew, it knows.
    fn look(&mut self) -> Result<Known, KnownIdsError>;

    /// Adds the events that can have this id, of whatever tenant: every one below [`Known::end`] that has it, and perhaps
    /// others, in any order.
    ///
    /// # Errors
    /// When it cannot be told. Then it is not asked again.
    fn find(&mut self, id: &str, found: &mut Vec<Index>) -> Result<(), KnownIdsError>;

    /// How many events may come before it is worth another look.
    fn look_every(&self) -> u64 {
        50_000
    }
}

/// How far somebody knows a trail's ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The ids of all events below are known.
    pub end: Index,
    /// What it was made from, by which another trail's is noticed.
    pub position: Position,
}
