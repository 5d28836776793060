//! The ids of a trail's events, and the lines that repeats are compared with.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use trailseal_event::{Event, Index, Timestamp, held_identifier, line};

use super::known_ids::KnownIds;
use crate::folder::Folder;
use crate::retire::{RetiredId, parse_ids_name};
use crate::trail::reading::reader::{ReadError, Reader};

/// Ids of the trail's events.
#[derive(Default)]
pub(in crate::trail) struct Ids {
    /// Whether an id was ever looked up.
    pub(super) is_used: bool,
    pub(in crate::trail) older: Option<Box<dyn KnownIds>>,
    /// Everything below is known by `older`.
    pub(in crate::trail) known: u64,
    /// When to ask `older` again how far it knows, depending on how far the trail and its index are.
    pub(in crate::trail) look_at: u64,
    /// Half of SHA-256(length of tenant ‖ tenant ‖ id) to index.
    pub(super) by_hash: HashMap<u128, u64>,
    /// Everything from `known` to here is in the map.
    pub(in crate::trail) scanned: u64,
    /// Indexes from `scanned` on that were recorded under this lock, and so need not be read.
    pub(in crate::trail) passed: BTreeSet<u64>,
    /// The rests of lines that were recorded under this lock and may not be on disk yet, by index. No more than the
    /// handoff holds.
    fresh: VecDeque<(u64, Box<[u8]>)>,
    pub(in crate::trail) lines: Lines,
    /// The files with the ids of retired events, each with the first index of its segment; `None` until they are listed.
    pub(in crate::trail) retired: Option<Vec<(u64, PathBuf)>>,
}

/// How many indexes are remembered as skipped; more are read from the disk.
const PASSED_MAX: usize = 1 << 16;

/// Lines that repeats are compared with. Resending a file asks for one line after the other.
#[derive(Default)]
pub(in crate::trail) struct Lines {
    reader: Option<Reader>,
    /// Index of the first of `ahead`.
    first: u64,
    ahead: Vec<Vec<u8>>,
}

/// How many lines are read at once.
const LINES_AHEAD: u64 = 256;

impl Lines {
    /// The line at `index`, which is on disk; `None` if it is not.
    pub(in crate::trail) fn get(&mut self, folder: &Folder, index: u64) -> Result<Option<&[u8]>, ReadError> {
        if index.checked_sub(self.first).is_none_or(|at| at >= self.ahead.len() as u64) {
            let (mut ahead, range) = (Vec::new(), index..index.saturating_add(LINES_AHEAD));
            self.read(folder, index + 1, range, &mut |at, line| {
                // If a segment is missing, later ones contain other lines.
                if at == index + ahead.len() as u64 {
                    ahead.push(line.to_vec());
                }
            })?;
            (self.first, self.ahead) = (index, ahead);
        }
        Ok(self.ahead.get((index - self.first) as usize).map(Vec::as_slice))
    }

    /// Whether the event at `index`, which cannot be read, was retired.
    pub(super) fn is_retired(&mut self, folder: &Folder, index: u64) -> Result<bool, ReadError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open(folder.root(), folder.files().clone())?,
        };
        let retired = reader.retired_at(Index::new(index))?;
        self.reader = Some(reader);
        Ok(retired.is_some())
    }

    /// Reads what there is of `range`, in a view that should have the lines below `least`, and returns where the view
    /// ends.
    pub(in crate::trail) fn read(
        &mut self,
        folder: &Folder,
        least: u64,
        range: Range<u64>,
        each: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<u64, ReadError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open(folder.root(), folder.files().clone())?,
        };
        let mut next = range.start;
        let mut visit = |index: Index, line: &[u8]| {
            next = index.get() + 1;
            each(index.get(), line);
            ControlFlow::Continue(())
        };
        let is_old = reader.end().get() < least;
        if is_old || reader.for_each(range.clone(), &mut visit).is_err() {
            // There are new lines, or a segment was compressed meanwhile and has another name now.
            reader.refresh()?;
            reader.for_each(next..range.end, &mut |index, line| {
                each(index.get(), line);
                ControlFlow::Continue(())
            })?;
        }
        let end = reader.end().get();
        self.reader = Some(reader);
        Ok(end)
    }
}

/// By what the id of a retired event is found: one of this tenant's, or, where that does not matter, of any.
pub fn retired_id(id: &str, tenant: Option<&str>) -> RetiredId {
    RetiredId::new(id, Ids::key(tenant, id))
}

impl Ids {
    /// The files with the ids of retired events.
    pub(in crate::trail) fn retired(&mut self, folder: &Folder) -> Result<&[(u64, PathBuf)], ReadError> {
        let retired = match self.retired.take() {
            Some(retired) => retired,
            None => {
                let segments = folder.segments_folder();
                let names = folder.files().list(&segments);
                let names = names.map_err(|source| ReadError::Io { path: segments.clone(), source })?;
                let named = |name: &String| Some((parse_ids_name(name)?.0.get(), segments.join(name)));
                names.iter().filter_map(named).collect()
            }
        };
        Ok(self.retired.insert(retired))
    }

    /// Some of the lines on disk, which are those below `durable`, may be gone.
    pub(in crate::trail) fn forget_read(&mut self, durable: u64) {
        (self.lines, self.retired) = (Lines::default(), None);
        self.fresh.retain(|(index, _)| *index >= durable);
    }

    /// By what an id is looked up.
    pub(in crate::trail) fn key(tenant: Option<&str>, id: &str) -> u128 {
        let tenant =
            if cfg!(trailseal_fault = "tenants_share_ids") { "" } else { tenant.unwrap_or_default() };
        let mut hasher = Sha256::new();
        // As it is stored, so that the line gives the same key as the event did.
        let tenant = &*held_identifier(tenant);
        // Its length, since any separator byte may be in either.
        hasher.update((tenant.len() as u64).to_be_bytes());
        hasher.update(tenant);
        hasher.update(id.as_bytes());
        let digest = hasher.finalize();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        u128::from_le_bytes(half)
    }

    /// An event that was recorded under this lock need not be read again.
    pub(super) fn pass(&mut self, index: Index) {
        if !self.is_used {
            return;
        }
        if self.passed.len() < PASSED_MAX {
            self.passed.insert(index.get());
        }
        self.skip_passed();
    }

    /// The ids of all events below `end` are known elsewhere.
    pub(super) fn forget_below(&mut self, end: u64) {
        if end > self.known {
            self.by_hash.retain(|_, index| *index >= end);
            self.by_hash.shrink_to(2 * self.by_hash.len());
            self.known = end;
            self.scanned = self.scanned.max(end);
        }
    }

    /// Adds an event that was recorded under this lock, with the rest of its line. Everything below `durable` can be
    /// read from the disk.
    pub(in crate::trail) fn insert(&mut self, key: u128, index: Index, rest: &[u8], durable: u64) {
        self.by_hash.insert(key, index.get());
        self.pass(index);
        while self.fresh.front().is_some_and(|(index, _)| *index < durable) {
            self.fresh.pop_front();
        }
        self.fresh.push_back((index.get(), rest.trim_ascii_end().into()));
    }

    /// Whether an event with this key is in memory.
    pub(in crate::trail) fn has(&self, key: u128) -> bool {
        self.by_hash.contains_key(&key)
    }

    /// The line at `index`, if it was recorded under this lock and is still remembered.
    pub(super) fn fresh_line(&self, index: u64) -> Option<Vec<u8>> {
        let at = self.fresh.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        let mut line = Vec::new();
        line::write_front(index, &Timestamp::default().to_text(), &mut line);
        line.extend_from_slice(&self.fresh.get(at)?.1);
        Some(line)
    }

    pub(super) fn skip_passed(&mut self) {
        while let Some(&index) = self.passed.first().filter(|index| **index <= self.scanned) {
            self.passed.pop_first();
            self.scanned = self.scanned.max(index + 1);
        }
    }

    pub(in crate::trail) fn add(&mut self, index: u64, line: &[u8]) {
        if let Some(key) = Self::key_of_line(line) {
            // The first one counts, if an id came in twice.
            let first = self.by_hash.entry(key).or_insert(index);
            *first = index.min(*first);
        }
    }

    pub(super) fn key_of_line(line: &[u8]) -> Option<u128> {
        let recorded = Event::from_line(line).ok().filter(|recorded| !recorded.system)?;
        Some(Self::key(recorded.event.tenant.as_deref(), &recorded.event.id?))
    }
}
