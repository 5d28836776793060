//! Blocks of whole lines, in order, from the beginning of a segment or from any line in it.

use std::io;
use std::path::Path;

use trailseal_event::Index;
use trailseal_event::line::{Fronts, parse_front};

use super::name::SegmentFile;
use super::retired::RetiredList;
use super::source::Source;
use crate::file::Files;

/// The approximate size of a block, so that reading it is one large request.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;
/// Enough for any line, and small for few lines.
pub(crate) const SMALL_BLOCK_BYTES: usize = 128 << 10;

/// Whole lines, one after the other, each with its newline.
#[derive(Debug, Default)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    used: usize,
    pub(crate) first: Index,
    pub(crate) lines: u64,
    /// Where indexes are left out: the number of a line in the block, and its index.
    pub(crate) jumps: Vec<(u64, u64)>,
}

impl Block {
    /// The lines with their indexes, without newlines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let text = self.bytes();
        let (mut begin, mut index, mut jumps) = (0, self.first.get(), self.jumps.iter().peekable());
        (0..).zip(memchr::memchr_iter(b'\n', text)).map(move |(number, end)| {
            let line = &text[begin..end];
            begin = end + 1;
            if let Some((_, to)) = jumps.next_if(|(at, _)| *at == number) {
                index = *to;
            }
            index += 1;
            (index - 1, line)
        })
    }

    /// The lines with their newlines.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

/// Why the lines of a segment could not be read further.
#[derive(Debug)]
pub(crate) enum BlockError {
    Io(io::Error),
    /// Something longer than a block contains no newline, and another line follows.
    TooLong,
}

impl From<io::Error> for BlockError {
    fn from(error: io::Error) -> Self {
        BlockError::Io(error)
    }
}

/// A position in a segment's lines.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// Where line `next` begins.
    pub(crate) offset: u64,
    pub(crate) next: Index,
    /// Lines from here on do not count.
    pub(crate) bound: Option<Index>,
    /// What may be left out; empty if nothing is.
    pub(crate) retired: RetiredList,
}

impl Cursor {
    /// Begins at the beginning of a segment whose file is already open: lines go only after their list is there.
    pub(crate) fn begin(files: &dyn Files, segment: &SegmentFile) -> io::Result<Self> {
        let folder = segment.path.parent().unwrap_or(Path::new("."));
        let retired = RetiredList::load(files, folder, segment.first)?;
        Ok(Cursor { offset: 0, next: segment.first, bound: segment.end, retired })
    }

    /// Reads the next lines into `block`; `false` at the end, which may have moved by a later call. `block_bytes` is
    /// roughly how much to read, and more than a line can have.
    pub(crate) fn read(
        &mut self,
        source: &mut Source,
        block: &mut Block,
        block_bytes: usize,
    ) -> Result<bool, BlockError> {
        block.first = self.next;
        (block.used, block.lines) = (0, 0);
        block.jumps.clear();
        if self.bound.is_some_and(|bound| self.next >= bound) {
            return Ok(false);
        }
        if block.bytes.len() != block_bytes {
            // Fresh zeros come from the system; filling an old buffer would touch every page of it.
            block.bytes = vec![0; block_bytes];
        }
        let count = source.read_at(self.offset, &mut block.bytes)?;
        let Some(last) = memchr::memrchr(b'\n', &block.bytes[..count]) else {
            return if count == block_bytes && has_newline(source, self.offset + count as u64)? {
                Err(BlockError::TooLong)
            } else {
                Ok(false)
            };
        };
        block.used = last + 1;
        if self.retired.is_empty() {
            self.take_all(block);
        } else {
            self.take_numbered(block);
        }
        self.offset += block.used as u64;
        Ok(block.lines > 0)
    }

    fn take_all(&mut self, block: &mut Block) {
        block.lines = memchr::memchr_iter(b'\n', block.bytes()).count() as u64;
        let left = self.bound.map_or(u64::MAX, |bound| bound.get() - self.next.get());
        if block.lines > left {
            block.used =
                memchr::memchr_iter(b'\n', block.bytes()).nth(left as usize - 1).map_or(0, |end| end + 1);
            block.lines = left;
        }
        self.next = Index::new(self.next.get() + block.lines);
    }

    fn take_numbered(&mut self, block: &mut Block) {
        let (mut begin, mut next) = (0, self.next.get());
        let mut fronts = Fronts::new(next);
        let bound = self.bound.map_or(u64::MAX, Index::get);
        let Block { bytes, jumps, used, .. } = &mut *block;
        let mut lines = 0;
        for end in memchr::memchr_iter(b'\n', &bytes[..*used]) {
            let line = &bytes[begin..end];
            let mut index = next;
            if fronts.next(line).is_none() {
                let named = parse_front(line).map(|front| front.index).filter(|named| *named > next);
                if let Some(named) = named.filter(|named| self.retired.covers(next..*named).is_some()) {
                    index = named;
                    jumps.push((lines, named));
                }
                fronts = Fronts::new(index + 1);
            }
            if index >= bound {
                jumps.pop_if(|(at, _)| *at == lines);
                break;
            }
            (begin, next, lines) = (end + 1, index + 1, lines + 1);
        }
        (block.used, block.lines) = (begin, lines);
        self.next = Index::new(next);
    }

    /// After the last line: passes over what is retired up to `end`, the end of the segment. Returns how many bytes of the
    /// list say so; the cursor is at `end` then, unless a line is missing.
    pub(crate) fn pass_retired(&mut self, end: Index) -> u64 {
        if self.next >= end {
            return 0;
        }
        let (to, bytes) = self.retired.reaches(self.next.get()..end.get());
        self.next = Index::new(to.min(end.get()));
        bytes
    }
}

fn has_newline(source: &mut Source, from: u64) -> io::Result<bool> {
    let mut chunk = vec![0; SMALL_BLOCK_BYTES];
    let mut at = from;
    loop {
        let count = source.read_at(at, &mut chunk)?;
        if memchr::memchr(b'\n', &chunk[..count]).is_some() {
            return Ok(true);
        }
        if count < chunk.len() {
            return Ok(false);
        }
        at += count as u64;
    }
}
