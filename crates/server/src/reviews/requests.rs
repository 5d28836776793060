//! What is asked of the review queue: to look at an event, to decide, and what there is.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::complete::EventId;
use trailseal_event::filter::{Filter, IdFilter};
use trailseal_index::{Hit, Order};

use super::alone::Alone;
use super::id::ReviewId;
use super::policy_change::{approve, is_outdated};
use super::retirement::may_approve;
use super::review::{Review, ReviewState, Subject};
use super::review_events::{REQUESTED, Reviews};
use crate::access::Caller;
use crate::body::{Bodies, Members};
use crate::erasure::{erase_keys_for, erased_json};
use crate::fairness::blocking;
use crate::own_events::{details, note_read};
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::read::{SAME_ID_MAX, several};
use crate::response_work::whole;
use crate::retention::{Retention, retained_json};
use crate::view::Events;

/// The maximum size of a reason or comment.
const TEXT_BYTES_MAX: usize = 4_096;
/// The maximum number of reviews in one response.
const LISTED_MAX: usize = 1_000;

struct Request {
    event: String,
    /// Of several events with this id, the one of this tenant or trail.
    tenant: Option<String>,
    origin: Option<String>,
    reason: String,
    confidence: Option<f64>,
}

impl Request {
    fn read(body: &[u8]) -> Result<Request, Problem> {
        let mut members = Members::of(body, &["event", "tenant", "origin", "reason", "confidence"])?;
        Ok(Request {
            event: members.text("event")?,
            tenant: members.text_or_null("tenant")?,
            origin: members.text_or_null("origin")?,
            reason: members.text_if_any("reason")?.unwrap_or_default(),
            confidence: members.number_or_null("confidence")?,
        })
    }
}

/// `POST /v1/reviews`: requests a review of an event. Whoever may write or decide may request it.
pub(crate) async fn request(
    State(reviews): State<Arc<Reviews>>,
    State(bodies): State<Arc<Bodies>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request = Request::read(&bodies.read(&caller, &headers, body).await?)?;
    if request.confidence.is_some_and(|confidence| !(0.0..=1.0).contains(&confidence)) {
        return Err(
            Problem::unprocessable("confidence must be a number from 0 to 1").with("field", "confidence")
        );
    }
    check_length("reason", &request.reason)?;
    let Ok(wanted) = request.event.parse::<IdFilter>();
    let mut filter = Filter { id: vec![wanted], ..Filter::default() };
    filter.tenant.extend(request.tenant.clone());
    filter.origin.extend(request.origin.clone());
    // That another tenant has such an event is not told.
    caller.restrict(&mut filter).map_err(|_| no_event(&request.event))?;
    let (trail, reader) = (reviews.trail.clone(), caller.clone());
    let answer = blocking(move || {
        let mut found = look(&reviews, &filter)?;
        if found.is_empty() {
            // An event recorded a moment ago may still be on its way to the disk.
            // If it does not arrive there in time, there is no such event yet.
            let _ = reviews.trail.flush(Duration::from_secs(2));
            found = look(&reviews, &filter)?;
        }
        if found.len() > 1 {
            return Ok(several(&found));
        }
        let hit = found.pop().ok_or_else(|| no_event(&request.event))?;
        let recorded = hit.read(None).map_err(|error| Problem::internal(&error))?;
        let id = EventId::new(SystemClock.now());
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
        reviews.record(&caller, REQUESTED, members, recorded.event.tenant.clone(), id.as_str())?;
        let answer = json!({"id": id.as_str(), "state": ReviewState::Pending});
        Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
    })
    .await?;
    if answer.status() == StatusCode::MULTIPLE_CHOICES {
        // It tells of events, as a read does.
        note_read(&trail, &reader, "/v1/reviews", None, false).await;
    }
    Ok(answer)
}

fn no_event(id: &str) -> Problem {
    Problem::not_found(format!("there is no event {id}"))
}

/// The events that match: those in the folder, and others of a shared store. The request is recorded even if the client has
/// gone: only the time budget ends this look-up.
fn look(reviews: &Reviews, filter: &Filter) -> Result<Vec<Hit>, Problem> {
    let budget = reviews.view.budget();
    let all = |events: &mut dyn Events| {
        let page = events.page(filter, Order::OLDEST_RECORDED, None, SAME_ID_MAX, budget)?;
        whole(page.scanned)?;
        Ok::<_, Problem>(page.hits)
    };
    let mut found = reviews.searches.with(&Arc::default(), |search| all(search))?;
    if !reviews.view.is_shared() {
        return Ok(found);
    }
    match reviews.view.with(&Arc::default(), all) {
        Ok(stored) => {
            let is_new = |hit: &Hit, found: &[Hit]| {
                found.iter().all(|known| (&known.origin, known.index) != (&hit.origin, hit.index))
            };
            for hit in stored {
                if is_new(&hit, &found) {
                    found.push(hit);
                }
            }
            Ok(found)
        }
        // Of what is in the folder somebody may ask for a review although the store is out of reach.
        Err(problem) if problem.is_of_the_store() && !found.is_empty() => Ok(found),
        Err(problem) => Err(problem),
    }
}

struct Decision {
    decision: String,
    comment: Option<String>,
}

impl Decision {
    fn read(body: &[u8]) -> Result<Decision, Problem> {
        let mut members = Members::of(body, &["decision", "comment"])?;
        Ok(Decision { decision: members.text("decision")?, comment: members.text_or_null("comment")? })
    }
}

/// `POST /v1/reviews/{id}`: approved or rejected.
pub(crate) async fn decide(
    State(reviews): State<Arc<Reviews>>,
    State(retention): State<Arc<Retention>>,
    State(bodies): State<Arc<Bodies>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let decision = Decision::read(&bodies.read(&caller, &headers, body).await?)?;
    check_length("comment", decision.comment.as_deref().unwrap_or_default())?;
    let state = match ReviewState::parse(&decision.decision) {
        Some(state) if state != ReviewState::Pending => state,
        _ => {
            return Err(
                Problem::unprocessable("decision must be approved or rejected").with("field", "decision")
            );
        }
    };
    blocking(move || {
        let alone = Alone::begin(reviews.slots())?;
        reviews.refresh()?;
        let review = reviews.find(&caller, &id)?;
        let members = details([
            ("review", Some(id.clone())),
            ("decision", Some(decision.decision)),
            ("comment", decision.comment),
        ]);
        match &review.subject {
            Subject::Policy(change) if state == ReviewState::Approved => {
                approve(change, &reviews, &caller, &review, members)?;
            }
            Subject::Retention(change) if state == ReviewState::Approved => {
                may_approve(&change.origin, &reviews, &caller, &review)?;
                retention.make_sure_of_holds()?;
                reviews.decide(&caller, &review, state, members)?;
                // Others may decide while this works.
                alone.end(&reviews.trail)?;
                let rule = change.rule().ok_or_else(|| Problem::not_found("its categories are unknown"))?;
                let retained = retention.run_for(&caller, &rule, change.archive.as_deref(), Some(&id))?;
                let answer = json!({"id": id, "state": state, "retained": retained_json(&retained)});
                return Ok(axum::Json(answer).into_response());
            }
            Subject::Erasure(change) if state == ReviewState::Approved => {
                may_approve(&change.origin, &reviews, &caller, &review)?;
                retention.make_sure_of_holds()?;
                reviews.decide(&caller, &review, state, members)?;
                alone.end(&reviews.trail)?;
                let erased = erase_keys_for(&reviews.trail, &caller, &change.keys, &id)?;
                let answer = json!({"id": id, "state": state, "erased": erased_json(&erased)});
                return Ok(axum::Json(answer).into_response());
            }
            Subject::Policy(_) | Subject::Retention(_) | Subject::Erasure(_) | Subject::Event { .. } => {
                reviews.decide(&caller, &review, state, members)?
            }
        }
        alone.end(&reviews.trail)?;
        Ok(axum::Json(json!({"id": id, "state": state})).into_response())
    })
    .await
}

/// `GET /v1/reviews`.
pub(crate) async fn list(
    State(reviews): State<Arc<Reviews>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri)?;
    let wrong =
        || Problem::new(Kind::Query, "state must be pending, approved or rejected").with("field", "state");
    let state = query.one("state")?.map(|name| ReviewState::parse(name).ok_or_else(wrong)).transpose()?;
    let wrong = || Problem::new(Kind::Query, "before must be the id of a review").with("field", "before");
    let before = query.one("before")?.map(|id| ReviewId::parse(id).ok_or_else(wrong)).transpose()?;
    note_read(&reviews.trail, &caller, "/v1/reviews", Some(&query), false).await;
    blocking(move || {
        reviews.refresh()?;
        let (listed, next) = reviews.list(&caller, state, before, LISTED_MAX)?;
        let shown: Vec<Value> = listed.iter().map(|review| shown(&reviews, review)).collect();
        Ok(axum::Json(json!({ "reviews": shown, "next": next })).into_response())
    })
    .await
}

/// As it is listed: a change that is out of date says so.
fn shown(reviews: &Reviews, review: &Review) -> Value {
    let mut shown = json!(review);
    if let (Subject::Policy(change), ReviewState::Pending) = (&review.subject, review.state)
        && is_outdated(change, reviews)
    {
        shown["outdated"] = true.into();
    }
    shown
}

fn check_length(field: &str, text: &str) -> Result<(), Problem> {
    match text.len() <= TEXT_BYTES_MAX {
        true => Ok(()),
        false => Err(Problem::unprocessable(format!("{field} has more than {TEXT_BYTES_MAX} bytes"))
            .with("field", field)),
    }
}
