//! Delivery: durable lines go from the trail to sinks, each with its own cursor.
//!
//! In: durable lines, in order. Out: rows in a store, entries in a stream. What must hold: a store keeps its cursor in
//! the same transaction as the rows, so every event arrives once, whatever dies.

mod checkpoints;
mod halt;
mod lines;
mod runner;
mod sink;

pub use lines::{Follower, Lines};
pub(crate) use runner::Delivery;
pub use runner::{DeliveryState, DeliveryStats};
pub use sink::{
    Batch, BatchLine, Dropped, Gathering, KeptCheckpoints, MustEnd, Position, SealedCheckpoint, Sink,
    SinkError, Stored,
};
