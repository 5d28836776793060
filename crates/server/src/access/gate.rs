//! The gate that every request passes: who asks, and whether that is enough for the route.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use trailseal_core::clock::{Clock as _, SystemClock};

use super::caller::{Caller, no_token};
use super::own_page;
use super::scope::Scope;
use super::tokens::Tokens;
use crate::client::{Peer, client_address};
use crate::config::Config;
use crate::listen::Standing;
use crate::metrics::Metrics;
use crate::problem::Problem;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: the response contains no data.
    Nothing,
    /// A scope.
    Scope(Scope),
    /// One of these scopes.
    OneOf(&'static [Scope]),
    /// A scope, and no tenant: the response concerns all tenants.
    WholeTrail(Scope),
    /// Like `WholeTrail(Read)`, unless the configuration makes it public.
    Tiles,
}

/// Knows who may pass.
pub(crate) struct Gate {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Passes on a request that may do what the route needs, with the [`Caller`] in its extensions.
pub(crate) async fn check(
    State((gate, needs)): State<(Arc<Gate>, Needs)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let peer = request.extensions().get::<Peer>().copied();
    let claim = gate.claim(peer, &request);
    let caller = match gate.identify(claim).await {
        // A page that needs no token is also shown to somebody whose token has expired.
        Err(_) if needs == Needs::Nothing && !gate.config.open => None,
        caller => caller?,
    };
    let allowed = match needs {
        Needs::Nothing => Ok(()),
        Needs::Tiles if gate.config.public_tiles => Ok(()),
        Needs::Scope(scope) => caller.as_ref().ok_or_else(no_token).and_then(|caller| caller.has(scope)),
        Needs::OneOf(scopes) => {
            caller.as_ref().ok_or_else(no_token).and_then(|caller| caller.has_one(scopes))
        }
        Needs::WholeTrail(scope) => {
            caller.as_ref().ok_or_else(no_token).and_then(|caller| caller.has_all(scope))
        }
        Needs::Tiles => caller.as_ref().ok_or_else(no_token).and_then(|caller| caller.has_all(Scope::Read)),
    };
    if let Err(problem) = allowed {
        gate.metrics.denied.inc();
        return Err(problem);
    }
    if caller.is_some()
        && let Some(standing) = request.extensions().get::<Arc<Standing>>()
    {
        standing.let_in();
    }
    let nobody = || match peer {
        Some(Peer::Address(address)) => {
            Caller::nobody().at(client_address(address, request.headers(), &gate.config))
        }
        _ => Caller::nobody(),
    };
    let caller = caller.unwrap_or_else(nobody);
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Who somebody says they are.
enum Claim {
    /// Nothing that has to be looked up.
    Plain(Option<Caller>),
    /// By this token, if it is one, from this address.
    Token(Option<Box<str>>, IpAddr),
}

impl Gate {
    fn claim(&self, peer: Option<Peer>, request: &Request) -> Result<Claim, Problem> {
        let Some(peer) = peer else { return Ok(Claim::Plain(None)) };
        let Peer::Address(address) = peer else { return Ok(Claim::Plain(Some(Caller::owner()))) };
        let address = client_address(address, request.headers(), &self.config);
        if self.config.open {
            own_page::check(&self.config.hosts, request.method(), request.uri(), request.headers())?;
            return Ok(Claim::Plain(Some(Caller::open(address))));
        }
        let Some(header) = request.headers().get(header::AUTHORIZATION) else {
            return Ok(Claim::Plain(None));
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim().into());
        Ok(Claim::Token(token, address))
    }

    /// Who is asking; `None` without a token.
    async fn identify(&self, claim: Result<Claim, Problem>) -> Result<Option<Caller>, Problem> {
        let (token, address) = match claim? {
            Claim::Plain(caller) => return Ok(caller),
            Claim::Token(token, address) => (token, address),
        };
        let known = match token {
            Some(token) => self.tokens.find(&token, SystemClock.now()).await?.map(|caller| caller.by(&token)),
            None => None,
        };
        match known {
            Some(caller) => Ok(Some(caller.at(address))),
            None => {
                self.metrics.denied.inc();
                Err(Problem::unauthorized("the token is unknown, expired or revoked"))
            }
        }
    }
}
