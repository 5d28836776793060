//! What is asked of events, wherever they are.

use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::{Value, json};
use trailseal_event::Index;
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_index::{FacetField, FacetValue, Hit, Order, Summary};

use super::Cursor;
use crate::problem::Problem;

/// One page of results.
pub(crate) struct Page {
    /// The events, in the requested order.
    pub(crate) hits: Vec<Hit>,
    /// Where the next page begins; `None` at the end.
    pub(crate) next: Option<Cursor>,
    /// Set if the page ended before it was full: how many events were looked at.
    pub(crate) scanned: Option<u64>,
}

/// What arrived after a cursor.
pub(crate) struct Followed {
    /// Where to go on.
    pub(crate) next: Cursor,
    /// Whether that is the end.
    pub(crate) is_all: bool,
}

/// How far what is searched lags behind this server's trails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lag {
    /// So many events are not in an index; answers have them anyway.
    NotIndexed(u64),
    /// So many events of this server's own trail are not in the shared store yet, so answers do not have them.
    NotStored(u64),
}

impl Lag {
    /// As answers tell it.
    pub(crate) fn to_json(self) -> Value {
        match self {
            Lag::NotIndexed(events) => json!({ "events": events }),
            Lag::NotStored(events) => json!({"events": events, "not_yet_stored": events}),
        }
    }

    /// As answers tell it that otherwise have no lag: only if they lack something.
    pub(crate) fn if_missed(self) -> Option<Value> {
        match self {
            Lag::NotIndexed(_) | Lag::NotStored(0) => None,
            Lag::NotStored(_) => Some(self.to_json()),
        }
    }
}

/// An event that was retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) origin: String,
    pub(crate) index: Index,
    /// The event `trail.retired`, if it is known.
    pub(crate) by: Option<Index>,
}

/// Events that can be searched.
pub(crate) trait Events {
    /// Whether they can be searched now.
    fn check(&mut self) -> Result<(), Problem>;

    /// Whether the cursor belongs to a walk through at least one of the trails that are searched. Of another one, a page would be empty,
    /// and look like the last.
    fn knows(&self, cursor: &Cursor) -> bool;

    /// Up to `limit` events from `cursor` on; fewer if the budget ends first.
    fn page(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&Cursor>,
        limit: usize,
        budget: Duration,
    ) -> Result<Page, Problem>;

    /// Calls `each` with up to `limit` events, in order, from `cursor` on.
    fn some(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&Cursor>,
        limit: usize,
        each: &mut dyn FnMut(&Hit) -> ControlFlow<()>,
    ) -> Result<(), Problem>;

    /// The exact number of matching events.
    fn count(&mut self, filter: &Filter) -> Result<u64, Problem>;

    /// Counts by each field, at most `top` values of each, and over time.
    fn summary(&mut self, filter: &Filter, top: usize, bucket: Option<Duration>) -> Result<Summary, Problem>;

    /// The most frequent values of a field that have `part` in them.
    fn values(
        &mut self,
        filter: &Filter,
        field: FacetField,
        part: &str,
        top: usize,
    ) -> Result<Vec<FacetValue>, Problem>;

    /// The place of a reader who has seen everything so far and wants what comes next.
    fn end(&mut self) -> Result<Cursor, Problem>;

    /// Calls `each` with events that came after `cursor`, up to `limit`, and with the cursor after each.
    fn follow(
        &mut self,
        filter: &Filter,
        cursor: Cursor,
        limit: usize,
        budget: Duration,
        each: &mut dyn FnMut(&Hit, &Cursor) -> ControlFlow<()>,
    ) -> Result<Followed, Problem>;

    /// An event with this id or index that was retired: of this tenant, or, with `None`, of any; in these trails, or, if none is
    /// named, in all. Ask only if there is none that was not.
    fn retired(
        &mut self,
        id: &IdFilter,
        tenant: Option<&str>,
        origins: &[String],
    ) -> Result<Option<Gone>, Problem>;

    /// How far this lags.
    fn lag(&mut self) -> Lag;

    /// The trails of a shared store.
    fn origins(&mut self) -> Result<Vec<Origin>, Problem>;

    /// The newest checkpoint of a trail in a shared store.
    fn checkpoint_of(&mut self, origin: &str) -> Result<Option<String>, Problem>;
}

/// A trail of the shared store.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) name: String,
    /// How many of its events are there.
    pub(crate) stored: u64,
    /// When the last of them came.
    pub(crate) moved: String,
    /// Size and text of its newest checkpoint there.
    pub(crate) checkpoint: Option<(u64, String)>,
}
