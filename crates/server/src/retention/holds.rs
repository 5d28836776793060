//! Legal holds over HTTP. The trail itself records each change; who made it is a second event.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use trailseal_core::{HoldError, Trail};

use super::answer::hold_json;
use super::run::long;
use crate::access::Caller;
use crate::body::{Bodies, parse};
use crate::own_events::{details, note, note_read};
use crate::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    name: String,
    reason: String,
    /// By the names of the filters of a search: a text, or several.
    #[serde(default)]
    filters: BTreeMap<String, Texts>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

/// `GET /v1/holds`.
pub(crate) async fn holds(
    State(trail): State<Trail>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    note_read(&trail, &caller, "/v1/holds", None, false).await;
    let holds = long(move || Ok(trail.holds()?)).await?;
    let holds: Vec<_> = holds.iter().map(hold_json).collect();
    Ok(axum::Json(json!({ "holds": holds })).into_response())
}

/// `POST /v1/holds`.
pub(crate) async fn add_hold(
    State(trail): State<Trail>,
    State(bodies): State<Arc<Bodies>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: Request = parse(&bodies.read(&caller, &headers, body).await?)?;
    let mut filters = Vec::new();
    for (name, texts) in request.filters {
        let texts = match texts {
            Texts::One(text) => vec![text],
            Texts::Many(texts) => texts,
        };
        filters.extend(texts.into_iter().map(|text| (name.clone(), text)));
    }
    let answer = long(move || {
        let added = trail.add_hold(&request.name, &request.reason, &filters)?;
        note(&trail, "hold_added_by", &caller, details([("name", Some(request.name.clone()))]));
        Ok(json!({"name": request.name, "index": added.index.get(), "announced": added.announced}))
    });
    Ok((StatusCode::CREATED, axum::Json(answer.await?)).into_response())
}

/// `DELETE /v1/holds/{id}`: by its name.
pub(crate) async fn remove_hold(
    State(trail): State<Trail>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    long(move || {
        trail.remove_hold(&name)?;
        note(&trail, "hold_removed_by", &caller, details([("name", Some(name))]));
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Problem {
        let text = error.to_string();
        match &error {
            HoldError::Name { .. } => Problem::unprocessable(text).with("field", "name"),
            HoldError::Reason => Problem::unprocessable(text).with("field", "reason"),
            HoldError::Filter(_) | HoldError::Resource => {
                Problem::unprocessable(text).with("field", "filters")
            }
            HoldError::Exists { .. } => Problem::new(StatusCode::CONFLICT, "exists", text),
            HoldError::Unknown { .. } => Problem::not_found(text),
            HoldError::Refused(_) | HoldError::NotDurable => Problem::unavailable(text),
            _ => Problem::internal(&error),
        }
    }
}
