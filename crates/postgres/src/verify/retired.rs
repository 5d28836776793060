//! What a store keeps of retired rows: lists of ranges and leaf hashes. Nothing of it is trusted before a sealed, signed event
//! `trail.retired` names the list.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use trailseal_core::retired::{AnnouncedList, Announcement, RetiredList};
use trailseal_core::verify::Problem;
use trailseal_event::Index;
use trailseal_tlog::{HASH_BYTES, Hash, KeyRing};

use super::finding::Finding;

/// An index without a row that a list of the store names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) index: u64,
    /// The leaf hash that is kept of it.
    pub(super) leaf: Option<Hash>,
    /// The segment whose list names it, and how many bytes of the list do.
    pub(super) segment: u64,
    pub(super) bytes: u64,
}

/// A part of a list as it is stored.
pub(super) struct StoredPart {
    pub(super) bytes: i64,
    /// The event that is said to announce it.
    pub(super) event: i64,
    pub(super) list: Vec<u8>,
}

/// Leaf hashes as they are stored: those of the indexes of a part from one to before another.
pub(super) struct StoredLeaves {
    pub(super) bytes: i64,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) leaves: Vec<u8>,
}

/// The retired events of one segment, as far as the store has them.
pub(super) struct RetiredSegment {
    pub(super) first: u64,
    /// Of the very parts that decide what is retired.
    ends: Vec<(u64, [u8; 32])>,
    whole: RetiredList,
    /// By their indexes.
    leaves: Vec<(u64, Hash)>,
}

impl RetiredSegment {
    /// Hashes are read out as many as there are: a list alone may claim any number.
    pub(super) fn new(first: u64, parts: &[StoredPart], stored: &[StoredLeaves]) -> RetiredSegment {
        let whole: Vec<u8> = parts.iter().flat_map(|part| part.list.iter().copied()).collect();
        let mut leaves = Vec::new();
        for part in parts {
            let list = RetiredList::parse(&part.list);
            for stored in stored.iter().filter(|stored| stored.bytes == part.bytes) {
                let (from, to) = (stored.from.max(0).cast_unsigned(), stored.to.max(0).cast_unsigned());
                let clipped = list.ranges().flat_map(|range| range.start.max(from)..range.end.min(to));
                let hashes = stored.leaves.as_chunks::<HASH_BYTES>().0;
                leaves.extend(clipped.zip(hashes).map(|(index, hash)| (index, Hash(*hash))));
            }
        }
        leaves.sort_by_key(|(index, _)| *index);
        leaves.dedup_by_key(|(index, _)| *index);
        RetiredSegment { first, ends: ends_of(parts), whole: RetiredList::parse(&whole), leaves }
    }

    /// What is kept of an index; `None` if the list does not name it.
    pub(super) fn at(&self, index: u64) -> Option<Gone> {
        let bytes = self.whole.covers(index..index.checked_add(1)?)?;
        let at = self.leaves.binary_search_by_key(&index, |(index, _)| *index);
        let leaf = at.ok().and_then(|at| self.leaves.get(at)).map(|(_, leaf)| *leaf);
        Some(Gone { index, leaf, segment: self.first, bytes })
    }
}

/// How long a list is with each part, and the SHA-256 of so much.
fn ends_of(parts: &[StoredPart]) -> Vec<(u64, [u8; 32])> {
    let (mut bytes, mut sha256) = (0, Sha256::new());
    let end = |part: &StoredPart| {
        bytes += part.list.len() as u64;
        sha256.update(&part.list);
        (bytes, sha256.clone().finalize().into())
    };
    parts.iter().map(end).collect()
}

/// The ids that are kept with a part of a list.
#[derive(Clone, Copy)]
pub(super) struct KeptIds {
    pub(super) sha256: [u8; 32],
    /// Whether a search finds each of them: it looks for a row by its column `head`.
    pub(super) are_found: bool,
}

/// What is kept with a part of a list.
#[derive(Clone, Copy, Default)]
pub(super) struct KeptWith {
    /// The ids, if there are any.
    pub(super) ids: Option<KeptIds>,
    /// Up to which index leaf hashes are. The last of them come together with the ids.
    pub(super) leaves_to: u64,
}

/// How long a list is with a part of it, the SHA-256 of so much, and the ids that are kept with the part.
struct End {
    bytes: u64,
    sha256: [u8; 32],
    /// The event that the store says announced it: searches name it.
    event: i64,
    ids: Option<KeptIds>,
    /// Whether all that is kept with the part has come.
    is_whole: bool,
}

/// The lists of an origin, by segments.
#[derive(Default)]
pub(super) struct Lists {
    ends: BTreeMap<u64, Vec<End>>,
    /// A segment that none can be, if there is one.
    odd: Option<i64>,
}

impl Lists {
    /// `kept` has what is kept with each part.
    pub(super) fn add(&mut self, first: u64, parts: &[StoredPart], kept: &BTreeMap<i64, KeptWith>) {
        let ends = ends_of(parts).into_iter().zip(parts).map(|((bytes, sha256), part)| {
            let KeptWith { ids, leaves_to } = kept.get(&part.bytes).copied().unwrap_or_default();
            let end = RetiredList::parse(&part.list).ranges().map(|range| range.end).max();
            End { bytes, sha256, event: part.event, ids, is_whole: end.is_some_and(|end| leaves_to >= end) }
        });
        self.ends.insert(first, ends.collect());
    }

    /// Notes a segment that none can be.
    pub(super) fn add_odd(&mut self, segment: i64) {
        self.odd = Some(segment);
    }

    /// Whether these are the lists that were read before: a view in the place of the table could show others.
    pub(super) fn has_same(&self, segment: &RetiredSegment) -> bool {
        let known = self.ends.get(&segment.first).map(Vec::as_slice).unwrap_or_default();
        known.iter().map(|end| (end.bytes, end.sha256)).eq(segment.ends.iter().copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.odd.is_none()
    }

    /// The segments, ascending.
    pub(super) fn segments(&self) -> Vec<u64> {
        self.ends.keys().copied().collect()
    }

    fn find(&self, list: &AnnouncedList) -> Option<&End> {
        let mut ends = self.ends.get(&list.first.get())?.iter();
        ends.find(|end| (end.bytes, end.sha256) == (list.bytes, list.sha256))
    }
}

/// Indexes without a row, of one segment.
#[derive(Clone, Copy)]
struct Claim {
    first: u64,
    count: u64,
    /// How many bytes of the list name them.
    bytes: u64,
}

/// The indexes without a row that lists name, and the lines that may vouch for these.
#[derive(Default)]
pub(super) struct Claims {
    gone: BTreeMap<u64, Vec<Claim>>,
    announcing: Vec<(u64, Vec<u8>)>,
}

/// What events say about the lists.
#[derive(Default)]
pub(super) struct Judgement {
    pub(super) retired: u64,
    /// The events that retired them, ascending.
    pub(super) by: Vec<u64>,
    /// What no event vouches for.
    pub(super) finding: Option<Finding>,
}

impl Claims {
    pub(super) fn add(&mut self, gone: &Gone) {
        let claims = self.gone.entry(gone.segment).or_default();
        match claims.last_mut() {
            Some(claim) if claim.bytes == gone.bytes => claim.count += 1,
            _ => claims.push(Claim { first: gone.index, count: 1, bytes: gone.bytes }),
        }
    }

    pub(super) fn look_at(&mut self, index: u64, line: &[u8]) {
        if Announcement::may_be(Index::new(index), line) {
            self.announcing.push((index, line.to_vec()));
        }
    }

    /// The events that count: below the signed `size`, and by a key of the ring if there is one.
    fn announcements(&self, size: u64, ring: Option<&KeyRing>) -> Vec<Announcement> {
        let is_sealed = |index: u64| index < size || cfg!(trailseal_fault = "store_retired_unsealed");
        let lines = self.announcing.iter().filter(|(index, _)| is_sealed(*index));
        let ring = ring.filter(|_| !cfg!(trailseal_fault = "store_retired_unsigned"));
        lines
            .filter_map(|(index, line)| {
                Announcement::read(line, ring).filter(|event| event.index.get() == *index)
            })
            .collect()
    }

    pub(super) fn judge(&self, lists: &Lists, size: u64, ring: Option<&KeyRing>) -> Judgement {
        let announced = self.announcements(size, ring);
        // By segment: how far its list is vouched for, and by which events.
        let mut vouched: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        let mut other_ids = None;
        for event in &announced {
            for list in &event.lists {
                let found = lists.find(list);
                match found.map(|end| (end, end.ids)) {
                    Some((_, Some(ids))) if list.ids != Some(ids.sha256) || !ids.are_found => {
                        other_ids.get_or_insert_with(|| of_other_ids(list));
                    }
                    Some((end, None)) if list.ids.is_some() && end.is_whole && !may_lack_ids() => {
                        other_ids.get_or_insert_with(|| of_missing_ids(event.index, list));
                    }
                    _ => {}
                }
                if found.is_some() || cfg!(trailseal_fault = "store_retired_list_unchecked") {
                    let of_segment = vouched.entry(list.first.get()).or_default();
                    of_segment.push((list.bytes, event.index.get()));
                }
            }
        }
        let (mut judgement, mut by) = (Judgement::default(), BTreeSet::new());
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        for (segment, claims) in &self.gone {
            let of_segment = vouched.get(segment).map(Vec::as_slice).unwrap_or_default();
            for claim in claims {
                match of_segment.iter().find(|(bytes, _)| *bytes >= claim.bytes) {
                    Some((_, event)) => {
                        judgement.retired += claim.count;
                        *counts.entry(*event).or_default() += claim.count;
                        by.insert(*event);
                    }
                    None => {
                        judgement.finding.get_or_insert_with(|| unvouched(*segment, claim));
                    }
                }
            }
        }
        if judgement.finding.is_none() {
            judgement.finding = announced.iter().find_map(|event| {
                let count = counts.get(&event.index.get()).copied().unwrap_or(0);
                (count > event.count).then(|| of_count(event, count))
            });
        }
        judgement.by = by.into_iter().collect();
        if judgement.finding.is_none() {
            judgement.finding =
                forged(lists, &vouched).or(other_ids).or_else(|| of_other_event(lists, &vouched));
        }
        judgement
    }

    /// Why an index that no list of the store names may be missing: its segment's list may be.
    pub(super) fn why_missing(
        &self,
        index: u64,
        lists: &Lists,
        size: u64,
        ring: Option<&KeyRing>,
    ) -> Option<String> {
        let announced = self.announcements(size, ring);
        let of_events = announced.iter().flat_map(|event| event.lists.iter().map(|list| (event.index, list)));
        let (event, list) =
            of_events.filter(|(_, list)| list.first.get() <= index).max_by_key(|(_, list)| list.first)?;
        let is_there = lists.find(list).is_some();
        (!is_there).then(|| {
            format!(
                "; the list of the retired events of the segment that begins with event {}, which event {event} announces, is \
                 not in the store: it was removed or changed, or the trail has yet to bring it",
                list.first
            )
        })
    }
}

fn unvouched(segment: u64, claim: &Claim) -> Finding {
    let first = claim.first;
    let message = format!(
        "event {first} is missing, and no sealed event `trail.retired` by a trusted key names the list by which the store says \
         that it was retired (that of the segment that begins with event {segment})"
    );
    Finding::at(first, Problem::Missing, message)
}

fn of_count(event: &Announcement, count: u64) -> Finding {
    let message = format!(
        "event {} says that {} events are retired, and {count} are missing by its lists",
        event.index, event.count
    );
    Finding::at(event.index.get(), Problem::Missing, message)
}

fn of_other_ids(list: &AnnouncedList) -> Finding {
    let first = list.first.get();
    let message = format!(
        "the ids that are kept of retired events of the segment that begins with event {first} were changed, so that a search \
         for one of them misleads"
    );
    Finding::at(first, Problem::StoreDiffers, message)
}

const fn may_lack_ids() -> bool {
    cfg!(trailseal_fault = "store_ids_not_missed")
}

fn of_missing_ids(event: Index, list: &AnnouncedList) -> Finding {
    let first = list.first.get();
    let message = format!(
        "the ids of the retired events of the segment that begins with event {first}, which event {event} announces, are \
         missing: they were removed here, or from the trail's folder before the store got them. A search for one of them will \
         say that no such event ever existed"
    );
    Finding::at(first, Problem::StoreDiffers, message)
}

/// A list that names another event than the one that announces it.
fn of_other_event(lists: &Lists, vouched: &BTreeMap<u64, Vec<(u64, u64)>>) -> Option<Finding> {
    for (segment, ends) in &lists.ends {
        let of_segment = vouched.get(segment).map(Vec::as_slice).unwrap_or_default();
        for end in ends {
            let mut by = of_segment.iter().filter(|(bytes, _)| *bytes == end.bytes).map(|(_, event)| *event);
            let Some(first) = by.clone().next() else { continue };
            if !by.any(|event| u64::try_from(end.event) == Ok(event)) {
                let message = format!(
                    "the list of the retired events of the segment that begins with event {segment} says that event {} retired \
                     them, and event {first} did: it was changed, so that a search for one of them names the wrong event",
                    end.event
                );
                return Some(Finding::at(*segment, Problem::StoreDiffers, message));
            }
        }
    }
    None
}

/// A list that nobody announced, although no row is missing by it.
fn forged(lists: &Lists, vouched: &BTreeMap<u64, Vec<(u64, u64)>>) -> Option<Finding> {
    if let Some(segment) = lists.odd {
        let message =
            format!("a list of retired events was added for a segment {segment}, which no trail has");
        return Some(Finding::nowhere(Problem::StoreDiffers, message));
    }
    for (segment, ends) in &lists.ends {
        let of_segment = vouched.get(segment).map(Vec::as_slice).unwrap_or_default();
        let last = ends.last().map_or(0, |end| end.bytes);
        if of_segment.iter().all(|(bytes, _)| *bytes < last) {
            let message = format!(
                "the list of the retired events of the segment that begins with event {segment} was changed or added: no \
                 sealed event `trail.retired` by a trusted key names it"
            );
            return Some(Finding::at(*segment, Problem::StoreDiffers, message));
        }
    }
    None
}
