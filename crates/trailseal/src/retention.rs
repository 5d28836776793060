//! Old events go: by age, never past a legal hold, with every proof intact.

use crate::aside::aside;
use crate::{
    Archive, ForgetSinkError, Hold, HoldAdded, HoldError, Index, KnownSink, RetainError, Retained,
    RetentionRule, Trail,
};

impl Trail {
    /// Retires the events that `rule` selects and nothing keeps, and returns when they are gone. `archive`, if given, has
    /// them first. Their hashes stay in the tree, so every proof and checkpoint stays valid; a signed event
    /// `trail.retired` says what went. Blocks.
    ///
    /// Lines go from closed segments alone, so [`Options::segment`](crate::Options) says how soon. What is old enough and
    /// stays, and why, is in [`Retained::kept`].
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
    /// When nothing was retired, or a disk failure stopped it: what was announced by then is finished by the next run or
    /// the next opening.
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

    /// As [`retain`](Trail::retain), for callers that must not block: within a Tokio runtime the work is done beside it.
    /// Dropping the future ends the waiting alone. `None` if the runtime stops first.
    ///
    /// # Errors
    /// As [`retain`](Trail::retain).
    pub async fn retain_async(
        &self,
        rule: RetentionRule,
        archive: Option<Box<dyn Archive + Send>>,
    ) -> Option<Result<Retained, RetainError>> {
        let (trail, mut archive) = (self.clone(), archive);
        aside(move || match &mut archive {
            Some(archive) => trail.retain(&rule, Some(archive.as_mut())),
            None => trail.retain(&rule, None),
        })
        .await
    }

    /// The legal holds.
    ///
    /// # Errors
    /// When their file cannot be read.
    pub fn holds(&self) -> Result<Vec<Hold>, HoldError> {
        self.core().holds()
    }

    /// Adds a legal hold: what matches its filters is not retired, however old it is, also if it is recorded later.
    /// Filters are names and values as on the command line, with `_` for `-`; without any, everything is held.
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
    /// When there is a hold of this name, a filter is not understood, or the disk fails.
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
    /// When there is none of this name, or the disk fails: then it is still in force.
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

    /// Forgets a sink that is gone for good, so that it holds up no retirement any more; returns the event that says so.
    ///
    /// # Errors
    /// When there is none of this name, it is attached, or the disk fails.
    pub fn forget_sink(&self, name: &str) -> Result<Index, ForgetSinkError> {
        self.core().forget_sink(name)
    }
}
