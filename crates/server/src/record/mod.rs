//! `POST /v1/events`: one event, an array, or NDJSON; all of a request, or nothing of it.

mod answer;
mod body;
mod room;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use trailseal_core::event::{BadLine, Warning};
use trailseal_core::{
    Ack, BatchError, HandedInBatch, ReadError, RecordError, Status, Submission, Submitted, Submitter,
};

use crate::access::Caller;
use crate::app::{App, Shared};
use crate::problem::Problem;
use crate::query::Query;

#[cfg(fuzzing)]
pub use body::events_of;
pub(crate) use body::read as read_body;

/// Requests with more events or bytes do their work while other connections are served by other threads.
const INLINE_EVENTS_MAX: usize = 16;
const INLINE_BYTES_MAX: usize = 64 << 10;
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Records the events of a request.
pub(crate) async fn post(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let (ack, strict) = (ack(&app, &query)?, strict(&query)?);
    query.only(&["ack", "strict"])?;
    let bytes = read_body(&app, &caller, &headers, body).await?;
    let key = idempotency_key(&headers)?;
    let most = app.config.batch_events_max;
    let texts = match bytes.len() <= INLINE_BYTES_MAX {
        true => body::split(&bytes, most),
        false => tokio::task::block_in_place(|| body::split(&bytes, most)),
    }?;
    let events: Vec<Submitted<'_>> = texts
        .into_iter()
        .enumerate()
        .map(|(place, json)| Submitted { json, id: key.map(|key| id_for(&caller, key, place)) })
        .collect();
    let count = events.len() as u64;
    let handed_in = hand_in(&app, &caller.submitter(strict), &events, ack).await.inspect_err(|problem| {
        if problem.is_refused() {
            app.metrics.failed.inc_by(count);
        }
    })?;
    let status = match &handed_in.newest {
        // In the trail already, and nothing more was asked for.
        Some(newest) if newest.ack == Ack::Accepted => Status::Accepted,
        Some(newest) => match app.trail.confirm(newest.clone()).await {
            Ok(receipt) => receipt.status,
            Err(RecordError::Unconfirmed { .. }) => {
                app.metrics.failed.inc_by(count);
                return Ok(answer::unconfirmed(&app, &handed_in).into_response());
            }
            Err(error) => return Err(refused(&error)),
        },
        None => Status::Accepted,
    };
    app.metrics.batch(events.len());
    let reached = if status == Status::Unconfirmed { &app.metrics.failed } else { &app.metrics.succeeded };
    reached.inc_by(count);
    Ok((StatusCode::ACCEPTED, answer::json(answer::accepted(&app, &handed_in, status))).into_response())
}

fn ack(app: &App, query: &Query) -> Result<Ack, Problem> {
    match query.one("ack")? {
        None | Some("accepted") => Ok(Ack::Accepted),
        Some("durable") => Ok(Ack::Durable),
        Some("store") if app.trail.has_store() => Ok(Ack::Store),
        Some("store") => {
            Err(Problem::bad_request("ack", "there is no store: use ack=durable, or set index.enabled"))
        }
        Some(_) => Err(Problem::bad_request("ack", "ack is accepted, durable or store")),
    }
}

/// Whether names that no event has and wrong JSON types refuse an event.
fn strict(query: &Query) -> Result<bool, Problem> {
    match query.one("strict")? {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::bad_request("strict", "strict is true or false")),
    }
}

/// An empty key would make all requests that send one the same.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let is_key = |key: &&str| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len());
    let detail = "Idempotency-Key is 1 to 255 characters of printable ASCII";
    let wrong = || Problem::bad_request("header", detail).with("field", "Idempotency-Key");
    key.to_str().ok().filter(is_key).map(Some).ok_or_else(wrong)
}

/// The id of the n-th event of a request that can be told again by its key.
fn id_for(caller: &Caller, key: &str, place: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(caller.tenant().unwrap_or_default());
    hash.update([0]);
    hash.update(key);
    hash.update([0]);
    hash.update((place as u64).to_be_bytes());
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hands the events in. Where that could block for long, other connections are served meanwhile.
async fn hand_in(
    app: &App,
    by: &Submitter,
    events: &[Submitted<'_>],
    ack: Ack,
) -> Result<HandedInBatch, Problem> {
    let bytes: usize = events.iter().map(|event| event.json.len()).sum();
    let is_small = events.len() <= INLINE_EVENTS_MAX && bytes <= INLINE_BYTES_MAX;
    if is_small
        && events.iter().all(|event| event.id.is_none())
        && let Some(done) = app.trail.hand_in_batch_at_once(events, ack, by).map_err(problem)?
    {
        return Ok(done);
    }
    // Never closed. Who waits here takes no thread.
    let _place = app.recording.acquire().await;
    let hand_in = || app.trail.hand_in_batch(events, ack, by, app.trail.room_wait());
    tokio::task::block_in_place(hand_in).map_err(problem)
}

fn problem(error: BatchError) -> Problem {
    match error {
        BatchError::Bad { place, source: BadLine::NoAction(error) } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-action", format!("event {place}: {error}"))
                .with("item", place)
                .with("field", "action")
        }
        BatchError::Bad { place, source: BadLine::NotStrict(warning) } => {
            let Warning { field, problem, hint } = &warning;
            let detail = format!("event {place}: {warning}");
            let refused =
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "strict", detail).with("item", place);
            refused.with("field", &**field).with("problem", &**problem).with("hint", &**hint)
        }
        BatchError::Bad { place, source } => {
            Problem::bad_request("not-json", format!("event {place}: {source}")).with("item", place)
        }
        BatchError::OtherTenant { place } => {
            Problem::forbidden(format!("event {place} is of another tenant than the token"))
                .with("item", place)
                .with("field", "tenant")
        }
        BatchError::Conflict { place, id, index } => {
            let detail = format!("event {place}: another event with other content has its id");
            let problem = Problem::new(StatusCode::CONFLICT, "conflict", detail).with("item", place);
            let problem = problem.with("field", "id").with("id", id);
            match index {
                Some(index) => problem.with("index", index.get()),
                None => problem,
            }
        }
        BatchError::Refused(error) => refused(&error),
        BatchError::Read(error) => Problem::internal(&error as &ReadError),
        error => Problem::internal(&error),
    }
}

fn refused(error: &RecordError) -> Problem {
    match error {
        RecordError::TooLarge { .. } => Problem::too_large(error.to_string()),
        RecordError::NoAction(_) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-action", error.to_string())
        }
        _ => Problem::unavailable(error.to_string()),
    }
}

/// How many events of a request are new.
fn count_new(handed_in: &HandedInBatch) -> usize {
    let is_new = |event: &&Submission| matches!(event, Submission::New(receipt) if receipt.index.is_some());
    handed_in.events.iter().filter(is_new).count()
}
