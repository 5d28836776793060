//! Where JSON text is written: a vector whose end is kept apart from its length, so that small pieces are
//! copied by moves of fixed size instead of calls.

use super::write::{copy_clean, write_escaped_slowly};

/// Room that is made at a time. Zeroing it costs less than the calls it saves.
const ROOM: usize = 1_024;

/// Text being appended to a vector.
pub(crate) struct Out {
    /// Everything from `at` on is room, and zero or overwritten later.
    bytes: Vec<u8>,
    at: usize,
}

impl Out {
    /// Appends to `bytes` what `write` writes.
    pub(crate) fn append<T>(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Out) -> T) -> T {
        let at = bytes.len();
        let mut out = Out { bytes: std::mem::take(bytes), at };
        out.grow(0);
        let result = write(&mut out);
        out.bytes.truncate(out.at);
        *bytes = out.bytes;
        result
    }

    /// What `write` writes, alone.
    pub(crate) fn collect(write: impl FnOnce(&mut Out)) -> Vec<u8> {
        let mut bytes = Vec::new();
        Out::append(&mut bytes, write);
        bytes
    }

    /// The bytes written so far, and those that were there before.
    pub(crate) fn len(&self) -> usize {
        self.at
    }

    /// Forgets everything after the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.at = self.at.min(len);
    }

    /// Replaces a byte that was written.
    pub(crate) fn replace(&mut self, at: usize, byte: u8) {
        debug_assert!(at < self.at);
        self.bytes[at] = byte;
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, byte: u8) {
        self.extend_from_slice(&[byte]);
    }

    /// Appends bytes; a constant piece becomes a few moves.
    #[inline(always)]
    pub(crate) fn extend_from_slice(&mut self, piece: &[u8]) {
        if self.bytes.len() - self.at < piece.len() {
            self.grow(piece.len());
        }
        self.bytes[self.at..self.at + piece.len()].copy_from_slice(piece);
        self.at += piece.len();
    }

    /// Appends `before`, then `text` as the inside of a JSON string, then `after`.
    #[inline(always)]
    pub(crate) fn text_between<const B: usize, const A: usize>(
        &mut self,
        before: &[u8; B],
        text: &[u8],
        after: &[u8; A],
    ) {
        let len = text.len();
        let all = B + len + A;
        if self.bytes.len() - self.at < all {
            self.grow(all);
        }
        let room = &mut self.bytes[self.at..self.at + all];
        room[..B].copy_from_slice(before);
        if copy_clean(text, &mut room[B..B + len]) {
            room[B + len..].copy_from_slice(after);
            self.at += all;
        } else {
            self.at += B;
            write_escaped_slowly(text, self);
            self.extend_from_slice(after);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, len: usize) {
        let room = (len + ROOM).max(self.at / 2);
        self.bytes.resize(self.at + room, 0);
    }
}
