//! Everything that shows events. Each request is itself recorded, once, as `trail.read`.

mod event;
mod export;
mod list;
mod stream;
mod tiles;

pub(crate) use event::{one, proof, verify};
pub(crate) use list::{events, history, origins, summary};
pub(crate) use stream::stream;
pub(crate) use tiles::{checkpoint, entries, of_origin, tile};

use trailseal_core::event::Value;
use trailseal_index::Hit;

use crate::access::Caller;
use crate::app::{App, details};
use crate::query::Query;

/// Records that somebody reads.
fn note_read(app: &App, caller: &Caller, path: &str, query: Option<&Query>) {
    let query = query.and_then(|query| query.text(|name, value| app.trail.shown(name, value)));
    app.note("read", caller, details([("path", Some(path.to_owned())), ("query", query)]));
}

/// Appends the event with the name of its trail in front.
fn push_event(hit: &Hit, out: &mut Vec<u8>) {
    let origin = Value::from(&*hit.origin).to_string();
    out.extend_from_slice(b"{\"origin\":");
    out.extend_from_slice(origin.as_bytes());
    out.push(b',');
    out.extend_from_slice(hit.line.strip_prefix(b"{").unwrap_or(&hit.line));
}
