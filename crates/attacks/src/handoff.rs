//! Handoff files, as docs/format.md describes them.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

const HEADER_BYTES: usize = 4_096;
const CAPACITY: u64 = 1 << 20;
const GENERATION: u64 = 0x1122_3344_5566_7788;
const MARK_AT: u64 = 128;

/// The durable index in a handoff's header; `None` if there is none.
pub fn handoff_mark(path: &Path) -> Option<u64> {
    let bytes = std::fs::read(path).ok()?;
    let mark = bytes.get(MARK_AT as usize..MARK_AT as usize + 8)?;
    bytes.starts_with(b"TSHAND01").then(|| u64::from_le_bytes(mark.try_into().unwrap()))
}

/// Writes another durable index into a handoff's header.
pub fn set_handoff_mark(path: &Path, mark: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&mark.to_le_bytes(), MARK_AT).unwrap();
}

/// A handoff of `origin` whose header says that `durable` events are in segments, with these lines (each without its
/// line end) as one frame from index `durable` on.
pub fn handoff(origin: &str, durable: u64, lines: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0; HEADER_BYTES + CAPACITY as usize];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"TSHAND01");
    put(8, &GENERATION.to_le_bytes());
    put(16, &CAPACITY.to_le_bytes());
    put(24, &Sha256::digest(origin)[..8]);
    put(MARK_AT as usize, &durable.to_le_bytes());
    if !lines.is_empty() {
        put(HEADER_BYTES, &frame(durable, lines));
    }
    file
}

fn frame(first: u64, lines: &[Vec<u8>]) -> Vec<u8> {
    let payload: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
    let mut frame = Vec::new();
    frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    frame.extend_from_slice(&(lines.len() as u32).to_le_bytes());
    frame.extend_from_slice(&first.to_le_bytes());
    frame.extend_from_slice(&GENERATION.to_le_bytes());
    frame.extend_from_slice(&1u32.to_le_bytes());
    let (mut fronts, mut rests) = (Vec::new(), Vec::new());
    for line in lines {
        let end = front_end(line);
        fronts.extend_from_slice(&line[..end]);
        rests.extend_from_slice(&line[end..]);
        rests.push(b'\n');
    }
    let sum = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&rests), &frame), &fronts);
    frame.extend_from_slice(&sum.to_le_bytes());
    frame.extend_from_slice(&payload);
    frame.resize(frame.len().next_multiple_of(8), 0);
    frame
}

/// Up to and including the comma after `recorded`.
fn front_end(line: &[u8]) -> usize {
    let mark = b"Z\",";
    line.windows(mark.len()).position(|window| window == mark).unwrap() + mark.len()
}
