//! Frames of the handoff: what `record()` puts into the ring, drawn in `docs/format.md`.
//!
//! A frame is there whole or not at all: its checksum covers every byte of it. So a batch is one frame.

use trailseal_event::line::{self, FRONT_BYTES_MAX};

/// Bytes before a frame's payload.
pub(super) const FRAME_HEADER_LEN: usize = 32;
/// Frames begin at multiples of this.
pub(super) const ALIGNMENT: u64 = 8;
const KIND_LINES: u32 = 1;
const KIND_PADDING: u32 = 2;

/// What stands in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) payload_len: u32,
    pub(super) lines: u32,
    pub(super) first: u64,
    pub(super) generation: u64,
    kind: u32,
    crc: u32,
}

impl FrameHeader {
    /// A frame of lines, without its checksum.
    pub(super) fn of_lines(payload_len: u32, lines: u32, first: u64, generation: u64) -> Self {
        FrameHeader { payload_len, lines, first, generation, kind: KIND_LINES, crc: 0 }
    }

    /// A frame that fills `len` bytes up to the end of the ring.
    pub(super) fn of_padding(len: usize, generation: u64) -> Self {
        let payload_len = (len - FRAME_HEADER_LEN) as u32;
        let mut header =
            FrameHeader { payload_len, lines: 0, first: 0, generation, kind: KIND_PADDING, crc: 0 };
        header.crc = crc32c::crc32c(&header.encode()[..28]);
        header
    }

    pub(super) fn is_padding(&self) -> bool {
        self.kind == KIND_PADDING
    }

    /// The checksum so far, over the rests of the lines, continued over this header.
    pub(super) fn crc_after(&self, crc_of_rests: u32) -> u32 {
        crc32c::crc32c_append(crc_of_rests, &self.encode()[..28])
    }

    /// The same, continued over the first front, which is the first `len` bytes of `front`. In one go, since for so few
    /// bytes the beginning and the end cost more than the bytes.
    pub(super) fn crc_with_front(&self, crc_of_rests: u32, front: &[u8; FRONT_BYTES_MAX], len: usize) -> u32 {
        const SUMMED: usize = FRAME_HEADER_LEN - 4;
        let mut bytes = [0; SUMMED + FRONT_BYTES_MAX];
        bytes[..SUMMED].copy_from_slice(&self.encode()[..SUMMED]);
        bytes[SUMMED..].copy_from_slice(front);
        crc32c::crc32c_append(crc_of_rests, &bytes[..SUMMED + len])
    }

    pub(super) fn with_crc(mut self, crc: u32) -> Self {
        self.crc = crc;
        self
    }

    pub(super) fn encode(&self) -> [u8; FRAME_HEADER_LEN] {
        let mut out = [0; FRAME_HEADER_LEN];
        out[0..4].copy_from_slice(&self.payload_len.to_le_bytes());
        out[4..8].copy_from_slice(&self.lines.to_le_bytes());
        out[8..16].copy_from_slice(&self.first.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.to_le_bytes());
        out[24..28].copy_from_slice(&self.kind.to_le_bytes());
        out[28..32].copy_from_slice(&self.crc.to_le_bytes());
        out
    }

    /// Reads a header without judging it; `None` if there are too few bytes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(FrameHeader {
            payload_len: word(0)?,
            lines: word(4)?,
            first: long(8)?,
            generation: long(16)?,
            kind: word(24)?,
            crc: word(28)?,
        })
    }

    /// Bytes of the ring that the frame takes.
    pub(super) fn frame_len(&self) -> u64 {
        frame_len(u64::from(self.payload_len))
    }

    /// Whether this header and `payload` are what was once written, all of it.
    pub(super) fn is_intact(&self, payload: &[u8]) -> bool {
        match self.kind {
            KIND_PADDING => self.crc == crc32c::crc32c(&self.encode()[..28]),
            KIND_LINES => payload_crc(self, payload) == Some(self.crc),
            _ => false,
        }
    }
}

/// Bytes of the ring that a frame with `payload_len` bytes of payload takes.
pub(super) fn frame_len(payload_len: u64) -> u64 {
    (FRAME_HEADER_LEN as u64 + payload_len).next_multiple_of(ALIGNMENT)
}

fn payload_crc(header: &FrameHeader, payload: &[u8]) -> Option<u32> {
    header.first.checked_add(u64::from(header.lines))?;
    let mut crc = 0;
    for_each_line(header, payload, |front_len, line| crc = crc32c::crc32c_append(crc, &line[front_len..]))?;
    crc = header.crc_after(crc);
    for_each_line(header, payload, |front_len, line| crc = crc32c::crc32c_append(crc, &line[..front_len]))?;
    Some(crc)
}

/// Calls `visit` with the length of the front and the line with its newline; `None` if the payload does
/// not hold exactly the lines that the header names.
fn for_each_line(header: &FrameHeader, payload: &[u8], mut visit: impl FnMut(usize, &[u8])) -> Option<()> {
    let mut begin = 0;
    for number in 0..u64::from(header.lines) {
        let end = begin + memchr::memchr(b'\n', &payload[begin..])? + 1;
        let front_len = line::front_len(header.first + number);
        if front_len >= end - begin {
            return None;
        }
        visit(front_len, &payload[begin..end]);
        begin = end;
    }
    (begin == payload.len()).then_some(())
}
