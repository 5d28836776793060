//! What a program's author should know about an event that is accepted anyway: fields in the wrong place or form.
//!
//! What must hold: a warning names the field and what to do, never the value. If an event is read strictly, only what
//! the program's author got wrong (names and JSON types) refuses it; never a value, which may come from outside:
//! otherwise a client could keep its own record out.

mod meant;

use std::borrow::Cow;
use std::fmt;

use super::parse::{AND_MORE, Oddity, cut_path};

pub(crate) use meant::{Place, meant, misplaced, misspelled};

/// At most this many warnings are listed per event; the others are counted.
pub const WARNINGS_MAX: usize = 3;

/// One field of an event that was sent in the wrong place or form.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// Where it was sent: keys and positions, joined by dots.
    pub field: String,
    /// What is wrong with it.
    pub problem: Cow<'static, str>,
    /// What to do about it.
    pub hint: Cow<'static, str>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}: {}", self.field, self.problem, self.hint)
    }
}

/// The warnings about one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    /// The first of them, at most [`WARNINGS_MAX`].
    pub told: Vec<Warning>,
    /// How many more there are.
    pub more: u64,
}

impl Warnings {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many there are, listed or not.
    pub fn count(&self) -> u64 {
        self.told.len() as u64 + self.more
    }

    /// As many of them as there is room for; the others are only counted.
    pub fn within(mut self, room: &mut usize) -> Warnings {
        let told = self.told.len().min(*room);
        *room -= told;
        self.more += (self.told.len() - told) as u64;
        self.told.truncate(told);
        self.told.shrink_to_fit();
        self
    }

    pub(super) fn add(&mut self, field: &str, fault: &Fault) {
        if self.told.len() < WARNINGS_MAX {
            self.told.push(fault.at(field));
        } else {
            self.more += 1;
        }
    }

    /// Takes secrets out of the names of fields.
    pub fn mask(&mut self, has_secret: impl Fn(&str) -> bool) {
        self.told.iter_mut().for_each(|warning| warning.mask(&has_secret));
    }
}

impl Warning {
    /// Takes a name out that is a secret.
    pub fn mask(&mut self, has_secret: impl Fn(&str) -> bool) {
        // Whether a truncated text was a secret cannot be known.
        if self.field.ends_with(AND_MORE) || has_secret(&self.field) {
            let known = self.field.split('.').next().filter(|name| super::names::FIELDS.contains(name));
            self.field = known.map_or_else(|| "***".to_owned(), |known| format!("{known}.***"));
        }
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It looks like the known field with this path.
    Misplaced(&'static str),
    /// It looks like no known field: only a strict reader minds.
    Unknown,
    /// Only the trail fills it.
    Reserved,
    /// Of another JSON type than the one wanted.
    Type {
        found: &'static str,
        wanted: &'static str,
    },
    Time,
    Category,
    Severity,
    Outcome,
    EmptyId,
    ResourceText,
    /// The caller's own `details._invalid`.
    Mark,
    Odd(Oddity),
}

const KEPT: &str = "what was sent is kept under details._invalid";

impl Fault {
    /// Whether the program's author got it wrong, whoever uses the program. `details` may hold a client's own map, so
    /// its names are values here; and an oddity of JSON belongs to its content.
    pub(super) fn is_authors(self) -> bool {
        let is_authors =
            matches!(self, Fault::Misplaced(_) | Fault::Unknown | Fault::Reserved | Fault::Type { .. });
        is_authors || (self == Fault::Time && cfg!(trailseal_fault = "strict_refuses_values"))
    }

    pub(super) fn at(self, field: &str) -> Warning {
        let (problem, hint) = self.words();
        let mut field = field.to_owned();
        cut_path(&mut field);
        Warning { field, problem, hint }
    }

    /// The same of an event that is refused for it: nothing of that is kept.
    pub(super) fn refused_at(self, field: &str) -> Warning {
        let warning = self.at(field);
        let (problem, hint): (Cow<'_, str>, Cow<'_, str>) = match self {
            Fault::Misplaced(_) => ("not an event field here".into(), warning.hint),
            Fault::Type { wanted, .. } => (warning.problem, format!("send {wanted}").into()),
            Fault::Reserved => (warning.problem, "leave it out".into()),
            _ => (warning.problem, warning.hint),
        };
        Warning { problem, hint, ..warning }
    }

    fn words(self) -> (Cow<'static, str>, Cow<'static, str>) {
        let (problem, hint) = match self {
            Fault::Misplaced(target) => {
                let problem = format!("not an event field here: it is kept, but is not found as {target}");
                return (problem.into(), format!("send it as {target}").into());
            }
            Fault::Type { found, wanted } => {
                return (found.into(), format!("send {wanted}; {KEPT}").into());
            }
            Fault::Unknown => ("not an event field", "put your own fields into details"),
            Fault::Reserved => {
                ("filled by the trail itself", "leave it out; what was sent is kept under details._invalid")
            }
            Fault::Time => (
                "not a readable time",
                "send RFC 3339, such as 2026-11-21T04:00:00Z; the event has the time of recording",
            ),
            Fault::Category => (
                "not a category",
                "send authentication, authorization, secret_access, config_change, data_access, data_change, \
                 workflow, step, admin, system or custom:NAME; the event has custom:other",
            ),
            Fault::Severity => {
                ("not a severity", "send debug, info, notice, warning, error or critical; the event has info")
            }
            Fault::Outcome => (
                "not an outcome",
                "send success, failure, denied, partial or unknown, or leave it out; the event has unknown",
            ),
            Fault::EmptyId => ("empty", "send a string, or leave it out to have one generated"),
            Fault::ResourceText => (
                "a string without type and id",
                "send TYPE/ID, such as invoice/42, or an object with type and id",
            ),
            Fault::Mark => ("the trail's own mark", "use another name; it was moved below details._invalid"),
            Fault::Odd(Oddity::Number) => ("a number that few programs can represent", "it is kept as text"),
            Fault::Odd(Oddity::Depth) => ("nested too deep", "it is kept as JSON text"),
            Fault::Odd(Oddity::Surrogate) => {
                ("a string with half a surrogate pair", "send UTF-8; U+FFFD replaces it")
            }
            Fault::Odd(Oddity::Doubled) => (
                "present more than once",
                "the last one counts; earlier ones are kept under details._invalid",
            ),
            Fault::Odd(Oddity::More) => ("not the last", "there are more than are listed"),
        };
        (problem.into(), hint.into())
    }
}

#[cfg(test)]
#[path = "warning_tests.rs"]
mod tests;
