//! Records that log shippers and search engines have wrapped: under `_source`, or as JSON in a text.
//!
//! What must hold: nothing is taken out by itself, since what is around it may say more. It is only said where it is.

use std::borrow::Cow;

use crate::form::RECORD_LEVELS_MAX;
use crate::json_tree::{Item, Owned};
use crate::mapping::Mapping;

/// How deep it is looked for.
const LEVELS_MAX: usize = 3;

/// The format of a record inside `outer`, and a filter of jq that gives it.
pub(super) fn look(outer: Item<'_>) -> Option<(&'static str, String)> {
    let (format, filter) = within(outer, LEVELS_MAX)?;
    // `._source` rather than `.["_source"]` where that is enough.
    Some((format, if filter.starts_with('[') { format!(".{filter}") } else { filter }))
}

/// The format of the JSON that a line of text ends with, such as behind the time and the name of a stream.
pub(super) fn behind_text(line: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(line).ok()?;
    let at = text.find('{').filter(|at| *at > 0)?;
    known(json(Cow::Borrowed(&text[at..]))?.root())
}

fn within(outer: Item<'_>, levels: usize) -> Option<(&'static str, String)> {
    if levels == 0 || !outer.is_object() {
        return None;
    }
    outer.inside().find_map(|member| {
        let step = step(member.key())?;
        if member.is_array() {
            let (format, rest) = one(member.inside().next()?, levels - 1)?;
            return Some((format, format!("{step}[]{rest}")));
        }
        let (format, rest) = one(member, levels - 1)?;
        Some((format, format!("{step}{rest}")))
    })
}

/// What `value` is or has inside.
fn one(value: Item<'_>, levels: usize) -> Option<(&'static str, String)> {
    if let Some((text, _)) = value.as_str() {
        let record = json(text)?;
        return Some((known(record.root())?, " | fromjson".to_owned()));
    }
    match known(value) {
        Some(format) => Some((format, String::new())),
        None => within(value, levels),
    }
}

fn json(text: Cow<'_, str>) -> Option<Owned> {
    let text = text.trim();
    text.starts_with('{').then(|| Owned::parse(Cow::Borrowed(text), RECORD_LEVELS_MAX))?
}

/// The format that says most of it.
fn known(record: Item<'_>) -> Option<&'static str> {
    if !record.is_object() {
        return None;
    }
    let found = Mapping::builtins().filter(|mapping| mapping.detects(record));
    found.last().map(Mapping::format)
}

/// A step of a path of jq; none for a key that would have to be escaped.
fn step(key: &str) -> Option<String> {
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let is_plain = |char: char| !char.is_control() && !matches!(char, '"' | '\\' | '\'');
    if key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') && key.chars().all(is_word)
    {
        Some(format!(".{key}"))
    } else {
        key.chars().all(is_plain).then(|| format!("[\"{key}\"]"))
    }
}

#[cfg(test)]
mod tests {
    use trailseal_event::Value;

    use super::*;

    const INNER: &str = r#"{"action":"repo.create","actor":"cat","org":"acme"}"#;

    #[track_caller]
    fn check(outer: &str, expected: Option<&str>) {
        let value = Value::parse(outer.as_bytes()).expect("JSON");
        let found = look(Owned::of(&value).root());
        assert_eq!(found, expected.map(|filter| ("github", filter.to_owned())), "{outer}");
    }

    #[test]
    fn envelopes_of_shippers_and_search_engines() {
        let text = Value::from(INNER).to_string();
        check(&format!(r#"{{"_index":"a","_id":"1","_source":{INNER}}}"#), Some("._source"));
        check(&format!(r#"{{"log":{text},"stream":"stdout"}}"#), Some(".log | fromjson"));
        check(
            &format!(r#"{{"@timestamp":"x","event":{{"original":{text}}}}}"#),
            Some(".event.original | fromjson"),
        );
        check(
            &format!(r#"{{"logGroup":"g","logEvents":[{{"id":"1","message":{text}}}]}}"#),
            Some(".logEvents[].message | fromjson"),
        );
        check(&format!(r#"{{"@record":{INNER}}}"#), Some(r#".["@record"]"#));
        check(r#"{"a":{"b":1},"c":[],"d":"{broken"}"#, None);
        assert_eq!(behind_text(format!("2024-01-15T10:30:00Z stdout F {INNER}").as_bytes()), Some("github"));
        assert_eq!(behind_text(format!("audit\t{INNER} and more").as_bytes()), None);
        assert_eq!(behind_text(INNER.as_bytes()), None);
        check(&format!(r#"{{"it's":{INNER}}}"#), None);
        check(&format!(r#"{{"a":{{"b":{{"c":{{"d":{INNER}}}}}}}}}"#), None);
    }
}
