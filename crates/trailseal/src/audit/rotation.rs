//! When the plain file is rotated.

/// When the plain file is put aside and another is begun. The trail rolls its segments at the same times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RotationPolicy {
    /// Never.
    Never,
    /// With the first event of another day (UTC).
    Daily,
    /// Before it would exceed this many bytes.
    SizeBased(u64),
}
