//! The fields of an event or a span, sorted into those of an audit event.

use std::fmt;

use tracing::field::{Field, Visit};
use trailseal_event::CONTEXT_FIELDS;

use super::trace_ids::TraceIds;
use crate::{Object, Value};

/// In front of a field that is the audit event's own.
const PREFIX: &str = "audit.";
const ACTION: &str = "action";
/// The audit event's own texts, apart from its context's.
const TEXTS: [&str; 15] = [
    ACTION,
    "id",
    "tenant",
    "description",
    "error",
    "actor",
    "actor.id",
    "actor.type",
    "actor.name",
    "actor.email",
    "on_behalf_of.id",
    "on_behalf_of.reason",
    "resource.type",
    "resource.id",
    "resource.name",
];

/// An audit event's fields, each under its path, and its details.
#[derive(Default)]
pub(super) struct Fields {
    own: Vec<(String, Value)>,
    /// Fields that are named as those of a context, of a span or an event.
    context: Vec<(&'static str, Value)>,
    details: Object,
}

impl Fields {
    pub(super) fn is_marked(&self) -> bool {
        self.get(ACTION).is_some()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        self.own.iter().find(|(known, _)| known == path).map(|(_, value)| value)
    }

    pub(super) fn set(&mut self, path: &str, value: Value) {
        match self.own.iter_mut().find(|(known, _)| known == path) {
            Some((_, old)) => *old = value,
            None => self.own.push((path.to_owned(), value)),
        }
    }

    pub(super) fn set_detail(&mut self, key: &str, value: Value) {
        if !self.details.contains_key(key) {
            self.details.insert(key, value);
        }
    }

    fn set_context(&mut self, name: &'static str, value: Value) {
        match self.context.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.context.push((name, value)),
        }
    }

    pub(super) fn set_ids(&mut self, ids: TraceIds) {
        if self.context.iter().all(|(name, _)| *name != "trace_id") && self.get("context.trace_id").is_none()
        {
            self.set_context("trace_id", ids.trace_id.into());
            self.set_context("span_id", ids.span_id.into());
        }
    }

    /// Takes over what was said later.
    pub(super) fn update(&mut self, later: Fields) {
        later.own.into_iter().for_each(|(path, value)| self.set(&path, value));
        later.context.into_iter().for_each(|(name, value)| self.set_context(name, value));
        for (key, value) in later.details {
            self.details.insert(key, value);
        }
    }

    /// Takes over from a span around it what it does not say itself.
    pub(super) fn inherit(&mut self, outer: &Fields) {
        // What an outer span did, and how, is its own.
        let of_outer = [ACTION, "outcome", "error", "description", "severity", "duration_ms", "id", "time"];
        for (path, value) in &outer.own {
            if !of_outer.contains(&path.as_str()) && !self.says(path) {
                self.set(path, value.clone());
            }
        }
        for (name, value) in &outer.context {
            if self.context.iter().all(|(known, _)| known != name) {
                self.set_context(name, value.clone());
            }
        }
    }

    /// Whether it says something at this path, or above or below it.
    fn says(&self, path: &str) -> bool {
        let is_below = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.own.iter().any(|(known, _)| is_below(known, path) || is_below(path, known))
    }

    /// The audit event, as a client would send it.
    pub(super) fn into_object(self) -> Object {
        let mut object = Object::new();
        let context = self.context.into_iter().map(|(name, value)| (format!("context.{name}"), value));
        for (path, value) in context.chain(self.own) {
            put(&mut object, &path, value);
        }
        for (key, value) in self.details {
            put(&mut object, &format!("details.{key}"), value);
        }
        object
    }

    fn take(&mut self, field: &Field, value: Value) {
        let name = field.name();
        if let Some(path) = name.strip_prefix(PREFIX) {
            self.set_own(path, value);
        } else if name == "message" {
            self.set_own("description", value);
        } else if let Some(known) = CONTEXT_FIELDS.into_iter().find(|known| *known == name) {
            self.set_context(known, written_out(value));
        } else {
            self.details.insert(name, value);
        }
    }

    /// Programs have many ids as numbers. Where an event has a text, they are written out.
    fn set_own(&mut self, path: &str, value: Value) {
        let is_text = match path.strip_prefix("context.") {
            Some(name) => CONTEXT_FIELDS.contains(&name),
            None => TEXTS.contains(&path),
        };
        match value {
            Value::String(_) => self.set(path, value),
            // A text says `TYPE/ID`; a number can only be the id.
            _ if path == "resource" => self.set("resource.id", written_out(value)),
            _ if is_text => self.set(path, written_out(value)),
            _ => self.set(path, value),
        }
    }
}

fn written_out(value: Value) -> Value {
    match value {
        Value::String(_) => value,
        scalar => scalar.to_string().into(),
    }
}

/// Puts a value at a path, through objects. Where something else is in the way it stays at the top, and is kept as a field
/// that no event has.
fn put(object: &mut Object, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        object.insert(path, value);
        return;
    };
    // What is a detail's name may have dots.
    if !object.contains_key(first) {
        object.insert(first, Object::new());
    }
    match object.get_mut(first).and_then(Value::as_object_mut) {
        Some(inner) if first == "details" => drop(inner.insert(rest, value)),
        Some(inner) => put(inner, rest, value),
        None => drop(object.insert(path, value)),
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, value.to_string().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}").into());
    }
}
