//! The handoff: where `record()` puts a line, so that a killed process loses nothing.
//!
//! A mutex around an append-only ring of bytes, drained by a polling writer: the fastest hand-off that
//! was measured. The ring is mapped from a file; what was stored there is in the system's page cache
//! and outlives the process (not the machine: that is what segments are for).

mod buffer;
mod frame;
mod map;
mod open;
mod replay;

pub(crate) use buffer::{Drain, Given, Handoff, Refused, Rests, Taken};
pub(crate) use open::{Place, open};
pub use replay::{HandoffHeader, replay};

#[cfg(test)]
mod tests;
