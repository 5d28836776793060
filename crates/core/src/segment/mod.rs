//! Segments: files of lines, named by the index of their first line.
//!
//! The name of the next segment bounds the one before: lines at or above it are void.

mod name;

pub use name::{Form, offsets_name, parse_segment_name, segment_name};
