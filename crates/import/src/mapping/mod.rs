//! A mapping: how the records of one format become events.
//!
//! In: a mapping file ([`Mapping::parse`], its reference is `docs/import.md`) and records. Out: events
//! ([`Mapping::apply`]). What must hold: every JSON object gives an event with an action, and the whole record
//! is in it.

mod apply;
mod fields;
mod parse;
mod path;
mod pattern;

use std::sync::LazyLock;

use regex_lite::Regex;
use trailseal_event::{Category, Outcome, Severity};

use fields::Field;
use path::Path;
use pattern::Pattern;

/// The text of the built-in mapping files, by the name of their format.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("cloudtrail", include_str!("../../mappings/cloudtrail.toml")),
    ("kubernetes", include_str!("../../mappings/kubernetes.toml")),
    ("github", include_str!("../../mappings/github.toml")),
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
    time_formats: Vec<String>,
    lets: Vec<(String, Candidates)>,
    fields: Vec<(Field, Candidates)>,
    source_id: Candidates,
    resources: Vec<ResourceRule>,
    related: Vec<RelatedRule>,
    outcomes: Vec<Rule<Outcome>>,
    categories: Vec<Rule<Category>>,
    severities: Vec<Rule<Severity>>,
    details: Vec<(String, Candidates)>,
    /// By the name of a field or a named value: what its texts are exchanged for.
    values: Vec<(String, Exchanges)>,
}

impl Mapping {
    /// The mapping that comes with Trailseal for `format`: `cloudtrail`, `kubernetes` or `github`.
    pub fn builtin(format: &str) -> Option<&'static Mapping> {
        static READ: LazyLock<Vec<Mapping>> = LazyLock::new(|| {
            // Tests read every one of them, so none is left out here.
            BUILT_IN.iter().filter_map(|(_, text)| Mapping::parse(text).ok()).collect()
        });
        READ.iter().find(|mapping| mapping.format == format)
    }

    /// The format's name, which goes into the ids of imported events.
    pub fn format(&self) -> &str {
        &self.format
    }
}

/// Why a mapping file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the mapping: {message}")]
pub struct MappingError {
    /// The line it stands on; the first is 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Where a value can come from; the first place that has a usable one counts.
type Candidates = Vec<Candidate>;

/// What texts are exchanged for; the first pattern that fits counts.
type Exchanges = Vec<(Pattern, String)>;

#[derive(Clone, Debug)]
enum Candidate {
    /// The value itself.
    Constant(String),
    /// A value of the record.
    From(Reference),
    /// Texts and values of the record joined; usable if all the values are there.
    Join(Vec<Piece>),
    /// The part of a value that the first group of an expression matches, or all that it matches.
    Part(Reference, Regex),
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Value(Reference),
}

/// A value named in a mapping.
#[derive(Clone, Debug)]
enum Reference {
    /// Of the record.
    Path(Path),
    /// `$NAME`: of `[let]`, or, in rules, a field of the event as mapped so far.
    Named(String),
}

/// One thing to find out about a record's event; the first rule whose conditions all hold counts.
#[derive(Clone, Debug)]
struct Rule<T> {
    when: Vec<Condition>,
    is: T,
}

/// Holds if one of the patterns fits.
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

/// More resources, one for each entry of a list; the candidates' paths begin at the entry.
#[derive(Clone, Debug)]
struct RelatedRule {
    each: Path,
    entry: ResourceRule,
}

#[cfg(test)]
mod tests;
