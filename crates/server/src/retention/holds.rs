//! Legal holds over HTTP. Each trail that has one records each change; who made it is a second event.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use trailseal_core::Trail;

use super::answer::hold_json;
use super::hold_keeper::HoldKeeper;
use super::run::long;
use crate::access::Caller;
use crate::body::{Bodies, parse};
use crate::own_events::{details, event_of, note_read};
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
    State(keeper): State<Arc<HoldKeeper>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    note_read(&trail, &caller, "/v1/holds", None, false).await;
    let holds = long(move || keeper.list()).await?;
    let holds: Vec<_> = holds.iter().map(hold_json).collect();
    Ok(axum::Json(json!({ "holds": holds })).into_response())
}

/// `POST /v1/holds`.
pub(crate) async fn add_hold(
    State(keeper): State<Arc<HoldKeeper>>,
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
        let told = event_of(&caller, details([("name", Some(request.name.clone()))]));
        let added = keeper.add(&request.name, &request.reason, &filters, told)?;
        Ok(json!({"name": request.name, "index": added.index.get(), "announced": added.announced}))
    });
    Ok((StatusCode::CREATED, axum::Json(answer.await?)).into_response())
}

/// `DELETE /v1/holds/{id}`: by its name.
pub(crate) async fn remove_hold(
    State(keeper): State<Arc<HoldKeeper>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    long(move || {
        let told = event_of(&caller, details([("name", Some(name.clone()))]));
        keeper.remove(&name, told)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
