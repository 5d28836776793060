//! The policy that is set at run time: kept in the trail's folder, or decided in a store that several servers share.
//!
//! What must hold with a store: the last policy set there is in force at every server that can reach it, each of which records
//! the change in its own trail; a change names the policy that it replaces, so of two at once one is made. While the store cannot be
//! reached the last policy stays in force, since the trail's folder has it.

use std::sync::{Arc, Mutex, PoisonError};

use trailseal_core::{SetPolicyError, Trail};
use trailseal_event::Event;
use trailseal_event::policy::{Acknowledge, Mode, Policy, Treatment};

use crate::problem::{Kind, Problem};
use crate::shared::{Looked, SharedStore};

/// Keeps the policy.
pub(crate) struct PolicyKeeper {
    trail: Trail,
    place: Place,
}

enum Place {
    Own,
    Shared { store: Arc<SharedStore>, followed: Mutex<Followed> },
}

#[derive(Default)]
struct Followed {
    /// The number of the policy that was last put in force here.
    number: u64,
    /// One that could not be, which was logged.
    failed: u64,
}

/// A policy in force, to be replaced.
pub(crate) struct InForce {
    pub(crate) policy: Policy,
    /// Its number in the store; 0 if it is not from there.
    pub(crate) number: u64,
}

/// A policy in the store.
pub(crate) struct StoredPolicy {
    pub(crate) number: u64,
    pub(crate) text: String,
    /// The review that approved it.
    pub(crate) review: Option<String>,
}

impl PolicyKeeper {
    pub(crate) fn new(trail: Trail, shared: Option<Arc<SharedStore>>) -> PolicyKeeper {
        let place = match shared {
            None => Place::Own,
            Some(store) => Place::Shared { store, followed: Mutex::default() },
        };
        PolicyKeeper { trail, place }
    }

    /// The policy in force: with a store, the one that was last set there, which is put in force here first. Blocks.
    pub(crate) fn in_force(&self) -> Result<InForce, Problem> {
        let number = match &self.place {
            Place::Own => 0,
            Place::Shared { store, followed } => self.follow_newest(store, followed)?,
        };
        Ok(InForce { policy: self.trail.policy(), number })
    }

    /// Puts `policy` in force in the place of `before`. The event tells who did it. Returns `false` if the comparison with the
    /// one before must be made again. Blocks.
    pub(crate) fn replace(&self, before: &InForce, policy: &Policy, event: Event) -> Result<bool, Problem> {
        match &self.place {
            Place::Own => match self.trail.replace_policy(&before.policy, policy, None, || Ok(())) {
                Err(SetPolicyError::Outdated) => Ok(false),
                made => {
                    made?;
                    if let Err(error) = self.trail.record_own("policy_set_by", event) {
                        tracing::warn!(error = %error, "one of the trail's own events was refused");
                    }
                    Ok(true)
                }
            },
            Place::Shared { store, followed } => {
                let text = as_kept(policy)?;
                if !store.set_policy(before.number, &text, event)? {
                    return Err(Problem::outdated_policy("look at it, and set it again"));
                }
                self.follow_newest(store, followed)?;
                Ok(true)
            }
        }
    }

    /// Follows what others decided, after a look into the store. Blocks.
    pub(crate) fn follow(&self, looked: &Looked) -> Result<(), Problem> {
        match &self.place {
            Place::Own => Ok(()),
            Place::Shared { store, followed } => {
                let known = followed.lock().unwrap_or_else(PoisonError::into_inner).number;
                if known == looked.policy { Ok(()) } else { self.follow_newest(store, followed).map(drop) }
            }
        }
    }

    /// Puts the policy in force that was last set in the store. Returns its number.
    fn follow_newest(&self, store: &SharedStore, followed: &Mutex<Followed>) -> Result<u64, Problem> {
        // Held over both, so that no older policy comes later.
        let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(set) = store.policy()? else { return Ok(0) };
        let (number, review) = (set.number, set.review.as_deref());
        if number == followed.number {
            return Ok(number);
        }
        let made = Policy::from_toml(&set.text)
            .map_err(|error| SetPolicyError::Invalid(error.to_string()))
            .and_then(|policy| self.put_in_force(&policy, review));
        match made {
            Ok(()) => followed.number = number,
            Err(error) => {
                if followed.failed != number {
                    tracing::error!(error = %error, number, "the policy in the shared store could not be put in force here");
                }
                followed.failed = number;
                return Err(error.into());
            }
        }
        Ok(number)
    }

    fn put_in_force(&self, policy: &Policy, review: Option<&str>) -> Result<(), SetPolicyError> {
        let current = self.trail.policy();
        // As text: a restart finds the one that it had.
        if current.to_toml() == policy.to_toml() {
            return Ok(());
        }
        self.trail.replace_policy(&current, policy, review, || Ok(()))
    }
}

/// Which events wait for a store by this policy, in words; `None` if none do.
pub(crate) fn waits_for_store(policy: &Policy) -> Option<String> {
    let waits = |then: &Treatment| then.mode == Mode::Sync && then.acknowledge == Acknowledge::Store;
    let rule = policy.rules.iter().position(|rule| waits(&rule.then));
    let rule = rule.map(|place| format!("rule {}", place + 1));
    rule.or_else(|| waits(&policy.otherwise).then(|| "all other events".to_owned()))
}

/// Refuses a policy by which events wait for a store where there is none: none of them would ever be confirmed.
pub(crate) fn check_store(trail: &Trail, policy: &Policy) -> Result<(), Problem> {
    match waits_in_vain(trail, policy) {
        Some(detail) => Err(Problem::unprocessable(detail).with("field", "acknowledge")),
        None => Ok(()),
    }
}

/// Why a policy cannot be used with this trail, if by it events would wait for a store where there is none.
pub fn waits_in_vain(trail: &Trail, policy: &Policy) -> Option<String> {
    let which = waits_for_store(policy).filter(|_| !trail.has_store())?;
    Some(format!(
        "the policy cannot be used: {which} would wait for a store, and there is none: use acknowledge = \"durable\", or set \
         index.enabled or store.url"
    ))
}

/// The policy as every server will read it.
pub(crate) fn as_kept(policy: &Policy) -> Result<String, Problem> {
    let text = policy.to_toml();
    let read = Policy::from_toml(&text).map_err(|error| SetPolicyError::Invalid(error.to_string()))?;
    Ok(read.to_toml())
}

impl Problem {
    fn outdated_policy(what: &str) -> Problem {
        let detail = format!("the policy has changed meanwhile: {what}");
        Problem::new(Kind::Outdated, detail)
    }
}

impl From<SetPolicyError> for Problem {
    fn from(error: SetPolicyError) -> Problem {
        match error {
            SetPolicyError::Outdated => Problem::new(
                Kind::Outdated,
                "the policy has changed since this was requested: reject it, and request again",
            ),
            SetPolicyError::Invalid(what) => {
                Problem::unprocessable(format!("the policy cannot be used: {what}"))
            }
            error => Problem::internal(&error),
        }
    }
}
