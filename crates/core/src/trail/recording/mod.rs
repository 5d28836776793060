//! From an event that a caller has to its line in the handoff, and to what the caller gets.
//!
//! `record.rs` has the two verbs. `any_event.rs` sorts what can be recorded: `hand_in.rs` takes events, `json_text.rs` and
//! `text_parts.rs` text, `batch.rs` a request, `all_or_none.rs` several as one, `record_once.rs` what may be a repeat. Each
//! becomes a `ready_event.rs` by the same steps, and `admit.rs` alone puts it into the handoff.

pub(super) mod admit;
pub(super) mod all_or_none;
pub(super) mod any_event;
pub(super) mod batch;
pub(super) mod frame;
pub(super) mod hand_in;
pub(super) mod ids;
pub(super) mod json_text;
pub(super) mod known_ids;
pub(super) mod own_events;
pub(super) mod pending;
pub(super) mod personal_values;
pub(super) mod prepared;
pub(super) mod ready_event;
pub(super) mod receipt;
pub(super) mod record;
pub(super) mod record_once;
pub(super) mod record_options;
pub(super) mod record_own_event;
pub(super) mod review_flag;
pub(super) mod text_parts;
