//! The bodies of requests and answers.

mod accompanied;
mod members;
mod receive;
mod room;
mod unpack;

pub(crate) use accompanied::Accompanied;
pub(crate) use members::Members;
pub(crate) use receive::{Bodies, Sent, Whole};
#[cfg(fuzzing)]
pub(crate) use unpack::unpacked;
