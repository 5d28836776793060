//! Where events are read from: the trails in a folder, or the shared store of many trails.

use std::ops::ControlFlow;
use std::time::Duration;

use trailseal_core::{ReadError, RetiredEvent};
use trailseal_event::count::{FacetField, FacetValue};
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_event::{By, First, Hit, Order};
use trailseal_index::{Cursor, Search, Summary};

use crate::failure::{Failure, Outcome};
use crate::output::{Trails, tell};

/// What is searched.
pub(super) trait Source {
    /// The trails in it.
    fn trails(&self) -> Outcome<Trails>;

    /// Calls `each` with up to `limit` matching events, in order, from `cursor` on. Returns the cursor of the next ones,
    /// if there are more.
    fn some(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&str>,
        limit: usize,
        each: &mut dyn FnMut(&Hit) -> ControlFlow<()>,
    ) -> Outcome<Option<String>>;

    /// Whether this is a cursor of this source and belongs to this order.
    fn check(&self, cursor: &str, order: Order) -> Outcome;

    /// The exact number of matching events.
    fn count(&mut self, filter: &Filter) -> Outcome<u64>;

    /// How many events there are of each kind, and when.
    fn summary(&mut self, filter: &Filter, top: usize, bucket: Option<Duration>) -> Outcome<Summary>;

    /// The most frequent values of a field that have `part` in them, at most `top`.
    fn values(
        &mut self,
        filter: &Filter,
        field: FacetField,
        part: &str,
        top: usize,
    ) -> Outcome<Vec<FacetValue>>;

    /// The `count` newest events by recording, the oldest of them first, and what follows all that is there.
    fn follow<'a>(
        self: Box<Self>,
        filter: &'a Filter,
        count: usize,
    ) -> Outcome<(Vec<Hit>, Box<dyn Follow + 'a>)>;

    /// Whether a match may have been missed because values are hashed by a key that is not here.
    fn lacks_key(&self, filter: &Filter) -> bool;

    /// Whether an event that was asked for by its id or index is gone, as far as that is known here.
    fn retired(&mut self, _filter: &Filter) -> Outcome<Option<Failure>> {
        Ok(None)
    }
}

/// Follows a source.
pub(super) trait Follow {
    /// How often to look.
    fn look_every(&self) -> Duration;

    /// Calls `each` with the events that have arrived since the last look, each once.
    fn arrived(&mut self, each: &mut dyn FnMut(&Hit) -> ControlFlow<()>) -> Outcome;
}

/// If nothing was found, says that it may be there under another name.
pub(super) fn tell_lacking_key(source: &dyn Source, filter: &Filter) {
    if source.lacks_key(filter) {
        tell(
            "the masking key is missing or unreadable: a masked value is found only by its hash, which `trailseal \
             mask hash` prints where the key is",
        );
    }
}

/// The cursor, if it is one and belongs to this order.
pub(super) fn of_this_order<C>(
    cursor: Option<C>,
    order_of: impl Fn(&C) -> Order,
    order: Order,
) -> Outcome<C> {
    let cursor = cursor.ok_or_else(|| Failure::could_not("--cursor is not a cursor of this program"))?;
    let own = order_of(&cursor);
    if own == order {
        return Ok(cursor);
    }
    let by = if own.by == By::Time { "time" } else { "recorded" };
    let first = if own.first == First::Oldest { "asc" } else { "desc" };
    Err(Failure::could_not(format!(
        "--cursor belongs to a query in another order: add --order {first} --order-by {by}, as in that query"
    )))
}

impl Source for Search {
    fn trails(&self) -> Outcome<Trails> {
        Ok(Trails::of(self))
    }

    fn some(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&str>,
        limit: usize,
        each: &mut dyn FnMut(&Hit) -> ControlFlow<()>,
    ) -> Outcome<Option<String>> {
        let cursor = cursor.map(|text| known(self, text, order)).transpose()?;
        let next = Search::some(self, filter, order, cursor.as_ref(), limit, each)?;
        Ok(next.map(|next| next.to_string()))
    }

    fn check(&self, cursor: &str, order: Order) -> Outcome {
        known(self, cursor, order).map(drop)
    }

    fn count(&mut self, filter: &Filter) -> Outcome<u64> {
        Ok(Search::count(self, filter)?)
    }

    fn summary(&mut self, filter: &Filter, top: usize, bucket: Option<Duration>) -> Outcome<Summary> {
        Ok(Search::summary(self, filter, top, bucket)?)
    }

    fn values(
        &mut self,
        filter: &Filter,
        field: FacetField,
        part: &str,
        top: usize,
    ) -> Outcome<Vec<FacetValue>> {
        Ok(Search::values(self, filter, field, part, top)?)
    }

    fn follow<'a>(
        mut self: Box<Self>,
        filter: &'a Filter,
        count: usize,
    ) -> Outcome<(Vec<Hit>, Box<dyn Follow + 'a>)> {
        let seen = self.end();
        let mut newest = self.page(filter, Order::NEWEST_RECORDED, None, count, None)?.hits;
        newest.reverse();
        Ok((newest, Box::new(FollowFolder { search: *self, filter, seen })))
    }

    fn lacks_key(&self, filter: &Filter) -> bool {
        Search::lacks_key(self, filter)
    }

    fn retired(&mut self, filter: &Filter) -> Outcome<Option<Failure>> {
        retired(self, filter)
    }
}

/// Follows the trails in a folder.
struct FollowFolder<'a> {
    search: Search,
    filter: &'a Filter,
    seen: Cursor,
}

impl Follow for FollowFolder<'_> {
    fn look_every(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn arrived(&mut self, each: &mut dyn FnMut(&Hit) -> ControlFlow<()>) -> Outcome {
        self.search.refresh()?;
        // Taken before the lines are read: what arrives meanwhile is shown by the next look. After a crash of the
        // writer, what only its handoff holds is visible, and then for a moment not, while the next writer recovers it:
        // it must not be shown twice.
        let end = self.seen.or_later(&self.search.end());
        if end != self.seen {
            let since = std::mem::replace(&mut self.seen, end);
            self.search.each(self.filter, Order::OLDEST_RECORDED, Some(&since), each)?;
        }
        Ok(())
    }
}

fn known(search: &Search, cursor: &str, order: Order) -> Outcome<Cursor> {
    let cursor = cursor.parse().ok().filter(|cursor| search.knows(cursor));
    of_this_order(cursor, Cursor::order, order)
}

/// Whether an event that was asked for by its id or index is gone.
pub(super) fn retired(search: &mut Search, filter: &Filter) -> Outcome<Option<Failure>> {
    if filter.id.is_empty() {
        return Ok(None);
    }
    let origins: Vec<String> = search.readers().map(|reader| reader.origin().to_owned()).collect();
    let tenant = filter.tenant.first().map(String::as_str);
    for origin in origins.iter().filter(|name| filter.origin.is_empty() || filter.origin.contains(name)) {
        let Some(reader) = search.reader_of(origin) else { continue };
        for id in &filter.id {
            let found = match id {
                IdFilter::Index(index) => reader.retired_at(*index)?,
                IdFilter::Id(id) => reader.retired_by_id(id, tenant)?.into_iter().next(),
            };
            if let Some(RetiredEvent { index, by }) = found {
                return Ok(Some(ReadError::Retired { index, by }.into()));
            }
        }
    }
    Ok(None)
}
