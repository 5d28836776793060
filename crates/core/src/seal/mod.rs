//! The sealing thread: leaf hashes, the tree on disk, signed checkpoints.
//!
//! *order of proof*: the segment is durable, then the tree is, then the checkpoint is signed and put in place. A
//! checkpoint never covers a line that is not durable, and a signed tree only grows.

mod anchor;
mod compressor;
mod keys;
mod sealing_health;
mod source;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trailseal_tlog::{Checkpoint, TileEdge, leaf_hash};

pub use anchor::Anchor;
pub(crate) use anchor::Anchors;
pub(crate) use compressor::Compressor;
pub(crate) use keys::{Rotating, SealKeys};
use sealing_health::RoundError;
pub use sealing_health::SealTrouble;
pub(crate) use sealing_health::Sealing;
pub(crate) use source::Source;

use crate::gate::Shut;
use crate::lock::Lock;
use crate::log_state::Log;
use crate::notice::Notice;
use crate::tree::{TreeWriter, rebuild_beside};

/// A checkpoint is kept in `checkpoints/` at least this often, in events.
pub(crate) const KEPT_EVERY: u64 = 65_536;
/// How many leaves are written to disk at once: more would only take memory.
const ROUND_LEAVES_MAX: u64 = 4 * KEPT_EVERY;
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;
/// How often the tree's files are checked.
const LOOK_AT_TREE_EVERY: Duration = Duration::from_millis(100);
/// How often `trail.counts` reports what was refused or left out.
const COUNTS_EVERY: Duration = Duration::from_secs(60);
const POLL_BUSY: Duration = Duration::from_millis(10);
const POLL_IDLE: Duration = Duration::from_millis(100);
/// After a round of fewer lines it looks again later: to wake up and read costs more than their hashes. Whoever waits for a
/// seal wakes it.
const LINES_FOR_BUSY: u64 = 1_024;
/// How often something that failed is retried.
const TRY_AGAIN_EVERY: Duration = Duration::from_millis(500);
/// After a shortage of files, only one is held open at a time for this long.
const SPARE_FILES_FOR: Duration = Duration::from_secs(60);
/// A shortage at the close passes as connections end: sealing is retried for this long.
const SHORTAGE_AT_END_MAX: Duration = Duration::from_secs(3);

/// The sealer. Its thread owns everything in it.
pub(crate) struct Sealer {
    log: Arc<Log>,
    /// Shared with key rotation, which replaces them between two checkpoints.
    keys: Arc<Mutex<SealKeys>>,
    source: Source,
    edge: TileEdge,
    tree: TreeWriter,
    /// Checkpoints to keep that are not signed and on disk yet.
    kept: Vec<Checkpoint>,
    /// The size of the newest checkpoint on disk.
    published: u64,
    published_at: Instant,
    looked_at_tree: Instant,
    /// Until then, one file is held open at a time.
    sparing_until: Option<Instant>,
    anchors: Anchors,
    lock: Arc<Lock>,
    sealing: Arc<Sealing>,
    /// Tells in the trail what was refused or left out.
    tell_counts: Box<dyn Fn() + Send>,
}

/// Where sealing continues.
pub(crate) struct SealedTo {
    /// The right edge of the tree.
    pub(crate) edge: TileEdge,
    /// Where the first line after it is, or will be: the first index of its segment, and the offset in it.
    pub(crate) place: (u64, u64),
}

impl Sealer {
    /// `tell_counts` records in the trail what was refused or left out.
    pub(crate) fn new(
        log: Arc<Log>,
        keys: Arc<Mutex<SealKeys>>,
        sealing: Arc<Sealing>,
        from: SealedTo,
        anchors: Anchors,
        lock: Arc<Lock>,
        tell_counts: Box<dyn Fn() + Send>,
    ) -> Self {
        let SealedTo { edge, place } = from;
        let published = edge.size();
        let tree = TreeWriter::new(&log.folder, published, log.one_shot);
        Sealer {
            source: Source::new(log.clone(), published, place),
            log,
            keys,
            edge,
            tree,
            kept: Vec::new(),
            published,
            published_at: Instant::now(),
            looked_at_tree: Instant::now(),
            sparing_until: None,
            anchors,
            lock,
            sealing,
            tell_counts,
        }
    }

    /// Runs until it may end and everything durable is sealed. Returns what holds the anchors' work.
    pub(crate) fn run(mut self) -> Anchors {
        let mut pause = POLL_BUSY;
        let mut counts_told = Instant::now();
        let mut ending_since = None;
        loop {
            if counts_told.elapsed() >= COUNTS_EVERY {
                (self.tell_counts)();
                counts_told = Instant::now();
            }
            // Read before the watermark: then what was durable when the writer ended is seen as durable.
            let may_end = self.log.sealer_may_end.load(Ordering::Acquire);
            match self.sparing_round(may_end) {
                Ok(hashed) => {
                    if let Some(notice) = self.sealing.went_well(self.published) {
                        self.log.notice(&notice);
                    }
                    match hashed {
                        0 if may_end => break,
                        _ if may_end => {}
                        LINES_FOR_BUSY.. => pause = POLL_BUSY,
                        _ => {
                            std::thread::park_timeout(self.until_due(pause));
                            pause = (pause * 2).min(POLL_IDLE);
                        }
                    }
                }
                Err(error) => {
                    self.log.counters.seal_failures.add(1);
                    if let Some(notice) = self.sealing.failed(&error, self.log.progress.durable()) {
                        self.log.notice(&notice);
                    }
                    if may_end {
                        let since = *ending_since.get_or_insert_with(Instant::now);
                        if !error.is_shortage() || since.elapsed() >= SHORTAGE_AT_END_MAX {
                            break;
                        }
                    }
                    std::thread::park_timeout(TRY_AGAIN_EVERY);
                }
            }
        }
        if let Err(error) = self.tree.finish() {
            // Everything signed is on disk: only reserved blocks are affected.
            self.log.notice(&Notice::SealFailed { reason: error.to_string() });
        }
        self.anchors
    }

    /// At most so long, and no longer than until a checkpoint is due.
    fn until_due(&self, pause: Duration) -> Duration {
        match self.edge.size() > self.published {
            true => {
                let left = self.log.seal_every.saturating_sub(self.published_at.elapsed());
                pause.min(left.max(POLL_BUSY))
            }
            false => pause,
        }
    }

    /// One round; if it fails for lack of files, it is retried at once with one open at a time.
    fn sparing_round(&mut self, at_end: bool) -> Result<u64, RoundError> {
        if self.sparing_until.is_some_and(|until| Instant::now() >= until) {
            self.spare_files(None);
        }
        match self.round(at_end) {
            Err(error) if error.is_shortage() => {
                self.spare_files(Some(Instant::now() + SPARE_FILES_FOR));
                self.round(at_end)
            }
            done => done,
        }
    }

    fn spare_files(&mut self, until: Option<Instant>) {
        self.sparing_until = until;
        self.source.spare_files(until.is_some());
        self.tree.spare_files(until.is_some());
    }

    /// Hashes what has become durable, and publishes when it is time. Returns how many lines it hashed.
    fn round(&mut self, at_end: bool) -> Result<u64, RoundError> {
        // No checkpoint can be put in a folder that is elsewhere; the next opening seals what is there.
        if self.log.gate.is_shut_by(Shut::FolderMoved) {
            return Ok(0);
        }
        if self.looked_at_tree.elapsed() >= LOOK_AT_TREE_EVERY {
            self.keep_tree_whole()?;
        }
        let durable = self.log.progress.durable();
        let before = self.edge.size();
        while self.edge.size() < durable && self.edge.size() - self.published < ROUND_LEAVES_MAX {
            self.hash_lines(durable)?;
        }
        let size = self.edge.size();
        let is_due = size > self.published
            && (at_end
                || self.published_at.elapsed() >= self.log.seal_every
                || size - self.published >= ROUND_LEAVES_MAX
                || self.log.seal_wanted.load(Ordering::Acquire) > self.published && size == durable);
        if is_due {
            self.publish()?;
        }
        Ok(size - before)
    }

    fn hash_lines(&mut self, durable: u64) -> io::Result<()> {
        let next = self.source.next();
        // A segment is known to have ended once the next one exists.
        if self.source.begins_segment() && next > 0 {
            self.keep_checkpoint();
        }
        let Sealer { source, edge, tree, .. } = self;
        // A checkpoint is kept at each multiple of KEPT_EVERY, so a read must stop there.
        let stop = durable.min((next / KEPT_EVERY + 1) * KEPT_EVERY);
        source.read(stop, |line| {
            edge.push(leaf_hash(line), &mut |level, hash| tree.push(level, hash));
        })?;
        if self.edge.size().is_multiple_of(KEPT_EVERY) {
            self.keep_checkpoint();
        }
        Ok(())
    }

    /// Plans a kept checkpoint of what is hashed so far, for `checkpoints/`.
    fn keep_checkpoint(&mut self) {
        if self.kept.last().is_none_or(|last| last.size != self.edge.size()) {
            self.kept.push(self.checkpoint());
        }
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(self.log.origin.clone(), self.edge.size(), self.edge.root())
    }

    /// Rebuilds the tree from the lines if its files were removed, replaced or truncated under the writer: the root
    /// that they must give is known here.
    fn keep_tree_whole(&mut self) -> Result<(), RoundError> {
        self.looked_at_tree = Instant::now();
        let lost = self
            .tree
            .lost()
            .map_err(RoundError::at(&self.log.folder.tree_folder()))?
            .filter(|_| !cfg!(trailseal_fault = "signed_over_lost_tree"));
        let Some(path) = lost else { return Ok(()) };
        let folder = &self.log.folder;
        // If the whole folder is elsewhere, nothing may be created in its place.
        self.log.folder.files().open_read(&folder.trail_toml())?;
        let (size, root) = (self.edge.size(), self.edge.root());
        rebuild_beside(folder, size, &root).map_err(|error| {
            let what = format!(
                "{} was removed, replaced or truncated, and cannot be rebuilt: {error}",
                path.display()
            );
            io::Error::new(error.kind(), what)
        })?;
        // The file of level 0 may be a new one, and is the trail's second lock.
        self.lock.hold_guard(&folder.tree_level(0))?;
        self.tree = TreeWriter::new(folder, size, self.log.one_shot);
        self.tree.spare_files(self.sparing_until.is_some());
        self.log.counters.trees_remade.add(1);
        self.log.notice(&Notice::TreeRemade { path });
        Ok(())
    }

    /// Publishes the tree, then checkpoints. On a failure everything stays pending and is retried.
    fn publish(&mut self) -> Result<(), RoundError> {
        let files = &**self.log.folder.files();
        let folder = &self.log.folder;
        if cfg!(trailseal_fault = "checkpoint_before_tree") {
            let note = lock(&self.keys).sign(&self.checkpoint());
            files.replace(&folder.checkpoint(), note.as_bytes(), false)?;
        }
        let tree = folder.tree_folder();
        self.tree.sync(!self.log.is_disk_low()).map_err(RoundError::at(&tree))?;
        // Nothing is signed over a tree that is not on disk.
        self.keep_tree_whole()?;
        let files = &**self.log.folder.files();
        let folder = &self.log.folder;
        // Held until the watermark is moved, so that what a rotation waits for is done when it sees it move.
        let mut keys = lock(&self.keys);
        let (checkpoint, note) = keys.next_note(self.checkpoint());
        assert!(checkpoint.size >= self.published, "a signed tree only grows");
        if cfg!(trailseal_fault = "rotation_before_checkpoint") {
            keys.carry_out(folder)?;
        }
        for kept in self.kept.iter().filter(|kept| kept.size <= checkpoint.size) {
            let text = if kept.size == self.published {
                // Already signed, perhaps by an earlier key.
                let path = folder.checkpoint();
                files.read(&path, CHECKPOINT_BYTES_MAX).map_err(RoundError::at(&path))?
            } else if kept.size == checkpoint.size {
                note.clone().into_bytes()
            } else {
                keys.sign(kept).into_bytes()
            };
            let path = folder.kept_checkpoint(kept.size);
            files.replace(&path, &text, false).map_err(RoundError::at(&path))?;
        }
        self.kept.retain(|kept| kept.size > checkpoint.size);
        let path = folder.checkpoint();
        files.replace(&path, note.as_bytes(), false).map_err(RoundError::at(&path))?;
        keys.carry_out(folder)?;
        self.published = checkpoint.size;
        self.published_at = Instant::now();
        self.log.counters.checkpoints.add(1);
        self.log.progress.set_sealed(self.published);
        drop(keys);
        self.anchors.send(note);
        Ok(())
    }
}

fn lock(keys: &Mutex<SealKeys>) -> MutexGuard<'_, SealKeys> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}
