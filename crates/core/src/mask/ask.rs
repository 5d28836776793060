//! The first of the two questions, of a whole event: does any key in it name a secret?

use super::Masker;
use crate::event::{Event, Object, Value};

impl Masker {
    /// Whether a key anywhere in the event names a secret. Keys of the event's own fields are not asked; see
    /// [`text_has`](Masker::text_has) for those.
    pub fn has_key(&self, event: &Event) -> bool {
        let members = |object: &Object| self.has_key_in(object);
        let value = |value: &Option<Value>| value.as_ref().is_some_and(|value| self.has_key_in_value(value));
        members(&event.details)
            || value(&event.before)
            || value(&event.after)
            || value(&event.changes)
            || value(&event.approval)
            || members(&event.extra)
            || members(&event.context.extra)
            || event.actor.as_ref().is_some_and(|actor| members(&actor.extra))
            || event.on_behalf_of.as_ref().is_some_and(|other| members(&other.extra))
            || event.resource.iter().chain(&event.related).any(|resource| members(&resource.extra))
    }

    fn has_key_in(&self, object: &Object) -> bool {
        object.iter().any(|(key, value)| self.key_matches(key) || self.has_key_in_value(value))
    }

    fn has_key_in_value(&self, value: &Value) -> bool {
        match value {
            Value::Object(object) => self.has_key_in(object),
            Value::Array(elements) => elements.iter().any(|element| self.has_key_in_value(element)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
}
