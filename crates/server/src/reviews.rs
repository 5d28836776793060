//! The review queue: events that a second person looks at.
//!
//! A review's states are events of the trail, so they are sealed, too; what is in memory here is read from them when the
//! server starts. What must hold: of two who decide at once one wins, and the other is told.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trailseal_core::complete::EventId;
use trailseal_core::event::{Event, Recorded};
use trailseal_core::filter::{Filter, IdFilter};
use trailseal_index::{Order, Search, SearchError};

use crate::access::Caller;
use crate::app::{Shared, blocking, details};
use crate::problem::Problem;
use crate::query::Query;
use crate::record::read_body;

const REQUESTED: &str = "review_requested";
const DECIDED: &str = "review_decided";
/// The most bytes of a reason or comment.
const TEXT_BYTES_MAX: usize = 4_096;
/// Reviews that one answer lists at most.
const LISTED_MAX: usize = 1_000;

/// Where a review stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReviewState {
    Pending,
    Approved,
    Rejected,
}

#[derive(Clone, Debug, Serialize)]
struct Review {
    id: String,
    /// The event's id, and the trail and place where it is.
    event: String,
    origin: String,
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    state: ReviewState,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    requested: String,
    requested_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// All reviews, by id: ids grow with time.
#[derive(Default)]
pub(crate) struct Reviews {
    by_id: Mutex<BTreeMap<String, Review>>,
}

impl Reviews {
    /// Reads the reviews from the trail's own events.
    pub(crate) fn load(&self, search: &mut Search) -> Result<(), SearchError> {
        let action = vec!["trail.review_*".to_owned()];
        let filter = Filter { action, system: true, ..Filter::default() };
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        search.each(&filter, Order::OldestFirst, None, &mut |hit| {
            if let Ok(recorded) = hit.read()
                && recorded.system
            {
                apply(&recorded, &mut by_id);
            }
            ControlFlow::Continue(())
        })
    }

    pub(crate) fn pending(&self) -> usize {
        let by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.values().filter(|review| review.state == ReviewState::Pending).count()
    }
}

/// What one of the trail's own events says of a review.
fn apply(recorded: &Recorded, by_id: &mut BTreeMap<String, Review>) {
    let event = &recorded.event;
    let member = |name: &str| event.details.get(name);
    let text = |name: &str| member(name).and_then(|value| value.as_str()).map(str::to_owned);
    let by = || event.actor.as_ref().and_then(|actor| actor.id.clone()).unwrap_or_default();
    let Some(id) = text("review") else { return };
    if event.action == format!("trail.{REQUESTED}") {
        let review = Review {
            event: text("event").unwrap_or_default(),
            origin: text("origin").unwrap_or_default(),
            index: member("index").and_then(|value| value.as_u64()).unwrap_or_default(),
            tenant: event.tenant.clone(),
            state: ReviewState::Pending,
            reason: text("reason").unwrap_or_default(),
            confidence: member("confidence").and_then(|value| value.as_f64()),
            requested: recorded.recorded.to_string(),
            requested_by: by(),
            decided: None,
            decided_by: None,
            comment: None,
            id: id.clone(),
        };
        by_id.entry(id).or_insert(review);
    } else if let Some(review) = by_id.get_mut(&id).filter(|review| review.state == ReviewState::Pending) {
        review.state = match text("decision").as_deref() {
            Some("approved") => ReviewState::Approved,
            _ => ReviewState::Rejected,
        };
        review.decided = Some(recorded.recorded.to_string());
        review.decided_by = Some(by());
        review.comment = text("comment");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    event: String,
    #[serde(default)]
    reason: String,
    confidence: Option<f64>,
}

/// `POST /v1/reviews`: an event is to be looked at. Whoever may hand events in or decide may ask for it.
pub(crate) async fn request(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request: Request = parse(&read_body(&app, &headers, body).await?)?;
    if request.confidence.is_some_and(|confidence| !(0.0..=1.0).contains(&confidence)) {
        return Err(unprocessable("confidence is a number from 0 to 1").with("field", "confidence"));
    }
    check_length("reason", &request.reason)?;
    let Ok(wanted) = request.event.parse::<IdFilter>();
    let mut filter = Filter { id: vec![wanted], ..Filter::default() };
    caller.restrict(&mut filter)?;
    // What was recorded a moment ago may still be on its way to the disk.
    let flushing = app.clone();
    blocking(move || Ok(flushing.trail.flush(std::time::Duration::from_secs(2)))).await?;
    let page = app.search(move |search| Ok(search.page(&filter, Order::OldestFirst, None, 1, None)?)).await?;
    let found = page.hits.into_iter().next();
    let hit = found.ok_or_else(|| Problem::not_found(format!("there is no event {}", request.event)))?;
    let recorded = hit.read().map_err(|error| Problem::internal(&error))?;
    let id = EventId::new(app.now()).as_str().to_owned();
    let mut members = details([
        ("review", Some(id.clone())),
        ("event", recorded.event.id.clone()),
        ("origin", Some(hit.origin.to_string())),
        ("reason", (!request.reason.is_empty()).then(|| request.reason.clone())),
    ]);
    members.insert("index", hit.index.get());
    if let Some(confidence) = request.confidence {
        members.insert("confidence", confidence);
    }
    record(&app, &caller, REQUESTED, members, recorded.event.tenant.clone(), &id)?;
    Ok((StatusCode::CREATED, axum::Json(json!({"id": id, "state": ReviewState::Pending}))).into_response())
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
    let decision: Decision = parse(&read_body(&app, &headers, body).await?)?;
    check_length("comment", decision.comment.as_deref().unwrap_or_default())?;
    let state = match decision.decision.as_str() {
        "approved" => ReviewState::Approved,
        "rejected" => ReviewState::Rejected,
        _ => return Err(unprocessable("decision is approved or rejected").with("field", "decision")),
    };
    let tenant = {
        let by_id = app.reviews.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let review = by_id.get(&id).filter(|review| may_see(&caller, review));
        let review = review.ok_or_else(|| Problem::not_found(format!("there is no review {id}")))?;
        if review.state != ReviewState::Pending {
            let by = review.decided_by.clone().unwrap_or_default();
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "decided",
                format!("the review was decided by {by}"),
            )
            .with("state", json!(review.state))
            .with("decided_by", by));
        }
        review.tenant.clone()
    };
    let members = details([
        ("review", Some(id.clone())),
        ("decision", Some(decision.decision.clone())),
        ("comment", decision.comment.clone()),
    ]);
    let won = record(&app, &caller, DECIDED, members, tenant, &id)?;
    match won {
        true => Ok(axum::Json(json!({"id": id, "state": state})).into_response()),
        false => Err(Problem::new(
            StatusCode::CONFLICT,
            "decided",
            "the review was decided by another one meanwhile",
        )),
    }
}

/// `GET /v1/reviews`.
pub(crate) async fn list(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    query.only(&["state"])?;
    let state = match query.one("state")? {
        None => None,
        Some("pending") => Some(ReviewState::Pending),
        Some("approved") => Some(ReviewState::Approved),
        Some("rejected") => Some(ReviewState::Rejected),
        Some(_) => {
            return Err(Problem::bad_request("query", "state is pending, approved or rejected")
                .with("field", "state"));
        }
    };
    app.note("read", &caller, details([("path", Some("/v1/reviews".into())), ("query", query.text())]));
    let by_id = app.reviews.by_id.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted =
        |review: &&Review| may_see(&caller, review) && state.is_none_or(|state| review.state == state);
    let reviews: Vec<Value> =
        by_id.values().rev().filter(wanted).take(LISTED_MAX).map(|review| json!(review)).collect();
    Ok(axum::Json(json!({ "reviews": reviews })).into_response())
}

fn check_length(field: &str, text: &str) -> Result<(), Problem> {
    match text.len() <= TEXT_BYTES_MAX {
        true => Ok(()),
        false => {
            Err(unprocessable(&format!("{field} has more than {TEXT_BYTES_MAX} bytes")).with("field", field))
        }
    }
}

fn may_see(caller: &Caller, review: &Review) -> bool {
    caller.tenant().is_none_or(|tenant| review.tenant.as_deref() == Some(tenant))
}

/// Records a step of a review, and takes it over as a restart would. `false` if it came too late.
fn record(
    app: &Shared,
    caller: &Caller,
    what: &str,
    members: trailseal_core::event::Object,
    tenant: Option<String>,
    id: &str,
) -> Result<bool, Problem> {
    let mut event = Event { details: members, tenant, ..Event::default() };
    event.actor = Some(trailseal_core::event::Actor {
        id: Some(caller.name().to_owned()),
        kind: Some("token".into()),
        ..Default::default()
    });
    // Held over both, so that the order in the trail is the order here.
    let mut by_id = app.reviews.by_id.lock().unwrap_or_else(PoisonError::into_inner);
    if what == DECIDED && by_id.get(id).is_none_or(|review| review.state != ReviewState::Pending) {
        return Ok(false);
    }
    let index =
        app.trail.record_own(what, event.clone()).map_err(|error| Problem::unavailable(error.to_string()))?;
    event.action = format!("trail.{what}");
    // As it stands in the trail: what is secret in a reason is shown to nobody.
    let event = app.trail.as_written(&event);
    let recorded =
        Recorded { index: index.get(), recorded: app.now(), system: true, event, ..Recorded::default() };
    apply(&recorded, &mut by_id);
    Ok(true)
}

/// A body of JSON with these members.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request("not-json", format!("the body is not JSON: {error}")))?;
    serde_json::from_value(value).map_err(|error| unprocessable(&format!("the body cannot be used: {error}")))
}

pub(crate) fn unprocessable(detail: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unusable", detail)
}
