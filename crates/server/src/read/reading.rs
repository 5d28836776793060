//! What every read needs.

use std::borrow::Cow;
use std::sync::Arc;

use trailseal_core::Trail;
use trailseal_event::personal::PersonalKeys;
use trailseal_index::Hit;

use crate::access::{Caller, Scope};
use crate::own_events::note_read;
use crate::problem::Problem;
use crate::query::{Query, foreign_cursor};
use crate::searches::Searches;
use crate::view::{Cursor, Events, View};

/// The trail in which reads are recorded, and what answers them: the view, and the folder for what only a folder has.
pub(crate) struct Reading {
    pub(crate) trail: Trail,
    pub(crate) searches: Arc<Searches>,
    pub(crate) view: Arc<View>,
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
        // Other trails' values are sealed by keys that are elsewhere.
        let own = self.view.is_shared().then(|| self.trail.origin().into());
        Shown { keys, own }
    }

    /// Fails if the events are out of reach, or the cursor is one of other trails: before the head of a response is sent that would then
    /// break off at once.
    pub(super) async fn reach(&self, caller: &Caller, cursor: Option<&Cursor>) -> Result<(), Problem> {
        if !self.view.is_shared() && cursor.is_none() {
            return Ok(());
        }
        let cursor = cursor.cloned();
        self.ask(caller, move |events| {
            events.check()?;
            known(events, cursor.as_ref())
        })
        .await
    }

    /// Does `work` with the events of the view. If these cannot be searched now, whoever may know is told how many of this server's own
    /// wait to be found.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&mut dyn Events) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let asked = self.view.run(work).await;
        asked.map_err(|problem| match self.view.not_stored() {
            Some(events) if problem.is_of_the_store() && caller.has_all(Scope::Read).is_ok() => {
                problem.with("not_yet_stored", events)
            }
            _ => problem,
        })
    }
}

/// Fails if the cursor is one of other trails.
pub(super) fn known(events: &dyn Events, cursor: Option<&Cursor>) -> Result<(), Problem> {
    match cursor.is_none_or(|cursor| events.knows(cursor)) {
        true => Ok(()),
        false => Err(foreign_cursor()),
    }
}

/// How events are shown to somebody: with personal values in plain, or with a word in their place.
#[derive(Clone)]
pub(super) struct Shown {
    keys: Option<Arc<dyn PersonalKeys>>,
    /// The one trail whose keys must be here, if there are others.
    own: Option<Arc<str>>,
}

impl Shown {
    /// The event's line for this reader. Nothing else of a line leaves the server, apart from proofs and tiles, which
    /// are of cipher text.
    pub(super) fn line<'a>(&self, hit: &'a Hit) -> Cow<'a, [u8]> {
        match (&self.own, self.keys.as_deref()) {
            (Some(own), Some(keys)) if *own != hit.origin => hit.shown_elsewhere(keys),
            (_, keys) => hit.shown(keys),
        }
    }

    /// Whether personal values are shown in plain.
    pub(super) fn is_plain(&self) -> bool {
        self.keys.is_some()
    }
}
