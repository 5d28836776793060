//! `POST /v1/events`: one event, an array, or NDJSON; all of a request, or nothing of it.

mod answer;
mod recorder;
mod refusal;
mod split;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use trailseal_core::{Ack, RecordError, Status, Trail};

use crate::access::Caller;
use crate::problem::{Kind, Problem};
use crate::query::Query;

pub(crate) use recorder::Recorder;
use recorder::{Asked, Done, INLINE_EVENTS_MAX};
#[cfg(fuzzing)]
pub use split::events_of;

const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Records the events of a request.
pub(crate) async fn post(
    State(recorder): State<Arc<Recorder>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let (ack, strict) = (ack(&recorder.trail, &query)?, strict(&query)?);
    let sent = recorder.bodies.receive(&caller, &headers, body).await?;
    let asked = Asked { ack, strict, key: idempotency_key(&headers)? };
    let Done { pending, count } = recorder.record(&caller, sent, asked).await?;
    let (trail, metrics) = (&recorder.trail, &recorder.metrics);
    let (receipts, newest) = pending.into_parts();
    let status = match newest {
        // Already in the trail, and nothing more was asked for.
        None => Status::Accepted,
        Some(newest) => match newest.await {
            Ok(receipt) => receipt.status,
            Err(RecordError::Unconfirmed { .. }) => {
                metrics.failed.inc_by(count);
                return Ok(answer::unconfirmed(trail.origin(), &receipts).into_response());
            }
            Err(error) => return Err(refusal::problem(error)),
        },
    };
    metrics.batch(receipts.len());
    let reached = if status == Status::Unconfirmed { &metrics.failed } else { &metrics.succeeded };
    reached.inc_by(count);
    let accepted = || answer::accepted(trail.origin(), &receipts, status);
    let text = match receipts.len() > INLINE_EVENTS_MAX {
        true => tokio::task::block_in_place(accepted),
        false => accepted(),
    };
    Ok((StatusCode::ACCEPTED, answer::json(text)).into_response())
}

fn ack(trail: &Trail, query: &Query) -> Result<Ack, Problem> {
    match query.one("ack")? {
        None | Some("accepted") => Ok(Ack::Accepted),
        Some("durable") => Ok(Ack::Durable),
        Some("store") if trail.has_store() => Ok(Ack::Store),
        Some("store") => Err(Problem::new(
            Kind::Ack,
            "there is no store: use ack=durable, or set index.enabled or store.url",
        )
        .with("field", "ack")),
        Some(_) => {
            Err(Problem::new(Kind::Ack, "ack must be accepted, durable or store").with("field", "ack"))
        }
    }
}

/// Whether unknown field names and wrong JSON types refuse an event.
fn strict(query: &Query) -> Result<bool, Problem> {
    match query.one("strict")? {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => {
            Err(Problem::new(Kind::StrictParameter, "strict must be true or false").with("field", "strict"))
        }
    }
}

/// An empty key would make all requests that send one the same.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let is_key = |key: &&str| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len());
    let detail = "Idempotency-Key must be 1 to 255 characters of printable ASCII";
    let wrong = || Problem::new(Kind::Header, detail).with("field", "Idempotency-Key");
    key.to_str().ok().filter(is_key).map(Some).ok_or_else(wrong)
}
