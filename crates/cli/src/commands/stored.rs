//! The shared store as a source of events.

use std::ops::ControlFlow;
use std::sync::Arc;

use trailseal_core::deliver::MustEnd;
use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, load_mask_key, trails_in};
use trailseal_event::filter::Filter;
use trailseal_event::mask::MaskKey;
use trailseal_event::{Hit, Order};
use trailseal_postgres::{Pool, Reader, StoreCursor, check_readable};

use super::source::{Source, of_this_order};
use crate::failure::Outcome;
use crate::output::Trails;
use crate::settings::Settings;
use crate::store::Store;

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
        let last = self.reader.origins()?.iter().map(|origin| origin.next.get()).max();
        Ok(Trails { is_one: false, last: last.unwrap_or(0) })
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

    fn lacks_key(&self, filter: &Filter) -> bool {
        !self.has_keys && filter.has_hashable()
    }
}
