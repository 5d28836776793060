//! What is answered when events are refused.

use trailseal_core::RecordError;
use trailseal_event::{BadLine, Warning};

use crate::problem::{Kind, Problem};

/// Of a request of which nothing was recorded.
pub(super) fn problem(error: RecordError) -> Problem {
    match error {
        RecordError::At { place, source } => of_event(place, *source).with("item", place),
        RecordError::TooLarge { .. } => Problem::too_large(error.to_string()),
        RecordError::Read(error) => Problem::internal(&error),
        error => Problem::unavailable(error.to_string()),
    }
}

/// Of one event, which stopped its request.
fn of_event(place: usize, error: RecordError) -> Problem {
    match error {
        RecordError::NoAction(error) => {
            Problem::new(Kind::NoAction, format!("event {place}: {error}")).with("field", "action")
        }
        RecordError::Invalid(BadLine::NotStrict(warning)) => {
            let Warning { field, problem, hint } = &warning;
            let refused = Problem::new(Kind::Strict, format!("event {place}: {warning}"));
            refused.with("field", &**field).with("problem", &**problem).with("hint", &**hint)
        }
        RecordError::Invalid(error) => Problem::new(Kind::NotJson, format!("event {place}: {error}")),
        RecordError::OtherTenant => {
            Problem::forbidden(format!("event {place} belongs to another tenant than the token"))
                .with("field", "tenant")
        }
        RecordError::Conflict { id, index } => {
            let detail = format!("event {place}: another event with other content has its id");
            let problem = Problem::new(Kind::Conflict, detail);
            let problem = problem.with("field", "id").with("id", id);
            match index {
                Some(index) => problem.with("index", index.get()),
                None => problem,
            }
        }
        error => problem(error),
    }
}
