//! The events of a shared store, and whether it can be reached.
//!
//! What must hold: while it cannot be, each answer says so at once, and one request at a time tries again; nothing that
//! records events waits for it.

mod reach;
mod watched;

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use trailseal_core::deliver::MustEnd;
use trailseal_core::{Folder, Trail, load_mask_key, trails_in};
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_event::line::parse_front;
use trailseal_event::mask::MaskKey;
use trailseal_index::{FacetField, FacetValue, Hit, Order, SearchError, Summary};
use trailseal_postgres::{
    Pool, Reader, Refusal, SINK_NAME, StoreCursor, StoreError, StorePosition, StoredTrail,
};

use super::events::{Events, Followed, Gone, Lag, Origin, Page};
use super::{Cursor, News};
use crate::config::Config;
use crate::problem::{Kind, Problem};
use crate::searches::Searches;
use crate::view::new_events::Watched;
use reach::Reach;

/// Connections, within these bounds as many as searches at once: exports and streams read between them.
const CONNECTIONS_MIN: usize = 5;
const CONNECTIONS_MAX: usize = 20;
/// How long a store that gave no answer in time has to answer at all.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// What all events are read for has no limit but this for each part of it.
const EXPORT_WITHIN: Duration = Duration::from_secs(600);
/// Of so many events that are not stored yet is looked which are the trail's own.
const LOOKED_AT_MAX: u64 = 4_096;
/// How many events an export from a place in each trail reads at once.
const SOME: usize = 1_000;

/// A shared store.
pub(crate) struct Stored {
    /// The server's own, which is delivered to it.
    trail: Trail,
    searches: Arc<Searches>,
    reader: Reader,
    reach: Reach,
    watched: Mutex<Weak<Watched>>,
}

impl Stored {
    /// The store that the configuration names.
    pub(super) fn of(config: &Config, trail: &Trail, searches: &Arc<Searches>) -> Option<Stored> {
        let url = config.store.clone()?;
        let connections = config.searches_max.clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        let reader = Reader::new(Arc::new(Pool::new(url, connections)))
            .with_mask_keys(mask_keys(trail, searches.dir()))
            .within(config.search_timeout);
        let (trail, searches) = (trail.clone(), searches.clone());
        Some(Stored { trail, searches, reader, reach: Reach::default(), watched: Mutex::default() })
    }

    pub(super) fn cursor(&self, text: &str) -> Option<Cursor> {
        let of_page = text.parse::<StoreCursor>().ok().map(Cursor::Store);
        of_page.or_else(|| text.parse::<StorePosition>().ok().map(Cursor::Position))
    }

    /// A search that ends when it is cancelled.
    pub(super) fn search(&self, given_up: &Arc<AtomicBool>) -> Result<Box<dyn Events + '_>, Problem> {
        // Before anything is read, so that it names all that is missing.
        let lag = self.missed();
        Ok(Box::new(Searched { lag, ..self.begin(given_up)? }))
    }

    fn begin(&self, given_up: &Arc<AtomicBool>) -> Result<Searched<'_>, Problem> {
        if given_up.load(Ordering::Relaxed) {
            return Err(SearchError::Stopped.into());
        }
        let reader = self.reader.until(&MustEnd::from(given_up.clone()));
        self.reach.check(|| reader.check_readable())?;
        Ok(Searched { store: self, reader, lag: 0 })
    }

    pub(super) fn news(self: &Arc<Self>) -> News {
        let store = self.clone();
        News::Store(watched::watched(&self.watched, move |given_up| {
            store.begin(given_up)?.ask(Reader::origins)
        }))
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.reach.trouble()
    }

    /// How many events of the own trail are durable and not in the store, as far as its delivery knows.
    pub(super) fn not_stored(&self) -> u64 {
        let Range { start, end } = self.undelivered();
        end - start
    }

    fn undelivered(&self) -> Range<u64> {
        let stats = self.trail.stats();
        let sink = stats.deliveries.iter().find(|sink| sink.name == SINK_NAME);
        let cursor = sink.map_or(0, |sink| sink.cursor.get());
        cursor..stats.durable.max(cursor)
    }

    /// The same without the trail's own events, of which each search makes one; with them if there are many.
    fn missed(&self) -> u64 {
        let range = self.undelivered();
        let all = range.end - range.start;
        if all == 0 || all > LOOKED_AT_MAX {
            return all;
        }
        let origin = self.trail.origin();
        let mut missed = 0;
        let looked = self.searches.with(&Arc::default(), |search| {
            let Some(reader) = search.reader_of(origin) else { return Ok(()) };
            let read = reader.for_each(range, &mut |_, line| {
                missed += u64::from(parse_front(line).is_none_or(|front| !front.system));
                ControlFlow::Continue(())
            });
            read.map_err(|error| Problem::internal(&error))
        });
        if looked.is_ok() { missed } else { all }
    }

    /// What a failed search is answered with.
    fn problem(&self, error: &StoreError) -> Problem {
        match error {
            StoreError::WorkLimit { within, .. } => {
                let detail = format!(
                    "the answer takes more than {} s: narrow it, for example by time, or ask for pages",
                    within.as_secs_f64()
                );
                Problem::new(Kind::WorkLimit, detail)
            }
            StoreError::Buckets { max } => {
                let detail = format!("bucket is too short: there would be more than {max} bars");
                Problem::new(Kind::Query, detail).with("field", "bucket")
            }
            // Whoever asked has gone, or the time is over. If the store does not answer at all, that is why.
            StoreError::Ended { .. } => match self.reader.answers_within(ANSWERS_WITHIN) {
                Ok(()) => SearchError::Stopped.into(),
                Err(error) => self.reach.failed(&error),
            },
            error => self.reach.failed(error),
        }
    }
}

/// Whether PostgreSQL, or the way there, ended the connection.
fn is_cut(refusal: &Refusal) -> bool {
    refusal.code().is_none_or(|code| code.code().starts_with("57P") || code.code().starts_with("08"))
}

/// The keys of the trails here. A store has none.
fn mask_keys(trail: &Trail, dir: &Path) -> Vec<MaskKey> {
    let files = trail.folder().files();
    let mut found: Vec<MaskKey> = Vec::new();
    for folder in trails_in(dir, &**files).unwrap_or_default() {
        let key = load_mask_key(&Folder::new(&folder, files.clone())).ok().flatten();
        // Slots have the same one.
        let is_new = |key: &MaskKey| found.iter().all(|known| known.hash("") != key.hash(""));
        if let Some(key) = key.filter(is_new) {
            found.push(key);
        }
    }
    found
}

/// A search in the store.
struct Searched<'a> {
    store: &'a Stored,
    reader: Reader,
    lag: u64,
}

impl Searched<'_> {
    /// Asks the store; once more if the connection was cut, as after a restart of the server, and the store is there.
    fn ask<T>(&self, mut ask: impl FnMut(&Reader) -> Result<T, StoreError>) -> Result<T, Problem> {
        let asked = match ask(&self.reader) {
            Err(StoreError::Postgres { source, .. })
                if is_cut(&source) && self.reader.answers_within(ANSWERS_WITHIN).is_ok() =>
            {
                ask(&self.reader)
            }
            asked => asked,
        };
        asked.map_err(|error| self.store.problem(&error))
    }

    /// Some events that arrived after a place.
    fn after(
        &self,
        filter: &Filter,
        position: &StorePosition,
        limit: usize,
        budget: Option<Duration>,
    ) -> Result<trailseal_postgres::Arrived, Problem> {
        self.ask(|reader| reader.after(filter, position, limit, budget))
    }
}

impl Events for Searched<'_> {
    fn check(&mut self) -> Result<(), Problem> {
        self.ask(Reader::check_readable)
    }

    /// A cursor is a place in the order of all trails.
    fn knows(&self, _cursor: &Cursor) -> bool {
        true
    }

    fn page(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&Cursor>,
        limit: usize,
        budget: Duration,
    ) -> Result<Page, Problem> {
        if let Some(Cursor::Position(position)) = cursor {
            let arrived = self.after(filter, position, limit, Some(budget))?;
            let next = (!arrived.is_all).then_some(Cursor::Position(arrived.next));
            let looked = arrived.hits.len() as u64;
            let is_short = next.is_some() && arrived.hits.len() < limit;
            return Ok(Page { hits: arrived.hits, next, scanned: is_short.then_some(looked) });
        }
        let cursor = cursor.map(of_store).transpose()?;
        let page = self.ask(|reader| reader.page(filter, order, cursor, limit, Some(budget)))?;
        Ok(Page { hits: page.hits, next: page.next.map(Cursor::Store), scanned: page.scanned })
    }

    fn some(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&Cursor>,
        limit: usize,
        each: &mut dyn FnMut(&Hit) -> ControlFlow<()>,
    ) -> Result<(), Problem> {
        self.reader = self.reader.clone().within(EXPORT_WITHIN);
        let Some(Cursor::Position(position)) = cursor else {
            let cursor = cursor.map(of_store).transpose()?;
            // What was given out once must not be again.
            let asked = self.reader.some(filter, order, cursor, limit, each);
            return asked.map(drop).map_err(|error| self.store.problem(&error));
        };
        let (mut position, mut left) = (position.clone(), limit);
        while left > 0 {
            let arrived = self.after(filter, &position, left.min(SOME), None)?;
            left = left.saturating_sub(arrived.hits.len());
            if arrived.hits.iter().any(|hit| each(hit).is_break()) || arrived.is_all {
                break;
            }
            position = arrived.next;
        }
        Ok(())
    }

    fn count(&mut self, filter: &Filter) -> Result<u64, Problem> {
        self.ask(|reader| reader.count(filter))
    }

    fn summary(&mut self, filter: &Filter, top: usize, bucket: Option<Duration>) -> Result<Summary, Problem> {
        self.ask(|reader| reader.summary(filter, top, bucket))
    }

    fn values(
        &mut self,
        filter: &Filter,
        field: FacetField,
        part: &str,
        top: usize,
    ) -> Result<Vec<FacetValue>, Problem> {
        self.ask(|reader| reader.values(filter, field, part, top))
    }

    fn end(&mut self) -> Result<Cursor, Problem> {
        self.ask(Reader::end).map(Cursor::Position)
    }

    fn follow(
        &mut self,
        filter: &Filter,
        cursor: Cursor,
        limit: usize,
        budget: Duration,
        each: &mut dyn FnMut(&Hit, &Cursor) -> ControlFlow<()>,
    ) -> Result<Followed, Problem> {
        let position = match cursor {
            Cursor::Position(position) => position,
            // From a page on.
            cursor => {
                let cursor = of_store(&cursor)?;
                self.ask(|reader| reader.position_after(cursor))?
            }
        };
        let arrived = self.after(filter, &position, limit, Some(budget))?;
        let mut place = Cursor::Position(position);
        for hit in &arrived.hits {
            if let Cursor::Position(position) = &mut place {
                position.pass(&hit.origin, hit.index);
            }
            if each(hit, &place).is_break() {
                return Ok(Followed { next: place, is_all: false });
            }
        }
        Ok(Followed { next: Cursor::Position(arrived.next), is_all: arrived.is_all })
    }

    fn retired(
        &mut self,
        id: &IdFilter,
        tenant: Option<&str>,
        origins: &[String],
    ) -> Result<Option<Gone>, Problem> {
        let found = self.ask(|reader| match id {
            IdFilter::Index(_) if cfg!(trailseal_fault = "store_index_not_gone") => Ok(None),
            IdFilter::Index(index) => reader.retired_at(origins, *index),
            IdFilter::Id(id) => {
                let mut found = reader.retired_by_id(id, tenant)?.into_iter();
                Ok(found.find(|event| origins.is_empty() || origins.contains(&event.origin)))
            }
        })?;
        Ok(found.map(|event| Gone { origin: event.origin, index: event.index, by: Some(event.by) }))
    }

    fn lag(&mut self) -> Lag {
        Lag::NotStored(self.lag)
    }

    fn origins(&mut self) -> Result<Vec<Origin>, Problem> {
        let one = |trail: StoredTrail| Origin {
            name: trail.origin,
            stored: trail.next.get(),
            moved: trail.moved.to_string(),
            checkpoint: trail.checkpoint,
        };
        Ok(self.ask(Reader::trails)?.into_iter().map(one).collect())
    }

    fn checkpoint_of(&mut self, origin: &str) -> Result<Option<String>, Problem> {
        self.ask(|reader| reader.newest_checkpoint(origin))
    }
}

/// Cursors are parsed for the view that they are used in, so another one comes from nobody.
fn of_store(cursor: &Cursor) -> Result<&StoreCursor, Problem> {
    match cursor {
        Cursor::Store(cursor) => Ok(cursor),
        Cursor::Folder(_) | Cursor::Position(_) => {
            Err(Problem::new(Kind::Query, "cursor is not one of this server's cursors"))
        }
    }
}
