//! The leaf hashes of a signed tree, read as they are needed.

use std::io;

use trailseal_tlog::Hash;

use super::TreeReader;
use crate::folder::Folder;

/// Signed leaf hashes, some at a time.
pub struct SignedLeaves {
    reader: TreeReader,
    held: Option<(u64, Vec<u8>)>,
}

impl SignedLeaves {
    /// Of the tree of `sealed` leaves, which a checkpoint must cover.
    pub fn new(folder: &Folder, sealed: u64) -> Self {
        SignedLeaves { reader: TreeReader::new(folder, sealed), held: None }
    }

    /// The leaf hash of `index`; `None` if the file ends before.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&mut self, index: u64) -> io::Result<Option<Hash>> {
        const BLOCK: u64 = 2_048;
        let from = index - index % BLOCK;
        if self.held.as_ref().is_none_or(|(held, _)| *held != from) {
            self.held = Some((from, self.reader.hashes(0, from, BLOCK)?));
        }
        let block = self.held.as_ref().map_or(&[][..], |(_, block)| block.as_chunks::<32>().0);
        Ok(block.get((index - from) as usize).copied().map(Hash))
    }
}
