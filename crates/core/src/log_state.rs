//! What the callers of a trail and the threads of its log share: the way of a line from the handoff to the sinks.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use trailseal_tlog::Origin;

use crate::clock::Clock;
use crate::counters::Counters;
use crate::folder::Folder;
use crate::gate::Gate;
use crate::handoff::Handoff;
use crate::histogram::CountedCommits;
use crate::notice::{Notice, OnNotice};
use crate::personal::KeyStore;
use crate::progress::Progress;
use crate::segment::Roll;

/// Shared by callers, writer, sealer, compressor and deliveries.
pub(crate) struct Log {
    pub(crate) folder: Folder,
    pub(crate) origin: Origin,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) on_notice: Option<OnNotice>,
    /// When a segment ends.
    pub(crate) roll: Roll,
    /// How long lines that nobody waits for may wait for company.
    pub(crate) linger: Duration,
    /// How often a checkpoint is signed while there are events.
    pub(crate) seal_every: Duration,
    /// A short-lived process.
    pub(crate) one_shot: bool,
    /// The keys of people, once there are any.
    pub(crate) personal: OnceLock<Arc<KeyStore>>,
    pub(crate) handoff: Handoff,
    /// How long the trail's own events wait for room in it.
    pub(crate) room_wait: Duration,
    pub(crate) progress: Progress,
    /// Why the disk does not accept lines, while it does not.
    pub(crate) write_failure: Mutex<Option<Arc<io::Error>>>,
    pub(crate) counters: Counters,
    pub(crate) commits: CountedCommits,
    pub(crate) gate: Gate,
    /// First indexes of the segments from the one that holds the first unsealed line on, and of those that the writer
    /// began since: it adds, and nobody drops any.
    pub(crate) segments: Mutex<Vec<u64>>,
    /// Held while a closed segment is written again: compressed, or without its retired lines.
    pub(crate) rewriting: Mutex<()>,
    /// How many retirements have ended.
    pub(crate) retirements: AtomicU64,
    /// How many segments the writer has started.
    pub(crate) segments_begun: AtomicU64,
    /// Set while less than the disk reserve and a quarter more is free: work that can wait then stops.
    pub(crate) disk_low: AtomicBool,
    /// Set when nothing will be added to the handoff any more: the writer ends once it is empty.
    pub(crate) writer_may_end: AtomicBool,
    /// Set when everything is durable: the sealer signs a last checkpoint and ends.
    pub(crate) sealer_may_end: AtomicBool,
    /// A size that somebody waits to see sealed.
    pub(crate) seal_wanted: AtomicU64,
    /// The writer thread, to be woken.
    pub(crate) writer: OnceLock<Thread>,
    /// The sealing thread, to be woken.
    pub(crate) sealer: OnceLock<Thread>,
    /// The thread that delivers to the store, to be woken.
    pub(crate) store: Mutex<Option<Thread>>,
}

impl Log {
    pub(crate) fn notice(&self, notice: &Notice) {
        if let Some(on_notice) = &self.on_notice {
            on_notice(notice);
        }
    }

    /// The disk accepts lines (`None`), or does not, for this reason.
    pub(crate) fn set_write_failure(&self, failure: Option<io::Error>) {
        *self.write_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure.map(Arc::new);
    }

    pub(crate) fn write_failure(&self) -> Option<Arc<io::Error>> {
        self.write_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn wake_writer(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    pub(crate) fn wake_sealer(&self) {
        if let Some(sealer) = self.sealer.get() {
            sealer.unpark();
        }
    }

    /// Whether a store was attached, so that waiting for it has a meaning.
    pub(crate) fn has_store(&self) -> bool {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn wake_store(&self) {
        if let Some(store) = &*self.store.lock().unwrap_or_else(PoisonError::into_inner) {
            store.unpark();
        }
    }

    pub(crate) fn add_segment(&self, first: u64) {
        let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        // A segment in which nothing became durable is created again under the same name.
        if segments.last() != Some(&first) {
            segments.push(first);
        }
        drop(segments);
        self.segments_begun.fetch_add(1, Ordering::AcqRel);
    }

    /// Grows with each segment that the writer starts, before any line in it is durable.
    pub(crate) fn segments_begun(&self) -> u64 {
        self.segments_begun.load(Ordering::Acquire)
    }

    pub(crate) fn is_disk_low(&self) -> bool {
        self.disk_low.load(Ordering::Acquire)
    }

    /// First index of the segment that holds line `index`, and of the one after it.
    pub(crate) fn segment_of(&self, index: u64) -> Option<(u64, Option<u64>)> {
        let segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|&first| first <= index);
        let first = *segments.get(after.checked_sub(1)?)?;
        Some((first, segments.get(after).copied()))
    }
}
