//! From a folder to a running trail.
//!
//! `open.rs` has the order: `making.rs` (a new trail, or a refusal), `trusted.rs` (key and newest checkpoint), `handoffs.rs`,
//! `witness.rs` (who else says how many events there were), `recover.rs` and `scan.rs` (the lines), `circumstances.rs`.

pub(super) mod circumstances;
pub(super) mod handoffs;
pub(super) mod making;
pub(super) mod network;
pub(super) mod open;
pub(super) mod options;
pub(super) mod recover;
pub(super) mod scan;
pub(super) mod trusted;
pub(super) mod witness;
