//! Text anywhere in an event: in its values, whatever their depth, and in the names that a caller chose.
//!
//! Letters are compared without regard to case. The names of the event's own fields are no text, nor is the
//! front that the trail writes: `--text action` finds who wrote "action", not every event.

use crate::event::Value;

/// Top-level fields that are no text to search: numbers and times of the trail's own.
const LEFT_OUT: [&str; 4] = ["v", "index", "recorded", "system"];

/// Top-level fields whose members the caller did not name.
const FIXED: [&str; 5] = ["actor", "on_behalf_of", "resource", "related", "context"];

/// A text to look for, folded.
pub(super) struct Wanted(String);

impl Wanted {
    pub(super) fn new(text: &str) -> Self {
        Wanted(fold(text))
    }

    /// Whether it stands in the event that `line` is.
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

/// Lower case, but no letter becomes ASCII that was not: so the look at the bytes can fold ASCII alone and
/// never says no to a match.
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
