//! Carries out what sealed events announce, and undoes what none does.
//!
//! An event that is on disk and that no checkpoint covers yet is neither: it will be sealed, and then vouch for its lists.
//! So these stay, and the retirement with them, until it is.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use trailseal_event::Index;
use trailseal_tlog::{KeyRing, leaf_hash};

use super::announce::{Announcement, may_be, read};
use super::ids::{is_unsorted_ids, parse_ids_name};
use super::journal::{Journal, note_announced};
use super::rewrite::{RewriteError, Rewritten, rewrite};
use crate::folder::Folder;
use crate::segment::{NumberedLines, RetiredList, read_list, retired_name};
use crate::tree::{SignedLeaves, keep_last_leaves};

/// What a retirement has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finished {
    /// The events that announced it.
    pub(crate) events: Vec<Index>,
    /// How many lines went.
    pub(crate) lines: u64,
    /// From how many segments, and how many of them are gone.
    pub(crate) segments: u64,
    pub(crate) segments_removed: u64,
    pub(crate) freed_bytes: u64,
    /// How many lines go by events that are still to be sealed: then it has not ended.
    pub(crate) unsealed: u64,
}

/// Why it was not finished. What it has announced stays announced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FinishError {
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    #[error("could not {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn failed(action: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> FinishError {
    move |source| FinishError::Io { action, path, source }
}

impl Finished {
    fn add(&mut self, rewritten: &Rewritten) {
        if rewritten.lines > 0 {
            self.lines += rewritten.lines;
            self.segments += 1;
            self.segments_removed += u64::from(rewritten.is_gone);
            self.freed_bytes += rewritten.bytes_before.saturating_sub(rewritten.bytes_after);
        }
    }
}

/// Ends a retirement that has begun, if there is one: what events below `sealed` announce is carried out, what those
/// from there to `end` announce stays to be, and the rest of its lists is undone. `guard` runs each writing of a
/// segment, so that nothing else writes segments at that moment.
pub(crate) fn finish(
    folder: &Folder,
    ring: &KeyRing,
    sealed: u64,
    end: u64,
    guard: &dyn Fn(&mut dyn FnMut()),
) -> Result<Option<Finished>, FinishError> {
    let journal = Journal::read(folder).map_err(failed("read", folder.root().join("retiring")))?;
    let Some(journal) = journal else { return Ok(None) };
    let announced = announcements(folder, ring, journal.from..end, sealed)?;
    let (now, later) = announced.split_at(announced.partition_point(|event| event.index.get() < sealed));
    let mut finished = carry_out(folder, now, sealed, guard)?;
    let is_left = !later.is_empty() && !cfg!(trailseal_fault = "unsealed_undone");
    undo(folder, &journal, if is_left { &announced } else { now })?;
    if is_left {
        finished.unsealed = later.iter().map(|event| event.count.max(1)).sum();
        return Ok(Some(finished));
    }
    Journal::remove(folder).map_err(failed("remove", folder.root().join("retiring")))?;
    Ok(Some(finished))
}

/// The announcements in these lines that count, or will once they are sealed.
fn announcements(
    folder: &Folder,
    ring: &KeyRing,
    range: Range<u64>,
    sealed: u64,
) -> Result<Vec<Announcement>, FinishError> {
    let mut found = Vec::new();
    let mut leaves = SignedLeaves::new(folder, sealed);
    let segments = folder.segments().map_err(failed("list", folder.segments_folder()))?;
    for segment in segments.iter().filter(|segment| segment.end.is_none_or(|end| end.get() > range.start)) {
        let failed = |source| failed("read", segment.path.clone())(source);
        if segment.first.get() >= range.end {
            break;
        }
        let mut lines = NumberedLines::open(folder.files(), segment).map_err(failed)?;
        let end = segment.end.map_or(range.end, |end| end.get().min(range.end));
        while let Some((index, line)) = lines.next().map_err(failed)? {
            if index >= end {
                break;
            }
            if index >= range.start
                && may_be(index, line)
                && (index >= sealed || leaves.get(index).map_err(failed)? == Some(leaf_hash(line)))
                && let Some(announcement) = read(line, ring)
            {
                found.push(announcement);
            }
        }
    }
    Ok(found)
}

/// Takes out the lines that these sealed events announce.
fn carry_out(
    folder: &Folder,
    announced: &[Announcement],
    sealed: u64,
    guard: &dyn Fn(&mut dyn FnMut()),
) -> Result<Finished, FinishError> {
    let mut finished = Finished::default();
    let events: Vec<Index> = announced.iter().map(|announcement| announcement.index).collect();
    note_announced(folder, &events).map_err(failed("write", folder.root().join("retired")))?;
    if !announced.is_empty() {
        keep_last_leaves(folder, sealed).map_err(failed("write to", folder.tree_folder()))?;
    }
    let segments = folder.segments().map_err(failed("list", folder.segments_folder()))?;
    for list in announced.iter().flat_map(|announcement| &announcement.lists) {
        let path = folder.segments_folder().join(retired_name(list.first));
        let bytes = read_list(&**folder.files(), &folder.segments_folder(), list.first);
        let bytes = bytes.map_err(failed("read", path))?.unwrap_or_default();
        let Some(part) = list.part_of(&bytes) else { continue };
        let Ok(at) = segments.binary_search_by_key(&list.first, |segment| segment.first) else { continue };
        let Some(segment) =
            segments.get(at).filter(|segment| segment.end.is_some_and(|end| end.get() <= sealed))
        else {
            continue;
        };
        let retired = RetiredList::parse(part);
        let mut done = Ok(Rewritten::default());
        guard(&mut || done = rewrite(folder, segment, &retired, sealed));
        finished.add(&done?);
    }
    finished.events = events;
    Ok(finished)
}

/// Takes back what was added to lists and not announced.
fn undo(folder: &Folder, journal: &Journal, announced: &[Announcement]) -> Result<(), FinishError> {
    if cfg!(trailseal_fault = "unannounced_kept") {
        return Ok(());
    }
    let files = &**folder.files();
    let segments = folder.segments_folder();
    let mut kept: HashMap<Index, u64> = journal.lists.iter().copied().collect();
    for list in announced.iter().flat_map(|announcement| &announcement.lists) {
        let bytes = kept.entry(list.first).or_default();
        *bytes = list.bytes.max(*bytes);
    }
    for (first, _) in &journal.lists {
        let path = segments.join(retired_name(*first));
        let kept = kept.get(first).copied().unwrap_or(0);
        let Some(bytes) = read_list(files, &segments, *first).map_err(failed("read", path.clone()))? else {
            continue;
        };
        match bytes.get(..kept as usize) {
            Some([]) => files.remove_durably(&path).map_err(failed("remove", path))?,
            Some(part) if part.len() < bytes.len() => {
                files.replace(&path, part, false).map_err(failed("write", path))?;
            }
            _ => {}
        }
    }
    for name in files.list(&segments).map_err(failed("list", segments.clone()))? {
        let is_undone = match parse_ids_name(&name) {
            Some((first, bytes)) => kept.get(&first).is_some_and(|kept| bytes > *kept),
            None => is_unsorted_ids(&name),
        };
        if is_undone {
            let path = segments.join(&name);
            files.remove_durably(&path).map_err(failed("remove", path))?;
        }
    }
    Ok(())
}
