//! Why a delivery halts: for a while, or for good.

use std::io;

use super::lines::Misplaced;
use super::sink::SinkError;
use crate::causes::with_causes;

/// Why a round ended without delivering a batch.
pub(super) enum Halt {
    /// Worth a retry.
    Failed(String),
    /// The sink's events are not the trail's.
    Differs { at: u64, reason: String },
}

/// A segment that holds other lines than it must is no matter of time.
pub(super) fn unread(error: io::Error) -> Halt {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<Misplaced>()) {
        Some(misplaced) => Halt::Differs { at: misplaced.at, reason: misplaced.to_string() },
        None => failed(error),
    }
}

/// A sink that holds what the trail did not write is no matter of time; everything else is.
pub(super) fn failed(error: impl Into<SinkError>) -> Halt {
    let error = error.into();
    if let SinkError::Differs { at, what } = &error {
        return Halt::Differs { at: at.get(), reason: what.clone() };
    }
    Halt::Failed(with_causes(&error))
}
