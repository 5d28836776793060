//! The shared store as a source of events.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::deliver::MustEnd;
use trailseal_core::file::StdFiles;
use trailseal_core::with_causes;
use trailseal_core::{Folder, ReadError, load_mask_key, trails_in};
use trailseal_event::count::{FacetField, FacetValue};
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_event::mask::MaskKey;
use trailseal_event::{Hit, Order};
use trailseal_index::Summary;
use trailseal_postgres::{
    Pool, Problem, Reader, RetiredEvent, StoreCursor, StoreError, StorePosition, check_readable,
};

use super::source::{Follow, Source, of_this_order};
use crate::failure::{Failure, Outcome};
use crate::output::{Trails, tell};
use crate::settings::Settings;
use crate::store::Store;

/// How often a follower looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// And while the store cannot be reached.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// So many events come at once.
const ARRIVED_AT_ONCE: usize = 1_000;

/// A shared store that is read.
pub(super) struct Stored {
    reader: Reader,
    has_keys: bool,
}

impl Stored {
    pub(super) fn open(store: &Store, settings: &Settings) -> Outcome<Stored> {
        let url = store.url();
        let mut connection = url.connect(&MustEnd::default())?;
        check_readable(&mut connection)?;
        drop(connection);
        let keys = mask_keys(settings);
        let has_keys = !keys.is_empty();
        let reader = Reader::new(Arc::new(Pool::new(url.clone(), 1))).with_mask_keys(keys);
        Ok(Stored { reader, has_keys })
    }
}

/// The keys of the trails that are here, if any. A store has none.
fn mask_keys(settings: &Settings) -> Vec<MaskKey> {
    let mut found: Vec<MaskKey> = Vec::new();
    for folder in trails_in(&settings.dir(), &StdFiles).unwrap_or_default() {
        let key = load_mask_key(&Folder::new(&folder, Arc::new(StdFiles))).ok().flatten();
        // Slots have the same one.
        let is_new = |key: &MaskKey| found.iter().all(|known| known.hash("") != key.hash(""));
        if let Some(key) = key.filter(is_new) {
            found.push(key);
        }
    }
    found
}

impl Source for Stored {
    fn trails(&self) -> Outcome<Trails> {
        let origins = self.reader.origins()?;
        let ends = || origins.iter().map(|origin| origin.next.get());
        Ok(Trails { is_one: false, last: ends().max().unwrap_or(0), events: ends().sum() })
    }

    fn some(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&str>,
        limit: usize,
        each: &mut dyn FnMut(&Hit) -> ControlFlow<()>,
    ) -> Outcome<Option<String>> {
        let cursor = cursor.map(|text| of_this_order(text.parse().ok(), StoreCursor::order, order));
        let next = self.reader.some(filter, order, cursor.transpose()?.as_ref(), limit, each)?;
        Ok(next.map(|next| next.to_string()))
    }

    fn check(&self, cursor: &str, order: Order) -> Outcome {
        of_this_order(cursor.parse().ok(), StoreCursor::order, order).map(drop)
    }

    fn count(&mut self, filter: &Filter) -> Outcome<u64> {
        Ok(self.reader.count(filter)?)
    }

    fn summary(&mut self, filter: &Filter, top: usize, bucket: Option<Duration>) -> Outcome<Summary> {
        Ok(self.reader.summary(filter, top, bucket)?)
    }

    fn values(
        &mut self,
        filter: &Filter,
        field: FacetField,
        part: &str,
        top: usize,
    ) -> Outcome<Vec<FacetValue>> {
        Ok(self.reader.values(filter, field, part, top)?)
    }

    fn follow<'a>(
        self: Box<Self>,
        filter: &'a Filter,
        count: usize,
    ) -> Outcome<(Vec<Hit>, Box<dyn Follow + 'a>)> {
        let (newest, seen) = self.reader.newest(filter, count)?;
        Ok((newest, Box::new(FollowStore { reader: self.reader, filter, seen, is_away: false })))
    }

    fn lacks_key(&self, filter: &Filter) -> bool {
        !self.has_keys && filter.has_hashable()
    }

    fn retired(&mut self, filter: &Filter) -> Outcome<Option<Failure>> {
        let tenant = filter.tenant.first().map(String::as_str);
        let is_meant =
            |event: &RetiredEvent| filter.origin.is_empty() || filter.origin.contains(&event.origin);
        for id in &filter.id {
            let found = match id {
                IdFilter::Index(index) => self.reader.retired_at(&filter.origin, *index)?,
                IdFilter::Id(id) => self.reader.retired_by_id(id, tenant)?.into_iter().find(is_meant),
            };
            if let Some(RetiredEvent { index, by, .. }) = found {
                return Ok(Some(ReadError::Retired { index, by: Some(by) }.into()));
            }
        }
        Ok(None)
    }
}

/// Follows all trails of a store, also past its outages.
struct FollowStore<'a> {
    reader: Reader,
    filter: &'a Filter,
    seen: StorePosition,
    /// Whether it could not be reached at the last look.
    is_away: bool,
}

impl Follow for FollowStore<'_> {
    fn look_every(&self) -> Duration {
        if self.is_away { TRY_EVERY } else { LOOK_EVERY }
    }

    fn arrived(&mut self, each: &mut dyn FnMut(&Hit) -> ControlFlow<()>) -> Outcome {
        loop {
            let arrived = match self.reader.after(self.filter, &self.seen, ARRIVED_AT_ONCE, Some(LOOK_EVERY))
            {
                Ok(arrived) => arrived,
                Err(error) => return self.wait_for_it(error),
            };
            if std::mem::take(&mut self.is_away) {
                tell("the store is back");
            }
            if arrived.hits.iter().any(|hit| each(hit).is_break()) {
                return Ok(());
            }
            self.seen = arrived.next;
            if arrived.is_all {
                return Ok(());
            }
        }
    }
}

impl FollowStore<'_> {
    /// What passes is waited for; nothing is missed meanwhile.
    fn wait_for_it(&mut self, error: StoreError) -> Outcome {
        if !matches!(error.problem(), Problem::Unreachable | Problem::Connections | Problem::Locked) {
            return Err(error.into());
        }
        if !std::mem::replace(&mut self.is_away, true) {
            tell(&format!("{}: waiting for it", with_causes(&error)));
        }
        Ok(())
    }
}
