//! Legal holds over HTTP. Each trail that has one records each change; who made it is a second event.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use trailseal_core::Trail;

use super::answer::hold_json;
use super::hold_keeper::HoldKeeper;
use super::run::long;
use crate::access::Caller;
use crate::body::{Bodies, Members};
use crate::own_events::{details, event_of, note_read};
use crate::problem::Problem;
use crate::query::ONCE;

struct Request {
    name: String,
    reason: String,
    /// By the names of the filters of a search.
    filters: Vec<(String, String)>,
}

impl Request {
    fn read(body: &[u8]) -> Result<Request, Problem> {
        let mut members = Members::of(body, &["name", "reason", "filters"])?;
        let mut filters = Vec::new();
        for (name, values) in members.texts_by_name("filters")? {
            if values.len() > 1 && ONCE.contains(&name.as_str()) {
                let detail = format!("{name} is given twice");
                return Err(Problem::unprocessable(detail).with("field", "filters"));
            }
            filters.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
        Ok(Request { name: members.text("name")?, reason: members.text("reason")?, filters })
    }
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
    let request = Request::read(&bodies.read(&caller, &headers, body).await?)?;
    let answer = long(move || {
        let told = event_of(&caller, details([("name", Some(request.name.clone()))]));
        let added = keeper.add(&request.name, &request.reason, &request.filters, told)?;
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
