//! Rebuilds the whole tree from the lines, and writes it only if they give the signed root.

use std::io;
use std::path::PathBuf;

use trailseal_tlog::{CheckpointError, Hash, TileEdge, leaf_hash};

use super::{SignedLeaves, TreeWriter};
use crate::folder::Folder;
use crate::lock::{self, Attempt, Holder};
use crate::manifest::{Manifest, ManifestError};
use crate::segment::{Form, LineReader, Numbering};

const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;
/// How many leaves are written at once.
const ROUND_LEAVES: u64 = 1 << 18;

/// A rebuilt tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// How many leaves it has: the size of the newest checkpoint.
    pub tree_size: u64,
}

/// Why the tree was left unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// A process writes to the trail.
    #[error("the trail is in use by {}: stop it first", .0.pid.map_or("another process".into(), |pid| format!("process {pid}")))]
    Locked(Holder),
    /// The manifest cannot be read.
    #[error("trail.toml: {0}")]
    Manifest(String),
    /// The newest checkpoint is not trustworthy.
    #[error("checkpoint: {0}; leave the folder unchanged and run `trailseal verify`")]
    Checkpoint(#[from] CheckpointError),
    /// The lines are not those that were signed.
    #[error(
        "the lines, and for retired ones the hashes that are left in tree/0, do not give the signed root hash: leave \
         the folder unchanged and run `trailseal verify`"
    )]
    Differs,
    /// A file operation failed.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// Rebuilds `tree/` from the lines, for a trail that nobody writes to.
///
/// # Errors
/// When somebody writes to it, or the lines do not give the root of the newest checkpoint: then nothing is written.
pub fn rebuild_tree(folder: &Folder) -> Result<Rebuilt, RebuildError> {
    let failed = |action, path: PathBuf| move |source| RebuildError::Io { action, path, source };
    let manifest = match Manifest::read(folder) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return Err(RebuildError::Manifest("it is not there".into())),
        Err(ManifestError::Io(error)) => return Err(failed("read", folder.trail_toml())(error)),
        Err(error) => return Err(RebuildError::Manifest(error.to_string())),
    };
    let lock = match lock::take(folder).map_err(failed("lock", folder.lock()))? {
        Attempt::Taken(lock) => lock,
        Attempt::HeldBy(holder) => return Err(RebuildError::Locked(holder)),
    };
    let path = folder.checkpoint();
    let note = folder.files().read(&path, CHECKPOINT_BYTES_MAX).map_err(failed("read", path))?;
    let note = String::from_utf8_lossy(&note);
    let (checkpoint, _) = manifest.key_ring().0.open(&note)?;
    if !lines_give(folder, checkpoint.size, &checkpoint.root)
        .map_err(failed("read", folder.segments_folder()))?
    {
        return Err(RebuildError::Differs);
    }
    write(folder, checkpoint.size).map_err(failed("write", folder.tree_folder()))?;
    drop(lock);
    Ok(Rebuilt { tree_size: checkpoint.size })
}

/// The same for the trail's own sealer, if its files were removed: the tree of `size` leaves, whose root it knows.
pub(crate) fn rebuild_beside(folder: &Folder, size: u64, root: &Hash) -> io::Result<()> {
    if !lines_give(folder, size, root)? {
        return Err(io::Error::other("the lines do not give its root any more"));
    }
    write(folder, size)
}

fn lines_give(folder: &Folder, size: u64, root: &Hash) -> io::Result<bool> {
    let mut edge = TileEdge::new();
    each_leaf(folder, size, |leaf| {
        edge.push(leaf, &mut |_, _| {});
        Ok(())
    })?;
    Ok(edge.size() == size && edge.root() == *root)
}

/// Written in place, since other processes may hold the files open; if interrupted, it starts again.
fn write(folder: &Folder, size: u64) -> io::Result<()> {
    folder.files().create_folder(&folder.tree_folder())?;
    let mut writer = TreeWriter::new(folder, 0, true);
    writer.make_first_level()?;
    let mut edge = TileEdge::new();
    each_leaf(folder, size, |leaf| {
        edge.push(leaf, &mut |level, hash| writer.push(level, hash));
        if edge.size().is_multiple_of(ROUND_LEAVES) { writer.sync(true) } else { Ok(()) }
    })?;
    writer.sync(true)?;
    writer.finish()
}

/// The leaf hashes of the first `size` lines, as far as they are there. Those of retired lines are only in the tree.
fn each_leaf(folder: &Folder, size: u64, mut each: impl FnMut(Hash) -> io::Result<()>) -> io::Result<()> {
    let mut next = 0;
    let mut signed = SignedLeaves::new(folder, size);
    let mut fill = |next: &mut u64, to: u64, each: &mut dyn FnMut(Hash) -> io::Result<()>| {
        while *next < to {
            let Some(leaf) = signed.get(*next)? else { return Ok(false) };
            each(leaf)?;
            *next += 1;
        }
        io::Result::Ok(true)
    };
    for segment in folder.segments_and_gone()? {
        if segment.first.get() != next {
            return Ok(());
        }
        let end = segment.end.map_or(size, |end| end.get().min(size));
        let mut numbering = Numbering::new(folder.files(), &segment, next);
        if segment.form != Form::Gone {
            let mut lines = LineReader::open(folder.files(), &segment, 0)?;
            while next < end
                && let Some(line) = lines.next_line()?
            {
                let index = numbering.number(line)?;
                if index >= end || !fill(&mut next, index, &mut each)? {
                    break;
                }
                each(leaf_hash(line))?;
                next += 1;
            }
        }
        let mut rest = Numbering::new(folder.files(), &segment, next);
        if !rest.ends_at(end)? || !fill(&mut next, end, &mut each)? {
            return Ok(());
        }
    }
    Ok(())
}
