//! What a view of a trail can prove: its newest checkpoint, that a line is under it, that an older one is its
//! beginning.

use std::path::PathBuf;

use trailseal_event::Index;
use trailseal_tlog::{
    Checkpoint, ConsistencyProof, KeyRing, SignedNote, TileError, TileId, TileSource, TlogProof,
    consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion,
};

use super::{ReadError, Reader, io_at};
use crate::tree::TreeReader;

const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;

impl Reader {
    /// The newest signed checkpoint, its text first.
    ///
    /// # Errors
    /// When it is missing, or not trustworthy by the keys of `trail.toml`.
    pub fn checkpoint(&self) -> Result<(String, Checkpoint), ReadError> {
        let path = self.folder.checkpoint();
        let bytes = self.folder.files().read(&path, CHECKPOINT_BYTES_MAX).map_err(io_at(&path))?;
        let note = String::from_utf8_lossy(&bytes).into_owned();
        let damaged = |what: String| ReadError::Damaged { path: path.clone(), what };
        let (checkpoint, _) = self.key_ring()?.open(&note).map_err(|error| damaged(error.to_string()))?;
        Ok((note, checkpoint))
    }

    /// The keys that `trail.toml` names, each with its sizes.
    fn key_ring(&self) -> Result<KeyRing, ReadError> {
        match self.manifest.key_ring() {
            (ring, None) => Ok(ring),
            (_, Some(what)) => Err(ReadError::Damaged { path: self.folder.trail_toml(), what }),
        }
    }

    /// The proof that line `index` is in the tree of the newest checkpoint, with the line.
    ///
    /// # Errors
    /// [`ReadError::NotSealed`] when no checkpoint covers it yet, [`ReadError::Retired`] when it is gone,
    /// [`ReadError::NotSigned`] when it was changed; others when the folder cannot be read.
    pub fn prove(&mut self, index: Index) -> Result<TlogProof, ReadError> {
        let (note, checkpoint) = self.checkpoint()?;
        let hashes = self.inclusion(index, &checkpoint)?;
        let Some(line) = self.line(index)? else {
            return Err(ReadError::NotSealed { index, tree_size: checkpoint.size });
        };
        // An invalid proof is never returned.
        verify_inclusion(&leaf_hash(&line), index.get(), checkpoint.size, &hashes, &checkpoint.root)
            .map_err(|_| ReadError::NotSigned { index })?;
        Ok(TlogProof { extra: Some(line), index: index.get(), hashes, checkpoint: note })
    }

    /// The hashes that prove line `index` under `checkpoint`.
    ///
    /// # Errors
    /// As [`prove`](Reader::prove).
    pub fn inclusion(
        &self,
        index: Index,
        checkpoint: &Checkpoint,
    ) -> Result<Vec<trailseal_tlog::Hash>, ReadError> {
        if index.get() >= checkpoint.size {
            return Err(ReadError::NotSealed { index, tree_size: checkpoint.size });
        }
        inclusion_proof(&mut self.tiles(checkpoint.size), index.get(), checkpoint.size).map_err(Into::into)
    }

    /// The proof that the trail of the newest checkpoint begins with that of an older one, given as its signed text.
    ///
    /// # Errors
    /// [`ReadError::NotContained`] when the older one does not belong to this trail, is newer, or belongs to another
    /// history; others when the folder cannot be read.
    pub fn consistency(&self, older: &str) -> Result<ConsistencyProof, ReadError> {
        let (new, checkpoint) = self.checkpoint()?;
        let not_contained = |what: String| ReadError::NotContained { what };
        let mut ring = self.key_ring()?;
        if let Ok(note) = SignedNote::parse(&new) {
            ring.learn(&note).map_err(|conflict| not_contained(conflict.to_string()))?;
        }
        let (old, _) = ring.open(older).map_err(|error| not_contained(error.to_string()))?;
        if old.size > checkpoint.size {
            return Err(not_contained(format!(
                "it covers {} events, but the trail has {} sealed ones",
                old.size, checkpoint.size
            )));
        }
        let hashes = consistency_proof(&mut self.tiles(checkpoint.size), old.size, checkpoint.size)?;
        verify_consistency(old.size, &old.root, checkpoint.size, &checkpoint.root, &hashes)
            .map_err(|_| not_contained(format!("its {} events are not the first of the trail", old.size)))?;
        Ok(ConsistencyProof { hashes, old: older.to_owned(), new })
    }

    fn tiles(&self, size: u64) -> TileSource<impl FnMut(TileId) -> Result<Vec<u8>, TreeReadError>> {
        let folder = self.folder.tree_folder();
        let mut tree = TreeReader::new(&self.folder, size);
        TileSource::new(size, move |id: TileId| match tree.tile(&id) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(TileError::Path.into()),
            Err(error) => Err(TreeReadError(folder.clone(), error.to_string())),
        })
    }
}

/// A part of the tree that could not be read.
struct TreeReadError(PathBuf, String);

impl From<TileError> for TreeReadError {
    fn from(error: TileError) -> Self {
        TreeReadError(PathBuf::from("tree"), error.to_string())
    }
}

impl From<TreeReadError> for ReadError {
    fn from(error: TreeReadError) -> Self {
        ReadError::Damaged { path: error.0, what: error.1 }
    }
}
