//! A person is erased: on request, or by a review that a second person approves.
//!
//! What must hold: no event, log or error that the server makes names the person; what waits for a second person names
//! the keys.

mod answer;
mod request;
mod run;

pub use answer::{erased_json, would_erase_json};
pub(crate) use request::erase;
pub(crate) use run::erase_keys_for;
