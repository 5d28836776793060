//! A trail built by plain code, beside the trail's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trailseal_event::{Index, Timestamp};
use trailseal_tlog::{Checkpoint, Origin, SigningKey, TileEdge, leaf_hash};

use crate::file::{Files, StdFiles};
use crate::folder::Folder;
use crate::manifest::Manifest;
use crate::segment::{Form, compress, segment_name};
use crate::verify::{Verdict, VerifyOptions, verify};

pub(super) const ORIGIN: &str = "example.com/test";

/// How a trail is to look.
pub(super) struct Plan {
    pub(super) lines: u64,
    /// First indexes of the segments.
    pub(super) segments: Vec<u64>,
    /// What the newest checkpoint covers.
    pub(super) sealed: u64,
    pub(super) seed: u8,
    /// Which first segments are compressed.
    pub(super) compressed: usize,
    /// Put into every line, so that trails can differ.
    pub(super) note: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Plan { lines: 12, segments: vec![0, 6], sealed: 12, seed: 1, compressed: 0, note: "" }
    }
}

pub(super) struct Built {
    pub(super) dir: tempfile::TempDir,
    pub(super) plan: Plan,
}

pub(super) fn line(index: u64, note: &str) -> String {
    let recorded = Timestamp::from_micros(1_700_000_000_000_000 + index as i64 * 1_500_000).to_string();
    format!(r#"{{"v":1,"index":{index},"recorded":"{recorded}","id":"e{index}{note}","action":"test.made"}}"#)
}

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[seed; 32])
}

impl Plan {
    pub(super) fn build(self) -> Built {
        let dir = tempfile::tempdir().unwrap();
        self.build_in(dir.path());
        Built { dir, plan: self }
    }

    pub(super) fn build_in(&self, root: &Path) {
        fs::create_dir_all(root.join("segments")).unwrap();
        fs::create_dir_all(root.join("checkpoints")).unwrap();
        let origin = Origin::new(ORIGIN).unwrap();
        let manifest = Manifest::new(origin, Timestamp::from_micros(0), key(self.seed).verifying_key());
        fs::write(root.join("trail.toml"), manifest.to_toml()).unwrap();
        self.write_segments(root);
        self.write_tree(root);
        let folder = folder(root);
        for segment in folder.segments().unwrap().iter().take(self.compressed) {
            compress(folder.files(), segment).unwrap();
        }
    }

    pub(super) fn write_segments(&self, root: &Path) {
        for (number, &first) in self.segments.iter().enumerate() {
            let end = self.segments.get(number + 1).copied().unwrap_or(self.lines);
            let text: String = (first..end).map(|index| line(index, self.note) + "\n").collect();
            fs::write(root.join("segments").join(segment_name(Index::new(first), Form::Plain)), text)
                .unwrap();
        }
    }

    pub(super) fn write_tree(&self, root: &Path) {
        let mut edge = TileEdge::new();
        let mut levels: [Vec<u8>; 3] = Default::default();
        for index in 0..self.sealed {
            edge.push(leaf_hash(line(index, self.note).as_bytes()), &mut |level, hash| {
                levels[usize::from(level)].extend_from_slice(&hash.0);
            });
            if self.segments.contains(&(index + 1)) || (index + 1) % 300 == 0 {
                fs::write(root.join(format!("checkpoints/{}", index + 1)), self.sign(&edge)).unwrap();
            }
        }
        fs::create_dir_all(root.join("tree")).unwrap();
        for (level, bytes) in levels.iter().enumerate() {
            fs::write(root.join(format!("tree/{level}")), bytes).unwrap();
        }
        fs::write(root.join("checkpoint"), self.sign(&edge)).unwrap();
    }

    pub(super) fn sign(&self, edge: &TileEdge) -> String {
        Checkpoint::new(Origin::new(ORIGIN).unwrap(), edge.size(), edge.root()).sign(&key(self.seed))
    }
}

pub(super) fn folder(root: &Path) -> Folder {
    Folder::new(root, Arc::new(StdFiles) as Arc<dyn Files>)
}

impl Built {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn segment(&self, first: u64) -> PathBuf {
        let compressed =
            self.plan.segments.iter().position(|&other| other == first).unwrap() < self.plan.compressed;
        let form = if compressed { Form::Compressed } else { Form::Plain };
        self.path("segments").join(segment_name(Index::new(first), form))
    }

    /// Changes the lines of the segment that begins with `first`.
    pub(super) fn change(&self, first: u64, change: impl FnOnce(&mut Vec<String>)) {
        let path = self.segment(first);
        let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }

    pub(super) fn verify(&self) -> Verdict {
        self.verify_with(VerifyOptions { threads: 1, ..VerifyOptions::default() })
    }

    pub(super) fn verify_with(&self, options: VerifyOptions) -> Verdict {
        verify(&folder(self.dir.path()), &options).unwrap()
    }

    pub(super) fn checkpoint(&self) -> String {
        fs::read_to_string(self.path("checkpoint")).unwrap()
    }
}
