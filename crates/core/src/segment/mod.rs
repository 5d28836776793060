//! Segments: files of lines, named by the index of their first line.
//!
//! The name of the next segment bounds the one before: lines at or above it are void.

mod name;
mod offsets;
mod writer;

pub use name::{Form, offsets_name, parse_segment_name, segment_name};
pub use offsets::{OFFSETS_EVERY, Offsets};
pub(crate) use writer::{Batch, SegmentWriter};
