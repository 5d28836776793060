//! Personal values: encrypted under a key per person before they become part of the line, so that destroying the key
//! makes them unreadable everywhere, and every proof still holds.
//!
//! A personal value stands in the line as a [`Token`], a string such as `erasable:3fa91c02-1f:…`. [`reveal`] puts the
//! values back, or says why it cannot. What must hold: a token opens only where it was written, at that field of that
//! event of that tenant.

// Until the writing of lines uses all of it.
#![cfg_attr(not(test), allow(dead_code))]

mod json;
mod key;
mod reveal;
mod token;

pub use key::{Key, KeyName, NoKeyName, Place, SubjectKey, SubjectKeys};
pub use reveal::{ERASABLE, ERASED, PersonalKeys, UNREADABLE, reveal};
pub use token::{Token, has_token, searchable};
