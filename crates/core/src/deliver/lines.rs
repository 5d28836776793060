//! Durable lines in order of their indexes, with the place of each, from plain and compressed segments.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use trailseal_event::Index;
use trailseal_event::line::parse_front;

use super::sink::BatchLine;
use crate::folder::Folder;
use crate::segment::{
    Form, LineReader, NumberedLines, Numbering, OFFSETS_EVERY, Offsets, SegmentFile, offsets_name,
};

const OFFSETS_BYTES_MAX: u64 = 1 << 30;

/// One line: its index, its bytes among those of all, its segment, and where it begins there.
type Placed = (Index, Range<usize>, Index, u64);

/// Lines copied out of the segments, for one batch.
#[derive(Default)]
pub struct Lines {
    bytes: Vec<u8>,
    places: Vec<Placed>,
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
        let line = |(index, range, segment, offset): &Placed| BatchLine {
            index: *index,
            bytes: &self.bytes[range.clone()],
            segment: *segment,
            offset: *offset,
        };
        self.places.iter().map(line).collect()
    }

    fn push(&mut self, index: u64, line: &[u8], segment: Index, offset: u64) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(line);
        self.places.push((Index::new(index), begin..self.bytes.len(), segment, offset));
    }
}

/// A position in a folder's segments, from which lines are read.
pub struct Follower {
    folder: Folder,
    segments: Vec<SegmentFile>,
    open: Option<Open>,
    next: u64,
}

struct Open {
    first: Index,
    end: Option<Index>,
    path: PathBuf,
    lines: NumberedLines,
}

impl Follower {
    /// Starts at line `next`.
    ///
    /// # Errors
    /// When the segments cannot be listed.
    pub fn new(folder: Folder, next: Index) -> io::Result<Self> {
        let segments = folder.segments_and_gone()?;
        Ok(Follower { folder, segments, open: None, next: next.get() })
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
        self.segments = self.folder.segments_and_gone()?;
        if let Some(open) = &mut self.open {
            open.end = self.segments.iter().find(|segment| segment.first == open.first).and_then(|s| s.end);
        }
        Ok(())
    }

    /// Adds lines below `end`, which must be durable, until there are `lines_max` or `bytes_max` in `lines`. Retired ones
    /// are passed over.
    ///
    /// # Errors
    /// When a segment cannot be read, or ends before its lines do.
    pub fn read(
        &mut self,
        end: Index,
        lines_max: usize,
        bytes_max: usize,
        lines: &mut Lines,
    ) -> io::Result<()> {
        while self.next < end.get() && lines.len() < lines_max && lines.bytes.len() < bytes_max {
            let Some(open) = self.opened()? else { continue };
            let (segment, offset) = (open.first, open.lines.offset());
            match open.lines.next()?.filter(|(index, _)| *index < end.get()) {
                Some((index, line)) => {
                    lines.push(index, line, segment, offset);
                    self.next = index + 1;
                }
                None => self.pass_retired(end)?,
            }
        }
        Ok(())
    }

    /// After the last line of the open segment: moves to the next one, if everything in between is retired.
    fn pass_retired(&mut self, end: Index) -> io::Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let to = open.end.unwrap_or(end);
        if open.lines.ends_at(to.get())? {
            self.next = self.next.max(to.get());
            return Ok(());
        }
        let (path, next) = (open.path.display(), self.next);
        let error = format!("{path} ends before line {next}: run `trailseal verify`");
        Err(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The open segment, positioned before line `next`; `None` if it is gone and `next` was moved behind it.
    fn opened(&mut self) -> io::Result<Option<&mut Open>> {
        let next = Index::new(self.next);
        if self.open.as_ref().is_some_and(|open| open.end.is_some_and(|end| end <= next)) {
            self.open = None;
        }
        if self.open.is_none() {
            self.open = match self.open_at(next) {
                // It was compressed since it was listed, so its name has changed; or nothing is left of it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.segments = self.folder.segments_and_gone()?;
                    self.open_at(next)?
                }
                other => other?,
            };
            if self.open.is_none() {
                self.pass_gone(next)?;
            }
        }
        Ok(self.open.as_mut())
    }

    fn segment_of(&self, next: Index) -> io::Result<&SegmentFile> {
        let after = self.segments.partition_point(|segment| segment.first <= next);
        // Of several segments without lines, only the last one can hold it.
        after.checked_sub(1).and_then(|at| self.segments.get(at)).ok_or_else(|| {
            let error = format!("no segment holds line {next}: run `trailseal verify`");
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    fn pass_gone(&mut self, next: Index) -> io::Result<()> {
        let segment = self.segment_of(next)?;
        let mut numbering = Numbering::new(self.folder.files(), segment, next.get());
        match segment.end {
            Some(end) if numbering.ends_at(end.get())? => {
                self.next = end.get();
                Ok(())
            }
            _ => {
                let error = format!("{} is missing: run `trailseal verify`", segment.path.display());
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }

    fn open_at(&self, next: Index) -> io::Result<Option<Open>> {
        let segment = self.segment_of(next)?;
        if segment.form == Form::Gone {
            return Ok(None);
        }
        let files = self.folder.files();
        let (mut at, mut offset) = self.known_before(segment, next);
        let mut reader = LineReader::open(files, segment, offset)?;
        let is_there = |line: &[u8]| parse_front(line).is_some_and(|front| front.index == at);
        if offset > 0 && !reader.peek()?.is_some_and(is_there) {
            // The segment was replaced since its offsets were written.
            (at, offset) = (segment.first.get(), 0);
            reader = LineReader::open(files, segment, offset)?;
        }
        let mut numbering = Numbering::new(files, segment, at);
        while let Some(line) = reader.peek_line()? {
            let before = numbering.next();
            if numbering.number(line)? >= next.get() {
                numbering = Numbering::new(files, segment, before);
                break;
            }
            reader.next_line()?;
        }
        let lines = NumberedLines::continuing(reader, numbering);
        Ok(Some(Open { first: segment.first, end: segment.end, path: segment.path.clone(), lines }))
    }

    /// The last line at or before `next` with a known offset, and that offset.
    fn known_before(&self, segment: &SegmentFile, next: Index) -> (u64, u64) {
        let first = segment.first.get();
        let path = self.folder.segments_folder().join(offsets_name(segment.first));
        let stored = match next.get() - first < OFFSETS_EVERY {
            true => None,
            false => self.folder.files().read(&path, OFFSETS_BYTES_MAX).ok(),
        };
        let offsets = stored.and_then(|bytes| Offsets::decode(&bytes)).filter(|it| it.first == segment.first);
        let known = offsets.and_then(|offsets| {
            let group = offsets.group_of(next.get());
            Some((offsets.index_of(group), offsets.offsets.get(group as usize).copied()?))
        });
        known.unwrap_or((first, 0))
    }
}
