//! A sealed audit trail on disk.
//!
//! The way of an event, and where each step is:
//!
//! 1. [`event`]: the event, its JSON form, its limits
//! 2. `complete`: id, time: what the caller did not say; [`policy`]: what happens to it; [`mask`]: what nobody may see
//! 3. `line`: the one line of JSON that is hashed and stored
//! 4. `handoff`: the buffer that `record()` puts a line into
//! 5. `commit`: the writer thread: drain, append, sync once, wake the waiters
//! 6. `segment`: files of lines
//! 7. `seal`, [`tree`]: leaf hashes, the tree on disk, signed checkpoints
//! 8. [`deliver`]: durable lines to the sinks
//! 9. `trail`: all of it together
//! 10. [`filter`], `trail::Reader`: what readers ask for
//! 11. [`verify`]: whether it is all still true

mod anchor;
pub mod clock;
mod commit;
pub mod complete;
mod counters;
mod deadline;
pub mod deliver;
pub mod event;
pub mod file;
pub mod filter;
mod fork;
mod handoff;
mod histogram;
mod index;
pub mod line;
pub mod mask;
pub mod policy;
mod progress;
mod seal;
pub mod segment;
mod steps;
mod trail;
pub mod tree;
pub mod verify;
mod watch;

pub use counters::Counted;
pub use handoff::{HandoffHeader, replay};
pub use histogram::{Commits, Distribution};
pub use index::Index;
pub use seal::SealTrouble;
pub use trail::*;
