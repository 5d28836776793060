//! Everything that shows events. Each request is itself recorded, once, as `trail.read`.

mod event;
mod export;
mod list;
mod stream;
mod tiles;

pub(crate) use event::{one, proof, verify};
pub(crate) use list::{budget, events, history, origins, summary, whole};
pub(crate) use stream::stream;
pub(crate) use tiles::{NewestCheckpoint, checkpoint, entries, of_origin, tile};

use trailseal_event::{Object, Value};
use trailseal_index::Hit;

use crate::access::Caller;
use crate::app::{App, Shared, details};
use crate::query::{Query, cut};

/// How much of a path is recorded at most.
const PATH_BYTES_MAX: usize = 1_024;

/// Records that somebody reads.
async fn note_read(app: &Shared, caller: &Caller, path: &str, query: Option<&Query>) {
    app.note_aside("read", caller, read_details(app, path, query)).await;
}

/// What a read reports about itself.
pub(crate) fn read_details(app: &App, path: &str, query: Option<&Query>) -> Object {
    let (text, length) =
        query.and_then(|query| query.text(|name, value| app.trail.shown(name, value))).unzip();
    let mut details = details([("path", Some(cut(path, PATH_BYTES_MAX).to_owned())), ("query", text)]);
    if let Some(Some(length)) = length {
        details.insert("query_bytes", length);
    }
    details
}

/// Appends the event with the name of its trail added in front.
fn push_event(hit: &Hit, out: &mut Vec<u8>) {
    let origin = Value::from(&*hit.origin).to_string();
    out.extend_from_slice(b"{\"origin\":");
    out.extend_from_slice(origin.as_bytes());
    out.push(b',');
    out.extend_from_slice(hit.line.strip_prefix(b"{").unwrap_or(&hit.line));
}
