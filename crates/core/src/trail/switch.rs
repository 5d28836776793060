//! The policy while the trail runs: which is in force, changing it, and telling what it left out.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::recording::push_system;
use super::shared::Shared;
use super::{Folder, RecordError, Trail};
use crate::event::{Category, Event, Object, Value};
use crate::policy::{InForce, Policy, PolicyError, RuleCounts};

const POLICY_BYTES_MAX: u64 = 1 << 20;

/// Why the policy was not changed; the one before is still in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetPolicyError {
    /// It could not be kept in the trail's folder.
    #[error("could not write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The change could not be recorded, and so was not made.
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
    /// It holds no policy.
    #[error("{0}: remove it to return to the settings, or mend it")]
    Policy(#[from] PolicyError),
}

impl Folder {
    /// Where a policy is kept that was set while the trail ran.
    pub fn kept_policy_file(&self) -> PathBuf {
        self.root().join("policy.toml")
    }

    /// The policy that was set while the trail ran, if there is one: it wins over the settings.
    ///
    /// # Errors
    /// When the file cannot be read, or holds none.
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
        self.inner.shared.policy.load().policy.clone()
    }

    /// How often each rule decided since it came into force; the last is for events that no rule matched and
    /// that were not kept.
    pub fn rule_counts(&self) -> Vec<RuleCounts> {
        self.inner.shared.policy.load().counts()
    }

    /// Puts another policy in force, and keeps it across openings. The change is an event,
    /// `trail.policy_changed`, recorded before the policy applies.
    ///
    /// # Errors
    /// When it cannot be kept or recorded; then nothing has changed.
    pub fn set_policy(&self, policy: Policy) -> Result<(), SetPolicyError> {
        self.inner.refuse_forked()?;
        let _one_at_a_time = self.inner.switching.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder();
        let path = folder.kept_policy_file();
        let before = folder.files().read(&path, POLICY_BYTES_MAX).ok();
        let failed = |source| SetPolicyError::Io { path: path.clone(), source };
        folder.files().replace(&path, policy.to_toml().as_bytes(), false).map_err(failed)?;
        self.switch(policy, "set").inspect_err(|_| {
            // What was kept before is kept again; if even that fails, the next opening says which policy it has.
            let _ = match before {
                Some(bytes) => folder.files().replace(&path, &bytes, false),
                None => folder.files().remove(&path),
            };
        })
    }

    /// Returns to a policy from the settings: what was set while the trail ran is forgotten.
    ///
    /// # Errors
    /// As [`set_policy`](Trail::set_policy).
    pub fn reset_policy(&self, policy: Policy) -> Result<(), SetPolicyError> {
        self.inner.refuse_forked()?;
        let _one_at_a_time = self.inner.switching.lock().unwrap_or_else(PoisonError::into_inner);
        self.switch(policy, "settings")?;
        let path = self.folder().kept_policy_file();
        match self.folder().files().remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SetPolicyError::Io { path, source: error })
            }
            _ => Ok(()),
        }
    }

    fn switch(&self, policy: Policy, by: &str) -> Result<(), SetPolicyError> {
        let shared = &self.inner.shared;
        // Counts are per rule, and the rules go.
        record_counts(shared);
        let before = shared.policy.load_full();
        let mut details = Object::default();
        details.insert("by", by);
        details.insert("from", before.policy.to_toml());
        details.insert("to", policy.to_toml());
        self.record_system("trail.policy_changed", details)?;
        shared.policy.store(Arc::new(InForce::new(policy, before.sampler().clone())));
        Ok(())
    }
}

/// Records `trail.counts`: what was refused, unconfirmed or left out since the last one, if anything was.
pub(crate) fn record_counts(shared: &Shared) {
    let counted = shared.counters.read();
    let mut told = shared.counts_told.lock().unwrap_or_else(PoisonError::into_inner);
    let news = [
        ("refused", counted.refused - told.refused),
        ("unconfirmed", counted.unconfirmed - told.unconfirmed),
        ("sampled_out", counted.sampled_out - told.sampled_out),
        ("off", counted.off - told.off),
    ];
    if news.iter().all(|(_, count)| *count == 0) {
        return;
    }
    let mut details = Object::default();
    for (name, count) in news {
        details.insert(name, count);
    }
    let rules: Vec<Value> = shared.policy.load().counts().iter().map(rule_details).collect();
    if rules.len() > 1 {
        details.insert("rules", Value::Array(rules));
    }
    let event =
        Event { action: "trail.counts".into(), category: Category::System, details, ..Event::default() };
    // Refused only when the buffer is full; then the next one tells of these too.
    if push_system(shared, &event).is_ok() {
        *told = counted;
    }
}

fn rule_details(counts: &RuleCounts) -> Value {
    let mut details = Object::default();
    details.insert("matched", counts.matched);
    details.insert("sampled_out", counts.sampled_out);
    details.insert("off", counts.off);
    Value::Object(details)
}
