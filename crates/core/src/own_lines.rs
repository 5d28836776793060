//! What the trail's own lines tell readers.

use trailseal_event::{Value, line};

use crate::personal::SaidKeys;

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

/// What the trail's own lines say, one after the other.
#[derive(Debug, Default)]
pub(crate) struct OwnLines {
    after_close: bool,
    /// The last one that named a policy.
    pub(crate) said: Option<Said>,
}

/// A line of the trail's own that names the policy in force from there on: `trail.opened`, `trail.policy_changed` or
/// `trail.closed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Its index.
    pub(crate) index: u64,
    /// The policy's hash.
    pub(crate) policy: String,
    /// The index of the last `trail.opened`, if that is known.
    pub(crate) opened: Option<u64>,
    /// What was last said of the key file.
    pub(crate) keys: Option<SaidKeys>,
}

impl OwnLines {
    /// Takes in the next line, and returns whether it [may follow](may_follow) the one before.
    pub(crate) fn take(&mut self, index: u64, text: &[u8]) -> bool {
        let own = line::parse_front(text).filter(|front| front.system).and_then(|_| Value::parse(text).ok());
        let action = own.as_ref().and_then(|own| own.get("action")).and_then(Value::as_str);
        let may = !self.after_close || action == Some("trail.opened");
        self.after_close = action == Some("trail.closed");
        if let Some("trail.opened" | "trail.policy_changed" | "trail.closed") = action
            && let Some(details) = own.as_ref().and_then(|own| own.get("details"))
            && let Some(policy) = details.get("policy").and_then(Value::as_str)
        {
            let before = self.said.as_ref().and_then(|said| said.opened);
            let opened = match action {
                Some("trail.opened") => Some(index),
                _ => details.get("opened").and_then(Value::as_u64).or(before),
            };
            let keys = match action {
                Some("trail.policy_changed") => self.said.as_ref().and_then(|said| said.keys),
                _ => details.get("personal").and_then(SaidKeys::from_value),
            };
            self.said = Some(Said { index, policy: policy.to_owned(), opened, keys });
        }
        may
    }
}
