//! The kept checkpoints that a trail must have, and those of them that are gone.
//!
//! Kept ones are on disk before the newest checkpoint that makes them due, and nobody removes them. So one that is missing
//! was removed; no event is wrong for that, but a change of the lines and of the tree together is placed less exactly.

use std::io;

use crate::folder::Folder;
use crate::seal::KEPT_EVERY;

/// Of how many kept checkpoints there must be, which are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptMissing {
    /// How many there must be.
    pub owed: u64,
    /// The sizes of the missing ones, ascending.
    pub missing: Vec<u64>,
}

/// Which kept checkpoints are missing beside a newest one of this size, which was read before.
///
/// # Errors
/// When a folder cannot be listed.
pub fn kept_missing(folder: &Folder, newest: u64) -> io::Result<KeptMissing> {
    let kept = folder.kept_checkpoints()?;
    let firsts = folder.segments()?.into_iter().map(|segment| segment.first.get());
    // That of a segment's first index comes with a line behind it.
    let mut owed: Vec<u64> = firsts.filter(|first| (1..newest).contains(first)).collect();
    owed.extend((1..=newest / KEPT_EVERY).map(|number| number * KEPT_EVERY));
    owed.sort_unstable();
    owed.dedup();
    let missing = owed.iter().copied().filter(|size| kept.binary_search(size).is_err()).collect();
    Ok(KeptMissing { owed: owed.len() as u64, missing })
}
