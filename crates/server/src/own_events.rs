//! What callers do at the server is recorded in the trail itself, as events of its own.

use trailseal_core::Trail;
use trailseal_event::{Event, Index, Object, Value};

use crate::access::Caller;
use crate::query::{Query, cut};

/// How much of a path is recorded at most.
const PATH_BYTES_MAX: usize = 1_024;

/// Records that the caller did something. That it cannot be recorded is told by the log and never in the way of the
/// caller.
pub(crate) fn note(trail: &Trail, what: &str, caller: &Caller, details: Object) -> Option<Index> {
    match trail.record_own(what, event_of(caller, details)) {
        Ok(index) => Some(index),
        Err(error) => {
            tracing::warn!(what, error = %error, "one of the trail's own events was refused");
            None
        }
    }
}

/// An event of what the holder of a token does, without what it is.
pub(crate) fn by_token(name: &str) -> Event {
    Event::default().actor(name).actor_kind("token")
}

/// The event of what a caller does, except for its action.
pub(crate) fn event_of(caller: &Caller, details: Object) -> Event {
    let mut event = by_token(caller.name()).details(details);
    event.tenant = caller.tenant().map(str::to_owned);
    event.context.ip = caller.address().map(|address| address.to_string());
    event
}

/// Records that somebody reads, and whether personal values are shown to them in plain; away from the threads that serve connections: a full handoff is waited for.
pub(crate) async fn note_read(
    trail: &Trail,
    caller: &Caller,
    path: &str,
    query: Option<&Query>,
    is_personal: bool,
) {
    let mut details = read_details(trail, path, query);
    if is_personal {
        details.insert("personal", true);
    }
    let (trail, caller) = (trail.clone(), caller.clone());
    let _ = tokio::task::spawn_blocking(move || note(&trail, "read", &caller, details)).await;
}

/// What a read reports about itself.
fn read_details(trail: &Trail, path: &str, query: Option<&Query>) -> Object {
    let (text, length) = query.and_then(|query| query.text(|name, value| trail.shown(name, value))).unzip();
    let mut details = details([("path", Some(cut(path, PATH_BYTES_MAX).to_owned())), ("query", text)]);
    if let Some(Some(length)) = length {
        details.insert("query_bytes", length);
    }
    details
}

/// An object from names and texts; names without a text are left out.
pub(crate) fn details<'a>(members: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Object {
    let mut object = Object::default();
    for (name, text) in members {
        if let Some(text) = text {
            object.insert(name, Value::from(text));
        }
    }
    object
}
