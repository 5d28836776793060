//! What a program's author should know of an event that is taken all the same: fields in the wrong place or form.
//!
//! What must hold: a warning names the field and what to do, never the value. Where an event is read strictly, only
//! what the program's author wrote refuses it, which is names and JSON types; never a value, which may come from
//! outside: else a client could keep its own record out.

mod meant;

use std::borrow::Cow;
use std::fmt;

use super::parse::{AND_MORE, Oddity, cut_path};

pub(crate) use meant::{Place, meant};

/// So many warnings are told of one event; the others are counted.
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

/// What is to be told of one event.
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

    /// How many there are, told or not.
    pub fn count(&self) -> u64 {
        self.told.len() as u64 + self.more
    }

    /// Those of them that there is room for; the others are counted only.
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
        // Of a secret that was cut nobody can tell that it is one.
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
    /// It looks like no known field: nobody but a strict reader minds.
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
    /// Whether the program's author wrote it, whoever uses the program. A client's own map may stand in `details`, so
    /// its names are values here; and an oddity of JSON is one of what was in it.
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

    fn words(self) -> (Cow<'static, str>, Cow<'static, str>) {
        let (problem, hint) = match self {
            Fault::Misplaced(target) => {
                let problem = format!("no field of an event: it is kept, and not found as {target}");
                return (problem.into(), format!("send it as {target}").into());
            }
            Fault::Type { found, wanted } => {
                return (found.into(), format!("send {wanted}; {KEPT}").into());
            }
            Fault::Unknown => ("no field of an event", "put fields of your own into details"),
            Fault::Reserved => {
                ("filled by the trail itself", "leave it out; what was sent is kept under details._invalid")
            }
            Fault::Time => (
                "no time that can be read",
                "send RFC 3339, such as 2026-11-21T04:00:00Z; the event has the moment of recording",
            ),
            Fault::Category => (
                "no category",
                "send authentication, authorization, secret_access, config_change, data_access, data_change, \
                 workflow, step, admin, system or custom:NAME; the event has custom:other",
            ),
            Fault::Severity => {
                ("no severity", "send debug, info, notice, warning, error or critical; the event has info")
            }
            Fault::Outcome => (
                "no outcome",
                "send success, failure, denied, partial or unknown, or leave it out; the event has unknown",
            ),
            Fault::EmptyId => ("empty", "send a text, or leave it out: then one is made"),
            Fault::ResourceText => (
                "a text without type and id",
                "send TYPE/ID, such as invoice/42, or an object with type and id",
            ),
            Fault::Mark => ("the trail's own mark", "use another name; it was moved below details._invalid"),
            Fault::Odd(Oddity::Number) => ("a number that few readers can hold", "it is kept as its text"),
            Fault::Odd(Oddity::Depth) => ("nested too deep", "it is kept as its JSON text"),
            Fault::Odd(Oddity::Surrogate) => {
                ("a text with half a surrogate pair", "send UTF-8; U+FFFD stands there instead")
            }
            Fault::Odd(Oddity::Doubled) => {
                ("there more than once", "the last one counts; earlier ones are kept under details._invalid")
            }
            Fault::Odd(Oddity::More) => ("not the last", "there are more of them than are listed"),
        };
        (problem.into(), hint.into())
    }
}

#[cfg(test)]
#[path = "warning_tests.rs"]
mod tests;
