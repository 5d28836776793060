//! Answers by the index. What it has not got yet, and trails without one, are scanned, so the answers are the same.

use std::ops::ControlFlow;
use std::sync::Arc;

use trailseal_event::personal::PersonalKeys;
use trailseal_index::{Hit, Search, SearchError};

use super::{Cursor, Order, Page, Place, QueryError, RecordedEvent, Wanted};
use crate::{Event, Filter};

/// The trails of a folder, with their indexes.
pub(crate) struct Finder(Search);

impl Finder {
    pub(crate) fn open(place: Place) -> Result<Finder, QueryError> {
        Ok(Finder(Search::open(&place.dir, place.files)?))
    }

    /// Looks again: what has become readable since.
    pub(crate) fn refresh(&mut self) -> Result<(), QueryError> {
        Ok(self.0.refresh()?)
    }

    pub(crate) fn page(
        &mut self,
        filter: &Filter,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
        keys: Option<&dyn PersonalKeys>,
    ) -> Result<Page, QueryError> {
        let order: trailseal_index::Order = order.into();
        let after = match after {
            Some(cursor) => {
                let cursor: trailseal_index::Cursor = cursor.0.parse().map_err(|_| QueryError::Cursor)?;
                if cursor.order() != order || !self.0.knows(&cursor) {
                    return Err(QueryError::Cursor);
                }
                Some(cursor)
            }
            None => None,
        };
        let page = self.0.page(filter, order, after.as_ref(), limit.max(1), None)?;
        let events = page.hits.iter().map(|hit| read(hit, keys)).collect::<Result<_, _>>()?;
        Ok(Page { events, next: page.next.map(|cursor| Cursor(cursor.to_string())) })
    }

    /// The events that are wanted, too, from the one at `offset` on.
    pub(crate) fn matching(
        &mut self,
        filter: &Filter,
        order: Order,
        wanted: &Wanted<'_>,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, QueryError> {
        let (mut found, mut passed) = (Vec::new(), 0);
        if limit > 0 {
            self.each(filter, order, &mut |event| {
                if wanted(&event.event) {
                    if passed >= offset {
                        found.push(event);
                    }
                    passed += 1;
                }
                if found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok(found)
    }

    pub(crate) fn count(&mut self, filter: &Filter, wanted: &Wanted<'_>) -> Result<u64, QueryError> {
        let mut count = 0;
        self.each(filter, Order::OldestRecorded, &mut |event| {
            count += u64::from(wanted(&event.event));
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// How many events match, without reading them.
    pub(crate) fn count_all(&mut self, filter: &Filter) -> Result<u64, QueryError> {
        Ok(self.0.count(filter)?)
    }

    fn each(
        &mut self,
        filter: &Filter,
        order: Order,
        each: &mut dyn FnMut(RecordedEvent) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let mut failed = None;
        self.0.each(filter, order.into(), None, &mut |hit| match read(hit, None) {
            Ok(event) => each(event),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), Err)
    }
}

fn read(hit: &Hit, keys: Option<&dyn PersonalKeys>) -> Result<RecordedEvent, QueryError> {
    let line = hit.exact_line();
    let recorded = Event::from_line(line).map_err(|error| QueryError::Index(Box::new(error)))?;
    Ok(RecordedEvent::of_line(Arc::clone(&hit.origin), recorded, line, keys))
}

impl From<Order> for trailseal_index::Order {
    fn from(order: Order) -> Self {
        match order {
            Order::Newest => Self::NEWEST,
            Order::Oldest => Self::OLDEST,
            Order::NewestRecorded => Self::NEWEST_RECORDED,
            Order::OldestRecorded => Self::OLDEST_RECORDED,
        }
    }
}

impl From<SearchError> for QueryError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Read(error) => QueryError::Read(error),
            SearchError::List { path, source } => QueryError::List { path, source },
            other => QueryError::Index(Box::new(other)),
        }
    }
}
