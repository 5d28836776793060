//! Text anywhere in an event: in its values, at any depth, and in names that a caller chose.
//!
//! Letters are compared case-insensitively. The names of the event's own fields are not searched, nor is the front
//! written by the trail: `--text action` finds events with the word "action", not every event.

use crate::event::Value;

/// Top-level fields that are not searched: the trail's own numbers and times.
const LEFT_OUT: [&str; 4] = ["v", "index", "recorded", "system"];

/// Top-level fields whose members the caller did not name.
const FIXED: [&str; 5] = ["actor", "on_behalf_of", "resource", "related", "context"];

/// A text to search for, case-folded.
pub(super) struct Wanted(String);

impl Wanted {
    pub(super) fn new(text: &str) -> Self {
        Wanted(fold(text))
    }

    /// Whether it is in the event on `line`.
    pub(super) fn is_in(&self, line: &Value) -> bool {
        let Some(fields) = line.as_object() else { return false };
        fields
            .iter()
            .filter(|(name, _)| !LEFT_OUT.contains(name))
            .any(|(name, value)| self.is_in_value(value, !FIXED.contains(&name)))
    }

    fn is_in_value(&self, value: &Value, are_names_free: bool) -> bool {
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Number(number) => self.is_in_text(&number.to_string()),
            Value::String(text) => self.is_in_text(text),
            Value::Array(elements) => {
                elements.iter().any(|element| self.is_in_value(element, are_names_free))
            }
            Value::Object(members) => members.iter().any(|(name, value)| {
                (are_names_free && self.is_in_text(name)) || self.is_in_value(value, are_names_free)
            }),
        }
    }

    fn is_in_text(&self, text: &str) -> bool {
        fold(text).contains(&self.0)
    }
}

/// Lower case, but no other letter becomes ASCII: so the check of the bytes can fold only ASCII and never rejects a
/// match.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            folded.push(character.to_ascii_lowercase());
        } else if character.to_lowercase().any(|lower| lower.is_ascii()) {
            folded.push(character);
        } else {
            folded.extend(character.to_lowercase());
        }
    }
    folded
}
