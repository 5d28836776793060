//! Lines that are gone: the list of retired ranges beside a segment, and the indexes of the lines that are left.
//!
//! ```text
//! segments/00000000000000000000.retired
//! 0 120
//! 130 256
//! ```
//!
//! One half-open range of indexes a line. Each retirement appends its ranges, so what an earlier one announced is a
//! beginning of the file: an event names how many bytes it means, and their SHA-256. Nothing here is trusted: readers
//! use it to number lines, and `verify` counts a line as retired only if a signed event covers that part of the list.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trailseal_event::Index;
use trailseal_event::line::{Fronts, parse_front};

use super::name::{SegmentFile, retired_name};
use super::reader::LineReader;
use crate::file::Files;
use crate::folder::Folder;

/// More than any segment's list: a range needs two lines of a segment.
const LIST_BYTES_MAX: u64 = 1 << 30;

/// The bytes of a segment's list; `None` if there is none.
pub(crate) fn read_list(files: &dyn Files, segments: &Path, first: Index) -> io::Result<Option<Vec<u8>>> {
    match files.read(&segments.join(retired_name(first)), LIST_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Whatever lies there, it is no list.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        read => read.map(Some),
    }
}

/// The retired ranges of one segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RetiredList {
    /// By their beginnings.
    ranges: Vec<Retired>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retired {
    from: u64,
    to: u64,
    /// How many bytes of the list say so.
    bytes: u64,
}

impl RetiredList {
    /// Reads a list as far as it is well formed.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut ranges = Vec::new();
        let mut at = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            at += line.len() as u64;
            let Some((from, to)) = parse_range(line) else { break };
            ranges.push(Retired { from, to, bytes: at });
        }
        ranges.sort_unstable_by_key(|range| (range.from, range.to));
        RetiredList { ranges }
    }

    /// The list beside a segment; an empty one if there is none.
    pub(crate) fn load(files: &dyn Files, segments: &Path, first: Index) -> io::Result<Self> {
        Ok(read_list(files, segments, first)?.map_or_else(Self::default, |bytes| Self::parse(&bytes)))
    }

    /// Whether it names no range.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.ranges.iter().map(|range| range.from..range.to)
    }

    /// Whether all of `range` is retired, and how many bytes of the list say so.
    pub fn covers(&self, range: Range<u64>) -> Option<u64> {
        let end = range.end;
        let (to, bytes) = self.reaches(range);
        (to >= end).then_some(bytes)
    }

    /// Up to where `range` is retired without a gap, and how many bytes of the list say so.
    pub fn reaches(&self, range: Range<u64>) -> (u64, u64) {
        let (mut at, mut bytes) = (range.start, 0);
        let before = self.ranges.partition_point(|retired| retired.from <= at).saturating_sub(1);
        for retired in &self.ranges[before..] {
            if retired.from > at || at >= range.end {
                break;
            }
            if retired.to > at {
                (at, bytes) = (retired.to, retired.bytes.max(bytes));
            }
        }
        (at, bytes)
    }

    /// Whether the event at `index` is retired.
    pub fn has(&self, index: u64) -> bool {
        self.covers(index..index.saturating_add(1)).is_some()
    }
}

/// A segment of which lines were retired, according to its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiredSegment {
    /// Its indexes.
    pub indexes: Range<u64>,
    /// How many of them are retired.
    pub retired: u64,
}

/// The segments of a trail with lists of retired lines, in order. Nothing is checked: a line may still be there.
///
/// # Errors
/// When a list cannot be read.
pub fn retired_in(folder: &Folder) -> io::Result<Vec<RetiredSegment>> {
    let mut found = Vec::new();
    for segment in folder.segments_and_gone()? {
        let list = RetiredList::load(&**folder.files(), &folder.segments_folder(), segment.first)?;
        if !list.is_empty() {
            let retired = list.ranges().map(|range| range.end - range.start).sum();
            let end = segment.end.map_or(u64::MAX, Index::get);
            found.push(RetiredSegment { indexes: segment.first.get()..end, retired });
        }
    }
    Ok(found)
}

fn parse_range(line: &[u8]) -> Option<(u64, u64)> {
    let (from, to) = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?.split_once(' ')?;
    let number = |text: &str| text.parse().ok().filter(|number: &u64| number.to_string() == text);
    let (from, to) = (number(from)?, number(to)?);
    (from < to).then_some((from, to))
}

/// Appends a range to the text of a list, unless it is empty.
pub(crate) fn write_range(range: &Range<u64>, out: &mut Vec<u8>) {
    use std::io::Write as _;
    if !range.is_empty() {
        // A `Vec` takes everything.
        let _ = writeln!(out, "{} {}", range.start, range.end);
    }
}

/// Numbers the lines of one segment in order. A line is the next one, unless it names a later index and everything
/// before that is retired.
pub(crate) struct Numbering {
    files: Arc<dyn Files>,
    segments: PathBuf,
    first: Index,
    next: u64,
    fronts: Fronts,
    /// Read when a line is not the next one. A line goes only after the list is there.
    list: Option<RetiredList>,
}

impl Numbering {
    /// The next line is the one at `next`, or the first one after it that is left.
    pub(crate) fn new(files: &Arc<dyn Files>, segment: &SegmentFile, next: u64) -> Self {
        Numbering {
            files: files.clone(),
            segments: segment.path.parent().unwrap_or(Path::new(".")).to_owned(),
            first: segment.first,
            next,
            fronts: Fronts::new(next),
            list: None,
        }
    }

    /// The index of the next line.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The index of this line, which follows the one before.
    pub(crate) fn number(&mut self, line: &[u8]) -> io::Result<u64> {
        if self.fronts.next(line).is_none() {
            if let Some(named) = parse_front(line).map(|front| front.index).filter(|named| *named > self.next)
                && self.is_retired(named)?
            {
                self.next = named;
            }
            self.fronts = Fronts::new(self.next + 1);
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Whether everything from the next line up to `end` is retired, after the last line; then `end` is next.
    pub(crate) fn ends_at(&mut self, end: u64) -> io::Result<bool> {
        if self.next >= end {
            return Ok(true);
        }
        let is_retired = self.is_retired(end)?;
        if is_retired {
            self.next = end;
            self.fronts = Fronts::new(end);
        }
        Ok(is_retired)
    }

    /// Whether everything from the next line up to `end` is.
    fn is_retired(&mut self, end: u64) -> io::Result<bool> {
        let range = self.next..end;
        let list = match self.list.take() {
            Some(list) => list,
            None => RetiredList::load(&*self.files, &self.segments, self.first)?,
        };
        Ok(self.list.insert(list).covers(range).is_some())
    }
}

/// Lines of one segment with their indexes, in order.
pub(crate) struct NumberedLines {
    lines: LineReader,
    numbering: Numbering,
}

impl NumberedLines {
    /// Reads the whole segment.
    pub(crate) fn open(files: &Arc<dyn Files>, segment: &SegmentFile) -> io::Result<Self> {
        let lines = LineReader::open(files, segment, 0)?;
        Ok(Self::from(lines, files, segment, segment.first.get()))
    }

    /// Like [`open`](NumberedLines::open), for a few lines.
    pub(crate) fn open_for_few(files: &Arc<dyn Files>, segment: &SegmentFile) -> io::Result<Self> {
        let lines = LineReader::open_for_few(files, segment, 0)?;
        Ok(Self::from(lines, files, segment, segment.first.get()))
    }

    /// `lines` continues with line `next`.
    pub(crate) fn from(lines: LineReader, files: &Arc<dyn Files>, segment: &SegmentFile, next: u64) -> Self {
        NumberedLines { lines, numbering: Numbering::new(files, segment, next) }
    }

    /// The next line is the one that `numbering` expects.
    pub(crate) fn continuing(lines: LineReader, numbering: Numbering) -> Self {
        NumberedLines { lines, numbering }
    }

    /// The next line with its index; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let Some(line) = self.lines.next_line()? else { return Ok(None) };
        Ok(Some((self.numbering.number(line)?, line)))
    }

    /// As [`Numbering::ends_at`].
    pub(crate) fn ends_at(&mut self, end: u64) -> io::Result<bool> {
        self.numbering.ends_at(end)
    }

    /// The index after the last line that was returned.
    pub(crate) fn index(&self) -> u64 {
        self.numbering.next()
    }

    /// Where the next line begins.
    pub(crate) fn offset(&self) -> u64 {
        self.lines.consumed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_far_as_it_is_one() {
        let mut bytes = Vec::new();
        [0..3, 4..4, 5..9].iter().for_each(|range| write_range(range, &mut bytes));
        assert_eq!(bytes, b"0 3\n5 9\n");
        let first = bytes.len() as u64;
        [3..5, 20..21].iter().for_each(|range| write_range(range, &mut bytes));
        let list = RetiredList::parse(&bytes);
        assert_eq!(list.covers(0..3), Some(4));
        assert_eq!(list.covers(5..9), Some(first));
        assert_eq!(list.covers(0..9), Some(first + 4), "with what the second retirement added");
        assert_eq!(list.covers(0..10), None);
        assert_eq!(list.covers(9..20), None);
        assert!(list.has(20) && !list.has(21) && !list.has(9));
        for bad in ["1", "1 1\n", "2 1\n", "01 2\n", "1  2\n", "-1 2\n", "1 2", "1 2 3\n", "\n"] {
            assert_eq!(RetiredList::parse(bad.as_bytes()), RetiredList::default(), "{bad:?}");
        }
        assert!(RetiredList::parse(b"7 9\nx\n1 2\n").has(7));
        assert!(!RetiredList::parse(b"7 9\nx\n1 2\n").has(1));
    }
}
