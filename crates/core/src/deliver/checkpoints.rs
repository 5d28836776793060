//! The trail's checkpoints on their way to a sink that keeps them, so that a store can be verified without the trail.
//!
//! What must hold: a sink gets a checkpoint only after every event that it covers, and only once the checkpoint is
//! certain to outlive a power loss here; else an honest trail would seem rolled back. In the end the sink has every one
//! that the trail keeps, and the newest.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use trailseal_event::Index;
use trailseal_tlog::{Checkpoint, SignedNote};

use super::halt::{Halt, failed};
use super::sink::{SealedCheckpoint, Sink, SinkError};
use crate::log_state::Log;
use crate::tree::root_of;

/// The newest checkpoint is passed on at most this often: each stays in the store for good.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(2);
const NOTE_BYTES_MAX: u64 = 1 << 20;

/// What of the trail's checkpoints a sink still lacks. Does nothing for a sink that keeps none.
pub(super) struct Checkpoints {
    /// The sizes that the sink has, ascending; `None` if it keeps none.
    kept: Option<Vec<u64>>,
    /// The sizes of those that the trail keeps and the sink lacks, ascending.
    lacking: VecDeque<u64>,
    /// The signed size when the sink got the newest checkpoint, and with it all others.
    passed: u64,
    looked_at: Option<Instant>,
}

impl Checkpoints {
    /// Asks the sink what it keeps, and compares the newest of that with the trail.
    pub(super) fn begin(log: &Log, sink: &mut dyn Sink) -> Result<Self, Halt> {
        let name = sink.name().to_owned();
        let kept = sink.checkpoints().map_err(failed)?;
        if let Some((size, root)) = kept.as_ref().and_then(|kept| kept.newest)
            && !cfg!(trailseal_fault = "checkpoints_not_compared")
        {
            let sealed = log.progress.sealed();
            if size > sealed {
                let reason =
                    format!("{name} has a checkpoint of {size} events, but the trail has sealed {sealed}");
                return Err(Halt::Differs { at: sealed, reason });
            }
            // A tree that is damaged is mended by the sealer, or found by `verify`.
            if root_of(&log.folder, size).map_err(failed)?.is_some_and(|ours| ours != root) {
                let reason =
                    format!("the checkpoint of {size} events in {name} signs others than the trail has");
                return Err(Halt::Differs { at: size.saturating_sub(1), reason });
            }
        }
        let kept = kept.map(|kept| {
            let mut sizes = kept.sizes;
            sizes.sort_unstable();
            sizes
        });
        Ok(Checkpoints { kept, lacking: VecDeque::new(), passed: 0, looked_at: None })
    }

    /// Passes on what the sink lacks and has all events for: those below `delivered`. `at_end`: also what would have to
    /// wait.
    pub(super) fn keep(
        &mut self,
        log: &Log,
        sink: &mut dyn Sink,
        delivered: u64,
        at_end: bool,
    ) -> Result<(), Halt> {
        let Some(kept) = &self.kept else { return Ok(()) };
        // What is sealed is signed, in place, and synced; so are those that the trail keeps below it.
        let sealed = log.progress.sealed();
        let is_due = at_end || self.looked_at.is_none_or(|last| last.elapsed() >= LOOKED_AT_EVERY);
        let is_new = sealed > self.passed && is_due;
        if is_new {
            self.looked_at = Some(Instant::now());
            let mut sizes = log.folder.kept_checkpoints().map_err(failed)?;
            sizes.retain(|size| kept.binary_search(size).is_err());
            sizes.sort_unstable();
            self.lacking = sizes.into();
        }
        while let Some(size) = self.lacking.front().copied().filter(|size| *size <= delivered.min(sealed)) {
            self.pass(log, sink, Some(size), delivered)?;
            self.lacking.pop_front();
        }
        if is_new && sealed <= delivered {
            self.pass(log, sink, None, delivered)?;
            self.passed = sealed;
        }
        Ok(())
    }

    /// Reads the checkpoint of this size, or the newest, and passes it on.
    fn pass(
        &mut self,
        log: &Log,
        sink: &mut dyn Sink,
        size: Option<u64>,
        delivered: u64,
    ) -> Result<(), Halt> {
        let path = size.map_or_else(|| log.folder.checkpoint(), |size| log.folder.kept_checkpoint(size));
        let bytes = log.folder.files().read(&path, NOTE_BYTES_MAX).map_err(failed)?;
        let note = String::from_utf8(bytes).ok();
        let checkpoint = note.as_ref().and_then(|note| {
            let signed = SignedNote::parse(note).ok()?;
            Checkpoint::parse(signed.text()).ok().filter(|checkpoint| checkpoint.origin == log.origin)
        });
        let (Some(note), Some(checkpoint)) = (&note, checkpoint) else {
            let what =
                format!("{} is not a checkpoint of this trail: run `trailseal verify`", path.display());
            return Err(failed(SinkError::Differs { at: Index::new(size.unwrap_or(delivered)), what }));
        };
        // It may have been replaced since by one that is not certain to stay, or covers more than the sink has.
        if checkpoint.size > delivered.min(log.progress.sealed()) {
            return Ok(());
        }
        let Checkpoint { size, root, .. } = checkpoint;
        sink.keep_checkpoint(&SealedCheckpoint { size, root, note }).map_err(failed)?;
        let kept = self.kept.get_or_insert_default();
        if let Err(at) = kept.binary_search(&size) {
            kept.insert(at, size);
        }
        Ok(())
    }
}
