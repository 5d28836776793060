//! Delivery: durable lines go from the trail to sinks, each with a cursor of its own.
//!
//! In: lines that are durable, in order. Out: rows in a store, entries in a stream. What must hold: a store
//! keeps its cursor in the same transaction as the rows, so every event arrives once, whatever dies.

mod sink;

pub use sink::{Batch, BatchLine, Position, Sink, SinkError};
