//! What clients share, and what each of them may have of it, so that none keeps the others out.

mod blocking;
mod rates;
mod request_places;
mod shares;
#[cfg(target_os = "linux")]
mod time_slice;
mod turns;

pub(crate) use blocking::{aside, blocking};
pub(crate) use rates::Rates;
pub(crate) use request_places::Places;
pub(crate) use shares::{Full, Share, Shares};
pub(crate) use turns::{Asker, Turn, Turns};
