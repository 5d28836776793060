//! What the candidates of a mapping give for one record.

use std::borrow::Cow;

use trailseal_event::{Object, Value};

use super::Fill;
use crate::json_tree::{Item, Owned};
use crate::mapping::path::{Lookup, Path};
use crate::mapping::{Candidate, Candidates, Condition, Mapping, PairValue, Pairs, Piece, Reference};

impl Fill<'_, '_> {
    pub(super) fn hold(&self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| {
            let fits = |value: Option<&str>| condition.patterns.iter().any(|pattern| pattern.matches(value));
            let mut present = false;
            let found = self.referenced(&condition.value, |text| {
                present = true;
                fits(Some(text)).then_some(())
            });
            found.is_some() || (!present && fits(None))
        })
    }

    /// The first text that is there, after the replacements for `name`.
    pub(super) fn text(&self, candidates: &Candidates, name: &str) -> Option<String> {
        self.first(candidates, Some).map(|text| self.mapping.exchanged(text, name))
    }

    /// The first value that is there, as JSON.
    pub(super) fn value(&self, candidates: &[Candidate]) -> Option<Value> {
        candidates.iter().find_map(|candidate| match candidate {
            Candidate::From(Reference::Path(path)) => {
                self.lookup.find(path, |value| (!value.is_empty()).then(|| value.to_value()))
            }
            Candidate::Pairs(Reference::Path(path), pairs) => {
                self.lookup.find(path, |list| pairs.object(list))
            }
            other => self.candidate(other, &mut Some).map(Value::String),
        })
    }

    /// The first list of texts that is there, or a single text. A path with a `*` gives all that it finds.
    pub(super) fn texts(&self, candidates: &Candidates) -> Vec<String> {
        let of = |value: Value| match value {
            Value::Array(list) => list.iter().filter_map(text_of).collect(),
            single => text_of(&single).into_iter().collect::<Vec<_>>(),
        };
        let found = candidates.iter().map(|candidate| match candidate {
            Candidate::From(Reference::Path(path)) if path.has_star() => {
                let mut all = Vec::new();
                // Nothing is taken, so that all are tried.
                let _: Option<()> = self.lookup.find(path, |value| {
                    all.extend(of(value.to_value()));
                    None
                });
                all
            }
            one => self.value(std::slice::from_ref(one)).map(of).unwrap_or_default(),
        });
        found.into_iter().find(|texts| !texts.is_empty()).unwrap_or_default()
    }

    /// The result of `accept` for the first candidate that it takes.
    pub(super) fn first<T>(
        &self,
        candidates: &Candidates,
        mut accept: impl FnMut(String) -> Option<T>,
    ) -> Option<T> {
        candidates.iter().find_map(|candidate| self.candidate(candidate, &mut accept))
    }

    pub(super) fn candidate<T>(
        &self,
        candidate: &Candidate,
        accept: &mut dyn FnMut(String) -> Option<T>,
    ) -> Option<T> {
        match candidate {
            Candidate::Constant(text) => accept(text.clone()),
            Candidate::From(reference) => self.referenced(reference, |text| accept(text.to_owned())),
            Candidate::Join(pieces) => accept(self.joined(pieces)?),
            Candidate::Nanos(seconds, nanos) => {
                let seconds = self.referenced(seconds, |text| text.parse::<i64>().ok())?;
                let nanos = self.referenced(nanos, |text| text.parse::<u32>().ok())?;
                accept(format!("{seconds}.{nanos:09}"))
            }
            Candidate::InUnit(reference, millis) => self.referenced(reference, |text| {
                let count = text.trim().parse::<f64>().ok().filter(|count| count.is_finite())?;
                accept((count * millis).to_string())
            }),
            // It is no text.
            Candidate::Pairs(..) => None,
            Candidate::Part(reference, expression) => self.referenced(reference, |text| {
                let part = expression.find(text).filter(|part| !part.is_empty());
                part.map(str::to_owned).and_then(&mut *accept)
            }),
        }
    }

    fn joined(&self, pieces: &[Piece]) -> Option<String> {
        let mut joined = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => joined.push_str(text),
                Piece::Value(reference) => self.referenced(reference, |text| {
                    joined.push_str(text);
                    Some(())
                })?,
            }
        }
        Some(joined)
    }

    fn referenced<T>(&self, reference: &Reference, mut accept: impl FnMut(&str) -> Option<T>) -> Option<T> {
        match reference {
            Reference::Path(path) => self.lookup.find(path, |value| accept(&value.scalar()?)),
            Reference::Named(name) => {
                let (_, text) = self.names.iter().rev().find(|(known, _)| known == name)?;
                accept(text)
            }
        }
    }
}

impl Mapping {
    pub(super) fn exchanged(&self, text: String, name: &str) -> String {
        let table = self.values.iter().find(|(known, _)| known == name);
        let exchanged = table.and_then(|(_, rows)| rows.iter().find(|(from, _)| from.matches(Some(&text))));
        exchanged.map_or(text, |(_, to)| to.clone())
    }
}

/// A value as text: as [`Item::scalar`].
fn text_of(value: &Value) -> Option<String> {
    Owned::of(value).root().scalar().map(Cow::into_owned)
}

impl Pairs {
    /// The object that a list of names with values stands for.
    fn object(&self, list: Item<'_>) -> Option<Value> {
        let member = |entry: Item<'_>| {
            let lookup = Lookup::new(entry);
            let of = |path: &Path| lookup.find(path, |value| Some(value.to_value()));
            let key = lookup.find(&self.key, |key| key.scalar().map(Cow::into_owned))?;
            let value = match &self.value {
                PairValue::One(value) => of(value).unwrap_or_default(),
                PairValue::Change { from, to } => {
                    let sides = [("before", from.as_ref().and_then(of)), ("after", to.as_ref().and_then(of))];
                    let sides = sides.into_iter().filter_map(|(side, value)| Some((side, value?)));
                    Value::Object(sides.collect())
                }
            };
            Some((key, value))
        };
        let members: Object = list.is_array().then(|| list.inside())?.filter_map(member).collect();
        (!members.is_empty()).then_some(Value::Object(members))
    }
}
