//! Where a value can come from, as a mapping file says it.

use std::ops::Range;

use toml::de::DeValue;
use trailseal_event::nearest;

use super::{Item, Parser, Result, kind};
use crate::mapping::expression::Expression;
use crate::mapping::fields::{Field, unit_millis};
use crate::mapping::path::Path;
use crate::mapping::{Candidate, Candidates, PairValue, Pairs, Piece, Reference};

impl<'t> Parser<'t> {
    pub(super) fn candidates(&self, value: Item<'_, 't>) -> Result<Candidates> {
        self.list(value).into_iter().map(|item| self.candidate(item)).collect()
    }

    fn candidate(&self, item: Item<'_, 't>) -> Result<Candidate> {
        match item.get_ref() {
            DeValue::String(text) => self.candidate_text(text, item.span()),
            DeValue::Table(_) => self.part(item),
            other => {
                let message = format!(
                    "a value comes from a path in quotes, or {{ path = …, match = … }}, not from {}",
                    kind(other)
                );
                Err(self.wrong(item.span(), message))
            }
        }
    }

    fn candidate_text(&self, text: &str, span: Range<usize>) -> Result<Candidate> {
        if let Some(constant) = text.strip_prefix('=') {
            return Ok(Candidate::Constant(constant.to_owned()));
        }
        if !text.contains('{') {
            return Ok(Candidate::From(self.reference(text, span)?));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or_else(|| {
                self.wrong(span.clone(), format!("`{text}` opens a brace but does not close it: add }}"))
            })?;
            pieces.extend((!before.is_empty()).then(|| Piece::Text(before.to_owned())));
            pieces.push(Piece::Value(self.reference(name, span.clone())?));
            rest = behind;
        }
        pieces.extend((!rest.is_empty()).then(|| Piece::Text(rest.to_owned())));
        Ok(Candidate::Join(pieces))
    }

    /// A candidate that says more than a path.
    fn part(&self, item: Item<'_, 't>) -> Result<Candidate> {
        const KNOWN: [&str; 10] =
            ["path", "match", "unit", "seconds", "nanos", "list", "key", "value", "from", "to"];
        let mut parts: Vec<(&str, Item<'_, 't>)> = Vec::new();
        for (key, span, value) in self.table(item)? {
            if !KNOWN.contains(&key) {
                return Err(self.unknown(span, key, &KNOWN));
            }
            parts.push((key, value));
        }
        let part = |name: &str| parts.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let reference = |value: Item<'_, 't>| self.reference(self.str(value)?, value.span());
        let path = |value: Item<'_, 't>| {
            Path::parse(self.str(value)?).map_err(|message| self.wrong(value.span(), message))
        };
        let mut names: Vec<&str> = parts.iter().map(|(key, _)| *key).collect();
        names.sort_unstable();
        match names[..] {
            ["path"] => Ok(Candidate::From(reference(parts[0].1)?)),
            ["match", "path"] => {
                let (Some(from), Some(expression)) = (part("path"), part("match")) else {
                    return Err(self.wrong(item.span(), "the path is missing"));
                };
                let text = self.str(expression)?;
                let expression = Expression::parse(text).map_err(|error| {
                    self.wrong(expression.span(), format!("`{text}` is not a regular expression: {error}"))
                })?;
                Ok(Candidate::Part(reference(from)?, expression))
            }
            ["path", "unit"] => {
                let (Some(from), Some(unit)) = (part("path"), part("unit")) else {
                    return Err(self.wrong(item.span(), "the path is missing"));
                };
                let name = self.str(unit)?;
                let millis = unit_millis(name).ok_or_else(|| {
                    self.wrong(unit.span(), format!("`{name}` is no unit: use ns, us, ms, s, m or h"))
                })?;
                Ok(Candidate::InUnit(reference(from)?, millis))
            }
            ["nanos", "seconds"] => {
                let (Some(seconds), Some(nanos)) = (part("seconds"), part("nanos")) else {
                    return Err(self.wrong(item.span(), "the seconds are missing"));
                };
                Ok(Candidate::Nanos(reference(seconds)?, reference(nanos)?))
            }
            ["key", "list", "value"] | ["from", "key", "list", "to"] | ["from", "key", "list"] | ["key", "list", "to"] => {
                let (Some(list), Some(key)) = (part("list"), part("key")) else {
                    return Err(self.wrong(item.span(), "the list is missing"));
                };
                let value = match part("value") {
                    Some(value) => PairValue::One(path(value)?),
                    None => PairValue::Change {
                        from: part("from").map(path).transpose()?,
                        to: part("to").map(path).transpose()?,
                    },
                };
                Ok(Candidate::Pairs(reference(list)?, Pairs { key: path(key)?, value }))
            }
            _ => Err(self.wrong(
                item.span(),
                "the path is missing, or these keys do not go together: write { path, match }, { path, unit }, \
                 { seconds, nanos }, { list, key, value } or { list, key, from, to }",
            )),
        }
    }

    pub(super) fn reference(&self, text: &str, span: Range<usize>) -> Result<Reference> {
        let Some(name) = text.strip_prefix('$') else {
            return Path::parse(text).map(Reference::Path).map_err(|message| self.wrong(span, message));
        };
        let known =
            self.names.iter().any(|known| known == name) || self.rules && Field::named(name).is_some();
        if !known {
            let mut known: Vec<&str> = self.names.iter().map(String::as_str).collect();
            for field in Field::names().filter(|_| self.rules) {
                known.push(field);
            }
            let what = match nearest(name, &known) {
                Some(nearest) => format!("did you mean `${nearest}`?"),
                None if self.rules => {
                    "define it under [let] first, or use a field of the event such as $action".to_owned()
                }
                None => "define it under [let] first".to_owned(),
            };
            return Err(self.wrong(span, format!("${name} is not defined here: {what}")));
        }
        self.named.borrow_mut().push(name.to_owned());
        Ok(Reference::Named(name.to_owned()))
    }
}
