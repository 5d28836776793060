//! Old events go: on request, by a review that a second person approves, or at a set time of the day; legal holds; sinks
//! that are gone.
//!
//! What must hold: whatever asks, the same run of the trail does the work ([`Retention::run`]), with the archive of the
//! settings; an address that a token names is never written to.

mod answer;
mod daily;
mod hold_keeper;
mod holds;
mod request;
mod run;
mod sinks;

pub use answer::{hold_json, retained_json};
pub(crate) use daily::daily;
pub(crate) use hold_keeper::HoldKeeper;
pub(crate) use holds::{add_hold, holds, remove_hold};
pub(crate) use request::retain;
pub(crate) use run::{Retention, long};
pub(crate) use sinks::{forget_sink, sinks};
