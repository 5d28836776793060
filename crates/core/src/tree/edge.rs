//! The right edge of the tree at an opening, and the repair of a torn one.
//!
//! The last block of a level holds both signed and void hashes, so a power loss while void ones were written may take
//! signed ones with it. Those are then recomputed: leaf hashes from the lines, the others from the level below. Nothing
//! is written unless that gives the signed root.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use trailseal_tlog::{Checkpoint, Hash, TILE_LEVELS, TileEdge, hashes_in_level, leaf_hash, subtree_root};

use super::{BLOCK_HASHES, HASH_LEN, TreeReader};
use crate::folder::Folder;
use crate::segment::{NumberedLines, SegmentFile};

const KEPT_BYTES_MAX: u64 = 1 << 16;

/// Why there is no edge to continue from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EdgeError {
    #[error("tree/0 is not there: `trailseal reindex --tree` rebuilds the tree from the lines")]
    Missing,
    #[error(
        "the tree does not give the signed root hash: `trailseal reindex --tree` rebuilds it, if the lines do"
    )]
    Differs,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The right edge of the tree that `checkpoint` signs.
pub(crate) fn load_edge(
    folder: &Folder,
    checkpoint: &Checkpoint,
    segments: &[SegmentFile],
) -> Result<TileEdge, EdgeError> {
    let mut reader = TreeReader::new(folder, checkpoint.size);
    if !is_there(folder)? {
        return Err(EdgeError::Missing);
    }
    let mut partials = Vec::new();
    for level in 0..TILE_LEVELS {
        partials.push(partial(&mut reader, level, checkpoint.size)?);
    }
    if let Some(edge) = signed_edge(checkpoint, partials.clone()) {
        return Ok(edge);
    }
    let mended = mend(folder, &mut reader, checkpoint.size, segments, partials)?;
    let edge = signed_edge(checkpoint, mended.clone()).ok_or(EdgeError::Differs)?;
    for (level, hashes) in (0..).zip(mended) {
        write_last_block(folder, level, checkpoint.size, &hashes)?;
    }
    Ok(edge)
}

/// The root that the files give for the first `size` leaves; `None` if they do not reach that far.
pub(crate) fn root_of(folder: &Folder, size: u64) -> io::Result<Option<Hash>> {
    let mut reader = TreeReader::new(folder, size);
    let partials = (0..TILE_LEVELS).map(|level| partial(&mut reader, level, size));
    let edge = TileEdge::from_partials(size, partials.collect::<io::Result<_>>()?);
    Ok(edge.ok().map(|edge| edge.root()))
}

fn is_there(folder: &Folder) -> io::Result<bool> {
    match folder.files().open_read(&folder.tree_level(0)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        opened => opened.map(|_| true),
    }
}

/// The hashes of a level's partial tile, as far as the file has them.
fn partial(reader: &mut TreeReader, level: u8, size: u64) -> io::Result<Vec<Hash>> {
    let count = hashes_in_level(size, level);
    Ok(decode(&reader.hashes(level, count - count % 256, count % 256)?))
}

fn decode(bytes: &[u8]) -> Vec<Hash> {
    bytes.as_chunks().0.iter().copied().map(Hash).collect()
}

fn signed_edge(checkpoint: &Checkpoint, partials: Vec<Vec<Hash>>) -> Option<TileEdge> {
    let edge = TileEdge::from_partials(checkpoint.size, partials).ok()?;
    (edge.root() == checkpoint.root || cfg!(trailseal_fault = "root_not_compared")).then_some(edge)
}

/// The first hash of a level that shares its block with void bytes.
fn torn_from(count: u64) -> u64 {
    count - count % BLOCK_HASHES
}

/// The partial tiles with their last blocks recomputed.
fn mend(
    folder: &Folder,
    reader: &mut TreeReader,
    size: u64,
    segments: &[SegmentFile],
    mut partials: Vec<Vec<Hash>>,
) -> Result<Vec<Vec<Hash>>, EdgeError> {
    for (level, hashes) in (0..).zip(&mut partials) {
        let count = hashes_in_level(size, level);
        let from = torn_from(count);
        // Before the last block nothing was written since it was signed.
        hashes.truncate((from - (count - count % 256)) as usize);
        if level == 0 {
            hashes.extend(leaves(folder, segments, from, count)?);
        } else {
            for index in from..count {
                hashes.push(subtree_root(&decode(&reader.hashes(level - 1, index * 256, 256)?)));
            }
        }
    }
    Ok(partials)
}

/// The leaf hashes of the lines `from..to`, as far as they are there.
fn leaves(folder: &Folder, segments: &[SegmentFile], from: u64, to: u64) -> io::Result<Vec<Hash>> {
    let kept = kept_leaves(folder)?;
    let mut leaves = Vec::new();
    for segment in segments.iter().filter(|segment| segment.end.is_none_or(|end| end.get() > from)) {
        let mut lines = NumberedLines::open(folder.files(), segment)?;
        let end = segment.end.map_or(to, |end| end.get().min(to));
        while lines.index() < end {
            let Some((index, line)) = lines.next()?.filter(|(index, _)| *index < end) else { break };
            if index >= from {
                add_kept(&kept, from + leaves.len() as u64..index, &mut leaves);
                leaves.push(leaf_hash(line));
            }
        }
    }
    add_kept(&kept, from + leaves.len() as u64..to, &mut leaves);
    Ok(leaves)
}

/// Adds hashes of retired lines, as far as they were kept.
fn add_kept(kept: &[(u64, Hash)], missing: Range<u64>, leaves: &mut Vec<Hash>) {
    for index in missing {
        let Ok(at) = kept.binary_search_by_key(&index, |(index, _)| *index) else { return };
        leaves.push(kept[at].1);
    }
}

/// The leaf hashes that a retirement has kept apart, by index. Not trusted: they must give the signed root.
fn kept_leaves(folder: &Folder) -> io::Result<Vec<(u64, Hash)>> {
    let bytes = match folder.files().read(&kept_file(folder), KEPT_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes?,
    };
    let Some((first, hashes)) = bytes.split_first_chunk() else { return Ok(Vec::new()) };
    Ok((u64::from_be_bytes(*first)..).zip(decode(hashes)).collect())
}

/// Before lines go: keeps the leaf hashes of the last block of the tree of `size` leaves, which the hashes of later
/// lines will share. A power loss while those are written may tear it, and retired lines cannot be hashed again.
pub(crate) fn keep_last_leaves(folder: &Folder, size: u64) -> io::Result<()> {
    let from = torn_from(size);
    if from == size || cfg!(trailseal_fault = "last_leaves_not_kept") {
        return Ok(());
    }
    let mut bytes = from.to_be_bytes().to_vec();
    bytes.extend(TreeReader::new(folder, size).hashes(0, from, size - from)?);
    folder.files().replace(&kept_file(folder), &bytes, false)
}

fn kept_file(folder: &Folder) -> PathBuf {
    folder.tree_folder().join("last-leaves")
}

fn write_last_block(folder: &Folder, level: u8, size: u64, partial: &[Hash]) -> io::Result<()> {
    let count = hashes_in_level(size, level);
    let from = torn_from(count);
    let torn = &partial[partial.len().min((from % 256) as usize)..];
    if torn.is_empty() {
        return Ok(());
    }
    let bytes: Vec<u8> = torn.iter().flat_map(|hash| hash.0).collect();
    let mut file = folder.files().open_append(&folder.tree_level(level), from * HASH_LEN)?;
    file.append(&bytes)?;
    file.sync_data()
}
