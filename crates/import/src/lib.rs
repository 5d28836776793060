//! Turns foreign audit records into Trailseal events.
//!
//! In: the bytes of a log ([`read`], or [`read_in_order`] with several threads) and a [`Mapping`], built in or from the user's own file. Out: one
//! [`Event`](trailseal_event::Event) per record, or the line that could not be read and why. No files, clock or
//! network: callers pass in readers, and a record without a time gets none here.
//!
//! What must hold: every record goes in, once, whatever else is in the file; reading the same file again gives the same
//! ids; and the whole record can be taken out of its event again, as JSON.

pub mod blocks;
pub mod form;
pub mod hashes;
mod import;
mod json_tree;
pub mod mapping;
mod parallel;
pub mod records;
mod sample;
pub mod tables;
mod time;

pub use form::Form;
pub use import::{Imported, Reading, SAMPLES, Written, defaulted, read};
pub use mapping::{Mapping, MappingError};
pub use parallel::read_in_order;
pub use records::{Failed, Records};
pub use sample::{Judgement, NotFound, SAMPLE_RECORDS, Sample};
