//! Recording an event once: calls that promise retry safety look up the id given by the caller.
//!
//! Older ids are looked up in [`KnownIds`] if the trail was given one; the others are in memory, from one scan, the
//! first time that an id must be checked.

use std::sync::{MutexGuard, PoisonError};

use trailseal_event::complete::EventId;
use trailseal_event::line::{self, same_content};
use trailseal_event::{Event, Index};
use trailseal_tlog::leaf_hash;

use super::ids::Ids;
use super::known_ids::{Known, KnownIds};
use super::ready_event::{Ready, Sent, with_line};
use super::receipt::{HandedIn, Receipt, Status};
use super::record_options::How;
use crate::notice::Notice;
use crate::retire::{RetiredId, find_in};
use crate::trail::error::RecordError;
use crate::trail::open_trail::Trail;
use crate::trail::reading::reader::ReadError;

/// How an event compares with the one that has its id.
pub(super) enum Compared {
    /// It has the same content.
    Same {
        /// Whether the other one was retired: then only its id was compared, since its content is gone.
        retired: bool,
    },
    /// It has other content.
    Differs,
}

impl Trail {
    /// Makes look-ups ask `older` for the ids of events that it knows, so that memory holds only those that it does not
    /// know yet. Usually it is the index of the same trail, which [`deliver_to`](Trail::deliver_to) keeps growing.
    pub fn look_ids_up_in(&self, older: Box<dyn KnownIds>) {
        let mut ids = self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner);
        (ids.older, ids.look_at) = (Some(older), 0);
    }

    /// Hands `event` in unless its tenant already has an event with its id. An event without its own id is simply
    /// handed in.
    pub(super) fn hand_in_once(&self, event: &Event, how: How) -> Result<HandedIn, RecordError> {
        let inner = &*self.inner;
        if inner.is_forked() {
            // Refused in there; the ids are under a lock.
            return inner.hand_in(event, how.at_once());
        }
        // Before the id is looked up and contents are compared: what is stored is masked.
        let masked = line::masked(&inner.masker, event);
        let sent = Sent::masked(event, masked.as_ref()).asked(how);
        let own_id = sent.own_id();
        let key = own_id.as_ref().map(|(key, _)| *key);
        // A look-up may read the whole trail. What the policy says, and what time it is, is asked afterwards.
        let (mut ids, found) = self.look_up(own_id.as_ref().map(|(key, id)| (*key, &**id)))?;
        inner.policy.with(|policy| {
            let mut ready = Ready::decide(policy, sent, inner.log.clock.now());
            if let Some(index) = found {
                drop(ids);
                return self.repeat(sent.written(), index, &ready, how);
            }
            with_line(|line| {
                let written = inner.write(&mut ready, sent, line);
                let handed_in = inner.hand_over(policy, ready, written, line, how)?;
                self.note(&mut ids, key, &handed_in, line);
                Ok(handed_in)
            })
        })
    }

    /// Whether an event with this key and id is there. The lock is held until the event is recorded, so that two callers with one
    /// id cannot both find it absent.
    #[inline(always)]
    pub(super) fn look_up(
        &self,
        own_id: Option<(u128, &str)>,
    ) -> Result<(MutexGuard<'_, Ids>, Option<u64>), ReadError> {
        let mut ids = self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((key, id)) = own_id else { return Ok((ids, None)) };
        self.catch_up(&mut ids)?;
        let found = self.find(&mut ids, key, id)?;
        Ok((ids, found))
    }

    /// Notes the id of an event that was handed in under this lock, with the rest of its line.
    #[inline(always)]
    pub(super) fn note(&self, ids: &mut Ids, key: Option<u128>, handed_in: &HandedIn, rest: &[u8]) {
        let Some(index) = handed_in.receipt.index else { return };
        match key {
            Some(key) => ids.insert(key, index, rest, self.inner.log.progress.durable()),
            None => ids.pass(index),
        }
    }

    /// What the caller gets for an event whose id is that of the event at `index`: a repeat is confirmed only when the
    /// first has reached what the policy and the repeat ask for.
    pub(super) fn repeat(
        &self,
        written: &Event,
        index: u64,
        ready: &Ready<'_>,
        how: How,
    ) -> Result<HandedIn, RecordError> {
        let (id, index) = (ready.stamp.id.clone(), Index::new(index));
        match self.compare(written, index.get(), id.as_str())? {
            Compared::Same { retired } => {
                let receipt = Receipt::new(Some(index), id, Status::Repeated { retired });
                Ok(HandedIn::new(receipt, ready.decision.then, how))
            }
            Compared::Differs => Err(RecordError::Conflict { id: id.to_string(), index: Some(index) }),
        }
    }

    pub(super) fn catch_up(&self, ids: &mut Ids) -> Result<(), ReadError> {
        // What this process records once is added as it is recorded; what came in through `record` is read.
        let durable = self.inner.log.progress.durable();
        ids.is_used = true;
        ids.retired(self.folder())?;
        if self.progress_of_ids() >= ids.look_at {
            self.look(ids)?;
        }
        ids.skip_passed();
        while ids.scanned < durable {
            let to = ids.passed.first().map_or(durable, |&passed| passed.min(durable));
            let mut lines = std::mem::take(&mut ids.lines);
            let read =
                lines.read(self.folder(), to, ids.scanned..to, &mut |index, line| ids.add(index, line));
            ids.lines = lines;
            let end = read?;
            ids.scanned = to.min(end.max(ids.scanned));
            ids.skip_passed();
            if end < to {
                // The view lags for a moment; the next call continues from here.
                break;
            }
        }
        Ok(())
    }

    /// Whether memory has the ids of all events: then a look-up needs neither reading nor asking.
    pub(super) fn has_ids_at_hand(&self, ids: &mut Ids) -> bool {
        ids.skip_passed();
        let is_looked = ids.older.is_none() || self.progress_of_ids() < ids.look_at;
        let has_all = ids.known == 0 && ids.retired.as_ref().is_some_and(Vec::is_empty);
        ids.is_used && has_all && is_looked && ids.scanned >= self.inner.log.progress.durable()
    }

    /// Grows with the trail and with its index: either can be the reason to check again.
    fn progress_of_ids(&self) -> u64 {
        let progress = &self.inner.log.progress;
        progress.durable() + progress.stored()
    }

    /// Checks how far the older ids are known, and forgets those. An implementation for another trail is not asked.
    fn look(&self, ids: &mut Ids) -> Result<(), ReadError> {
        let Some(older) = &mut ids.older else { return Ok(()) };
        ids.look_at = self.progress_of_ids() + older.look_every();
        let looked = older.look();
        // After the check, so that what it was made from is durable if it is this trail.
        let durable = self.inner.log.progress.durable();
        // What cannot be determined now was not forgotten.
        let Ok(Known { end, position }) = looked else { return Ok(()) };
        let is_ours = match (position.cursor.get().checked_sub(1), position.last_leaf) {
            (None, _) => return Ok(()),
            (Some(last), Some(leaf)) if last < durable => match ids.lines.get(self.folder(), last)? {
                Some(line) => leaf_hash(line) == leaf,
                // The view lags for a moment.
                None => return Ok(()),
            },
            _ => false,
        };
        match is_ours && end.get() <= durable {
            true if cfg!(trailseal_fault = "ids_forgotten_early") => ids.forget_below(durable),
            true => ids.forget_below(end.get()),
            false => self.give_up(ids, "it belongs to another trail, or to another state of this one"),
        }
        Ok(())
    }

    /// From now on all ids are in memory: the trail is scanned for them.
    fn give_up(&self, ids: &mut Ids, reason: &str) {
        ids.older = None;
        if ids.known > 0 {
            (ids.known, ids.scanned) = (0, 0);
        }
        self.inner.log.notice(&Notice::IdsInMemory { reason: reason.to_owned() });
    }

    /// The index of the first event with this id; its key includes the tenant. `ids` is up to date.
    pub(in crate::trail) fn find(
        &self,
        ids: &mut Ids,
        key: u128,
        id: &str,
    ) -> Result<Option<u64>, ReadError> {
        if ids.known > 0
            && let Some(index) = self.find_older(ids, key, id)?
        {
            return Ok(Some(index));
        }
        match ids.by_hash.get(&key) {
            Some(index) => Ok(Some(*index)),
            None => self.find_retired(ids, key, id),
        }
    }

    /// The index of a retired event with this id; its key includes the tenant.
    fn find_retired(&self, ids: &mut Ids, key: u128, id: &str) -> Result<Option<u64>, ReadError> {
        let retired = ids.retired(self.folder())?;
        if retired.is_empty() || cfg!(trailseal_fault = "retired_ids_forgotten") {
            return Ok(None);
        }
        let wanted = RetiredId::new(id, key);
        let (files, mut found) = (self.folder().files(), None);
        for (first, path) in retired {
            match find_in(&**files, path, &wanted, false) {
                Ok(places) => {
                    let first = places.iter().min().map(|place| first + place);
                    found = found.into_iter().chain(first).min();
                }
                // Somebody removed it: then a repeat is recorded again, and nothing is lost.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(ReadError::Io { path: path.clone(), source }),
            }
        }
        Ok(found)
    }

    fn find_older(&self, ids: &mut Ids, key: u128, id: &str) -> Result<Option<u64>, ReadError> {
        let Some(older) = &mut ids.older else { return Ok(None) };
        let mut found = Vec::new();
        if let Err(error) = older.find(id, &mut found) {
            self.give_up(ids, &error.to_string());
            self.catch_up(ids)?;
            return Ok(None);
        }
        found.sort_unstable();
        for index in found.into_iter().map(Index::get).filter(|index| *index < ids.known) {
            // They are found by a part of a hash, for any tenant.
            let is_it = ids.lines.get(self.folder(), index)?.map(|line| Ids::key_of_line(line) == Some(key));
            let is_it = match is_it {
                Some(is_it) => is_it,
                // Looked up among the retired ones; if it cannot be read otherwise, it may be the one.
                None => !ids.lines.is_retired(self.folder(), index)?,
            };
            if is_it {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Compares an event with the one that has its id, which may still be on its way to the disk.
    pub(super) fn compare(&self, event: &Event, index: u64, id: &str) -> Result<Compared, RecordError> {
        let policy = self.inner.policy.load();
        let by = self.inner.compared(&policy);
        let mut guard = self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = &mut *guard;
        let is_same = match ids.fresh_line(index) {
            Some(line) => Some(same_content(event, &line, by)),
            None => ids.lines.get(self.folder(), index)?.map(|line| same_content(event, line, by)),
        };
        match is_same {
            Some(true) => Ok(Compared::Same { retired: false }),
            Some(false) => Ok(Compared::Differs),
            // Its content is gone: its id says that it was here.
            None if ids.lines.is_retired(self.folder(), index)? => Ok(Compared::Same { retired: true }),
            // A repeat never goes unchecked: what cannot be compared may be another event.
            None => Err(RecordError::Unconfirmed { index: Index::new(index), id: EventId::given(id) }),
        }
    }
}
