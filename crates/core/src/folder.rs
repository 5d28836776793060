//! A trail's folder: where everything is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trailseal_event::Index;

use crate::file::Files;
use crate::segment::{Form, SegmentFile, parse_retired_name, parse_segment_name};

/// The folder of one trail, and the file system used for all I/O.
#[derive(Clone)]
pub struct Folder {
    root: PathBuf,
    files: Arc<dyn Files>,
}

impl Folder {
    /// The folder at `root`, which need not exist.
    pub fn new(root: impl Into<PathBuf>, files: Arc<dyn Files>) -> Self {
        Folder { root: root.into(), files }
    }

    /// The file system used for all I/O.
    pub fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The manifest.
    pub fn trail_toml(&self) -> PathBuf {
        self.root.join("trail.toml")
    }

    /// The path of the signing key unless `key_file` says otherwise.
    pub fn keys_folder(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The one writer's lock.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The handoff, unless the settings put it elsewhere.
    pub fn handoff(&self) -> PathBuf {
        self.root.join("handoff")
    }

    /// The folder of the segments.
    pub fn segments_folder(&self) -> PathBuf {
        self.root.join("segments")
    }

    /// The folder of the Merkle tree.
    pub fn tree_folder(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// The hashes of one level of the tree.
    pub fn tree_level(&self, level: u8) -> PathBuf {
        self.tree_folder().join(level.to_string())
    }

    /// The newest checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    /// The folder of earlier checkpoints.
    pub fn kept_checkpoints_folder(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The earlier checkpoint of tree size `size`.
    pub fn kept_checkpoint(&self, size: u64) -> PathBuf {
        self.kept_checkpoints_folder().join(size.to_string())
    }

    /// Tree sizes of the earlier checkpoints, ascending.
    pub fn kept_checkpoints(&self) -> io::Result<Vec<u64>> {
        let names = self.files.list(&self.kept_checkpoints_folder())?;
        let mut sizes: Vec<u64> = names
            .iter()
            .filter_map(|name| name.parse().ok().filter(|size: &u64| size.to_string() == *name))
            .collect();
        sizes.sort_unstable();
        Ok(sizes)
    }

    /// The segments in order of their indexes. If a plain and a compressed file have the same number, the plain one
    /// counts. Those of which nothing is left are not among them.
    pub fn segments(&self) -> io::Result<Vec<SegmentFile>> {
        let mut segments = self.segments_and_gone()?;
        segments.retain(|segment| segment.form != Form::Gone);
        Ok(segments)
    }

    /// The same, with those of which only the list of retired ranges is left.
    pub(crate) fn segments_and_gone(&self) -> io::Result<Vec<SegmentFile>> {
        let folder = self.segments_folder();
        let names = self.files.list(&folder)?;
        let mut found: Vec<(Index, Form, String)> = Vec::new();
        for name in names {
            if let Some((first, form)) = parse_segment_name(&name) {
                found.push((first, form, name));
            } else if let Some(first) = parse_retired_name(&name) {
                found.push((first, Form::Gone, name));
            }
        }
        found.sort_unstable();
        found.dedup_by_key(|(first, _, _)| *first);
        // The event that retired lines lies behind them: a list at the very end is no segment's.
        while found.pop_if(|(_, form, _)| *form == Form::Gone).is_some() {}
        let ends: Vec<Option<Index>> =
            found.iter().skip(1).map(|(first, _, _)| Some(*first)).chain([None]).collect();
        let ends = if cfg!(trailseal_fault = "void_lines_read") { vec![None; found.len()] } else { ends };
        Ok(found
            .into_iter()
            .zip(ends)
            .map(|((first, form, name), end)| SegmentFile { first, end, form, path: folder.join(name) })
            .collect())
    }
}
