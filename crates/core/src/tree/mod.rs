//! The Merkle tree on disk: one file per level, 32 bytes per hash.
//!
//! `tree/0` holds the leaf hashes one after the other, `tree/L` the root of every 256 hashes of the level below. A tile
//! of C2SP tlog-tiles (level L, number N, width W) is the bytes `N × 8192 .. N × 8192 + 32 × W` of `tree/L`; a partial
//! one is a shorter slice.
//!
//! - *signed hashes stay*: what a checkpoint covers is never changed. Whatever is beyond it is void: it means nothing,
//!   and is overwritten.
//! - `writer`: appends, and syncs once a round; owned by the sealer.
//! - `edge`: the right edge at an opening, compared with the signed root; a torn last block is repaired from the lines.
//! - `rebuild`: rebuilds the whole tree from the lines.
//! - [`TreeReader`]: slices, for proving and verifying. Read the checkpoint first, and ask for nothing beyond it.

mod edge;
mod leaves;
mod rebuild;
mod writer;

use std::io;

use trailseal_tlog::{HASH_BYTES, TILE_LEVELS, TileId, hashes_in_level};

pub(crate) use edge::{EdgeError, keep_last_leaves, load_edge, root_of};
pub use leaves::SignedLeaves;
pub(crate) use rebuild::rebuild_beside;
pub use rebuild::{RebuildError, Rebuilt, rebuild_tree};
pub(crate) use writer::TreeWriter;

use crate::file::ReadFile;
use crate::folder::Folder;

/// Bytes of a hash, as a file's offsets count.
pub(crate) const HASH_LEN: u64 = HASH_BYTES as u64;
/// The unit in which a disk may tear writes: hashes that share one with void bytes can be lost with them.
const BLOCK_HASHES: u64 = 4_096 / HASH_LEN;

/// Slices of the tree of one size, read from its files.
pub struct TreeReader {
    folder: Folder,
    size: u64,
    open: [Option<Box<dyn ReadFile>>; TILE_LEVELS as usize],
}

impl TreeReader {
    /// Reads the tree of `size` leaves, which a checkpoint must cover.
    pub fn new(folder: &Folder, size: u64) -> Self {
        TreeReader { folder: folder.clone(), size, open: Default::default() }
    }

    /// The bytes of a tile in a tree of this size, or of its beginning; `None` if it has no such tile, or a narrower
    /// one.
    ///
    /// # Errors
    /// When the file cannot be read, or ends before: then the tree is damaged.
    pub fn tile(&mut self, id: &TileId) -> io::Result<Option<Vec<u8>>> {
        let whole = TileId::in_tree(id.level, id.index, self.size);
        if whole.is_none_or(|whole| id.width > whole.width) {
            return Ok(None);
        }
        let bytes = self.hashes(id.level, id.index * 256, id.width.into())?;
        if bytes.len() < id.len_bytes() {
            let what = format!("tree/{} ends before hash {}", id.level, id.index * 256 + u64::from(id.width));
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        Ok(Some(bytes))
    }

    /// Up to `count` hashes of a level from hash `from` on: fewer only if the file ends before, or does not exist.
    pub(crate) fn hashes(&mut self, level: u8, from: u64, count: u64) -> io::Result<Vec<u8>> {
        let known = hashes_in_level(self.size, level);
        let count = count.min(known.saturating_sub(from));
        let mut bytes = vec![0; (count * HASH_LEN) as usize];
        if count == 0 {
            return Ok(bytes);
        }
        let Some(slot) = self.open.get_mut(usize::from(level)) else { return Ok(Vec::new()) };
        let file = match slot {
            Some(file) => file,
            None => match self.folder.files().open_read(&self.folder.tree_level(level)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                opened => slot.insert(opened?),
            },
        };
        let read = file.read_at(from * HASH_LEN, &mut bytes)?;
        bytes.truncate(read - read % HASH_BYTES);
        Ok(bytes)
    }
}
