//! Where a span is in a distributed trace.

/// The ids of a span in a distributed trace, as lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceIds {
    /// The trace: 32 digits.
    pub trace_id: String,
    /// The span: 16 digits.
    pub span_id: String,
}
