//! What the trail's own lines say to whoever reads lines.

use trailseal_event::{Value, line};

/// Whether the line is one of the trail's own, of this action. Only there does `"system":true` stand behind the front.
pub(crate) fn is_own(text: &[u8], action: &str) -> bool {
    line::parse_front(text).is_some_and(|front| front.system)
        && Value::parse(text).is_ok_and(|value| value.get("action").and_then(Value::as_str) == Some(action))
}

/// Whether a line may stand behind the one before it: behind `trail.closed` nothing comes but the next opening.
/// `after_close` tells of the line before, and afterwards of this one.
pub(crate) fn may_follow(text: &[u8], after_close: &mut bool) -> bool {
    let may = !*after_close || is_own(text, "trail.opened");
    *after_close = is_own(text, "trail.closed");
    may
}
