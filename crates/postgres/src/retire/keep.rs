//! Keeps lists of retired ranges, the leaf hashes that the tree still needs, and the hashed ids.
//!
//! The hashes are those of the trail's own tree; the store compares them with its rows. So lines that were retired before the
//! store got them are no gap either.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use tokio_postgres::types::Type;
use trailseal_core::Folder;
use trailseal_core::deliver::{Dropped, SinkError};
use trailseal_core::retired::{AnnouncedList, RetiredList, announced_since};
use trailseal_core::tree::SignedLeaves;
use trailseal_event::Index;
use trailseal_tlog::HASH_BYTES;

use crate::connect::{BEGIN, Connection};
use crate::error::StoreError;

pub(super) const ASK_WITHIN: Duration = Duration::from_secs(30);

const KEEP_WITHIN: Duration = Duration::from_secs(120);

/// So many hashes go into one step: as many rows go in one, later.
const STEP: usize = 8_192;

/// How far each part is kept, and whether its rows are still to go.
const PARTS: &str = "SELECT segment, bytes, (SELECT max(to_idx) FROM trailseal.retired_leaves AS hashes \
    WHERE (hashes.origin, hashes.segment, hashes.bytes) = (part.origin, part.segment, part.bytes)), \
    EXISTS (SELECT FROM trailseal.retiring AS work \
        WHERE (work.origin, work.segment, work.bytes) = (part.origin, part.segment, part.bytes)) \
    FROM trailseal.retired_lists AS part WHERE origin = $1";

const LEAVES: &str = "SELECT from_idx, to_idx, leaves FROM trailseal.retired_leaves \
    WHERE origin = $1 AND segment = $2 AND bytes = $3 ORDER BY from_idx";

const KNOWN: &str = "SELECT coalesce(max(bytes), 0) FROM trailseal.retired_lists WHERE origin = $1 AND segment = $2 AND bytes < $3";

const KEEP: &str = "SELECT outcome, at FROM trailseal.keep_retired($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// The lists of a trail that the store does not have yet, or not all hashes of.
pub(super) struct Keeping {
    origin: String,
    /// In the order of the events that announce them.
    parts: VecDeque<Part>,
    open: Option<Open>,
}

struct Part {
    event: Index,
    list: AnnouncedList,
    /// Up to which index its hashes are kept, if any are.
    up_to: Option<u64>,
    has_rows: bool,
}

/// The part that is being kept.
struct Open {
    event: Index,
    list: AnnouncedList,
    part: Vec<u8>,
    ranges: RetiredList,
    /// From where on hashes are still to be kept.
    next: u64,
    end: u64,
}

impl Keeping {
    pub(super) fn begin(
        connection: &mut Connection,
        origin: &str,
        trail: &Folder,
    ) -> Result<Keeping, SinkError> {
        let origin = origin.to_owned();
        let kept = connection.run("ask for retired events in", ASK_WITHIN, async |client| {
            let mut kept: BTreeMap<(i64, i64), (Option<i64>, bool)> = BTreeMap::new();
            for row in client.query_typed(PARTS, &[(&origin, Type::TEXT)]).await? {
                kept.insert((row.try_get(0)?, row.try_get(1)?), (row.try_get(2)?, row.try_get(3)?));
            }
            Ok(kept)
        })?;
        let mut parts = VecDeque::new();
        for announcement in announced_since(trail, Index::new(0))? {
            for list in announcement.lists {
                let key = (list.first.get().cast_signed(), list.bytes.cast_signed());
                let (up_to, has_rows) = kept.get(&key).copied().unwrap_or_default();
                let up_to = up_to.map(i64::cast_unsigned);
                parts.push_back(Part { event: announcement.index, list, up_to, has_rows });
            }
        }
        Ok(Keeping { origin, parts, open: None })
    }

    /// Keeps some more.
    pub(super) fn step(&mut self, connection: &mut Connection, trail: &Folder) -> Result<Dropped, SinkError> {
        self.open_next(connection, trail)?;
        let Some(open) = &mut self.open else { return Ok(Dropped::All) };
        let mut leaves = SignedLeaves::new(trail, open.event.get() + 1);
        let (from, mut to, mut hashes) = (open.next, open.next, Vec::new());
        for index in open.ranges.ranges().flatten().filter(|index| *index >= from) {
            if hashes.len() >= STEP * HASH_BYTES {
                break;
            }
            // Overlapping ranges name an index twice.
            if index < to && !hashes.is_empty() {
                continue;
            }
            let Some(leaf) = leaves.get(index)? else {
                let what =
                    format!("the trail's tree has no hash of retired event {index}: run `trailseal verify`");
                return Err(SinkError::Trail(io::Error::new(io::ErrorKind::InvalidData, what)));
            };
            hashes.extend_from_slice(&leaf.0);
            to = index + 1;
        }
        let ids = if to >= open.end { open.list.load_ids(trail)? } else { None };
        let outcome = keep(connection, &self.origin, open, (from, to), &hashes, ids.as_deref())?;
        let segment = open.list.first;
        match outcome {
            Answer::Kept if to >= open.end => self.open = None,
            Answer::Kept => open.next = to,
            Answer::NotAnnounced => return Ok(Dropped::Waits),
            Answer::LeafDiffers(at) => {
                let what = format!(
                    "the store's row of event {at} is not the one that the trail has retired: somebody changed the store; \
                     run `trailseal verify --store`"
                );
                return Err(SinkError::Differs { at: Index::new(at), what });
            }
            Answer::ListDiffers => {
                let what = format!(
                    "the store keeps another list of the retired events of the segment {segment}: somebody changed the \
                     store, or the trail was forked; run `trailseal verify --store`"
                );
                return Err(SinkError::Differs { at: segment, what });
            }
            Answer::Other(outcome) => {
                let what = format!("it did not keep retired events: {outcome}");
                return Err(StoreError::Unfit { store: connection.store().to_owned(), what }.into());
            }
        }
        Ok(Dropped::Some)
    }

    /// The part that is to be kept next. One whose list in the folder is not the announced one is left out, as the trail itself
    /// leaves its lines: `trailseal verify` names it.
    fn open_next(&mut self, connection: &mut Connection, trail: &Folder) -> Result<(), SinkError> {
        while self.open.is_none() {
            let Some(Part { event, list, up_to, has_rows }) = self.parts.pop_front() else { break };
            let Some(whole) = list.load(trail)? else { continue };
            let known = known_bytes(connection, &self.origin, &list)?;
            let part = whole.get(known as usize..).unwrap_or_default().to_vec();
            let ranges = RetiredList::parse(&part);
            let Some(first) = ranges.ranges().map(|range| range.start).min() else { continue };
            let end = ranges.ranges().map(|range| range.end).max().unwrap_or(first);
            let next = up_to.unwrap_or(first);
            // What is there may not be what this trail has kept: anybody who delivers could have been first.
            if up_to.is_some() && (next < end || has_rows) {
                compare(connection, &self.origin, trail, event, &list, &ranges)?;
            }
            if next < end {
                self.open = Some(Open { event, list, part, ranges, next, end });
            }
        }
        Ok(())
    }
}

/// How many bytes of the list the store has from earlier events.
fn known_bytes(connection: &mut Connection, origin: &str, list: &AnnouncedList) -> Result<u64, StoreError> {
    let (segment, bytes) = (list.first.get().cast_signed(), list.bytes.cast_signed());
    connection.run("ask for retired events in", ASK_WITHIN, async |client| {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&origin, Type::TEXT), (&segment, Type::INT8), (&bytes, Type::INT8)];
        let rows = client.query_typed(KNOWN, &parameters).await?;
        rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0)).map(i64::cast_unsigned)
    })
}

/// Compares the leaf hashes that are kept of a part with those of the trail's tree.
fn compare(
    connection: &mut Connection,
    origin: &str,
    trail: &Folder,
    event: Index,
    list: &AnnouncedList,
    ranges: &RetiredList,
) -> Result<(), SinkError> {
    let (segment, bytes) = (list.first.get().cast_signed(), list.bytes.cast_signed());
    let kept = connection.run("read leaf hashes in", KEEP_WITHIN, async |client| {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&origin, Type::TEXT), (&segment, Type::INT8), (&bytes, Type::INT8)];
        let mut kept: Vec<(i64, i64, Vec<u8>)> = Vec::new();
        for row in client.query_typed(LEAVES, &parameters).await? {
            kept.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        }
        Ok(kept)
    })?;
    let mut leaves = SignedLeaves::new(trail, event.get() + 1);
    for (from, to, hashes) in kept {
        let (from, to) = (from.cast_unsigned(), to.cast_unsigned());
        let (mut at, mut hashes) = (from, hashes.as_chunks::<HASH_BYTES>().0.iter());
        for range in ranges.ranges() {
            for index in range.start.max(at)..range.end.min(to) {
                at = index + 1;
                if leaves.get(index)?.map(|leaf| leaf.0).as_ref() != hashes.next() {
                    let what = format!(
                        "the leaf hash that the store keeps of retired event {index} is not the trail's: somebody else kept \
                         it; run `trailseal verify --store`"
                    );
                    return Err(SinkError::Differs { at: Index::new(index), what });
                }
            }
        }
    }
    Ok(())
}

enum Answer {
    Kept,
    NotAnnounced,
    LeafDiffers(u64),
    ListDiffers,
    Other(String),
}

fn keep(
    connection: &mut Connection,
    origin: &str,
    open: &Open,
    (from, to): (u64, u64),
    hashes: &[u8],
    ids: Option<&[u8]>,
) -> Result<Answer, StoreError> {
    let list = &open.list;
    let numbers = [list.first.get(), list.bytes, open.event.get(), from, to].map(u64::cast_signed);
    let [segment, bytes, event, from, to] = &numbers;
    connection.run("keep retired events in", KEEP_WITHIN, async |client| {
        client.batch_execute(BEGIN).await?;
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 9] = [
            (&origin, Type::TEXT),
            (segment, Type::INT8),
            (bytes, Type::INT8),
            (event, Type::INT8),
            (&open.part, Type::BYTEA),
            (from, Type::INT8),
            (to, Type::INT8),
            (&hashes, Type::BYTEA),
            (&ids, Type::BYTEA),
        ];
        let rows = client.query_typed(KEEP, &parameters).await?;
        client.batch_execute("COMMIT").await?;
        let Some(row) = rows.first() else { return Ok(Answer::Other("no answer".to_owned())) };
        let at: Option<i64> = row.try_get(1)?;
        Ok(match row.try_get(0)? {
            "kept" => Answer::Kept,
            "not announced" => Answer::NotAnnounced,
            "list differs" => Answer::ListDiffers,
            "leaf differs" => Answer::LeafDiffers(at.unwrap_or(0).cast_unsigned()),
            other => Answer::Other(other.to_owned()),
        })
    })
}
