//! The first bytes of a handoff file: whose it is, and how far its lines are durable.

use sha2::{Digest as _, Sha256};

use super::frame::ALIGNMENT;
use super::map::{DURABLE_AT, HEADER_LEN, TAIL_AT};

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
    /// The owner: the first eight bytes of the SHA-256 of the trail's origin.
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

/// The folder of a trail, as a handoff names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandoffFolder {
    /// Its inode number.
    pub inode: u64,
    /// The first eight bytes of the SHA-256 of its path.
    pub path: u64,
}

pub(super) fn first_bytes(bytes: &[u8]) -> u64 {
    Sha256::digest(bytes).first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
