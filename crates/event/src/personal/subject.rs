//! Whose a personal value is: the person's id, in the same text.

use std::borrow::Cow;

use super::find::{Found, Value};
use super::json;
use super::paths::Field;

impl Found {
    /// The id of the person whose value this is: empty if the event does not say.
    pub(super) fn subject<'a>(&self, field: &Field, value: &Value, text: &'a [u8]) -> Cow<'a, str> {
        let bound;
        let parts = match field.subject.has_wildcard {
            true => {
                let pointer = self.pointers.get(value.pointer.clone()).unwrap_or_default();
                let keys = pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"));
                let path: Vec<String> =
                    keys.flat_map(|key| key.split('.').map(str::to_owned).collect::<Vec<_>>()).collect();
                bound = field.subject_at(&path);
                &bound
            }
            false => &field.subject.parts,
        };
        let at = match (self.actor, parts.split_first()) {
            (Some(actor), Some((first, rest))) if first == "actor" => look_up(text, actor, rest),
            // The rest of a line begins behind the brace of its object.
            _ => look_up_in_members(text, 0, parts),
        };
        at.and_then(|at| scalar(text, at)).unwrap_or_default()
    }
}

/// Where the value at this path is below the value at `at`.
fn look_up(text: &[u8], at: usize, parts: &[String]) -> Option<usize> {
    let Some((first, rest)) = parts.split_first() else { return Some(at) };
    match *text.get(at)? {
        b'{' => look_up_in_members(text, at + 1, parts),
        b'[' => {
            let mut at = at + 1;
            for _ in 0..first.parse::<usize>().ok()? {
                at = json::value_end(text, at)?;
                at = (*text.get(at)? == b',').then_some(at + 1)?;
            }
            look_up(text, at, rest)
        }
        _ => None,
    }
}

fn look_up_in_members(text: &[u8], mut at: usize, parts: &[String]) -> Option<usize> {
    let (first, rest) = parts.split_first()?;
    while *text.get(at)? == b'"' {
        let end = json::string_end(text, at)?;
        let raw = text.get(at + 1..end - 1)?;
        // Mostly they are alike as they stand; an escape is looked at more closely.
        if raw == first.as_bytes() || (raw.contains(&b'\\') && json::unescaped(raw) == **first) {
            return look_up(text, end + 1, rest);
        }
        at = json::value_end(text, end + 1)?;
        at = (*text.get(at)? == b',').then_some(at + 1)?;
    }
    None
}

/// The text of a string or number.
fn scalar(text: &[u8], at: usize) -> Option<Cow<'_, str>> {
    let end = json::value_end(text, at)?;
    match *text.get(at)? {
        b'"' => Some(json::string(text, at, end)),
        b'-' | b'0'..=b'9' => std::str::from_utf8(&text[at..end]).ok().map(Cow::Borrowed),
        _ => None,
    }
}
