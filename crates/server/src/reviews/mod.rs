//! The review queue: events for a second person to look at, and changes that need one.
//!
//! A review's states are events of the trail, so they are sealed too. Memory holds only where they are in the trail
//! (`queue.rs`); what they say is read on request (`lines.rs`). What must hold: if two people decide at once, one wins
//! and the other is told.

mod alone;
mod deciding_place;
mod deciding_place_kinds;
mod erasure;
mod how_decided;
mod id;
mod lines;
mod policy_change;
mod queue;
mod requests;
mod retirement;
mod review;
mod review_events;
mod stored;
#[cfg(test)]
mod tests;

pub(crate) use erasure::{Asked, request_erasure};
pub(crate) use how_decided::HowDecided;
pub(crate) use id::ReviewId;
pub(crate) use policy_change::{PolicyPut, finish_approved, put_policy};
pub(crate) use requests::{decide, list, request};
pub(crate) use retirement::request_retention;
pub(crate) use review::ReviewState;
pub(crate) use review_events::Reviews;
pub(crate) use stored::{ReviewOutcome, StoredReview, Wanted};
