//! `trailseal tiles`: the tree as files in the layout of C2SP tlog-tiles.
//!
//! Tiles first, then the checkpoint that covers them, so that whoever reads the folder meanwhile finds every tile of the
//! checkpoint that is there. A tile appears under its name only whole, so a full one that is there is done.

use std::path::Path;
use std::sync::Arc;

use trailseal_core::file::{Files as _, StdFiles};
use trailseal_core::tree::TreeReader;
use trailseal_core::{Reader, trails_in};
use trailseal_tlog::{TILE_LEVELS, TileId, hashes_in_level, tiles_for_size};

use crate::arguments::Tiles;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, arguments: &Tiles, json: bool) -> Outcome {
    let dir = settings.dir();
    let folders = trails_in(&dir, &StdFiles).map_err(Failure::io("look into", &dir))?;
    if folders.is_empty() {
        return Err(trailseal_core::ReadError::NoTrail { path: dir }.into());
    }
    for folder in folders {
        // Each slot is a log of its own.
        let to = match folder.strip_prefix(&dir) {
            Ok(slot) => arguments.to.join(slot),
            Err(_) => arguments.to.clone(),
        };
        let reader = Reader::open(&folder, Arc::new(StdFiles))?;
        let (size, written) = write(&reader, &to)?;
        let origin = reader.origin();
        if json {
            let answer = serde_json::json!({"origin": origin, "tree_size": size, "tiles_written": written});
            super::write_out(None, format!("{answer}\n").as_bytes())?;
        } else {
            let (size, written) = (thousands(size), thousands(written));
            tell(&format!(
                "{origin}: the tree of {size} events, {written} tiles written to {}",
                to.display()
            ));
        }
    }
    Ok(())
}

/// Returns the size of the tree, and how many tiles were not there yet.
fn write(reader: &Reader, to: &Path) -> Outcome<(u64, u64)> {
    let (note, checkpoint) = reader.checkpoint()?;
    let size = checkpoint.size;
    let mut tree = TreeReader::new(reader.folder(), size);
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

fn write_tile(tree: &mut TreeReader, id: &TileId, to: &Path) -> Outcome<bool> {
    let path = to.join(id.path());
    if path.metadata().is_ok_and(|data| data.len() == id.len_bytes() as u64) {
        return Ok(false);
    }
    let bytes =
        tree.tile(id).map_err(|error| Failure::could_not(format!("could not read the tree: {error}")))?;
    // A level and index below the size always has its tile.
    put(&path, &bytes.unwrap_or_default())?;
    if id.width == 256 {
        remove_partial(&path)?;
    }
    Ok(true)
}

fn put(path: &Path, bytes: &[u8]) -> Outcome {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Failure::io("make", parent))?;
    StdFiles.replace(path, bytes, false).map_err(Failure::io("write", path))
}

/// The partial tiles that an earlier run wrote in the place of what is a full one now.
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
