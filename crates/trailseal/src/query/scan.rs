//! Answers from the lines alone.
//!
//! In: a filter, an order, a place to go on from. Out: events. Lines lie in the order of recording, and no event's time is
//! later than its recording: so a walk from the newest may end once what it holds is newer than all that is left.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use trailseal_core::{Reader, load_mask_key, trails_in};
use trailseal_event::Recorded;
use trailseal_event::line::parse_front;
use trailseal_event::mask::MaskKey;
use trailseal_event::personal::PersonalKeys;

use super::{Cursor, Order, Page, Place, QueryError, RecordedEvent, Wanted};
use crate::{Filter, ReadError, Timestamp};

/// Where an event stands: the time it is ordered by, when it was recorded, its trail, its index.
type Key = (i64, i64, Arc<str>, u64);

/// The trails of a folder, and how their lines are read.
pub(crate) struct Finder {
    place: Place,
    members: Vec<Member>,
}

struct Member {
    origin: Arc<str>,
    reader: Reader,
    /// By which values asked for are hashed as masking hashes them.
    key: Option<MaskKey>,
}

impl Finder {
    pub(crate) fn open(place: Place) -> Result<Finder, QueryError> {
        let mut finder = Finder { place, members: Vec::new() };
        finder.refresh()?;
        match finder.members.is_empty() {
            true => Err(ReadError::NoTrail { path: finder.place.dir }.into()),
            false => Ok(finder),
        }
    }

    /// Looks again: what has become readable since.
    pub(crate) fn refresh(&mut self) -> Result<(), QueryError> {
        let Place { dir, files } = &self.place;
        let failed = |source| QueryError::List { path: dir.clone(), source };
        for folder in trails_in(dir, &**files).map_err(failed)? {
            if !self.members.iter().any(|member| member.reader.folder().root() == folder) {
                let reader = Reader::open(&folder, files.clone())?;
                self.members.push(Member { origin: reader.origin().into(), reader, key: None });
            }
        }
        for member in &mut self.members {
            member.reader.refresh()?;
            if member.key.is_none() {
                member.key = load_mask_key(member.reader.folder()).ok().flatten();
            }
        }
        Ok(())
    }

    pub(crate) fn page(
        &mut self,
        filter: &Filter,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
        keys: Option<&dyn PersonalKeys>,
    ) -> Result<Page, QueryError> {
        let after = after.map(|cursor| decode(cursor, order).ok_or(QueryError::Cursor)).transpose()?;
        let limit = limit.max(1);
        let mut found =
            self.first(filter, order, after.as_ref(), limit.saturating_add(1), (&|_| true, keys))?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(key, _)| encode(key, order));
        Ok(Page { events: found.into_iter().map(|(_, event)| event).collect(), next })
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
        let found = self.first(filter, order, None, offset.saturating_add(limit), (wanted, None))?;
        Ok(found.into_iter().skip(offset).map(|(_, event)| event).collect())
    }

    pub(crate) fn count(&mut self, filter: &Filter, wanted: &Wanted<'_>) -> Result<u64, QueryError> {
        let mut count = 0;
        for member in self.members.iter_mut().filter(|member| member.is_asked_for(filter)) {
            let filter = filter.as_stored(member.key.as_ref());
            member.reader.for_each(filter.index_range(), &mut |_, line| {
                count += u64::from(filter.accept(line).is_some_and(|recorded| wanted(&recorded.event)));
                ControlFlow::Continue(())
            })?;
        }
        Ok(count)
    }

    /// How many events match.
    pub(crate) fn count_all(&mut self, filter: &Filter) -> Result<u64, QueryError> {
        self.count(filter, &|_| true)
    }

    /// The first `limit` events in this order behind `after`.
    fn first(
        &mut self,
        filter: &Filter,
        order: Order,
        after: Option<&Key>,
        limit: usize,
        (wanted, keys): (&Wanted<'_>, Option<&dyn PersonalKeys>),
    ) -> Result<Vec<(Key, RecordedEvent)>, QueryError> {
        let mut kept = Kept { order, limit, events: BTreeMap::new() };
        for member in self.members.iter_mut().filter(|member| member.is_asked_for(filter)) {
            member.gather(filter, after, (wanted, keys), &mut kept)?;
        }
        let events = kept.events.into_iter();
        Ok(if order.is_newest_first() { events.rev().collect() } else { events.collect() })
    }
}

impl Member {
    fn is_asked_for(&self, filter: &Filter) -> bool {
        filter.origin.is_empty() || filter.origin.iter().any(|origin| **origin == *self.origin)
    }

    fn gather(
        &mut self,
        filter: &Filter,
        after: Option<&Key>,
        (wanted, keys): (&Wanted<'_>, Option<&dyn PersonalKeys>),
        kept: &mut Kept,
    ) -> Result<(), QueryError> {
        let filter = filter.as_stored(self.key.as_ref());
        let (order, origin) = (kept.order, self.origin.clone());
        let mut each = |_, line: &[u8]| {
            let Some(front) = parse_front(line) else { return ControlFlow::Continue(()) };
            if kept.is_done_at(front.recorded, &filter) {
                return ControlFlow::Break(());
            }
            let Some(recorded) = filter.accept(line).filter(|recorded| wanted(&recorded.event)) else {
                return ControlFlow::Continue(());
            };
            let key = order.key(&recorded, &origin);
            if after.is_none_or(|after| order.is_behind(&key, after)) {
                kept.keep(key, || RecordedEvent::of_line(origin.clone(), recorded, line, keys));
            }
            ControlFlow::Continue(())
        };
        match order.is_newest_first() {
            true => self.reader.for_each_newest_first(filter.index_range(), &mut each)?,
            false => self.reader.for_each(filter.index_range(), &mut each)?,
        }
        Ok(())
    }
}

/// The first events in an order among those seen so far.
struct Kept {
    order: Order,
    limit: usize,
    events: BTreeMap<Key, RecordedEvent>,
}

impl Kept {
    fn keep(&mut self, key: Key, event: impl FnOnce() -> RecordedEvent) {
        if self.events.len() >= self.limit {
            let last = if self.order.is_newest_first() {
                self.events.first_key_value()
            } else {
                self.events.last_key_value()
            };
            if last.is_none_or(|(last, _)| !self.order.is_behind(last, &key)) {
                return;
            }
            if self.order.is_newest_first() {
                self.events.pop_first()
            } else {
                self.events.pop_last()
            };
        }
        self.events.insert(key, event());
    }

    /// Whether nothing that was recorded at this time, or comes after in the walk, is wanted any more.
    fn is_done_at(&self, recorded: Timestamp, filter: &Filter) -> bool {
        let is_too_old = |since: Option<Timestamp>| since.is_some_and(|since| recorded < since);
        let is_too_new = |until: Option<Timestamp>| until.is_some_and(|until| recorded >= until);
        let is_full = self.events.len() >= self.limit;
        match self.order {
            Order::Newest | Order::NewestRecorded => {
                let oldest = self.events.first_key_value();
                is_too_old(filter.since)
                    || is_too_old(filter.recorded_since)
                    || is_full && oldest.is_none_or(|(key, _)| recorded.as_micros() < key.0)
            }
            // An event of an early time may come at any place.
            Order::Oldest => is_too_new(filter.recorded_until),
            Order::OldestRecorded => {
                let newest = self.events.last_key_value();
                is_too_new(filter.recorded_until)
                    || is_full && newest.is_none_or(|(key, _)| recorded.as_micros() > key.0)
            }
        }
    }
}

impl Order {
    fn is_newest_first(self) -> bool {
        matches!(self, Order::Newest | Order::NewestRecorded)
    }

    fn key(self, recorded: &Recorded, origin: &Arc<str>) -> Key {
        let at = recorded.recorded.as_micros();
        let by = match self {
            Order::Newest | Order::Oldest => recorded.effective_time().as_micros(),
            Order::NewestRecorded | Order::OldestRecorded => at,
        };
        (by, at, origin.clone(), recorded.index)
    }

    fn is_behind(self, key: &Key, other: &Key) -> bool {
        if self.is_newest_first() { key < other } else { key > other }
    }

    fn letter(self) -> char {
        match self {
            Order::Newest => 'D',
            Order::Oldest => 'A',
            Order::NewestRecorded => 'd',
            Order::OldestRecorded => 'a',
        }
    }
}

fn encode((by, recorded, origin, index): &Key, order: Order) -> Cursor {
    let text = format!("s{}{by} {recorded} {index} {origin}", order.letter());
    Cursor(URL_SAFE_NO_PAD.encode(text))
}

fn decode(cursor: &Cursor, order: Order) -> Option<Key> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(&cursor.0).ok()?).ok()?;
    let mut parts = text.strip_prefix('s')?.strip_prefix(order.letter())?.splitn(4, ' ');
    let (by, recorded) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let index = parts.next()?.parse().ok()?;
    Some((by, recorded, parts.next()?.into(), index))
}
