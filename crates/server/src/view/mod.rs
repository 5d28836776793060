//! What readers see: one view, of the trails in the server's folder or, with a shared store, of every trail in it.
//!
//! ```text
//! handler ─> View ─┬─> folder.rs ─> Search
//!                  └─> store.rs  ─> Reader of the shared store
//! ```
//!
//! What must hold: a handler asks here for events, by a filter that went through `Caller::restrict`, and never knows where
//! they are; only what a trail's folder alone has (proofs, tiles, retired lines) it asks of [`Searches`].

mod cursor;
// Without PostgreSQL there is only the folder.
#[cfg_attr(not(feature = "postgres"), allow(dead_code))]
mod events;
mod folder;
#[cfg_attr(not(feature = "postgres"), allow(dead_code))]
mod new_events;
#[cfg_attr(not(feature = "postgres"), path = "store_absent.rs")]
mod store;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use trailseal_core::Trail;

pub(crate) use cursor::Cursor;
pub(crate) use events::{Events, Gone, Lag, Origin, Page};
pub(crate) use new_events::{Moment, News};
use store::Stored;

use crate::config::Config;
use crate::problem::Problem;
use crate::response_work::Patience;
use crate::searches::Searches;

/// What readers see.
pub(crate) struct View {
    trail: Trail,
    searches: Arc<Searches>,
    patience: Arc<Patience>,
    store: Option<Arc<Stored>>,
}

impl View {
    pub(crate) fn new(
        trail: Trail,
        searches: Arc<Searches>,
        patience: Arc<Patience>,
        config: &Config,
    ) -> View {
        let store = Stored::of(config, &trail, &searches).map(Arc::new);
        View { trail, searches, patience, store }
    }

    /// Whether it is that of a shared store: then it has trails whose folders are elsewhere, and may be out of reach.
    pub(crate) fn is_shared(&self) -> bool {
        self.store.is_some()
    }

    /// How long one search for events may take.
    pub(crate) fn budget(&self) -> Duration {
        self.patience.budget()
    }

    /// Counts a search that was not finished and that nobody waits for.
    pub(crate) fn count(&self, is_done: bool, given_up: &AtomicBool) {
        self.patience.count(is_done, given_up);
    }

    /// The cursor of this text, if it is one of this view.
    pub(crate) fn cursor(&self, text: &str) -> Option<Cursor> {
        match &self.store {
            Some(store) => store.cursor(text),
            None => text.parse().ok().map(Cursor::Folder),
        }
    }

    /// Does `work` with the events, as [`Patience`] does it.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut dyn Events) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let view = self.clone();
        self.patience.run(move |given_up| view.with(given_up, work)).await
    }

    /// Does `work` with the events, until it is cancelled. Blocks.
    pub(crate) fn with<T, E: From<Problem>>(
        &self,
        given_up: &Arc<AtomicBool>,
        work: impl FnOnce(&mut dyn Events) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.store {
            Some(store) => work(&mut *store.search(given_up)?),
            None => self.searches.with(given_up, |search| work(search)),
        }
    }

    /// Says when there may be new events.
    pub(crate) fn news(&self) -> News {
        match &self.store {
            Some(store) => store.news(),
            None => News::of_folder(self.trail.clone(), self.searches.slots().is_some()),
        }
    }

    /// How many events of this server's own trail are durable and not in the shared store yet; `None` without one.
    pub(crate) fn not_stored(&self) -> Option<u64> {
        self.store.as_ref().map(|store| store.not_stored())
    }

    /// Why events cannot be found now; `None` if they can, as far as is known.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.store.as_ref()?.trouble()
    }
}
