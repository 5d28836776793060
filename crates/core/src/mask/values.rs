//! `key=value` and its like in a text: where the value begins and ends, and what it looks like.
//!
//! JSON in a text may itself have been put into a string of JSON, more than once. Its *level* is how many backslashes
//! stand before each of its quotes: each time they become twice as many and one more.

use std::ops::Range;

use super::rules::Class;

/// Where the `=` or `:` behind a key stands, and the level of the key's quote, if it has one.
pub(super) fn separator(text: &[u8], key_end: usize) -> Option<(usize, Option<usize>)> {
    let byte = |place: usize| text.get(place).copied().unwrap_or(0);
    let level = backslashes(text, key_end);
    let quote = key_end + level;
    let is_blank = |place: usize| usize::from(byte(place) == b' ');
    let (separator, level) = match byte(quote) {
        b'"' | b'\'' => (quote + 1 + is_blank(quote + 1), Some(level)),
        _ => (key_end + is_blank(key_end), None),
    };
    matches!(byte(separator), b'=' | b':').then_some((separator, level))
}

pub(super) fn is_header(key: &str) -> bool {
    let ends = |end: &str| {
        key.len()
            .checked_sub(end.len())
            .and_then(|at| key.get(at..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    ends("authorization") || ends("cookie")
}

/// Whether a header's value is a scheme of authentication and one word that is too long for a sentence.
pub(super) fn has_scheme(value: &[u8]) -> bool {
    const SCHEMES: [&[u8]; 6] = [b"bearer", b"basic", b"token", b"digest", b"negotiate", b"apikey"];
    let Some(blank) = value.iter().position(|byte| *byte == b' ') else { return false };
    let (scheme, word) = (&value[..blank], value[blank..].trim_ascii());
    word.len() >= 16
        && !word.contains(&b' ')
        && SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme))
}

/// A quoted value: up to the same quote, or to the end of a text that was cut. A quote inside of it has more
/// backslashes before it than `level`.
pub(super) fn quoted(text: &[u8], start: usize, quote: u8, level: usize) -> Option<Range<usize>> {
    let mut backslashes = 0;
    for (place, byte) in text.iter().enumerate().skip(start) {
        let end = match *byte {
            b'\\' => {
                backslashes += 1;
                continue;
            }
            b'\n' => place,
            byte if byte == quote && is_level(backslashes, level) => place - level,
            _ => {
                backslashes = 0;
                continue;
            }
        };
        return (end > start).then_some(start..end);
    }
    (start < text.len()).then_some(start..text.len())
}

/// A list or object of JSON of this level, or what is left of it.
pub(super) fn container(text: &[u8], start: usize, level: usize) -> Option<Range<usize>> {
    let (mut depth, mut is_string, mut backslashes) = (0_usize, false, 0);
    for (place, byte) in text.iter().enumerate().skip(start) {
        match *byte {
            b'"' if is_level(backslashes, level) => is_string = !is_string,
            b'{' | b'[' if !is_string => depth += 1,
            b'}' | b']' if !is_string => depth -= 1,
            _ => {}
        }
        backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
        if depth == 0 {
            return Some(start..place + 1);
        }
    }
    Some(start..text.len())
}

/// A header's value: to the end of the line, or to the quote around the header.
pub(super) fn header_value(text: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = &text[start..];
    let len = rest
        .iter()
        .enumerate()
        .position(|(place, byte)| {
            matches!(byte, b'\n' | b'\r' | b'\\')
                || (*byte == b'\'')
                || (*byte == b'"' && !is_inner_quote(rest, place))
        })
        .unwrap_or(rest.len());
    let len = rest[..len].iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    (len > 0).then_some(start..start + len)
}

pub(super) fn unquoted(text: &[u8], start: usize) -> Option<Range<usize>> {
    let is_end = |byte: &u8| {
        byte.is_ascii_whitespace()
            || matches!(
                *byte,
                b'&' | b',' | b';' | b'"' | b'\'' | b')' | b']' | b'}' | b'>' | b'#' | b'\\' | b'|'
            )
    };
    let rest = text.get(start..)?;
    let len = rest.iter().position(is_end).unwrap_or(rest.len());
    (len > 0).then_some(start..start + len)
}

/// How many backslashes stand here.
pub(super) fn backslashes(text: &[u8], start: usize) -> usize {
    text.iter().skip(start).take_while(|byte| **byte == b'\\').count()
}

/// Whether a value is the name of what will stand there: `<password>`, `{{ password }}`, `[password]`, `$PASSWORD`,
/// `${password}`, `$(command)`, `%s`. An unquoted value ends before its last bracket.
pub(super) fn is_variable(text: &[u8], range: &Range<usize>) -> bool {
    let value = &text[range.clone()];
    let closes = |with: &[u8]| value.ends_with(with) || text[range.end..].starts_with(with);
    let closes_later = |with: &[u8]| {
        let line = text[range.start..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        memchr::memmem::find(line, with).is_some()
    };
    let is_words = |words: &[u8]| {
        words.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'*')
            && !words.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'!' | b'$' | b'%' | b'@'))
    };
    let is_name = |name: &[u8]| {
        name.first().is_some_and(|byte| byte.is_ascii_uppercase() || *byte == b'_')
            && name.iter().all(|byte| Class::Upper.holds(*byte) || *byte == b'_')
    };
    match value {
        [b'<', ..] => closes(b">"),
        [b'{', b'{', ..] => closes_later(b"}}"),
        [b'[', words @ ..] => closes(b"]") && is_words(words),
        [b'$', b'{', ..] => closes_later(b"}"),
        [b'$', b'(', ..] => closes_later(b")"),
        // `$_POST['password']` ends before its quote.
        [b'$', name @ ..] => is_name(name.strip_suffix(b"[").unwrap_or(name)),
        _ => value.starts_with(b"%") && value.len() == 2,
    }
}

/// Whether what follows `key:` is a value and no word of a sentence.
pub(super) fn looks_like_value(value: &[u8]) -> bool {
    value.len() >= 4
        && value.iter().any(|byte| {
            byte.is_ascii_digit()
                || matches!(byte, b'!' | b'@' | b'$' | b'%' | b'^' | b'*' | b'?' | b'~' | b'+' | b'=')
        })
}

/// A quote that belongs to the value, as in `username="x"`.
fn is_inner_quote(text: &[u8], place: usize) -> bool {
    let opens = place > 0 && text[place - 1] == b'=';
    let closes = text[..place].iter().rposition(|byte| *byte == b'"').is_some_and(|open| {
        open > 0
            && text[open - 1] == b'='
            && text[..=open].iter().filter(|byte| **byte == b'"').count() % 2 == 1
    });
    opens || closes
}

/// Whether a quote behind so many backslashes is one that JSON of this level has itself.
fn is_level(backslashes: usize, level: usize) -> bool {
    backslashes % (2 * (level + 1)) == level
}
