//! JSON text from values, on the hot path: strings are copied in blocks, numbers without `fmt`.
//!
//! What must hold: the output is always one line of valid JSON, whatever stands in the value.

use super::out::Out;
use super::simd::any_special;
use super::value::{Number, Object, Value};

/// Containers below this level are written as a string that holds their JSON text, so that no reader and
/// no stack is overrun. Values that were parsed stay far above it.
pub(crate) const WRITE_DEPTH_MAX: usize = 96;

const HEX: &[u8; 16] = b"0123456789abcdef";

const DIGIT_PAIRS: &[u8; 200] = b"\
    0001020304050607080910111213141516171819\
    2021222324252627282930313233343536373839\
    4041424344454647484950515253545556575859\
    6061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899";

pub(crate) fn write_value(value: &Value, out: &mut Out) {
    write_value_at(value, 1, out);
}

pub(crate) fn write_object(object: &Object, out: &mut Out) {
    write_object_at(object, 1, out);
}

fn write_value_at(value: &Value, depth: usize, out: &mut Out) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(_) | Value::Object(_) if depth > WRITE_DEPTH_MAX => write_as_text(value, out),
        Value::Array(elements) => write_array_at(elements, depth, out),
        Value::Object(object) => write_object_at(object, depth, out),
    }
}

fn write_array_at(elements: &[Value], depth: usize, out: &mut Out) {
    out.push(b'[');
    for (place, element) in elements.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_value_at(element, depth + 1, out);
    }
    out.push(b']');
}

fn write_object_at(object: &Object, depth: usize, out: &mut Out) {
    out.push(b'{');
    for (place, (key, value)) in object.0.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_key(key, out);
        write_value_at(value, depth + 1, out);
    }
    out.push(b'}');
}

/// Writes a container as a string that holds its JSON text.
#[cold]
fn write_as_text(value: &Value, out: &mut Out) {
    let text = Out::collect(|text| write_value_at(value, 1, text));
    out.push(b'"');
    write_escaped(&text, out);
    out.push(b'"');
}

pub(crate) fn write_number(number: &Number, out: &mut Out) {
    match number {
        Number::I64(number) => write_i64(*number, out),
        Number::U64(number) => write_u64(*number, out),
        // The shortest text that reads back as the same number; Rust's debug form of it is JSON.
        Number::F64(number) if number.is_finite() => out.extend_from_slice(format!("{number:?}").as_bytes()),
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

pub(crate) fn write_i64(number: i64, out: &mut Out) {
    if number < 0 {
        out.push(b'-');
    }
    write_u64(number.unsigned_abs(), out);
}

pub(crate) fn write_u64(number: u64, out: &mut Out) {
    let mut text = [0; 20];
    let start = put_u64(number, &mut text);
    write_escaped(&text[start..], out);
}

/// Writes `number` in decimal at the end of `text` and returns where it starts.
#[inline]
pub(crate) fn put_u64(mut number: u64, text: &mut [u8; 20]) -> usize {
    let mut start = text.len();
    let mut pairs = text.as_chunks_mut::<2>().0.iter_mut().rev();
    for pair in &mut pairs {
        let at = (number % 100) as usize * 2;
        pair.copy_from_slice(&DIGIT_PAIRS[at..at + 2]);
        start -= 2;
        number /= 100;
        if number == 0 {
            // One digit alone has a zero before it.
            return start + usize::from(at < 20);
        }
    }
    start
}

/// Writes `text` as a JSON string with its quotes.
#[inline]
pub(crate) fn write_text(text: &str, out: &mut Out) {
    out.text_between(b"\"", text.as_bytes(), b"\"");
}

/// Writes a key with its quotes and the colon.
#[inline]
pub(crate) fn write_key(key: &str, out: &mut Out) {
    out.text_between(b"\"", key.as_bytes(), b"\":");
}

/// Writes the inside of a JSON string. `text` is UTF-8.
#[inline]
pub(crate) fn write_escaped(text: &[u8], out: &mut Out) {
    out.text_between(b"", text, b"");
}

/// Copies `text` into `room`, which is as long, and says whether it may stand there as it is. If not, the room holds
/// anything.
///
/// The last move overlaps the one before it, so that every move has a fixed size.
#[inline]
pub(super) fn copy_clean(text: &[u8], room: &mut [u8]) -> bool {
    let (Some(last), Some(last_room)) = (text.last_chunk::<16>(), room.last_chunk_mut::<16>()) else {
        return copy_clean_short(text, room);
    };
    if any_special(last) {
        return false;
    }
    *last_room = *last;
    for (block, block_room) in text.as_chunks::<16>().0.iter().zip(room.as_chunks_mut::<16>().0) {
        if any_special(block) {
            return false;
        }
        *block_room = *block;
    }
    true
}

/// The same for less than 16 bytes.
#[inline(always)]
fn copy_clean_short(text: &[u8], room: &mut [u8]) -> bool {
    let len = text.len();
    let mut block = [b' '; 16];
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        room[..8].copy_from_slice(first);
        room[len - 8..].copy_from_slice(last);
        block[..8].copy_from_slice(first);
        block[8..].copy_from_slice(last);
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        room[..4].copy_from_slice(first);
        room[len - 4..].copy_from_slice(last);
        block[..4].copy_from_slice(first);
        block[4..8].copy_from_slice(last);
    } else if let (Some(first), Some(last)) = (text.first(), text.last()) {
        // One to three bytes: the one in the middle may be one of the others.
        let middle = text[len / 2];
        room[0] = *first;
        room[len / 2] = middle;
        room[len - 1] = *last;
        block[..3].copy_from_slice(&[*first, middle, *last]);
    }
    !any_special(&block)
}

#[cold]
pub(super) fn write_escaped_slowly(text: &[u8], out: &mut Out) {
    let mut at = 0;
    while at < text.len() {
        match text[at..].first_chunk::<16>() {
            Some(block) if !any_special(block) => {
                out.extend_from_slice(block);
                at += block.len();
            }
            _ => {
                let block_end = text.len().min(at + 16);
                while at < block_end {
                    at += write_one(&text[at..], out);
                }
            }
        }
    }
}

/// Writes the first byte of `text`, or the whole of a line separator, and returns how many bytes that was.
#[inline]
fn write_one(text: &[u8], out: &mut Out) -> usize {
    let byte = text[0];
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0C => out.extend_from_slice(b"\\f"),
        0..0x20 => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 0xF)]);
        }
        0xE2 if text.starts_with(&[0xE2, 0x80, 0xA8]) => {
            out.extend_from_slice(b"\\u2028");
            return 3;
        }
        0xE2 if text.starts_with(&[0xE2, 0x80, 0xA9]) => {
            out.extend_from_slice(b"\\u2029");
            return 3;
        }
        _ => out.push(byte),
    }
    1
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
