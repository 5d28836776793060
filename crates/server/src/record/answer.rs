//! The response to `POST /v1/events`.

use std::fmt::Write as _;

use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use trailseal_core::{Receipt, Status};
use trailseal_event::Index;

use crate::problem::{Kind, Problem};

pub(super) fn json(text: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text)
}

/// The receipts. Formatted by hand: there may be thousands, many times a second.
pub(super) fn accepted(origin: &str, receipts: &[Receipt], status: Status) -> String {
    let origin = Value::from(origin).to_string();
    let mut text = String::with_capacity(64 + 128 * receipts.len());
    let _ = write!(text, "{{\"accepted\":{},\"events\":[", count_new(receipts));
    let is_unconfirmed = status == Status::Unconfirmed;
    let mut more = 0;
    for (place, receipt) in receipts.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        let _ = write!(text, "{{\"origin\":{origin},\"index\":");
        let _ = match receipt.index {
            Some(index) => write!(text, "{index}"),
            None => text.write_str("null"),
        };
        let _ = write!(text, ",\"id\":{}", Value::from(receipt.id.as_str()));
        if let Some(mark) = mark(receipt, is_unconfirmed) {
            let _ = write!(text, ",\"{mark}\":true");
        }
        if is_retired(receipt) {
            text.push_str(",\"retired\":true");
        }
        if let Some(warnings) = receipt.warnings() {
            if !warnings.told.is_empty() {
                let _ = write!(text, ",\"warnings\":{}", json!(warnings.told));
            }
            write_more(warnings.more, &mut text);
            more += warnings.more;
        }
        text.push('}');
    }
    text.push(']');
    if is_unconfirmed {
        text.push_str(",\"unconfirmed\":true");
    }
    write_more(more, &mut text);
    text.push('}');
    text
}

/// How many warnings are not listed.
fn write_more(more: u64, text: &mut String) {
    if more > 0 {
        let _ = write!(text, ",\"more_warnings\":{more}");
    }
}

/// What to say about an event, other than its index and id.
fn mark(receipt: &Receipt, is_unconfirmed: bool) -> Option<&'static str> {
    match (receipt.status, receipt.index) {
        (Status::Repeated { .. }, _) => Some("repeated"),
        (_, None) => Some("sampled_out"),
        (_, Some(_)) => is_unconfirmed.then_some("unconfirmed"),
    }
}

/// Whether it repeats one that is gone.
fn is_retired(receipt: &Receipt) -> bool {
    receipt.status == Status::Repeated { retired: true }
}

/// The events have indexes and are kept, but the level asked for was not reached in time.
pub(super) fn unconfirmed(origin: &str, receipts: &[Receipt]) -> Problem {
    let mut more = 0;
    let events: Vec<Value> = receipts
        .iter()
        .map(|receipt| {
            let (index, id) = (receipt.index.map(Index::get), receipt.id.as_str());
            let mut event = json!({"origin": origin, "index": index, "id": id});
            if let Some(mark) = mark(receipt, true) {
                event[mark] = true.into();
            }
            if is_retired(receipt) {
                event["retired"] = true.into();
            }
            if let Some(warnings) = receipt.warnings() {
                more += warnings.more;
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
    let problem = Problem::new(Kind::Unconfirmed, detail).with("events", events);
    let problem = if more > 0 { problem.with("more_warnings", more) } else { problem };
    problem.retry_after(1)
}

/// How many events of a request are new.
fn count_new(receipts: &[Receipt]) -> usize {
    let is_new =
        |receipt: &&Receipt| receipt.index.is_some() && !matches!(receipt.status, Status::Repeated { .. });
    receipts.iter().filter(is_new).count()
}
