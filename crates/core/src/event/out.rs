//! Where JSON text is written: a vector whose end is kept apart from its length, so that small pieces are
//! copied by moves of fixed size instead of calls.

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

    /// Room for at least `len` bytes, to be followed by [`Out::advance`].
    #[inline(always)]
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() - self.at < len {
            self.grow(len);
        }
        &mut self.bytes[self.at..]
    }

    /// Counts `len` bytes that were put into the room as written.
    #[inline(always)]
    pub(crate) fn advance(&mut self, len: usize) {
        self.at += len;
        debug_assert!(self.at <= self.bytes.len());
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, len: usize) {
        let room = (len + ROOM).max(self.at / 2);
        self.bytes.resize(self.at + room, 0);
    }
}
