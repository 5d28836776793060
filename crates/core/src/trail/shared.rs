//! What the callers of a trail and its threads share.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;

use trailseal_event::mask::Masker;

use super::folder::Folder;
use super::options::{Notice, Options};
use crate::counters::{Counted, Counters};
use crate::handoff::Handoff;
use crate::histogram::CountedCommits;
use crate::progress::Progress;
use crate::seal::Sealing;

/// Shared by callers, writer, sealer and anchors.
pub(crate) struct Shared {
    pub(crate) folder: Folder,
    pub(crate) options: Options,
    pub(crate) origin: trailseal_tlog::Origin,
    pub(crate) handoff: Handoff,
    pub(crate) progress: Progress,
    pub(crate) counters: Counters,
    pub(crate) commits: CountedCommits,
    pub(crate) gate: Gate,
    pub(crate) sealing: Sealing,
    /// Replaced as a whole while the trail runs; read by every `record`.
    pub(crate) policy: crate::trail::current::Current,
    /// Made at the opening, and never changed.
    pub(crate) masker: Masker,
    /// What the last `trail.counts` told of.
    pub(crate) counts_told: Mutex<Counted>,
    /// First indexes of the segments from the one that holds the first unsealed line on.
    /// The writer adds; the sealer drops those that it is done with.
    pub(crate) segments: Mutex<Vec<u64>>,
    /// How many segments the writer has begun.
    pub(crate) segments_begun: AtomicU64,
    /// Set while less than the disk reserve and a quarter more is free: what can wait then stops.
    pub(crate) disk_low: AtomicBool,
    /// Set when nothing will be added to the handoff any more: the writer ends once it is empty.
    pub(crate) writer_may_end: AtomicBool,
    /// Set when everything is durable: the sealer signs a last checkpoint and ends.
    pub(crate) sealer_may_end: AtomicBool,
    /// A size that somebody waits to see sealed.
    pub(crate) seal_wanted: AtomicU64,
    /// The writer thread, to be woken.
    pub(crate) writer: std::sync::OnceLock<Thread>,
    /// The sealing thread, to be woken.
    pub(crate) sealer: std::sync::OnceLock<Thread>,
    /// The thread that delivers to the store, to be woken.
    pub(crate) store: Mutex<Option<Thread>>,
}

impl Shared {
    pub(crate) fn notice(&self, notice: &Notice) {
        if let Some(on_notice) = &self.options.on_notice {
            on_notice(notice);
        }
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
        // A segment in which nothing became durable is made again under the same name.
        if segments.last() != Some(&first) {
            segments.push(first);
        }
        drop(segments);
        self.segments_begun.fetch_add(1, Ordering::AcqRel);
    }

    /// Grows with each segment that the writer begins, before any line in it is durable.
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

/// Whether events are taken at this moment, in one byte that `record` reads.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicU8);

/// Why events are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    Closed = 1,
    DiskReserve = 2,
    DiskFailing = 4,
    WriterDied = 8,
    FolderMoved = 16,
}

impl Gate {
    /// The most final reason for which the gate is shut; `None` while it is open.
    pub(crate) fn shut(&self) -> Option<Shut> {
        let bits = self.0.load(Ordering::Acquire);
        if bits == 0 {
            return None;
        }
        [Shut::Closed, Shut::WriterDied, Shut::FolderMoved, Shut::DiskFailing, Shut::DiskReserve]
            .into_iter()
            .find(|&reason| bits & reason as u8 != 0)
    }

    /// Whether it is shut for this reason, and perhaps for others.
    pub(crate) fn is_shut_by(&self, reason: Shut) -> bool {
        self.0.load(Ordering::Acquire) & reason as u8 != 0
    }

    /// Returns whether it was not shut for this reason before.
    pub(crate) fn close(&self, reason: Shut) -> bool {
        self.0.fetch_or(reason as u8, Ordering::AcqRel) & reason as u8 == 0
    }

    /// Returns whether it was shut for this reason before.
    pub(crate) fn open(&self, reason: Shut) -> bool {
        self.0.fetch_and(!(reason as u8), Ordering::AcqRel) & reason as u8 != 0
    }
}
