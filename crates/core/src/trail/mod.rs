//! A trail: open, record, read, close.
//!
//! [`Trail::record`] reads as the first steps of an event's way: decide, write, hand off. What follows is done by the
//! threads of the log: the writer (`commit.rs`), the sealer (`seal/`), deliveries (`deliver/`).

mod admit;
mod any_event;
mod backup;
mod batch;
mod circumstances;
mod close;
mod counts;
mod current;
mod deliveries;
mod erase;
mod error;
mod flag;
mod flush;
mod frame;
mod hand_in;
mod handoffs;
mod ids;
mod in_force;
mod inner;
mod json;
mod keys_in;
mod known_ids;
mod line_at;
mod making;
mod network;
mod once;
mod only_one;
mod open;
mod options;
mod own;
mod own_events;
mod pending;
mod personal_keys;
mod prepared;
mod reader;
mod ready;
mod receipt;
mod record_options;
mod recording;
mod recover;
mod retain;
mod rotate;
mod scan;
mod sealing;
mod secrets;
mod signing_key;
mod slots;
mod stats;
mod switch;
mod text;
mod together;
mod trusted;
mod witness;

pub use any_event::{AnyEvent, AnyEvents, Submission, Submitted, Submitter};
pub use backup::{BackedUp, BackupError, back_up, back_up_personal_keys};
pub use circumstances::policy_hash;
pub use close::Closed;
pub use erase::{EraseError, Erased, WouldErase};
pub use error::{CloseError, OpenError, RecordError};
pub use flush::{FlushError, SealError};
pub use ids::retired_id;
pub use in_force::RuleCounts;
pub use inner::Trail;
pub use keys_in::PersonalKeysIn;
pub use known_ids::{Known, KnownIds, KnownIdsError};
pub use line_at::{LineAt, Place};
pub use only_one::OnlyOne;
pub use options::{Options, Succeeded};
pub use pending::{PendingReceipt, PendingReceipts};
pub use prepared::Prepared;
pub use reader::{EachLine, ReadError, Reader, RetiredEvent};
pub use receipt::{Receipt, Status};
pub use record_options::{Ack, RecordOptions};
pub use recording::TrailWith;
pub use recover::Found;
pub use retain::{
    Archive, ArchiveError, Archived, ForgetSinkError, Hold, HoldAdded, HoldError, Kept, KnownSink,
    RETAIN_DAYS_MAX, RetainError, Retained, RetentionRule, Retiring, SinkBehind, holds_in,
};
pub use rotate::RotateError;
pub use secrets::{SecretError, load_mask_key};
pub use slots::{Slot, slots_in, trails_in};
pub use stats::Stats;
pub use switch::{KeptPolicyError, SetPolicyError};
pub use text::{Held, Tried};
pub use together::{HeldAll, TriedAll};
pub use witness::{FindWitnesses, Witness};
