//! Who is asking, and what they may do.
//!
//! Every route of the table in `routes.rs` says what it needs; [`check`] finds out who is asking and refuses everything
//! else. What must hold: a tenant's token sees and writes only that tenant, because every search goes through
//! [`Caller::restrict`].

mod caller;
mod token;
mod viewer_token;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

pub(crate) use caller::Caller;
pub use caller::Scope;
pub(crate) use token::Tokens;
pub use token::{NewToken, TokenError, TokenInfo};
pub(crate) use viewer_token::Grant;

use crate::app::Shared;
use crate::listen::Standing;
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

/// How a connection came in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// From this address.
    Address(IpAddr),
    /// Through the socket in the trail's folder, which only its owner can open.
    Owner,
}

/// Passes on a request that may do what the route needs, with the [`Caller`] in its extensions.
pub(crate) async fn check(
    State((app, needs)): State<(Shared, Needs)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let peer = request.extensions().get::<Peer>().copied();
    let caller = match identify(&app, peer, &request) {
        // A page that needs no token is also shown to somebody whose token has expired.
        Err(_) if needs == Needs::Nothing && !app.config.open => None,
        caller => caller?,
    };
    let allowed = match needs {
        Needs::Nothing => Ok(()),
        Needs::Tiles if app.config.public_tiles => Ok(()),
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
        app.metrics.denied.inc();
        return Err(problem);
    }
    if caller.is_some()
        && let Some(standing) = request.extensions().get::<Arc<Standing>>()
    {
        standing.let_in();
    }
    let nobody = || match peer {
        Some(Peer::Address(address)) => {
            Caller::nobody().at(crate::listen::client_address(address, request.headers(), &app.config))
        }
        _ => Caller::nobody(),
    };
    let caller = caller.unwrap_or_else(nobody);
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Whether the caller would still be let in: a stream outlives the check at its start.
pub(crate) fn is_still_in(app: &Shared, caller: &Caller) -> bool {
    caller.token().is_none_or(|token| app.tokens.find(token, app.now()).is_some())
}

fn no_token() -> Problem {
    Problem::unauthorized("this needs a token: send `Authorization: Bearer tsl_…`")
}

/// Who is asking; `None` without a token.
fn identify(app: &Shared, peer: Option<Peer>, request: &Request) -> Result<Option<Caller>, Problem> {
    let Some(peer) = peer else { return Ok(None) };
    let Peer::Address(address) = peer else { return Ok(Some(Caller::owner())) };
    let address = crate::listen::client_address(address, request.headers(), &app.config);
    if app.config.open {
        check_open(app, request.method(), request.uri(), request.headers())?;
        return Ok(Some(Caller::open(address)));
    }
    let Some(header) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let known = token.and_then(|token| Some(app.tokens.find(token, app.now())?.by(token)));
    match known {
        Some(caller) => Ok(Some(caller.at(address))),
        None => {
            app.metrics.denied.inc();
            Err(Problem::unauthorized("the token is unknown, expired or revoked"))
        }
    }
}

/// An open server answers everybody who can reach it, so it must not be reachable through a browser that shows another
/// site's page: neither under another name, nor by another site's form or script.
fn check_open(app: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    // A target that names a host takes precedence over the header (RFC 9112, section 3.2.2).
    let host = uri.authority().map(Authority::as_str);
    let host = host.or_else(|| headers.get(header::HOST)?.to_str().ok()).unwrap_or_default();
    let name = host_name(host);
    let is_loopback = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_loopback && !app.config.hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(Problem::new(
            axum::http::StatusCode::MISDIRECTED_REQUEST,
            "host",
            "an open server answers only to loopback names: add this one to server.hosts",
        ));
    }
    // Other sites may link to pages. But no other site's page may read or record: it could not see the response, but
    // the request costs time and appears in the trail.
    let is_page = method.is_safe() && !["/v1/", "/admin/"].iter().any(|data| uri.path().starts_with(data));
    match is_page || is_own_page(host, headers) {
        true => Ok(()),
        false => Err(Problem::forbidden("an open server refuses requests from pages of other sites")),
    }
}

/// Whether a request comes from a page of this server, according to the browser; or from no page at all: programs do
/// not send these headers.
fn is_own_page(host: &str, headers: &HeaderMap) -> bool {
    let is_own_fetch =
        headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
    let is_own_origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        origin.to_str().is_ok_and(|origin| {
            origin.split_once("://").is_some_and(|(_, site)| site.eq_ignore_ascii_case(host))
        })
    });
    (is_own_fetch || cfg!(trailseal_fault = "cross_site_taken")) && is_own_origin
}

/// The name in a `Host` header, without its port.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}
