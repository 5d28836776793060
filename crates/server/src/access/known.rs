//! Tokens in memory, by their hashes.

use std::collections::BTreeMap;

use subtle::ConstantTimeEq as _;
use trailseal_event::Timestamp;

use super::caller::Caller;
use super::token::{TokenHash, TokenInfo};

/// Tokens by their hashes.
#[derive(Clone, Default)]
pub(super) struct Known(pub(super) BTreeMap<TokenHash, TokenInfo>);

impl Known {
    /// The owner of the token with this hash, if it is valid, and whether its use is to be kept.
    pub(super) fn find(&mut self, hash: &TokenHash, now: Timestamp) -> Option<(Caller, bool)> {
        // The map is searched by the hash, which tells an attacker nothing; equality is checked in constant time.
        let (known, info) = self.0.get_key_value(hash)?;
        if !bool::from(known.ct_eq(hash)) || info.is_expired(now) {
            return None;
        }
        let caller = Caller::of_token(&info.name, &info.scopes, info.tenant.as_deref());
        let is_noted = self.0.get_mut(hash).is_some_and(|info| info.note_use(now));
        Some((caller, is_noted))
    }

    /// Whether a valid token with this name already existed at `then`.
    pub(super) fn had(&self, name: &str, then: Timestamp, now: Timestamp) -> bool {
        self.0.values().any(|info| info.name == name && !info.is_expired(now) && info.was_there(then))
    }

    pub(super) fn has(&self, name: &str, now: Timestamp) -> bool {
        self.0.values().any(|info| info.name == name && !info.is_expired(now))
    }

    /// All of them, by name.
    pub(super) fn list(&self) -> Vec<TokenInfo> {
        let mut infos: Vec<_> = self.0.values().cloned().collect();
        infos.sort_by(|left, right| left.name.cmp(&right.name));
        infos
    }
}
