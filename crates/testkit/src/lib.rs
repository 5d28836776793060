//! What Trailseal's tests share.
//!
//! - [`fault`]: an in-memory file system that fails on demand and knows what a crash would leave;
//! - [`check`]: the oracle: is this folder a complete, correct trail that holds what was acknowledged?

#![allow(clippy::panic, reason = "a test oracle reports problems by panicking")]

pub mod check;
pub mod fault;
