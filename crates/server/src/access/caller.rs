//! Who is asking.

use std::net::IpAddr;
use std::sync::Arc;

use trailseal_core::Submitter;
use trailseal_event::filter::{Filter, ResourceFilter};

use super::scope::Scope;
use super::viewer_token::Grant;
use crate::client::{Client, network_of};
use crate::problem::Problem;

/// Who is asking, and what they may see.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    name: Arc<str>,
    scopes: Vec<Scope>,
    tenant: Option<Arc<str>>,
    /// A viewer token may show even less.
    actor: Option<String>,
    resource: Option<String>,
    address: Option<IpAddr>,
    is_viewer: bool,
    /// For long requests: to check repeatedly whether the token is still valid.
    token: Option<Token>,
}

/// A token as it was sent; never logged.
#[derive(Clone)]
struct Token(Arc<str>);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(…)")
    }
}

impl Caller {
    fn new(name: &str, scopes: &[Scope]) -> Caller {
        Caller {
            name: name.into(),
            scopes: scopes.to_vec(),
            tenant: None,
            actor: None,
            resource: None,
            address: None,
            is_viewer: false,
            token: None,
        }
    }

    /// The owner of the trail's folder.
    pub(crate) fn owner() -> Caller {
        Caller::new("owner", &Scope::ALL)
    }

    /// Anybody, on a server that needs no token.
    pub(crate) fn open(address: IpAddr) -> Caller {
        Caller::new("open", &Scope::USUAL).at(address)
    }

    /// Somebody without a token, at a route that needs none.
    pub(crate) fn nobody() -> Caller {
        Caller::new("nobody", &[])
    }

    pub(crate) fn of_token(name: &str, scopes: &[Scope], tenant: Option<&str>) -> Caller {
        Caller { tenant: tenant.map(Into::into), ..Caller::new(name, scopes) }
    }

    pub(crate) fn of_grant(grant: Grant) -> Caller {
        let Grant { by, tenant, actor, resource, .. } = grant;
        Caller {
            tenant: tenant.map(Into::into),
            actor,
            resource,
            is_viewer: true,
            ..Caller::new(&format!("viewer of {by}"), &[Scope::Read])
        }
    }

    pub(crate) fn at(self, address: IpAddr) -> Caller {
        Caller { address: Some(address), ..self }
    }

    pub(crate) fn by(self, token: &str) -> Caller {
        Caller { token: Some(Token(token.into())), ..self }
    }

    /// The token of the request.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| &*token.0)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the owner of the trail's folder, who came through the socket in it.
    pub(crate) fn is_owner(&self) -> bool {
        matches!(self.client(), Client::Owner)
    }

    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The client it counts as where something is shared.
    pub(crate) fn client(&self) -> Client {
        match (&self.token, self.address) {
            (Some(_), _) => Client::Token(self.name.clone()),
            (None, Some(address)) => Client::Address(network_of(address)),
            (None, None) => Client::Owner,
        }
    }

    pub(crate) fn has(&self, scope: Scope) -> Result<(), Problem> {
        match self.scopes.contains(&scope) {
            true => Ok(()),
            false if self.scopes.is_empty() => Err(no_token()),
            false => Err(Problem::forbidden(format!("this needs a token with scope {}", scope.name()))),
        }
    }

    /// Whether personal values are shown to it in plain.
    pub(crate) fn sees_personal(&self) -> bool {
        self.scopes.contains(&Scope::Personal)
    }

    /// Like [`has`](Caller::has), for one of several scopes.
    pub(crate) fn has_one(&self, scopes: &[Scope]) -> Result<(), Problem> {
        match scopes.iter().any(|scope| self.scopes.contains(scope)) {
            true => Ok(()),
            false => {
                let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
                Err(Problem::forbidden(format!("this needs a token with scope {}", names.join(" or "))))
            }
        }
    }

    /// Like [`has`](Caller::has), for a caller who may see everything.
    pub(crate) fn has_all(&self, scope: Scope) -> Result<(), Problem> {
        self.has(scope)?;
        match self.is_restricted() {
            false => Ok(()),
            true => Err(Problem::forbidden("this concerns all tenants: it needs a token without a tenant")),
        }
    }

    /// Whether it may make viewer tokens. Viewer tokens may not: they could outlive themselves in each other.
    pub(crate) fn may_grant(&self) -> Result<(), Problem> {
        match self.is_viewer {
            false => Ok(()),
            true => Err(Problem::forbidden("a viewer token cannot make others: use the token that made it")),
        }
    }

    pub(crate) fn is_restricted(&self) -> bool {
        self.tenant.is_some() || self.actor.is_some() || self.resource.is_some()
    }

    /// For the events that it records.
    pub(crate) fn submitter(&self, strict: bool) -> Submitter {
        Submitter { recorded_by: Some(self.name.clone()), tenant: self.tenant.clone(), strict }
    }

    /// Narrows a filter to what the caller may see. Every search of a request goes through here.
    pub(crate) fn restrict(&self, filter: &mut Filter) -> Result<(), Problem> {
        if let Some(own) = &self.tenant {
            if filter.tenant.iter().any(|tenant| **tenant != **own) {
                return Err(Problem::forbidden("the token belongs to another tenant"));
            }
            filter.tenant = vec![own.to_string()];
        }
        if let Some(own) = &self.actor {
            if filter.actor.iter().any(|actor| actor != own) {
                return Err(Problem::forbidden("the token shows only one actor"));
            }
            filter.actor = vec![own.clone()];
        }
        if let Some(own) = &self.resource {
            let own = ResourceFilter::parse(own);
            if filter.resource.iter().any(|resource| *resource != own) {
                return Err(Problem::forbidden("the token shows only one resource"));
            }
            filter.resource = vec![own];
        }
        Ok(())
    }
}

/// Somebody without a token asked for what needs one.
pub(super) fn no_token() -> Problem {
    Problem::unauthorized("this needs a token: send `Authorization: Bearer tsl_…`")
}
