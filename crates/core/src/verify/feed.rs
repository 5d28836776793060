//! The lines of all segments in order, in blocks; and what ends them, and where.

use std::io;
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

/// Passes blocks of lines to `give`, which returns the next buffer to fill, or `None` to end. Returns the index after
/// the last line given, and why there are no more.
pub(super) fn feed(
    files: &Arc<dyn Files>,
    segments: &[SegmentFile],
    mut buffer: Block,
    mut give: impl FnMut(Block) -> Option<Block>,
) -> (u64, Stop) {
    let mut next = Index::new(0);
    for segment in segments {
        if segment.first != next {
            return (next.get(), Stop::Gap);
        }
        let failed = |next: Index, source| (next.get(), Stop::Io { path: segment.path.clone(), source });
        let mut source = match Source::open(&**files, segment) {
            Ok((source, _, _)) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return (next.get(), Stop::Gap);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let why = "its segment is not a regular file, or is damaged";
                return (next.get(), Stop::Unreadable { why });
            }
            Err(error) => return failed(next, error),
        };
        let mut cursor = Cursor { offset: 0, next, bound: segment.end };
        loop {
            match cursor.read(&mut source, &mut buffer, BLOCK_BYTES) {
                Ok(true) => match give(buffer) {
                    Some(empty) => buffer = empty,
                    None => return (cursor.next.get(), Stop::Cancelled),
                },
                Ok(false) => break,
                Err(BlockError::TooLong) => return (cursor.next.get(), Stop::TooLong),
                Err(BlockError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    let why = "a compressed part of the segment is damaged";
                    return (cursor.next.get(), Stop::Unreadable { why });
                }
                Err(BlockError::Io(error)) => return failed(cursor.next, error),
            }
        }
        next = cursor.next;
        if let Some(end) = segment.end
            && next < end
        {
            return (next.get(), Stop::Gap);
        }
    }
    (next.get(), Stop::End)
}
