//! What a handoff file still holds after its writer is gone.
//!
//! Only frames with the right generation, the expected index and a right checksum are trusted, one after the other from
//! the tail. The walk ends at the first frame that is anything else.

use super::frame::{ALIGNMENT, FRAME_HEADER_LEN, FrameHeader};
use super::header::HandoffHeader;
use super::map::HEADER_LEN;

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
