//! A sealed audit trail on disk.
//!
//! The way of an event, and where each step is:
//!
//! 1. `trailseal-event`: from an event to its line; bytes and rules
//! 2. `handoff`: the buffer that `record()` puts a line into
//! 3. `commit`: the writer thread: drain, append, sync once, wake the waiters
//! 4. [`segment`]: files of lines
//! 5. `seal`, [`tree`]: leaf hashes, the tree on disk, signed checkpoints
//! 6. [`deliver`]: durable lines to the sinks
//! 7. `trail`: all of it together, and `trail::Reader`: what readers see
//! 8. [`verify`]: whether it is all still true

mod anchor;
pub mod clock;
mod commit;
mod counters;
mod deadline;
pub mod deliver;
pub mod file;
mod handoff;
mod histogram;
mod parents_file;
mod progress;
mod seal;
pub mod segment;
mod trail;
pub mod tree;
pub mod verify;
mod watch;

pub use counters::Counted;
pub use handoff::{HandoffHeader, replay};
pub use histogram::{Commits, Distribution};
pub use seal::SealTrouble;
pub use trail::{
    Ack, Anchor, BATCH_WARNINGS_MAX, BackedUp, BackupError, BatchError, CloseError, Closed, EachLine,
    FindWitnesses, Folder, Found, Full, HandInJsonError, HandedIn, HandedInBatch, HandedInJson, HandedInOnce,
    HandoffOptions, HandoffPlace, Holder, KeptPolicyError, Known, KnownIds, KnownIdsError, LineAt, Manifest,
    ManifestError, ManifestKey, Notice, OnNotice, Once, OpenError, Options, Place, ReadError, Reader,
    Receipt, RecordError, RecordOnceError, Recording, Roll, RotateError, RuleCounts, SLOTS_MAX, SecretError,
    SegmentFile, SegmentOptions, SetPolicyError, Slot, Stats, Status, Submission, Submitted, Submitter,
    Succeeded, Trail, Witness, back_up, load_mask_key, slots_in, trails_in,
};
