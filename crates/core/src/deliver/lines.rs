//! Durable lines in order of their indexes, with the place of each, from plain and compressed segments.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use trailseal_event::Index;
use trailseal_event::line::{LINE_BYTES_MAX, parse_front};

use super::sink::BatchLine;
use crate::folder::Folder;
use crate::segment::SegmentFile;
use crate::segment::{LineReader, OFFSETS_EVERY, Offsets, offsets_name};

const OFFSETS_BYTES_MAX: u64 = 1 << 30;

/// Lines copied out of the segments, for one batch.
#[derive(Default)]
pub struct Lines {
    bytes: Vec<u8>,
    places: Vec<(Range<usize>, Index, u64)>,
}

impl Lines {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Removes all lines and keeps the capacity.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    /// The lines in the form of a batch.
    pub fn as_batch_lines(&self) -> Vec<BatchLine<'_>> {
        let line = |(range, segment, offset): &(Range<usize>, Index, u64)| BatchLine {
            bytes: &self.bytes[range.clone()],
            segment: *segment,
            offset: *offset,
        };
        self.places.iter().map(line).collect()
    }

    fn push(&mut self, line: &[u8], segment: Index, offset: u64) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(line);
        self.places.push((begin..self.bytes.len(), segment, offset));
    }
}

/// A position in a folder's segments, from which lines are read.
///
/// The number of a line is the one that it carries: what was found by counting newlines, or by an offset file, must agree.
pub struct Follower {
    folder: Folder,
    segments: Vec<SegmentFile>,
    open: Option<Open>,
    next: u64,
    /// The segment whose offset file has led to another line: it is read from its beginning.
    misled: Option<Index>,
}

struct Open {
    first: Index,
    end: Option<Index>,
    path: PathBuf,
    reader: LineReader,
}

/// A segment has something else where a line must be.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} has {what} where line {at} must be: leave the folder unchanged and run `trailseal verify`",
    path.display()
)]
pub(super) struct Misplaced {
    /// The line that must be there.
    pub(super) at: u64,
    path: PathBuf,
    what: String,
}

/// What is there instead of the line `index`; `None` if it is that line.
fn other_than(line: &[u8], index: u64) -> Option<String> {
    if cfg!(trailseal_fault = "delivered_lines_counted") {
        return None;
    }
    match parse_front(line) {
        _ if line.len() > LINE_BYTES_MAX => Some("something longer than a line".to_owned()),
        Some(front) if front.index == index => None,
        Some(front) => Some(format!("line {}", front.index)),
        None => Some("no line of a trail".to_owned()),
    }
}

impl Follower {
    /// Starts at line `next`.
    ///
    /// # Errors
    /// When the segments cannot be listed.
    pub fn new(folder: Folder, next: Index) -> io::Result<Self> {
        let segments = folder.segments()?;
        Ok(Follower { folder, segments, open: None, next: next.get(), misled: None })
    }

    /// The index of the next line.
    pub fn next(&self) -> Index {
        Index::new(self.next)
    }

    /// Moves to another line.
    pub fn seek(&mut self, next: Index) {
        self.next = next.get();
        self.open = None;
    }

    /// Lists the segments again. Needed whenever there may be a new one below the next `end`.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn refresh(&mut self) -> io::Result<()> {
        self.segments = self.folder.segments()?;
        if let Some(open) = &mut self.open {
            open.end = self.segments.iter().find(|segment| segment.first == open.first).and_then(|s| s.end);
        }
        Ok(())
    }

    /// Adds lines below `end`, which must be durable, until there are `lines_max` or `bytes_max` in `lines`.
    ///
    /// # Errors
    /// When a segment cannot be read, ends before its lines do, or holds other lines than its name and place say.
    pub fn read(
        &mut self,
        end: Index,
        lines_max: usize,
        bytes_max: usize,
        lines: &mut Lines,
    ) -> io::Result<()> {
        while self.next < end.get() && lines.len() < lines_max && lines.bytes.len() < bytes_max {
            let next = self.next;
            let open = self.opened()?;
            let (segment, offset) = (open.first, open.reader.consumed());
            let Some(line) = open.reader.next_line()? else {
                let path = open.path.display();
                let error = format!("{path} ends before line {next}: run `trailseal verify`");
                self.open = None;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            };
            if let Some(what) = other_than(line, next) {
                let misplaced = Misplaced { at: next, path: open.path.clone(), what };
                self.open = None;
                if self.misled.replace(segment) != Some(segment) {
                    continue;
                }
                // What comes before it is good.
                return match lines.is_empty() {
                    true => Err(io::Error::new(io::ErrorKind::InvalidData, misplaced)),
                    false => Ok(()),
                };
            }
            lines.push(line, segment, offset);
            self.next += 1;
        }
        Ok(())
    }

    /// The reader, positioned before line `next`.
    fn opened(&mut self) -> io::Result<&mut Open> {
        let next = Index::new(self.next);
        if self.open.as_ref().is_some_and(|open| open.end.is_some_and(|end| end <= next)) {
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some(match self.open_at(next) {
                // It was compressed since it was listed, so its name has changed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.segments = self.folder.segments()?;
                    self.open_at(next)?
                }
                other => other?,
            });
        }
        self.open.as_mut().ok_or_else(|| io::Error::other("no segment is open"))
    }

    fn open_at(&self, next: Index) -> io::Result<Open> {
        let after = self.segments.partition_point(|segment| segment.first <= next);
        // Of several segments without lines, only the last one can hold it.
        let Some(segment) = after.checked_sub(1).and_then(|at| self.segments.get(at)) else {
            let error = format!("no segment holds line {next}: run `trailseal verify`");
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        };
        let (mut at, offset) = self.known_before(segment, next);
        let mut reader = LineReader::open(self.folder.files(), segment, offset)?;
        while at < next.get() && reader.next_line()?.is_some() {
            at += 1;
        }
        Ok(Open { first: segment.first, end: segment.end, path: segment.path.clone(), reader })
    }

    /// The last line at or before `next` with a known offset, and that offset.
    fn known_before(&self, segment: &SegmentFile, next: Index) -> (u64, u64) {
        let first = segment.first.get();
        let group = match self.misled == Some(segment.first) {
            true => 0,
            false => (next.get() - first) / OFFSETS_EVERY,
        };
        let path = self.folder.segments_folder().join(offsets_name(segment.first));
        let stored = match group {
            0 => None,
            _ => self.folder.files().read(&path, OFFSETS_BYTES_MAX).ok(),
        };
        let offsets = stored.and_then(|bytes| Offsets::decode(&bytes)).filter(|it| it.first == segment.first);
        match offsets.and_then(|offsets| offsets.offsets.get(group as usize).copied()) {
            Some(offset) => (first + group * OFFSETS_EVERY, offset),
            None => (first, 0),
        }
    }
}
