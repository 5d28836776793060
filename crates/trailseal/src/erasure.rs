//! A person's values become unreadable for ever, with every proof intact.

use std::sync::Arc;

use trailseal_event::personal::{PersonalKeys, SeveralKeys};

use crate::blocking_work::aside;
use crate::{EraseError, Erased, Trail, WouldErase};

impl Trail {
    /// Erases a person: destroys the keys under which their values in fields that the policy names as
    /// [personal](crate::PersonalRule) were encrypted, and returns when that is on disk. From then on nobody can read
    /// them, in this folder, its bundles or any copy of it; every proof and checkpoint stays valid. `subject` is what the
    /// rule's `subject` field holds; tenants do not count. A signed event `trail.erased` names the keys, never the person, nor
    /// who asked: record that yourself. Blocks.
    ///
    /// What it does not reach: what stands in other fields, plain exports, and copies of the key file.
    /// [`would_erase`](Trail::would_erase) counts the first.
    ///
    /// ```
    /// use trailseal::{Event, Options, Policy, Query, Trail};
    ///
    /// let mut options = Options::default();
    /// options.policy = Policy::from_toml("[[personal]]\nfield = \"actor.name\"\nsubject = \"actor.id\"\n")?;
    /// let trail = Trail::temporary_with(options)?;
    /// trail.record(Event::new("user.login").actor("u1").actor_name("Ann Example"))?;
    /// let name = |query| Ok::<_, trailseal::QueryError>(trail.query(query)?.events[0].get("actor.name"));
    /// assert_eq!(name(Query::new())?, Some("erasable".into()));
    /// assert_eq!(name(Query::new().with_personal())?, Some("Ann Example".into()));
    ///
    /// trail.erase("u1")?;
    /// assert_eq!(name(Query::new().with_personal())?, Some("erased".into()));
    /// assert!(trail.verify()?.ok);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When there is nothing of this person, a legal hold holds an event of theirs, or the disk fails: then nothing was
    /// erased, or what was announced by then is finished by the next run or the next opening.
    pub fn erase(&self, subject: &str) -> Result<Erased, EraseError> {
        self.core().erase(subject)
    }

    /// What [`erase`](Trail::erase) would reach, field by field, and where the person's id stands in plain text, which it
    /// would not. Reads the whole trail, and changes nothing.
    ///
    /// # Errors
    /// When the trail cannot be read.
    pub fn would_erase(&self, subject: &str) -> Result<WouldErase, EraseError> {
        self.core().would_erase(subject)
    }

    /// As [`erase`](Trail::erase), for callers that must not block: within a Tokio runtime the work is done beside it.
    /// Dropping the future ends the waiting alone.
    ///
    /// # Errors
    /// As [`erase`](Trail::erase), and [`EraseError::Stopped`] if the runtime stops first: then the result is not known here,
    /// and the next opening completes the erasure or cancels it.
    pub async fn erase_async(&self, subject: impl Into<String>) -> Result<Erased, EraseError> {
        let (trail, subject) = (self.clone(), subject.into());
        aside(move || trail.erase(&subject)).await.unwrap_or(Err(EraseError::Stopped))
    }

    /// What opens personal values, for a query that asks for them in plain.
    pub(crate) fn personal_keys(&self) -> Arc<dyn PersonalKeys> {
        self.core().personal_keys().unwrap_or_else(|| Arc::new(SeveralKeys::default()))
    }
}
