//! The oracle of all tests: is this folder a complete, correct trail that holds what was acknowledged?
//!
//! It shares no reading code with the core: it reads whole files, counts lines, and computes the tree from scratch.

use std::path::Path;
use std::sync::Arc;

use trailseal_core::file::Files;
use trailseal_core::{Folder, Manifest};
use trailseal_tlog::{Hash, leaf_hash, subtree_root};

/// What [`check_trail`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Every line in the segments, without newlines.
    pub lines: Vec<Vec<u8>>,
    /// How many of them the newest checkpoint covers.
    pub sealed: u64,
}

/// Panics unless the trail in `folder` is complete: gapless, every line JSON with its own index, every signed
/// checkpoint matching the lines, and every acknowledged event (its index and a text that it must contain) present.
///
/// # Panics
/// With what is wrong.
pub fn check_trail(folder: &Path, files: &Arc<dyn Files>, acknowledged: &[(u64, String)]) -> Checked {
    let folder = Folder::new(folder, files.clone());
    let lines = lines(&folder, files);
    for (expected, line) in lines.iter().enumerate() {
        let start = format!("{{\"v\":1,\"index\":{expected},\"recorded\":\"");
        assert!(line.starts_with(start.as_bytes()), "line {expected} is {}", String::from_utf8_lossy(line));
        assert!(
            trailseal_event::Value::parse(line).is_ok(),
            "line {expected} is not JSON: {}",
            String::from_utf8_lossy(line)
        );
    }
    for (index, text) in acknowledged {
        let line = lines.get(*index as usize);
        let line = line
            .unwrap_or_else(|| panic!("acknowledged event {index} is missing; there are {}", lines.len()));
        let line = String::from_utf8_lossy(line);
        assert!(line.contains(text), "event {index} is not the acknowledged one ({text}): {line}");
    }
    let leaves: Vec<Hash> = lines.iter().map(|line| leaf_hash(line)).collect();
    let manifest = Manifest::read(&folder).unwrap_or_else(|error| panic!("{error}"));
    let manifest = manifest.unwrap_or_else(|| panic!("trail.toml is missing"));
    let newest = check_checkpoint(&folder.checkpoint(), &**files, &manifest, &leaves);
    for size in folder.kept_checkpoints().unwrap_or_else(|error| panic!("{error}")) {
        let kept = check_checkpoint(&folder.kept_checkpoint(size), &**files, &manifest, &leaves);
        assert_eq!(kept, size, "a kept checkpoint is named by its size");
    }
    let kept =
        trailseal_core::verify::kept_missing(&folder, newest).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(kept.missing, Vec::<u64>::new(), "of {} kept checkpoints", kept.owed);
    Checked { lines, sealed: newest }
}

/// The lines of all segments, each bounded by the name of the next one.
fn lines(folder: &Folder, files: &Arc<dyn Files>) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for segment in folder.segments().unwrap_or_else(|error| panic!("{error}")) {
        assert_eq!(segment.first.get(), lines.len() as u64, "segments follow each other without a gap");
        let bytes = files.read(&segment.path, u64::MAX - 1).unwrap_or_else(|error| panic!("{error}"));
        let bytes = match segment.path.extension() {
            Some(extension) if extension == "zst" => {
                zstd::decode_all(bytes.as_slice()).unwrap_or_else(|error| panic!("{error}"))
            }
            _ => bytes,
        };
        let bound = segment.end.map_or(usize::MAX, |end| (end.get() - segment.first.get()) as usize);
        let whole = bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
        lines.extend(whole.take(bound).map(|line| line[..line.len() - 1].to_vec()));
    }
    lines
}

fn check_checkpoint(path: &Path, files: &dyn Files, manifest: &Manifest, leaves: &[Hash]) -> u64 {
    let note = files.read(path, 1 << 20).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let note = String::from_utf8_lossy(&note).into_owned();
    let (ring, bad) = manifest.key_ring();
    assert_eq!(bad, None);
    let (checkpoint, _) =
        ring.open(&note).unwrap_or_else(|error| panic!("{}: {error}\n{note}", path.display()));
    let size = checkpoint.size;
    assert!(size <= leaves.len() as u64, "a checkpoint of {size} is ahead of {} lines", leaves.len());
    let root = subtree_root(&leaves[..size as usize]);
    assert_eq!(checkpoint.root, root, "the checkpoint of size {size} is not true of the lines");
    size
}
