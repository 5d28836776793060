//! What every read needs.

use std::borrow::Cow;
use std::sync::Arc;

use trailseal_core::Trail;
use trailseal_event::personal::PersonalKeys;
use trailseal_index::Hit;

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
    /// Records that somebody reads what has no personal values, such as counts.
    pub(super) async fn note(&self, caller: &Caller, path: &str, query: Option<&Query>) {
        note_read(&self.trail, caller, path, query, false).await;
    }

    /// Records that somebody reads events, and returns how these are shown to them.
    pub(super) async fn show(&self, caller: &Caller, path: &str, query: Option<&Query>) -> Shown {
        let searches = self.searches.clone();
        let keys = match caller.sees_personal() || cfg!(trailseal_fault = "personal_shown_to_all") {
            true => tokio::task::spawn_blocking(move || searches.personal_keys()).await.ok(),
            false => None,
        };
        note_read(&self.trail, caller, path, query, keys.is_some()).await;
        Shown { keys }
    }
}

/// How events are shown to somebody: with personal values in plain, or with a word in their place.
#[derive(Clone)]
pub(super) struct Shown {
    keys: Option<Arc<dyn PersonalKeys>>,
}

impl Shown {
    /// The event's line for this reader. Nothing else of a line leaves the server, apart from proofs and tiles, which
    /// are of cipher text.
    pub(super) fn line<'a>(&self, hit: &'a Hit) -> Cow<'a, [u8]> {
        hit.shown(self.keys.as_deref())
    }

    /// Whether personal values are shown in plain.
    pub(super) fn is_plain(&self) -> bool {
        self.keys.is_some()
    }
}
