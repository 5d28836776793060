//! The sealing thread: leaf hashes, tiles, signed checkpoints.
//!
//! *order of proof*: the segment is durable, then the tiles are, then the checkpoint is signed and put in
//! place. A checkpoint never covers a line that is not durable, and a signed tree only grows.

mod source;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trailseal_tlog::{Checkpoint, SigningKey, TileEdge, TileId, leaf_hash};

pub(crate) use source::Source;

use crate::anchor::Anchors;
use crate::trail::folder::Manifest;
use crate::trail::options::Notice;
use crate::trail::record_counts;
use crate::trail::shared::Shared;

/// A checkpoint is kept in `checkpoints/` at least this often, in events.
pub(crate) const KEPT_EVERY: u64 = 65_536;
/// Tiles of this many leaves are put on disk at once: more would only take memory.
const ROUND_LEAVES_MAX: u64 = 4 * KEPT_EVERY;
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;
/// How often `trail.counts` tells of what was refused or left out.
const COUNTS_EVERY: Duration = Duration::from_secs(60);
const POLL_BUSY: Duration = Duration::from_millis(10);
const POLL_IDLE: Duration = Duration::from_millis(100);

/// The sealer. Everything in it is owned by its thread.
pub(crate) struct Sealer {
    shared: Arc<Shared>,
    /// Shared with key rotation, which replaces them between two checkpoints.
    keys: Arc<Mutex<SealKeys>>,
    source: Source,
    edge: TileEdge,
    /// Full tiles that are not on disk yet.
    tiles: Vec<(PathBuf, Vec<u8>)>,
    /// Checkpoints to be kept that are not signed and on disk yet.
    kept: Vec<Checkpoint>,
    /// Partial tiles on disk, which go when the full one stands.
    partials: Vec<TileId>,
    /// The size of the newest checkpoint on disk.
    published: u64,
    published_at: Instant,
    anchors: Anchors,
}

/// What signs checkpoints.
pub(crate) struct SealKeys {
    pub(crate) signing: SigningKey,
    pub(crate) manifest: Manifest,
}

impl SealKeys {
    /// The signed note of a checkpoint, with a line for each rotation of keys so far.
    fn sign(&self, checkpoint: &Checkpoint) -> String {
        let mut note = checkpoint.sign(&self.signing);
        for line in self.manifest.keys.iter().filter_map(|key| key.vouched.as_deref()) {
            note.push_str(line.trim_end());
            note.push('\n');
        }
        note
    }
}

impl Sealer {
    /// Goes on from a tree whose right edge is `edge`; `partials` are its partial tiles on disk.
    pub(crate) fn new(
        shared: Arc<Shared>,
        keys: Arc<Mutex<SealKeys>>,
        edge: TileEdge,
        partials: Vec<TileId>,
        anchors: Anchors,
    ) -> Self {
        let published = edge.size();
        Sealer {
            source: Source::new(shared.clone(), published),
            shared,
            keys,
            edge,
            tiles: Vec::new(),
            kept: Vec::new(),
            partials,
            published,
            published_at: Instant::now(),
            anchors,
        }
    }

    /// Runs until it may end and everything durable is sealed. Returns what holds the anchors' work.
    pub(crate) fn run(mut self) -> Anchors {
        let mut backoff = POLL_BUSY;
        let mut counts_told = Instant::now();
        loop {
            if counts_told.elapsed() >= COUNTS_EVERY {
                record_counts(&self.shared);
                counts_told = Instant::now();
            }
            // Read before the watermark: what was durable when the writer ended is then seen as durable.
            let may_end = self.shared.sealer_may_end.load(Ordering::Acquire);
            match self.round(may_end) {
                Ok(true) => backoff = POLL_BUSY,
                Ok(false) if may_end => break,
                Ok(false) => {
                    std::thread::park_timeout(backoff);
                    backoff = (backoff * 2).min(POLL_IDLE);
                }
                Err(error) => {
                    self.shared.counters.seal_failures.add(1);
                    self.shared.notice(&Notice::SealFailed { reason: error.to_string() });
                    if may_end {
                        break;
                    }
                    std::thread::park_timeout(Duration::from_millis(500));
                }
            }
        }
        self.anchors
    }

    /// Hashes what has become durable and publishes when it is time. Returns whether there was work.
    fn round(&mut self, at_end: bool) -> io::Result<bool> {
        let durable = self.shared.progress.durable();
        let had_work = self.edge.size() < durable;
        while self.edge.size() < durable && self.edge.size() - self.published < ROUND_LEAVES_MAX {
            self.hash_lines(durable)?;
        }
        let size = self.edge.size();
        let is_due = size > self.published
            && (at_end
                || self.published_at.elapsed() >= self.shared.options.seal_every
                || size - self.published >= ROUND_LEAVES_MAX
                || self.shared.seal_wanted.load(Ordering::Acquire) > self.published && size == durable);
        if is_due {
            self.publish()?;
        }
        Ok(had_work || is_due)
    }

    fn hash_lines(&mut self, durable: u64) -> io::Result<()> {
        let next = self.source.next();
        // That a segment has ended is known once the next one is there.
        if self.source.begins_segment() && next > 0 {
            self.keep_checkpoint();
        }
        let Sealer { shared, source, edge, tiles, .. } = self;
        // A checkpoint is kept at each multiple of KEPT_EVERY, so a read must stop there.
        let stop = durable.min((next / KEPT_EVERY + 1) * KEPT_EVERY);
        source.read(stop, |line| {
            edge.push(leaf_hash(line), &mut |id, hashes| {
                tiles.push((shared.folder.tile(&id), TileId::encode(hashes)));
            });
        })?;
        if self.edge.size().is_multiple_of(KEPT_EVERY) {
            self.keep_checkpoint();
        }
        Ok(())
    }

    /// Notes a checkpoint of what is hashed so far, to stay in `checkpoints/`.
    fn keep_checkpoint(&mut self) {
        if self.kept.last().is_none_or(|last| last.size != self.edge.size()) {
            self.kept.push(self.checkpoint());
        }
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(self.shared.origin.clone(), self.edge.size(), self.edge.root())
    }

    /// Tiles, then checkpoints. On a failure everything stays pending and is tried again.
    fn publish(&mut self) -> io::Result<()> {
        let files = &*self.shared.options.files;
        let folder = &self.shared.folder;
        let partials: Vec<TileId> = self.edge.partials().map(|(id, _)| id).collect();
        let mut tiles = std::mem::take(&mut self.tiles);
        let full = tiles.len();
        for (id, hashes) in self.edge.partials() {
            tiles.push((folder.tile(&id), TileId::encode(hashes)));
        }
        if cfg!(trailseal_fault = "checkpoint_before_tiles") {
            let note = lock(&self.keys).sign(&self.checkpoint());
            files.replace(&folder.checkpoint(), note.as_bytes(), false)?;
        }
        let done = files.replace_many(&tiles);
        tiles.truncate(full);
        if let Err(error) = done {
            self.tiles = tiles;
            return Err(error);
        }
        let checkpoint = self.checkpoint();
        assert!(checkpoint.size >= self.published, "a signed tree only grows");
        // Held until the watermark is moved: a rotation must see which sizes the old key has signed.
        let keys = lock(&self.keys);
        let mut kept = Vec::with_capacity(self.kept.len());
        for checkpoint in &self.kept {
            let note = if checkpoint.size == self.published {
                // Signed before, perhaps by an earlier key.
                files.read(&folder.checkpoint(), CHECKPOINT_BYTES_MAX)?
            } else {
                keys.sign(checkpoint).into_bytes()
            };
            kept.push((folder.kept_checkpoint(checkpoint.size), note));
        }
        files.replace_many(&kept)?;
        self.kept.clear();
        let note = keys.sign(&checkpoint);
        files.replace(&folder.checkpoint(), note.as_bytes(), false)?;
        self.published = checkpoint.size;
        self.published_at = Instant::now();
        self.shared.counters.checkpoints.add(1);
        self.shared.progress.set_sealed(self.published);
        drop(keys);
        self.anchors.send(note);
        self.remove_outgrown_partials(partials);
        Ok(())
    }

    /// The full tile is synced and a newer checkpoint stands: its partial forerunners may go.
    fn remove_outgrown_partials(&mut self, now: Vec<TileId>) {
        let files = &*self.shared.options.files;
        for old in std::mem::replace(&mut self.partials, now) {
            if self.partials.iter().any(|id| (id.level, id.index) == (old.level, old.index)) {
                continue;
            }
            let path = self.shared.folder.tile(&old);
            let Some(folder) = path.parent() else { continue };
            // What cannot be removed now is only in the way; it says nothing false.
            for name in files.list(folder).unwrap_or_default() {
                let _ = files.remove(&folder.join(name));
            }
            let _ = files.remove_folder(folder);
        }
    }
}

fn lock(keys: &Mutex<SealKeys>) -> MutexGuard<'_, SealKeys> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}
