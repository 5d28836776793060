//! Whether a member is masked by its own key. Under a secret's name, what is no text mostly stays: a number that counts,
//! an answer, nothing at all. So such a name alone does not cost an event the slow path.

use super::paths::{self, Under};
use crate::counted_steps;
use crate::event::Value;
use crate::mask::Masker;

impl Masker {
    /// Whether a member must be masked by its key, or may be. `value` is JSON text from its value on. About 10 ns for a
    /// key that names no secret.
    #[inline]
    pub(crate) fn masks_member(&self, key: &str, value: &[u8]) -> bool {
        self.is_worth_a_look(key) && self.hides_json(key, value)
    }

    /// The same of a value.
    pub(super) fn masks_value(&self, key: &str, value: &Value) -> bool {
        self.is_worth_a_look(key) && self.under(key).is_some_and(|under| self.hides(under, value))
    }

    fn under(&self, key: &str) -> Option<Under> {
        self.keys.find(key).map(|kind| paths::named(kind, key))
    }

    fn hides(&self, under: Under, value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Number(_) => under.hides_number(),
            Value::String(text) => self.hides_text(under, text),
            Value::Array(elements) => !elements.is_empty(),
            Value::Object(members) => !members.is_empty(),
        }
    }

    fn hides_text(&self, under: Under, text: &str) -> bool {
        under.hides(text) && !self.is_replacement(text)
    }

    #[cold]
    #[inline(never)]
    fn hides_json(&self, key: &str, value: &[u8]) -> bool {
        let Some(under) = self.under(key) else { return false };
        match value.trim_ascii_start() {
            [b'n' | b't' | b'f', ..] | [b'{', b'}', ..] | [b'[', b']', ..] => false,
            [b'-' | b'0'..=b'9', ..] => under.hides_number(),
            [b'"', text @ ..] => {
                let end = memchr::memchr2(b'"', b'\\', text);
                counted_steps::count(end.unwrap_or(text.len()));
                match end {
                    Some(end) if text[end] == b'"' => {
                        std::str::from_utf8(&text[..end]).map_or(true, |text| self.hides_text(under, text))
                    }
                    // With an escape in it, it is decoded first; without an end it is not JSON.
                    _ => true,
                }
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::MaskOptions;

    #[test]
    fn a_member_is_judged_alike_as_text_and_as_a_value() {
        let masker = Masker::new(&MaskOptions::default()).expect("the default is good");
        let check = |key: &str, json: &str, expected: bool| {
            let value = Value::parse(json.as_bytes()).expect("JSON");
            assert_eq!(masker.masks_value(key, &value), expected, "{key}: {json}");
            // With an escape it may be more than that.
            let by_text = masker.masks_member(key, format!(" {json},\"x\":1}}").as_bytes());
            assert!(by_text == expected || by_text && json.contains(['\\', ' ']), "{key}: {json}");
        };
        check("max_tokens", "4096", false);
        check("max_tokens", "\"4096\"", true);
        check("max_tokens", "[4096]", true);
        check("tokens", "{\"input\":7}", true);
        check("pin", "1234", true);
        check("password", "null", false);
        check("password", "true", false);
        check("password", "\"\"", false);
        check("password", "\"***\"", false);
        check("password", "\"*** and more\"", true);
        check("password", "\"a\\\"b\"", true);
        check("password", "{}", false);
        check("password", "[]", false);
        check("password", "[ ]", false);
        check("clientToken", "\"5b7eff74-2b70-4f92-8aa1-9c716bf151aa\"", false);
        check("accessKey", "\"AKIAABCDEFGHIJKLMNOP\"", false);
        check("order", "\"hunter2\"", false);
    }
}
