//! One pass over all lines: the tree that they give, compared with the tiles on disk and with every root
//! that was signed.

use std::sync::Arc;

use trailseal_tlog::{Hash, TileEdge, TileId};

use super::VerifyError;
use super::feed::Stop;
use super::hashing::{Hashed, Misfit, hash_all};
use super::tiles::{self, TileDiff};
use crate::file::Files;
use crate::trail::{Folder, SegmentFile};

/// What the pass is to compare with.
pub(super) struct Wanted<'a> {
    pub(super) folder: &'a Folder,
    /// The size of the newest checkpoint: tiles are compared up to there.
    pub(super) size: u64,
    /// Signed sizes and roots, ascending.
    pub(super) marks: &'a [(u64, Hash)],
    pub(super) threads: usize,
    pub(super) progress: Option<&'a super::Progress>,
}

/// What the pass found.
#[derive(Debug)]
pub(super) struct Found {
    /// Index after the last line that was read.
    pub(super) end: u64,
    pub(super) stop: Stop,
    /// For each mark the lines reached: whether they give its root.
    pub(super) holds: Vec<bool>,
    /// The first leaf at which lines and level-0 tiles differ, or where there is no tile.
    pub(super) leaf_diff: Option<u64>,
    /// The first tile of any level that differs.
    pub(super) tile_diff: Option<TileDiff>,
    /// The first line that does not fit its place.
    pub(super) misfit: Option<Misfit>,
    /// The first line beyond the signed size that was recorded before the one before it.
    pub(super) went_back: Option<u64>,
    /// Microseconds.
    pub(super) silence: i64,
}

/// Reads all lines of `segments` once.
pub(super) fn run(
    files: &Arc<dyn Files>,
    segments: &[SegmentFile],
    wanted: &Wanted<'_>,
) -> Result<Found, VerifyError> {
    let mut pass = Pass::new(wanted);
    let total = if wanted.progress.is_some() { total_bytes(files, segments) } else { 0 };
    let mut done = 0;
    let (end, stop) = hash_all(files, segments, wanted.threads, |hashed| {
        pass.add(&hashed);
        done += hashed.bytes;
        if let Some(progress) = wanted.progress {
            progress(done.min(total), total);
        }
    });
    if let Stop::Io { path, source } = stop {
        return Err(VerifyError::Io { path, source });
    }
    pass.finish(end, stop)
}

fn total_bytes(files: &Arc<dyn Files>, segments: &[SegmentFile]) -> u64 {
    let len = |segment| crate::segment::source::Source::open(&**files, segment).ok()?.0.len_bytes().ok();
    segments.iter().filter_map(len).sum()
}

struct Pass<'a> {
    wanted: &'a Wanted<'a>,
    edge: TileEdge,
    holds: Vec<bool>,
    leaf_diff: Option<u64>,
    tile_diff: Option<TileDiff>,
    misfit: Option<Misfit>,
    went_back: Option<u64>,
    last_recorded: Option<i64>,
    silence: i64,
    failed: Option<VerifyError>,
}

impl<'a> Pass<'a> {
    fn new(wanted: &'a Wanted<'a>) -> Self {
        let mut pass = Pass {
            wanted,
            edge: TileEdge::new(),
            holds: Vec::new(),
            leaf_diff: None,
            tile_diff: None,
            misfit: None,
            went_back: None,
            last_recorded: None,
            silence: 0,
            failed: None,
        };
        pass.check_marks();
        pass
    }

    fn add(&mut self, hashed: &Hashed) {
        let to = self.wanted.marks.last().map_or(0, |(size, _)| *size).max(self.wanted.size);
        let count = to.saturating_sub(hashed.first).min(hashed.leaves.len() as u64) as usize;
        for leaf in &hashed.leaves[..count] {
            self.push(*leaf);
        }
        self.misfit = self.misfit.or(hashed.misfit);
        self.add_times(hashed);
    }

    fn push(&mut self, leaf: Hash) {
        let Pass { wanted, edge, leaf_diff, tile_diff, failed, .. } = self;
        edge.push(leaf, &mut |id, hashes| {
            let span = 256_u64.pow(u32::from(id.level) + 1);
            if (id.index + 1).checked_mul(span).is_some_and(|end| end <= wanted.size) {
                note(wanted.folder, &id, hashes, leaf_diff, tile_diff, failed);
            }
        });
        self.check_marks();
        if self.edge.size() == self.wanted.size {
            self.compare_partials();
        }
    }

    fn check_marks(&mut self) {
        while let Some((size, root)) = self.wanted.marks.get(self.holds.len())
            && *size == self.edge.size()
        {
            self.holds.push(self.edge.root() == *root);
        }
    }

    fn compare_partials(&mut self) {
        let Pass { wanted, edge, leaf_diff, tile_diff, failed, .. } = self;
        for (id, hashes) in edge.partials() {
            note(wanted.folder, &id, hashes, leaf_diff, tile_diff, failed);
        }
    }

    fn add_times(&mut self, hashed: &Hashed) {
        let Some((first, last)) = hashed.recorded else { return };
        self.silence = self.silence.max(hashed.silence);
        let mut went_back = hashed.went_back;
        if let Some(before) = self.last_recorded {
            self.silence = self.silence.max(first.saturating_sub(before));
            if first < before {
                went_back = Some(hashed.first);
            }
        }
        // Times below the signed size are as they were signed.
        self.went_back = self.went_back.or(went_back.filter(|index| *index >= self.wanted.size));
        self.last_recorded = Some(last);
    }

    fn finish(mut self, end: u64, stop: Stop) -> Result<Found, VerifyError> {
        if self.edge.size() < self.wanted.size {
            self.compare_cut_leaves();
        }
        match self.failed {
            Some(error) => Err(error),
            None => Ok(Found {
                end,
                stop,
                holds: self.holds,
                leaf_diff: self.leaf_diff,
                tile_diff: self.tile_diff,
                misfit: self.misfit,
                went_back: self.went_back,
                silence: self.silence,
            }),
        }
    }

    /// The lines end before the signed size: their last leaves are the beginning of a tile.
    fn compare_cut_leaves(&mut self) {
        if self.leaf_diff.is_some() {
            return;
        }
        let mut leaves = tiles::Leaves::new(self.wanted.folder, self.wanted.size);
        for (id, hashes) in self.edge.partials().filter(|(id, _)| id.level == 0) {
            for (index, hash) in (id.index * 256..).zip(hashes) {
                match leaves.get(index) {
                    Ok(Some(signed)) if signed == *hash => {}
                    Ok(_) => {
                        self.leaf_diff = Some(index);
                        return;
                    }
                    Err(error) => self.failed = Some(error),
                }
            }
        }
    }
}

fn note(
    folder: &Folder,
    id: &TileId,
    hashes: &[Hash],
    leaf_diff: &mut Option<u64>,
    tile_diff: &mut Option<TileDiff>,
    failed: &mut Option<VerifyError>,
) {
    // After the first difference in the leaves everything differs.
    if failed.is_some() || leaf_diff.is_some() {
        return;
    }
    match tiles::compare(folder, id, hashes) {
        Ok(None) => {}
        Ok(Some(diff)) => {
            if id.level == 0 {
                *leaf_diff = Some(diff.first);
            }
            tile_diff.get_or_insert(diff);
        }
        Err(error) => *failed = Some(error),
    }
}
