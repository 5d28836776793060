//! Making, listing and ending tokens.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use trailseal_core::Trail;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::Timestamp;
use trailseal_event::filter::{Filter, ResourceFilter};

use crate::access::{Caller, Grant, NewToken, Scope, TokenError, Tokens, VIEWER_SECONDS_MAX};
use crate::body::{Bodies, Members};
use crate::fairness::blocking;
use crate::own_events::{details, note, note_read};
use crate::problem::{Kind, Problem};

/// How long a viewer token lasts by default, in seconds.
const VIEWER_SECONDS: u64 = 900;
/// The maximum lifetime of a token with an expiry: a hundred years, so that its end is a time with a four-digit year.
pub(crate) const TOKEN_SECONDS_MAX: u64 = 100 * 365 * 86_400;

struct TokenRequest {
    name: String,
    scopes: Vec<Scope>,
    tenant: Option<String>,
    /// A time.
    expires: Option<String>,
    /// Or seconds from now.
    ttl_seconds: Option<u64>,
}

impl TokenRequest {
    fn read(body: &[u8]) -> Result<TokenRequest, Problem> {
        let mut members = Members::of(body, &["name", "scopes", "tenant", "expires", "ttl_seconds"])?;
        let wrong = |detail: String| Problem::unprocessable(detail).with("field", "scopes");
        let scopes = members.texts("scopes")?.ok_or_else(|| wrong("scopes is missing".to_owned()))?;
        let scope = |name: String| {
            let names = || Scope::ALL.map(Scope::name).join(", ");
            Scope::parse(&name).ok_or_else(|| wrong(format!("there is no scope {name:?}: use {}", names())))
        };
        Ok(TokenRequest {
            name: members.text("name")?,
            scopes: scopes.into_iter().map(scope).collect::<Result<_, _>>()?,
            tenant: members.text_or_null("tenant")?,
            expires: members.text_or_null("expires")?,
            ttl_seconds: members.whole_or_null("ttl_seconds")?,
        })
    }
}

/// `POST /v1/tokens`. The token is in the response, and never anywhere else.
pub(crate) async fn create_token(
    State(trail): State<Trail>,
    State(tokens): State<Arc<Tokens>>,
    State(bodies): State<Arc<Bodies>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request = TokenRequest::read(&bodies.read(&caller, &headers, body).await?)?;
    let now = SystemClock.now();
    if request.ttl_seconds.is_some_and(|seconds| !(1..=TOKEN_SECONDS_MAX).contains(&seconds)) {
        let detail = format!("ttl_seconds must be a number from 1 to {TOKEN_SECONDS_MAX}");
        return Err(Problem::unprocessable(detail).with("field", "ttl_seconds"));
    }
    let expires = match (&request.expires, request.ttl_seconds) {
        (Some(text), _) => Some(
            Timestamp::parse(text)
                .ok_or_else(|| Problem::unprocessable("expires is no time").with("field", "expires"))?,
        ),
        (None, Some(seconds)) => Some(after(now, seconds)),
        (None, None) => None,
    };
    let (name, scopes, tenant) = (request.name.clone(), request.scopes, request.tenant);
    let new = NewToken { name: request.name, scopes, tenant, expires };
    let create = move || tokens.create(&trail, &caller, new, now).map_err(token_problem);
    let token = blocking(create).await?;
    let expires = expires.map(|at| at.to_string());
    let answer = json!({"name": name, "token": token, "expires": expires});
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

/// `GET /v1/tokens`.
pub(crate) async fn tokens(
    State(trail): State<Trail>,
    State(tokens): State<Arc<Tokens>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    note_read(&trail, &caller, "/v1/tokens", None, false).await;
    let listed = blocking(move || tokens.list().map_err(token_problem)).await?;
    Ok(axum::Json(json!({ "tokens": listed })).into_response())
}

/// `DELETE /v1/tokens/{name}`.
pub(crate) async fn revoke_token(
    State(trail): State<Trail>,
    State(tokens): State<Arc<Tokens>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    blocking(move || tokens.revoke(&trail, &caller, &name).map_err(token_problem)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn token_problem(error: TokenError) -> Problem {
    match error {
        TokenError::Name { .. } => Problem::unprocessable(error.to_string()).with("field", "name"),
        TokenError::Tenant(_) => Problem::unprocessable(error.to_string()).with("field", "tenant"),
        TokenError::NoScope => Problem::unprocessable(error.to_string()).with("field", "scopes"),
        TokenError::Ended { .. } => Problem::unprocessable(error.to_string()).with("field", "expires"),
        TokenError::Exists { .. } => Problem::new(Kind::Exists, error.to_string()),
        TokenError::Unknown { .. } => Problem::not_found(error.to_string()),
        TokenError::Store(detail) => Problem::no_store(detail),
        error => Problem::internal(&error),
    }
}

struct ViewerRequest {
    tenant: Option<String>,
    actor: Option<String>,
    resource: Option<String>,
    ttl_seconds: Option<u64>,
}

impl ViewerRequest {
    fn read(body: &[u8]) -> Result<ViewerRequest, Problem> {
        let mut members = Members::of(body, &["tenant", "actor", "resource", "ttl_seconds"])?;
        Ok(ViewerRequest {
            tenant: members.text_or_null("tenant")?,
            actor: members.text_or_null("actor")?,
            resource: members.text_or_null("resource")?,
            ttl_seconds: members.whole_or_null("ttl_seconds")?,
        })
    }
}

/// `POST /v1/viewer-tokens`: a read token to embed the viewer in another product. It never shows more than the token
/// that makes it.
pub(crate) async fn create_viewer_token(
    State(trail): State<Trail>,
    State(tokens): State<Arc<Tokens>>,
    State(bodies): State<Arc<Bodies>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may_grant()?;
    let request = ViewerRequest::read(&bodies.read(&caller, &headers, body).await?)?;
    let seconds = request.ttl_seconds.unwrap_or(VIEWER_SECONDS);
    if !(1..=VIEWER_SECONDS_MAX).contains(&seconds) {
        let detail = format!("ttl_seconds must be a number from 1 to {VIEWER_SECONDS_MAX}");
        return Err(Problem::unprocessable(detail).with("field", "ttl_seconds"));
    }
    if let Some(tenant) = &request.tenant {
        trail.check_tenant(tenant).map_err(|error| token_problem(error.into()))?;
    }
    let mut filter = Filter::default();
    filter.tenant.extend(request.tenant.clone());
    filter.actor.extend(request.actor.clone());
    if let Some(resource) = &request.resource {
        filter.resource.push(ResourceFilter::parse(resource));
    }
    caller.restrict(&mut filter)?;
    let now = SystemClock.now();
    let expires = after(now, seconds);
    let grant = Grant {
        by: caller.name().to_owned(),
        made: now,
        tenant: filter.tenant.pop(),
        actor: filter.actor.pop(),
        resource: filter.resource.pop().map(|resource| match resource.id {
            Some(id) => format!("{}/{id}", resource.kind),
            None => resource.kind,
        }),
        expires,
    };
    let granted = grant.clone();
    let token = blocking(move || tokens.grant(&granted).map_err(token_problem)).await?;
    let Grant { tenant, actor, resource, .. } = grant;
    let shown = |name, value: Option<String>| value.map(|value| trail.shown(name, &value).into_owned());
    let members = [
        ("for_tenant", tenant),
        ("actor", shown("actor", actor)),
        ("resource", shown("resource", resource)),
        ("expires", Some(expires.to_string())),
    ];
    note(&trail, "viewer_token_created", &caller, details(members));
    Ok((StatusCode::CREATED, axum::Json(json!({"token": token, "expires": expires.to_string()})))
        .into_response())
}

fn after(now: Timestamp, seconds: u64) -> Timestamp {
    let micros = i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_add(micros))
}
