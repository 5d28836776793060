//! `trailseal tiles`: writes the tree as files in the layout of C2SP tlog-tiles.
//!
//! Tiles are written before the checkpoint that covers them, so a reader always finds every tile of the current
//! checkpoint. A tile appears under its name only when it is complete, and only if it gives its hash one level up and
//! so, in the end, the signed root. A full tile that exists is therefore done.

use std::path::Path;
use std::sync::Arc;

use trailseal_core::Reader;
use trailseal_core::file::{Files as _, StdFiles};
use trailseal_core::tree::TreeReader;
use trailseal_tlog::{
    Checkpoint, TILE_LEVELS, TileEdge, TileId, hashes_in_level, subtree_root, tiles_for_size,
};

use super::own_files::refuse_own_folder;
use crate::arguments::Tiles;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::progress;
use crate::settings::Settings;

/// No checkpoint is longer.
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;

pub(super) fn run(settings: &Settings, arguments: &Tiles, json: bool) -> Outcome {
    let dir = settings.dir();
    for folder in super::reading::trails_to_read(&dir)? {
        // Each slot is a separate log.
        let to = match folder.strip_prefix(&dir) {
            Ok(slot) => arguments.to.join(slot),
            Err(_) => arguments.to.clone(),
        };
        refuse_own_folder(&dir, &to)?;
        let reader = Reader::open(&folder, Arc::new(StdFiles))?;
        let (size, written) = write(&reader, &to)?;
        let origin = reader.origin();
        if json {
            let answer = serde_json::json!({"origin": origin, "tree_size": size, "tiles_written": written});
            super::text::write_out(None, format!("{answer}\n").as_bytes())?;
        } else {
            let (size, written) = (thousands(size), thousands(written));
            tell(&format!("{origin}: a tree of {size} events, {written} tiles written to {}", to.display()));
        }
    }
    Ok(())
}

/// Returns the size of the tree and the number of new tiles.
fn write(reader: &Reader, to: &Path) -> Outcome<(u64, u64)> {
    let (note, checkpoint) = reader.checkpoint()?;
    refuse_other_log(to, &checkpoint)?;
    let size = checkpoint.size;
    let mut tree = TreeReader::new(reader.folder(), size);
    check_edge(&mut tree, &checkpoint)?;
    let bar =
        progress::events("writing", (0..TILE_LEVELS).map(|level| hashes_in_level(size, level) / 256).sum());
    let mut written = 0;
    for level in 0..TILE_LEVELS {
        for index in 0..hashes_in_level(size, level) / 256 {
            bar.inc(1);
            written += u64::from(write_tile(&mut tree, &TileId::full(level, index), to)?);
        }
    }
    for tile in tiles_for_size(size) {
        written += u64::from(write_tile(&mut tree, &tile, to)?);
    }
    bar.finish_and_clear();
    put(&to.join("checkpoint"), note.as_bytes())?;
    Ok((size, written))
}

/// A folder of tiles may be continued only by the same log.
fn refuse_other_log(to: &Path, checkpoint: &Checkpoint) -> Outcome {
    let there = StdFiles.read(&to.join("checkpoint"), CHECKPOINT_BYTES_MAX).unwrap_or_default();
    let there = String::from_utf8_lossy(&there);
    match there.lines().next() {
        Some(origin) if origin != checkpoint.origin.as_str() => Err(Failure::could_not(format!(
            "{} holds the tiles of {origin}: give another folder",
            to.display()
        ))),
        _ => Ok(()),
    }
}

fn damaged() -> Failure {
    Failure::could_not(
        "the tree on disk does not give the signed root: run `trailseal verify`, then `trailseal reindex --tree`",
    )
}

fn tile(tree: &mut TreeReader, id: &TileId) -> Outcome<Vec<u8>> {
    let bytes =
        tree.tile(id).map_err(|error| Failure::could_not(format!("could not read the tree: {error}")))?;
    bytes.ok_or_else(damaged)
}

/// The partial tiles must give the signed root.
fn check_edge(tree: &mut TreeReader, checkpoint: &Checkpoint) -> Outcome {
    let mut partials = vec![Vec::new(); usize::from(TILE_LEVELS)];
    for id in tiles_for_size(checkpoint.size) {
        partials[usize::from(id.level)] = id.decode(&tile(tree, &id)?).map_err(|_| damaged())?;
    }
    let edge = TileEdge::from_partials(checkpoint.size, partials).map_err(|_| damaged())?;
    if edge.root() == checkpoint.root { Ok(()) } else { Err(damaged()) }
}

/// A full tile must give its hash one level up; that hash's tile is checked in turn.
fn check_full(tree: &mut TreeReader, id: &TileId, bytes: &[u8]) -> Outcome {
    let root = subtree_root(&id.decode(bytes).map_err(|_| damaged())?);
    let above = TileId { level: id.level + 1, index: id.index / 256, width: (id.index % 256 + 1) as u16 };
    let above = tile(tree, &above)?;
    if above.ends_with(root.as_bytes()) { Ok(()) } else { Err(damaged()) }
}

fn write_tile(tree: &mut TreeReader, id: &TileId, to: &Path) -> Outcome<bool> {
    let path = to.join(id.path());
    let is_full = id.width == 256;
    let is_there = path.metadata().is_ok_and(|data| data.len() == id.len_bytes() as u64);
    if !is_there {
        let bytes = tile(tree, id)?;
        if is_full {
            check_full(tree, id, &bytes)?;
        }
        put(&path, &bytes)?;
    }
    if is_full {
        remove_partial(&path)?;
    }
    Ok(!is_there)
}

fn put(path: &Path, bytes: &[u8]) -> Outcome {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Failure::io("make", parent))?;
    StdFiles.replace(path, bytes, false).map_err(Failure::io("write", path))
}

/// Partial tiles from an earlier run that a full one now replaces.
fn remove_partial(full: &Path) -> Outcome {
    let mut name = full.as_os_str().to_owned();
    name.push(".p");
    match std::fs::remove_dir_all(&name) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", Path::new(&name))(error))
        }
        _ => Ok(()),
    }
}
