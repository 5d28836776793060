//! A trail's secrets and keys: where they are, the change of the signing key, the keys of people.

pub(super) mod personal_keys;
pub(super) mod rotate;
pub(super) mod secrets;
pub(super) mod signing_key;
