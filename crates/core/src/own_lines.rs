//! What the trail's own lines tell readers.

use trailseal_event::{Value, line};

/// Whether the line is one of the trail's own, with this action. Only those have `"system":true` after the front.
pub(crate) fn is_own(text: &[u8], action: &str) -> bool {
    line::parse_front(text).is_some_and(|front| front.system)
        && Value::parse(text).is_ok_and(|value| value.get("action").and_then(Value::as_str) == Some(action))
}

/// Whether a line may follow the one before it: only the next opening may follow `trail.closed`. `after_close` says
/// whether the line before is that, and afterwards whether this one is.
pub(crate) fn may_follow(text: &[u8], after_close: &mut bool) -> bool {
    let may = !*after_close || is_own(text, "trail.opened");
    *after_close = is_own(text, "trail.closed");
    may
}
