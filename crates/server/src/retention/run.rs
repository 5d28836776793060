//! The run that everything leads to.

use std::sync::Arc;

use trailseal_core::{RetainError, Retained, RetentionRule, Trail};
use trailseal_event::Value;

use super::hold_keeper::HoldKeeper;
use crate::access::Caller;
use crate::config::RetentionConfig;
use crate::own_events::{details, note};
use crate::problem::{Kind, Problem};

/// Retirement of the server's own trail.
pub(crate) struct Retention {
    pub(super) trail: Trail,
    pub(super) config: RetentionConfig,
    holds: Arc<HoldKeeper>,
}

impl Retention {
    pub(crate) fn new(trail: Trail, config: RetentionConfig, holds: Arc<HoldKeeper>) -> Retention {
        Retention { trail, config, holds }
    }

    /// Makes sure that everything is held that is held anywhere. Blocks.
    pub(crate) fn make_sure_of_holds(&self) -> Result<(), Problem> {
        self.holds.make_sure()
    }

    /// What would go. Blocks.
    pub(crate) fn would(&self, rule: &RetentionRule) -> Result<Retained, Problem> {
        self.make_sure_of_holds()?;
        Ok(self.trail.would_retain(rule)?)
    }

    /// Retires, with the archive at `place`, or that of the settings. Blocks until it is done.
    pub(crate) fn run(&self, rule: &RetentionRule, place: Option<&str>) -> Result<Retained, Problem> {
        self.make_sure_of_holds()?;
        let Some(place) = place.or(self.config.archive.as_deref()) else {
            return Ok(self.trail.retain(rule, None)?);
        };
        let mut archive = trailseal_export::archive(place, rule)
            .map_err(|error| Problem::unprocessable(error.to_string()).with("field", "archive"))?;
        Ok(self.trail.retain(rule, Some(archive.as_mut()))?)
    }

    /// As [`run`](Retention::run), and records for whom: with the review, if a second person approved it in one.
    pub(crate) fn run_for(
        &self,
        caller: &Caller,
        rule: &RetentionRule,
        place: Option<&str>,
        review: Option<&str>,
    ) -> Result<Retained, Problem> {
        let retained = self.run(rule, place)?;
        if !retained.retired_by.is_empty() || review.is_some() {
            let mut members = details([("review", review.map(str::to_owned))]);
            members.insert("events", retained.events);
            let by = retained.retired_by.iter().map(|index| Value::from(index.get()));
            members.insert("retired", Value::Array(by.collect()));
            note(&self.trail, "retired_by", caller, members);
        }
        Ok(retained)
    }
}

/// Work on the disk that may take minutes: it takes no turn from requests that are soon done.
pub(crate) async fn long<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

impl From<RetainError> for Problem {
    fn from(error: RetainError) -> Problem {
        let text = error.to_string();
        match &error {
            RetainError::Days { .. } => Problem::unprocessable(text).with("field", "older_than_days"),
            RetainError::Running => Problem::new(Kind::Running, text),
            RetainError::Clock { .. } => Problem::new(Kind::Clock, text),
            RetainError::NotSealed { .. } => Problem::new(Kind::NotSealed, text).retry_after(60),
            RetainError::Archive(cause) => {
                tracing::error!(error = %cause, "the archive did not take events, so nothing was retired");
                let detail = format!("{text}: see the server's log");
                Problem::new(Kind::Archive, detail)
            }
            RetainError::Refused(_) => Problem::unavailable(text),
            _ => Problem::internal(&error),
        }
    }
}
