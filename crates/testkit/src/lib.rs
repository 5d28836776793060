//! What Trailseal's tests share.
//!
//! - [`fault`]: a file system in memory that fails on order, and that knows what a crash would leave;
//! - [`check`]: the one oracle: is this folder a whole, true trail that holds what was acknowledged?

#![allow(clippy::panic, reason = "an oracle of tests says what is wrong by panicking")]

pub mod check;
pub mod fault;
