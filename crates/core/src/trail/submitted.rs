//! What somebody hands in for others: JSON texts, and in whose name.

use std::sync::Arc;

/// Who hands events in.
#[derive(Clone, Debug, Default)]
pub struct Submitter {
    /// The value of `recorded_by`: the name of a token, or of a process.
    pub recorded_by: Option<Arc<str>>,
    /// The only tenant it may write for. An event without a tenant gets this one.
    pub tenant: Option<Arc<str>>,
    /// Whether its events are read strictly, even if the trail's [`Options`](super::Options) do not say so.
    pub strict: bool,
}

/// One event of a request.
#[derive(Clone, Debug)]
pub struct Submitted<'a> {
    /// The event as JSON text.
    pub json: &'a [u8],
    /// Its id, if it has no id of its own.
    pub id: Option<String>,
}
