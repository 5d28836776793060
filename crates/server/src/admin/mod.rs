//! Changes to the server: policy, tokens, keys. Each change is an event of the trail.

mod keys;
mod policy;
mod tokens;

pub(crate) use keys::rotate_key;
pub(crate) use policy::{policy, set_policy};
pub(crate) use tokens::{TOKEN_SECONDS_MAX, create_token, create_viewer_token, revoke_token, tokens};
