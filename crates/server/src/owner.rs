//! What the owner of a trail's folder decides by command.

use std::path::Path;
use std::sync::Arc;

use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::{Hold, HoldAdded, Trail};
use trailseal_event::Object;
use trailseal_event::policy::Policy;

use crate::access::{Caller, NewToken, TokenError, TokenInfo, Tokens};
use crate::config::Config;
use crate::own_events::{details, event_of};
use crate::policies::{InForce, PolicyKeeper};
use crate::problem::Problem;
use crate::retention::HoldKeeper;
use crate::shared::{self, SharedStore};

/// The owner of a trail's folder. What is decided together with others is decided in the store that the configuration shares,
/// and each decision is an event of the trail. Everything here blocks.
#[derive(Clone)]
pub struct Owner {
    trail: Trail,
    shared: Option<Arc<SharedStore>>,
    policies: Arc<PolicyKeeper>,
    holds: Arc<HoldKeeper>,
}

/// Why something was not decided.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct NotDecided {
    text: String,
    /// Whether the answer is no, as when somebody else came first, rather than that it could not be decided.
    pub is_no: bool,
}

impl From<Problem> for NotDecided {
    fn from(problem: Problem) -> Self {
        NotDecided {
            is_no: matches!(problem.status().as_u16(), 404 | 409),
            text: problem.detail().to_owned(),
        }
    }
}

/// A policy in force, which another may replace.
pub struct PolicyInForce(InForce);

impl PolicyInForce {
    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }
}

impl Owner {
    /// The owner of this trail's folder, while no server runs.
    ///
    /// # Errors
    /// When the store that the configuration shares cannot be reached or used.
    pub fn new(trail: Trail, config: &Config) -> Result<Owner, NotDecided> {
        let shared = shared::of(config, &trail);
        if let Some(shared) = &shared {
            shared.reach().map_err(|text| NotDecided { text, is_no: false })?;
        }
        let policies = Arc::new(PolicyKeeper::new(trail.clone(), shared.clone()));
        let holds = Arc::new(HoldKeeper::new(trail.clone(), shared.clone()));
        let owner = Owner::of(trail, shared, policies, holds);
        // What an earlier command was interrupted at.
        owner.settle();
        Ok(owner)
    }

    pub(crate) fn of(
        trail: Trail,
        shared: Option<Arc<SharedStore>>,
        policies: Arc<PolicyKeeper>,
        holds: Arc<HoldKeeper>,
    ) -> Owner {
        Owner { trail, shared, policies, holds }
    }

    /// Whether it decides together with others.
    pub fn shares(&self) -> bool {
        self.shared.is_some()
    }

    /// Makes a token and returns it; it cannot be shown again later.
    ///
    /// # Errors
    /// When the name is taken or cannot be used, or where tokens are cannot be written.
    pub fn create_token(&self, new: NewToken) -> Result<String, TokenError> {
        let token = self.tokens()?.create(&self.trail, &Caller::owner(), new, SystemClock.now());
        self.settle();
        token
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// When there is none with this name, or where tokens are cannot be written.
    pub fn revoke_token(&self, name: &str) -> Result<(), TokenError> {
        let revoked = self.tokens()?.revoke(&self.trail, &Caller::owner(), name);
        self.settle();
        revoked
    }

    fn tokens(&self) -> Result<Tokens, TokenError> {
        Tokens::load(self.trail.folder().root(), self.shared.as_ref())
    }

    /// Adds a legal hold.
    ///
    /// # Errors
    /// When its name is taken, it cannot be one, or it cannot be kept.
    pub fn add_hold(
        &self,
        name: &str,
        reason: &str,
        filters: &[(String, String)],
    ) -> Result<HoldAdded, NotDecided> {
        let told = event_of(&Caller::owner(), details([("name", Some(name.to_owned()))]));
        let added = self.holds.add(name, reason, filters, told);
        self.settle();
        Ok(added?)
    }

    /// Removes a legal hold.
    ///
    /// # Errors
    /// When there is none of this name, or that cannot be kept.
    pub fn remove_hold(&self, name: &str) -> Result<(), NotDecided> {
        let told = event_of(&Caller::owner(), details([("name", Some(name.to_owned()))]));
        let removed = self.holds.remove(name, told);
        self.settle();
        Ok(removed?)
    }

    /// Makes sure that the trail holds what is held anywhere: to be called before anything is retired or erased.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn make_sure_of_holds(&self) -> Result<(), NotDecided> {
        Ok(self.holds.make_sure()?)
    }

    /// The policy in force.
    ///
    /// # Errors
    /// When the store does not say.
    pub fn policy(&self) -> Result<PolicyInForce, NotDecided> {
        Ok(PolicyInForce(self.policies.in_force()?))
    }

    /// Puts another policy in force in the place of the one before.
    ///
    /// # Errors
    /// When somebody else came first, or it cannot be kept.
    pub fn replace_policy(&self, before: &PolicyInForce, policy: &Policy) -> Result<(), NotDecided> {
        let event = event_of(&Caller::owner(), Object::default());
        let replaced = self.policies.replace(&before.0, policy, event);
        self.settle();
        match replaced? {
            true => Ok(()),
            false => Err(Problem::from(trailseal_core::SetPolicyError::Outdated).into()),
        }
    }

    /// Lets the store know what is recorded, and records what is not yet. What fails here is done by the next look.
    fn settle(&self) {
        if let Some(shared) = &self.shared {
            let _ = shared.look();
        }
    }
}

/// All tokens of a trail's folder, and those of the store that the configuration shares, without their secrets.
///
/// # Errors
/// When they cannot be read.
pub fn tokens_in(folder: &Path, config: &Config) -> Result<Vec<TokenInfo>, TokenError> {
    let mut infos = Tokens::load(folder, None)?.list()?;
    infos.extend(shared::tokens_of(config)?);
    infos.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(infos)
}

/// The legal holds in the store that the configuration shares; none if it shares none.
///
/// # Errors
/// When they cannot be read.
pub fn shared_holds(config: &Config) -> Result<Vec<Hold>, NotDecided> {
    shared::holds_of(config).map_err(|text| NotDecided { text, is_no: false })
}
