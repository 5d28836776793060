//! From a filter to conditions on columns.
//!
//! What must hold: every row whose line the filter accepts fulfils the conditions. They may be fulfilled by others too:
//! the line is judged afterwards. Columns hold [`cleaned`] texts, so what is asked for is cleaned alike, and two texts
//! that are equal stay so.

use trailseal_event::filter::{Filter, IdFilter, ResourceFilter, parse_address};
use trailseal_event::personal::searchable;
use trailseal_event::{Outcome, held_id};

use super::condition::{ACTION, Condition, REPLACED, any_of};
use super::windows::{Bounds, Window};
use crate::columns::{TEXT_BYTES_MAX, cleaned, cleaned_address, cleaned_resource};

/// What is asked of the rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Narrowing {
    /// Each row fulfils all of these.
    pub(super) all: Vec<Condition>,
    /// And at least one of these, unless there are none. Each can be looked up by an index of its own.
    pub(super) any: Vec<Condition>,
    /// What the columns cannot tell: rows with any of it need a look at their lines.
    pub(super) doubts: Doubts,
    /// Bounds of `recorded`.
    pub(super) recorded: Bounds,
    /// Bounds of the effective time.
    pub(super) time: Bounds,
}

/// Of which rows the columns do not tell whether the filter accepts their lines.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Doubts {
    /// All of them.
    All,
    /// Those that fulfil any of these.
    Of(Vec<Condition>),
}

impl Narrowing {
    /// What the filter asks for, in terms of what lines hold (see [`Filter::as_stored`]).
    pub(super) fn of(filter: &Filter) -> Narrowing {
        let mut narrowing = Narrowing {
            all: Vec::new(),
            any: Vec::new(),
            doubts: Doubts::Of(Vec::new()),
            recorded: Bounds { from: filter.recorded_since, to: filter.recorded_until },
            time: Bounds { from: filter.since, to: filter.until },
        };
        narrowing.readable(filter);
        if !filter.system {
            narrowing.all.push(Condition::NotSystem);
        }
        if !filter.origin.is_empty() {
            narrowing.all.push(texts("origin", &filter.origin));
        }
        narrowing.exact("tenant", &filter.tenant);
        for (column, values) in [
            ("on_behalf_of", &filter.on_behalf_of),
            ("session_id", &filter.session_id),
            ("trace_id", &filter.trace_id),
            ("correlation_id", &filter.correlation_id),
            ("request_id", &filter.request_id),
        ] {
            narrowing.exact(column, values);
        }
        let names: Vec<_> = filter.category.iter().map(|category| category.name().into_owned()).collect();
        narrowing.exact("category", &names);
        let names: Vec<_> = filter.severity.iter().map(|severity| severity.name().to_owned()).collect();
        narrowing.exact("severity", &names);
        narrowing.outcome(&filter.outcome);
        narrowing.ip(&filter.ip);
        narrowing.action(&filter.action);
        narrowing.actor(&filter.actor);
        narrowing.resource(&filter.resource);
        narrowing.ids(&filter.id);
        if !filter.text.is_empty() {
            narrowing.doubts = Doubts::All;
        }
        narrowing.choose();
        narrowing
    }

    /// Whether nothing can match.
    pub(super) fn is_never(&self) -> bool {
        let is_empty = |Bounds { from, to }: Bounds| from.zip(to).is_some_and(|(from, to)| from >= to);
        is_empty(self.time)
            || is_empty(self.recorded)
            || self.time.from.zip(self.recorded.to).is_some_and(|(from, to)| from >= to)
    }

    /// A line that cannot be read has no fields; only its front can be asked for.
    fn readable(&mut self, filter: &Filter) {
        if filter.has_columns() || !filter.text.is_empty() || !filter.id.is_empty() {
            self.all.push(Condition::NotEmpty(ACTION));
        } else {
            self.doubt(Condition::Text { column: ACTION, values: vec![String::new()] });
        }
    }

    fn doubt(&mut self, condition: Condition) {
        if let Doubts::Of(doubts) = &mut self.doubts {
            doubts.push(condition);
        }
    }

    /// What these texts are in columns. If several texts are one there, all rows are in doubt.
    fn cleaned<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut found = Vec::new();
        for value in values {
            if !is_kept_apart(value) {
                self.doubts = Doubts::All;
            }
            push_new(&mut found, cleaned(value).into_owned());
        }
        found
    }

    fn exact(&mut self, column: &'static str, values: &[String]) {
        if !values.is_empty() {
            let values = self.cleaned(values.iter().map(String::as_str));
            self.all.push(Condition::Text { column, values });
        }
    }

    fn outcome(&mut self, wanted: &[Option<Outcome>]) {
        let values: Vec<_> = wanted.iter().flatten().map(|outcome| outcome.name().to_owned()).collect();
        let mut either = Vec::new();
        if wanted.contains(&None) {
            either.push(Condition::Absent("outcome"));
        }
        if !values.is_empty() {
            either.push(Condition::Text { column: "outcome", values });
        }
        self.all.extend(any_of(either));
    }

    fn ip(&mut self, wanted: &[String]) {
        let mut values = Vec::new();
        for ip in wanted {
            if parse_address(ip).is_none() && !is_kept_apart(ip) {
                self.doubts = Doubts::All;
            }
            push_new(&mut values, cleaned_address(ip).into_owned());
        }
        if !values.is_empty() {
            self.all.push(Condition::Text { column: "ip", values });
        }
    }

    fn action(&mut self, globs: &[String]) {
        // Any action at all.
        if globs.iter().any(|glob| !glob.is_empty() && glob.bytes().all(|byte| byte == b'*')) {
            return;
        }
        let (wild, plain): (Vec<&String>, Vec<&String>) =
            globs.iter().partition(|glob| glob.contains(['*', '?']));
        let mut either = Vec::new();
        let values = self.cleaned(plain.iter().map(|value| value.as_str()));
        if !values.is_empty() {
            either.push(Condition::Text { column: ACTION, values });
        }
        for glob in &wild {
            if glob.contains(['\0', REPLACED]) {
                self.doubts = Doubts::All;
            }
            let head = glob.split(['*', '?']).next().unwrap_or_default();
            let mut both = Vec::new();
            if !head.is_empty() {
                both.push(Condition::Prefix { column: ACTION, prefix: cleaned(head).into_owned() });
            }
            both.push(Condition::Like { column: ACTION, pattern: like(glob) });
            either.push(Condition::Both(both));
        }
        if !wild.is_empty() {
            self.doubt(Condition::Altered(ACTION));
        }
        self.all.extend(any_of(either));
    }

    /// The actor's id or name.
    fn actor(&mut self, wanted: &[String]) {
        if wanted.is_empty() {
            return;
        }
        let values = self.cleaned(wanted.iter().map(String::as_str));
        self.all.push(Condition::Either(vec![
            Condition::Text { column: "actor_id", values: values.clone() },
            Condition::Text { column: "actor_name", values },
        ]));
    }

    fn resource(&mut self, wanted: &[ResourceFilter]) {
        if wanted.is_empty() {
            return;
        }
        if wanted.iter().any(|resource| resource.id.is_some()) {
            self.doubts = Doubts::All;
        }
        let (mut kinds, mut slashed, mut related) = (Vec::new(), Vec::new(), Vec::new());
        let mut named: Vec<Named> = Vec::new();
        for resource in wanted {
            for (kind, id) in resource.readings() {
                let kind = searchable(&kind).into_owned();
                let Some(id) = id else {
                    let is_whole = resource.id.is_some() && kind.contains('/');
                    push_new(&mut related, cleaned_resource(&kind, ""));
                    push_new(if is_whole { &mut slashed } else { &mut kinds }, cleaned(&kind).into_owned());
                    continue;
                };
                push_new(&mut related, cleaned_resource(&kind, &id));
                Named::add(&mut named, cleaned(&id).into_owned(), &cleaned(&kind));
            }
        }
        if named.is_empty() {
            // What is related may be of another type, and be called like this one.
            let values = kinds.clone();
            self.doubt(Condition::OtherText { column: "resource_type", values });
            if !kinds.iter().all(|kind| is_kept_apart(kind)) {
                self.doubts = Doubts::All;
            }
        }
        let mut either = Vec::new();
        // First, since then it is not an id by which all of it is looked up.
        if !kinds.is_empty() {
            either.push(Condition::Text { column: "resource_type", values: kinds });
        }
        either.extend(named.iter().map(Named::by_id));
        either.extend(named.iter().map(Named::by_name));
        if !slashed.is_empty() {
            let of_type = Condition::Text { column: "resource_type", values: slashed };
            either.push(Condition::Both(vec![of_type, Condition::SlashedType]));
        }
        either.push(Condition::Related(related));
        self.all.push(Condition::Either(either));
    }

    fn ids(&mut self, wanted: &[IdFilter]) {
        let (mut indexes, mut ids) = (Vec::new(), Vec::new());
        for id in wanted {
            match id {
                // Beyond what a column can hold there is no event.
                IdFilter::Index(index) => indexes.extend(i64::try_from(index.get()).ok()),
                IdFilter::Id(id) => ids.push(held_id(id).into_owned()),
            }
        }
        if wanted.is_empty() {
            return;
        }
        let ids = self.cleaned(ids.iter().map(String::as_str));
        let mut either = Vec::new();
        if !ids.is_empty() {
            either.push(Condition::Text { column: "id", values: ids });
        }
        if !indexes.is_empty() || either.is_empty() {
            either.push(Condition::Indexes(indexes));
        }
        self.all.extend(any_of(either));
    }

    /// Whether it leads to so few rows that they are looked up at once.
    pub(super) fn is_of_few(&self) -> bool {
        !self.any.is_empty() && self.any.iter().all(Condition::is_of_few)
    }

    /// Whether events are asked for by their index alone.
    pub(super) fn asks_for_indexes(&self) -> bool {
        self.any.iter().any(Condition::has_indexes)
    }

    /// Says of which trails there are events, since an index is looked up in each.
    pub(super) fn of_origins(&mut self, origins: &[String]) {
        self.any.iter_mut().for_each(|condition| condition.of_origins(origins));
    }

    /// The part of the order that matters.
    pub(super) fn bounds(&self) -> Window {
        // Nothing was recorded before its time.
        let from = self.recorded.from.into_iter().chain(self.time.from).max();
        Window { recorded: Bounds { from, to: self.recorded.to }, time: self.time }
    }

    /// Takes the condition that leaves the fewest rows apart, so that each of its values is looked up by an index and
    /// comes in that index's order.
    fn choose(&mut self) {
        let ranked = self.all.iter().enumerate().filter_map(|(at, condition)| Some((condition.rank()?, at)));
        let Some((_, at)) = ranked.min() else { return };
        self.any = self.all.remove(at).apart();
    }
}

/// An id or name, and the types that may have it.
struct Named {
    id: String,
    kinds: Vec<String>,
}

impl Named {
    fn add(all: &mut Vec<Named>, id: String, kind: &str) {
        match all.iter_mut().find(|named| named.id == id) {
            Some(named) => push_new(&mut named.kinds, kind.to_owned()),
            None => all.push(Named { id, kinds: vec![kind.to_owned()] }),
        }
    }

    fn by_id(&self) -> Condition {
        self.by("resource_id")
    }

    fn by_name(&self) -> Condition {
        self.by("resource_name")
    }

    fn by(&self, column: &'static str) -> Condition {
        let mut both = vec![Condition::Text { column, values: vec![self.id.clone()] }];
        // Without a type it may be missing or empty.
        if !self.kinds.iter().any(String::is_empty) {
            both.push(Condition::Text { column: "resource_type", values: self.kinds.clone() });
        }
        Condition::Both(both)
    }
}

fn texts(column: &'static str, values: &[String]) -> Condition {
    let mut found = Vec::new();
    values.iter().for_each(|value| push_new(&mut found, cleaned(value).into_owned()));
    Condition::Text { column, values: found }
}

fn push_new(values: &mut Vec<String>, value: String) {
    if !values.contains(&value) {
        values.push(value);
    }
}

/// Whether a column that equals this text, cleaned, was made from this very text.
fn is_kept_apart(text: &str) -> bool {
    text.len() < TEXT_BYTES_MAX - 3 && !text.contains(['\0', REPLACED])
}

/// A glob as a pattern of `LIKE`. It is not cut, since texts that were cut are found in any case.
fn like(glob: &str) -> String {
    let mut pattern = String::with_capacity(glob.len() + 8);
    for character in glob.chars() {
        match character {
            '*' => pattern.push('%'),
            '?' => pattern.push('_'),
            '%' | '_' | '\\' => pattern.extend(['\\', character]),
            '\0' => pattern.push(REPLACED),
            other => pattern.push(other),
        }
    }
    pattern
}

#[cfg(test)]
#[path = "narrow_tests.rs"]
mod tests;
