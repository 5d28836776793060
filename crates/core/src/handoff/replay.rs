//! What a handoff file still holds after its writer is gone.
//!
//! Only frames with the right generation, the expected index and a right checksum are trusted, one after the other from
//! the tail. The walk ends at the first frame that is anything else.

use super::frame::{ALIGNMENT, FRAME_HEADER_LEN, FrameHeader};
use super::map::{DURABLE_AT, HEADER_LEN, TAIL_AT};
use super::owner::{HandoffFolder, first_bytes};

/// The first bytes of a handoff file.
pub(super) const MAGIC: &[u8; 8] = b"TSHAND01";
const GENERATION_AT: usize = 8;
const CAPACITY_AT: usize = 16;
const TRAIL_AT: usize = 24;
const INODE_AT: usize = 32;
const PATH_AT: usize = 40;
const FILE_AT: usize = 48;

/// The header of a handoff file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoffHeader {
    /// Random, new at each opening.
    pub generation: u64,
    /// Bytes of ring after the header.
    pub capacity: u64,
    /// The owner: [`trail_mark`](HandoffHeader::trail_mark) of the trail's origin.
    pub trail: u64,
    /// The folder that it was made for.
    pub folder: HandoffFolder,
    /// The inode number of its own file: a copy of it has another.
    pub file: u64,
    /// Everything below this position is durable in a segment.
    pub tail: u64,
    /// The number of events that are durable in segments.
    pub durable: u64,
}

impl HandoffHeader {
    /// Parses the header; `None` if this is not a handoff file.
    pub fn decode(file: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_le_bytes(file.get(at..at + 8)?.try_into().ok()?));
        let header = HandoffHeader {
            generation: long(GENERATION_AT)?,
            capacity: long(CAPACITY_AT)?,
            trail: long(TRAIL_AT)?,
            folder: HandoffFolder { inode: long(INODE_AT)?, path: long(PATH_AT)? },
            file: long(FILE_AT)?,
            tail: long(TAIL_AT)?,
            durable: long(DURABLE_AT)?,
        };
        let fits = file.starts_with(MAGIC)
            && header.capacity >= 4096
            && header.capacity.is_multiple_of(4096)
            && header.tail.is_multiple_of(ALIGNMENT)
            && header.tail.checked_add(header.capacity).is_some();
        fits.then_some(header)
    }

    /// The first eight bytes of the origin's SHA-256, which distinguish one trail's handoff from another's.
    pub(crate) fn trail_mark(origin: &str) -> u64 {
        first_bytes(origin.as_bytes())
    }

    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(MAGIC);
        for (at, value) in [
            (GENERATION_AT, self.generation),
            (CAPACITY_AT, self.capacity),
            (TRAIL_AT, self.trail),
            (INODE_AT, self.folder.inode),
            (PATH_AT, self.folder.path),
            (FILE_AT, self.file),
            (TAIL_AT, self.tail),
            (DURABLE_AT, self.durable),
        ] {
            out[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        out
    }
}

/// Calls `each` with the index and the bytes (newline included) of every line that the handoff `file` holds in unbroken
/// order from index `next` on. Returns the index after the last one.
///
/// Whatever the bytes are, this ends, and takes nothing that was not written completely.
pub fn replay(file: &[u8], next: u64, mut each: impl FnMut(u64, &[u8])) -> u64 {
    let Some(header) = HandoffHeader::decode(file) else { return next };
    let ring = &file[HEADER_LEN.min(file.len())..];
    if (ring.len() as u64) < header.capacity {
        return next;
    }
    let mut position = header.tail;
    let mut next = next;
    let mut expected = None;
    while position < header.tail + header.capacity {
        let offset = (position % header.capacity) as usize;
        let to_end = header.capacity as usize - offset;
        if to_end < FRAME_HEADER_LEN {
            position += to_end as u64;
            continue;
        }
        let rest = &ring[offset..offset + to_end];
        let Some((frame, payload)) = intact_frame(rest, header.generation) else {
            if cfg!(trailseal_fault = "replay_past_break") {
                position += ALIGNMENT;
                continue;
            }
            break;
        };
        position += frame.frame_len();
        if frame.is_padding() {
            continue;
        }
        // Frames follow each other without a gap; the first may be completely or partly below `next`.
        let is_gap = expected.is_some_and(|expected| expected != frame.first) || frame.first > next;
        if is_gap && !cfg!(trailseal_fault = "replay_past_break") {
            break;
        }
        expected = Some(frame.first + u64::from(frame.lines));
        for (index, line) in (frame.first..).zip(payload.split_inclusive(|&byte| byte == b'\n')) {
            if index == next || cfg!(trailseal_fault = "replay_past_break") && index > next {
                each(index, line);
                next += 1;
            }
        }
    }
    next
}

fn intact_frame(rest: &[u8], generation: u64) -> Option<(FrameHeader, &[u8])> {
    let frame = FrameHeader::decode(rest)?;
    let payload = rest.get(FRAME_HEADER_LEN..FRAME_HEADER_LEN + frame.payload_len as usize)?;
    let whole = frame.frame_len() <= rest.len() as u64;
    (whole && frame.generation == generation && frame.is_intact(payload)).then_some((frame, payload))
}
