//! A mapping: how the records of one format become events.
//!
//! In: a mapping file ([`Mapping::parse`]; its reference is `docs/import.md`) and records. Out: events
//! ([`Mapping::apply`]). What must hold: every JSON object gives an event with an action, and the whole record is in
//! it.

mod apply;
mod expression;
mod fields;
mod parse;
mod path;
mod pattern;

use std::sync::LazyLock;

use trailseal_event::{Category, Outcome, Severity};

pub(crate) use apply::RECORD;
use expression::Expression;
use fields::Field;
pub(crate) use path::Path;
use pattern::Pattern;

use crate::form::Form;
use crate::time::Times;

/// The text of the built-in mapping files, by the name of their format; the more particular ones last.
pub const BUILT_IN: [(&str, &str); 21] = [
    ("syslog", include_str!("../../mappings/syslog.toml")),
    ("cef", include_str!("../../mappings/cef.toml")),
    ("google_cloud", include_str!("../../mappings/google_cloud.toml")),
    ("azure_activity", include_str!("../../mappings/azure_activity.toml")),
    ("entra_id", include_str!("../../mappings/entra_id.toml")),
    ("auth0", include_str!("../../mappings/auth0.toml")),
    ("okta", include_str!("../../mappings/okta.toml")),
    ("google_workspace", include_str!("../../mappings/google_workspace.toml")),
    ("vault", include_str!("../../mappings/vault.toml")),
    ("auditd", include_str!("../../mappings/auditd.toml")),
    ("cloudtrail", include_str!("../../mappings/cloudtrail.toml")),
    ("kubernetes", include_str!("../../mappings/kubernetes.toml")),
    ("github", include_str!("../../mappings/github.toml")),
    ("resync_audit_logs", include_str!("../../mappings/resync_audit_logs.toml")),
    ("audit_entries", include_str!("../../mappings/audit_entries.toml")),
    ("audit_queue", include_str!("../../mappings/audit_queue.toml")),
    ("pms_audit_log", include_str!("../../mappings/pms_audit_log.toml")),
    ("audit_logs", include_str!("../../mappings/audit_logs.toml")),
    ("audit_trail", include_str!("../../mappings/audit_trail.toml")),
    ("audit_events", include_str!("../../mappings/audit_events.toml")),
    ("resync_blocks", include_str!("../../mappings/resync_blocks.toml")),
];

/// How the records of one format become events.
///
/// ```
/// use trailseal_event::Value;
/// use trailseal_import::Mapping;
///
/// let mapping = Mapping::parse("format = 'shop'\n[event]\naction = '{kind}.{verb}'\ntime = 'at'").unwrap();
/// let record = Value::parse(br#"{"kind":"order","verb":"cancel","at":1621305118553}"#).unwrap();
/// assert_eq!(mapping.apply(record).action, "order.cancel");
/// ```
#[derive(Clone, Debug)]
pub struct Mapping {
    format: String,
    /// Where the array of records is, if not at one of the usual places.
    records: Option<Path>,
    /// How lines are to be read, if the mapping says so.
    form: Option<Form>,
    /// A record is of this format if all conditions of one of these hold.
    detect: Vec<Vec<Condition>>,
    /// The list whose entries are events.
    each: Option<Path>,
    times: Times,
    lets: Vec<(String, Candidates)>,
    fields: Vec<(Field, Candidates)>,
    source_id: Candidates,
    /// The event's id, if it gives a UUID: then it is that of no other record.
    event_id: Candidates,
    resources: Vec<ResourceRule>,
    related: Vec<RelatedRule>,
    outcomes: Vec<Rule<Outcome>>,
    categories: Vec<Rule<Category>>,
    severities: Vec<Rule<Severity>>,
    details: Vec<(String, Candidates)>,
    /// By the name of a field or a named value: the replacements for its texts.
    values: Vec<(String, Exchanges)>,
    /// The names that something refers to.
    named: Vec<String>,
}

impl Mapping {
    /// The built-in mapping for `format`, such as `cloudtrail`; a dash is as good as an underscore.
    pub fn builtin(format: &str) -> Option<&'static Mapping> {
        let format = format.replace('-', "_");
        Self::builtins().find(|mapping| mapping.format == format)
    }

    /// All built-in mappings.
    pub fn builtins() -> impl Iterator<Item = &'static Mapping> {
        static READ: LazyLock<Vec<Mapping>> = LazyLock::new(|| {
            // Tests parse every one of them, so none is missing here.
            BUILT_IN.iter().filter_map(|(_, text)| Mapping::parse(text).ok()).collect()
        });
        READ.iter()
    }

    pub(crate) fn records(&self) -> Option<&Path> {
        self.records.as_ref()
    }

    pub(crate) fn form(&self) -> Option<&Form> {
        self.form.as_ref()
    }

    /// Whether the mapping looks for this field, or one below it.
    pub(crate) fn asks_for(&self, field: &str) -> bool {
        self.fields.iter().any(|(asked, _)| {
            let below = asked.name().strip_prefix(field);
            below.is_some_and(|below| below.is_empty() || below.starts_with('.'))
        })
    }

    /// Whether the mapping says how its records are told from others.
    pub(crate) fn can_detect(&self) -> bool {
        !self.detect.is_empty()
    }

    /// The format's name, which is part of the ids of imported events.
    pub fn format(&self) -> &str {
        &self.format
    }
}

/// Why a mapping file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the mapping: {message}")]
pub struct MappingError {
    /// The line it is on; the first is 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Where a value can come from; the first usable one counts.
type Candidates = Vec<Candidate>;

/// Replacements for texts; the first matching pattern counts.
type Exchanges = Vec<(Pattern, String)>;

#[derive(Clone, Debug)]
enum Candidate {
    /// The value itself.
    Constant(String),
    /// A value of the record.
    From(Reference),
    /// Text and values of the record joined; usable if all the values are there.
    Join(Vec<Piece>),
    /// The first group of a match in a value, or the whole match if there is no group.
    Part(Reference, Expression),
    /// Seconds and nanoseconds.
    Nanos(Reference, Reference),
    /// A duration counted in a unit of so many milliseconds.
    InUnit(Reference, f64),
    /// A list of names with values, as an object.
    Pairs(Reference, Pairs),
}

/// How the entries of a list become members of an object.
#[derive(Clone, Debug)]
struct Pairs {
    /// The member's name.
    key: Path,
    value: PairValue,
}

#[derive(Clone, Debug)]
enum PairValue {
    One(Path),
    /// What it was and what it is.
    Change {
        from: Option<Path>,
        to: Option<Path>,
    },
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Value(Reference),
}

/// A value named in a mapping.
#[derive(Clone, Debug)]
enum Reference {
    /// A path in the record.
    Path(Path),
    /// `$NAME`: from `[let]` or, in rules, a field of the event as mapped so far.
    Named(String),
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Candidate::Constant(text) => write!(out, "={text}"),
            Candidate::From(reference)
            | Candidate::Part(reference, _)
            | Candidate::Nanos(reference, _)
            | Candidate::InUnit(reference, _)
            | Candidate::Pairs(reference, _) => reference.fmt(out),
            Candidate::Join(pieces) => pieces.iter().try_for_each(|piece| match piece {
                Piece::Text(text) => out.write_str(text),
                Piece::Value(reference) => write!(out, "{{{reference}}}"),
            }),
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reference::Path(path) => out.write_str(&path.keys().join(".")),
            Reference::Named(name) => write!(out, "${name}"),
        }
    }
}

/// One thing to decide about a record's event; the first rule whose conditions all hold counts.
#[derive(Clone, Debug)]
struct Rule<T> {
    when: Vec<Condition>,
    is: T,
}

/// Holds if one of the patterns matches.
#[derive(Clone, Debug)]
struct Condition {
    value: Reference,
    patterns: Vec<Pattern>,
}

/// What the event is about; the first such rule that gives an id or a name counts.
#[derive(Clone, Debug, Default)]
struct ResourceRule {
    when: Vec<Condition>,
    kind: Candidates,
    id: Candidates,
    name: Candidates,
}

/// More resources, one per entry of a list; the candidates' paths are relative to the entry.
#[derive(Clone, Debug)]
struct RelatedRule {
    each: Path,
    entry: ResourceRule,
}

#[cfg(test)]
mod tests;
