//! The Common Event Format: `CEF:0|vendor|product|version|signature|name|severity|key=value …`, also behind a syslog
//! header.

use trailseal_event::{Object, Value};

use super::syslog;

const HEADER: [&str; 7] =
    ["cef_version", "vendor", "product", "product_version", "signature", "name", "severity"];
/// A syslog header in front is shorter than this.
const START_MAX: usize = 512;
const KEY_BYTES_MAX: usize = 128;

/// Where the format begins in a line, if it does.
pub(super) fn start(text: &str) -> Option<usize> {
    let at = memchr::memmem::find(&text.as_bytes()[..text.len().min(START_MAX)], b"CEF:")?;
    let rest = &text[at + 4..];
    let version = rest.split('|').next()?;
    (rest.contains('|')
        && version.bytes().all(|byte| byte.is_ascii_digit())
        && (at == 0 || text[..at].ends_with(' ')))
    .then_some(at)
}

pub(super) fn read(text: &str) -> Option<Object> {
    let at = start(text)?;
    let mut object = Object::default();
    let mut rest = &text[at + 4..];
    for name in HEADER {
        let (value, behind) = field(rest)?;
        object.insert(name, value);
        rest = behind;
    }
    object.insert("extension", Value::Object(extension(rest)));
    if at > 0 {
        let header = syslog::header_alone(&text[..at]);
        if !header.is_empty() {
            object.insert("syslog", Value::Object(header));
        }
    }
    Some(object)
}

/// The field up to the next bar that is not escaped.
fn field(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '|' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                escaped if matches!(escaped, '|' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
    None
}

/// Pairs whose values may have blanks: each reaches up to the key of the next.
fn extension(text: &str) -> Object {
    let keys = keys(text);
    let ends = keys.iter().skip(1).map(|(key, from)| from - key.len() - 1).chain([text.len()]);
    keys.iter().zip(ends).map(|((key, from), to)| (*key, unescaped(text[*from..to].trim_end()))).collect()
}

/// Each key, and where its value begins.
fn keys(text: &str) -> Vec<(&str, usize)> {
    let mut keys = Vec::new();
    for (at, _) in text.match_indices('=') {
        let before = &text[..at];
        let near = before.floor_char_boundary(at.saturating_sub(KEY_BYTES_MAX));
        let blank = before[near..].rfind(|byte: char| byte.is_ascii_whitespace());
        let Some(begin) = blank.map(|blank| near + blank + 1).or((near == 0).then_some(0)) else { continue };
        let key = before.get(begin..).unwrap_or_default();
        let good =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']');
        // An escaped equals sign ends in a backslash, which no key has.
        let is_behind_last = keys.last().is_none_or(|(_, from)| *from <= begin);
        if !key.is_empty() && key.bytes().all(good) && is_behind_last {
            keys.push((key, at + 1));
        }
    }
    keys
}

fn unescaped(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, char == '\\') {
            (_, true) => match chars.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some(escaped) if matches!(escaped, '=' | '\\' | '|') => value.push(escaped),
                Some(other) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            (char, false) => value.push(char),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_extension() {
        let check = |text: &str, expected: &str| {
            let object = read(text).expect("CEF");
            assert_eq!(Value::Object(object).to_string(), expected);
        };
        check(
            r"CEF:0|Acme|Gate\|way|1.0|100|login\\failed|5|src=10.0.0.1 suser=Chen Wei msg=a\=b\nc rt=1700000000000",
            r#"{"cef_version":"0","vendor":"Acme","product":"Gate|way","product_version":"1.0","signature":"100","name":"login\\failed","severity":"5","extension":{"src":"10.0.0.1","suser":"Chen Wei","msg":"a=b\nc","rt":"1700000000000"}}"#,
        );
        check(
            "<13>Oct 11 22:14:15 gate CEF:0|A|B|1|2|n|3|",
            r#"{"cef_version":"0","vendor":"A","product":"B","product_version":"1","signature":"2","name":"n","severity":"3","extension":{},"syslog":{"facility":"user","severity":"notice","time":"Oct 11 22:14:15","host":"gate"}}"#,
        );
        for text in ["CEF:0|A|B", "CEF", "xCEF:0|a|b|c|d|e|f|", "about CEF: it is"] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
