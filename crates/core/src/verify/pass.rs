//! One pass over all lines: the tree that they give, compared with the one on disk and with every signed root.

use std::sync::Arc;

use trailseal_tlog::{Hash, TileEdge};

use super::VerifyError;
use super::feed::{Fed, Missing, Stop};
use super::hashing::{Hashed, Misfit, hash_all};
use super::tree::{Comparing, Leaves, TreeDiff};
use crate::file::Files;
use crate::folder::Folder;
use crate::segment::SegmentFile;

/// What the pass is to compare with.
pub(super) struct Wanted<'a> {
    pub(super) folder: &'a Folder,
    /// The size of the newest checkpoint: the tree is compared up to there.
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
    /// The first leaf that differs in the tree on disk, or is missing there.
    pub(super) leaf_diff: Option<u64>,
    /// The first hash of any level that differs.
    pub(super) tree_diff: Option<TreeDiff>,
    /// The first line that does not match its position.
    pub(super) misfit: Option<Misfit>,
    /// The first line beyond the signed size that was recorded before its predecessor.
    pub(super) went_back: Option<u64>,
    /// Microseconds.
    pub(super) silence: i64,
    /// Lines that a list says are retired: their leaf hashes are those of the tree on disk.
    pub(super) missing: Vec<Missing>,
    /// The first of them whose leaf hash is not there either.
    pub(super) no_leaf: Option<u64>,
    /// Lines that may be announcements of a retirement.
    pub(super) announcing: Vec<Vec<u8>>,
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
    let Fed { end, stop, missing } = hash_all(files, segments, wanted.threads, |mut hashed| {
        pass.add(&mut hashed);
        done += hashed.bytes;
        if let Some(progress) = wanted.progress {
            progress(done.min(total), total);
        }
    });
    if let Stop::Io { path, source } = stop {
        return Err(VerifyError::Io { path, source });
    }
    pass.finish(end, stop, missing)
}

fn total_bytes(files: &Arc<dyn Files>, segments: &[SegmentFile]) -> u64 {
    let len = |segment| crate::segment::source::Source::open(&**files, segment).ok()?.0.len_bytes().ok();
    segments.iter().filter_map(len).sum()
}

struct Pass<'a> {
    wanted: &'a Wanted<'a>,
    edge: TileEdge,
    /// Those of the tree on disk, for lines that are missing.
    leaves: Leaves<'a>,
    no_leaf: Option<u64>,
    failed: Option<VerifyError>,
    announcing: Vec<Vec<u8>>,
    holds: Vec<bool>,
    comparing: Comparing<'a>,
    misfit: Option<Misfit>,
    went_back: Option<u64>,
    last_recorded: Option<i64>,
    silence: i64,
}

impl<'a> Pass<'a> {
    fn new(wanted: &'a Wanted<'a>) -> Self {
        let mut pass = Pass {
            wanted,
            edge: TileEdge::new(),
            leaves: Leaves::new(wanted.folder, wanted.size),
            no_leaf: None,
            failed: None,
            announcing: Vec::new(),
            holds: Vec::new(),
            comparing: Comparing::new(wanted.folder, wanted.size),
            misfit: None,
            went_back: None,
            last_recorded: None,
            silence: 0,
        };
        pass.check_marks();
        pass
    }

    fn add(&mut self, hashed: &mut Hashed) {
        let to = self.to();
        let mut index = hashed.first;
        let mut jumps = hashed.jumps.iter().peekable();
        for (number, leaf) in (0..).zip(&hashed.leaves) {
            if let Some((_, named)) = jumps.next_if(|(at, _)| *at == number) {
                index = *named;
            }
            if index >= to {
                break;
            }
            self.fill(index);
            self.push(*leaf);
            index += 1;
        }
        self.announcing.append(&mut hashed.announcing);
        self.misfit = self.misfit.or(hashed.misfit);
        self.add_times(hashed);
    }

    /// How many leaves are needed.
    fn to(&self) -> u64 {
        self.wanted.marks.last().map_or(0, |(size, _)| *size).max(self.wanted.size)
    }

    /// Takes the leaf hashes of the lines that are missing before `index` from the tree on disk.
    fn fill(&mut self, index: u64) {
        while self.edge.size() < index {
            let at = self.edge.size();
            match self.leaves.get(at) {
                Ok(Some(leaf)) => self.push(leaf),
                Ok(None) => {
                    self.no_leaf.get_or_insert(at);
                    self.push(Hash([0; 32]));
                }
                Err(error) => {
                    self.failed.get_or_insert(error);
                    self.push(Hash([0; 32]));
                }
            }
        }
    }

    fn push(&mut self, leaf: Hash) {
        let Pass { edge, comparing, .. } = self;
        edge.push(leaf, &mut |level, hash| comparing.push(level, hash));
        self.check_marks();
    }

    fn check_marks(&mut self) {
        while let Some((size, root)) = self.wanted.marks.get(self.holds.len())
            && *size == self.edge.size()
        {
            self.holds.push(self.edge.root() == *root);
        }
    }

    fn add_times(&mut self, hashed: &Hashed) {
        let Some((first, last)) = hashed.recorded else { return };
        self.silence = self.silence.max(hashed.silence);
        let unsealed = |index: &u64| *index >= self.wanted.size;
        // Times below the signed size are as they were signed.
        let mut went_back = hashed.went_back.iter().copied().find(unsealed);
        if let Some(before) = self.last_recorded {
            self.silence = self.silence.max(first.saturating_sub(before));
            if first < before {
                went_back = Some(hashed.first).filter(unsealed).or(went_back);
            }
        }
        self.went_back = self.went_back.or(went_back);
        self.last_recorded = Some(last);
    }

    fn finish(mut self, end: u64, stop: Stop, missing: Vec<Missing>) -> Result<Found, VerifyError> {
        self.fill(end.min(self.to()));
        self.failed.take().map_or(Ok(()), Err)?;
        self.comparing.finish()?;
        Ok(Found {
            end,
            stop,
            holds: self.holds,
            leaf_diff: self.comparing.leaf_diff,
            tree_diff: self.comparing.diff,
            misfit: self.misfit,
            went_back: self.went_back,
            silence: self.silence,
            missing,
            no_leaf: self.no_leaf,
            announcing: self.announcing,
        })
    }
}
