//! Why a text is no event.

use super::Warning;

/// Why bytes are no event. Nothing of them was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadLine {
    /// The bytes are not UTF-8.
    #[error("byte {offset} is not UTF-8: send the event as JSON in UTF-8")]
    NotUtf8 {
        /// The first byte that is not, counted from 0.
        offset: usize,
    },
    /// The text is not JSON.
    #[error("not JSON at byte {offset}: {reason}")]
    NotJson {
        /// The first byte that does not fit, counted from 0.
        offset: usize,
        /// What was expected there.
        reason: &'static str,
    },
    /// It is JSON, but not an object.
    #[error("an event is one JSON object, this is {found}")]
    NotAnObject {
        /// What it is instead.
        found: &'static str,
    },
    /// The event says nothing about what was done.
    #[error(transparent)]
    NoAction(#[from] NoAction),
    /// It was to be read strictly, and its author wrote a name or a JSON type that no event has.
    #[error("strict: {0}")]
    NotStrict(Warning),
    /// The line does not begin as the lines of a trail do; only when a stored line is read.
    #[error("not a line of a trail: it does not begin with `v`, `index` and `recorded`")]
    NotALine,
}

/// Why an event is refused: it says nothing about what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAction {
    /// There is no `action`.
    #[error("the event has no `action`: say what was done, such as \"user.login\"")]
    Missing,
    /// It is the empty string.
    #[error("`action` is empty: say what was done, such as \"user.login\"")]
    Empty,
    /// It is not a string.
    #[error("`action` is {found}: it must be a string, such as \"user.login\"")]
    NotText {
        /// What it is instead.
        found: &'static str,
    },
}
