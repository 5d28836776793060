//! What events are delivered to.

use trailseal_event::Index;
use trailseal_tlog::Hash;

/// One durable line and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct BatchLine<'a> {
    /// The line's exact bytes, without the newline.
    pub bytes: &'a [u8],
    /// Index of the first line of the segment that holds it.
    pub segment: Index,
    /// Where the line begins in the segment's uncompressed bytes.
    pub offset: u64,
}

/// Lines that follow each other, to be stored with the new cursor as one.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Index of the first line.
    pub first: Index,
    /// The lines; never empty.
    pub lines: &'a [BatchLine<'a>],
}

impl Batch<'_> {
    /// The cursor once this batch is stored: the index after its last line.
    pub fn end(&self) -> Index {
        Index::new(self.first.get() + self.lines.len() as u64)
    }
}

/// How far a sink has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The index that it wants next: everything below is stored.
    pub cursor: Index,
    /// The leaf hash of the line before, by which a trail that was rolled back or forked is noticed; `None`
    /// at the very beginning.
    pub last_leaf: Option<Hash>,
}

/// Something that events are delivered to.
///
/// A sink is owned by one thread, which asks for its position after each failure and goes on from there.
pub trait Sink: Send {
    /// A name for messages and metrics.
    fn name(&self) -> &str;

    /// How far it has come, as its store says.
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

    /// How many events a batch holds at most.
    fn batch_events_max(&self) -> usize {
        1_000
    }

    /// Whether it writes to the trail's own disk: then it is held back when that gets full.
    fn uses_trail_disk(&self) -> bool {
        false
    }

    /// Called when there is nothing more to deliver at this moment: what may be done without hurry.
    ///
    /// # Errors
    /// When the store failed; nothing that was delivered is lost by it.
    fn idle(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Why a sink did not take a batch. Nothing is lost by it: the trail holds the events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The store failed; it is worth another try.
    #[error("the store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The trail could not be read.
    #[error("could not read the trail's segments")]
    Trail(#[from] std::io::Error),
    /// The batch begins elsewhere than at the cursor.
    #[error("the batch begins with event {first}, and the sink wants event {cursor} next")]
    Gap {
        /// First index of the batch.
        first: Index,
        /// What the sink wants.
        cursor: Index,
    },
}
