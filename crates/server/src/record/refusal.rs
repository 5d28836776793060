//! What is answered when events are refused.

use axum::http::StatusCode;
use trailseal_core::{BatchError, ReadError, RecordError};
use trailseal_event::{BadLine, Warning};

use crate::problem::Problem;

/// Of a request of which nothing was recorded.
pub(super) fn problem(error: BatchError) -> Problem {
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

/// Of an event that was not recorded.
pub(super) fn refused(error: &RecordError) -> Problem {
    match error {
        RecordError::TooLarge { .. } => Problem::too_large(error.to_string()),
        RecordError::NoAction(_) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-action", error.to_string())
        }
        _ => Problem::unavailable(error.to_string()),
    }
}
