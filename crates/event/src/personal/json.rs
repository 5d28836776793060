//! Steps through JSON text as the trail writes it: without blanks, and known to be JSON.

use std::borrow::Cow;

use crate::event::parse::unescape;

/// Deeper values are passed over: no line has them, and the stack is bounded.
pub(super) const DEPTH_MAX: usize = 160;

const ONES: u64 = u64::from_le_bytes([1; 8]);

/// The high bit of each byte of the word that is this one. The lowest is right; above it there may be more than there are.
#[inline(always)]
fn bytes_like(word: u64, byte: u8) -> u64 {
    let same = word ^ (ONES * u64::from(byte));
    same.wrapping_sub(ONES) & !same & (ONES << 7)
}

#[inline(always)]
fn word(text: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*text.get(at..)?.first_chunk()?))
}

/// How many words are looked at before a search for long texts begins.
const WORDS_MAX: usize = 4;

/// Where the string that begins with the quote at `at` ends: after its closing quote.
#[inline]
pub(super) fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 1;
    // Most are short.
    for _ in 0..WORDS_MAX {
        let Some(word) = word(text, end) else { break };
        let found = bytes_like(word, b'"') | bytes_like(word, b'\\');
        if found != 0 {
            end += found.trailing_zeros() as usize / 8;
            break;
        }
        end += 8;
    }
    match *text.get(end)? {
        b'"' => Some(end + 1),
        _ => long_string_end(text, end),
    }
}

/// The same, where nothing before `end` ends it.
#[inline(never)]
fn long_string_end(text: &[u8], mut end: usize) -> Option<usize> {
    loop {
        end += memchr::memchr2(b'"', b'\\', text.get(end..)?)?;
        if text[end] == b'"' {
            return Some(end + 1);
        }
        end += 2;
    }
}

/// Where the key that begins with the quote at `at` ends: after its closing quote. `None` if it has an escape or a dot, or
/// stands so close to the end of the text that it must be looked at byte by byte.
#[inline(always)]
pub(super) fn plain_key_end(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 1;
    loop {
        let word = word(text, end)?;
        let found = bytes_like(word, b'"') | bytes_like(word, b'\\') | bytes_like(word, b'.');
        if found != 0 {
            end += found.trailing_zeros() as usize / 8;
            return (text[end] == b'"').then_some(end + 1);
        }
        end += 8;
    }
}

/// Where the value that begins at `at` ends.
pub(super) fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => {
            let (mut at, mut depth) = (at, 0usize);
            loop {
                match text.get(at)? {
                    b'"' => {
                        at = string_end(text, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => Some(at + text[at..].iter().take_while(|byte| !b",]}".contains(byte)).count()),
    }
}

/// The text of the string that stands at `from..to` with its quotes.
pub(super) fn string(text: &[u8], from: usize, to: usize) -> Cow<'_, str> {
    unescaped(text.get(from + 1..to.saturating_sub(1)).unwrap_or_default())
}

/// The text of a string of which this stands between the quotes.
pub(super) fn unescaped(inside: &[u8]) -> Cow<'_, str> {
    let inside = std::str::from_utf8(inside).unwrap_or_default();
    match memchr::memchr(b'\\', inside.as_bytes()) {
        Some(_) => Cow::Owned(unescape(inside).0),
        None => Cow::Borrowed(inside),
    }
}

/// A JSON Pointer (RFC 6901) that is extended and shortened on the way.
#[derive(Default)]
pub(super) struct Pointer(String);

impl Pointer {
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn back_to(&mut self, len: usize) {
        self.0.truncate(len);
    }

    pub(super) fn key(&mut self, key: &str) {
        self.0.push('/');
        let mut rest = key;
        while let Some(at) = memchr::memchr2(b'~', b'/', rest.as_bytes()) {
            self.0.push_str(&rest[..at]);
            self.0.push_str(if rest.as_bytes()[at] == b'~' { "~0" } else { "~1" });
            rest = &rest[at + 1..];
        }
        self.0.push_str(rest);
    }

    pub(super) fn place(&mut self, place: usize) {
        use std::fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(self.0, "/{place}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_it_does() {
        for value in
            [r#""""#, r#""a\"b\\""#, "{}", r#"{"a":["}",{"]":"\\"}]}"#, "[]", "-1.5e3", "null", "true"]
        {
            for after in ["", ",1", "]", "}"] {
                let text = format!("{value}{after}");
                assert_eq!(value_end(text.as_bytes(), 0), Some(value.len()), "{text}");
            }
        }
        for torn in ["", "\"a", "{\"a\":", "[1", "\"\\"] {
            assert_eq!(value_end(torn.as_bytes(), 0), None, "{torn}");
        }
    }

    #[test]
    fn a_string_ends_at_its_first_quote_without_a_backslash() {
        for len in 0..80 {
            for (odd, is_end) in [("\"", true), ("\\\"", false), ("\\\\\"", true)] {
                let text = format!("\"{}{odd}{}\",\"next\":1}}", "a".repeat(len), "\u{e4}".repeat(12));
                let quote = if is_end { 1 + len + odd.len() } else { text.find("\",").unwrap() + 1 };
                assert_eq!(string_end(text.as_bytes(), 0), Some(quote), "{text}");
                assert_eq!(string_end(&text.as_bytes()[..quote - 1], 0), None, "{text}");
            }
        }
    }

    #[test]
    fn a_plain_key_ends_at_its_quote() {
        for len in 0..40 {
            for place in 0..len {
                for odd in ["\\\"", "."] {
                    let key = format!("{}{odd}{}", "a".repeat(place), "\u{e4}".repeat(len - place));
                    assert_eq!(plain_key_end(format!("\"{key}\":\"0123456\"").as_bytes(), 0), None, "{key}");
                }
            }
            let text = format!("x\"{}\":\"0123456\"", "b".repeat(len));
            assert_eq!(plain_key_end(text.as_bytes(), 1), Some(len + 3));
            // Near the end nothing is said, and nothing is read beyond it.
            let torn = plain_key_end(&text.as_bytes()[..len + 3], 1);
            assert!(torn.is_none() || torn == Some(len + 3), "{len}");
        }
    }

    #[test]
    fn a_pointer_is_in_one_way_to_its_field() {
        let mut pointer = Pointer::default();
        pointer.key("a/b");
        pointer.key("~c");
        let len = pointer.len();
        pointer.place(12);
        assert_eq!(pointer.text(), "/a~1b/~0c/12");
        pointer.back_to(len);
        pointer.key("");
        assert_eq!(pointer.text(), "/a~1b/~0c/");
    }
}
