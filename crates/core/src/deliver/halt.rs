//! Why a delivery is interrupted.

use super::sink::SinkError;

/// Why a round ended without delivering a batch.
pub(super) enum Halt {
    /// Worth a retry.
    Failed(String),
    /// The sink's events are not the trail's.
    Differs { at: u64, reason: String },
}

/// An error of the sink, with its causes.
pub(super) fn failed(error: impl Into<SinkError>) -> Halt {
    let error = error.into();
    if let SinkError::Differs { at, what } = &error {
        return Halt::Differs { at: at.get(), reason: what.clone() };
    }
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    Halt::Failed(reason)
}
