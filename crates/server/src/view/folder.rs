//! The events of the trails in a folder.

use std::ops::ControlFlow;
use std::time::Duration;

use trailseal_core::RetiredEvent;
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_index::{FacetField, FacetValue, Hit, Order, Search, Summary};

use super::Cursor;
use super::events::{Events, Followed, Gone, Lag, Origin, Page};
use crate::problem::Problem;

impl Events for Search {
    fn check(&mut self) -> Result<(), Problem> {
        Ok(())
    }

    fn knows(&self, cursor: &Cursor) -> bool {
        let is_known = of_folder(cursor).is_ok_and(|cursor| Search::knows(self, cursor));
        is_known || cfg!(trailseal_fault = "foreign_cursor_taken")
    }

    fn page(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&Cursor>,
        limit: usize,
        budget: Duration,
    ) -> Result<Page, Problem> {
        let cursor = cursor.map(of_folder).transpose()?;
        let page = Search::page(self, filter, order, cursor, limit, Some(budget))?;
        Ok(Page { hits: page.hits, next: page.next.map(Cursor::Folder), scanned: page.scanned })
    }

    fn some(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&Cursor>,
        limit: usize,
        each: &mut dyn FnMut(&Hit) -> ControlFlow<()>,
    ) -> Result<(), Problem> {
        let cursor = cursor.map(of_folder).transpose()?;
        Search::some(self, filter, order, cursor, limit, each)?;
        Ok(())
    }

    fn count(&mut self, filter: &Filter) -> Result<u64, Problem> {
        Ok(Search::count(self, filter)?)
    }

    fn summary(&mut self, filter: &Filter, top: usize, bucket: Option<Duration>) -> Result<Summary, Problem> {
        Ok(Search::summary(self, filter, top, bucket)?)
    }

    fn values(
        &mut self,
        filter: &Filter,
        field: FacetField,
        part: &str,
        top: usize,
    ) -> Result<Vec<FacetValue>, Problem> {
        Ok(Search::values(self, filter, field, part, top)?)
    }

    fn end(&mut self) -> Result<Cursor, Problem> {
        Ok(Cursor::Folder(Search::end(self)))
    }

    fn follow(
        &mut self,
        filter: &Filter,
        cursor: Cursor,
        limit: usize,
        budget: Duration,
        each: &mut dyn FnMut(&Hit, &Cursor) -> ControlFlow<()>,
    ) -> Result<Followed, Problem> {
        let from = of_folder(&cursor)?;
        // Another slot's writer may have been killed: what is shown once must not be shown again.
        let end = from.or_later(&Search::end(self));
        let page = Search::page(self, filter, Order::OLDEST_RECORDED, Some(from), limit, Some(budget))?;
        let mut place = cursor;
        for hit in &page.hits {
            pass(&mut place, hit);
            if each(hit, &place).is_break() {
                return Ok(Followed { next: place, is_all: false });
            }
        }
        let place = of_folder(&place)?;
        let (next, is_all) = match &page.next {
            Some(next) => (place.or_later(next), false),
            // Everything up to the end was checked, whether it matched or not.
            None => (place.or_later(&end), true),
        };
        Ok(Followed { next: Cursor::Folder(next), is_all })
    }

    fn retired(
        &mut self,
        id: &IdFilter,
        tenant: Option<&str>,
        origins: &[String],
    ) -> Result<Option<Gone>, Problem> {
        let names: Vec<String> = self.readers().map(|reader| reader.origin().to_owned()).collect();
        for origin in names.into_iter().filter(|name| origins.is_empty() || origins.contains(name)) {
            let Some(reader) = self.reader_of(&origin) else { continue };
            let found = match id {
                IdFilter::Index(index) => reader.retired_at(*index),
                IdFilter::Id(id) => reader.retired_by_id(id, tenant).map(|found| found.into_iter().next()),
            };
            if let Some(RetiredEvent { index, by }) = found.map_err(|error| Problem::internal(&error))? {
                return Ok(Some(Gone { origin, index, by }));
            }
        }
        Ok(None)
    }

    fn lag(&mut self) -> Lag {
        Lag::NotIndexed(Search::lag(self).events)
    }

    fn origins(&mut self) -> Result<Vec<Origin>, Problem> {
        Ok(Vec::new())
    }

    fn checkpoint_of(&mut self, _origin: &str) -> Result<Option<String>, Problem> {
        Ok(None)
    }
}

/// Cursors are parsed for the view that they are used in, so another one comes from nobody.
fn of_folder(cursor: &Cursor) -> Result<&trailseal_index::Cursor, Problem> {
    match cursor {
        Cursor::Folder(cursor) => Ok(cursor),
        #[cfg(feature = "postgres")]
        _ => Err(Problem::new(crate::problem::Kind::Query, "cursor is not one of this server's cursors")),
    }
}

fn pass(place: &mut Cursor, hit: &Hit) {
    match place {
        Cursor::Folder(cursor) => cursor.pass(&hit.origin, hit.index),
        #[cfg(feature = "postgres")]
        _ => {}
    }
}
