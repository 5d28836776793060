//! The first of the two checks, for a whole event: does any key in it name a secret?

use super::named_values::names_other;
use super::paths;
use crate::event::{Event, INVALID, Object, Value};
use crate::mask::Masker;

impl Masker {
    /// Whether a member anywhere in the event may have to be masked by its key. Keys of the event's own fields are not
    /// checked; see [`text_has`](Masker::text_has) for those.
    pub fn has_key(&self, event: &Event) -> bool {
        let members = |object: &Object| self.has_key_in(object);
        let value = |value: &Option<Value>| value.as_ref().is_some_and(|value| self.has_key_in_value(value));
        members(&event.details)
            || value(&event.before)
            || value(&event.after)
            || value(&event.changes)
            || event.changes.as_ref().is_some_and(|changes| self.has_path_in(changes))
            || value(&event.approval)
            || members(&event.extra)
            || members(&event.context.extra)
            || event.actor.as_ref().is_some_and(|actor| members(&actor.extra))
            || event.on_behalf_of.as_ref().is_some_and(|other| members(&other.extra))
            || event.resource.iter().chain(&event.related).any(|resource| members(&resource.extra))
    }

    fn has_key_in(&self, object: &Object) -> bool {
        for (key, value) in &object.0 {
            if self.masks_value(key, value) || self.names_secret(key, value) {
                return true;
            }
            if matches!(value, Value::Object(_) | Value::Array(_))
                && (self.has_key_in_value(value) || (key == INVALID && self.has_path_in(value)))
            {
                return true;
            }
        }
        false
    }

    /// Whether a member names a secret that another member holds.
    fn names_secret(&self, key: &str, value: &Value) -> bool {
        names_other(key) && value.as_str().is_some_and(|name| self.key_matches(name))
    }

    /// Whether a key anywhere below is a path that contains a secret's key.
    fn has_path_in(&self, value: &Value) -> bool {
        let is_path = |key: &str| self.enabled && paths::has_key(&self.keys, key);
        match value {
            Value::Object(object) => {
                object.iter().any(|(key, value)| is_path(key) || self.has_path_in(value))
            }
            Value::Array(elements) => elements.iter().any(|element| self.has_path_in(element)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    fn has_key_in_value(&self, value: &Value) -> bool {
        match value {
            Value::Object(object) => self.has_key_in(object),
            Value::Array(elements) => elements.iter().any(|element| self.has_key_in_value(element)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
}
