//! The lines of all segments in order, in blocks; and what ends them, and where.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use trailseal_event::Index;

use crate::file::Files;
use crate::segment::SegmentFile;
use crate::segment::blocks::{BLOCK_BYTES, Block, BlockError, Cursor};
use crate::segment::source::Source;

/// Why there are no more lines.
#[derive(Debug)]
pub(super) enum Stop {
    /// The end of the last segment.
    End,
    /// Lines from here up to the next segment (or the first one) are missing.
    Gap,
    /// Something here is longer than a line may be.
    TooLong,
    /// Something here cannot be read as a line.
    Unreadable { why: &'static str },
    /// The receiver wants no more.
    Cancelled,
    /// The system failed.
    Io { path: std::path::PathBuf, source: io::Error },
}

/// What was read, and why there is no more.
#[derive(Debug)]
pub(super) struct Fed {
    /// The index after the last line given.
    pub(super) end: u64,
    pub(super) stop: Stop,
    /// The segments in which lines are missing that a list says are retired.
    pub(super) missing: Vec<Missing>,
}

/// Lines of one segment that are missing, and that its list says are retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Index of the segment's first line.
    pub(super) segment: Index,
    /// The first that is missing.
    pub(super) first: u64,
    pub(super) lines: u64,
    /// How many bytes of the list it takes to say so.
    pub(super) bytes: u64,
    /// Whether the whole segment is.
    pub(super) is_gone: bool,
}

/// Passes blocks of lines to `give`, which returns the next buffer to fill, or `None` to end.
pub(super) fn feed(
    files: &Arc<dyn Files>,
    segments: &[SegmentFile],
    mut buffer: Block,
    mut give: impl FnMut(Block) -> Option<Block>,
) -> Fed {
    let (mut next, mut missing) = (Index::new(0), Vec::new());
    for segment in segments {
        if segment.first != next {
            return Fed { end: next.get(), stop: Stop::Gap, missing };
        }
        let mut one = OneSegment { segment, next, missing: None };
        let stop = one.feed(files, &mut buffer, &mut give);
        next = one.next;
        missing.extend(one.missing);
        if let Some(stop) = stop {
            return Fed { end: next.get(), stop, missing };
        }
    }
    Fed { end: next.get(), stop: Stop::End, missing }
}

struct OneSegment<'a> {
    segment: &'a SegmentFile,
    next: Index,
    missing: Option<Missing>,
}

impl OneSegment<'_> {
    fn miss(&mut self, range: Range<u64>, bytes: u64, is_gone: bool) {
        if range.is_empty() {
            return;
        }
        let missing = self.missing.get_or_insert(Missing {
            segment: self.segment.first,
            first: range.start,
            lines: 0,
            bytes: 0,
            is_gone,
        });
        missing.lines += range.end - range.start;
        missing.bytes = missing.bytes.max(bytes);
    }

    /// Returns why there is nothing after this segment; `None` if it is complete.
    fn feed(
        &mut self,
        files: &Arc<dyn Files>,
        buffer: &mut Block,
        give: &mut dyn FnMut(Block) -> Option<Block>,
    ) -> Option<Stop> {
        let segment = self.segment;
        let failed = |source| Some(Stop::Io { path: segment.path.clone(), source });
        let source = match Source::open(&**files, segment) {
            Ok((source, _, _)) => Some(source),
            // Gone, or since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let why = "its segment is not a regular file, or is damaged";
                return Some(Stop::Unreadable { why });
            }
            Err(error) => return failed(error),
        };
        let is_gone = source.is_none();
        let mut cursor = match Cursor::begin(&**files, segment) {
            Ok(cursor) => cursor,
            Err(error) => return failed(error),
        };
        if let Some(mut source) = source
            && let Some(stop) = self.feed_lines(&mut source, &mut cursor, buffer, give)
        {
            return Some(stop);
        }
        let Some(end) = segment.end else { return is_gone.then_some(Stop::Gap) };
        let at = cursor.next.get();
        let bytes = cursor.pass_retired(end);
        self.miss(at..cursor.next.get(), bytes, is_gone);
        self.next = cursor.next;
        (cursor.next < end).then_some(Stop::Gap)
    }

    fn feed_lines(
        &mut self,
        source: &mut Source,
        cursor: &mut Cursor,
        buffer: &mut Block,
        give: &mut dyn FnMut(Block) -> Option<Block>,
    ) -> Option<Stop> {
        loop {
            let before = cursor.next.get();
            let read = cursor.read(source, buffer, BLOCK_BYTES);
            self.next = cursor.next;
            match read {
                Ok(true) => {
                    // What was left out in this block, so far.
                    let mut left_out = 0;
                    for (number, index) in &buffer.jumps {
                        let from = before + number + left_out;
                        let bytes = cursor.retired.covers(from..*index).unwrap_or(u64::MAX);
                        self.miss(from..*index, bytes, false);
                        left_out += index - from;
                    }
                    match give(std::mem::take(buffer)) {
                        Some(empty) => *buffer = empty,
                        None => return Some(Stop::Cancelled),
                    }
                }
                Ok(false) => return None,
                Err(BlockError::TooLong) => return Some(Stop::TooLong),
                Err(BlockError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    let why = "a compressed part of the segment is damaged";
                    return Some(Stop::Unreadable { why });
                }
                Err(BlockError::Io(source)) => {
                    return Some(Stop::Io { path: self.segment.path.clone(), source });
                }
            }
        }
    }
}
