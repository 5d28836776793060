//! When a segment ends, and what becomes of it.

/// The files of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentOptions {
    /// When a new one starts.
    pub roll: Roll,
    /// Whether closed ones are compressed.
    pub compress: bool,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        SegmentOptions { roll: Roll::Bytes(256 << 20), compress: false }
    }
}

/// When a new segment starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roll {
    /// Before it would exceed this many bytes.
    Bytes(u64),
    /// With the first line of another hour (UTC).
    Hour,
    /// With the first line of another day (UTC).
    Day,
    /// Never.
    Never,
}
