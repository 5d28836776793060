//! The handoff: where `record()` puts a line, so that a killed process loses nothing.
//!
//! A mutex around an append-only ring of bytes, drained by a polling writer: the fastest hand-off measured. The ring is
//! mapped from a file; what was stored there is in the system's page cache and outlives the process (not the machine:
//! that is what segments are for).

mod at_path;
mod buffer;
mod drain;
mod frame;
mod header;
mod map;
mod open;
mod options;
mod owner;
mod replay;
mod ring_memory;

pub(crate) use at_path::{Lies, handoff_header, lies_at, own_header, remove};
pub(crate) use buffer::{Handoff, Refused, Rests};
pub(crate) use drain::{Drain, Taken};
pub use header::{HandoffFolder, HandoffHeader};
pub(crate) use open::open;
pub use options::{Full, HandoffOptions, HandoffPlace};
pub(crate) use owner::Owner;
pub use replay::replay;
pub(crate) use ring_memory::{Place, Ring};

/// CRC-32C of a line's rest, by the fastest method for some hundred bytes. Replay checks it with another crate, which
/// is faster for the few bytes of headers and fronts.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

#[cfg(test)]
mod tests;
