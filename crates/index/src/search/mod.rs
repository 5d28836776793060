//! Search: one answer from one trail or several, using the index where there is one and a scan where there is not.
//!
//! In: a [`Filter`], an order, a cursor. Out: events in one order: by time, which is (effective time, `recorded`,
//! origin, index), or by recording, which is the same without the first. What is durable but not yet in the index is
//! scanned, so an answer never waits for the index. The index only proposes: [`Filter::accept`] judges each line by its
//! bytes, so a filter means the same with and without an index.

mod by_time;
mod cursor;
mod error;
mod gathered;
mod member;
mod merge;
mod remaining;
mod summed;
mod wanted;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use trailseal_core::file::Files;
use trailseal_core::{ReadError, Reader, trails_in};
use trailseal_event::Timestamp;
use trailseal_event::count::ByValue;
use trailseal_event::filter::Filter;

pub use cursor::{Cursor, CursorError};
pub use error::{SearchError, TellTrouble};
use gathered::MATCHES_MAX;
use member::Member;
use remaining::Left;
pub use trailseal_event::Hit;
pub use trailseal_event::count::FacetValue;

use crate::{FacetField, Order};

/// A page with a budget ends at this many bytes of lines, whatever its limit.
pub const PAGE_BYTES_MAX: usize = 2 << 20;

/// One page of results.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events, in the requested order.
    pub hits: Vec<Hit>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
    /// Set if the time budget or the byte limit ended the page before it was full: how many events were checked so far.
    pub scanned: Option<u64>,
}

/// How far the indexes lag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Readable events that are not in an index yet; answers include them anyway.
    pub events: u64,
}

/// The trails that are searched together.
///
/// ```
/// use std::sync::Arc;
/// use trailseal_core::{Ack, Options, Trail, file::StdFiles};
/// use trailseal_event::{Event, filter::Filter};
/// use trailseal_index::{Order, Search};
/// # let folder = tempfile::tempdir()?;
/// # let dir = folder.path();
/// let trail = Trail::open(dir, Options::default())?;
/// trail.with(Ack::Durable).record(&Event::new("invoice.approve").tenant("acme"))?;
/// let mut search = Search::open(dir, Arc::new(StdFiles))?;
/// let filter = Filter { tenant: vec!["acme".into()], ..Filter::default() };
/// let page = search.page(&filter, Order::NEWEST, None, 50, None)?;
/// assert_eq!(page.hits[0].read(None)?.event.action, "invoice.approve");
/// assert!(page.next.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Search {
    dir: PathBuf,
    files: Arc<dyn Files>,
    members: Vec<Member>,
    tell: Option<Arc<TellTrouble>>,
    matches_max: usize,
}

impl Search {
    /// Opens the trail in folder `dir`, or the slots in it. Writes nothing.
    ///
    /// # Errors
    /// When there is no trail, or it cannot be read. An unreadable index is not an error; the search does without it.
    pub fn open(dir: &Path, files: Arc<dyn Files>) -> Result<Search, SearchError> {
        let mut search =
            Search { dir: dir.to_owned(), files, members: Vec::new(), tell: None, matches_max: MATCHES_MAX };
        search.find_members()?;
        match search.members.is_empty() {
            true => Err(ReadError::NoTrail { path: dir.to_owned() }.into()),
            false => Ok(search),
        }
    }

    /// Opens the trails in the folder that are not open yet.
    fn find_members(&mut self) -> Result<(), SearchError> {
        let failed = |source| SearchError::List { path: self.dir.clone(), source };
        for folder in trails_in(&self.dir, &*self.files).map_err(failed)? {
            if !self.members.iter().any(|member| member.reader.folder().root() == folder) {
                let mut member = Member::open(&folder, &self.files).map_err(|error| self.named(error))?;
                if let Some(tell) = &self.tell {
                    member.tell_trouble(tell);
                }
                member.matches_max = self.matches_max;
                self.members.push(member);
            }
        }
        self.members.sort_by(|left, right| left.origin.cmp(&right.origin));
        Ok(())
    }

    /// A slot without `trail.toml` has lost it.
    fn named(&self, error: SearchError) -> SearchError {
        match error {
            SearchError::Read(ReadError::NoTrail { path }) if path != self.dir => {
                let what = "this slot or its trail.toml is gone, but others exist".to_owned();
                ReadError::Damaged { path, what }.into()
            }
            other => other,
        }
    }

    /// Picks up what has become readable since, including new slots.
    ///
    /// # Errors
    /// As [`open`](Search::open).
    pub fn refresh(&mut self) -> Result<(), SearchError> {
        self.members.iter_mut().try_for_each(Member::refresh)?;
        // A folder that is one trail stays one.
        match self.members.as_slice() {
            [one] if one.reader.folder().root() == self.dir => Ok(()),
            // A trail that is being created cannot be read yet; the next call finds it.
            _ => self.find_members().or_else(|error| match error {
                SearchError::List { .. } | SearchError::Read(ReadError::Damaged { .. }) => Err(error),
                _ => Ok(()),
            }),
        }
    }

    /// Calls `tell` for each index that is damaged or of another version: answers are the same without it, but slower.
    pub fn tell_trouble(&mut self, tell: Arc<TellTrouble>) {
        self.members.iter_mut().for_each(|member| member.tell_trouble(&tell));
        self.tell = Some(tell);
    }

    /// From now on, a search ends with [`SearchError::Stopped`] soon after `stopped` is set: long work checks it
    /// repeatedly.
    pub fn stop_when(&mut self, stopped: &Arc<AtomicBool>) {
        self.members.iter_mut().for_each(|member| member.stopped = stopped.clone());
    }

    /// From now on, a walk by time through unindexed lines keeps at most this many places of matches per trail. The
    /// default is 262,144, about 6 MiB. With fewer, lines are read more often.
    pub fn keep_at_most(&mut self, matches: usize) {
        self.matches_max = matches;
        self.members.iter_mut().for_each(|member| member.matches_max = matches);
    }

    /// The views of the trails, ordered by origin.
    pub fn readers(&self) -> impl Iterator<Item = &Reader> {
        self.members.iter().map(|member| &member.reader)
    }

    /// The view of the trail `origin`, for reading lines and proofs.
    pub fn reader_of(&mut self, origin: &str) -> Option<&mut Reader> {
        self.members.iter_mut().find(|member| &*member.origin == origin).map(|member| &mut member.reader)
    }

    /// Whether `filter` asks for a value that some trail may have hashed with a key that is not available: there only
    /// its hash finds it.
    pub fn lacks_key(&self, filter: &Filter) -> bool {
        filter.has_hashable() && self.members.iter().any(|member| !member.has_key())
    }

    /// How far all indexes together lag.
    pub fn lag(&self) -> Lag {
        Lag { events: self.lags().sum() }
    }

    /// How many events of each trail are not in its index yet, in the order of [`readers`](Search::readers).
    pub fn lags(&self) -> impl Iterator<Item = u64> {
        self.members.iter().map(|member| member.end() - member.indexed())
    }

    /// The position of a reader that has seen everything so far and wants what comes next.
    pub fn end(&self) -> Cursor {
        let left = |member: &Member| Left { indexes: member.end()..u64::MAX, ..Left::of(0) };
        let left = self.members.iter().map(|member| (member.origin.clone(), left(member)));
        Cursor::new(Order::OLDEST_RECORDED, left)
    }

    /// Whether a cursor belongs to at least one of these trails. A position in other trails is of no use here.
    pub fn knows(&self, cursor: &Cursor) -> bool {
        self.members.iter().any(|member| cursor.knows(&member.origin))
    }

    /// Calls `each` with every matching event, in order, from `cursor` on.
    ///
    /// # Errors
    /// When a trail cannot be read.
    pub fn each(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&Cursor>,
        each: &mut dyn FnMut(&Hit) -> ControlFlow<()>,
    ) -> Result<(), SearchError> {
        let mut walk = merge::Walk::new(&mut self.members, filter, order, cursor, usize::MAX, None)?;
        while let Some(hit) = walk.next()? {
            if each(&hit).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Calls `each` with up to `limit` matching events, in order, from `cursor` on. Returns where the next ones begin,
    /// if there are more.
    ///
    /// # Errors
    /// When a trail cannot be read.
    pub fn some(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&Cursor>,
        limit: usize,
        each: &mut dyn FnMut(&Hit) -> ControlFlow<()>,
    ) -> Result<Option<Cursor>, SearchError> {
        let mut walk = merge::Walk::new(&mut self.members, filter, order, cursor, limit, None)?;
        for _ in 0..limit {
            let Some(hit) = walk.next()? else { return Ok(None) };
            if each(&hit).is_break() {
                return Ok(None);
            }
        }
        Ok(walk.rest()?.0)
    }

    /// Returns up to `limit` events from `cursor` on. With a `budget` it may stop before the page is full; it also
    /// stops when the page has [`PAGE_BYTES_MAX`]. The page then says how far it got, and its `next` continues from
    /// there.
    ///
    /// # Errors
    /// When a trail cannot be read.
    pub fn page(
        &mut self,
        filter: &Filter,
        order: Order,
        cursor: Option<&Cursor>,
        limit: usize,
        budget: Option<Duration>,
    ) -> Result<Page, SearchError> {
        let deadline = budget.map(|budget| Instant::now() + budget);
        let mut walk = merge::Walk::new(&mut self.members, filter, order, cursor, limit, deadline)?;
        let (mut hits, mut bytes) = (Vec::new(), 0);
        let bytes_max = if budget.is_some() { PAGE_BYTES_MAX } else { usize::MAX };
        while hits.len() < limit && bytes < bytes_max {
            let Some(hit) = walk.next()? else { break };
            bytes += hit.exact_line().len();
            hits.push(hit);
        }
        let (is_cut, looked) = (hits.len() < limit && bytes >= bytes_max, walk.scanned());
        let (next, scanned) = walk.rest()?;
        let scanned = scanned.or((is_cut && next.is_some()).then_some(looked));
        Ok(Page { hits, next, scanned })
    }

    /// The exact number of matching events.
    ///
    /// # Errors
    /// When a trail cannot be read.
    pub fn count(&mut self, filter: &Filter) -> Result<u64, SearchError> {
        self.members.iter_mut().map(|member| member.count(filter)).sum()
    }

    /// How many matching events each value of `field` has, most frequent first, at most `top` values.
    ///
    /// # Errors
    /// When a trail cannot be read.
    pub fn facets(
        &mut self,
        filter: &Filter,
        field: FacetField,
        top: usize,
    ) -> Result<Vec<(String, u64)>, SearchError> {
        let values = self.values(filter, field, "", top)?;
        Ok(values.into_iter().map(|FacetValue { value, count, .. }| (value, count)).collect())
    }

    /// The same with the names of actors, for values that have `part` in them, or in the name, in upper or lower case.
    ///
    /// # Errors
    /// When a trail cannot be read.
    pub fn values(
        &mut self,
        filter: &Filter,
        field: FacetField,
        part: &str,
        top: usize,
    ) -> Result<Vec<FacetValue>, SearchError> {
        let part = part.to_lowercase();
        let has = |text: &str| part.is_empty() || text.to_lowercase().contains(&part);
        let is_wanted = |value: &str, name: Option<&str>| has(value) || name.is_some_and(has);
        let mut by_value = ByValue::default();
        for member in &mut self.members {
            by_value.merge(member.facets(filter, field, &is_wanted)?);
        }
        Ok(by_value.most_frequent(top))
    }

    /// How many matching events fall into each span of `bucket` by time, the earliest first; empty spans are left out.
    ///
    /// # Errors
    /// When a trail cannot be read.
    pub fn histogram(
        &mut self,
        filter: &Filter,
        bucket: Duration,
    ) -> Result<Vec<(Timestamp, u64)>, SearchError> {
        let mut counts = std::collections::BTreeMap::new();
        for member in &mut self.members {
            for (start, count) in member.histogram(filter, bucket)? {
                *counts.entry(start).or_insert(0) += count;
            }
        }
        Ok(counts.into_iter().collect())
    }
}
