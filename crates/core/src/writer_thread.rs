//! The writer thread: drain the handoff, append to the segment, sync once, wake the waiters.
//!
//! The order is fixed: fdatasync → durable watermark (sync callers wake, readers may show it) → the handoff's bytes are
//! free. A failed write or sync ends that segment (*sticky failure*); the same lines, which the handoff still holds,
//! are written to a new one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use trailseal_event::{Index, Timestamp, line};

use crate::file::is_shortage;
use crate::gate::Shut;
use crate::handoff::{Drain, Taken};
use crate::log_state::Log;
use crate::notice::Notice;
use crate::segment::Roll;
use crate::segment::{Batch, CachedLines, CachedPiece, Form, SegmentWriter, segment_name};
use crate::watch::Watch;

/// A commit holds at most about this many bytes.
const COMMIT_BYTES_MAX: usize = 4 << 20;
/// The handoff is checked no more often than this when nothing needs waiting for.
const POLL_MIN: Duration = Duration::from_micros(200);
/// With this much in the handoff, the writer does not linger.
const COMPANY_BYTES: u64 = 256 << 10;
/// How often the handoff is checked when there has been no work for a while.
const POLL_IDLE: Duration = Duration::from_millis(10);
/// A write that takes longer is counted and reported.
const SLOW_WRITE: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
const LOOK_AT_DISK_EVERY: Duration = Duration::from_millis(100);
const LOOK_AT_DISK_BYTES: u64 = 32 << 20;

/// The writer. Everything in it is owned by its thread.
pub(crate) struct Writer {
    log: Arc<Log>,
    drain: Drain,
    /// `None` after a failure, until a new one could be created.
    segment: Option<SegmentWriter>,
    /// Everything below is durable.
    durable: u64,
    staging: Vec<u8>,
    cached: CachedLines,
    reserve_bytes: u64,
    watch: Watch,
    looked_at_disk: Instant,
    bytes_since_look: u64,
}

impl Writer {
    pub(crate) fn new(
        log: Arc<Log>,
        drain: Drain,
        segment: Option<SegmentWriter>,
        durable: u64,
        reserve_bytes: u64,
        watch: Watch,
    ) -> Self {
        Writer {
            cached: CachedLines::default(),
            log,
            drain,
            segment,
            durable,
            staging: Vec::with_capacity(COMMIT_BYTES_MAX + (1 << 20)),
            reserve_bytes,
            watch,
            looked_at_disk: Instant::now(),
            bytes_since_look: 0,
        }
    }

    /// Runs until the handoff is closed and everything in it is durable.
    ///
    /// When nobody waits, it lingers between two commits: thousands of commits of one event each would cost the
    /// application more than everything else. A caller that waits for the disk, a handoff that fills up, and a close
    /// wake it.
    pub(crate) fn run(mut self) {
        let _alarm = Alarm(self.log.clone());
        let linger = self.log.linger.max(POLL_MIN);
        let mut idle = linger;
        loop {
            let may_end = self.log.writer_may_end.load(Ordering::Acquire);
            let taken = self.take();
            if taken.lines > 0 {
                self.commit(taken);
                idle = linger;
            } else if may_end && self.drain.is_empty() {
                self.watch.look_at_keys(true);
                break;
            } else {
                idle = (idle * 2).min(POLL_IDLE.max(linger));
            }
            // Events that arrived meanwhile are also collected; but not if so many arrive that they already form a
            // batch.
            if taken.lines == 0 || self.drain.waiting_bytes() < COMPANY_BYTES {
                std::thread::park_timeout(idle);
            }
            self.look_at_disk();
        }
        if let Some(segment) = self.segment.take()
            && let Err(error) = segment.finish()
        {
            self.log.notice(&Notice::SegmentFailed { reason: error.to_string() });
        }
    }

    fn take(&mut self) -> Taken {
        self.staging.clear();
        self.drain.take(&mut self.staging, COMMIT_BYTES_MAX, |_, _, _| {})
    }

    /// Makes what was taken durable, however long that takes.
    fn commit(&mut self, taken: Taken) {
        debug_assert_eq!(taken.first, self.durable, "the handoff is gapless");
        if cfg!(trailseal_fault = "answer_before_sync") {
            self.log.progress.set_durable(taken.first + taken.lines);
        }
        if cfg!(trailseal_fault = "buffer_freed_early") {
            self.drain.release(taken.position, taken.first + taken.lines);
        }
        self.sync_keys();
        let mut backoff = Duration::from_millis(10);
        while let Err(error) = self.try_commit(&taken) {
            // If it was removed under the writer, that is reported.
            self.watch.look_at_segment(&mut self.segment);
            // Sticky failure: whatever that file holds beyond its last durable length is void from now on.
            if !cfg!(trailseal_fault = "sync_tried_again") {
                self.give_up_segment();
            }
            self.log.counters.segment_failures.add(1);
            // The first failure is often the file's own, so one new segment is tried before the failure is reported.
            if self.try_commit(&taken).is_ok() {
                self.log.notice(&Notice::SegmentFailed { reason: error.to_string() });
                break;
            }
            self.give_up_segment();
            let reason = error.to_string();
            // Before anybody is told that it fails, and may ask why.
            self.log.set_write_failure(Some(error));
            if self.log.gate.close(Shut::DiskFailing) {
                self.log.notice(&Notice::SegmentFailed { reason });
            }
            self.log.progress.set_failing();
            self.watch.look_at_folder();
            std::thread::sleep(backoff);
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        self.durable = taken.first + taken.lines;
        self.log.counters.commits.add(1);
        self.log.counters.durable_bytes.add(self.staging.len() as u64);
        self.log.commits.add(taken.lines, self.staging.len() as u64);
        self.bytes_since_look += self.staging.len() as u64;
        if !cfg!(trailseal_fault = "buffer_freed_early") {
            self.drain.release(taken.position, self.durable);
        }
        self.log.progress.set_durable(self.durable);
        self.log.handoff.released(&mut self.drain);
        self.give_cache_back();
        if self.log.gate.open(Shut::DiskFailing) {
            self.log.set_write_failure(None);
            self.log.notice(&Notice::SegmentRecovered);
        }
    }

    /// Makes the keys durable by which personal values in these lines are sealed, however long that takes: a durable line
    /// never names a key that a power loss may take.
    fn sync_keys(&mut self) {
        let Some(keys) = self.log.personal.get().cloned() else { return };
        let mut backoff = Duration::from_millis(10);
        let mut is_told = false;
        while let Err(error) = keys.sync() {
            if !std::mem::replace(&mut is_told, true) {
                self.log.gate.close(Shut::DiskFailing);
                self.log.notice(&Notice::PersonalKeysFailed { reason: error.to_string() });
                self.log.progress.set_failing();
            }
            self.watch.look_at_folder();
            self.watch.look_at_keys(true);
            std::thread::sleep(backoff);
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        if is_told {
            // The gate opens when the lines are durable, too.
            self.log.notice(&Notice::PersonalKeysRecovered);
        }
    }

    fn give_cache_back(&mut self) {
        let Some(segment) = &self.segment else { return };
        let end = segment.len_bytes();
        let begin = end - self.staging.len() as u64;
        self.cached.wrote(CachedPiece { segment: segment.first(), begin, end, next: self.durable });
        let Log { progress, folder, .. } = &*self.log;
        let stored = if self.log.has_store() { progress.stored() } else { u64::MAX };
        while let Some(piece) = self.cached.leaving(progress.sealed().min(stored)) {
            let name = segment_name(Index::new(piece.segment), Form::Plain);
            folder.files().leave_cache(&folder.segments_folder().join(name), piece.begin..piece.end);
        }
    }

    fn try_commit(&mut self, taken: &Taken) -> io::Result<()> {
        let begun = Instant::now();
        let done = self.write(taken);
        let took = begun.elapsed();
        if took > SLOW_WRITE {
            self.log.counters.slow_writes.add(1);
            self.log.notice(&Notice::SlowWrite { took });
        }
        self.log.commits.add_sync(done?);
        Ok(())
    }

    /// Returns how long the sync took.
    fn write(&mut self, taken: &Taken) -> io::Result<Duration> {
        if self.segment.as_ref().is_some_and(|segment| self.should_roll(segment)) {
            self.roll(taken.first)?;
        }
        if self.segment.is_none() {
            self.segment = Some(self.new_segment(taken.first)?);
        }
        let batch = Batch { bytes: &self.staging, first: taken.first, lines: taken.lines };
        match &mut self.segment {
            Some(segment) => segment.append_durably(&batch),
            None => Ok(Duration::ZERO),
        }
    }

    fn new_segment(&self, first: u64) -> io::Result<SegmentWriter> {
        let folder = self.log.folder.segments_folder();
        let segment = SegmentWriter::create(self.log.folder.files().clone(), &folder, first)?;
        self.log.add_segment(first);
        Ok(segment)
    }

    /// Continues in a new segment, or in the old one while files are short: lines beyond its size harm nobody, and
    /// refused ones are lost.
    fn roll(&mut self, first: u64) -> io::Result<()> {
        match self.new_segment(first) {
            Err(error) if is_shortage(&error) && !cfg!(trailseal_fault = "roll_refuses") => Ok(()),
            made => {
                self.finish_segment();
                self.segment = Some(made?);
                Ok(())
            }
        }
    }

    fn give_up_segment(&mut self) {
        if let Some(segment) = self.segment.take() {
            segment.give_up();
        }
    }

    /// Whether the lines in `staging` belong in a new segment.
    fn should_roll(&self, segment: &SegmentWriter) -> bool {
        // While the folder is elsewhere, no segment can be created in it.
        if segment.len_bytes() == 0 || self.watch.is_away() {
            return false;
        }
        match self.log.roll {
            Roll::Bytes(max) => segment.len_bytes() + self.staging.len() as u64 > max,
            Roll::Hour => self.period_changes(segment, 3_600),
            Roll::Day => self.period_changes(segment, 86_400),
            Roll::Never => false,
        }
    }

    fn period_changes(&self, segment: &SegmentWriter, seconds: i64) -> bool {
        let period = |recorded: Timestamp| recorded.as_micros().div_euclid(seconds * 1_000_000);
        match (segment.first_recorded(), line::parse_front(&self.staging)) {
            (Some(first), Some(front)) => period(first) != period(front.recorded),
            _ => false,
        }
    }

    fn finish_segment(&mut self) {
        if let Some(segment) = self.segment.take()
            && let Err(error) = segment.finish()
        {
            // Its lines are durable; only the derived offset file or the reserved blocks are affected.
            self.log.notice(&Notice::SegmentFailed { reason: error.to_string() });
        }
        self.log.wake_sealer();
    }

    fn look_at_disk(&mut self) {
        if self.looked_at_disk.elapsed() < LOOK_AT_DISK_EVERY && self.bytes_since_look < LOOK_AT_DISK_BYTES {
            return;
        }
        self.looked_at_disk = Instant::now();
        self.bytes_since_look = 0;
        self.check_reserve();
        self.watch.look(&mut self.drain, self.durable, &mut self.segment);
    }

    pub(crate) fn check_reserve(&self) {
        let Ok((free_bytes, _)) = self.log.folder.files().free_bytes(self.log.folder.root()) else {
            return;
        };
        let low_bytes = self.reserve_bytes + self.reserve_bytes / 4;
        self.log.disk_low.store(free_bytes < low_bytes, Ordering::Release);
        if free_bytes < self.reserve_bytes {
            if self.log.gate.close(Shut::DiskReserve) {
                self.log.notice(&Notice::DiskReserveReached { free_bytes });
            }
        } else if self.log.gate.open(Shut::DiskReserve) {
            self.log.notice(&Notice::DiskReserveLeft);
        }
    }
}

/// Closes the trail if the writer ends by a panic: nothing may be accepted that nobody will write.
struct Alarm(Arc<Log>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.gate.close(Shut::WriterDied);
            self.0.handoff.close();
            self.0.progress.set_failing();
        }
    }
}
