//! The policy in force.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use trailseal_core::Trail;
use trailseal_event::policy::Policy;

use crate::access::Caller;
use crate::body::Bodies;
use crate::fairness::blocking;
use crate::own_events::note_read;
use crate::problem::{Kind, Problem};
use crate::reviews::{PolicyPut, Reviews, put_policy};

/// `GET /v1/policy`: as TOML, which `PUT` accepts.
pub(crate) async fn policy(State(trail): State<Trail>, Extension(caller): Extension<Caller>) -> Response {
    note_read(&trail, &caller, "/v1/policy", None, false).await;
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/toml"))];
    (content_type, trail.policy().to_toml()).into_response()
}

/// `PUT /v1/policy`: kept across restarts. A change that weakens the policy may have to wait for a second person.
pub(crate) async fn set_policy(
    State(trail): State<Trail>,
    State(reviews): State<Arc<Reviews>>,
    State(bodies): State<Arc<Bodies>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let bytes = bodies.read(&caller, &headers, body).await?;
    if bytes.trim_ascii().is_empty() {
        // It would be a valid policy, the default one, but hardly anybody means that.
        return Err(Problem::new(Kind::Empty, "the body is empty: send a policy, such as mode = \"async\""));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Problem::new(Kind::NotToml, "the policy is not UTF-8: send it as TOML"))?;
    let policy = Policy::from_toml(text)
        .map_err(|error| Problem::unprocessable(format!("the policy cannot be used: {error}")))?;
    if let PolicyPut::Pending(review) = blocking(move || put_policy(&reviews, &caller, &policy)).await? {
        return Ok((StatusCode::ACCEPTED, axum::Json(review)).into_response());
    }
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/toml"))];
    Ok((content_type, trail.policy().to_toml()).into_response())
}
