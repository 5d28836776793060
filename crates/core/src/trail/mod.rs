//! A trail: open, record, read, close.
//!
//! [`Trail::record`] reads as the first steps of an event's way: decide, write, hand off. What follows is done by the
//! threads of the log: the writer (`writer_thread.rs`), the sealer (`seal/`), deliveries (`deliver/`).

mod backup;
mod close;
mod counts;
mod deliveries;
mod erase;
mod error;
mod flush;
mod keys;
mod only_one;
mod open_trail;
mod opening;
mod policy;
mod reading;
mod recording;
mod retain;
mod slots;
mod stats;

pub use backup::{BackedUp, BackupError, back_up, back_up_personal_keys};
pub use close::Closed;
pub use erase::{EraseError, Erased, WouldErase};
pub use error::{CloseError, OpenError, RecordError};
pub use flush::{FlushError, SealError};
pub use keys::rotate::RotateError;
pub use keys::secrets::{SecretError, load_mask_key};
pub use only_one::OnlyOne;
pub use open_trail::Trail;
pub use opening::circumstances::policy_hash;
pub use opening::options::{Options, Succeeded};
pub use opening::recover::Found;
pub use opening::witness::{FindWitnesses, Witness};
pub use policy::in_force::RuleCounts;
pub use policy::switch::{KeptPolicyError, SetPolicyError};
pub use reading::closed_handoff::closed_handoff;
pub use reading::line_at::{LineAt, Place};
pub use reading::personal_keys_in::PersonalKeysIn;
pub use reading::reader::{EachLine, ReadError, Reader, RetiredEvent};
pub use recording::all_or_none::{HeldAll, TriedAll};
pub use recording::any_event::{AnyEvent, AnyEvents, Submission, Submitted, Submitter};
pub use recording::ids::retired_id;
pub use recording::known_ids::{Known, KnownIds, KnownIdsError};
pub use recording::pending::{PendingReceipt, PendingReceipts};
pub use recording::prepared::Prepared;
pub use recording::receipt::{Receipt, Status};
pub use recording::record::TrailWith;
pub use recording::record_options::{Ack, RecordOptions};
pub use recording::text_parts::{Held, Tried};
pub use retain::{
    Archive, ArchiveError, Archived, ForgetSinkError, Hold, HoldAdded, HoldError, Kept, KnownSink,
    RETAIN_DAYS_MAX, RetainError, Retained, RetentionRule, Retiring, SinkBehind, holds_in, sinks_in,
};
pub use slots::{Slot, slots_in, trails_in};
pub use stats::Stats;
