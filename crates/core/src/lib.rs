//! A sealed audit trail on disk.
//!
//! The path of an event, and where each step is:
//!
//! 1. `trailseal-event`: from an event to its line; bytes and rules
//! 2. `handoff`: the buffer that `record()` puts a line into
//! 3. `commit`: the writer thread: drain, append, sync once, wake the waiters
//! 4. [`segment`]: files of lines
//! 5. `seal`, [`tree`]: leaf hashes, the tree on disk, signed checkpoints
//! 6. [`deliver`]: durable lines to the sinks
//! 7. `trail`: everything together, and `trail::Reader`: what readers see
//! 8. [`verify`]: whether all of it still matches what was signed

mod causes;
pub mod clock;
mod counters;
mod deadline;
pub mod deliver;
pub mod file;
mod folder;
mod gate;
mod handoff;
mod histogram;
mod lock;
mod log_state;
mod manifest;
mod notice;
mod own_lines;
mod parents_file;
mod personal;
mod progress;
mod retire;
mod writer_thread;
pub mod retired {
    //! What sealed events announce as retired: for stores that drop the same, and for whoever verifies these.

    pub use crate::retire::{AnnouncedList, Announcement, RetiredId, announced_since, newest_announced};
    pub use crate::segment::RetiredList;
    pub use crate::trail::retired_id;
}
mod seal;
pub mod segment;
mod signed_events;
mod trail;
pub mod tree;
pub mod verify;
mod watch;

pub use causes::with_causes;
pub use counters::Counted;
pub use folder::Folder;
pub use handoff::{Full, HandoffFolder, HandoffHeader, HandoffOptions, HandoffPlace, replay};
pub use histogram::{Commits, Distribution};
pub use lock::Holder;
pub use manifest::{Manifest, ManifestError, ManifestKey};
pub use notice::{Notice, OnNotice};
pub use personal::{
    KeyFileHeader, KeySlot, MasterKey, PersonalKeysError, PersonalKeysOptions, PersonalStats,
    key_file as personal_key_file, open_personal_keys,
};
pub use retire::is_retiring;
pub use seal::{Anchor, SealTrouble};
pub use segment::{RetiredSegment, Roll, SegmentFile, SegmentOptions, retired_in};
pub use trail::PersonalKeysIn;
pub use trail::{
    Ack, AnyEvent, AnyEvents, Archive, ArchiveError, Archived, BackedUp, BackupError, CloseError, Closed,
    EachLine, EraseError, Erased, FindWitnesses, FlushError, ForgetSinkError, Found, Held, HeldAll, Hold,
    HoldAdded, HoldError, Kept, KeptPolicyError, Known, KnownIds, KnownIdsError, KnownSink, LineAt, OnlyOne,
    OpenError, Options, PendingReceipt, PendingReceipts, Place, Prepared, RETAIN_DAYS_MAX, ReadError, Reader,
    Receipt, RecordError, RecordOptions, RetainError, Retained, RetentionRule, RetiredEvent, Retiring,
    RotateError, RuleCounts, SealError, SecretError, SetPolicyError, SinkBehind, Slot, Stats, Status,
    Submission, Submitted, Submitter, Succeeded, Trail, TrailWith, Tried, TriedAll, Witness, WouldErase,
    back_up, back_up_personal_keys, closed_handoff, holds_in, load_mask_key, policy_hash, sinks_in, slots_in,
    trails_in,
};
/// Detects that this process is a forked child; see [`Trail::is_forked`].
pub use trailseal_event::fork;
