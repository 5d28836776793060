//! What every read needs.

use std::sync::Arc;

use trailseal_core::Trail;

use crate::access::Caller;
use crate::own_events::note_read;
use crate::query::Query;
use crate::searches::Searches;

/// The trail in which reads are recorded, and the searches that answer them.
pub(crate) struct Reading {
    pub(crate) trail: Trail,
    pub(crate) searches: Arc<Searches>,
}

impl Reading {
    /// Records that somebody reads.
    pub(super) async fn note(&self, caller: &Caller, path: &str, query: Option<&Query>) {
        note_read(&self.trail, caller, path, query).await;
    }
}
