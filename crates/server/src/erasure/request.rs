//! `POST /v1/subjects/{id}/erase`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use trailseal_core::{EraseError, Erased, Trail};
use trailseal_event::Value;

use super::answer::{erased_json, would_erase_json};
use crate::access::Caller;
use crate::body::{Bodies, parse};
use crate::own_events::{details, note};
use crate::problem::Problem;
use crate::retention::long;
use crate::reviews::{Reviews, request_erasure};

/// The maximum size of a reason.
const REASON_BYTES_MAX: usize = 4_096;
/// In the place of an id that is in the body, so that it is in no log of addresses.
const IN_BODY: &str = "-";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    subject: Option<String>,
    #[serde(default)]
    dry_run: bool,
    /// For the second person, and kept for ever.
    reason: Option<String>,
}

/// Erases, or says what would be. The answer comes when the keys are gone.
pub(crate) async fn erase(
    State(trail): State<Trail>,
    State(reviews): State<Arc<Reviews>>,
    State(bodies): State<Arc<Bodies>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = bodies.read(&caller, &headers, body).await?;
    let request: Request = if body.is_empty() { Request::default() } else { parse(&body)? };
    if request.reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        let detail = format!("reason has more than {REASON_BYTES_MAX} bytes");
        return Err(Problem::unprocessable(detail).with("field", "reason"));
    }
    let subject = match request.subject {
        Some(subject) if id == IN_BODY => subject,
        Some(_) => {
            let detail =
                format!("the address already names somebody: use /v1/subjects/{IN_BODY}/erase with subject");
            return Err(Problem::unprocessable(detail).with("field", "subject"));
        }
        None => id,
    };
    if request.dry_run {
        let would = long(move || Ok(trail.would_erase(&subject)?)).await?;
        return Ok(axum::Json(would_erase_json(&would)).into_response());
    }
    if reviews.needs_second_person_to_erase() {
        let asked = long(move || request_erasure(&reviews, &caller, &subject, request.reason.as_deref()));
        return Ok((StatusCode::ACCEPTED, axum::Json(asked.await?)).into_response());
    }
    let erased = long(move || {
        let erased = trail.erase(&subject)?;
        tell(&trail, &caller, &erased, request.reason, None);
        Ok(erased)
    });
    Ok(axum::Json(erased_json(&erased.await?)).into_response())
}

/// Erases what a second person has approved. Blocks.
pub(crate) fn erase_keys_for(
    trail: &Trail,
    caller: &Caller,
    keys: &[String],
    review: &str,
) -> Result<Erased, Problem> {
    let erased = trail.erase_keys(keys)?;
    tell(trail, caller, &erased, None, Some(review));
    Ok(erased)
}

/// Records for whom it was done; `trail.erased` itself is the trail's.
fn tell(trail: &Trail, caller: &Caller, erased: &Erased, reason: Option<String>, review: Option<&str>) {
    let mut members = details([("review", review.map(str::to_owned)), ("reason", reason)]);
    let by = erased.erased_by.iter().map(|index| Value::from(index.get()));
    members.insert("erased", Value::Array(by.collect()));
    note(trail, "erased_by", caller, members);
}

impl From<EraseError> for Problem {
    fn from(error: EraseError) -> Problem {
        let text = error.to_string();
        match &error {
            EraseError::Off | EraseError::Unknown => Problem::new(StatusCode::NOT_FOUND, "no-values", text),
            EraseError::Held { hold, .. } => {
                Problem::new(StatusCode::CONFLICT, "held", text).with("hold", hold.as_str())
            }
            EraseError::Running => Problem::new(StatusCode::CONFLICT, "running", text),
            EraseError::Refused(_) | EraseError::NotSealed { .. } => Problem::unavailable(text),
            _ => Problem::internal(&error),
        }
    }
}
