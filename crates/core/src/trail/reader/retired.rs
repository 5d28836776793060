//! What a view of a trail says about events that are gone.

use trailseal_event::Index;

use super::{ReadError, Reader};

/// An event that was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetiredEvent {
    /// Its index.
    pub index: Index,
    /// The event `trail.retired` that says so; `None` if it cannot be found.
    pub by: Option<Index>,
}

impl Reader {
    /// How many events of this view were retired.
    pub fn retired(&self) -> u64 {
        0
    }

    /// Whether the event at `index` was retired, and by which event.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn retired_at(&mut self, index: Index) -> Result<Option<RetiredEvent>, ReadError> {
        let _ = index;
        Ok(None)
    }

    /// The retired events that had this id: of this tenant, or, with `None`, of any.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn retired_by_id(&mut self, id: &str, tenant: Option<&str>) -> Result<Vec<RetiredEvent>, ReadError> {
        let _ = (id, tenant);
        Ok(Vec::new())
    }
}
