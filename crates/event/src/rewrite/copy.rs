//! The pieces of JSON text (strings, keys, numbers, words), each checked and copied in the line's form.
//!
//! All functions have `COPIES`: without it nothing is copied, and what is not in the line's form already is
//! refused; then the place in the output is always that in the text.

use super::block::{Block, block_at, clean_len, clean_len_after_quote, digits_len};
use super::names::{print_of_long, print_of_word, word_of};
use super::span::Span;
use crate::event::parse::{NUMBER_BYTES_MAX, number_end, unicode_escape};

/// A key that was copied.
pub(super) struct Key {
    /// Its inside in the text, which has no escapes.
    pub(super) inside: Span,
    /// Its bytes as a number, the first lowest; zero if it is longer than any known name, or empty.
    pub(super) word: u128,
    /// Equal for equal keys, and for hardly any others.
    pub(super) print: u64,
}

/// Where reading and writing go on.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) at: usize,
    pub(super) end: usize,
}

impl Places {
    /// The same number of bytes on, on both sides.
    #[inline(always)]
    pub(super) fn on(self, len: usize) -> Self {
        Places { at: self.at + len, end: self.end + len }
    }
}

#[inline(always)]
pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

#[inline(always)]
pub(super) fn copy_word<const COPIES: bool>(
    text: &[u8],
    places: Places,
    word: &[u8],
    out: &mut [u8],
) -> Option<Places> {
    if !text.get(places.at..)?.starts_with(word) {
        return None;
    }
    if COPIES {
        out.get_mut(places.end..places.end + word.len())?.copy_from_slice(word);
    }
    Some(places.on(word.len()))
}

/// Copies one byte of the line's own; without copying it is the one in the text, which was passed.
#[inline(always)]
pub(super) fn copy_byte<const COPIES: bool>(byte: u8, places: Places, out: &mut [u8]) -> Option<Places> {
    if COPIES {
        *out.get_mut(places.end)? = byte;
    }
    Some(places.on(1))
}

/// Copies the block and returns it.
#[inline(always)]
fn copy_block<const COPIES: bool>(text: &[u8], places: Places, out: &mut [u8]) -> Option<Block> {
    let block = block_at(text, places.at);
    if COPIES {
        *out.get_mut(places.end..)?.first_chunk_mut()? = block.to_le_bytes();
    }
    Some(block)
}

/// Copies a string with its quotes, from the opening one on. Tells whether it holds escapes.
#[inline(always)]
pub(super) fn copy_string<const COPIES: bool>(
    text: &[u8],
    places: Places,
    out: &mut [u8],
) -> Option<(Places, bool)> {
    let (clean, is_whole) = clean_len_after_quote(copy_block::<COPIES>(text, places, out)?);
    if is_whole {
        return Some((places.on(clean + 1), false));
    }
    copy_long_string::<COPIES>(text, places.on(clean), out)
}

#[inline(never)]
fn copy_long_string<const COPIES: bool>(
    text: &[u8],
    mut places: Places,
    out: &mut [u8],
) -> Option<(Places, bool)> {
    let mut escaped = false;
    loop {
        let (clean, is_whole) = clean_len(copy_block::<COPIES>(text, places, out)?);
        places = places.on(clean);
        if is_whole {
            return Some((places.on(1), escaped));
        }
        if clean == 16 {
            continue;
        }
        match *text.get(places.at)? {
            0xE2 if !is_separator(text, places.at) => places = places.on(1),
            0xE2 if COPIES => {
                let end = put_separator(text[places.at + 2], out, places.end)?;
                places = Places { at: places.at + 3, end };
            }
            b'\\' if COPIES => {
                escaped = true;
                let (at, end) = copy_escape(text, places.at, out, places.end)?;
                places = Places { at, end };
            }
            _ => return None,
        }
    }
}

fn is_separator(text: &[u8], at: usize) -> bool {
    matches!(text.get(at..at + 3), Some([0xE2, 0x80, 0xA8 | 0xA9]))
}

/// Writes U+2028 or U+2029, told by the last byte of it, as the line has it.
#[cold]
fn put_separator(last: u8, out: &mut [u8], end: usize) -> Option<usize> {
    let escape = if last == 0xA8 { b"\\u2028" } else { b"\\u2029" };
    out.get_mut(end..end + 6)?.copy_from_slice(escape);
    Some(end + 6)
}

/// Writes an escape as the line has it: the character itself, or its shortest escape.
fn copy_escape(text: &[u8], at: usize, out: &mut [u8], end: usize) -> Option<(usize, usize)> {
    let letter = *text.get(at + 1)?;
    match letter {
        b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => {
            out.get_mut(end..end + 2)?.copy_from_slice(&[b'\\', letter]);
            Some((at + 2, end + 2))
        }
        b'/' => {
            *out.get_mut(end)? = b'/';
            Some((at + 2, end + 1))
        }
        b'u' => copy_unicode_escape(text, at, out, end),
        _ => None,
    }
}

fn copy_unicode_escape(text: &[u8], at: usize, out: &mut [u8], end: usize) -> Option<(usize, usize)> {
    let escape = text.get(at + 1..)?;
    let escape = escape.get(..11).unwrap_or(escape);
    // Cut to ASCII, so that it is text whatever follows.
    let ascii = escape.iter().take_while(|byte| byte.is_ascii()).count();
    let escape = std::str::from_utf8(&escape[..ascii]).ok()?;
    if !escape.get(1..5)?.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let (character, length) = unicode_escape(escape);
    let end = put_character(character?, out, end)?;
    Some((at + 1 + length, end))
}

fn put_character(character: char, out: &mut [u8], end: usize) -> Option<usize> {
    let mut utf8 = [0; 4];
    let text = character.encode_utf8(&mut utf8).as_bytes();
    let mut room = [0; 16];
    let length = match *text {
        [0xE2, 0x80, last @ (0xA8 | 0xA9)] => return put_separator(last, out, end),
        [byte] => put_ascii(byte, &mut room),
        _ => {
            room[..text.len()].copy_from_slice(text);
            text.len()
        }
    };
    out.get_mut(end..end + length)?.copy_from_slice(&room[..length]);
    Some(end + length)
}

/// Writes one ASCII character of a string; returns how many bytes that takes.
fn put_ascii(byte: u8, room: &mut [u8; 16]) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        0..0x20 => {
            room[..4].copy_from_slice(b"\\u00");
            (room[4], room[5]) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]);
            return 6;
        }
        _ => {
            room[0] = byte;
            return 1;
        }
    };
    room[..2].copy_from_slice(&[b'\\', letter]);
    2
}

/// Copies a key from its opening quote, or the space before that, to its colon.
#[inline(always)]
pub(super) fn copy_key<const COPIES: bool>(
    text: &[u8],
    mut places: Places,
    out: &mut [u8],
) -> Option<(Key, Places)> {
    let mut block = copy_block::<COPIES>(text, places, out)?;
    if block as u8 != b'"' {
        if COPIES {
            places.at = skip_space(text, places.at);
            block = copy_block::<COPIES>(text, places, out)?;
        }
        if block as u8 != b'"' {
            return None;
        }
    }
    let (clean, is_whole) = clean_len_after_quote(block);
    let (key, mut after) = if is_whole {
        let word = word_of(block >> 8, clean - 1);
        let inside = Span::new(places.at + 1, places.at + clean);
        (Key { inside, word, print: print_of_word(word) }, places.on(clean + 1))
    } else {
        copy_long_key::<COPIES>(text, places, clean, out)?
    };
    if text.get(after.at) != Some(&b':') {
        if COPIES {
            after.at = skip_space(text, after.at);
        }
        if text.get(after.at) != Some(&b':') {
            return None;
        }
    }
    Some((key, copy_byte::<COPIES>(b':', after, out)?))
}

#[inline(never)]
fn copy_long_key<const COPIES: bool>(
    text: &[u8],
    from: Places,
    clean: usize,
    out: &mut [u8],
) -> Option<(Key, Places)> {
    let (after, escaped) = copy_long_string::<COPIES>(text, from.on(clean), out)?;
    // An escape, or a line separator, which is written as one.
    if escaped || after.end - from.end != after.at - from.at {
        return None;
    }
    let inside = Span::new(from.at + 1, after.at - 1);
    let print = print_of_long(text.get(inside.range())?);
    Some((Key { inside, word: 0, print }, after))
}

/// Copies a number, if it can stay as it is. A whole one within a block always can.
#[inline(always)]
pub(super) fn copy_number<const COPIES: bool>(text: &str, places: Places, out: &mut [u8]) -> Option<Places> {
    let block = copy_block::<COPIES>(text.as_bytes(), places, out)?;
    let is_negative = block as u8 == b'-';
    let number = if is_negative { block >> 8 } else { block };
    let digits = digits_len(number);
    let len = digits + usize::from(is_negative);
    let leading_zero = digits > 1 && number as u8 == b'0';
    let simple =
        len < 16 && digits > 0 && !leading_zero && !matches!((block >> (8 * len)) as u8, b'.' | b'e' | b'E');
    if simple { Some(places.on(len)) } else { copy_odd_number::<COPIES>(text, places, out) }
}

#[inline(never)]
fn copy_odd_number<const COPIES: bool>(text: &str, places: Places, out: &mut [u8]) -> Option<Places> {
    let after = number_end(text.as_bytes(), places.at)?;
    let number = text.get(places.at..after).filter(|number| fits(number))?;
    copy_word::<COPIES>(text.as_bytes(), places, number.as_bytes(), out)
}

/// Whether the number stays one, as in `fitting_number` of the slow way.
fn fits(number: &str) -> bool {
    if number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    }
    let has_exponent = number.contains(['e', 'E']);
    number.len() <= NUMBER_BYTES_MAX && (!has_exponent || number.parse::<f64>().is_ok_and(f64::is_finite))
}
