//! What a power loss leaves: everything synced, plus any part of the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Step};

/// Which part of the unsynced data remains after a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None of it.
    Nothing,
    /// All of it.
    Everything,
    /// Each unsynced write completely, in part, or not at all, and in any order; each folder's unsynced names up to
    /// some point. Chosen by this seed.
    Random(u64),
}

/// The disk after the first steps of a log and a power loss.
pub(super) fn after_power_loss(steps: &[Step], survival: Survival) -> Disk {
    let mut random = Random(match survival {
        Survival::Random(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        _ => 1,
    });
    let last_sync = last_syncs(steps);
    let names_kept = names_kept(steps, survival, &mut random);
    let mut disk = Disk::default();
    let mut unsynced = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Write { inode, .. } | Step::Truncate { inode, .. } => {
                if last_sync.get(inode).is_some_and(|sync| at < *sync) {
                    let _ = disk.apply(step);
                } else {
                    unsynced.push(step.clone());
                }
            }
            // The file's presence in `contents` is harmless; only its name makes it visible.
            Step::Create { inode, .. } => {
                let placeless = Step::Truncate { inode: *inode, len: 0 };
                let _ = disk.apply(&placeless);
            }
            _ => {}
        }
    }
    if survival != Survival::Nothing {
        if matches!(survival, Survival::Random(_)) {
            shuffle(&mut unsynced, &mut random);
        }
        for step in unsynced {
            if let Some(step) = survivor(step, survival, &mut random) {
                let _ = disk.apply(&step);
            }
        }
    }
    apply_names(&mut disk, steps, &names_kept);
    disk
}

fn survivor(step: Step, survival: Survival, random: &mut Random) -> Option<Step> {
    if survival == Survival::Everything {
        return Some(step);
    }
    match (random.below(3), step) {
        (0, _) => None,
        (1, Step::Write { inode, offset, mut bytes }) => {
            // Torn at any byte, or with its first half missing: later pages may be written first.
            let at = random.below(bytes.len() as u64 + 1) as usize;
            if random.below(2) == 0 {
                bytes.truncate(at);
                Some(Step::Write { inode, offset, bytes })
            } else {
                let late = bytes.split_off(at);
                Some(Step::Write { inode, offset: offset + at as u64, bytes: late })
            }
        }
        (_, step) => Some(step),
    }
}

/// For each file, the step after which nothing was synced any more.
fn last_syncs(steps: &[Step]) -> BTreeMap<u64, usize> {
    let mut last = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        if let Step::Sync { inode } = step {
            last.insert(*inode, at);
        }
    }
    last
}

fn folder_of(step: &Step) -> Option<&Path> {
    match step {
        Step::Create { path, .. } | Step::Remove { path } => path.parent(),
        Step::Rename { to, .. } => to.parent(),
        _ => None,
    }
}

/// For each folder, the step up to which its names are there.
fn names_kept(steps: &[Step], survival: Survival, random: &mut Random) -> BTreeMap<PathBuf, usize> {
    let mut kept: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        if let Step::SyncFolder { path } = step {
            kept.insert(path.clone(), at);
        }
    }
    let folders: std::collections::BTreeSet<&Path> = steps.iter().filter_map(folder_of).collect();
    for folder in folders {
        let synced = kept.get(folder).copied().unwrap_or(0);
        let upto = match survival {
            Survival::Nothing => synced,
            Survival::Everything => steps.len(),
            Survival::Random(_) => synced + random.below((steps.len() - synced) as u64 + 1) as usize,
        };
        kept.insert(folder.to_owned(), upto);
    }
    kept
}

fn apply_names(disk: &mut Disk, steps: &[Step], kept: &BTreeMap<PathBuf, usize>) {
    let mut names = Disk::default();
    for (at, step) in steps.iter().enumerate() {
        let is_kept = folder_of(step).and_then(|folder| kept.get(folder)).is_some_and(|upto| at < *upto);
        if is_kept {
            let _ = names.apply(step);
        }
    }
    disk.take_names(names);
}

fn shuffle(steps: &mut [Step], random: &mut Random) {
    for at in (1..steps.len()).rev() {
        steps.swap(at, random.below(at as u64 + 1) as usize);
    }
}

/// SplitMix64: the same seed gives the same image.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
