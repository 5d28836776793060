//! Who is asking, and what they may do.
//!
//! Every route of the table says what it [`Needs`]; [`check`] finds out who asks and refuses the rest.
//! What must hold: a tenant's token sees and writes only that tenant, by [`Caller::restrict`] in every search.

mod caller;
mod gate;
mod known;
mod own_page;
mod own_tokens;
mod scope;
mod shared_tokens;
mod token;
mod tokens;
#[cfg(test)]
mod tokens_tests;
mod viewer_token;

pub(crate) use caller::Caller;
pub(crate) use gate::{Gate, Needs, check};
pub(crate) use own_page::is_host;
pub use scope::Scope;
pub(crate) use token::TokenHash;
pub use token::{NewToken, TokenError, TokenInfo};
pub(crate) use tokens::Tokens;
pub(crate) use viewer_token::{Grant, VIEWER_SECONDS_MAX};
