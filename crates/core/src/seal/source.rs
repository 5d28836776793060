//! Durable lines in the order of their indexes, read from the segments as they grow.
//!
//! The sealer reads what is on disk rather than what passed through memory, so what it does after a crash
//! is what it does all day.

use std::io;
use std::sync::Arc;

use crate::file::ReadFile;
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
    /// The index of the next line.
    next: u64,
    block: Vec<u8>,
}

impl Source {
    /// Begins at line `next`.
    pub(crate) fn new(shared: Arc<Shared>, next: u64) -> Self {
        Source { shared, open: None, next, block: Vec::new() }
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
            let file = self.open_segment(first)?;
            let offset = offset_of(&*file, first, self.next)?;
            self.open = Some((first, file, offset));
        }
        let Some((_, file, offset)) = &mut self.open else { return Ok(()) };
        let end = end.min(following.unwrap_or(u64::MAX));
        self.block.resize(BLOCK, 0);
        let count = file.read_at(*offset, &mut self.block)?;
        let mut begin = 0;
        while self.next < end {
            let Some(len) = memchr::memchr(b'\n', &self.block[begin..count]) else { break };
            each(&self.block[begin..begin + len]);
            begin += len + 1;
            self.next += 1;
        }
        if begin == 0 && self.next < end {
            return Err(io::Error::other(format!("segment {first} ends before line {}", self.next)));
        }
        *offset += begin as u64;
        Ok(())
    }

    fn open_segment(&self, first: u64) -> io::Result<Box<dyn ReadFile>> {
        let path = self.shared.folder.segments_folder().join(segment_name(Index::new(first), Form::Plain));
        self.shared.options.files.open_read(&path)
    }
}

/// The offset of line `index` in the segment that begins with line `first`, by a scan.
fn offset_of(file: &dyn ReadFile, first: u64, index: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let (mut at, mut offset) = (first, 0);
    while at < index {
        let count = file.read_at(offset, &mut block)?;
        let mut begin = 0;
        while at < index
            && let Some(len) = memchr::memchr(b'\n', &block[begin..count])
        {
            begin += len + 1;
            at += 1;
        }
        if begin == 0 {
            return Err(io::Error::other(format!("segment {first} has no line {index}")));
        }
        offset += begin as u64;
    }
    Ok(offset)
}
