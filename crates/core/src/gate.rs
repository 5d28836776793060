//! Whether events are accepted at this moment.

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether events are accepted at this moment, in one byte that `record` reads.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicU8);

/// Why events are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    Closed = 1,
    DiskReserve = 2,
    DiskFailing = 4,
    WriterDied = 8,
    FolderMoved = 16,
}

impl Gate {
    /// The most final reason for which the gate is closed; `None` while it is open.
    pub(crate) fn shut(&self) -> Option<Shut> {
        let bits = self.0.load(Ordering::Acquire);
        if bits == 0 {
            return None;
        }
        [Shut::Closed, Shut::WriterDied, Shut::FolderMoved, Shut::DiskFailing, Shut::DiskReserve]
            .into_iter()
            .find(|&reason| bits & reason as u8 != 0)
    }

    /// Whether it is closed for this reason, and perhaps for others.
    pub(crate) fn is_shut_by(&self, reason: Shut) -> bool {
        self.0.load(Ordering::Acquire) & reason as u8 != 0
    }

    /// Returns whether it was not closed for this reason before.
    pub(crate) fn close(&self, reason: Shut) -> bool {
        self.0.fetch_or(reason as u8, Ordering::AcqRel) & reason as u8 == 0
    }

    /// Returns whether it was closed for this reason before.
    pub(crate) fn open(&self, reason: Shut) -> bool {
        self.0.fetch_and(!(reason as u8), Ordering::AcqRel) & reason as u8 != 0
    }
}
