//! A sealed audit trail on disk.
//!
//! The way of an event, and where each step is:
//!
//! 1. [`event`]: the event, its JSON form, its limits
//! 2. `complete`: id, time: what the caller did not say
//! 3. `line`: the one line of JSON that is hashed and stored
//! 4. `handoff`: the buffer that `record()` puts a line into
//! 5. `commit`: the writer thread: drain, append, sync once, wake the waiters
//! 6. `segment`: files of lines
//! 7. `seal`: leaf hashes, tiles, signed checkpoints
//! 8. `filter`, `trail::Reader`: what readers ask for
//! 9. `verify`: whether it is all still true

pub mod clock;
pub mod complete;
pub mod event;
pub mod file;
mod index;
pub mod line;
pub mod segment;

pub use index::Index;
