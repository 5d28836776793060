//! What events are delivered to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use trailseal_event::Index;
use trailseal_tlog::Hash;

use crate::folder::Folder;

/// One durable line and its place.
#[derive(Clone, Copy, Debug)]
pub struct BatchLine<'a> {
    /// Its index: that of the line before and 1, unless lines between them were retired.
    pub index: Index,
    /// The line's exact bytes, without the newline.
    pub bytes: &'a [u8],
    /// Index of the first line of the segment that holds it.
    pub segment: Index,
    /// Where the line begins in the segment's uncompressed bytes.
    pub offset: u64,
}

/// Lines in order, to be stored together with the new cursor. Retired ones are left out.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The cursor from which they were read: the index of the first line, unless that was retired.
    pub first: Index,
    /// The lines; never empty.
    pub lines: &'a [BatchLine<'a>],
}

impl Batch<'_> {
    /// The cursor once this batch is stored: the index after its last line.
    pub fn end(&self) -> Index {
        self.lines.last().map_or(self.first, |last| Index::new(last.index.get() + 1))
    }
}

/// How far a sink has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The next index that it needs: everything below is stored.
    pub cursor: Index,
    /// The leaf hash of the line before, which reveals a trail that was rolled back or forked; `None` at the very
    /// beginning.
    pub last_leaf: Option<Hash>,
}

/// A signed checkpoint of the trail, for a sink that keeps them.
#[derive(Clone, Copy, Debug)]
pub struct SealedCheckpoint<'a> {
    /// How many events it covers. The sink has all of them.
    pub size: u64,
    /// The root hash that it signs.
    pub root: Hash,
    /// The whole signed note.
    pub note: &'a str,
}

/// What a sink keeps of the trail's checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptCheckpoints {
    /// Their sizes, in any order.
    pub sizes: Vec<u64>,
    /// Size and root hash of the largest, which reveals a trail that was rolled back or forked.
    pub newest: Option<(u64, Hash)>,
}

/// How much of what is retired a sink has dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// All that it can; it is told of the next retirement.
    All,
    /// A piece: it is called again after the next batch, or at once if there is none.
    Some,
    /// Nothing, as long as it lacks events or checkpoints that are still to be delivered: it is called again when it may have
    /// them.
    Waits,
}

/// How far what a sink was given is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Everything below is stored.
    pub cursor: Index,
    /// Whether the sink takes more now. If not, it is asked again.
    pub has_room: bool,
}

/// When events that nobody waits for are delivered: as soon as there are so many, or the first of them has waited so long. By
/// default, as soon as they are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gathering {
    /// So many.
    pub events: u64,
    /// So long.
    pub time: Duration,
}

/// Says whether a delivery, or other work with a store, must end, because nobody waits for it any more. Clones say the same.
#[derive(Clone, Debug, Default)]
pub struct MustEnd(Arc<AtomicBool>);

impl From<Arc<AtomicBool>> for MustEnd {
    fn from(given_up: Arc<AtomicBool>) -> Self {
        MustEnd(given_up)
    }
}

impl MustEnd {
    /// Whether it must. When that changes, the delivery's thread is unparked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Asks for the end. Waits that look at it end soon.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Something that events are delivered to.
///
/// One thread owns a sink; it asks for its position after each failure and continues from there.
pub trait Sink: Send {
    /// A name for messages and metrics.
    fn name(&self) -> &str;

    /// Called once, before everything else: a sink that may wait long for its store gives up when `must_end` is set, so
    /// that a close does not leave it behind.
    fn begin(&mut self, must_end: &MustEnd) {
        let _ = must_end;
    }

    /// Its position, according to its store.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn position(&mut self) -> Result<Position, SinkError>;

    /// Stores the batch and the cursor after it in one transaction: all of it or nothing. A batch that does
    /// not begin at the cursor is refused with [`SinkError::Gap`].
    ///
    /// # Errors
    /// When it was not stored, or it is not known whether it was.
    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError>;

    /// How far it has stored what it was given, which is everything below `delivered`. A sink that passes events on, as to a
    /// stream, has stored them only when they have arrived: nothing else counts for level `store`, lag and retirement.
    ///
    /// # Errors
    /// When that is not known, or what it was given is lost: then it is asked for its position, and given everything from there
    /// on again.
    fn stored(&mut self, delivered: Index) -> Result<Stored, SinkError> {
        Ok(Stored { cursor: delivered, has_room: true })
    }

    /// The checkpoints that it keeps; `None` from a sink that keeps none. Asked after each connecting.
    ///
    /// # Errors
    /// When the store cannot be asked, or holds one that no trail can have made ([`SinkError::Differs`]).
    fn checkpoints(&mut self) -> Result<Option<KeptCheckpoints>, SinkError> {
        Ok(None)
    }

    /// Keeps a checkpoint: those that the trail keeps, and now and then its newest. All events that it covers were
    /// delivered before.
    ///
    /// # Errors
    /// When it was not kept, or it is not known whether it was; and [`SinkError::Differs`] when the sink keeps another one
    /// of this size.
    fn keep_checkpoint(&mut self, checkpoint: &SealedCheckpoint<'_>) -> Result<(), SinkError> {
        let _ = checkpoint;
        Ok(())
    }

    /// How many events a batch holds at most.
    fn batch_events_max(&self) -> usize {
        1_000
    }

    /// How many events gather, and for how long, before they are delivered together: what a batch costs beside its events is
    /// then paid less often. Whoever waits for the store does not wait for that.
    fn gathers(&self) -> Gathering {
        Gathering::default()
    }

    /// Whether it writes to the trail's own disk: then it is paused when that gets full.
    fn uses_trail_disk(&self) -> bool {
        false
    }

    /// Whether an event may be retired only once this sink has it, also while the sink is not attached. Not so for one
    /// that is derived from the trail and loses nothing, such as an index, or that begins anew at each opening.
    fn needs_all(&self) -> bool {
        true
    }

    /// Whether a retirement waits, for a while, until this sink has dropped what is gone. One that is derived from the trail is
    /// waited for even if it fails.
    fn answers_queries(&self) -> bool {
        !self.needs_all()
    }

    /// Called after each connecting, and again whenever lines were retired: a chance to drop what was kept of them. `trail`
    /// is the trail's folder; the lines are gone from it. Whoever has much to drop does it in pieces, between which events
    /// are delivered.
    ///
    /// # Errors
    /// When the store failed; it is called again.
    fn drop_retired(&mut self, trail: &Folder) -> Result<Dropped, SinkError> {
        let _ = trail;
        Ok(Dropped::All)
    }

    /// Called when there is nothing more to deliver at the moment: a chance for work that is not urgent.
    ///
    /// # Errors
    /// When the store failed; this loses nothing that was delivered.
    fn idle(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Why a sink did not take a batch. Nothing is lost: the trail holds the events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The store failed; it is worth a retry.
    #[error("the store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The trail could not be read.
    #[error("could not read the trail's segments")]
    Trail(#[from] std::io::Error),
    /// The batch does not begin at the cursor.
    #[error("the batch begins with event {first}, but the sink needs event {cursor} next")]
    Gap {
        /// First index of the batch.
        first: Index,
        /// What the sink needs.
        cursor: Index,
    },
    /// The store holds what this trail did not write: the trail was rolled back or forked, or the store was changed.
    /// The delivery stops, and says so.
    #[error("{what}")]
    Differs {
        /// The first event in question.
        at: Index,
        /// What differs.
        what: String,
    },
}
