//! Replacing the key that signs.

use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use trailseal_core::Trail;

use crate::access::Caller;
use crate::fairness::blocking;
use crate::own_events::{details, note};
use crate::problem::Problem;

/// `POST /v1/keys/rotate`. The trail itself records it.
pub(crate) async fn rotate_key(
    State(trail): State<Trail>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let rotating = trail.clone();
    let key = blocking(move || rotating.rotate_key().map_err(|error| Problem::internal(&error))).await?;
    note(&trail, "key_rotated_by", &caller, details([("public_key", Some(key.to_string()))]));
    Ok(axum::Json(json!({ "public_key": key.to_string() })).into_response())
}
