//! `key=value key="a \"quoted\" value" word`.

use trailseal_event::Object;

/// One pair, or a word without a value.
pub(super) struct Pair<'t> {
    pub(super) key: &'t str,
    pub(super) value: Option<String>,
    /// Whether the value stands in quotes.
    pub(super) is_quoted: bool,
}

/// Whether a line consists of pairs: at least two of them, and first of all one.
pub(super) fn is_one(text: &str) -> bool {
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    let begins = first.split_once('=').is_some_and(|(key, _)| is_key(key));
    begins && pairs(text).filter(|pair| pair.value.is_some()).count() >= 2
}

/// The pairs as an object; words between them are joined under `text`. None if there is no pair.
pub(super) fn read(text: &str) -> Option<Object> {
    let mut members = Vec::new();
    let mut words = String::new();
    for Pair { key, value, .. } in pairs(text) {
        match value {
            Some(value) => members.push((key, value)),
            None => {
                words.push_str(if words.is_empty() { "" } else { " " });
                words.push_str(key);
            }
        }
    }
    if members.is_empty() {
        return None;
    }
    if !words.is_empty() {
        members.push(("text", words));
    }
    Some(members.into_iter().collect())
}

/// Splits a line; values may be in double or single quotes.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = Pair<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|between: char| between.is_ascii_whitespace() || between == '\u{1d}');
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(|byte: char| byte.is_ascii_whitespace() || matches!(byte, '=' | '\u{1d}'));
        let end = end.unwrap_or(rest.len());
        let (key, behind) = rest.split_at(end);
        let Some(behind) = behind.strip_prefix('=').filter(|_| is_key(key)) else {
            let end = rest.find(|byte: char| byte.is_ascii_whitespace()).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            rest = behind;
            return Some(Pair { key: word, value: None, is_quoted: false });
        };
        let is_quoted = behind.starts_with(['"', '\'']);
        let (value, behind) = value(behind);
        rest = behind;
        Some(Pair { key, value: Some(value), is_quoted })
    })
}

/// The value that `text` begins with, and what follows it.
fn value(text: &str) -> (String, &str) {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''));
    if let Some(quote) = quote
        && let Some(found) = quoted(&text[1..], quote)
    {
        return found;
    }
    let end = text.find(|byte: char| byte.is_ascii_whitespace() || byte == '\u{1d}').unwrap_or(text.len());
    (text[..end].to_owned(), &text[end..])
}

/// The text up to the closing quote; none if it is missing.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' if quote == '"' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                other if matches!(other, '"' | '\\') => value.push(other),
                other => value.extend(['\\', other]),
            },
            char if char == quote => return Some((value, &text[at + 1..])),
            char => value.push(char),
        }
    }
    None
}

fn is_key(key: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@' | b'/');
    !key.is_empty() && key.len() <= 128 && key.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_words() {
        let check = |text: &str, expected: &str| {
            let object = read(text).expect("pairs");
            assert_eq!(trailseal_event::Value::Object(object).to_string(), expected);
        };
        check(
            r#"time=2024-01-15T10:30:00Z user="Chen \"C\" Wei" n=1 url=/a?b=c empty= done"#,
            r#"{"time":"2024-01-15T10:30:00Z","user":"Chen \"C\" Wei","n":"1","url":"/a?b=c","empty":"","text":"done"}"#,
        );
        check(r#"a="open b=2"#, r#"{"a":"\"open","b":"2"}"#);
        assert!(is_one("a=1 b=2"));
        assert!(!is_one("a=1"));
        assert!(!is_one("see a=1 b=2"));
        assert!(!is_one("plain words = here"));
    }
}
