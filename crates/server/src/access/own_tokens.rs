//! Tokens in the trail's folder: `tokens.json`. With a shared store it keeps what this server last knew of the tokens there,
//! so that a restart while the store is down shuts nobody out.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use trailseal_core::file::{Files as _, StdFiles, open_ordinary};
use trailseal_event::Timestamp;
use trailseal_event::mask::TenantError;
use trailseal_tlog::VerifyingKey;

use super::caller::Caller;
use super::known::Known;
use super::token::{NewToken, TokenError, TokenInfo, hash_of, hex, random, unhex};
use super::viewer_token::{Grant, Signer};

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
    /// Signs viewer tokens; hexadecimal. Whoever wants a new one removes it.
    #[serde(default)]
    viewer_secret: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shared: Option<Shared>,
}

/// What was last known of the tokens in a shared store.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shared {
    /// When the store was asked.
    as_of: String,
    tokens: Vec<Kept>,
    /// By which other servers sign viewer tokens, and when the store was asked for that.
    #[serde(default)]
    viewer_keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    viewer_keys_as_of: Option<String>,
}

/// What is known of a shared store.
#[derive(Clone, Default)]
pub(super) struct Remembered {
    pub(super) known: Known,
    /// When the store was asked.
    pub(super) as_of: Timestamp,
    /// By which other servers sign viewer tokens.
    pub(super) viewer_keys: Vec<VerifyingKey>,
    /// When the store was asked for them; it may answer one and not the other.
    pub(super) viewer_keys_as_of: Option<Timestamp>,
}

/// All tokens of a trail's folder.
pub(super) struct OwnTokens {
    path: PathBuf,
    signer: Signer,
    state: Mutex<State>,
}

/// Guarded by the mutex; held for a look-up or a change.
struct State {
    known: Known,
    viewer_secret: String,
    /// Whether it is in the file.
    is_secret_kept: bool,
    shared: Option<Shared>,
    /// Uses that are not in the file yet.
    is_changed: bool,
}

impl OwnTokens {
    /// Reads the tokens in the trail's folder; there may be none.
    pub(super) fn load(folder: &Path) -> Result<OwnTokens, TokenError> {
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
        let is_secret_kept = !file.viewer_secret.is_empty();
        if !is_secret_kept {
            file.viewer_secret = hex(&random()?);
        }
        let signer = Signer::new(file.viewer_secret.as_bytes());
        let state = State {
            known: known(file.tokens),
            viewer_secret: file.viewer_secret,
            is_secret_kept,
            shared: file.shared,
            is_changed: false,
        };
        Ok(OwnTokens { path, signer, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are no tokens.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().known.0.is_empty()
    }

    /// Whether a valid one has this name.
    pub(super) fn has(&self, name: &str, now: Timestamp) -> bool {
        self.lock().known.has(name, now)
    }

    /// Whether a valid one with this name already existed at `then`.
    pub(super) fn had(&self, name: &str, then: Timestamp, now: Timestamp) -> bool {
        self.lock().known.had(name, then, now)
    }

    /// What a viewer token shows, if it was signed here and has not expired. Whether its maker may still see that, is another
    /// question.
    pub(super) fn grant_in(&self, token: &str, now: Timestamp) -> Option<Grant> {
        self.signer.read(token, now)
    }

    /// The owner of this token, if it is valid.
    pub(super) fn find(&self, token: &str, now: Timestamp) -> Option<Caller> {
        let mut state = self.lock();
        let (caller, is_noted) = state.known.find(&hash_of(token), now)?;
        state.is_changed |= is_noted;
        Some(caller)
    }

    /// Makes a token and returns it; it cannot be shown again later.
    pub(super) fn create(
        &self,
        new: NewToken,
        now: Timestamp,
        check: impl FnOnce(&str) -> Result<(), TenantError>,
    ) -> Result<String, TokenError> {
        let made = new.make(now, check)?;
        let mut state = self.lock();
        // An expired token makes room for another with its name.
        state.known.0.retain(|_, info| info.name != made.info.name || !info.is_expired(now));
        if state.known.has(&made.info.name, now) {
            return Err(TokenError::Exists { name: made.info.name });
        }
        state.known.0.insert(made.hash, made.info);
        if let Err(error) = self.write(&mut state) {
            state.known.0.remove(&made.hash);
            return Err(error);
        }
        Ok(made.token)
    }

    /// Revokes a token.
    pub(super) fn revoke(&self, name: &str) -> Result<(), TokenError> {
        let mut state = self.lock();
        let before = state.known.clone();
        state.known.0.retain(|_, info| info.name != name);
        if state.known.0.len() == before.0.len() {
            return Err(TokenError::Unknown { name: name.to_owned() });
        }
        self.write(&mut state).inspect_err(|_| state.known = before)
    }

    /// All tokens, by name.
    pub(super) fn list(&self) -> Vec<TokenInfo> {
        self.lock().known.list()
    }

    /// By which other servers know what [`grant_for_all`](OwnTokens::grant_for_all) makes.
    pub(super) fn viewer_key(&self) -> VerifyingKey {
        self.signer.verifying_key()
    }

    /// A token that shows what `grant` says, at this server.
    pub(super) fn grant(&self, grant: &Grant) -> Result<String, TokenError> {
        self.keep_secret()?;
        Ok(self.signer.sign(grant))
    }

    /// The same for all servers that know the [viewer key](OwnTokens::viewer_key) of this one.
    pub(super) fn grant_for_all(&self, grant: &Grant) -> Result<String, TokenError> {
        self.keep_secret()?;
        Ok(self.signer.sign_for_all(grant))
    }

    fn keep_secret(&self) -> Result<(), TokenError> {
        // The secret must be durable before anything is signed with it.
        let mut state = self.lock();
        if state.is_secret_kept && self.path.exists() { Ok(()) } else { self.write(&mut state) }
    }

    /// Writes when tokens were last used.
    pub(super) fn keep_uses(&self) -> Result<(), TokenError> {
        let mut state = self.lock();
        if state.is_changed { self.write(&mut state) } else { Ok(()) }
    }

    /// What was last known of a shared store.
    pub(super) fn remembered(&self) -> Option<Remembered> {
        let shared = self.lock().shared.clone()?;
        Some(Remembered {
            as_of: Timestamp::parse(&shared.as_of)?,
            known: known(shared.tokens),
            viewer_keys: shared.viewer_keys.iter().filter_map(|key| VerifyingKey::parse(key).ok()).collect(),
            viewer_keys_as_of: shared.viewer_keys_as_of.as_deref().and_then(Timestamp::parse),
        })
    }

    /// Remembers what is known of a shared store.
    pub(super) fn remember(&self, remembered: &Remembered) -> Result<(), TokenError> {
        let mut state = self.lock();
        state.shared = Some(Shared {
            as_of: remembered.as_of.to_string(),
            tokens: kept(&remembered.known),
            viewer_keys: remembered.viewer_keys.iter().map(VerifyingKey::to_string).collect(),
            viewer_keys_as_of: remembered.viewer_keys_as_of.map(|at| at.to_string()),
        });
        self.write(&mut state)
    }

    fn write(&self, state: &mut State) -> Result<(), TokenError> {
        let file = File {
            tokens: kept(&state.known),
            viewer_secret: state.viewer_secret.clone(),
            shared: state.shared.clone(),
        };
        let path = &self.path;
        let text = serde_json::to_vec_pretty(&file)
            .map_err(|source| TokenError::Damaged { path: path.clone(), source })?;
        let failed = |source| TokenError::Io { action: "write", path: path.clone(), source };
        StdFiles.replace(path, &text, true).map_err(failed)?;
        (state.is_changed, state.is_secret_kept) = (false, true);
        Ok(())
    }
}

fn known(kept: Vec<Kept>) -> Known {
    Known(kept.into_iter().filter_map(|kept| Some((unhex(&kept.sha256)?, kept.info))).collect())
}

fn kept(known: &Known) -> Vec<Kept> {
    known.0.iter().map(|(hash, info)| Kept { info: info.clone(), sha256: hex(hash) }).collect()
}
