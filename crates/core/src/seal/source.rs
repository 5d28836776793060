//! Durable lines in the order of their indexes, read from the segments as they grow.
//!
//! The sealer reads what is on disk rather than what passed through memory, so what it does after a crash
//! is what it does all day. Where the first line begins is known from the opening, which has compared what stands
//! before it with what was signed; newlines in bytes that nobody compared say nothing. A line must name its own index.

use std::io;
use std::sync::Arc;

use crate::file::ReadFile;
use crate::line::Fronts;
use crate::segment::{Form, segment_name};
use crate::trail::shared::Shared;
use crate::{Index, line};

const BLOCK: usize = 1 << 20;
const _: () = assert!(line::LINE_BYTES_MAX < BLOCK, "a block holds at least one line");

/// A position in the segments.
pub(crate) struct Source {
    shared: Arc<Shared>,
    /// The open segment: its first index and the offset of line `next`.
    open: Option<(u64, Box<dyn ReadFile>, u64)>,
    /// Where line `begin` lies: the first index of its segment, and the offset in it.
    place: (u64, u64),
    begin: u64,
    /// The index of the next line.
    next: u64,
    fronts: Fronts,
    block: Vec<u8>,
}

impl Source {
    /// Begins at line `next`, which is, or will be, at `place`: the first index of its segment, and the offset in it.
    pub(crate) fn new(shared: Arc<Shared>, next: u64, place: (u64, u64)) -> Self {
        let (open, block) = (None, Vec::new());
        Source { shared, open, place, begin: next, next, fronts: Fronts::new(next), block }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether the next line is the first of a segment.
    pub(crate) fn begins_segment(&self) -> bool {
        self.shared.segment_of(self.next).is_some_and(|(first, _)| first == self.next)
    }

    /// Calls `each` with up to a block of lines (without newlines) below index `end`, which must be
    /// durable.
    pub(crate) fn read(&mut self, end: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let Some((first, following)) = self.shared.segment_of(self.next) else {
            return Err(io::Error::other(format!("no segment holds line {}", self.next)));
        };
        if self.open.as_ref().is_none_or(|(open, _, _)| *open != first) {
            let offset = self.offset_in(first)?;
            self.open = Some((first, self.open_segment(first)?, offset));
        }
        let Some((_, file, offset)) = &mut self.open else { return Ok(()) };
        let end = end.min(following.unwrap_or(u64::MAX));
        self.block.resize(BLOCK, 0);
        let count = file.read_at(*offset, &mut self.block)?;
        let mut begin = 0;
        let mut misplaced = false;
        while self.next < end {
            let Some(len) = memchr::memchr(b'\n', &self.block[begin..count]) else { break };
            let line = &self.block[begin..begin + len];
            if self.fronts.next(line).is_none() {
                self.fronts = Fronts::new(self.next);
                misplaced = true;
                break;
            }
            each(line);
            begin += len + 1;
            self.next += 1;
        }
        *offset += begin as u64;
        if misplaced {
            let what = format!("line {} is not in its place in segment {first}", self.next);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        if begin == 0 && self.next < end {
            return Err(io::Error::other(format!("segment {first} ends before line {}", self.next)));
        }
        Ok(())
    }

    /// Where the next line begins in a segment that is opened now.
    fn offset_in(&self, first: u64) -> io::Result<u64> {
        match (self.place, self.next) {
            (_, next) if next == first => Ok(0),
            ((segment, offset), next) if segment == first && next == self.begin => Ok(offset),
            _ => Err(io::Error::other(format!("nobody knows where line {} begins", self.next))),
        }
    }

    fn open_segment(&self, first: u64) -> io::Result<Box<dyn ReadFile>> {
        let path = self.shared.folder.segments_folder().join(segment_name(Index::new(first), Form::Plain));
        self.shared.options.files.open_read(&path)
    }
}
