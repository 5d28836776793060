//! Which decisions are events of this trail: each becomes one, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use trailseal_core::Trail;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::complete::EventId;
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_event::{Event, Object};
use trailseal_index::{Hit, Order, Search};
use trailseal_postgres::shared::Decision;

use crate::problem::Problem;

/// What may be recorded for a store: other events of the trail's own have meanings that a store must not give them.
const RECORDED: [&str; 6] =
    ["token_created", "token_revoked", "review_decided", "hold_added_by", "hold_removed_by", "policy_set_by"];

/// How long an event may take to the disk before it is looked for again.
const DURABLE_WITHIN: Duration = Duration::from_secs(2);

/// So many events with the id of a decision are looked at.
const SAME_ID_MAX: usize = 1_000;

pub(super) struct Ledger {
    trail: Trail,
    state: Mutex<State>,
    looks: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Decisions that are being made now: whoever makes them records them.
    under_way: BTreeSet<String>,
    /// Decisions that this process has recorded, and where; until the store knows. They may not be on disk yet.
    recorded: BTreeMap<String, Recorded>,
}

struct Recorded {
    index: u64,
    is_noted: bool,
}

impl Ledger {
    pub(super) fn new(trail: Trail) -> Ledger {
        Ledger { trail, state: Mutex::default(), looks: Mutex::default() }
    }

    pub(super) fn origin(&self) -> &str {
        self.trail.origin()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while the store is looked at and what it names is recorded.
    pub(super) fn lock_looks(&self) -> MutexGuard<'_, ()> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a decision, which nobody else records until the result is dropped.
    pub(super) fn begin(&self, what: &'static str, event: Event) -> Deciding<'_> {
        let id = EventId::new(SystemClock.now()).to_string();
        let about = about(&self.trail.as_written(&event));
        let decision =
            Decision { id: id.clone(), origin: self.origin().to_owned(), what: what.into(), about };
        self.lock().under_way.insert(id);
        Deciding { ledger: self, what, decision, event }
    }

    /// The event of a decision that the store has and does not know to be recorded: found, or recorded now. `None` while it is
    /// not on disk.
    pub(super) fn make_sure(&self, decision: &Decision) -> Result<Option<u64>, Problem> {
        {
            let mut state = self.lock();
            if state.under_way.contains(&decision.id) {
                return Ok(None);
            }
            if let Some(known) = state.recorded.get_mut(&decision.id) {
                let is_durable = known.index < self.trail.durable().get();
                known.is_noted |= is_durable;
                return Ok(is_durable.then_some(known.index));
            }
        }
        // Another process recorded it, or this one was killed before it did. What that one had accepted is on disk.
        if let Some(index) = self.find(&decision.id)?
            && !cfg!(trailseal_fault = "decision_recorded_twice")
        {
            return Ok(Some(index));
        }
        if cfg!(trailseal_fault = "interrupted_decision_forgotten") {
            return Ok(Some(0));
        }
        let Some((what, event)) = event_of(decision) else {
            tracing::error!(id = decision.id, what = decision.what, "the store has a decision that is none");
            return Ok(None);
        };
        let index = self.record(what, event, &decision.id);
        tracing::info!(id = decision.id, what, "a decision that a stop interrupted is recorded now");
        let _ = self.trail.flush(DURABLE_WITHIN);
        let is_durable = |index: &u64| *index < self.trail.durable().get();
        Ok(index.filter(is_durable))
    }

    /// Forgets what no look will name again. Called at the end of a look.
    pub(super) fn forget_noted(&self) {
        self.lock().recorded.retain(|_, known| !known.is_noted);
    }

    /// Records an event; `None` if it was refused. Then the next look records it.
    fn record(&self, what: &str, mut event: Event, id: &str) -> Option<u64> {
        event.id = Some(id.to_owned());
        match self.trail.record_own(what, event) {
            Ok(index) => {
                let known = Recorded { index: index.get(), is_noted: false };
                self.lock().recorded.insert(id.to_owned(), known);
                Some(index.get())
            }
            Err(error) => {
                tracing::warn!(what, error = %error, "the event of a decision was refused, and is recorded later");
                None
            }
        }
    }

    /// The index of the event with this id in the trail.
    fn find(&self, id: &str) -> Result<Option<u64>, Problem> {
        let folder = self.trail.folder();
        let mut search = Search::open(folder.root(), folder.files().clone())?;
        let Ok(wanted) = id.parse::<IdFilter>();
        let filter = Filter { id: vec![wanted], system: true, ..Filter::default() };
        let page = search.page(&filter, Order::OLDEST_RECORDED, None, SAME_ID_MAX, None)?;
        // A caller's event may have any id, and says nothing of what was decided.
        let is_own = |hit: &&Hit| hit.read(None).is_ok_and(|recorded| recorded.system);
        Ok(page.hits.iter().find(is_own).map(|hit| hit.index.get()))
    }
}

/// A decision under way.
pub(super) struct Deciding<'a> {
    ledger: &'a Ledger,
    what: &'static str,
    decision: Decision,
    event: Event,
}

impl Deciding<'_> {
    pub(super) fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Records that it was made, and waits a moment for the disk.
    pub(super) fn record(&self) {
        if self.ledger.record(self.what, self.event.clone(), &self.decision.id).is_some() {
            let _ = self.ledger.trail.flush(DURABLE_WITHIN);
        }
    }
}

impl Drop for Deciding<'_> {
    fn drop(&mut self) {
        self.ledger.lock().under_way.remove(&self.decision.id);
    }
}

/// What the store keeps of an event: nothing that masking hides, and no address, which may be somebody's.
fn about(event: &Event) -> String {
    let by = event.actor.as_ref().and_then(|actor| actor.id.as_deref());
    json!({"by": by, "tenant": event.tenant, "details": event.details}).to_string()
}

/// The event that tells of a decision; `None` if no server of this version makes such a decision.
fn event_of(decision: &Decision) -> Option<(&'static str, Event)> {
    let what = RECORDED.into_iter().find(|what| *what == decision.what)?;
    let about: Value = serde_json::from_str(&decision.about).ok()?;
    let details: Object = serde_json::from_value(about["details"].clone()).ok()?;
    let text = |name: &str| about[name].as_str().map(str::to_owned);
    // Who decided is not always said.
    let mut event = Event::default().actor_kind("token").details(details);
    event.actor.get_or_insert_default().id = text("by");
    event.tenant = text("tenant");
    Some((what, event))
}
