//! Where JSON text is written: after the end of a vector, through a pointer.
//!
//! Every function that writes takes an [`Out`] and returns it, so that the write position stays in a register from the
//! first field of an event to the last; in memory, each piece would wait for the one before.
//!
//! This module uses `unsafe`. It is sound because `at` points into the vector's allocation or to its end, and
//! everything below it was written. A piece is written only if [`Out::has_room`] saw that it fits with [`SLACK`] bytes
//! more, so constant pieces are stored as whole blocks, beyond the end of what counts.
#![allow(unsafe_code)]

use super::simd::{copy_clean, is_special};

pub(super) const HEX: &[u8; 16] = b"0123456789abcdef";

/// The size of the block in which a piece is stored.
const PIECE_BYTES_MAX: usize = 32;
/// How much may be written beyond texts: three pieces.
const SLACK: usize = 3 * PIECE_BYTES_MAX;
/// How much room is made at a time.
const ROOM: usize = 1_024;

/// A constant piece of JSON.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    block: [u8; PIECE_BYTES_MAX],
    len: usize,
}

impl Piece {
    /// For use in constants; a piece of over 32 bytes does not compile there.
    pub(crate) const fn new(json: &str) -> Self {
        let json = json.as_bytes();
        let (mut block, mut at) = ([0; PIECE_BYTES_MAX], 0);
        while at < json.len() {
            block[at] = json[at];
            at += 1;
        }
        Piece { block, len: at }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.block[..self.len]
    }
}

/// A [`Piece`] built at compile time.
macro_rules! piece {
    ($json:expr) => {
        const { &$crate::event::Piece::new($json) }
    };
}
pub(crate) use piece;

/// A position in what was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(usize);

/// Text being appended to a vector.
pub(crate) struct Out<'a> {
    /// Where the next byte goes.
    at: *mut u8,
    room: &'a mut Room,
}

struct Room {
    /// Its length is from an earlier moment; `at` is what counts.
    bytes: Vec<u8>,
    /// The end of the allocation less [`SLACK`].
    end: *mut u8,
}

impl<'a> Out<'a> {
    /// Appends to `bytes` what `write` writes, and returns its other result.
    pub(crate) fn append<T>(bytes: &mut Vec<u8>, write: impl FnOnce(Out<'_>) -> (Out<'_>, T)) -> T {
        let mut room = Room { bytes: std::mem::take(bytes), end: std::ptr::null_mut() };
        let at = room.open();
        let (Out { at, .. }, result) = write(Out { at, room: &mut room });
        room.settle(at);
        *bytes = room.bytes;
        result
    }

    /// What `write` writes, by itself.
    pub(crate) fn collect(write: impl FnOnce(Out<'_>) -> Out<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        Out::append(&mut bytes, |out| (write(out), ()));
        bytes
    }

    /// This place.
    #[inline(always)]
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.at as usize - self.room.bytes.as_ptr() as usize)
    }

    /// How many bytes were written since.
    pub(crate) fn bytes_since(&self, Mark(place): Mark) -> usize {
        self.mark().0.saturating_sub(place)
    }

    /// Discards what was written since.
    pub(crate) fn back_to(self, Mark(len): Mark) -> Self {
        assert!(len <= self.mark().0);
        // SAFETY: below `at`, and so in the allocation and written.
        Out { at: unsafe { self.room.bytes.as_mut_ptr().add(len) }, ..self }
    }

    /// Replaces the byte that was written at a place.
    #[inline(always)]
    pub(crate) fn replace(self, Mark(place): Mark, byte: u8) -> Self {
        assert!(place < self.mark().0);
        // SAFETY: below `at`, and so in the allocation.
        unsafe { self.room.bytes.as_mut_ptr().add(place).write(byte) };
        self
    }

    /// Appends a constant piece.
    #[inline(always)]
    pub(crate) fn piece(self, piece: &Piece) -> Self {
        if !self.has_room(0) {
            return self.write_slowly(piece, b"", piece!(""));
        }
        // SAFETY: there is room for three.
        unsafe { self.put(piece) }
    }

    /// Appends `before`, then `text`, which is UTF-8, as the inside of a JSON string, then `after`.
    #[inline(always)]
    pub(crate) fn text(self, before: &Piece, text: &[u8], after: &Piece) -> Self {
        if !self.has_room(text.len()) {
            return self.write_slowly(before, text, after);
        }
        // SAFETY: there is room for the text and three pieces more.
        unsafe {
            let out = self.put(before);
            if !copy_clean(text, out.at) {
                return out.write_slowly(piece!(""), text, after);
            }
            out.on(text.len()).put(after)
        }
    }

    /// The same with two texts.
    #[inline(always)]
    pub(crate) fn texts(
        self,
        before: &Piece,
        one: &[u8],
        between: &Piece,
        other: &[u8],
        after: &Piece,
    ) -> Self {
        if !self.has_room(one.len() + other.len()) {
            return self.write_slowly(before, one, between).write_slowly(piece!(""), other, after);
        }
        // SAFETY: there is room for both texts and three pieces more.
        unsafe {
            let out = self.put(before);
            if !copy_clean(one, out.at) {
                return out.write_slowly(piece!(""), one, between).write_slowly(piece!(""), other, after);
            }
            let out = out.on(one.len()).put(between);
            if !copy_clean(other, out.at) {
                return out.write_slowly(piece!(""), other, after);
            }
            out.on(other.len()).put(after)
        }
    }

    /// Appends `before`, bytes that need no escaping in a string, and `after`.
    #[inline(always)]
    pub(crate) fn fixed<const N: usize>(self, before: &Piece, bytes: &[u8; N], after: &Piece) -> Self {
        if !self.has_room(N) {
            return self.write_slowly(before, bytes, after);
        }
        // SAFETY: there is room for the bytes and three pieces more.
        unsafe {
            let out = self.put(before);
            out.at.cast::<[u8; N]>().write(*bytes);
            out.on(N).put(after)
        }
    }

    /// Appends the first `len` bytes, which need no escaping.
    #[inline(always)]
    pub(crate) fn start_of<const N: usize>(self, bytes: &[u8; N], len: usize) -> Self {
        assert!(len <= N);
        if !self.has_room(N) {
            return self.write_slowly(piece!(""), &bytes[..len], piece!(""));
        }
        // SAFETY: there is room for all of them.
        unsafe {
            self.at.cast::<[u8; N]>().write(*bytes);
            self.on(len)
        }
    }

    /// Whether `len` bytes and [`SLACK`] more may be written.
    #[inline(always)]
    fn has_room(&self, len: usize) -> bool {
        // Lengths are below half of the address space.
        self.at as usize + len <= self.room.end as usize
    }

    /// # Safety
    /// Its block fits.
    #[inline(always)]
    unsafe fn put(self, piece: &Piece) -> Self {
        let (half, _) = piece.block.split_at(PIECE_BYTES_MAX / 2);
        // SAFETY: by the caller; a piece is no longer than its block.
        unsafe {
            if piece.len > half.len() {
                self.at.cast::<[u8; PIECE_BYTES_MAX]>().write(piece.block);
            } else {
                self.at.copy_from_nonoverlapping(half.as_ptr(), half.len());
            }
            self.on(piece.len)
        }
    }

    /// # Safety
    /// The next `len` bytes were written.
    #[inline(always)]
    unsafe fn on(self, len: usize) -> Self {
        // SAFETY: by the caller, in the allocation.
        Out { at: unsafe { self.at.add(len) }, ..self }
    }

    /// The path if there is no room, or if something in the text must be escaped.
    #[cold]
    #[inline(never)]
    fn write_slowly(self, before: &Piece, text: &[u8], after: &Piece) -> Self {
        self.room.settle(self.at);
        self.room.bytes.extend_from_slice(before.as_bytes());
        escape_into(text, &mut self.room.bytes);
        self.room.bytes.extend_from_slice(after.as_bytes());
        Out { at: self.room.open(), room: self.room }
    }
}

impl Room {
    /// Sets the vector's length to what counts.
    fn settle(&mut self, at: *mut u8) {
        let len = at as usize - self.bytes.as_ptr() as usize;
        debug_assert!(len <= self.bytes.capacity());
        // SAFETY: everything below `at` was written, and lies in the allocation.
        unsafe { self.bytes.set_len(len) };
    }

    /// Makes room after the vector's length and returns where it begins.
    fn open(&mut self) -> *mut u8 {
        self.bytes.reserve(SLACK + ROOM);
        let free = self.bytes.spare_capacity_mut();
        let at: *mut u8 = free.as_mut_ptr().cast();
        // SAFETY: in the spare capacity, which is at least as long as was reserved.
        self.end = unsafe { at.add(free.len() - SLACK) };
        at
    }
}

/// Appends the inside of a JSON string for `text`, which is UTF-8.
pub(crate) fn escape_into(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(clean) = text.iter().position(|&byte| is_special(byte)) {
        out.extend_from_slice(&text[..clean]);
        text = &text[clean..];
        text = &text[escape_one(text, out)..];
    }
    out.extend_from_slice(text);
}

/// Appends the first byte of `text`, or a whole line separator, and returns how many bytes that was.
#[inline]
fn escape_one(text: &[u8], out: &mut Vec<u8>) -> usize {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The inside of a JSON string, character by character.
    fn escaped(text: &str) -> String {
        let quoted = serde_json::to_string(text).unwrap();
        let inside = &quoted[1..quoted.len() - 1];
        inside.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
    }

    proptest! {
        #[test]
        fn texts_come_out_in_order_and_escaped_whatever_room_there_was(
            texts in proptest::collection::vec("[a-z\\PC\u{0}-\u{1f}\"\\\\\u{2028}]{0,70}|[a-z ]{0,3000}", 0..40),
            before in "[a-z]{0,9}",
            room in 0..3000_usize,
        ) {
            let mut bytes = Vec::with_capacity(room);
            bytes.extend_from_slice(before.as_bytes());
            let mut expected = before;
            let count = Out::append(&mut bytes, |mut out| {
                let mut count = 0;
                for pair in texts.chunks(2) {
                    let start = out.mark();
                    out = match pair {
                        [one, other] => out.texts(
                            piece!(",<"), one.as_bytes(), piece!("><"), other.as_bytes(), piece!(">"),
                        ),
                        _ => out.text(piece!(",<"), pair[0].as_bytes(), piece!(">")),
                    };
                    out = out.replace(start, b'[').fixed(piece!("!"), b"fixed", piece!("")).piece(piece!("]"));
                    let end = out.mark();
                    out = out.piece(piece!("to be forgotten, this")).back_to(end).start_of(b"123456", 2);
                    expected.push_str("[<");
                    expected.push_str(&pair.iter().map(|text| escaped(text)).collect::<Vec<_>>().join("><"));
                    expected.push_str(">!fixed]12");
                    count += pair.len();
                }
                (out, count)
            });
            prop_assert_eq!(count, texts.len());
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }
}
