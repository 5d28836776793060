//! Segments: files of lines, named by the index of their first line.
//!
//! The name of the next segment bounds the one before: lines at or above it are void.

pub(crate) mod blocks;
mod cached;
mod compress;
mod frames;
mod name;
mod offsets;
mod options;
mod reader;
mod retired;
pub(crate) mod source;
mod writer;

pub(crate) use cached::{CachedLines, Piece as CachedPiece};
pub(crate) use compress::LEVEL;
pub use compress::compress;
pub(crate) use frames::{FrameLen, encode_seek_table};
pub(crate) use name::parse_retired_name;
pub use name::{Form, SegmentFile, offsets_name, parse_segment_name, retired_name, segment_name};
pub use offsets::{OFFSETS_EVERY, Offsets};
pub use options::{Roll, SegmentOptions};
pub use reader::LineReader;
pub use retired::retired_in;
pub(crate) use retired::{NumberedLines, Numbering, RetiredList, read_list, write_ranges};
pub(crate) use writer::{Batch, SegmentWriter};
