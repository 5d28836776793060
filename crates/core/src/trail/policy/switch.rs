//! The policy at run time: which one is in force, changing it, and reporting what it left out.

use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use trailseal_event::Object;
use trailseal_event::policy::{Policy, PolicyError};

use super::in_force::{InForce, RuleCounts};
use crate::deadline;
use crate::folder::Folder;
use crate::personal::PersonalKeysError;
use crate::trail::error::RecordError;
use crate::trail::open_trail::Trail;
use crate::trail::opening::circumstances::policy_hash;

const POLICY_BYTES_MAX: u64 = 1 << 20;

/// How long the event of a change may take to reach the disk.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the policy was not changed; the previous one is still in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetPolicyError {
    /// It could not be saved in the trail's folder.
    #[error("could not write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The next opening could not read it.
    #[error("the policy cannot be kept: {0}")]
    Invalid(String),
    /// The policy in force is not the one that it was to replace.
    #[error("the policy has changed meanwhile: check it, and try again")]
    Outdated,
    /// The change did not reach the disk in time, so it was not made.
    #[error("the change of the policy did not reach the disk in time, so it was not made")]
    NotDurable,
    /// Its personal values would have no keys.
    #[error(
        "the policy was not changed: it says that values are personal, and there can be no keys for them"
    )]
    PersonalKeys(#[source] PersonalKeysError),
    /// The change could not be recorded, so it was not made.
    #[error("the change of the policy could not be recorded, so it was not made")]
    Record(#[from] RecordError),
}

/// Why the policy that a trail keeps could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeptPolicyError {
    /// The file could not be read.
    #[error("it could not be read: {0}")]
    Io(#[from] io::Error),
    /// It does not hold a policy.
    #[error("{0}: remove it to return to the settings, or fix it")]
    Policy(#[from] PolicyError),
}

impl Folder {
    /// Where a policy that was set while the trail ran is kept.
    pub fn kept_policy_file(&self) -> PathBuf {
        self.root().join("policy.toml")
    }

    /// The policy that was set while the trail ran, if there is one: it overrides the settings.
    ///
    /// # Errors
    /// When the file cannot be read, or does not hold one.
    pub fn kept_policy(&self) -> Result<Option<Policy>, KeptPolicyError> {
        match self.files().read(&self.kept_policy_file(), POLICY_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
            Ok(bytes) => Ok(Some(Policy::from_toml(&String::from_utf8_lossy(&bytes))?)),
        }
    }
}

impl Trail {
    /// The policy in force.
    pub fn policy(&self) -> Policy {
        self.inner.policy.load().policy.clone()
    }

    /// How often each rule decided since it came into force; the last is for events that matched no rule and were not
    /// kept.
    pub fn rule_counts(&self) -> Vec<RuleCounts> {
        self.inner.policy.load().counts()
    }

    /// Puts another policy in force, and keeps it across openings. The change is an event, `trail.policy_changed`,
    /// which is on disk before anything else is done. What is put in force is what the next opening would read.
    ///
    /// # Errors
    /// When it could not be read back, saved or recorded; then nothing has changed.
    pub fn set_policy(&self, policy: Policy) -> Result<(), SetPolicyError> {
        self.inner.refuse_forked()?;
        let (policy, text) = as_kept(&policy)?;
        let _one_at_a_time = self.inner.switching.lock().unwrap_or_else(PoisonError::into_inner);
        self.switch(policy, Change::by("set"), || self.keep(&text))
    }

    /// Like [`set_policy`](Trail::set_policy), if the policy in force is still `expected`. `first` is called when that
    /// is certain and before anything is changed; if it fails, nothing is. A change that somebody decided upon names
    /// its `review`.
    ///
    /// # Errors
    /// As `set_policy`, and [`SetPolicyError::Outdated`]; or what `first` returns.
    pub fn replace_policy<E: From<SetPolicyError>>(
        &self,
        expected: &Policy,
        policy: &Policy,
        review: Option<&str>,
        first: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        self.inner.refuse_forked().map_err(SetPolicyError::from)?;
        let (policy, text) = as_kept(policy)?;
        let _one_at_a_time = self.inner.switching.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_in_force(expected)?;
        first()?;
        let by = if review.is_some() { "review" } else { "set" };
        Ok(self.switch(policy, Change { by, review }, || self.keep(&text))?)
    }

    /// Called while nobody else changes it.
    fn check_in_force(&self, expected: &Policy) -> Result<(), SetPolicyError> {
        // As text, since two that differ in something without effect are the same policy.
        match self.policy().to_toml() == expected.to_toml() {
            true => Ok(()),
            false => Err(SetPolicyError::Outdated),
        }
    }

    fn keep(&self, text: &str) -> Result<(), SetPolicyError> {
        let path = self.folder().kept_policy_file();
        let kept = self.folder().files().replace(&path, text.as_bytes(), false);
        kept.map_err(|source| SetPolicyError::Io { path, source })
    }

    /// Returns to a policy from the settings: what was set while the trail ran is forgotten.
    ///
    /// # Errors
    /// As [`set_policy`](Trail::set_policy).
    pub fn reset_policy(&self, policy: Policy) -> Result<(), SetPolicyError> {
        self.reset(None, policy)
    }

    /// Like [`reset_policy`](Trail::reset_policy), if the policy in force is still `expected`.
    ///
    /// # Errors
    /// As `reset_policy`, and [`SetPolicyError::Outdated`].
    pub fn reset_policy_from(&self, expected: &Policy, policy: Policy) -> Result<(), SetPolicyError> {
        self.reset(Some(expected), policy)
    }

    fn reset(&self, expected: Option<&Policy>, policy: Policy) -> Result<(), SetPolicyError> {
        self.inner.refuse_forked()?;
        let _one_at_a_time = self.inner.switching.lock().unwrap_or_else(PoisonError::into_inner);
        expected.map_or(Ok(()), |expected| self.check_in_force(expected))?;
        let folder = self.folder();
        self.switch(policy, Change::by("settings"), || {
            let path = folder.kept_policy_file();
            let aside = path.with_extension("toml.removed");
            // A rename is durable and a removal is not: after a power loss the old policy must not be back.
            match folder.files().rename(&path, &aside) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(source) => Err(SetPolicyError::Io { path, source }),
                Ok(()) => {
                    // Nobody reads it.
                    let _ = folder.files().remove(&aside);
                    Ok(())
                }
            }
        })
    }

    /// In this order: the event is on disk, the folder has the policy, the policy is in force. If the second step
    /// fails, another event says that everything is unchanged.
    fn switch(
        &self,
        policy: Policy,
        change: Change<'_>,
        keep: impl FnOnce() -> Result<(), SetPolicyError>,
    ) -> Result<(), SetPolicyError> {
        let log = &self.inner.log;
        self.inner.ensure_keys(&policy).map_err(SetPolicyError::PersonalKeys)?;
        // Counts are per rule, and the rules go.
        self.inner.counts.record();
        let before = self.inner.policy.load();
        let from = before.policy.to_toml();
        let index = self.record_change(change, &from, &policy)?;
        log.wake_writer();
        let is_durable = log.progress.wait_durable(index, deadline::after(CHANGE_TIMEOUT));
        let kept = if is_durable { keep() } else { Err(SetPolicyError::NotDurable) };
        match kept {
            Ok(()) => {
                // The next opening reports a failure, as a policy that nobody is known to have set.
                let _ = log.folder.note_policy(index);
                self.inner.policy.store(InForce::new(policy, before.sampler().clone()));
                Ok(())
            }
            Err(error) => {
                // Refused only when the buffer is full; then only the caller's error reports it.
                let _ = self.record_change(Change::by("taken_back"), &policy.to_toml(), &before.policy);
                Err(error)
            }
        }
    }

    fn record_change(&self, change: Change<'_>, from: &str, to: &Policy) -> Result<u64, RecordError> {
        let mut details = Object::default();
        details.insert("by", change.by);
        if let Some(review) = change.review {
            details.insert("review", review);
        }
        details.insert("from", from);
        details.insert("to", to.to_toml());
        details.insert("policy", policy_hash(to));
        self.record_system("trail.policy_changed", details)
    }
}

/// Why the policy changes.
#[derive(Clone, Copy)]
struct Change<'a> {
    by: &'a str,
    review: Option<&'a str>,
}

impl<'a> Change<'a> {
    fn by(by: &'a str) -> Change<'a> {
        Change { by, review: None }
    }
}

/// The policy as the next opening will read it, and its text.
fn as_kept(policy: &Policy) -> Result<(Policy, String), SetPolicyError> {
    let text = policy.to_toml();
    if text.len() as u64 > POLICY_BYTES_MAX {
        return Err(SetPolicyError::Invalid(format!("it has over {POLICY_BYTES_MAX} bytes")));
    }
    let read = Policy::from_toml(&text).map_err(|error| SetPolicyError::Invalid(error.what))?;
    Ok((read, text))
}
