//! Retiring old events: by age, never against a legal hold, and with every proof intact.

use crate::blocking_work::aside;
use crate::{
    Archive, ForgetSinkError, Hold, HoldAdded, HoldError, Index, KnownSink, RetainError, Retained,
    RetentionRule, Trail,
};

impl Trail {
    /// Retires the events that `rule` selects and that nothing holds back, and returns when they are gone. If an `archive` is
    /// given, it gets them first. Their hashes stay in the tree, so every proof and checkpoint stays valid; a signed event
    /// `trail.retired` says what was removed. Blocks.
    ///
    /// Only closed segments lose lines, so [`Options::segment`](crate::Options) determines how soon that happens.
    /// [`Retained::kept`] says which old events stay, and why.
    ///
    /// ```
    /// use trailseal::{RetentionRule, Trail};
    ///
    /// let trail = Trail::temporary()?;
    /// let retained = trail.retain(&RetentionRule::older_than_days(90), None)?;
    /// assert_eq!(retained.events, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When nothing was retired, or a disk failure interrupted it; the next run or opening then finishes what was announced.
    pub fn retain(
        &self,
        rule: &RetentionRule,
        archive: Option<&mut dyn Archive>,
    ) -> Result<Retained, RetainError> {
        self.core().retain(rule, archive)
    }

    /// What [`retain`](Trail::retain) would retire now. Changes nothing.
    ///
    /// # Errors
    /// As [`retain`](Trail::retain).
    pub fn would_retain(&self, rule: &RetentionRule) -> Result<Retained, RetainError> {
        self.core().would_retain(rule)
    }

    /// Like [`retain`](Trail::retain), for callers that must not block: within a Tokio runtime, a blocking thread does the work.
    /// Dropping the future only ends the waiting.
    ///
    /// # Errors
    /// As [`retain`](Trail::retain), and [`RetainError::Stopped`] if the runtime stops first: then the result is not known
    /// here, and the next opening finishes what was announced.
    pub async fn retain_async(
        &self,
        rule: RetentionRule,
        archive: Option<Box<dyn Archive + Send>>,
    ) -> Result<Retained, RetainError> {
        let (trail, mut archive) = (self.clone(), archive);
        aside(move || match &mut archive {
            Some(archive) => trail.retain(&rule, Some(archive.as_mut())),
            None => trail.retain(&rule, None),
        })
        .await
        .unwrap_or(Err(RetainError::Stopped))
    }

    /// The legal holds.
    ///
    /// # Errors
    /// When their file cannot be read.
    pub fn holds(&self) -> Result<Vec<Hold>, HoldError> {
        self.core().holds()
    }

    /// Adds a legal hold: events that match its filters are not retired, however old they are, including later events.
    /// Filters are names and values as on the command line, with `_` instead of `-`. Without filters, all events are held.
    ///
    /// ```
    /// use trailseal::Trail;
    ///
    /// let trail = Trail::temporary()?;
    /// trail.add_hold("case-7", "Acme v. Example", &[("tenant".into(), "acme".into())])?;
    /// assert_eq!(trail.holds()?[0].name, "case-7");
    /// trail.remove_hold("case-7")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a hold with this name exists, a filter is invalid, or the disk fails.
    pub fn add_hold(
        &self,
        name: &str,
        reason: &str,
        filters: &[(String, String)],
    ) -> Result<HoldAdded, HoldError> {
        self.core().add_hold(name, reason, filters)
    }

    /// Removes a legal hold; returns the event that says so.
    ///
    /// # Errors
    /// When there is none with this name, or the disk fails; it then stays in force.
    pub fn remove_hold(&self, name: &str) -> Result<Index, HoldError> {
        self.core().remove_hold(name)
    }

    /// The sinks that must have received an event before it may be retired.
    ///
    /// # Errors
    /// When their file cannot be read.
    pub fn sinks(&self) -> std::io::Result<Vec<KnownSink>> {
        self.core().sinks()
    }

    /// Forgets a sink that is gone for good, so it no longer holds back retirement. Returns the event that says so.
    ///
    /// # Errors
    /// When there is none of this name, it is attached, or the disk fails.
    pub fn forget_sink(&self, name: &str) -> Result<Index, ForgetSinkError> {
        self.core().forget_sink(name)
    }
}
