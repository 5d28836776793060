//! The oracle of all tests: is this folder a complete, correct trail that holds what was acknowledged?
//!
//! It shares no reading code with the core: it reads whole files, counts lines, and computes the tree from scratch.

mod retired;

use std::path::Path;
use std::sync::Arc;

use trailseal_core::file::Files;
use trailseal_core::{Folder, Manifest};
use trailseal_tlog::{Hash, leaf_hash, subtree_root};

/// What [`check_trail`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Every line in the segments, without newlines; an empty one for each that was retired.
    pub lines: Vec<Vec<u8>>,
    /// How many were retired.
    pub retired: u64,
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
    let manifest = Manifest::read(&folder).unwrap_or_else(|error| panic!("{error}"));
    let manifest = manifest.unwrap_or_else(|| panic!("trail.toml is missing"));
    let lines = lines(&folder, files);
    for (expected, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
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
    let leaves = leaves(&folder, &**files, &lines);
    let newest = check_checkpoint(&folder.checkpoint(), &**files, &manifest, &leaves);
    for size in folder.kept_checkpoints().unwrap_or_else(|error| panic!("{error}")) {
        let kept = check_checkpoint(&folder.kept_checkpoint(size), &**files, &manifest, &leaves);
        assert_eq!(kept, size, "a kept checkpoint is named by its size");
    }
    let vouched = retired::vouched(&folder, &**files, &manifest, &lines[..newest as usize]);
    let missing: Vec<u64> =
        (0..).zip(&lines).filter(|(_, line)| line.is_empty()).map(|(index, _)| index).collect();
    if let Some(index) = missing.iter().find(|index| !vouched.contains(index)) {
        panic!("event {index} is missing, and no sealed event says that it was retired");
    }
    Checked { lines, retired: missing.len() as u64, sealed: newest }
}

/// The leaf hashes; those of retired lines as the tree has them.
fn leaves(folder: &Folder, files: &dyn Files, lines: &[Vec<u8>]) -> Vec<Hash> {
    let tree = files.read(&folder.tree_level(0), u64::MAX - 1).unwrap_or_default();
    let (tree, _) = tree.as_chunks::<32>();
    let leaf = |(index, line): (usize, &Vec<u8>)| match line.is_empty() {
        true => {
            Hash(*tree.get(index).unwrap_or_else(|| panic!("event {index} has no line and no leaf hash")))
        }
        false => leaf_hash(line),
    };
    lines.iter().enumerate().map(leaf).collect()
}

/// The lines of all segments, each bounded by the name of the next one, or of the list that is left of that. A line that
/// names a later index than the next one leaves empty places before it, where there is a list.
fn lines(folder: &Folder, files: &Arc<dyn Files>) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let names = files.list(&folder.segments_folder()).unwrap_or_else(|error| panic!("{error}"));
    let lists: Vec<u64> =
        names.iter().filter_map(|name| name.strip_suffix(".retired")?.parse().ok()).collect();
    for segment in folder.segments().unwrap_or_else(|error| panic!("{error}")) {
        let first = segment.first.get() as usize;
        // Nothing is left of the segments in between.
        while let gone = lines.len() as u64
            && lists.contains(&gone)
            && (gone as usize) < first
        {
            let next = lists.iter().copied().filter(|list| *list > gone).min().unwrap_or(u64::MAX);
            lines.resize(first.min(next as usize), Vec::new());
        }
        assert_eq!(first, lines.len(), "segments follow each other without a gap");
        let bytes = files.read(&segment.path, u64::MAX - 1).unwrap_or_else(|error| panic!("{error}"));
        let bytes = match segment.path.extension() {
            Some(extension) if extension == "zst" => {
                zstd::decode_all(bytes.as_slice()).unwrap_or_else(|error| panic!("{error}"))
            }
            _ => bytes,
        };
        let has_list = lists.contains(&segment.first.get());
        let end = segment.end.map_or(usize::MAX, |end| end.get() as usize);
        for line in bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let named = trailseal_event::line::parse_front(line).map(|front| front.index as usize);
            let index = named.filter(|named| has_list && *named > lines.len()).unwrap_or(lines.len());
            if index >= end {
                break;
            }
            lines.resize(index, Vec::new());
            lines.push(line[..line.len() - 1].to_vec());
        }
        if has_list && end != usize::MAX {
            lines.resize(end, Vec::new());
        }
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
