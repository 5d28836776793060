//! The tiles on disk, as a verifier reads them: nothing in them is trusted.

use std::io;

use trailseal_tlog::{Hash, TileEdge, TileId};

use super::VerifyError;
use crate::trail::Folder;

/// A full tile has 256 hashes of 32 bytes; whatever is longer is no tile.
const TILE_BYTES_MAX: u64 = 256 * 32;
const TILE_WIDTH: u64 = 256;
const HASH_BYTES: usize = 32;

/// Where a tile on disk is not what the lines give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TileDiff {
    /// Index of the first leaf below the first hash that differs.
    pub(super) first: u64,
    pub(super) path: String,
    /// Whether there is no such tile at all.
    pub(super) is_missing: bool,
}

/// The bytes of a tile's file; `None` if there is none. A file too long for a tile is cut to one hash
/// more than a tile has, so that it differs from every tile.
fn read(folder: &Folder, id: &TileId) -> Result<Option<Vec<u8>>, VerifyError> {
    let path = folder.tile(id);
    match folder.files().read(&path, TILE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(Vec::new())),
        Err(source) => Err(VerifyError::Io { path, source }),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The partial tiles on disk of the place in the tree that `id` has, in the order of their widths.
fn partials_on_disk(folder: &Folder, id: &TileId) -> Result<Vec<TileId>, VerifyError> {
    let any = folder.tile(&TileId { width: 1, ..*id });
    let Some(parent) = any.parent() else { return Ok(Vec::new()) };
    let names = match folder.files().list(parent) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        other => other.map_err(|source| VerifyError::Io { path: parent.to_owned(), source })?,
    };
    let mut widths: Vec<u16> = names
        .iter()
        .filter_map(|name| name.parse().ok().filter(|width: &u16| width.to_string() == *name))
        .filter(|width| (1..TILE_WIDTH as u16).contains(width))
        .collect();
    widths.sort_unstable();
    Ok(widths.into_iter().map(|width| TileId { width, ..*id }).collect())
}

/// The hashes that a tile file of at least `id.width` hashes holds at its beginning: the file itself, a
/// wider partial one, or the full one.
pub(super) fn hashes(folder: &Folder, id: &TileId) -> Result<Option<Vec<Hash>>, VerifyError> {
    let full = TileId { width: TILE_WIDTH as u16, ..*id };
    let mut candidates = vec![*id];
    if *id != full {
        let wider = partials_on_disk(folder, id)?.into_iter().filter(|wider| wider.width > id.width);
        candidates.extend(wider.chain([full]));
    }
    for candidate in candidates {
        if let Some(bytes) = read(folder, &candidate)?
            && bytes.len() == usize::from(candidate.width) * HASH_BYTES
        {
            let hashes = bytes.as_chunks::<HASH_BYTES>().0.iter().copied().map(Hash);
            return Ok(Some(hashes.take(id.width.into()).collect()));
        }
    }
    Ok(None)
}

/// Compares the tile that the lines give with every file that stands for it or for its beginning.
pub(super) fn compare(
    folder: &Folder,
    id: &TileId,
    expected: &[Hash],
) -> Result<Option<TileDiff>, VerifyError> {
    let span = TILE_WIDTH.pow(id.level.into());
    let begin = id.index * TILE_WIDTH * span;
    let diff = |id: &TileId, position: usize, is_missing| {
        Some(TileDiff { first: begin + position as u64 * span, path: id.path(), is_missing })
    };
    let is_full = u64::from(id.width) == TILE_WIDTH;
    let mut has_own = false;
    if is_full && let Some(bytes) = read(folder, id)? {
        has_own = true;
        if let Some(position) = first_difference(&bytes, expected) {
            return Ok(diff(id, position, false));
        }
    }
    for partial in partials_on_disk(folder, id)? {
        let Some(bytes) = read(folder, &partial)? else { continue };
        has_own |= !is_full && partial.width >= id.width;
        let width = usize::from(partial.width).min(expected.len());
        // Of a wider one (a newer checkpoint's) only the beginning is known yet.
        let known = if partial.width > id.width { bytes.get(..width * HASH_BYTES) } else { Some(&*bytes) };
        match known.and_then(|bytes| first_difference(bytes, &expected[..width])) {
            None if known.is_some() => {}
            position => return Ok(diff(&partial, position.unwrap_or(0), false)),
        }
    }
    if !has_own && !is_full {
        let full = TileId { width: TILE_WIDTH as u16, ..*id };
        if let Some(bytes) = read(folder, &full)? {
            has_own = true;
            let known = bytes.get(..expected.len() * HASH_BYTES);
            let position = known.map_or(Some(0), |bytes| first_difference(bytes, expected));
            if let Some(position) = position {
                return Ok(diff(&full, position, false));
            }
        }
    }
    Ok(if has_own { None } else { diff(id, 0, true) })
}

fn first_difference(bytes: &[u8], expected: &[Hash]) -> Option<usize> {
    let (found, rest) = bytes.as_chunks::<HASH_BYTES>();
    let same = found.iter().zip(expected).take_while(|(found, expected)| **found == expected.0).count();
    (same < expected.len() || found.len() != expected.len() || !rest.is_empty()).then_some(same)
}

/// The signed leaf hashes, read from the level-0 tiles of a tree of `size` leaves.
pub(super) struct Leaves<'a> {
    folder: &'a Folder,
    size: u64,
    held: Option<(u64, Option<Vec<Hash>>)>,
}

impl<'a> Leaves<'a> {
    pub(super) fn new(folder: &'a Folder, size: u64) -> Self {
        Leaves { folder, size, held: None }
    }

    /// The leaf hash of `index`; `None` if its tile is not there, or the tree ends before.
    pub(super) fn get(&mut self, index: u64) -> Result<Option<Hash>, VerifyError> {
        if index >= self.size {
            return Ok(None);
        }
        let number = index / TILE_WIDTH;
        if self.held.as_ref().is_none_or(|(held, _)| *held != number) {
            let width = (self.size - number * TILE_WIDTH).min(TILE_WIDTH) as u16;
            self.held = Some((number, hashes(self.folder, &TileId { level: 0, index: number, width })?));
        }
        let tile = self.held.as_ref().and_then(|(_, hashes)| hashes.as_ref());
        Ok(tile.and_then(|hashes| hashes.get((index % TILE_WIDTH) as usize)).copied())
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
        let expected = [Hash([1; 32]), Hash([2; 32])];
        let bytes = [[1; 32], [2; 32]].concat();
        assert_eq!(first_difference(&bytes, &expected), None);
        assert_eq!(first_difference(&bytes[..63], &expected), Some(1));
        assert_eq!(first_difference(&bytes[..32], &expected), Some(1));
        assert_eq!(first_difference(&[&*bytes, &[0]].concat(), &expected), Some(2));
        assert_eq!(first_difference(&[], &expected), Some(0));
    }
}
