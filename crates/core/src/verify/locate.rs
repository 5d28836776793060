//! Where the first bad event is, and what happened to it, if the lines do not give the signed root.
//!
//! The leaf hashes on disk are a witness as far as they themselves give a signed root. What was done is derived from a
//! window of lines at the first difference: a signed line names its own index, and the tree says whether its hash is
//! the signed one, so a line is *genuine* or not, wherever it is.

use std::io;
use std::sync::Arc;

use trailseal_event::line;
use trailseal_tlog::{Hash, leaf_hash};

use super::feed::Stop;
use super::pass::Found;
use super::tree::Leaves;
use super::{Problem, VerifyError};
use crate::file::Files;
use crate::folder::Folder;
use crate::segment::NumberedLines;
use crate::segment::SegmentFile;

/// How many lines are examined from the first difference on.
const WINDOW: usize = 256;

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) first_bad: Option<u64>,
    pub(super) range: Option<(u64, u64)>,
    pub(super) problem: Problem,
    pub(super) message: String,
    /// Whether lines are missing that no signed event says were retired.
    pub(super) is_unvouched: bool,
}

impl Located {
    /// What is wrong with the trail as a whole.
    pub(super) fn nowhere(problem: Problem, message: String) -> Located {
        Located { first_bad: None, range: None, problem, message, is_unvouched: false }
    }
}

/// Finds what is wrong below the signed `size`; `marks` are sizes and roots that trusted keys have signed, and `holds`
/// says for each that the lines reach whether they give it.
pub(super) fn locate(
    folder: &Folder,
    segments: &[SegmentFile],
    marks: &[(u64, Hash)],
    holds: &[bool],
    size: u64,
    found: &Found,
) -> Result<Located, VerifyError> {
    let mut leaves = Leaves::new(folder, size);
    let below: Vec<(u64, Hash)> = marks.iter().copied().filter(|(mark, _)| *mark <= size).collect();
    let trusted = leaves.trusted_to(&below)?;
    let first = found.leaf_diff.unwrap_or(u64::MAX).min(found.end);
    if first < trusted {
        return at(folder, segments, &mut leaves, first, found);
    }
    let held = holds.iter().take_while(|holds| **holds).count();
    let from = held.checked_sub(1).map_or(0, |last| marks[last].0);
    let to = marks.get(held).map_or(size, |mark| mark.0);
    let (problem, message) = if found.end < to {
        stopped(folder, found)?
    } else {
        let message = "the lines do not give the signed root, and neither does the tree: the last signed root that \
            holds and the next one bound the change";
        (Problem::RootMismatch, message.to_owned())
    };
    Ok(Located { range: Some((from, to)), ..Located::nowhere(problem, message) })
}

/// Says what happened at `first`, the first event whose line is not the signed one.
fn at(
    folder: &Folder,
    segments: &[SegmentFile],
    leaves: &mut Leaves<'_>,
    first: u64,
    found: &Found,
) -> Result<Located, VerifyError> {
    let (problem, message) = if first >= found.end {
        stopped(folder, found)?
    } else {
        let window = window(folder.files(), segments, first)?;
        classify(&window, leaves, first)?
    };
    Ok(Located { first_bad: Some(first), ..Located::nowhere(problem, message) })
}

/// Why the lines end at `found.end`.
fn stopped(folder: &Folder, found: &Found) -> Result<(Problem, String), VerifyError> {
    let end = found.end;
    if let Stop::Unreadable { why } = found.stop {
        return Ok((Problem::Edited, format!("event {end} cannot be read: {why}")));
    }
    if let Stop::TooLong = found.stop {
        return Ok((Problem::LineTooLong, format!("event {end} is longer than a line may be")));
    }
    let is_boundary = end == 0 || is_segment_end(folder, end)?;
    Ok(if is_boundary {
        (Problem::SegmentMissing, format!("the segment that begins with event {end} is missing"))
    } else {
        (Problem::Missing, format!("event {end} is missing, although it was signed"))
    })
}

/// Whether a segment ended at `index`: a checkpoint was kept for each end, and every segment leaves an offset file.
fn is_segment_end(folder: &Folder, index: u64) -> Result<bool, VerifyError> {
    let path = folder.segments_folder();
    let names = folder.files().list(&path).map_err(|source| VerifyError::Io { path, source })?;
    let stem = format!("{index:020}.");
    let path = folder.kept_checkpoints_folder();
    let kept = folder.kept_checkpoints().map_err(|source| VerifyError::Io { path, source })?;
    Ok(kept.contains(&index) || names.iter().any(|name| name.starts_with(&stem)))
}

/// A line near the first difference.
struct Seen {
    /// Its position, if it is the signed line of some position.
    genuine: Option<u64>,
    named: Option<u64>,
    hash: Hash,
}

fn window(
    files: &Arc<dyn Files>,
    segments: &[SegmentFile],
    first: u64,
) -> Result<Vec<(Option<u64>, Hash)>, VerifyError> {
    let mut seen = Vec::new();
    let after = segments.partition_point(|segment| segment.first.get() <= first);
    for segment in &segments[after.saturating_sub(1)..] {
        let failed = |source| VerifyError::Io { path: segment.path.clone(), source };
        let mut reader = match NumberedLines::open(files, segment) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => break,
            other => other.map_err(failed)?,
        };
        while seen.len() < WINDOW && segment.end.is_none_or(|end| reader.index() < end.get()) {
            match reader.next() {
                Ok(Some((index, text))) if index >= first => {
                    seen.push((line::parse_front(text).map(|front| front.index), leaf_hash(text)));
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => break,
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(seen)
}

fn classify(
    window: &[(Option<u64>, Hash)],
    leaves: &mut Leaves<'_>,
    first: u64,
) -> Result<(Problem, String), VerifyError> {
    let mut seen = Vec::with_capacity(window.len());
    for &(named, hash) in window {
        let genuine = match named {
            Some(named) if leaves.get(named)? == Some(hash) => Some(named),
            _ => None,
        };
        seen.push(Seen { genuine, named, hash });
    }
    let wanted = leaves.get(first)?;
    let Some(here) = seen.first() else {
        return Ok((Problem::Missing, format!("event {first} is missing, although it was signed")));
    };
    let later = seen.iter().position(|line| Some(line.hash) == wanted);
    let next_is_in_place = seen.get(1).is_some_and(|line| line.genuine == Some(first + 1));
    Ok(match (here.genuine, later) {
        (Some(place), _) if place < first => (
            Problem::Duplicated,
            format!("event {place} occurs a second time, in the place of event {first}"),
        ),
        (Some(place), Some(_)) => {
            (Problem::Reordered, format!("event {place} is in the place of event {first}"))
        }
        (Some(place), None) if next_is_in_place => {
            (Problem::Reordered, format!("event {place} is in the place of event {first}"))
        }
        (Some(place), None) => {
            (Problem::Missing, format!("event {first} is missing: event {place} follows in its place"))
        }
        (None, Some(_)) => {
            (Problem::Inserted, format!("a line that was never signed is in the place of event {first}"))
        }
        (None, None) => {
            let says = match here.named {
                Some(named) if named != first => format!(" (it claims to be event {named})"),
                _ => String::new(),
            };
            (Problem::Edited, format!("the line of event {first} is not the one that was signed{says}"))
        }
    })
}
