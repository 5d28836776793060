//! Tokens: who may use the server. Stored as hashes in the trail's folder, so that whoever reads the folder cannot act
//! in their name.
//!
//! A token is 32 random bytes, so its plain SHA-256 reveals nothing about it; a slow hash would only slow requests.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use trailseal_core::file::{Files as _, StdFiles, open_ordinary};
use trailseal_event::Timestamp;
use trailseal_event::mask::TenantError;

use super::caller::Caller;
use super::scope::Scope;
use super::viewer_token::{Grant, Signer};

/// Every token begins with this.
const PREFIX: &str = "tsl_";
/// Names in the trail's own events for those without a token.
const NAMES_TAKEN: [&str; 4] = ["open", "owner", "nobody", "policy"];
/// A token's last use is written at most this often, in microseconds.
const USE_NOTED_EVERY: i64 = 60_000_000;

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

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    info: TokenInfo,
    /// Hexadecimal SHA-256.
    sha256: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    tokens: Vec<Kept>,
    /// Signs viewer tokens; hexadecimal.
    viewer_secret: String,
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
}

/// All tokens of a trail.
pub(crate) struct Tokens {
    path: PathBuf,
    signer: Signer,
    state: Mutex<State>,
}

/// Guarded by the mutex; held for a look-up or a change.
struct State {
    by_hash: BTreeMap<[u8; 32], Kept>,
    viewer_secret: String,
    /// Uses that are not in the file yet.
    is_changed: bool,
}

impl Tokens {
    /// Reads the tokens in the trail's folder; there may be none.
    pub(crate) fn load(folder: &Path) -> Result<Tokens, TokenError> {
        let path = folder.join("tokens.json");
        let read = open_ordinary(&path).and_then(|mut file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| bytes)
        });
        let mut file = match read {
            Ok(bytes) => serde_json::from_slice::<File>(&bytes)
                .map_err(|source| TokenError::Damaged { path: path.clone(), source })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => File::default(),
            Err(source) => return Err(TokenError::Io { action: "read", path, source }),
        };
        let is_new = file.viewer_secret.is_empty();
        if is_new {
            file.viewer_secret = hex(&random(&path)?);
        }
        let by_hash = file.tokens.into_iter().filter_map(|kept| Some((unhex(&kept.sha256)?, kept))).collect();
        let signer = Signer::new(file.viewer_secret.as_bytes());
        let state = State { by_hash, viewer_secret: file.viewer_secret, is_changed: false };
        Ok(Tokens { path, signer, state: Mutex::new(state) })
    }

    /// Whether there are no tokens.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().by_hash.is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owner of this token, if it is valid.
    pub(crate) fn find(&self, token: &str, now: Timestamp) -> Option<Caller> {
        if let Some(grant) = self.signer.read(token, now) {
            // The holder of a viewer token may not see what its maker may no longer see.
            let is_in_force =
                matches!(&*grant.by, "open" | "owner") || self.lock().had(&grant.by, grant.made, now);
            return is_in_force.then(|| Caller::of_grant(grant));
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut state = self.lock();
        // The map is searched by the hash, which tells an attacker nothing; equality is checked in constant time.
        let (known, kept) = state.by_hash.get_key_value(&hash)?;
        if !bool::from(known.ct_eq(&hash)) || kept.is_expired(now) {
            return None;
        }
        let caller = Caller::of_token(&kept.info.name, &kept.info.scopes, kept.info.tenant.as_deref());
        let last = kept.info.last_used.as_deref().and_then(Timestamp::parse);
        if last.is_none_or(|last| now.as_micros() - last.as_micros() >= USE_NOTED_EVERY) {
            state.is_changed = true;
            if let Some(kept) = state.by_hash.get_mut(&hash) {
                kept.info.last_used = Some(now.to_string());
            }
        }
        Some(caller)
    }

    /// Whether the caller would still be let in: a stream outlives the check at its start.
    pub(crate) fn still_let_in(&self, caller: &Caller, now: Timestamp) -> bool {
        caller.token().is_none_or(|token| self.find(token, now).is_some())
    }

    /// Makes a token and returns it; it cannot be shown again later. `check` says whether events keep a tenant
    /// unchanged.
    pub(crate) fn create(
        &self,
        new: NewToken,
        now: Timestamp,
        check: impl FnOnce(&str) -> Result<(), TenantError>,
    ) -> Result<String, TokenError> {
        let is_name = |name: &str| {
            (1..=64).contains(&name.len())
                && !NAMES_TAKEN.contains(&name)
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !is_name(&new.name) {
            return Err(TokenError::Name { name: new.name });
        }
        if new.scopes.is_empty() {
            return Err(TokenError::NoScope);
        }
        if let Some(tenant) = &new.tenant {
            check(tenant)?;
        }
        if let Some(expires) = new.expires.filter(|end| *end <= now) {
            return Err(TokenError::Ended { expires });
        }
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random(&self.path)?));
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let info = TokenInfo {
            name: new.name,
            scopes: new.scopes,
            tenant: new.tenant,
            created: now.to_string(),
            expires: new.expires.map(|at| at.to_string()),
            last_used: None,
        };
        let mut state = self.lock();
        // An expired token makes room for another with its name.
        state.by_hash.retain(|_, kept| kept.info.name != info.name || !kept.is_expired(now));
        if state.has(&info.name, now) {
            return Err(TokenError::Exists { name: info.name });
        }
        state.by_hash.insert(hash, Kept { info, sha256: hex(&hash) });
        if let Err(error) = self.write(&mut state) {
            state.by_hash.remove(&hash);
            return Err(error);
        }
        Ok(token)
    }

    /// Revokes a token.
    pub(crate) fn revoke(&self, name: &str) -> Result<(), TokenError> {
        let mut state = self.lock();
        let before = state.by_hash.clone();
        state.by_hash.retain(|_, kept| kept.info.name != name);
        if state.by_hash.len() == before.len() {
            return Err(TokenError::Unknown { name: name.to_owned() });
        }
        self.write(&mut state).inspect_err(|_| state.by_hash = before)
    }

    /// All tokens, by name.
    pub(crate) fn list(&self) -> Vec<TokenInfo> {
        let mut infos: Vec<_> = self.lock().by_hash.values().map(|kept| kept.info.clone()).collect();
        infos.sort_by(|left, right| left.name.cmp(&right.name));
        infos
    }

    /// A token that shows what `grant` says.
    pub(crate) fn grant(&self, grant: &Grant) -> Result<String, TokenError> {
        // The secret must be durable before anything is signed with it.
        let mut state = self.lock();
        if !self.path.exists() {
            self.write(&mut state)?;
        }
        Ok(self.signer.sign(grant))
    }

    /// Writes when tokens were last used.
    pub(crate) fn keep_uses(&self) -> Result<(), TokenError> {
        let mut state = self.lock();
        if state.is_changed { self.write(&mut state) } else { Ok(()) }
    }

    fn write(&self, state: &mut State) -> Result<(), TokenError> {
        let file = File {
            tokens: state.by_hash.values().cloned().collect(),
            viewer_secret: state.viewer_secret.clone(),
        };
        let path = &self.path;
        let text = serde_json::to_vec_pretty(&file)
            .map_err(|source| TokenError::Damaged { path: path.clone(), source })?;
        let failed = |source| TokenError::Io { action: "write", path: path.clone(), source };
        StdFiles.replace(path, &text, true).map_err(failed)?;
        state.is_changed = false;
        Ok(())
    }
}

impl State {
    /// Whether a valid token with this name already existed at `then`.
    fn had(&self, name: &str, then: Timestamp, now: Timestamp) -> bool {
        let was_there = |kept: &Kept| Timestamp::parse(&kept.info.created).is_some_and(|at| at <= then);
        self.by_hash.values().any(|kept| kept.info.name == name && !kept.is_expired(now) && was_there(kept))
    }

    fn has(&self, name: &str, now: Timestamp) -> bool {
        self.by_hash.values().any(|kept| kept.info.name == name && !kept.is_expired(now))
    }
}

impl Kept {
    fn is_expired(&self, now: Timestamp) -> bool {
        // A token whose expiry cannot be read counts as expired.
        self.info.expires.as_deref().is_some_and(|end| Timestamp::parse(end).is_none_or(|end| end <= now))
    }
}

fn random(path: &Path) -> Result<[u8; 32], TokenError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| TokenError::Io {
        action: "make randomness for",
        path: path.to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_795_233_600_000_000 + seconds * 1_000_000)
    }

    fn new(name: &str, expires: Option<Timestamp>) -> NewToken {
        NewToken { name: name.into(), scopes: vec![Scope::Read], tenant: Some("acme".into()), expires }
    }

    #[test]
    fn a_token_lives_from_making_to_revoking_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::load(folder.path()).unwrap();
        let token = tokens.create(new("reader", None), at(0), |_| Ok(())).unwrap();
        assert!(token.len() >= 24 && token.starts_with("tsl_"), "{token}");
        let tokens = Tokens::load(folder.path()).unwrap();
        let caller = tokens.find(&token, at(1)).unwrap();
        assert_eq!((caller.name(), caller.tenant()), ("reader", Some("acme")));
        assert!(caller.has(Scope::Read).is_ok() && caller.has(Scope::Write).is_err());
        assert!(tokens.find("tsl_AAAAAAAAAAAAAAAAAAAAAAAA", at(1)).is_none());
        let text = std::fs::read_to_string(folder.path().join("tokens.json")).unwrap();
        assert!(!text.contains(&token[4..]), "the file holds the token");
        assert!(matches!(
            tokens.create(new("reader", None), at(1), |_| Ok(())),
            Err(TokenError::Exists { .. })
        ));
        tokens.revoke("reader").unwrap();
        assert!(tokens.find(&token, at(1)).is_none());
        assert!(matches!(tokens.revoke("reader"), Err(TokenError::Unknown { .. })));
    }

    #[test]
    fn a_tenant_that_no_event_keeps_gets_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::load(folder.path()).unwrap();
        let too_long = |_: &str| Err(TenantError::TooLong { bytes: 2_000 });
        assert!(matches!(tokens.create(new("r", None), at(0), too_long), Err(TokenError::Tenant(_))));
        assert!(tokens.is_empty());
    }

    #[test]
    fn a_token_ends_at_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::load(folder.path()).unwrap();
        let token = tokens.create(new("short", Some(at(10))), at(0), |_| Ok(())).unwrap();
        assert!(tokens.find(&token, at(9)).is_some() && tokens.find(&token, at(10)).is_none());
        tokens.create(new("short", None), at(11), |_| Ok(())).unwrap();
    }

    #[test]
    fn a_viewer_token_ends_with_the_token_that_made_it() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::load(folder.path()).unwrap();
        tokens.create(new("maker", None), at(0), |_| Ok(())).unwrap();
        let grant = Grant {
            by: "maker".into(),
            made: at(0),
            tenant: Some("acme".into()),
            actor: None,
            resource: Some("invoice/7".into()),
            expires: at(60),
        };
        let token = tokens.grant(&grant).unwrap();
        let caller = tokens.find(&token, at(1)).unwrap();
        assert!(caller.is_restricted() && caller.has(Scope::Write).is_err());
        let forged = format!("{}A", &token[..token.len() - 1]);
        assert!(token.ends_with('A') || tokens.find(&forged, at(1)).is_none());
        assert!(tokens.find(&token, at(60)).is_none(), "it has ended");
        tokens.revoke("maker").unwrap();
        assert!(tokens.find(&token, at(1)).is_none(), "its maker was revoked");
        tokens.create(new("maker", None), at(2), |_| Ok(())).unwrap();
        assert!(tokens.find(&token, at(3)).is_none(), "another has its maker's name");
    }
}
