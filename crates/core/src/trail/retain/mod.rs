//! Retirement of old events: the run, and what it goes by.

mod archive;
mod error;
mod hold;
mod rule;
mod sink;

pub use archive::{Archive, Archived, Retiring};
pub use error::{ArchiveError, ForgetSinkError, HoldError, RetainError};
pub use hold::{Hold, HoldAdded, holds_in};
pub use rule::{Kept, KnownSink, RETAIN_DAYS_MAX, Retained, RetentionRule, SinkBehind};

use super::inner::Trail;

impl Trail {
    /// Retires the events that `rule` selects and nothing keeps, and returns when they are gone. `archive`, if given,
    /// has them first.
    ///
    /// # Errors
    /// When nothing was retired, or a disk failure stopped it: what was announced by then is finished by the next run,
    /// or by the next opening.
    pub fn retain(
        &self,
        rule: &RetentionRule,
        archive: Option<&mut dyn Archive>,
    ) -> Result<Retained, RetainError> {
        let _ = archive;
        Err(RetainError::Days { days: rule.older_than_days })
    }

    /// What [`retain`](Trail::retain) would retire now. Changes nothing.
    ///
    /// # Errors
    /// As `retain`.
    pub fn would_retain(&self, rule: &RetentionRule) -> Result<Retained, RetainError> {
        Err(RetainError::Days { days: rule.older_than_days })
    }
}
