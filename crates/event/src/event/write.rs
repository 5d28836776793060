//! JSON text from values, on the hot path: strings are copied in blocks, numbers without `fmt`.
//!
//! What must hold: the output is always one line of valid JSON, whatever stands in the value.

use std::fmt;

use super::out::{HEX, Mark, Out, Piece, piece};
use super::value::{Number, Object, Value};

/// Containers below this level are written as a string that holds their JSON text, so that no reader and
/// no stack is overrun. Values that were parsed stay far above it.
pub(crate) const WRITE_DEPTH_MAX: usize = 96;

pub(crate) fn write_value<'a>(value: &Value, out: Out<'a>) -> Out<'a> {
    write_value_at(value, 1, out)
}

pub(crate) fn write_object<'a>(object: &Object, out: Out<'a>) -> Out<'a> {
    write_object_at(object, 1, out)
}

// A frame of this is on the stack for each level of the value, so what takes room stands in functions of its own.
fn write_value_at<'a>(value: &Value, depth: usize, out: Out<'a>) -> Out<'a> {
    match value {
        Value::Null => write_word(piece!("null"), out),
        Value::Bool(true) => write_word(piece!("true"), out),
        Value::Bool(false) => write_word(piece!("false"), out),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(_) | Value::Object(_) if depth > WRITE_DEPTH_MAX => write_as_text(value, out),
        Value::Array(elements) => write_array_at(elements, depth, out),
        Value::Object(object) => write_object_at(object, depth, out),
    }
}

fn write_word<'a>(word: &Piece, out: Out<'a>) -> Out<'a> {
    out.piece(word)
}

fn write_array_at<'a>(elements: &[Value], depth: usize, mut out: Out<'a>) -> Out<'a> {
    let start = out.mark();
    for element in elements {
        out = write_value_at(element, depth + 1, write_word(piece!(","), out));
    }
    end_list(start, out)
}

fn write_object_at<'a>(object: &Object, depth: usize, out: Out<'a>) -> Out<'a> {
    let start = out.mark();
    end_object(start, write_members_at(object, depth, out))
}

/// Writes the members of an object with a comma before each.
pub(crate) fn write_members<'a>(object: &Object, out: Out<'a>) -> Out<'a> {
    write_members_at(object, 1, out)
}

fn write_members_at<'a>(object: &Object, depth: usize, mut out: Out<'a>) -> Out<'a> {
    for (key, value) in &object.0 {
        out = match value {
            Value::String(text) => write_member(key, text, out),
            value => write_value_at(value, depth + 1, write_key(key, out)),
        };
    }
    out
}

fn write_member<'a>(key: &str, text: &str, out: Out<'a>) -> Out<'a> {
    out.texts(piece!(",\""), key.as_bytes(), piece!("\":\""), text.as_bytes(), piece!("\""))
}

fn write_key<'a>(key: &str, out: Out<'a>) -> Out<'a> {
    out.text(piece!(",\""), key.as_bytes(), piece!("\":"))
}

/// Writes a list, each of its elements by `write`.
pub(crate) fn write_list<'a, T>(
    elements: &[T],
    mut out: Out<'a>,
    write: impl for<'b> Fn(&T, Out<'b>) -> Out<'b>,
) -> Out<'a> {
    let start = out.mark();
    for element in elements {
        out = write(element, out.piece(piece!(",")));
    }
    end_list(start, out)
}

/// Ends an object whose members were written from `start` with a comma before each: the first one becomes the brace.
pub(crate) fn end_object(start: Mark, out: Out<'_>) -> Out<'_> {
    let out = if out.mark() == start { out.piece(piece!("{")) } else { out.replace(start, b'{') };
    out.piece(piece!("}"))
}

/// The same for the elements of a list.
fn end_list(start: Mark, out: Out<'_>) -> Out<'_> {
    let out = if out.mark() == start { out.piece(piece!("[")) } else { out.replace(start, b'[') };
    out.piece(piece!("]"))
}

/// Writes a container as a string that holds its JSON text.
#[cold]
fn write_as_text<'a>(value: &Value, out: Out<'a>) -> Out<'a> {
    let text = Out::collect(|text| write_value_at(value, 1, text));
    out.text(piece!("\""), &text, piece!("\""))
}

pub(crate) fn write_number<'a>(number: &Number, out: Out<'a>) -> Out<'a> {
    match number {
        Number::I64(number) => write_i64(*number, out),
        Number::U64(number) => write_u64(*number, out),
        // The shortest text that reads back as the same number; Rust's debug form of it is JSON.
        Number::F64(number) if number.is_finite() => write_escaped(format!("{number:?}").as_bytes(), out),
        Number::F64(number) => write_text(&number.to_string(), out),
        Number::Text(text) if is_number(text.as_bytes()) => write_escaped(text.as_bytes(), out),
        Number::Text(text) => write_text(text, out),
    }
}

/// Whether this is a JSON number. Most are whole ones without a sign, which are quickly told.
#[inline]
fn is_number(text: &[u8]) -> bool {
    let is_whole = text.first().is_some_and(|&digit| digit != b'0') && text.iter().all(u8::is_ascii_digit);
    is_whole || super::parse::is_number(text)
}

fn write_i64(number: i64, out: Out<'_>) -> Out<'_> {
    let out = if number < 0 { out.piece(piece!("-")) } else { out };
    write_u64(number.unsigned_abs(), out)
}

pub(crate) fn write_u64(number: u64, out: Out<'_>) -> Out<'_> {
    const EIGHT_DIGITS: u64 = 100_000_000;
    if number < EIGHT_DIGITS {
        let digits = eight_digits(number);
        // The first digit stands in the lowest byte.
        let zeros = (digits.trailing_zeros() / 8).min(7);
        let text = (digits | ZEROS) >> (8 * zeros);
        return out.start_of(&text.to_le_bytes(), 8 - zeros as usize);
    }
    let out = write_u64(number / EIGHT_DIGITS, out);
    let digits = eight_digits(number % EIGHT_DIGITS) | ZEROS;
    out.fixed(piece!(""), &digits.to_le_bytes(), piece!(""))
}

/// Eight times the digit zero.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The digits of a number below 100,000,000, one in each byte, the first in the lowest. All are made at once, and none
/// is stored before the others are there: what reads them together would wait for that.
#[inline(always)]
fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    // Multiplied by 10,486 and divided by 2^20 is divided by 100, below 10,000; by 103 and 2^10 is by 10, below 100.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007F_0000_007F;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000F_000F_000F_000F;
    tens | ((twos - tens * 10) << 8)
}

/// Writes `text` as a JSON string with its quotes.
#[inline]
pub(crate) fn write_text<'a>(text: &str, out: Out<'a>) -> Out<'a> {
    out.text(piece!("\""), text.as_bytes(), piece!("\""))
}

/// Writes the inside of a JSON string. `text` is UTF-8.
#[inline]
pub(crate) fn write_escaped<'a>(text: &[u8], out: Out<'a>) -> Out<'a> {
    out.text(piece!(""), text, piece!(""))
}

/// How many bytes of output one character becomes.
pub(crate) fn escaped_width(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => 6,
        _ => character.len_utf8(),
    }
}

/// `bytes` in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xF]).map(|half| HEX[usize::from(half)] as char).collect()
}

impl Value {
    /// The value as compact JSON.
    pub fn to_json(&self) -> Vec<u8> {
        Out::collect(|out| write_value(self, out))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_json()))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let out = Out::collect(|out| write_number(self, out));
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let out = Out::collect(|out| write_object(self, out));
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) {
        let out = Out::collect(|out| write_text(text, out));
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        assert!(out.iter().all(|&byte| byte >= 0x20), "{text:?}");
        assert!(!String::from_utf8(out.clone()).unwrap().contains(['\u{2028}', '\u{2029}']));
        assert_eq!(out.len(), 2 + text.chars().map(escaped_width).sum::<usize>(), "{text:?}");
    }

    #[test]
    fn every_character_at_every_place_of_a_block() {
        for character in (0..0x80).map(char::from).chain(['\u{2028}', '\u{2029}', '\u{2014}', 'é', '😀']) {
            for before in 0..34 {
                for after in [0, 1, 3, 15, 16, 17] {
                    check(&format!("{}{character}{}", "a".repeat(before), "z".repeat(after)));
                }
            }
        }
    }

    #[test]
    fn numbers_as_rust_writes_them() {
        for number in [0, 1, 9, 10, 99, 100, 101, 12_345, i64::MAX, i64::MIN, -1] {
            assert_eq!(Number::I64(number).to_string(), number.to_string());
        }
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let near = powers.flat_map(|power| [power - 1, power, power + 1, power / 3 * 5]);
        for number in near.chain((0..200_000_000).step_by(997)) {
            assert_eq!(Number::U64(number).to_string(), number.to_string());
        }
        assert_eq!(Number::U64(u64::MAX).to_string(), u64::MAX.to_string());
        assert_eq!(Number::F64(1e300).to_string(), "1e300");
        assert_eq!(Number::F64(f64::NAN).to_string(), "\"NaN\"");
        assert_eq!(Number::Text("1.50".into()).to_string(), "1.50");
        assert_eq!(Number::Text("1}".into()).to_string(), "\"1}\"");
    }

    #[test]
    fn a_value_deeper_than_any_reader_is_written_as_text() {
        let mut value = Value::Null;
        for _ in 0..1_000 {
            value = Value::Array(vec![value]);
        }
        assert!(serde_json::from_slice::<serde_json::Value>(&value.to_json()).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn any_text_reads_back(text in "\\PC*|.*") {
            check(&text);
        }
    }
}
