//! Segments that an earlier copy's checkpoint cannot do with.
//!
//! An opening hashes the lines that no checkpoint covers. So there none may be missing, as they are in segments with
//! retired lines, and none may be compressed. Such segments, and those after them, are written aside, and get their names
//! together, just before the checkpoint that covers them: only a kill between these renames leaves a copy that the next run
//! must finish.

use std::path::PathBuf;

use trailseal_event::Index;
use trailseal_tlog::{Checkpoint, SignedNote};

use super::beginning::remove_for_good;
use super::error::{BackupError, failed};
use super::lists::Lists;
use crate::folder::Folder;
use crate::segment::{Form, SegmentFile, segment_name};

/// More than a checkpoint has.
const NOTE_BYTES_MAX: u64 = 1 << 20;

/// Which segments are staged.
pub(super) struct Staging {
    /// How many events the copy's checkpoint covers; `None` if it has none.
    covered: Option<u64>,
    /// The first index of the first one.
    from: Option<Index>,
}

impl Staging {
    /// What must be staged of the trail's segments, for the copy in `to`.
    pub(super) fn of(to: &Folder, segments: &[SegmentFile], lists: &Lists) -> Result<Staging, BackupError> {
        let note = to.files().read(&to.checkpoint(), NOTE_BYTES_MAX);
        // Whether it is the trail's was looked at before.
        let covered = note.ok().and_then(|note| {
            let note = SignedNote::parse(&String::from_utf8_lossy(&note)).ok()?;
            Some(Checkpoint::parse(note.text()).ok()?.size)
        });
        let folder = to.segments_folder();
        let copied = to.segments().map_err(failed("list", &folder))?;
        let (Some(size), Some(last)) = (covered, copied.last()) else {
            return Ok(Staging { covered, from: None });
        };
        let after_last = |first: &Index| *first > last.first;
        let has_gaps = lists.iter().any(|(first, _)| after_last(first));
        let next = segments.iter().map(|segment| segment.first).find(|first| has_gaps && after_last(first));
        let compressed = Staging { covered: Some(size), from: None };
        let compressed = segments.iter().find(|segment| compressed.must_have(segment));
        let from = compressed.map(|segment| segment.first).into_iter().chain(next).min();
        Ok(Staging { covered, from })
    }

    /// Whether the copy is one already.
    pub(super) fn is_older(&self) -> bool {
        self.covered.is_some()
    }

    /// Whether the segment that begins with `first` is staged.
    pub(super) fn has(&self, first: Index) -> bool {
        self.from.is_some_and(|from| first >= from) && !cfg!(trailseal_fault = "backup_not_staged")
    }

    /// Whether this one must be.
    pub(super) fn must_have(&self, segment: &SegmentFile) -> bool {
        let is_covered = |covered| segment.end.is_some_and(|end| end.get() <= covered);
        segment.form == Form::Compressed
            && self.covered.is_some_and(|covered| !is_covered(covered))
            && !cfg!(trailseal_fault = "backup_not_staged")
    }
}

/// Puts the staged segments of the copy in `to` in their places, each from where it was written.
pub(super) fn place(to: &Folder, staged: Vec<(SegmentFile, PathBuf)>) -> Result<(), BackupError> {
    let segments = to.segments_folder();
    for (segment, unfinished) in staged {
        let place = segments.join(segment_name(segment.first, segment.form));
        to.files().rename(&unfinished, &place).map_err(failed("rename", &unfinished))?;
        if segment.form == Form::Compressed {
            // The part that was copied before it was compressed would count.
            let plain = segments.join(segment_name(segment.first, Form::Plain));
            remove_for_good(&**to.files(), &plain)?;
        }
    }
    Ok(())
}
