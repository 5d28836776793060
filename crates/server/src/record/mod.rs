//! `POST /v1/events`: one event, an array, or NDJSON; all of a request, or nothing of it.

mod answer;
mod body;
mod room;

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use trailseal_core::deliver::{DeliveryState, DeliveryStats};
use trailseal_core::{Ack, BatchError, HandedInBatch, ReadError, RecordError, Status, Submission, Submitted};
use trailseal_event::{BadLine, Warning};

use crate::access::Caller;
use crate::app::{App, Shared};
use crate::problem::Problem;
use crate::query::Query;

#[cfg(fuzzing)]
pub use body::events_of;
pub(crate) use body::read as read_body;
use body::{Sent, Whole};

/// Requests with more events or bytes take turns, and work outside the threads that serve connections.
const INLINE_EVENTS_MAX: usize = 16;
const INLINE_BYTES_MAX: usize = 64 << 10;
/// A large request waits this many times as long as a small one for room.
const LARGE_WAITS: u32 = 20;
const LARGE_ASKED_EVERY: Duration = Duration::from_millis(1);
/// How many events may be on the disk but not in the index yet when a large request is recorded.
const INDEX_LAG_MAX: u64 = 50_000;
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
    let sent = body::receive(&app, &caller, &headers, body).await?;
    let key = idempotency_key(&headers)?;
    let Done { handed_in, count } = match sent.is_packed() || sent.len() > INLINE_BYTES_MAX {
        true => hand_in_aside(&app, &caller, sent, key, (ack, strict)).await,
        false => hand_in(&app, &caller, sent, key, (ack, strict)).await,
    }?;
    let status = match &handed_in.newest {
        // Already in the trail, and nothing more was asked for.
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
    app.metrics.batch(handed_in.events.len());
    let reached = if status == Status::Unconfirmed { &app.metrics.failed } else { &app.metrics.succeeded };
    reached.inc_by(count);
    let accepted = || answer::accepted(&app, &handed_in, status);
    let text = match handed_in.events.len() > INLINE_EVENTS_MAX {
        true => tokio::task::block_in_place(accepted),
        false => accepted(),
    };
    Ok((StatusCode::ACCEPTED, answer::json(text)).into_response())
}

fn ack(app: &App, query: &Query) -> Result<Ack, Problem> {
    match query.one("ack")? {
        None | Some("accepted") => Ok(Ack::Accepted),
        Some("durable") => Ok(Ack::Durable),
        Some("store") if app.trail.has_store() => Ok(Ack::Store),
        Some("store") => {
            Err(Problem::bad_request("ack", "there is no store: use ack=durable, or set index.enabled"))
        }
        Some(_) => Err(Problem::bad_request("ack", "ack must be accepted, durable or store")),
    }
}

/// Whether unknown field names and wrong JSON types refuse an event.
fn strict(query: &Query) -> Result<bool, Problem> {
    match query.one("strict")? {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::bad_request("strict", "strict must be true or false")),
    }
}

/// An empty key would make all requests that send one the same.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let is_key = |key: &&str| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len());
    let detail = "Idempotency-Key must be 1 to 255 characters of printable ASCII";
    let wrong = || Problem::bad_request("header", detail).with("field", "Idempotency-Key");
    key.to_str().ok().filter(is_key).map(Some).ok_or_else(wrong)
}

/// The id of the n-th event of a request that its key makes repeatable.
fn id_for(caller: &Caller, key: &str, place: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(caller.tenant().unwrap_or_default());
    hash.update([0]);
    hash.update(key);
    hash.update([0]);
    hash.update((place as u64).to_be_bytes());
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What was handed in for a request, and how many events it has.
struct Done {
    handed_in: HandedInBatch,
    count: u64,
}

/// Hands in the events of a body that is neither compressed nor large.
async fn hand_in(
    app: &Shared,
    caller: &Caller,
    sent: Sent,
    key: Option<&str>,
    (ack, strict): (Ack, bool),
) -> Result<Done, Problem> {
    let bytes = sent.unpack(app.config.body_bytes_max)?;
    let texts = body::split(&bytes, app.config.batch_events_max)?;
    if texts.len() > INLINE_EVENTS_MAX {
        drop(texts);
        return aside(app, caller, move || Ok(bytes), key, (ack, strict)).await;
    }
    let (events, by) = (submitted(caller, texts, key), caller.submitter(strict));
    let count = events.len() as u64;
    if key.is_none()
        && let Some(handed_in) =
            app.trail.hand_in_batch_at_once(&events, ack, &by).map_err(|error| failed(app, count, error))?
    {
        return Ok(Done { handed_in, count });
    }
    // Waiting here takes no thread.
    let _turn = app.recording.take(caller.client()).await;
    let hand_in = || app.trail.hand_in_batch(&events, ack, &by, app.trail.room_wait());
    let handed_in = tokio::task::block_in_place(hand_in).map_err(|error| failed(app, count, error))?;
    Ok(Done { handed_in, count })
}

/// Hands in the events of a large body, in its client's turn and outside the threads that serve connections.
async fn hand_in_aside(
    app: &Shared,
    caller: &Caller,
    sent: Sent,
    key: Option<&str>,
    (ack, strict): (Ack, bool),
) -> Result<Done, Problem> {
    let max = app.config.body_bytes_max;
    aside(app, caller, move || sent.unpack(max), key, (ack, strict)).await
}

async fn aside(
    app: &Shared,
    caller: &Caller,
    unpack: impl FnOnce() -> Result<Whole, Problem> + Send + 'static,
    key: Option<&str>,
    (ack, strict): (Ack, bool),
) -> Result<Done, Problem> {
    let turn = app.large_bodies.take(caller.client()).await;
    let (app, caller, key) = (app.clone(), caller.clone(), key.map(str::to_owned));
    let hand_in = move || {
        let _turn = turn;
        let bytes = unpack()?;
        let texts = body::split(&bytes, app.config.batch_events_max)?;
        let events = submitted(&caller, texts, key.as_deref());
        let count = events.len() as u64;
        wait_for_the_others(&app);
        let handed_in =
            app.trail.hand_in_batch(&events, ack, &caller.submitter(strict), app.trail.room_wait());
        Ok(Done { handed_in: handed_in.map_err(|error| failed(&app, count, error))?, count })
    };
    tokio::task::spawn_blocking(hand_in).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

/// Waits until half of the handoff is free and the index has caught up: large requests, however many, leave room for
/// small ones, and searches have few lines to scan. The wait is limited: a slow disk or index is no reason to refuse.
fn wait_for_the_others(app: &App) {
    let (begun, most) = (Instant::now(), app.trail.room_wait() * LARGE_WAITS);
    let is_too_early = || {
        let stats = app.trail.stats();
        let is_far_behind = |sink: &DeliveryStats| {
            sink.lag_events > INDEX_LAG_MAX && matches!(sink.state, DeliveryState::Running)
        };
        stats.handoff_used_bytes > stats.handoff_bytes / 2 || stats.deliveries.iter().any(is_far_behind)
    };
    while is_too_early() && begun.elapsed() < most {
        std::thread::sleep(LARGE_ASKED_EVERY);
    }
}

fn submitted<'a>(caller: &Caller, texts: Vec<&'a [u8]>, key: Option<&str>) -> Vec<Submitted<'a>> {
    let one = |(place, json)| Submitted { json, id: key.map(|key: &str| id_for(caller, key, place)) };
    texts.into_iter().enumerate().map(one).collect()
}

/// What to respond, and to count.
fn failed(app: &App, count: u64, error: BatchError) -> Problem {
    let problem = problem(error);
    if problem.is_refused() {
        app.metrics.failed.inc_by(count);
    }
    problem
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
            Problem::forbidden(format!("event {place} belongs to another tenant than the token"))
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
