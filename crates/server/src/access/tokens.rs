//! The tokens of a server: in its trail's folder, or in a store that it shares with others. Whoever makes or revokes one
//! makes an event, too.

use std::path::Path;
use std::sync::Arc;

use trailseal_core::Trail;
use trailseal_event::{Object, Timestamp};

use super::caller::Caller;
use super::own_tokens::OwnTokens;
use super::scope::Scope;
use super::shared_tokens::SharedTokens;
use super::token::{NewToken, TokenError, TokenInfo};
use super::viewer_token::Grant;
use crate::own_events::{details, note};
use crate::problem::Problem;
use crate::shared::{Looked, SharedStore};

/// All tokens.
pub(crate) struct Tokens(Place);

enum Place {
    Own(Box<OwnTokens>),
    Shared(SharedTokens),
}

impl Tokens {
    /// The tokens in the trail's folder, where there may be none, and those in the shared store, if there is one.
    pub(crate) fn load(folder: &Path, shared: Option<&Arc<SharedStore>>) -> Result<Tokens, TokenError> {
        let own = OwnTokens::load(folder)?;
        Ok(Tokens(match shared {
            None => Place::Own(Box::new(own)),
            Some(shared) => Place::Shared(SharedTokens::new(own, shared.clone())),
        }))
    }

    /// The owner of this token, if it is valid; an error if that cannot be told.
    pub(crate) async fn find(&self, token: &str, now: Timestamp) -> Result<Option<Caller>, Problem> {
        match &self.0 {
            Place::Own(own) => Ok(find_in(own, token, now)),
            Place::Shared(shared) => shared.find(token, now).await,
        }
    }

    /// Whether the caller would still be let in: a stream outlives the check at its start.
    pub(crate) fn still_let_in(&self, caller: &Caller, now: Timestamp) -> bool {
        caller.token().is_none_or(|token| match &self.0 {
            Place::Own(own) => find_in(own, token, now).is_some(),
            Place::Shared(shared) => shared.find_known(token, now).is_some(),
        })
    }

    /// Makes a token and returns it; it cannot be shown again later. Blocks.
    pub(crate) fn create(
        &self,
        trail: &Trail,
        caller: &Caller,
        new: NewToken,
        now: Timestamp,
    ) -> Result<String, TokenError> {
        let check = |tenant: &str| trail.check_tenant(tenant);
        let told = told(&new);
        match &self.0 {
            Place::Own(own) => {
                let token = own.create(new, now, check)?;
                note(trail, "token_created", caller, told);
                Ok(token)
            }
            Place::Shared(shared) => shared.create(new.make(now, check)?, caller, told, now),
        }
    }

    /// Makes a token that allows the usual, if there is none at all. Blocks.
    pub(crate) fn create_first(
        &self,
        trail: &Trail,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<String>, TokenError> {
        let new = NewToken { name: name.into(), scopes: Scope::USUAL.to_vec(), tenant: None, expires: None };
        match &self.0 {
            Place::Own(own) if !own.is_empty() => Ok(None),
            Place::Own(_) => self.create(trail, &Caller::owner(), new, now).map(Some),
            Place::Shared(shared) => {
                let told = told(&new);
                shared.create_first(new.make(now, |_| Ok(()))?, &Caller::owner(), told)
            }
        }
    }

    /// Revokes a token. Blocks.
    pub(crate) fn revoke(&self, trail: &Trail, caller: &Caller, name: &str) -> Result<(), TokenError> {
        let told = details([("name", Some(name.to_owned()))]);
        match &self.0 {
            Place::Own(own) => {
                own.revoke(name)?;
                note(trail, "token_revoked", caller, told);
                Ok(())
            }
            Place::Shared(shared) => shared.revoke(trail, caller, name, told),
        }
    }

    /// All tokens, by name. Blocks.
    pub(crate) fn list(&self) -> Result<Vec<TokenInfo>, TokenError> {
        match &self.0 {
            Place::Own(own) => Ok(own.list()),
            Place::Shared(shared) => shared.list(),
        }
    }

    /// A token that shows what `grant` says. Blocks.
    pub(crate) fn grant(&self, grant: &Grant) -> Result<String, TokenError> {
        match &self.0 {
            Place::Own(own) => own.grant(grant),
            Place::Shared(shared) => shared.grant(grant),
        }
    }

    /// Keeps when tokens were last used. Blocks.
    pub(crate) fn keep_uses(&self) -> Result<(), TokenError> {
        match &self.0 {
            Place::Own(own) => own.keep_uses(),
            Place::Shared(shared) => shared.keep_uses(),
        }
    }

    /// Follows what others decided, after a look into the shared store. Blocks.
    pub(crate) fn follow(&self, looked: &Looked) -> Result<(), TokenError> {
        match &self.0 {
            Place::Own(_) => Ok(()),
            Place::Shared(shared) => shared.follow(looked),
        }
    }
}

pub(super) fn find_in(own: &OwnTokens, token: &str, now: Timestamp) -> Option<Caller> {
    if let Some(grant) = own.grant_in(token, now) {
        return grant.is_in_force(|name, made| own.had(name, made, now)).then(|| Caller::of_grant(grant));
    }
    own.find(token, now)
}

/// What the event says of a new token.
fn told(new: &NewToken) -> Object {
    let scopes = new.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(",");
    details([
        ("name", Some(new.name.clone())),
        ("scopes", Some(scopes)),
        ("for_tenant", new.tenant.clone()),
        ("expires", new.expires.map(|at| at.to_string())),
    ])
}
