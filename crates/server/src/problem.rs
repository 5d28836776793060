//! Errors as RFC 9457 problem details: a stable `type`, a sentence that says what to do, and the place.

mod kind;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use trailseal_core::file::is_shortage;
use trailseal_core::with_causes;
use trailseal_index::SearchError;

pub(crate) use kind::Kind;

/// The members that a problem may have besides those of RFC 9457, for the reference.
pub(crate) const MEMBERS: [(&str, &str); 14] = [
    ("item", "The place of an event in the request, from 0"),
    ("field", "The name of a parameter, header or member"),
    ("problem", "What is wrong with a field that strict refuses"),
    ("hint", "What to do about it"),
    ("id", "The id of an event"),
    ("index", "The index of an event"),
    ("origin", "The trail of an event, or the one to ask"),
    ("events", "The events that are kept but not confirmed, as with 202"),
    ("more_warnings", "How many warnings are not listed"),
    ("state", "How the review was decided"),
    ("decided_by", "Who decided the review"),
    ("hold", "The name of the legal hold"),
    ("retired_by", "The index of the event that tells of the retirement"),
    ("not_yet_stored", "How many events are on this server's disk but not in the store"),
];

/// An error response. Boxed, so that success responses stay small.
#[derive(Debug)]
pub(crate) struct Problem(Box<Members>);

#[derive(Debug)]
struct Members {
    kind: Kind,
    detail: String,
    more: Map<String, Value>,
    retry_after: Option<u32>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem(Box::new(Members { kind, detail: detail.into(), more: Map::new(), retry_after: None }))
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::NotFound, detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::Forbidden, detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::Unauthorized, detail)
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::TooLarge, detail)
    }

    pub(crate) fn unprocessable(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::Unusable, detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::Refused, detail).retry_after(1)
    }

    /// What is read or decided in a shared store cannot be, or be told, since that does not answer.
    pub(crate) fn no_store(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::StoreUnavailable, detail).retry_after(2)
    }

    /// An error that the caller cannot fix. Its cause goes to the log; a response could reveal paths.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Problem {
        let text = with_causes(error);
        if is_short_of_files(error) {
            tracing::warn!(error = text, "a request was refused: no more files can be opened (`ulimit -n`)");
            return Problem::unavailable("the server has too many files open: try again in a moment");
        }
        tracing::error!(error = text, "a request failed");
        let detail = "the server could not do this: its log says why";
        Problem::new(Kind::Internal, detail)
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.kind.status()
    }

    /// What it says.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Whether it says that there is no room, rather than that the request is wrong.
    pub(crate) fn is_refused(&self) -> bool {
        self.status() == StatusCode::SERVICE_UNAVAILABLE
    }

    /// Whether it is [`no_store`](Problem::no_store).
    pub(crate) fn is_of_the_store(&self) -> bool {
        self.0.kind == Kind::StoreUnavailable
    }

    /// Adds one of the [members](MEMBERS).
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        debug_assert!(MEMBERS.iter().any(|(known, _)| *known == name), "the reference does not have {name}");
        self.0.more.insert(name.to_owned(), value.into());
        self
    }

    /// Sets when to retry, in seconds.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Problem {
        self.0.retry_after = Some(seconds);
        self
    }
}

/// Whether it, or one of its causes, says that no more files can be opened now.
pub(crate) fn is_short_of_files(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.filter_map(|error| error.downcast_ref::<std::io::Error>()).any(is_shortage)
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Problem {
        match error {
            // Nobody reads this, and nothing is wrong.
            SearchError::Stopped => Problem::unavailable(error.to_string()),
            error => Problem::internal(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Members { kind, detail, more, retry_after } = *self.0;
        let status = kind.status();
        let mut body = json!({
            "type": format!("urn:trailseal:problem:{}", kind.name()),
            "title": status.canonical_reason().unwrap_or("Problem"),
            "status": status.as_u16(),
            "detail": detail,
        });
        if let Value::Object(members) = &mut body {
            members.extend(more);
        }
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (status, content_type, body.to_string()).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
