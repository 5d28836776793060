//! Personal values: encrypted under a key per person before they become part of the line, so that destroying the key
//! makes them unreadable everywhere, and every proof still holds.
//!
//! A personal value stands in the line as a [`Token`], a string such as `erasable:3fa91c02-1f:…`. [`reveal`] puts the
//! values back, or says why it cannot. What must hold: a token opens only where it was written, at that field of that
//! event of that tenant.

mod base64url;
mod find;
mod json;
mod key;
mod marks;
mod paths;
mod placed;
mod reveal;
mod revealed_line;
mod rule;
mod seal;
mod subject;
mod token;
mod wiped;

pub use key::{Key, KeyName, NoKeyName, Place, SubjectKey, SubjectKeys};
pub use reveal::{ERASED, PersonalKeys, SeveralKeys, UNREADABLE, reveal, reveal_elsewhere, tokens};
pub(crate) use reveal::{Seen, blank, open, reveal_with};
pub use revealed_line::is_shown_line;
pub use rule::{PERSONAL_FIELDS_MAX, PersonalRule};
pub(crate) use rule::{USUAL, USUAL_SUBJECT, check_field, check_subject};
pub use seal::{Personal, PersonalValues, Sealed};
pub use token::{ERASABLE, Token, has_token, searchable};
pub use wiped::Wiped;

#[cfg(test)]
mod tests;
