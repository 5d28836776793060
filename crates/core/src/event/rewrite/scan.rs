//! One pass over JSON text: its grammar is checked while it is copied in the line's form (no white space,
//! escapes only where needed).
//!
//! `None` means everywhere: this is not for the fast way. It may be bad JSON, or good JSON that the slow
//! way treats specially: a key twice, half a surrogate pair, a number that must become text.

use std::ops::Range;

use super::block::{Block, block_at, clean_len, clean_len_after_quote, digits_len};
use super::names::{print_of_long, print_of_word, word, word_of};
use crate::event::parse::{DEPTH_MAX, NUMBER_BYTES_MAX, number_end, unicode_escape};
use crate::event::read::INVALID;

/// The most keys of all objects that are open at one point. Each new key is compared with those of its
/// object, so this bounds the work.
const OPEN_KEYS_MAX: usize = 512;

/// A part of the output. Half-wide, since many are kept; the texts are far shorter than this holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Span {
    #[inline(always)]
    pub(super) const fn new(from: usize, to: usize) -> Self {
        Span { from: from as u32, to: to as u32 }
    }

    #[inline(always)]
    pub(super) const fn range(self) -> Range<usize> {
        self.from as usize..self.to as usize
    }

    #[inline(always)]
    pub(super) const fn len(self) -> usize {
        (self.to - self.from) as usize
    }
}

/// The inside of a string in the text that is read. Its length counts escapes as they are written: never
/// less than what it stands for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text {
    pub(super) inside: Span,
    /// Whether it holds escapes.
    pub(super) escaped: bool,
}

/// A key that was copied.
pub(super) struct Key {
    /// Its inside, which has no escapes.
    pub(super) inside: Span,
    /// Its bytes as a number, the first lowest; zero if it is longer than any known name, or empty.
    pub(super) word: u128,
    /// Equal for equal keys, and for hardly any others.
    pub(super) print: u64,
}

/// A member of an object below `before` or `after`, as it stands in the output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// The inside of the key, which has no escapes.
    pub(super) key: Span,
    pub(super) value: Span,
    /// The place behind the members of the value.
    pub(super) next: u32,
}

/// A container that is open.
#[derive(Clone, Copy)]
struct Frame {
    /// The byte that closes it; zero if there is none.
    close: u8,
    keys: Keys,
    /// The place of the member whose value is read.
    member: usize,
}

/// The keys of one object, of which none may come twice.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    /// One bit for each key, by its print: a new bit is a new key.
    seen: u64,
    /// Where the prints of the object begin.
    from: usize,
}

/// What a thread keeps between events, so that nothing is allocated for one.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) members: Vec<Member>,
    pub(super) extras: Vec<Span>,
    frames: Vec<Frame>,
    prints: Vec<u64>,
}

impl Lists {
    pub(super) const fn new() -> Self {
        Lists { members: Vec::new(), extras: Vec::new(), frames: Vec::new(), prints: Vec::new() }
    }

    fn clear(&mut self) {
        self.members.clear();
        self.extras.clear();
        self.frames.clear();
        self.prints.clear();
    }

    pub(super) fn keys(&self) -> Keys {
        Keys { seen: 0, from: self.prints.len() }
    }

    /// Adds a key to those of its object; `None` if it is there already.
    #[inline(always)]
    pub(super) fn add(&mut self, keys: &mut Keys, print: u64) -> Option<()> {
        let bit = 1 << (print >> 58);
        if keys.seen & bit != 0 && self.prints.get(keys.from..)?.contains(&print) {
            return None;
        }
        keys.seen |= bit;
        if self.prints.len() == OPEN_KEYS_MAX {
            return None;
        }
        self.prints.push(print);
        Some(())
    }

    pub(super) fn end(&mut self, keys: Keys) {
        self.prints.truncate(keys.from);
    }
}

/// Reads `text` from `at` on and writes `out` from `end` on.
pub(super) struct Scan<'a, F> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) out: &'a mut [u8],
    pub(super) end: usize,
    pub(super) lists: &'a mut Lists,
    /// Whether members are noted, to find out what changed.
    pub(super) notes_members: bool,
    key_matches: F,
}

impl<'a, F: Fn(&str) -> bool> Scan<'a, F> {
    pub(super) fn new(text: &'a str, out: &'a mut [u8], lists: &'a mut Lists, key_matches: F) -> Self {
        lists.clear();
        Scan { text, at: 0, out, end: 0, lists, notes_members: false, key_matches }
    }

    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline(always)]
    pub(super) fn pass(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    #[inline(always)]
    pub(super) fn space(&mut self) {
        self.at = skip_space(self.text.as_bytes(), self.at);
    }

    #[inline(always)]
    pub(super) fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.out.get_mut(self.end..self.end + bytes.len())?.copy_from_slice(bytes);
        self.end += bytes.len();
        Some(())
    }

    /// Copies a string with its quotes, from its opening quote on.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Text> {
        let from = self.at + 1;
        let copied = copy_string(self.text.as_bytes(), self.at, self.out, self.end)?;
        (self.at, self.end) = (copied.at, copied.end);
        Some(Text { inside: Span::new(from, copied.at - 1), escaped: copied.escaped })
    }

    /// Copies a key and its colon, from the opening quote on. None of its characters may be escaped.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Option<Key> {
        let (key, at, end) = copy_key(self.text.as_bytes(), self.at, self.out, self.end)?;
        (self.at, self.end) = (skip_space(self.text.as_bytes(), at), end);
        Some(key)
    }

    /// Passes what follows a member or element; true if that was the end of the container.
    #[inline(always)]
    pub(super) fn comma_or(&mut self, close: u8) -> Option<bool> {
        self.space();
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' {
            return Some(false);
        }
        (byte == close).then_some(true)
    }

    pub(super) fn null(&mut self) -> Option<()> {
        self.at = pass_word(self.text.as_bytes(), self.at, b"null")?;
        Some(())
    }

    pub(super) fn number(&mut self) -> Option<()> {
        (self.at, self.end) = copy_number(self.text, self.at, self.out, self.end)?;
        Some(())
    }

    /// Whether a key that is none of the event's own is one to mask.
    #[inline(always)]
    pub(super) fn masks(&self, key: &Key) -> Option<bool> {
        Some((self.key_matches)(self.text.get(key.inside.range())?))
    }

    /// Copies any value. A container that is one is at level `depth`.
    ///
    /// A loop with its own stack, so that what is needed at each step stays in registers.
    pub(super) fn value(&mut self, depth: usize) -> Option<()> {
        const MARKS: u128 = word(INVALID.as_bytes());
        const OBJECT: u8 = b'}';
        let text = self.text.as_bytes();
        let out = &mut *self.out;
        let lists = &mut *self.lists;
        let (mut at, mut end) = (self.at, self.end);
        let mut open = Frame { close: 0, keys: lists.keys(), member: 0 };
        loop {
            // Here a value begins.
            let byte = *text.get(at)?;
            let mut has_ended = true;
            match byte {
                b'"' => {
                    let copied = copy_string(text, at, out, end)?;
                    (at, end) = (copied.at, copied.end);
                }
                b'-' | b'0'..=b'9' => (at, end) = copy_number(self.text, at, out, end)?,
                b'{' | b'[' => {
                    if depth + lists.frames.len() > DEPTH_MAX {
                        return None;
                    }
                    let close = byte + 2;
                    at = skip_space(text, at + 1);
                    if *text.get(at)? == close {
                        out.get_mut(end..end + 2)?.copy_from_slice(&[byte, close]);
                        (at, end) = (at + 1, end + 2);
                    } else {
                        *out.get_mut(end)? = byte;
                        end += 1;
                        lists.frames.push(open);
                        open = Frame { close, keys: lists.keys(), member: 0 };
                        has_ended = false;
                    }
                }
                b't' => (at, end) = copy_word(text, at, b"true", out, end)?,
                b'f' => (at, end) = copy_word(text, at, b"false", out, end)?,
                b'n' => (at, end) = copy_word(text, at, b"null", out, end)?,
                b' ' | b'\t' | b'\n' | b'\r' => {
                    at = skip_space(text, at + 1);
                    continue;
                }
                _ => return None,
            }
            // Here a value has ended, and perhaps those around it.
            while has_ended {
                if open.close == 0 {
                    (self.at, self.end) = (at, end);
                    return Some(());
                }
                if self.notes_members && open.close == OBJECT {
                    let next = lists.members.len() as u32;
                    let member = lists.members.get_mut(open.member)?;
                    (member.value.to, member.next) = (end as u32, next);
                }
                let mut byte = *text.get(at)?;
                if byte <= b' ' {
                    at = skip_space(text, at);
                    byte = *text.get(at)?;
                }
                *out.get_mut(end)? = byte;
                (at, end) = (at + 1, end + 1);
                if byte == b',' {
                    break;
                }
                if byte != open.close {
                    return None;
                }
                lists.end(open.keys);
                open = lists.frames.pop()?;
            }
            // Here a key comes, if it is an object that is open.
            if open.close != OBJECT {
                continue;
            }
            let from = end;
            let (key, after, to) = copy_key(text, at, out, end)?;
            (at, end) = (after, to);
            if key.word == MARKS || (self.key_matches)(self.text.get(key.inside.range())?) {
                return None;
            }
            lists.add(&mut open.keys, key.print)?;
            if self.notes_members {
                open.member = lists.members.len();
                let key = Span::new(from + 1, end - 2);
                lists.members.push(Member { key, value: Span::new(end, end), next: 0 });
            }
        }
    }
}

#[inline(always)]
fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

fn pass_word(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(word).then_some(at + word.len())
}

#[inline(always)]
fn copy_word(text: &[u8], at: usize, word: &[u8], out: &mut [u8], end: usize) -> Option<(usize, usize)> {
    let after = pass_word(text, at, word)?;
    out.get_mut(end..end + word.len())?.copy_from_slice(word);
    Some((after, end + word.len()))
}

/// Copies the block and returns it.
#[inline(always)]
fn copy_block(text: &[u8], at: usize, out: &mut [u8], end: usize) -> Option<Block> {
    let block = block_at(text, at);
    *out.get_mut(end..)?.first_chunk_mut()? = block.to_le_bytes();
    Some(block)
}

struct Copied {
    at: usize,
    end: usize,
    escaped: bool,
}

/// Copies a string with its quotes; `at` is that of the opening one.
#[inline(always)]
fn copy_string(text: &[u8], at: usize, out: &mut [u8], end: usize) -> Option<Copied> {
    let (clean, is_whole) = clean_len_after_quote(copy_block(text, at, out, end)?);
    if is_whole {
        return Some(Copied { at: at + clean + 1, end: end + clean + 1, escaped: false });
    }
    copy_long_string(text, at + clean, out, end + clean)
}

#[inline(never)]
fn copy_long_string(text: &[u8], mut at: usize, out: &mut [u8], mut end: usize) -> Option<Copied> {
    let mut escaped = false;
    loop {
        let (clean, is_whole) = clean_len(copy_block(text, at, out, end)?);
        (at, end) = (at + clean, end + clean);
        if is_whole {
            return Some(Copied { at: at + 1, end: end + 1, escaped });
        }
        if clean == 16 {
            continue;
        }
        match *text.get(at)? {
            b'\\' => {
                escaped = true;
                (at, end) = copy_escape(text, at, out, end)?;
            }
            0xE2 => {
                let length = if is_separator(text, at) { 3 } else { 1 };
                end = if length == 3 { put_separator(text[at + 2], out, end)? } else { end + 1 };
                at += length;
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
fn copy_key(text: &[u8], mut at: usize, out: &mut [u8], end: usize) -> Option<(Key, usize, usize)> {
    let mut block = copy_block(text, at, out, end)?;
    if block as u8 != b'"' {
        at = skip_space(text, at);
        block = copy_block(text, at, out, end)?;
        if block as u8 != b'"' {
            return None;
        }
    }
    let (clean, is_whole) = clean_len_after_quote(block);
    let (key, mut after, end) = if is_whole {
        let word = word_of(block >> 8, clean - 1);
        let inside = Span::new(at + 1, at + clean);
        (Key { inside, word, print: print_of_word(word) }, at + clean + 1, end + clean + 1)
    } else {
        copy_long_key(text, at, at + clean, out, end + clean)?
    };
    if text.get(after) != Some(&b':') {
        after = skip_space(text, after);
        if text.get(after) != Some(&b':') {
            return None;
        }
    }
    *out.get_mut(end)? = b':';
    Some((key, after + 1, end + 1))
}

#[inline(never)]
fn copy_long_key(
    text: &[u8],
    start: usize,
    at: usize,
    out: &mut [u8],
    end: usize,
) -> Option<(Key, usize, usize)> {
    let copied = copy_long_string(text, at, out, end)?;
    let inside = Span::new(start + 1, copied.at - 1);
    // An escape, or a line separator, which is written as one.
    if copied.escaped || copied.end - end != copied.at - at {
        return None;
    }
    let print = print_of_long(text.get(inside.range())?);
    Some((Key { inside, word: 0, print }, copied.at, copied.end))
}

/// Copies a number, if it can stay as it is. A whole one within a block always can.
#[inline(always)]
fn copy_number(text: &str, at: usize, out: &mut [u8], end: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let block = copy_block(bytes, at, out, end)?;
    let is_negative = block as u8 == b'-';
    let number = if is_negative { block >> 8 } else { block };
    let digits = digits_len(number);
    let len = digits + usize::from(is_negative);
    let leading_zero = digits > 1 && number as u8 == b'0';
    let simple =
        len < 16 && digits > 0 && !leading_zero && !matches!((block >> (8 * len)) as u8, b'.' | b'e' | b'E');
    if simple { Some((at + len, end + len)) } else { copy_odd_number(text, at, out, end) }
}

#[inline(never)]
fn copy_odd_number(text: &str, at: usize, out: &mut [u8], end: usize) -> Option<(usize, usize)> {
    let after = number_end(text.as_bytes(), at)?;
    let number = text.get(at..after).filter(|number| fits(number))?;
    out.get_mut(end..end + number.len())?.copy_from_slice(number.as_bytes());
    Some((after, end + number.len()))
}

/// Whether the number stays one, as in `fitting_number` of the slow way.
fn fits(number: &str) -> bool {
    if number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    }
    let has_exponent = number.contains(['e', 'E']);
    number.len() <= NUMBER_BYTES_MAX && (!has_exponent || number.parse::<f64>().is_ok_and(f64::is_finite))
}
