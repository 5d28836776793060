//! `POST /v1/retention`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use trailseal_core::{RETAIN_DAYS_MAX, RetainError, RetentionRule};
use trailseal_event::Category;

use super::answer::retained_json;
use super::run::{Retention, long};
use crate::access::Caller;
use crate::body::{Bodies, Members};
use crate::problem::Problem;
use crate::reviews::{Reviews, request_retention};

struct Request {
    older_than_days: Option<u64>,
    tenant: Option<String>,
    category: Vec<String>,
    dry_run: bool,
    /// Only for the owner of the trail's folder, who could write there anyway.
    archive: Option<String>,
}

impl Request {
    fn read(body: &[u8]) -> Result<Request, Problem> {
        let names = ["older_than_days", "tenant", "category", "dry_run", "archive"];
        let mut members = Members::of(body, &names)?;
        Ok(Request {
            older_than_days: members.whole_or_null("older_than_days")?,
            tenant: members.text_or_null("tenant")?,
            category: members.texts("category")?.unwrap_or_default(),
            dry_run: members.flag("dry_run")?,
            archive: members.text_or_null("archive")?,
        })
    }
}

/// Retires, or says what would go. The answer comes when all is gone.
pub(crate) async fn retain(
    State(retention): State<Arc<Retention>>,
    State(reviews): State<Arc<Reviews>>,
    State(bodies): State<Arc<Bodies>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request = Request::read(&bodies.read(&caller, &headers, body).await?)?;
    if request.archive.is_some() && !caller.is_owner() {
        let detail = "only the owner of the trail's folder names an archive: set retention.archive in the server's settings";
        return Err(Problem::forbidden(detail).with("field", "archive"));
    }
    let rule = rule(&request)?;
    if request.dry_run {
        let would = long(move || retention.would(&rule)).await?;
        return Ok(axum::Json(retained_json(&would)).into_response());
    }
    if reviews.needs_second_person_to_retire() {
        let asked =
            long(move || request_retention(&reviews, &caller, &rule, request.archive.as_deref())).await?;
        return Ok((StatusCode::ACCEPTED, axum::Json(asked)).into_response());
    }
    let retained = long(move || retention.run_for(&caller, &rule, request.archive.as_deref(), None));
    Ok(axum::Json(retained_json(&retained.await?)).into_response())
}

fn rule(request: &Request) -> Result<RetentionRule, Problem> {
    let days = request.older_than_days.ok_or_else(|| {
        Problem::unprocessable("older_than_days is missing").with("field", "older_than_days")
    })?;
    // One that is too large is so here, too.
    let days = u32::try_from(days).unwrap_or(u32::MAX);
    if !(1..=RETAIN_DAYS_MAX).contains(&days) {
        return Err(RetainError::Days { days }.into());
    }
    let category = |name: &String| {
        Category::parse(name).ok_or_else(|| {
            Problem::unprocessable(format!("category cannot be {name:?}")).with("field", "category")
        })
    };
    let mut rule = RetentionRule::older_than_days(days);
    rule.tenant.clone_from(&request.tenant);
    rule.category = request.category.iter().map(category).collect::<Result<_, _>>()?;
    Ok(rule)
}
