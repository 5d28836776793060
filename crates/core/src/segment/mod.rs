//! Segments: files of lines, named by the index of their first line.
//!
//! The name of the next segment bounds the one before: lines at or above it are void.

pub(crate) mod blocks;
mod compress;
mod frames;
mod name;
mod offsets;
mod options;
mod page_cache;
mod reader;
mod retired;
pub(crate) mod source;
mod writer;

pub(crate) use compress::LEVEL;
pub use compress::compress;
pub(crate) use frames::{FrameLen, encode_seek_table};
pub use name::{Form, SegmentFile};
pub(crate) use name::{offsets_name, parse_retired_name, parse_segment_name, retired_name, segment_name};
pub(crate) use offsets::OFFSETS_EVERY;
pub use offsets::Offsets;
pub use options::{Roll, SegmentOptions};
pub(crate) use page_cache::{CachedLines, Piece as CachedPiece};
pub(crate) use reader::LineReader;
pub(crate) use retired::{NumberedLines, Numbering, read_list, write_range};
pub use retired::{RetiredList, RetiredSegment, retired_in};
pub(crate) use writer::{Batch, SegmentWriter};
