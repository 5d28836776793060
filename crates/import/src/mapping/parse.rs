//! Parses a mapping file into a [`Mapping`], and reports the line of any mistake.

mod candidate;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use regex_lite::Regex;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use trailseal_event::{Category, Outcome, Severity, nearest};

use super::fields::{Field, Word};
use super::path::Path;
use super::pattern::Pattern;
use super::{Condition, Exchanges, Mapping, MappingError, Reference, RelatedRule, ResourceRule, Rule};
use crate::form::{Columns, Form};
use crate::time::{self, Times};

/// The longest mapping file, in bytes; expressions and tables are read into memory.
const MAPPING_BYTES_MAX: usize = 1024 * 1024;

/// What a mapping file can have.
const KEYS: [&str; 20] = [
    "format",
    "description",
    "records",
    "columns",
    "line",
    "each",
    "time_formats",
    "time_zone",
    "source_id",
    "event_id",
    "detect",
    "let",
    "event",
    "details",
    "values",
    "resource",
    "related",
    "outcome",
    "category",
    "severity",
];

type Result<T> = std::result::Result<T, MappingError>;
type Item<'v, 't> = &'v Spanned<DeValue<'t>>;

impl Mapping {
    /// Parses a mapping file.
    ///
    /// # Errors
    /// [`MappingError`] names the line and what to write instead: for text that is not TOML, an unknown key, a bad
    /// path, pattern, expression or word, and an undefined name.
    pub fn parse(text: &str) -> Result<Mapping> {
        if text.len() > MAPPING_BYTES_MAX {
            let message = "the file is larger than 1 MiB: a mapping is a short text".to_owned();
            return Err(MappingError { line: 1, message });
        }
        let file = DeTable::parse(text).map_err(|error| MappingError {
            line: line_of(text, error.span().unwrap_or(0..0)),
            message: format!("this is not TOML: {}", error.message()),
        })?;
        Parser { text, names: Vec::new(), named: RefCell::default(), rules: false }.mapping(file.get_ref())
    }
}

struct Parser<'t> {
    text: &'t str,
    /// What `$NAME` can refer to so far.
    names: Vec<String>,
    /// What `$NAME` does refer to.
    named: RefCell<Vec<String>>,
    /// Whether rules are being parsed, which can name the event's own fields.
    rules: bool,
}

impl<'t> Parser<'t> {
    fn mapping(mut self, file: &DeTable<'t>) -> Result<Mapping> {
        let mut mapping = Mapping {
            format: String::new(),
            records: None,
            form: None,
            detect: Vec::new(),
            each: None,
            times: Times::default(),
            lets: Vec::new(),
            fields: Vec::new(),
            source_id: Vec::new(),
            event_id: Vec::new(),
            resources: Vec::new(),
            related: Vec::new(),
            outcomes: Vec::new(),
            categories: Vec::new(),
            severities: Vec::new(),
            details: Vec::new(),
            values: Vec::new(),
            named: Vec::new(),
        };
        // `[let]` is parsed first wherever it is, since everything else can refer to it.
        if let Some(lets) = file.get("let") {
            for (name, _, value) in self.table(lets)? {
                let candidates = self.candidates(value)?;
                mapping.lets.push((name.to_owned(), candidates));
                self.names.push(name.to_owned());
            }
        }
        for (key, span, value) in in_order(file) {
            self.key(&mut mapping, key, span, value)?;
        }
        // Last, since it must be about something that the mapping fills.
        if let Some(values) = file.get("values") {
            mapping.values = self.values(values, &mapping)?;
        }
        if mapping.format.is_empty() {
            return Err(
                self.wrong(0..0, "the format has no name: begin with a line such as format = \"myapp\"")
            );
        }
        mapping.named = self.named.take();
        Ok(mapping)
    }

    fn key(
        &mut self,
        mapping: &mut Mapping,
        key: &str,
        span: Range<usize>,
        value: Item<'_, 't>,
    ) -> Result<()> {
        self.rules = false;
        match key {
            "format" => mapping.format = self.format_name(value)?,
            "description" => drop(self.str(value)?),
            "records" => {
                let path =
                    Path::parse(self.str(value)?).map_err(|message| self.wrong(value.span(), message))?;
                mapping.records = Some(path);
            }
            "columns" => mapping.form = Some(self.columns(value)?),
            "line" => mapping.form = Some(self.line(value)?),
            "detect" => mapping.detect = self.each(value, Self::detect)?,
            "time_formats" => mapping.times.formats = self.time_formats(value)?,
            "time_zone" => mapping.times.zone = Some(self.time_zone(value)?),
            "each" => {
                let path =
                    Path::parse(self.str(value)?).map_err(|message| self.wrong(value.span(), message))?;
                mapping.each = Some(path);
            }
            "source_id" => mapping.source_id = self.candidates(value)?,
            "event_id" => mapping.event_id = self.candidates(value)?,
            "let" | "values" => {}
            "event" => {
                for (name, span, value) in self.table(value)? {
                    let field = Field::named(name).ok_or_else(|| {
                        let known: Vec<&str> = Field::names().collect();
                        let what = meant(name, &known, "use one of ");
                        self.wrong(span, format!("`{name}` is not an event field: {what}"))
                    })?;
                    mapping.fields.push((field, self.candidates(value)?));
                }
            }
            "details" => {
                for (name, span, value) in self.table(value)? {
                    if matches!(name, "record" | "_import" | "_invalid") {
                        return Err(self.wrong(span, format!("`{name}` is taken: choose another name")));
                    }
                    mapping.details.push((name.to_owned(), self.candidates(value)?));
                }
            }
            "resource" => {
                self.rules = true;
                mapping.resources = self
                    .each(value, |parser, table| parser.resource(table, &["when", "type", "id", "name"]))?;
            }
            "related" => mapping.related = self.each(value, Self::related)?,
            "outcome" => mapping.outcomes = self.rules(value)?,
            "category" => mapping.categories = self.rules(value)?,
            "severity" => mapping.severities = self.rules(value)?,
            _ => {
                return Err(self.wrong(span, format!("`{key}` is not known: {}", meant(key, &KEYS, "use "))));
            }
        }
        Ok(())
    }

    fn format_name(&self, value: Item<'_, 't>) -> Result<String> {
        let name = self.str(value)?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
            let message =
                format!("`{name}` cannot be a format's name: use up to 64 letters, digits, - _ and .");
            return Err(self.wrong(value.span(), message));
        }
        Ok(name.to_owned())
    }

    /// The names of columns, for tables without a header.
    fn columns(&self, value: Item<'_, 't>) -> Result<Form> {
        let names: Result<Vec<String>> =
            self.list(value).into_iter().map(|item| Ok(self.str(item)?.to_owned())).collect();
        Ok(Form::Csv(Columns::named(names?)))
    }

    /// An expression for lines of text; its named groups become the record.
    fn line(&self, value: Item<'_, 't>) -> Result<Form> {
        let text = self.str(value)?;
        let expression = Regex::new(text).map_err(|error| {
            self.wrong(value.span(), format!("`{text}` is not a regular expression: {error}"))
        })?;
        if expression.capture_names().flatten().next().is_none() {
            let message =
                "no part of the line has a name: write (?P<user>…) around what is to be found as user";
            return Err(self.wrong(value.span(), message));
        }
        Ok(Form::Text(Arc::new(expression)))
    }

    fn detect(&mut self, rule: Item<'_, 't>) -> Result<Vec<Condition>> {
        let mut when = Vec::new();
        for (key, span, value) in self.table(rule)? {
            match key {
                "when" => when = self.conditions(value)?,
                _ => return Err(self.unknown(span, key, &["when"])),
            }
        }
        if when.is_empty() {
            return Err(self.wrong(rule.span(), "nothing tells the format: add when = { path = pattern }"));
        }
        Ok(when)
    }

    fn time_formats(&self, value: Item<'_, 't>) -> Result<Vec<time::Format>> {
        self.list(value)
            .into_iter()
            .map(|item| {
                let format = self.str(item)?;
                time::Format::parse(format).map_err(|error| {
                    self.wrong(
                        item.span(),
                        format!("`{format}` is not a time format such as %d/%b/%Y:%H:%M:%S %z: {error}"),
                    )
                })
            })
            .collect()
    }

    fn time_zone(&self, value: Item<'_, 't>) -> Result<jiff::tz::TimeZone> {
        let name = self.str(value)?;
        time::zone(name).ok_or_else(|| {
            let message = format!(
                "`{name}` is not a zone: use a name such as Europe/Berlin, or an offset such as +01:00"
            );
            self.wrong(value.span(), message)
        })
    }

    fn values(&self, value: Item<'_, 't>, mapping: &Mapping) -> Result<Vec<(String, Exchanges)>> {
        let is_filled = |name: &str| {
            let has_resources = !(mapping.resources.is_empty() && mapping.related.is_empty());
            mapping.fields.iter().any(|(field, _)| field.name() == name)
                || name == "resource.type" && has_resources
        };
        let mut tables = Vec::new();
        for (name, span, rows) in self.table(value)? {
            let is_let = self.names.iter().any(|known| known == name);
            let problem = match Field::named(name) {
                _ if is_let => None,
                None => Some("refers to nothing: name a field of the event in quotes, or one of [let]"),
                Some(field) if !field.is_text() => Some("changes nothing: this field is no text"),
                Some(_) if !is_filled(name) => Some("changes nothing: the mapping does not fill this field"),
                Some(_) => None,
            };
            if let Some(problem) = problem {
                return Err(self.wrong(span, format!("[values.{name}] {problem}")));
            }
            let mut table = Vec::new();
            for (from, span, to) in self.table(rows)? {
                let pattern = Pattern::parse(from).map_err(|message| self.wrong(span, message))?;
                let word = self.str(to)?;
                let allowed = words_of(name).filter(|_| !is_word(name, word));
                if let Some(allowed) = allowed {
                    return Err(self.wrong(to.span(), format!("`{word}` is not known: use one of {allowed}")));
                }
                table.push((pattern, word.to_owned()));
            }
            tables.push((name.to_owned(), table));
        }
        Ok(tables)
    }

    /// Rules of which each can still be reached.
    fn rules<T: Word>(&mut self, value: Item<'_, 't>) -> Result<Vec<Rule<T>>> {
        let mut ends = false;
        self.each(value, |parser, item| {
            if ends {
                let message = "this rule can never hold: the one before it has no `when` and always does; put that last";
                return Err(parser.wrong(item.span(), message));
            }
            let rule: Rule<T> = parser.rule(item)?;
            ends = rule.when.is_empty();
            Ok(rule)
        })
    }

    fn rule<T: Word>(&mut self, rule: Item<'_, 't>) -> Result<Rule<T>> {
        self.rules = true;
        let (mut when, mut is) = (Vec::new(), None);
        for (key, span, value) in self.table(rule)? {
            match key {
                "when" => when = self.conditions(value)?,
                "is" => {
                    let word = self.str(value)?;
                    is = Some(T::from_word(word).ok_or_else(|| {
                        self.wrong(value.span(), format!("`{word}` is not known: use one of {}", T::WORDS))
                    })?);
                }
                _ => return Err(self.unknown(span, key, &["when", "is"])),
            }
        }
        let is = is.ok_or_else(|| {
            self.wrong(rule.span(), format!("the rule has no result: add is = one of {}", T::WORDS))
        })?;
        Ok(Rule { when, is })
    }

    fn related(&mut self, rule: Item<'_, 't>) -> Result<RelatedRule> {
        let each = self.table(rule)?.into_iter().find(|(key, ..)| *key == "each").ok_or_else(|| {
            self.wrong(rule.span(), "the list is missing: add each = the path of a list in the record")
        })?;
        let each = Path::parse(self.str(each.2)?).map_err(|message| self.wrong(each.1, message))?;
        Ok(RelatedRule { each, entry: self.resource(rule, &["each", "type", "id", "name"])? })
    }

    fn resource(&mut self, rule: Item<'_, 't>, known: &[&str]) -> Result<ResourceRule> {
        let mut resource = ResourceRule::default();
        for (key, span, value) in self.table(rule)? {
            match key {
                _ if !known.contains(&key) => return Err(self.unknown(span, key, known)),
                "when" => resource.when = self.conditions(value)?,
                "type" => resource.kind = self.candidates(value)?,
                "id" => resource.id = self.candidates(value)?,
                "name" => resource.name = self.candidates(value)?,
                _ => {}
            }
        }
        if resource.id.is_empty() && resource.name.is_empty() {
            return Err(self.wrong(rule.span(), "a resource needs an id or a name: add id = a path"));
        }
        Ok(resource)
    }

    fn conditions(&self, value: Item<'_, 't>) -> Result<Vec<Condition>> {
        let mut conditions = Vec::new();
        for (name, span, patterns) in self.table(value)? {
            let value = self.reference(name, span.clone())?;
            let patterns: Vec<Pattern> =
                self.list(patterns).into_iter().map(|item| self.pattern(item)).collect::<Result<_>>()?;
            if let Reference::Named(name) = &value
                && let Some(allowed) = words_of(name)
                && !self.names.contains(name)
                && !patterns.iter().any(|pattern: &Pattern| pattern.can_be_one_of(allowed))
            {
                return Err(self.wrong(span, format!("${name} is never that: use one of {allowed}")));
            }
            conditions.push(Condition { value, patterns });
        }
        Ok(conditions)
    }

    fn pattern(&self, item: Item<'_, 't>) -> Result<Pattern> {
        let text = match item.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            other => {
                let message = format!("a pattern is text, a number, true or false, not {}", kind(other));
                return Err(self.wrong(item.span(), message));
            }
        };
        Pattern::parse(&text).map_err(|message| self.wrong(item.span(), message))
    }

    /// The entries of `[[…]]`.
    fn each<T>(
        &mut self,
        value: Item<'_, 't>,
        mut read: impl FnMut(&mut Self, Item<'_, 't>) -> Result<T>,
    ) -> Result<Vec<T>> {
        match value.get_ref() {
            DeValue::Array(list) => list.iter().map(|item| read(self, item)).collect(),
            _ => {
                Err(self
                    .wrong(value.span(), "this is a list of rules: write its name in double brackets, [[…]]"))
            }
        }
    }

    /// The entries of a table, in the order in which they were written.
    fn table<'v>(&self, value: Item<'v, 't>) -> Result<Vec<(&'v str, Range<usize>, Item<'v, 't>)>> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(in_order(table)),
            other => Err(self.wrong(value.span(), format!("a table is needed here, not {}", kind(other)))),
        }
    }

    /// The items of a list, or a single item.
    fn list<'v>(&self, value: Item<'v, 't>) -> Vec<Item<'v, 't>> {
        match value.get_ref() {
            DeValue::Array(list) => list.iter().collect(),
            _ => vec![value],
        }
    }

    fn str<'v>(&self, value: Item<'v, 't>) -> Result<&'v str> {
        let text = value.get_ref().as_str();
        text.ok_or_else(|| {
            self.wrong(value.span(), format!("quoted text is needed here, not {}", kind(value.get_ref())))
        })
    }

    fn unknown(&self, span: Range<usize>, key: &str, known: &[&str]) -> MappingError {
        self.wrong(span, format!("`{key}` is not known here: {}", meant(key, known, "use ")))
    }

    fn wrong(&self, span: Range<usize>, message: impl Into<String>) -> MappingError {
        MappingError { line: line_of(self.text, span), message: message.into() }
    }
}

/// What to write instead of a name that is not known: the nearest one, or one of all.
fn meant(name: &str, known: &[&str], all: &str) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("{all}{}", known.join(", ")),
    }
}

fn in_order<'v, 't>(table: &'v DeTable<'t>) -> Vec<(&'v str, Range<usize>, Item<'v, 't>)> {
    let mut entries: Vec<_> =
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    entries.sort_by_key(|(_, span, _)| span.start);
    entries
}

/// The words that a field can have, if they are few.
fn words_of(field: &str) -> Option<&'static str> {
    match field {
        "outcome" => Some(Outcome::WORDS),
        "category" => Some(Category::WORDS),
        "severity" => Some(Severity::WORDS),
        _ => None,
    }
}

fn is_word(field: &str, word: &str) -> bool {
    match field {
        "outcome" => Outcome::from_word(word).is_some(),
        "category" => Category::from_word(word).is_some(),
        _ => Severity::from_word(word).is_some(),
    }
}

fn kind(value: &DeValue<'_>) -> String {
    format!("a TOML {}", value.type_str())
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
    1 + memchr::memchr_iter(b'\n', before).count()
}
