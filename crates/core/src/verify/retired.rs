//! Lines that are missing and that a list says are retired: whether a signed event says so too.
//!
//! An event counts if a trusted key has signed it in its time, and the newest checkpoint covers it. It vouches for the
//! beginning of a list that has its length and hash.

use std::collections::BTreeSet;
use std::io;

use super::feed::Missing;
use super::locate::Located;
use super::read::io_error;
use super::trust::Trust;
use super::{Problem, VerifyError};
use crate::folder::Folder;
use crate::retire::{Announcement, read};
use crate::segment::{NumberedLines, RetiredList, SegmentFile, read_list};

/// What signed events say about the lines that are missing.
#[derive(Debug, Default)]
pub(super) struct Retired {
    /// How many lines are retired.
    pub(super) lines: u64,
    /// The events that say so, ascending.
    pub(super) by: Vec<u64>,
    /// The first line that is missing although no event says that it is retired.
    pub(super) bad: Option<Located>,
}

/// Compares what is missing with the events among `announcing`, lines below the signed `size`.
pub(super) fn retired(
    folder: &Folder,
    segments: &[SegmentFile],
    missing: &[Missing],
    announcing: &[Vec<u8>],
    trust: &Trust,
    size: u64,
) -> Result<Retired, VerifyError> {
    if missing.is_empty() {
        return Ok(Retired::default());
    }
    let announced: Vec<Announcement> = announcing
        .iter()
        // Not by the keys of trail.toml: whoever can change it could sign for what is missing.
        .filter_map(|line| {
            let named = trust.named.as_ref().filter(|_| cfg!(trailseal_fault = "retired_by_named_key"));
            read(line, &trust.ring).or_else(|| read(line, named?))
        })
        .filter(|event| event.index.get() < size || cfg!(trailseal_fault = "retired_unsealed"))
        .collect();
    let (mut found, mut by) = (Retired::default(), BTreeSet::new());
    for missing in missing {
        let path = folder.segments_folder();
        let list = read_list(&**folder.files(), &path, missing.segment);
        let list = list.map_err(|source| io_error(&path, source))?.unwrap_or_default();
        let mut vouched = &list[..0];
        let meant = announced.iter().flat_map(|event| event.lists.iter().map(|list| (event.index, list)));
        for (event, announced) in meant.filter(|(_, announced)| announced.first == missing.segment) {
            let Some(part) = announced.part_of(&list) else { continue };
            by.insert(event.get());
            if part.len() > vouched.len() {
                vouched = part;
            }
        }
        if missing.bytes <= vouched.len() as u64 {
            found.lines += missing.lines;
        } else if found.bad.is_none() {
            let vouched = RetiredList::parse(vouched);
            found.bad = Some(located(folder, segments, missing, &vouched)?);
        }
    }
    found.by = by.into_iter().collect();
    Ok(found)
}

/// The first missing line of a segment that no event vouches for.
fn located(
    folder: &Folder,
    segments: &[SegmentFile],
    missing: &Missing,
    vouched: &RetiredList,
) -> Result<Located, VerifyError> {
    let segment = segments.iter().find(|segment| segment.first == missing.segment);
    let first = match segment {
        Some(segment) => first_unvouched(folder, segment, vouched)
            .map_err(|source| io_error(&segment.path, source))?
            .unwrap_or(missing.first),
        None => missing.first,
    };
    let (problem, what) = match missing.is_gone && vouched.is_empty() {
        true => (Problem::SegmentMissing, format!("the segment that begins with event {first} is missing")),
        false => (Problem::Missing, format!("event {first} is missing")),
    };
    let message = format!("{what}, and no event `trail.retired` by a trusted key says that it was retired");
    Ok(Located { first_bad: Some(first), ..Located::nowhere(problem, message) })
}

fn first_unvouched(folder: &Folder, segment: &SegmentFile, vouched: &RetiredList) -> io::Result<Option<u64>> {
    let end = segment.end.map_or(u64::MAX, |end| end.get());
    let mut next = segment.first.get();
    let mut lines = match NumberedLines::open(folder.files(), segment) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened?),
    };
    let unvouched = |from: u64, to: u64| (from..to).find(|index| !vouched.has(*index));
    if let Some(lines) = &mut lines {
        while let Some((index, _)) = lines.next()?.filter(|(index, _)| *index < end) {
            if let Some(bad) = unvouched(next, index) {
                return Ok(Some(bad));
            }
            next = index + 1;
        }
    }
    Ok(segment.end.and_then(|end| unvouched(next, end.get())))
}
