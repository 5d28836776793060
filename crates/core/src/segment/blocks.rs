//! Blocks of whole lines, in order, from the beginning of a segment or from any line in it.

use std::io;

use trailseal_event::Index;

use super::source::Source;

/// A block holds about this much, so that reading it is one large request.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;
/// Enough for any line, and little for few lines.
pub(crate) const SMALL_BLOCK_BYTES: usize = 128 << 10;

/// Whole lines, one after the other, each with its newline.
#[derive(Debug, Default)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    used: usize,
    pub(crate) first: Index,
    pub(crate) lines: u64,
}

impl Block {
    /// The lines with their indexes, without newlines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let text = self.bytes();
        let mut begin = 0;
        (self.first.get()..).zip(memchr::memchr_iter(b'\n', text).map(move |end| {
            let line = &text[begin..end];
            begin = end + 1;
            line
        }))
    }

    /// The lines with their newlines.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

/// Why the lines of a segment could not be read on.
#[derive(Debug)]
pub(crate) enum BlockError {
    Io(io::Error),
    /// Something longer than a block has no newline in it, and another line follows.
    TooLong,
}

impl From<io::Error> for BlockError {
    fn from(error: io::Error) -> Self {
        BlockError::Io(error)
    }
}

/// A position in a segment's lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    /// Where line `next` begins.
    pub(crate) offset: u64,
    pub(crate) next: Index,
    /// Lines from here on do not count.
    pub(crate) bound: Option<Index>,
}

impl Cursor {
    /// Reads the next lines into `block`; `false` at the end, which may have grown at a later call.
    /// `block_bytes` is roughly how much to read, and more than a line can have.
    pub(crate) fn read(
        &mut self,
        source: &mut Source,
        block: &mut Block,
        block_bytes: usize,
    ) -> Result<bool, BlockError> {
        block.first = self.next;
        (block.used, block.lines) = (0, 0);
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
        block.lines = memchr::memchr_iter(b'\n', block.bytes()).count() as u64;
        let left = self.bound.map_or(u64::MAX, |bound| bound.get() - self.next.get());
        if block.lines > left {
            block.used =
                memchr::memchr_iter(b'\n', block.bytes()).nth(left as usize - 1).map_or(0, |end| end + 1);
            block.lines = left;
        }
        self.offset += block.used as u64;
        self.next = Index::new(self.next.get() + block.lines);
        Ok(true)
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
