//! How events are answered.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use trailseal_index::Hit;

use super::reading::Shown;

/// Appends the event with the name of its trail added in front.
pub(super) fn push_event(hit: &Hit, shown: &Shown, out: &mut Vec<u8>) {
    let line = shown.line(hit);
    let origin = Value::from(&*hit.origin).to_string();
    out.extend_from_slice(b"{\"origin\":");
    out.extend_from_slice(origin.as_bytes());
    out.push(b',');
    out.extend_from_slice(line.strip_prefix(b"{").unwrap_or(&line));
}

pub(super) fn json_response(body: Body) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
