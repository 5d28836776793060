//! Finds the fields of a line without building anything from it.
//!
//! As strict as [`Value::parse`]: it refuses exactly what that refuses. A value's text is returned exactly as in the
//! line.

use std::borrow::Cow;

use trailseal_event::Value;

/// Parses one JSON text from the front.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The closing brackets of the open containers, while one is skipped.
    open: Vec<u8>,
}

/// Receives the members of a line's objects.
pub(crate) trait Take<'a> {
    /// Identifies the object.
    type Part: Copy;

    /// Called before each value of the outermost object: whether its members are wanted too, and under which name.
    fn enters(&mut self, key: &str) -> Option<Self::Part>;
    /// Called with each member. Repeated keys come in order.
    fn take(&mut self, part: Self::Part, key: &str, value: &'a str);
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0, open: Vec::new() }
    }

    /// Parses all of it as one object, `outermost`. `None` if it is not one.
    pub(crate) fn object<T: Take<'a>>(&mut self, outermost: T::Part, taker: &mut T) -> Option<()> {
        self.space();
        self.members(outermost, true, taker)?;
        self.space();
        (self.at == self.text.len()).then_some(())
    }

    fn members<T: Take<'a>>(&mut self, part: T::Part, is_outermost: bool, taker: &mut T) -> Option<()> {
        self.pass(b'{')?;
        self.space();
        if self.pass(b'}').is_some() {
            return Some(());
        }
        loop {
            let key = self.string()?.text();
            self.colon()?;
            let start = self.at;
            let within = if is_outermost { taker.enters(&key) } else { None };
            match within {
                Some(within) if self.peek() == Some(b'{') => self.members(within, false, taker)?,
                _ => self.value()?,
            }
            taker.take(part, &key, &self.text[start..self.at]);
            if self.comma_or(b'}')? {
                return Some(());
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn pass(&mut self, byte: u8) -> Option<()> {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next.then_some(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn colon(&mut self) -> Option<()> {
        self.space();
        self.pass(b':')?;
        self.space();
        Some(())
    }

    /// Consumes what follows a member or an element; true if that was `end`.
    fn comma_or(&mut self, end: u8) -> Option<bool> {
        self.space();
        if self.pass(b',').is_some() {
            self.space();
            return Some(false);
        }
        self.pass(end).map(|()| true)
    }

    /// Skips a value. Nesting uses no stack, whatever its depth.
    fn value(&mut self) -> Option<()> {
        self.open.clear();
        loop {
            // Here a value begins.
            match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    self.space();
                    let end = bracket + 2;
                    if self.pass(end).is_none() {
                        self.open.push(end);
                        self.key_if_object(end)?;
                        continue;
                    }
                }
                b'"' => _ = self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                _ => self.word()?,
            }
            // A value has ended here.
            loop {
                let Some(&end) = self.open.last() else { return Some(()) };
                if !self.comma_or(end)? {
                    self.key_if_object(end)?;
                    break;
                }
                self.open.pop();
            }
        }
    }

    fn key_if_object(&mut self, end: u8) -> Option<()> {
        if end == b'}' {
            self.string()?;
            self.colon()?;
        }
        Some(())
    }

    /// Skips a string.
    fn string(&mut self) -> Option<Text<'a>> {
        let start = self.at;
        self.pass(b'"')?;
        let bytes = self.text.as_bytes();
        let mut has_escapes = false;
        loop {
            self.at += plain_len(&bytes[self.at..]);
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(Text { json: &self.text[start..self.at], has_escapes });
                }
                b'\\' => {
                    has_escapes = true;
                    self.escape()?;
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let escape = &self.text.as_bytes()[self.at + 1..];
        match escape.first()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' if escape.get(1..5)?.iter().all(u8::is_ascii_hexdigit) => self.at += 6,
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.pass(b'-');
        let whole = self.at;
        let digits = self.digits()?;
        if digits > 1 && self.text.as_bytes()[whole] == b'0' {
            return None;
        }
        if self.pass(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if self.pass(b'+').is_none() {
                let _ = self.pass(b'-');
            }
            self.digits()?;
        }
        Some(())
    }

    /// Consumes digits, at least one, and returns how many.
    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(self.at - start)
    }

    fn word(&mut self) -> Option<()> {
        let rest = &self.text.as_bytes()[self.at..];
        let word = ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word.as_bytes()))?;
        self.at += word.len();
        Some(())
    }
}

/// A string's JSON text, including the quotes; its grammar was checked.
struct Text<'a> {
    json: &'a str,
    has_escapes: bool,
}

impl<'a> Text<'a> {
    /// The decoded string.
    fn text(&self) -> Cow<'a, str> {
        let inside = self.json.get(1..self.json.len() - 1).unwrap_or_default();
        if !self.has_escapes {
            return Cow::Borrowed(inside);
        }
        match Value::parse(self.json.as_bytes()) {
            Ok(Value::String(text)) => Cow::Owned(text),
            _ => Cow::Borrowed(inside),
        }
    }
}

/// Decodes a string's JSON text, whose grammar was checked.
pub(crate) fn string_text(json: &str) -> Cow<'_, str> {
    Text { json, has_escapes: memchr::memchr(b'\\', json.as_bytes()).is_some() }.text()
}

/// The number of bytes of a string before the next quote, escape or control character, checked eight at a time.
fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // The lowest mark is always correct: a borrow, which could produce a false one, comes only from a true one.
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGHS;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let marks = below(word, 0x20) | is(word, b'"') | is(word, b'\\');
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let ends = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    bytes[at..].iter().position(ends).map_or(bytes.len(), |more| at + more)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Members as they come.
    #[derive(Default)]
    struct All(Vec<String>);

    impl<'a> Take<'a> for All {
        type Part = &'static str;

        fn enters(&mut self, key: &str) -> Option<&'static str> {
            (key == "in").then_some("in")
        }

        fn take(&mut self, part: &'static str, key: &str, value: &'a str) {
            self.0.push(format!("{part}/{key}={value}"));
        }
    }

    fn scanned(json: &str) -> Option<Vec<String>> {
        let mut all = All::default();
        Scanner::new(json).object("", &mut all)?;
        Some(all.0)
    }

    /// Refused by both, or by neither.
    fn check(json: &str) {
        let is_object = matches!(Value::parse(json.as_bytes()), Ok(Value::Object(_)));
        assert_eq!(scanned(json).is_some(), is_object, "{json:?}");
    }

    #[test]
    fn members_are_given_as_they_stand() {
        let json = r#" { "a" : 1.50 , "in":{"b":"x\"y","in":{"c":[]}},"a":[{"d":"]"},null] } "#;
        let wanted = [
            "/a=1.50",
            r#"in/b="x\"y""#,
            r#"in/in={"c":[]}"#,
            r#"/in={"b":"x\"y","in":{"c":[]}}"#,
            r#"/a=[{"d":"]"},null]"#,
        ];
        assert_eq!(scanned(json).unwrap(), wanted);
        assert_eq!(scanned(r#"{"\u0069n":{"b":1}}"#).unwrap(), ["in/b=1", r#"/in={"b":1}"#]);
    }

    #[test]
    fn what_is_no_json_is_refused_at_every_place() {
        let json = r#"{"a":[-1.5e+3,0,{"k":"v\u00e9\\"}],"in":{"t":true,"f":false,"n":null},"s":""}"#;
        check(json);
        for at in 0..json.len() {
            check(&json[..at]);
            for byte in [" ", "\"", "\\", "{", "]", "}", ",", ":", "0", "-", "e", ".", "u", "\u{1}", "é"] {
                check(&format!("{}{byte}{}", &json[..at], &json[at..]));
                check(&format!("{}{byte}{}", &json[..at], &json[at + 1..]));
            }
        }
    }

    #[test]
    fn deep_nesting_takes_no_stack() {
        let deep = |count: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(count), "]".repeat(count));
        assert!(scanned(&deep(30_000)).is_some());
        check(&deep(200).replace("]]}", "]}"));
    }

    proptest! {
        #[test]
        fn a_string_ends_where_byte_by_byte_search_says(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let ends = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
            let wanted = bytes.iter().position(ends).unwrap_or(bytes.len());
            prop_assert_eq!(plain_len(&bytes), wanted);
        }

        #[test]
        fn text_made_of_json_pieces_is_judged_as_the_parser_judges_it(
            pieces in proptest::collection::vec(
                prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"a\"", "\"in\"", "1", "-0", "01", "1.", "1e5", "true", "nul", " ", "\"\\ud800\"", "\"\\x\""]),
                0..12,
            ),
        ) {
            check(&format!("{{{}}}", pieces.concat()));
            check(&format!("{{\"a\":{}}}", pieces.concat()));
        }
    }
}
