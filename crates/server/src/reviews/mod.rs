//! The review queue: events for a second person to look at, and changes that need one.
//!
//! A review's states are events of the trail, so they are sealed too. Memory holds only where they are in the trail
//! (`queue.rs`); what they say is read on request (`told.rs`). What must hold: if two people decide at once, one wins
//! and the other is told.

mod alone;
mod policy_change;
mod queue;
mod review_id;
#[cfg(test)]
mod tests;
mod told;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use trailseal_event::complete::EventId;
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_event::{Event, Recorded};
use trailseal_index::{Hit, Order};

use alone::Alone;
pub(crate) use policy_change::{PolicyPut, finish_approved, put_policy};
pub(crate) use queue::{ReviewState, Reviews};
use review_id::ReviewId;
use told::{Review, Subject};

use crate::access::Caller;
use crate::app::{Shared, blocking, details};
use crate::problem::Problem;
use crate::query::Query;
use crate::read::{budget, read_details, whole};
use crate::record::read_body;

const REQUESTED: &str = "review_requested";
const DECIDED: &str = "review_decided";
/// The maximum size of a reason or comment.
const TEXT_BYTES_MAX: usize = 4_096;
/// The maximum number of reviews in one response.
const LISTED_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    event: String,
    #[serde(default)]
    reason: String,
    confidence: Option<f64>,
}

/// `POST /v1/reviews`: requests a review of an event. Whoever may write or decide may request it.
pub(crate) async fn request(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: Request = parse(&read_body(&app, &caller, &headers, body).await?)?;
    if request.confidence.is_some_and(|confidence| !(0.0..=1.0).contains(&confidence)) {
        return Err(unprocessable("confidence must be a number from 0 to 1").with("field", "confidence"));
    }
    check_length("reason", &request.reason)?;
    let Ok(wanted) = request.event.parse::<IdFilter>();
    let mut filter = Filter { id: vec![wanted], ..Filter::default() };
    caller.restrict(&mut filter)?;
    blocking(move || {
        let mut found = look(&app, &filter)?;
        if found.is_none() {
            // An event recorded a moment ago may still be on its way to the disk.
            app.trail.flush(std::time::Duration::from_secs(2));
            found = look(&app, &filter)?;
        }
        let missing = || Problem::not_found(format!("there is no event {}", request.event));
        let hit = found.ok_or_else(missing)?;
        let recorded = hit.read().map_err(|error| Problem::internal(&error))?;
        let id = EventId::new(app.now());
        let mut members = details([
            ("review", Some(id.to_string())),
            ("event", recorded.event.id.clone()),
            ("origin", Some(hit.origin.to_string())),
            ("reason", (!request.reason.is_empty()).then(|| request.reason.clone())),
        ]);
        members.insert("index", hit.index.get());
        if let Some(confidence) = request.confidence {
            members.insert("confidence", confidence);
        }
        record(&app, &caller, REQUESTED, members, recorded.event.tenant.clone(), id.as_str())?;
        let answer = json!({"id": id.as_str(), "state": ReviewState::Pending});
        Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
    })
    .await
}

/// The first event that matches. The request is recorded even if the client has gone: only the time budget ends this
/// look-up.
fn look(app: &Shared, filter: &Filter) -> Result<Option<Hit>, Problem> {
    let mut search = app.take_search(&Arc::default())?;
    let page = search.page(filter, Order::OLDEST_RECORDED, None, 1, Some(budget(app)))?;
    app.give_back(search);
    if page.hits.is_empty() {
        whole(&page)?;
    }
    Ok(page.hits.into_iter().next())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    decision: String,
    comment: Option<String>,
}

/// `POST /v1/reviews/{id}`: approved or rejected.
pub(crate) async fn decide(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let decision: Decision = parse(&read_body(&app, &caller, &headers, body).await?)?;
    check_length("comment", decision.comment.as_deref().unwrap_or_default())?;
    let state = match ReviewState::parse(&decision.decision) {
        Some(state) if state != ReviewState::Pending => state,
        _ => return Err(unprocessable("decision must be approved or rejected").with("field", "decision")),
    };
    blocking(move || {
        let alone = Alone::begin(&app)?;
        app.reviews.refresh(&app)?;
        let review = find(&app, &caller, &id)?;
        let members = details([
            ("review", Some(id.clone())),
            ("decision", Some(decision.decision)),
            ("comment", decision.comment),
        ]);
        let decide = || record(&app, &caller, DECIDED, members, review.tenant.clone(), &id);
        match &review.subject {
            Subject::Policy(change) if state == ReviewState::Approved => {
                change.approve(&app, &caller, &review, decide)?;
            }
            Subject::Policy(_) | Subject::Event { .. } => decide()?,
        }
        alone.end(&app)?;
        Ok(axum::Json(json!({"id": id, "state": state})).into_response())
    })
    .await
}

/// A review that is still undecided.
fn find(app: &Shared, caller: &Caller, id: &str) -> Result<Review, Problem> {
    let review = read(app, id)?.filter(|review| review.is_seen_by(caller));
    let review = review.ok_or_else(|| Problem::not_found(format!("there is no review {id}")))?;
    match review.state {
        ReviewState::Pending => Ok(review),
        _ => Err(decided(&review)),
    }
}

fn read(app: &Shared, id: &str) -> Result<Option<Review>, Problem> {
    let places = ReviewId::parse(id).and_then(|id| app.reviews.lock().places(id));
    Ok(told::read(app, places.into_iter().collect())?.pop())
}

fn decided(review: &Review) -> Problem {
    let by = review.decided_by.clone().unwrap_or_default();
    Problem::new(StatusCode::CONFLICT, "decided", format!("the review was decided by {by}"))
        .with("state", json!(review.state))
        .with("decided_by", by)
}

/// `GET /v1/reviews`.
pub(crate) async fn list(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    query.only(&["state", "before"])?;
    let wrong = || {
        Problem::bad_request("query", "state must be pending, approved or rejected").with("field", "state")
    };
    let state = query.one("state")?.map(|name| ReviewState::parse(name).ok_or_else(wrong)).transpose()?;
    let wrong = || Problem::bad_request("query", "before must be the id of a review").with("field", "before");
    let before = query.one("before")?.map(|id| ReviewId::parse(id).ok_or_else(wrong)).transpose()?;
    app.note_aside("read", &caller, read_details(&app, "/v1/reviews", Some(&query))).await;
    blocking(move || {
        app.reviews.refresh(&app)?;
        let (listed, next) = app.reviews.lock().newest(&caller, state, before, LISTED_MAX);
        let listed = told::read(&app, listed)?;
        let seen = listed.iter().filter(|review| review.is_seen_by(&caller));
        let reviews: Vec<Value> = seen.map(|review| shown(&app, review)).collect();
        Ok(axum::Json(json!({ "reviews": reviews, "next": next })).into_response())
    })
    .await
}

/// As it is listed: a change that is out of date says so.
fn shown(app: &Shared, review: &Review) -> Value {
    let mut shown = json!(review);
    if let (Subject::Policy(change), ReviewState::Pending) = (&review.subject, review.state)
        && change.origin == app.trail.origin()
        && change.is_outdated(app)
    {
        shown["outdated"] = true.into();
    }
    shown
}

fn check_length(field: &str, text: &str) -> Result<(), Problem> {
    match text.len() <= TEXT_BYTES_MAX {
        true => Ok(()),
        false => {
            Err(unprocessable(&format!("{field} has more than {TEXT_BYTES_MAX} bytes")).with("field", field))
        }
    }
}

/// Records a step of a review, and applies it as reading it would. A decision that comes too late is told so.
fn record(
    app: &Shared,
    caller: &Caller,
    what: &str,
    members: trailseal_event::Object,
    tenant: Option<String>,
    id: &str,
) -> Result<(), Problem> {
    let mut event = Event { details: members, tenant, ..Event::default() };
    event.actor = Some(trailseal_event::Actor {
        id: Some(caller.name().to_owned()),
        kind: Some("token".into()),
        ..Default::default()
    });
    // Held over both, so that the order in the trail is the order here.
    let mut queue = app.reviews.lock();
    if ReviewId::parse(id).is_some_and(|id| queue.is_decided(id)) {
        drop(queue);
        let gone = || Problem::not_found(format!("there is no review {id}"));
        return Err(decided(&read(app, id)?.ok_or_else(gone)?));
    }
    let index =
        app.trail.record_own(what, event.clone()).map_err(|error| Problem::unavailable(error.to_string()))?;
    event.action = format!("trail.{what}");
    // As it is in the trail: nobody sees a secret in a reason.
    let event = app.trail.as_written(&event);
    let recorded =
        Recorded { index: index.get(), recorded: app.now(), system: true, event, ..Recorded::default() };
    queue.apply_fresh(recorded, app.trail.origin(), app.trail.durable().get());
    Ok(())
}

/// Parses a JSON body with these members.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request("not-json", format!("the body is not JSON: {error}")))?;
    serde_json::from_value(value).map_err(|error| unprocessable(&format!("the body cannot be used: {error}")))
}

pub(crate) fn unprocessable(detail: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unusable", detail)
}
