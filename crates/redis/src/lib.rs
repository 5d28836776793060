//! Delivery through Redis Streams: a trail's sink puts durable lines into a stream, workers move them from there to a store.
//!
//! In: batches of durable lines and checkpoints, from [`RedisSink`]. Out: the same batches, to the store of a [`Worker`]. What must
//! hold:
//! - The store's cursor alone says what is stored. A worker reports it in Redis, and only what it has reported counts for level
//!   `store`, lag and retirement.
//! - Whatever Redis loses is sent again: the trail has it. What is reported as stored is compared with what the trail has sent.
//! - A stream holds a bounded part of a trail; the rest waits in the trail.
//!
//! | key | holds |
//! | --- | --- |
//! | `trailseal:origins` | the origins for which a worker has something to do |
//! | `trailseal:{ORIGIN}:lines` | a stream; the entry `INDEX-1` has the line with that index |
//! | `trailseal:{ORIGIN}:checkpoints` | signed checkpoints that are not stored yet, by size |
//! | `trailseal:{ORIGIN}:stored` | what workers report: how far the store has come |
//! | `trailseal:{ORIGIN}:since` | when something came into the stream, or was last stored of it |
//! | `trailseal:{ORIGIN}:lease` | which worker stores this origin at the moment |

mod bounded;
mod connection;
mod entry;
mod keys;
mod report;
mod sink;
mod url;
mod worker;

pub use connection::RedisError;
pub use report::Report;
pub use sink::{RedisSink, SINK_NAME, STORED_WITHIN_SECONDS};
pub use url::{BadUrl, RedisUrl, split_password};
pub use worker::{Store, Worker, WorkerNotice};
