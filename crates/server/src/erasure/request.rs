//! `POST /v1/subjects/{id}/erase`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::answer::{erased_json, would_erase_json};
use super::run::run_for;
use crate::access::Caller;
use crate::body::{Bodies, Members};
use crate::problem::{Kind, Problem};
use crate::retention::{HoldKeeper, long};
use crate::reviews::{Asked, Reviews, request_erasure};

/// The maximum size of a reason.
const REASON_BYTES_MAX: usize = 4_096;
/// In the place of an id that is in the body, so that it is in no log of addresses.
const IN_BODY: &str = "-";

#[derive(Default)]
struct Request {
    subject: Option<String>,
    dry_run: bool,
    /// For the second person, and kept for ever.
    reason: Option<String>,
}

impl Request {
    /// Everything may be in the address.
    fn read(body: &[u8]) -> Result<Request, Problem> {
        if body.is_empty() {
            return Ok(Request::default());
        }
        let mut members = Members::of(body, &["subject", "dry_run", "reason"])?;
        Ok(Request {
            subject: members.text_or_null("subject")?,
            dry_run: members.flag("dry_run")?,
            reason: members.text_or_null("reason")?,
        })
    }
}

/// Erases, or says what would be. The answer comes when the keys are gone.
pub(crate) async fn erase(
    State(reviews): State<Arc<Reviews>>,
    State(holds): State<Arc<HoldKeeper>>,
    State(bodies): State<Arc<Bodies>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request = Request::read(&bodies.read(&caller, &headers, body).await?)?;
    if request.reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        let detail = format!("reason has more than {REASON_BYTES_MAX} bytes");
        return Err(Problem::unprocessable(detail).with("field", "reason"));
    }
    let subject = match request.subject {
        Some(subject) if id == IN_BODY => subject,
        Some(_) => {
            let detail =
                format!("the address already names somebody: use /v1/subjects/{IN_BODY}/erase with subject");
            return Err(Problem::new(Kind::TwoSubjects, detail).with("field", "subject"));
        }
        None if id == IN_BODY => {
            let detail =
                format!("the address names nobody: with {IN_BODY} there, `subject` says who is meant");
            return Err(Problem::unprocessable(detail).with("field", "subject"));
        }
        None => id,
    };
    if request.dry_run {
        let would = long(move || {
            holds.make_sure()?;
            Ok(holds.trail().would_erase(&subject)?)
        });
        let would = would.await?;
        return Ok(axum::Json(would_erase_json(&would)).into_response());
    }
    if reviews.needs_second_person_to_erase() {
        let asked = long(move || {
            holds.make_sure()?;
            request_erasure(&reviews, &caller, &subject, request.reason.as_deref())
        });
        return Ok(match asked.await? {
            Asked::Pending(asked) => (StatusCode::ACCEPTED, axum::Json(asked)).into_response(),
            Asked::Already(erased) => axum::Json(erased_json(&erased)).into_response(),
        });
    }
    let reason = request.reason;
    let erased = long(move || {
        holds.make_sure()?;
        let trail = holds.trail();
        run_for(trail, &caller, || trail.erase(&subject), [("reason", reason)])
    });
    Ok(axum::Json(erased_json(&erased.await?)).into_response())
}
