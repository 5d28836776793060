//! The response to `POST /v1/events`.

use std::fmt::Write as _;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use trailseal_core::{HandedInBatch, Status, Submission};
use trailseal_event::{Index, Warnings};

use crate::problem::Problem;

/// How many warnings the response may still list.
struct Told<'a> {
    warnings: std::iter::Peekable<std::slice::Iter<'a, (usize, Warnings)>>,
    /// How many were only counted.
    more: u64,
}

impl<'a> Told<'a> {
    fn new(handed_in: &'a HandedInBatch) -> Told<'a> {
        Told { warnings: handed_in.warnings.iter().peekable(), more: 0 }
    }

    /// The warnings of the event at `place`. Called in the order of the events.
    fn at(&mut self, place: usize) -> Option<&'a Warnings> {
        let (_, warnings) = self.warnings.next_if(|(other, _)| *other == place)?;
        self.more += warnings.more;
        Some(warnings)
    }
}

pub(super) fn json(text: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text)
}

/// The receipts. Formatted by hand: there may be thousands, many times a second.
pub(super) fn accepted(origin: &str, handed_in: &HandedInBatch, status: Status) -> String {
    let origin = Value::from(origin).to_string();
    let mut text = String::with_capacity(64 + 128 * handed_in.events.len());
    let _ = write!(text, "{{\"accepted\":{},\"events\":[", count_new(handed_in));
    let is_unconfirmed = status == Status::Unconfirmed;
    let mut told = Told::new(handed_in);
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
        if is_retired(event) {
            text.push_str(",\"retired\":true");
        }
        if let Some(warnings) = told.at(place) {
            if !warnings.told.is_empty() {
                let _ = write!(text, ",\"warnings\":{}", json!(warnings.told));
            }
            write_more(warnings.more, &mut text);
        }
        text.push('}');
    }
    text.push(']');
    if is_unconfirmed {
        text.push_str(",\"unconfirmed\":true");
    }
    write_more(told.more, &mut text);
    text.push('}');
    text
}

/// How many warnings are not listed.
fn write_more(more: u64, text: &mut String) {
    if more > 0 {
        let _ = write!(text, ",\"more_warnings\":{more}");
    }
}

/// Index and id of an event, and what to say about it.
fn receipt(event: &Submission, is_unconfirmed: bool) -> (Option<Index>, &str, Option<&'static str>) {
    match event {
        Submission::Repeated { index, id, .. } => (Some(*index), id, Some("repeated")),
        Submission::New(receipt) => {
            let mark = match receipt.index {
                None => Some("sampled_out"),
                Some(_) => is_unconfirmed.then_some("unconfirmed"),
            };
            (receipt.index, receipt.id.as_str(), mark)
        }
    }
}

/// Whether it repeats one that is gone.
fn is_retired(event: &Submission) -> bool {
    matches!(event, Submission::Repeated { retired: true, .. })
}

/// The events have indexes and are kept, but the level asked for was not reached in time.
pub(super) fn unconfirmed(origin: &str, handed_in: &HandedInBatch) -> Problem {
    let mut told = Told::new(handed_in);
    let events: Vec<Value> = (0..)
        .zip(&handed_in.events)
        .map(|(place, event)| {
            let submission = event;
            let (index, id, mark) = receipt(submission, true);
            let mut event = json!({"origin": origin, "index": index.map(Index::get), "id": id});
            if let Some(mark) = mark {
                event[mark] = true.into();
            }
            if is_retired(submission) {
                event["retired"] = true.into();
            }
            if let Some(warnings) = told.at(place) {
                if !warnings.told.is_empty() {
                    event["warnings"] = json!(warnings.told);
                }
                if warnings.more > 0 {
                    event["more_warnings"] = warnings.more.into();
                }
            }
            event
        })
        .collect();
    let detail = "the events are kept, but were not confirmed in time: a retry with the same ids is safe";
    let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "unconfirmed", detail).with("events", events);
    let problem = if told.more > 0 { problem.with("more_warnings", told.more) } else { problem };
    problem.retry_after(1)
}

/// How many events of a request are new.
fn count_new(handed_in: &HandedInBatch) -> usize {
    let is_new = |event: &&Submission| matches!(event, Submission::New(receipt) if receipt.index.is_some());
    handed_in.events.iter().filter(is_new).count()
}
