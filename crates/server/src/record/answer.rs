//! What is answered to `POST /v1/events`.

use std::fmt::Write as _;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use trailseal_core::{HandedInBatch, Index, Status, Submission};

use super::count_new;
use crate::app::App;
use crate::problem::Problem;

pub(super) fn json(text: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text)
}

/// The receipts. Written by hand: there may be thousands, many times a second.
pub(super) fn accepted(app: &App, handed_in: &HandedInBatch, status: Status) -> String {
    let origin = Value::from(app.trail.origin()).to_string();
    let mut text = String::with_capacity(64 + 128 * handed_in.events.len());
    let _ = write!(text, "{{\"accepted\":{},\"events\":[", count_new(handed_in));
    let is_unconfirmed = status == Status::Unconfirmed;
    for (place, event) in handed_in.events.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        let (index, id, mark) = receipt(event, is_unconfirmed);
        let _ = write!(text, "{{\"origin\":{origin},\"index\":");
        let _ = match index {
            Some(index) => write!(text, "{index}"),
            None => text.write_str("null"),
        };
        let _ = write!(text, ",\"id\":{}", Value::from(id));
        if let Some(mark) = mark {
            let _ = write!(text, ",\"{mark}\":true");
        }
        text.push('}');
    }
    text.push_str(if is_unconfirmed { "],\"unconfirmed\":true}" } else { "]}" });
    text
}

/// Index and id of an event, and what is to be said of it.
fn receipt(event: &Submission, is_unconfirmed: bool) -> (Option<Index>, &str, Option<&'static str>) {
    match event {
        Submission::Repeated { index, id } => (Some(*index), id, Some("repeated")),
        Submission::New(receipt) => {
            let mark = match receipt.index {
                None => Some("sampled_out"),
                Some(_) => is_unconfirmed.then_some("unconfirmed"),
            };
            (receipt.index, receipt.id.as_str(), mark)
        }
    }
}

/// The events have indexes and are kept; the level asked for was not reached in time.
pub(super) fn unconfirmed(app: &App, handed_in: &HandedInBatch) -> Problem {
    let events: Vec<Value> = handed_in
        .events
        .iter()
        .map(|event| {
            let (index, id, mark) = receipt(event, true);
            let mut event = json!({"origin": app.trail.origin(), "index": index.map(Index::get), "id": id});
            if let Some(mark) = mark {
                event[mark] = true.into();
            }
            event
        })
        .collect();
    let detail = "the events are kept, but were not confirmed in time: a retry with the same ids is safe";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "unconfirmed", detail).with("events", events).retry_after(1)
}
