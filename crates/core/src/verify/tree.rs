//! The tree on disk, as a verifier reads it: nothing in it is trusted.

use std::io;

use trailseal_tlog::{HASH_BYTES, Hash, TILE_LEVELS, TileEdge, hashes_in_level};

use super::VerifyError;
use crate::folder::Folder;
use crate::tree::TreeReader;

/// How many hashes are compared, or read ahead, at once.
const BLOCK_HASHES: u64 = 2_048;

/// Where the tree on disk differs from what the lines give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeDiff {
    /// Index of the first leaf below the first hash that differs.
    pub(super) first: u64,
    pub(super) level: u8,
    /// Which hash of the level differs.
    pub(super) hash: u64,
    /// Whether the file ends before that hash, or is missing.
    pub(super) is_missing: bool,
}

fn io_error(folder: &Folder, level: u8) -> impl FnOnce(std::io::Error) -> VerifyError {
    let path = folder.tree_level(level);
    move |source| VerifyError::Io { path, source }
}

/// Compares the hashes that the lines give with those on disk, block by block.
pub(super) struct Comparing<'a> {
    folder: &'a Folder,
    size: u64,
    reader: TreeReader,
    /// By level: how many hashes were compared, and those that were not yet.
    levels: Vec<(u64, Vec<u8>)>,
    /// The first leaf whose hash differs.
    pub(super) leaf_diff: Option<u64>,
    /// The first difference of any level.
    pub(super) diff: Option<TreeDiff>,
    failed: Option<VerifyError>,
}

impl<'a> Comparing<'a> {
    /// Compares with the tree of `size` leaves; what is beyond is void.
    pub(super) fn new(folder: &'a Folder, size: u64) -> Self {
        Comparing {
            folder,
            size,
            reader: TreeReader::new(folder, size),
            levels: vec![(0, Vec::new()); usize::from(TILE_LEVELS)],
            leaf_diff: None,
            diff: None,
            failed: None,
        }
    }

    /// Takes the next hash of a level.
    pub(super) fn push(&mut self, level: u8, hash: &Hash) {
        let Some((done, block)) = self.levels.get_mut(usize::from(level)) else { return };
        let taken = *done + (block.len() / HASH_BYTES) as u64;
        // After the first difference in the leaves everything differs.
        if taken >= hashes_in_level(self.size, level) || self.failed.is_some() || self.leaf_diff.is_some() {
            return;
        }
        block.extend_from_slice(&hash.0);
        if block.len() as u64 >= BLOCK_HASHES * HASH_BYTES as u64 {
            self.compare(level);
        }
    }

    /// Compares what was pushed last.
    ///
    /// # Errors
    /// When a file could not be read.
    pub(super) fn finish(&mut self) -> Result<(), VerifyError> {
        for level in 0..TILE_LEVELS {
            self.compare(level);
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    fn compare(&mut self, level: u8) {
        let Some((done, block)) = self.levels.get_mut(usize::from(level)) else { return };
        let expected = std::mem::take(block);
        let from = *done;
        let count = (expected.len() / HASH_BYTES) as u64;
        *done += count;
        if count == 0 || self.failed.is_some() {
            return;
        }
        let found = match read(&mut self.reader, self.folder, level, from..from + count) {
            Ok(found) => found,
            Err(error) => {
                self.failed = Some(error);
                return;
            }
        };
        let Some(position) = first_difference(&found, &expected) else { return };
        let hash = from + position;
        // The lines reach this hash, so its first leaf is below 2^64.
        let first = hash << (8 * u32::from(level));
        let is_missing = position as usize * HASH_BYTES >= found.len();
        if self.diff.as_ref().is_none_or(|diff| first < diff.first) {
            self.diff = Some(TreeDiff { first, level, hash, is_missing });
        }
        if level == 0 {
            self.leaf_diff.get_or_insert(hash);
        }
    }
}

/// The hashes of a level that exist. Anything but a regular file holds none.
fn read(
    reader: &mut TreeReader,
    folder: &Folder,
    level: u8,
    hashes: std::ops::Range<u64>,
) -> Result<Vec<u8>, VerifyError> {
    match reader.hashes(level, hashes.start, hashes.end - hashes.start) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        other => other.map_err(io_error(folder, level)),
    }
}

/// The first hash of `expected` that differs or is missing in `found`.
fn first_difference(found: &[u8], expected: &[u8]) -> Option<u64> {
    if found == expected {
        return None;
    }
    let (found, expected) = (found.as_chunks::<HASH_BYTES>().0, expected.as_chunks::<HASH_BYTES>().0);
    let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    Some(same as u64)
}

/// The signed leaf hashes, read from the tree of `size` leaves.
pub(super) struct Leaves<'a> {
    folder: &'a Folder,
    reader: TreeReader,
    size: u64,
    /// A block that was read, and the index of its first leaf.
    held: Option<(u64, Vec<u8>)>,
}

impl<'a> Leaves<'a> {
    pub(super) fn new(folder: &'a Folder, size: u64) -> Self {
        Leaves { folder, reader: TreeReader::new(folder, size), size, held: None }
    }

    /// The leaf hash of `index`; `None` if it is not there, or the tree ends before.
    pub(super) fn get(&mut self, index: u64) -> Result<Option<Hash>, VerifyError> {
        if index >= self.size {
            return Ok(None);
        }
        let from = index - index % BLOCK_HASHES;
        if self.held.as_ref().is_none_or(|(held, _)| *held != from) {
            let block = read(&mut self.reader, self.folder, 0, from..from + BLOCK_HASHES)?;
            self.held = Some((from, block));
        }
        let block = self.held.as_ref().map_or(&[][..], |(_, block)| block.as_chunks::<HASH_BYTES>().0);
        Ok(block.get((index - from) as usize).copied().map(Hash))
    }

    /// The largest of the `marks` (size and root, ascending) whose root these leaves give; 0 if none.
    pub(super) fn trusted_to(&mut self, marks: &[(u64, Hash)]) -> Result<u64, VerifyError> {
        let mut edge = TileEdge::new();
        let mut trusted = 0;
        for &(size, root) in marks {
            while edge.size() < size {
                let Some(leaf) = self.get(edge.size())? else { return Ok(trusted) };
                edge.push(leaf, &mut |_, _| {});
            }
            if edge.root() != root {
                return Ok(trusted);
            }
            trusted = size;
        }
        Ok(trusted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hash_that_differs_is_found() {
        let expected = [[1; 32], [2; 32]].concat();
        assert_eq!(first_difference(&expected, &expected), None);
        assert_eq!(first_difference(&expected[..32], &expected), Some(1));
        assert_eq!(first_difference(&[[1; 32], [3; 32]].concat(), &expected), Some(1));
        assert_eq!(first_difference(&[], &expected), Some(0));
    }
}
