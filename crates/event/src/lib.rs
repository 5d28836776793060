//! An audit event, from what a caller gives to the one line of JSON that is hashed and stored, and the rules that apply
//! on the way. Only bytes and rules: no files, no threads.
//!
//! The path of an event, and where each step is:
//!
//! 1. [`Event`]: its fields, its JSON form, its limits; [`EventText`]: one whose parts are JSON text already;
//!    [`rewrite`]: the fast path from JSON text to the line
//! 2. [`complete`]: id and time, if the caller did not give them
//! 3. [`policy`]: what happens to it
//! 4. [`mask`]: hides secrets
//! 5. [`mod@line`]: the one line; [`personal`]: the values in it that can be erased
//! 6. [`filter`]: what readers ask for; [`Hit`]: what they get; [`count`]: what is counted of it; [`fields`]: what stores
//!    search by, from a line's bytes

pub mod client_address;
pub mod complete;
pub mod count;
mod counted_steps;
mod event;
mod event_text;
pub mod fields;
pub mod filter;
pub mod fork;
mod found_event;
mod index;
pub mod line;
pub mod mask;
mod nearest;
pub mod personal;
pub mod policy;
mod rewrite;
mod timestamp;
pub mod trace_parent;

pub use event::{
    Actor, BadLine, CONTEXT_FIELDS, Category, Context, DEPTH_MAX, Event, NO_OUTCOME, NoAction, Note, Number,
    OWN_KEYS, Object, Oddity, OnBehalfOf, Outcome, ParseError, Parsed, RELATED_MAX, Recorded, Resource,
    Severity, TEXT_BYTES_MAX, Truncation, Value, WARNINGS_MAX, Warning, Warnings, held_id, held_identifier,
};
pub use event_text::EventText;
pub use found_event::{By, First, Hit, Order};
pub use index::Index;
pub use nearest::nearest;
pub use rewrite::{Ends, Rewritten, rewrite, rewrite_text};
pub use timestamp::{TIMESTAMP_BYTES, Timestamp};
