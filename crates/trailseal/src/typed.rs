//! What `#[derive(AuditEvent)]` calls. Not for anybody else.
#![allow(missing_docs)]

use std::time::Duration;

use serde::Serialize;

use crate::{Actor, Category, Event, Number, Outcome, Resource, Severity, Value, to_value};

/// What stands for a secret, of which only the name is recorded.
const SECRET: &str = "***";

/// The value, or why it could not be made one: an event is never lost for it.
pub fn value<T: Serialize + ?Sized>(data: &T) -> Value {
    to_value(data).unwrap_or_else(|error| format!("not serialised: {error}").into())
}

fn text<T: Serialize + ?Sized>(data: &T) -> Option<String> {
    match value(data) {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

pub fn set_word(event: &mut Event, place: &str, word: &str) {
    match place {
        "category" => event.category = Category::parse(word).unwrap_or_default(),
        "severity" => event.severity = Severity::parse(word).unwrap_or_default(),
        "outcome" => event.outcome = Outcome::parse(word),
        _ => event.description = Some(word.to_owned()),
    }
}

pub fn set_detail<T: Serialize + ?Sized>(event: &mut Event, name: &str, data: &T) {
    event.details.insert(name, value(data));
}

pub fn set_secret(event: &mut Event, name: &str, is_there: bool) {
    if is_there {
        event.details.insert(name, SECRET);
    }
}

pub fn set_text<T: Serialize + ?Sized>(event: &mut Event, place: &str, data: &T) {
    let text = text(data);
    match place {
        "actor" if text.is_some() => event.actor.get_or_insert_with(Actor::default).id = text,
        "actor_name" if text.is_some() => event.actor.get_or_insert_with(Actor::default).name = text,
        "resource_name" if text.is_some() => {
            event.resource.get_or_insert_with(Resource::default).name = text;
        }
        "tenant" => event.tenant = text,
        "id" => event.id = text,
        // As in Event::error: why it failed says that it failed.
        "error" => {
            if text.is_some() {
                event.outcome.get_or_insert(Outcome::Failure);
            }
            event.error = text;
        }
        "description" => event.description = text,
        _ => {}
    }
}

pub fn set_resource<T: Serialize + ?Sized>(event: &mut Event, kind: &str, data: &T) {
    let resource = event.resource.get_or_insert_with(Resource::default);
    (resource.kind, resource.id) = (Some(kind.to_owned()), text(data));
}

pub fn set_context<T: Serialize + ?Sized>(event: &mut Event, name: &str, data: &T) {
    if let Some(field) = event.context.text_mut(name) {
        *field = text(data);
    }
}

/// `None` leaves the outcome that an error gave.
pub fn set_outcome(event: &mut Event, outcome: impl Into<Option<Outcome>>) {
    if let Some(outcome) = outcome.into() {
        event.outcome = Some(outcome);
    }
}

/// The state before or after; `None` if there was none.
pub fn state<T: Serialize + ?Sized>(data: &T) -> Option<Value> {
    Some(value(data)).filter(|value| *value != Value::Null)
}

pub fn set_duration(event: &mut Event, duration: Duration) {
    event.duration_ms = Some(Number::from(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)));
}
