//! Sinks that must have an event before it may be retired; one that is gone for good is forgotten.

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use trailseal_core::{ForgetSinkError, Trail};

use super::run::long;
use crate::access::Caller;
use crate::own_events::{details, note, note_read};
use crate::problem::{Kind, Problem};

/// `GET /v1/sinks`.
pub(crate) async fn sinks(
    State(trail): State<Trail>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    note_read(&trail, &caller, "/v1/sinks", None, false).await;
    let sinks = long(move || trail.sinks().map_err(|error| Problem::internal(&error))).await?;
    let sinks = sinks
        .into_iter()
        .map(|sink| json!({"name": sink.name, "cursor": sink.cursor.get(), "attached": sink.is_attached}));
    Ok(axum::Json(json!({ "sinks": sinks.collect::<Vec<_>>() })).into_response())
}

/// `DELETE /v1/sinks/{name}`.
pub(crate) async fn forget_sink(
    State(trail): State<Trail>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    long(move || {
        trail.forget_sink(&name)?;
        note(&trail, "sink_forgotten_by", &caller, details([("sink", Some(name))]));
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl From<ForgetSinkError> for Problem {
    fn from(error: ForgetSinkError) -> Problem {
        let text = error.to_string();
        match &error {
            ForgetSinkError::Unknown { name, known } if known.is_empty() => {
                Problem::not_found(format!("no sink {name:?} holds up retirement: none does"))
            }
            ForgetSinkError::Unknown { name, known } => {
                let known = known.join(", ");
                Problem::not_found(format!("no sink {name:?} holds up retirement: use one of {known}"))
            }
            ForgetSinkError::Attached { .. } => Problem::new(Kind::Attached, text),
            ForgetSinkError::Refused(_) => Problem::unavailable(text),
            _ => Problem::internal(&error),
        }
    }
}
