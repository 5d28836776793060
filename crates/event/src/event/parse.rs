//! JSON text (RFC 8259) to a [`Value`], strictly in grammar and forgiving in content.
//!
//! Bytes that are not UTF-8 or not JSON are refused with their offset. Everything that is JSON is kept:
//!
//! | sent | becomes | noted |
//! | --- | --- | --- |
//! | a whole number outside `i64::MIN..=u64::MAX`, `1e999`, a number of over 128 bytes | a string of its JSON text | its path |
//! | a container below 64 levels | a string of its JSON text | its path |
//! | half a surrogate pair, such as `\ud800` | U+FFFD | its path, and the string's JSON text |
//! | a key twice | the last value | its path, and each earlier value |
//!
//! What must hold: time and memory are linear in the input, and the stack is bounded.

use super::value::{Number, Object, Value, without_doubles};

/// Containers are parsed down to this level; the outermost is level 1.
pub const DEPTH_MAX: usize = 64;
/// The same for lines written by the trail: values kept under `details._invalid` are nested deeper there.
pub(crate) const STORED_DEPTH_MAX: usize = 120;
/// Longer numbers are kept as text.
pub(crate) const NUMBER_BYTES_MAX: usize = 128;
/// At most this many notes; one last note, with the path `…`, represents all others.
pub(crate) const NOTES_MAX: usize = 1_000;
/// Paths in notes are cut at about this length.
pub(crate) const PATH_BYTES_MAX: usize = 256;
/// Represents whatever was left out of a path or of a list of paths.
pub(crate) const AND_MORE: &str = "…";

/// Cuts a path that is too long.
pub(crate) fn cut_path(path: &mut String) {
    if path.len() > PATH_BYTES_MAX + AND_MORE.len() {
        path.truncate(path.floor_char_boundary(PATH_BYTES_MAX));
        path.push_str(AND_MORE);
    }
}

/// Where and why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {reason}")]
pub struct ParseError {
    /// The first byte that does not fit, counted from 0.
    pub offset: usize,
    /// What was expected there.
    pub reason: &'static str,
}

/// A parsed value, with notes on what could not be kept in its own form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The value.
    pub value: Value,
    /// What was changed, in the order of the text.
    pub notes: Vec<Note>,
}

/// One place where a value could not be kept as sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Keys and array positions, joined by dots.
    pub path: String,
    /// What was sent, if the value in place does not show it.
    pub original: Option<Value>,
    /// Why.
    pub oddity: Oddity,
}

/// Why a value could not be kept as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity {
    /// A number that few readers can hold.
    Number,
    /// A container below the deepest level.
    Depth,
    /// Half a surrogate pair.
    Surrogate,
    /// A key that occurs again later.
    Doubled,
    /// There are more than the notes list.
    More,
}

impl Parsed {
    /// Parses one JSON text, with notes.
    ///
    /// # Errors
    /// [`ParseError`] says at which byte the text stops being UTF-8 or JSON, and why.
    pub fn parse(json: &[u8]) -> Result<Parsed, ParseError> {
        parse(json, DEPTH_MAX)
    }
}

pub(crate) const NOT_UTF8: &str = "not UTF-8";

pub(crate) fn parse(json: &[u8], depth_max: usize) -> Result<Parsed, ParseError> {
    let text = std::str::from_utf8(json)
        .map_err(|error| ParseError { offset: error.valid_up_to(), reason: NOT_UTF8 })?;
    let mut parser = Parser { text, bytes: json, at: 0, depth_max, notes: Vec::new() };
    parser.space();
    let value = parser.value(1, &Path::ROOT)?;
    parser.space();
    if parser.at < json.len() {
        return Err(parser.error("expected the end after one JSON value"));
    }
    Ok(Parsed { value, notes: parser.notes })
}

impl Value {
    /// Reads one JSON text (RFC 8259). What other readers choke on is survived: see [`Parsed`].
    ///
    /// # Errors
    /// [`ParseError`] says at which byte the text stops being UTF-8 or JSON, and why.
    pub fn parse(json: &[u8]) -> Result<Value, ParseError> {
        Ok(parse(json, DEPTH_MAX)?.value)
    }

    /// The same for a value that will be inside another: containers below `levels` become strings of their JSON text,
    /// so that the whole does not nest deeper than a client's event may.
    ///
    /// # Errors
    /// As [`Value::parse`].
    pub fn parse_within(json: &[u8], levels: usize) -> Result<Value, ParseError> {
        Ok(parse(json, levels)?.value)
    }
}

/// Whether this is the text of a number that cannot be kept, in a number's place.
pub(crate) fn is_unfit_number(text: &str) -> bool {
    is_number(text.as_bytes()) && fitting_number(text).is_none()
}

/// Whether these bytes are one JSON number and nothing else.
pub(crate) fn is_number(text: &[u8]) -> bool {
    number_end(text, 0) == Some(text.len())
}

/// A position in a value: a chain from the innermost step outwards, on the stack.
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    Key(&'a str),
    Place(usize),
}

impl<'a> Path<'a> {
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Place(0) };

    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    pub(crate) fn place(&'a self, place: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Place(place) }
    }

    pub(crate) fn parent(&self) -> Option<&'a Path<'a>> {
        self.parent
    }

    pub(crate) fn step(&self) -> Step<'a> {
        self.step
    }

    /// The steps, outermost first.
    pub(crate) fn steps(&self) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        let mut path = self;
        while let Some(parent) = path.parent {
            steps.push(path.step);
            path = parent;
        }
        steps.reverse();
        steps
    }

    /// The steps joined by dots, cut at about [`PATH_BYTES_MAX`].
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for step in self.steps() {
            if !text.is_empty() {
                text.push('.');
            }
            match step {
                Step::Key(key) => text.push_str(&key[..key.floor_char_boundary(PATH_BYTES_MAX)]),
                Step::Place(place) => text.push_str(&place.to_string()),
            }
            if text.len() >= PATH_BYTES_MAX {
                text.truncate(text.floor_char_boundary(PATH_BYTES_MAX));
                text.push_str(AND_MORE);
                break;
            }
        }
        text
    }
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth_max: usize,
    notes: Vec<Note>,
}

impl Parser<'_> {
    fn error(&self, reason: &'static str) -> ParseError {
        ParseError { offset: self.at, reason }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn note(&mut self, path: &Path<'_>, original: Option<Value>, oddity: Oddity) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(Note { path: path.text(), original, oddity });
        } else if self.notes.len() == NOTES_MAX {
            self.notes.push(Note { path: AND_MORE.to_owned(), original: None, oddity: Oddity::More });
        }
    }

    fn value(&mut self, depth: usize, path: &Path<'_>) -> Result<Value, ParseError> {
        match self.peek() {
            Some(b'{' | b'[') if depth > self.depth_max => {
                let start = self.at;
                self.skip_container()?;
                self.note(path, None, Oddity::Depth);
                Ok(Value::String(self.text[start..self.at].to_owned()))
            }
            Some(b'{') => self.object(depth, path),
            Some(b'[') => self.array(depth, path),
            Some(b'"') => self.string(path).map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(path),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize, path: &Path<'_>) -> Result<Value, ParseError> {
        self.at += 1;
        self.space();
        let mut members = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(Object(members)));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.error("expected a key in double quotes"));
            }
            let key = self.string(path)?;
            self.colon()?;
            let value = self.value(depth + 1, &path.key(&key))?;
            members.push((key, value));
            if self.comma_or(b'}', "expected ',' or '}'")? {
                break;
            }
        }
        let note = |key: &str, value| self.note(&path.key(key), Some(value), Oddity::Doubled);
        Ok(Value::Object(without_doubles(members, note)))
    }

    fn array(&mut self, depth: usize, path: &Path<'_>) -> Result<Value, ParseError> {
        self.at += 1;
        self.space();
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1, &path.place(elements.len()))?);
            if self.comma_or(b']', "expected ',' or ']'")? {
                return Ok(Value::Array(elements));
            }
        }
    }

    /// Consumes the colon after a key, and space on both sides.
    fn colon(&mut self) -> Result<(), ParseError> {
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.error("expected ':' after a key"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Consumes what follows a member or element; true if that was the end of the container.
    fn comma_or(&mut self, end: u8, reason: &'static str) -> Result<bool, ParseError> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(false)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.error(reason)),
        }
    }

    fn word(&mut self) -> Result<Value, ParseError> {
        for (word, value) in
            [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))]
        {
            if self.bytes[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error("expected a JSON value"))
    }

    fn number(&mut self, path: &Path<'_>) -> Result<Value, ParseError> {
        let text = self.number_text()?;
        if let Some(number) = fitting_number(text) {
            return Ok(Value::Number(number));
        }
        let text = text.to_owned();
        self.note(path, None, Oddity::Number);
        Ok(Value::String(text))
    }

    fn number_text(&mut self) -> Result<&str, ParseError> {
        let Some(end) = number_end(self.bytes, self.at) else {
            return Err(self.error("expected a JSON number"));
        };
        let start = std::mem::replace(&mut self.at, end);
        Ok(&self.text[start..end])
    }

    fn string(&mut self, path: &Path<'_>) -> Result<String, ParseError> {
        let start = self.at;
        let escaped = self.skip_string()?;
        let inside = &self.text[start + 1..self.at - 1];
        if !escaped {
            return Ok(inside.to_owned());
        }
        let (text, whole) = unescape(inside);
        if !whole {
            let original = self.text[start..self.at].to_owned();
            self.note(path, Some(Value::String(original)), Oddity::Surrogate);
        }
        Ok(text)
    }

    /// Skips a string, checking its grammar; true if it contains escapes.
    fn skip_string(&mut self) -> Result<bool, ParseError> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain_prefix(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.skip_escape()?;
                }
                Some(_) => return Err(self.error("a control character in a string must be escaped")),
                None => return Err(self.error("a string has no end")),
            }
        }
    }

    fn skip_escape(&mut self) -> Result<(), ParseError> {
        let escape = &self.bytes[self.at + 1..];
        match escape.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') if escape.len() > 4 && escape[1..5].iter().all(u8::is_ascii_hexdigit) => self.at += 6,
            _ => return Err(self.error("not a JSON escape")),
        }
        Ok(())
    }

    /// Skips a container of any depth without using the stack, checking its grammar.
    fn skip_container(&mut self) -> Result<(), ParseError> {
        let mut open = Vec::new();
        loop {
            // Here a value begins.
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    self.space();
                    let end = bracket + 2;
                    if self.peek() != Some(end) {
                        open.push(end);
                        self.skip_key(end)?;
                        continue;
                    }
                    self.at += 1;
                }
                Some(b'"') => {
                    self.skip_string()?;
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number_text()?;
                }
                _ => {
                    self.word()?;
                }
            }
            // A value has ended here.
            loop {
                let Some(&end) = open.last() else { return Ok(()) };
                if !self.comma_or(end, "expected ',' or the end of a container")? {
                    self.skip_key(end)?;
                    break;
                }
                open.pop();
            }
        }
    }

    /// Skips the key of the next member, if the container that ends with `end` is an object.
    fn skip_key(&mut self, end: u8) -> Result<(), ParseError> {
        if end != b'}' {
            return Ok(());
        }
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key in double quotes"));
        }
        self.skip_string()?;
        self.colon()
    }
}

/// The number of bytes of a string before the next quote, escape or control character.
fn plain_prefix(bytes: &[u8]) -> usize {
    let ends = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    let mut at = 0;
    while let Some(block) = bytes[at..].first_chunk::<16>() {
        let mut hits = [0; 16];
        for (hit, &byte) in hits.iter_mut().zip(block) {
            *hit = ends(byte);
        }
        if u128::from_ne_bytes(hits) != 0 {
            break;
        }
        at += 16;
    }
    bytes[at..].iter().position(|&byte| ends(byte) != 0).map_or(bytes.len(), |more| at + more)
}

/// Where the JSON number that starts at `at` ends.
pub(crate) fn number_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    let whole = at;
    at = digits(at);
    if at == whole || (bytes[whole] == b'0' && at > whole + 1) {
        return None;
    }
    if bytes.get(at) == Some(&b'.') {
        let fraction = at + 1;
        at = digits(fraction);
        if at == fraction {
            return None;
        }
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = at + 1 + sign;
        at = digits(exponent);
        if at == exponent {
            return None;
        }
    }
    Some(at)
}

/// The number with this JSON text, unless it is one that most readers cannot hold.
fn fitting_number(text: &str) -> Option<Number> {
    if text.len() > NUMBER_BYTES_MAX {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return match text.parse::<i64>() {
            // Minus zero is distinct from zero.
            Ok(0) if text.len() > 1 => Some(Number::Text(text.into())),
            Ok(number) => Some(Number::I64(number)),
            Err(_) => text.parse().ok().map(Number::U64),
        };
    }
    let infinite = text.contains(['e', 'E']) && !text.parse::<f64>().is_ok_and(f64::is_finite);
    (!infinite).then(|| Number::Text(text.into()))
}

/// Resolves escapes inside a string whose grammar was checked. False if half a surrogate pair was replaced.
pub(crate) fn unescape(mut inside: &str) -> (String, bool) {
    let mut text = String::with_capacity(inside.len());
    let mut whole = true;
    while let Some(place) = memchr::memchr(b'\\', inside.as_bytes()) {
        text.push_str(&inside[..place]);
        let escape = &inside[place + 1..];
        let mut used = 1;
        match escape.as_bytes().first() {
            Some(b'b') => text.push('\u{8}'),
            Some(b'f') => text.push('\u{c}'),
            Some(b'n') => text.push('\n'),
            Some(b'r') => text.push('\r'),
            Some(b't') => text.push('\t'),
            Some(b'u') => {
                let (character, length) = unicode_escape(escape);
                whole &= character.is_some();
                text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
                used = length;
            }
            other => text.push(other.map_or('\\', |&byte| char::from(byte))),
        }
        inside = escape.get(used..).unwrap_or_default();
    }
    text.push_str(inside);
    (text, whole)
}

/// The character of an escape that starts at its `u`, and how many bytes that takes.
pub(crate) fn unicode_escape(escape: &str) -> (Option<char>, usize) {
    let unit = |from: usize| escape.get(from..from + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let Some(first) = unit(1) else { return (None, escape.len()) };
    if (0xD800..0xDC00).contains(&first)
        && escape.get(5..7) == Some("\\u")
        && let Some(second @ 0xDC00..0xE000) = unit(7)
    {
        let point = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return (char::from_u32(point), 11);
    }
    (char::from_u32(first), 5)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
