//! What a token is, and what a new one may be. It is kept as a hash, so that whoever reads where tokens are kept cannot act in
//! their name.
//!
//! A token is 32 random bytes, so its plain SHA-256 reveals nothing about it; a slow hash would only slow requests.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use trailseal_event::Timestamp;
use trailseal_event::mask::TenantError;

use super::scope::Scope;

/// Every token begins with this.
const PREFIX: &str = "tsl_";
/// Names in the trail's own events for those without a token.
const NAMES_TAKEN: [&str; 4] = ["open", "owner", "nobody", "policy"];
/// A token's last use is written at most this often, in microseconds.
const USE_NOTED_EVERY: i64 = 60_000_000;

/// The SHA-256 of a token.
pub(crate) type TokenHash = [u8; 32];

/// What may be shown about a token; not the token itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Its name, which appears in `recorded_by` and in the trail's own events.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// The only tenant it is for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tenant: Option<String>,
    /// When it was made.
    pub created: String,
    /// When it expires.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<String>,
    /// When it was last used, to about a minute.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used: Option<String>,
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// The only tenant it is for.
    pub tenant: Option<String>,
    /// When it expires.
    pub expires: Option<Timestamp>,
}

/// Why a token was not made or revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The name cannot be used.
    #[error(
        "{name:?} cannot be a token's name: use up to 64 letters, digits, `.`, `_` and `-`, and not open, owner, \
         nobody or policy"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The name is taken.
    #[error("there is already a token {name}: revoke it first, or use another name")]
    Exists {
        /// The name.
        name: String,
    },
    /// There is no token with this name.
    #[error("there is no token {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// It would allow nothing.
    #[error("a token needs a scope: write, read, review, admin or personal")]
    NoScope,
    /// No event keeps this tenant, so nobody could read or write for it.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// It would be expired from the start.
    #[error("the token would already have expired, at {expires}: give a later time")]
    Ended {
        /// When it would have expired.
        expires: Timestamp,
    },
    /// The system gave no randomness.
    #[error("could not make randomness for a token")]
    Randomness(#[source] std::io::Error),
    /// The file could not be read or written.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not one that this program writes.
    #[error("{} is damaged: move it away, and make new tokens", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The shared store, where tokens are, could not be asked.
    #[error("{0}")]
    Store(String),
}

/// A token that is made and not kept yet.
pub(super) struct Made {
    /// Shown once.
    pub(super) token: String,
    pub(super) hash: TokenHash,
    pub(super) info: TokenInfo,
}

impl NewToken {
    /// Makes it, if it can be one. `check` says whether events keep a tenant unchanged.
    pub(super) fn make(
        self,
        now: Timestamp,
        check: impl FnOnce(&str) -> Result<(), TenantError>,
    ) -> Result<Made, TokenError> {
        let is_name = |name: &str| {
            (1..=64).contains(&name.len())
                && !NAMES_TAKEN.contains(&name)
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !is_name(&self.name) {
            return Err(TokenError::Name { name: self.name });
        }
        if self.scopes.is_empty() {
            return Err(TokenError::NoScope);
        }
        if let Some(tenant) = &self.tenant {
            check(tenant)?;
        }
        if let Some(expires) = self.expires.filter(|end| *end <= now) {
            return Err(TokenError::Ended { expires });
        }
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random()?));
        let info = TokenInfo {
            name: self.name,
            scopes: self.scopes,
            tenant: self.tenant,
            created: now.to_string(),
            expires: self.expires.map(|at| at.to_string()),
            last_used: None,
        };
        Ok(Made { hash: hash_of(&token), token, info })
    }
}

impl TokenInfo {
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        // A token whose expiry cannot be read counts as expired.
        self.expires.as_deref().is_some_and(|end| Timestamp::parse(end).is_none_or(|end| end <= now))
    }

    /// Whether it already existed at `then`.
    pub(super) fn was_there(&self, then: Timestamp) -> bool {
        Timestamp::parse(&self.created).is_some_and(|at| at <= then)
    }

    /// Notes a use, if the last one was long ago. Returns whether it did.
    pub(super) fn note_use(&mut self, now: Timestamp) -> bool {
        let last = self.last_used.as_deref().and_then(Timestamp::parse);
        let is_noted = last.is_none_or(|last| now.as_micros() - last.as_micros() >= USE_NOTED_EVERY);
        if is_noted {
            self.last_used = Some(now.to_string());
        }
        is_noted
    }
}

pub(super) fn hash_of(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

pub(super) fn random() -> Result<[u8; 32], TokenError> {
    let mut bytes = [0; 32];
    let failed = |error: getrandom::Error| TokenError::Randomness(std::io::Error::other(error.to_string()));
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<TokenHash> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}
