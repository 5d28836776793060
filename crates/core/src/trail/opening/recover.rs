//! Opening a trail: from what is in the folder to a state from which it can continue.
//!
//! Recovery is the normal path: lines that no checkpoint covers are sealed by the sealer as if they had just become
//! durable, and lines from the handoff are appended as the writer would.
//!
//! Trusted: the newest checkpoint, if its signature is by the held key. Truncated: a torn last line, with everything
//! after it; its bytes go to a side file first. Rewritten: lines that are not known to be on disk, since a failed sync
//! may have left them only in the page cache. Refused: a trail with other events than were signed, or with fewer than
//! anything says were durable (`witness.rs`).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use trailseal_event::Timestamp;
use trailseal_tlog::{Checkpoint, TileEdge};

use super::handoffs::Handoffs;
use super::scan::{Scan, ScanError, Scanned, is_line};
use super::witness::Witness;
use crate::file::Files;
use crate::folder::Folder;
use crate::handoff::{HandoffHeader, replay};
use crate::own_lines::{OwnLines, Said};
use crate::segment::SegmentFile;
use crate::segment::{Batch, Form, LineReader, Numbering, Offsets, SegmentWriter, offsets_name};
use crate::trail::error::OpenError;
use crate::tree::{EdgeError, SignedLeaves, load_edge};

/// A trail that can continue.
pub(crate) struct Recovered {
    pub(crate) edge: TileEdge,
    /// Where the first unsealed line is, or will be: the first index of its segment, and the offset in it.
    pub(crate) place: (u64, u64),
    pub(crate) segment: Option<SegmentWriter>,
    /// First indexes of the segments from the one that holds the first unsealed line on.
    pub(crate) segments: Vec<u64>,
    /// Index of the next event. Everything below is durable.
    pub(crate) next: u64,
    /// `recorded` of the last line.
    pub(crate) recorded: Option<Timestamp>,
    /// The last line that names a policy, of those that were read.
    pub(crate) said: Option<Said>,
    pub(crate) found: Found,
}

/// What an opening found, for the event `trail.opened`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Events that the newest checkpoint covers.
    pub sealed: u64,
    /// Events that were in the segments.
    pub in_segments: u64,
    /// Events recovered from the handoff.
    pub from_handoff: u64,
    /// Bytes of a torn line that were set aside.
    pub cut_bytes: u64,
    /// The missing handoff that the last writer named, whose lines may be in no segment.
    pub handoff_missing: Option<PathBuf>,
}

impl Found {
    /// Whether no event was recorded before.
    pub fn is_new(&self) -> bool {
        self.in_segments == 0 && self.from_handoff == 0
    }

    /// Whether the trail was closed properly before.
    pub fn is_clean(&self) -> bool {
        self.sealed == self.in_segments
            && self.from_handoff == 0
            && self.cut_bytes == 0
            && self.handoff_missing.is_none()
    }
}

/// Reads the folder and makes everything worth keeping in it durable.
///
/// `handoffs` may hold accepted lines; `checkpoint` is the newest, already verified; no witness may name more events
/// than there are lines.
pub(crate) fn recover(
    folder: &Folder,
    files: &Arc<dyn Files>,
    checkpoint: &Checkpoint,
    handoffs: &Handoffs,
    witnesses: &[Witness],
) -> Result<Recovered, OpenError> {
    let sealed = checkpoint.size;
    let all = folder.segments_and_gone().map_err(OpenError::io("list", folder.segments_folder()))?;
    let segments: Vec<SegmentFile> =
        all.iter().filter(|segment| segment.form != Form::Gone).cloned().collect();
    let edge = load_edge(folder, checkpoint, &segments).map_err(|error| no_edge(folder, error))?;
    // Lines above both marks may only be in the page cache, after a sync that failed.
    let known = handoffs
        .iter()
        .filter_map(|(_, file)| HandoffHeader::decode(file))
        .map(|header| header.durable)
        .max()
        .unwrap_or(0)
        .max(sealed);

    let unsealed: Vec<&SegmentFile> =
        segments.iter().filter(|segment| segment.end.is_none_or(|end| end.get() > sealed)).collect();
    let recovery = Recovery { folder, files, sealed, rewrite_from: known, witnesses };
    recovery.check_ends(&all, &unsealed)?;
    let mut own = own_lines_before(files, &segments, sealed);
    let mut last = None;
    let mut recorded = None;
    let mut place = None;
    for segment in &unsealed {
        let scanned = recovery.scan(segment, &mut own)?;
        recorded = scanned.recorded.or(recorded);
        if let Some(end) = segment.end.filter(|end| scanned.end < end.get())
            && !cfg!(trailseal_fault = "gap_accepted")
        {
            let witness = "the name of the next segment".to_owned();
            return Err(recovery.missing(scanned.end, end.get(), witness));
        }
        if segment.form == Form::Plain {
            place.get_or_insert((segment.first.get(), scanned.unsealed_offset));
        }
        last = Some((*segment, scanned));
    }
    let in_segments = last.as_ref().map_or(0, |(_, scanned)| scanned.end);
    recovery.check_witnesses(in_segments)?;
    let mut found = Found { sealed, in_segments, ..Found::default() };
    if recorded.is_none() {
        recorded = recorded_before(files, &segments);
    }
    let is_plain = |segment: &&&SegmentFile| segment.form == Form::Plain;
    let mut firsts: Vec<u64> = unsealed.iter().filter(is_plain).map(|segment| segment.first.get()).collect();
    let mut writer = None;
    if let Some((segment, scanned)) = last.filter(|(segment, _)| segment.form == Form::Plain) {
        writer = Some(recovery.take_over(segment, scanned, &mut found)?);
    }
    let replayed = replay_all(handoffs, in_segments, &mut recorded, &mut own)
        .map_err(|index| recovery.not_recorded(index))?;
    found.from_handoff = replayed.lines;
    if replayed.lines > 0 {
        let path = folder.segments_folder();
        let mut segment = match writer.take() {
            Some(segment) => segment,
            None => {
                firsts.push(in_segments);
                SegmentWriter::create(files.clone(), &path, in_segments)
                    .map_err(OpenError::io("create a segment in", &path))?
            }
        };
        let batch = Batch { bytes: &replayed.bytes, first: in_segments, lines: replayed.lines };
        segment.append_durably(&batch).map_err(OpenError::io("write to the segments in", &path))?;
        writer = Some(segment);
    }
    Ok(Recovered {
        edge,
        // Without any, the next line begins a segment.
        place: place.unwrap_or((sealed, 0)),
        segment: writer,
        segments: firsts,
        next: in_segments + found.from_handoff,
        recorded,
        said: own.said,
        found,
    })
}

/// `recorded` of the last line, if it is in a sealed segment before those that were scanned. The time of an unreadable
/// line is left to the clock: `verify` reports such a segment.
fn recorded_before(files: &Arc<dyn Files>, segments: &[SegmentFile]) -> Option<Timestamp> {
    let segment = segments.iter().rev().find(|segment| segment.end.is_some())?;
    let mut lines = LineReader::open(files, segment, 0).ok()?;
    let mut recorded = None;
    for _ in segment.first.get()..segment.end?.get() {
        let front = trailseal_event::line::parse_front(lines.next_line().ok()??);
        recorded = front.map(|front| front.recorded).or(recorded);
    }
    recorded
}

struct Recovery<'a> {
    folder: &'a Folder,
    files: &'a Arc<dyn Files>,
    sealed: u64,
    rewrite_from: u64,
    witnesses: &'a [Witness],
}

impl Recovery<'_> {
    fn not_signed(&self, first_bad: u64) -> OpenError {
        OpenError::Tampered {
            path: self.folder.root().to_owned(),
            first_bad: trailseal_event::Index::new(first_bad),
        }
    }

    fn not_recorded(&self, index: u64) -> OpenError {
        OpenError::NotRecorded {
            path: self.folder.root().to_owned(),
            index: trailseal_event::Index::new(index),
        }
    }

    fn missing(&self, from: u64, to: u64, witness: String) -> OpenError {
        OpenError::Missing { path: self.folder.root().to_owned(), from, to, witness }
    }

    /// Refuses if a witness has seen more than `events`.
    fn check_witnesses(&self, events: u64) -> Result<(), OpenError> {
        let most = self.witnesses.iter().max_by_key(|witness| witness.events);
        match most.filter(|most| most.events > events) {
            Some(most) if !cfg!(trailseal_fault = "witnesses_not_asked") => {
                Err(self.missing(events, most.events, most.name.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Refuses if the names of the segments leave out lines: at the beginning, or before the first unsealed line. A
    /// missing closed segment is noticed by the offsets of the one before it, which say how many lines that has.
    fn check_ends(&self, segments: &[SegmentFile], unsealed: &[&SegmentFile]) -> Result<(), OpenError> {
        let name = |segment: &SegmentFile| format!("the name of {}", segment.path.display());
        if let Some(first) = segments.first().filter(|segment| segment.first.get() > 0) {
            return Err(self.missing(0, first.first.get(), name(first)));
        }
        if let Some(first) = unsealed.first().filter(|segment| segment.first.get() > self.sealed) {
            return Err(self.missing(self.sealed, first.first.get(), name(first)));
        }
        for gone in segments.iter().filter(|segment| segment.form == Form::Gone) {
            let end = gone.end.map_or(u64::MAX, |end| end.get());
            let mut numbering = Numbering::new(self.files, gone, gone.first.get());
            if !numbering.ends_at(end).map_err(OpenError::io("read", &gone.path))? {
                return Err(self.missing(gone.first.get(), end, name(gone)));
            }
        }
        for pair in segments.windows(2) {
            let [before, after] = pair else { continue };
            if let Some(end) = self.told_end(before).filter(|end| *end < after.first.get()) {
                return Err(self.missing(end, after.first.get(), name(after)));
            }
        }
        Ok(())
    }

    /// Where a closed segment ends according to its offset file, if that matches the file as it is now.
    fn told_end(&self, segment: &SegmentFile) -> Option<u64> {
        let path = self.folder.segments_folder().join(offsets_name(segment.first));
        let mut head = [0; Offsets::HEAD_LEN];
        let count = self.files.open_read(&path).ok()?.read_at(0, &mut head).ok()?;
        let (lines, len_bytes) = Offsets::decode_head(&head[..count])?;
        let is_now = segment.form == Form::Plain
            && self.files.open_read(&segment.path).ok()?.len_bytes().ok()? == len_bytes;
        is_now.then(|| segment.first.get().saturating_add(lines))
    }

    fn scan(&self, segment: &SegmentFile, own: &mut OwnLines) -> Result<Scanned, OpenError> {
        let failed = |error| OpenError::io("read", segment.path.clone())(error);
        if segment.form == Form::Compressed {
            return self.scan_compressed(segment);
        }
        let file = self.files.open_read(&segment.path).map_err(failed)?;
        if let Some(scanned) = self.after_clean_close(segment, &*file, own).map_err(failed)? {
            return Ok(scanned);
        }
        let mut leaves = SignedLeaves::new(self.folder, self.sealed);
        let mut scan = Scan {
            first: segment.first.get(),
            bound: segment.end.map_or(u64::MAX, |end| end.get()),
            sealed: self.sealed,
            rewrite_from: self.rewrite_from,
            leaf: &mut |index| leaves.get(index),
            own,
        };
        scan.run(&*file).map_err(|error| match error {
            ScanError::Io(error) => failed(error),
            ScanError::NotSigned(index) => self.not_signed(index),
            ScanError::NotRecorded(index) => self.not_recorded(index),
        })
    }

    /// The last segment may be a closed one: its successor was abandoned before a line of it was on disk. Then all of
    /// it is signed, and the next line begins a segment.
    fn scan_compressed(&self, segment: &SegmentFile) -> Result<Scanned, OpenError> {
        let failed = |error| OpenError::io("read", segment.path.clone())(error);
        let mut leaves = SignedLeaves::new(self.folder, self.sealed);
        let mut lines = LineReader::open(self.files, segment, 0).map_err(failed)?;
        let mut scanned = Scanned { end: segment.first.get(), ..Scanned::default() };
        while let Some(text) = lines.next_line().map_err(failed)? {
            let front = trailseal_event::line::parse_front(text).filter(|front| front.index == scanned.end);
            let is_signed = leaves.get(scanned.end).map_err(failed)? == Some(trailseal_tlog::leaf_hash(text));
            if scanned.end < self.sealed && !(is_signed && front.is_some()) {
                return Err(self.not_signed(scanned.end));
            }
            scanned.recorded = front.map(|front| front.recorded).or(scanned.recorded);
            scanned.end += 1;
        }
        match segment.end.is_none() && scanned.end <= self.sealed {
            true => Ok(scanned),
            false => Err(OpenError::Damaged {
                path: segment.path.clone(),
                what: "a compressed segment has lines that no checkpoint covers".into(),
            }),
        }
    }

    /// After a clean close everything is signed, and the offset file says how much that is: then only the last lines
    /// are read and compared, and opening stays fast.
    fn after_clean_close(
        &self,
        segment: &SegmentFile,
        file: &dyn crate::file::ReadFile,
        own: &mut OwnLines,
    ) -> io::Result<Option<Scanned>> {
        let path = self.folder.segments_folder().join(offsets_name(segment.first));
        let Ok(bytes) = self.files.read(&path, 64 << 20) else { return Ok(None) };
        let Some(offsets) = Offsets::decode(&bytes) else { return Ok(None) };
        let end = offsets.first.get() + offsets.lines;
        let fits = offsets.first == segment.first
            && segment.end.is_none()
            && end == self.sealed
            && offsets.lines > 0
            && offsets.len_bytes == file.len_bytes()?;
        let Some(&group_offset) = offsets.offsets.last().filter(|_| fits) else { return Ok(None) };
        let mut group = vec![0; (offsets.len_bytes - group_offset) as usize];
        file.read_at(group_offset, &mut group)?;
        let group_first =
            segment.first.get() + (offsets.offsets.len() as u64 - 1) * crate::segment::OFFSETS_EVERY;
        let mut leaves = SignedLeaves::new(self.folder, self.sealed);
        let mut index = group_first;
        let mut recorded = None;
        for text in group.split_inclusive(|&byte| byte == b'\n') {
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let front = trailseal_event::line::parse_front(text).filter(|front| front.index == index);
            if front.is_none() || leaves.get(index)? != Some(trailseal_tlog::leaf_hash(text)) {
                // Whatever is wrong, the full scan finds and reports it.
                return Ok(None);
            }
            recorded = front.map(|front| front.recorded);
            own.take(index, text);
            index += 1;
        }
        Ok((index == end).then_some(Scanned {
            unsealed_offset: offsets.len_bytes,
            end,
            len_bytes: offsets.len_bytes,
            rewrite_offset: offsets.len_bytes,
            offsets: offsets.offsets,
            recorded,
        }))
    }

    /// Cuts off what is torn, rewrites what may not be on disk, and continues in this segment.
    fn take_over(
        &self,
        segment: &SegmentFile,
        scanned: Scanned,
        found: &mut Found,
    ) -> Result<SegmentWriter, OpenError> {
        let failed = |error| OpenError::io("recover", segment.path.clone())(error);
        let file = self.files.open_read(&segment.path).map_err(failed)?;
        let len = file.len_bytes().map_err(failed)?;
        if len > scanned.len_bytes {
            found.cut_bytes = len - scanned.len_bytes;
            self.cut(segment, &*file, scanned.len_bytes, len).map_err(failed)?;
        }
        let mut tail = vec![0; (scanned.len_bytes - scanned.rewrite_offset) as usize];
        file.read_at(scanned.rewrite_offset, &mut tail).map_err(failed)?;
        let lines = memchr::memchr_iter(b'\n', &tail).count() as u64;
        let kept = scanned.end - lines;
        let mut offsets = scanned.offsets;
        offsets.truncate((kept - segment.first.get()).div_ceil(crate::segment::OFFSETS_EVERY) as usize);
        let mut writer = SegmentWriter::resume(
            self.files.clone(),
            &self.folder.segments_folder(),
            segment.first.get(),
            kept,
            scanned.rewrite_offset,
            offsets,
        )
        .map_err(failed)?;
        if lines > 0 {
            writer.append_durably(&Batch { bytes: &tail, first: kept, lines }).map_err(failed)?;
        }
        Ok(writer)
    }

    /// The torn bytes go to a side file before they are cut off.
    fn cut(
        &self,
        segment: &SegmentFile,
        file: &dyn crate::file::ReadFile,
        from: u64,
        to: u64,
    ) -> io::Result<()> {
        let folder = self.folder.segments_folder();
        let taken = self.files.list(&folder)?;
        let mut torn = vec![0; (to - from).min(64 << 20) as usize];
        let count = file.read_at(from, &mut torn)?;
        torn.truncate(count);
        let name = (0u32..)
            .map(|number| format!("{:020}.cut-{number}", segment.first.get()))
            .find(|name| !taken.contains(name))
            .unwrap_or_default();
        self.files.replace(&folder.join(name), &torn, false)?;
        self.files.open_append(&segment.path, from)?.truncate(from)
    }
}

/// What the segment before the first unsealed line says, if that line begins a segment: a scan of the next one does not
/// see it.
fn own_lines_before(files: &Arc<dyn Files>, segments: &[SegmentFile], sealed: u64) -> OwnLines {
    let mut own = OwnLines::default();
    let before = segments.iter().find(|segment| segment.end.is_some_and(|end| end.get() == sealed));
    let Some(segment) = before else { return own };
    let Ok(mut lines) = LineReader::open(files, segment, 0) else { return own };
    let mut index = segment.first.get();
    while let Ok(Some(line)) = lines.next_line() {
        own.take(index, line);
        index += 1;
    }
    own
}

struct Replayed {
    bytes: Vec<u8>,
    lines: u64,
}

/// The lines of all handoffs that continue the segments; or the index of the first that nobody can have recorded.
fn replay_all(
    handoffs: &Handoffs,
    next: u64,
    recorded: &mut Option<Timestamp>,
    own: &mut OwnLines,
) -> Result<Replayed, u64> {
    let mut replayed = Replayed { bytes: Vec::new(), lines: 0 };
    let mut not_recorded = None;
    for (_, file) in handoffs {
        replay(file, next + replayed.lines, |index, text| {
            let line = text.strip_suffix(b"\n").unwrap_or(text);
            let is_honest = is_line(line, index) && own.take(index, line);
            if !is_honest && !cfg!(trailseal_fault = "handoff_lines_unchecked") {
                not_recorded.get_or_insert(index);
            }
            replayed.bytes.extend_from_slice(text);
            if let Some(front) = trailseal_event::line::parse_front(text) {
                *recorded = Some(front.recorded);
            }
        });
        replayed.lines = memchr::memchr_iter(b'\n', &replayed.bytes).count() as u64;
    }
    not_recorded.map_or(Ok(replayed), Err)
}

fn no_edge(folder: &Folder, error: EdgeError) -> OpenError {
    let path = folder.tree_folder();
    match error {
        EdgeError::Io(source) => OpenError::Io { action: "read", path, source },
        other => OpenError::Damaged { path, what: other.to_string() },
    }
}
