//! Viewer tokens: short-lived, narrower than the token that made them, and not stored anywhere. What they show is in
//! the token itself.
//!
//! A server alone signs them with a secret of the trail's folder. One that shares a store signs with a key made of that secret, and puts
//! the public half into the store: then the others know its tokens, and whoever reads the store can make none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use trailseal_event::Timestamp;
use trailseal_tlog::{SigningKey, VerifyingKey};

const PREFIX: &str = "tsl_v-";
const MAC_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// What is signed begins with this.
const CONTEXT: &[u8] = b"trailseal viewer token\n";
const KEY_CONTEXT: &[u8] = b"trailseal viewer key\n";
const KEY_NAME: &str = "viewer";
/// How long a viewer token lasts at most, in seconds.
pub(crate) const VIEWER_SECONDS_MAX: u64 = 86_400;
/// What another server made lasts no longer than this, and was made no later than this after now.
const LASTS_MICROS_MAX: i64 = VIEWER_SECONDS_MAX.cast_signed() * 1_000_000;
const CLOCKS_APART_MICROS: i64 = 300_000_000;

/// What a viewer token shows, and until when.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grant {
    /// The name of the token that made it, and when: a later token may have the same name.
    pub(crate) by: String,
    pub(crate) made: Timestamp,
    pub(crate) tenant: Option<String>,
    pub(crate) actor: Option<String>,
    /// `TYPE` or `TYPE/ID`.
    pub(crate) resource: Option<String>,
    pub(crate) expires: Timestamp,
}

impl Grant {
    /// The holder of a viewer token may not see what its maker may no longer see. `had` says whether a valid token with a name
    /// already existed at a time.
    pub(super) fn is_in_force(&self, had: impl FnOnce(&str, Timestamp) -> bool) -> bool {
        matches!(&*self.by, "open" | "owner") || had(&self.by, self.made)
    }

    /// The same where another server made it. Whoever needs no token there, on its own machine, needs one here: a token that can be
    /// revoked. And however it was signed, it lasts no longer than a server would have let it.
    pub(super) fn is_in_force_elsewhere(
        &self,
        now: Timestamp,
        had: impl FnOnce(&str, Timestamp) -> bool,
    ) -> bool {
        let is_unnamed =
            cfg!(trailseal_fault = "viewer_token_of_open_server") && matches!(&*self.by, "open" | "owner");
        let (made, expires) = (self.made.as_micros(), self.expires.as_micros());
        let is_possible = made <= now.as_micros().saturating_add(CLOCKS_APART_MICROS)
            && expires.saturating_sub(made) <= LASTS_MICROS_MAX
            || cfg!(trailseal_fault = "viewer_token_without_end");
        is_possible && (is_unnamed || had(&self.by, self.made))
    }
}

/// Whether it can only be a viewer token, of whatever server.
pub(super) fn is_one(token: &str) -> bool {
    token.starts_with(PREFIX)
}

pub(super) struct Signer {
    secret: Vec<u8>,
    key: SigningKey,
}

impl Signer {
    pub(super) fn new(secret: &[u8]) -> Signer {
        let seed = Sha256::new().chain_update(KEY_CONTEXT).chain_update(secret).finalize();
        Signer { secret: secret.to_vec(), key: SigningKey::from_seed(KEY_NAME, &seed.into()) }
    }

    /// By which others know what this one signs for them.
    pub(super) fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// A token for this server.
    pub(super) fn sign(&self, grant: &Grant) -> String {
        let bytes = grant.to_json(None).to_string().into_bytes();
        let mac = self.mac(&bytes).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default();
        token_of(&bytes, &mac)
    }

    /// A token for all servers that know the [key](Signer::verifying_key).
    pub(super) fn sign_for_all(&self, grant: &Grant) -> String {
        let bytes = grant.to_json(Some(self.verifying_key().id())).to_string().into_bytes();
        token_of(&bytes, &self.key.sign(&[CONTEXT, &bytes].concat()))
    }

    /// What a token shows, if it was signed here and has not expired.
    pub(super) fn read(&self, token: &str, now: Timestamp) -> Option<Grant> {
        let by_secret = parts(token, MAC_BYTES)
            .filter(|(text, mac)| self.mac(text).is_some_and(|by_us| by_us.verify_slice(mac).is_ok()));
        match by_secret {
            Some((text, _)) => Grant::in_force(&text, now),
            None => read_by(token, &[self.verifying_key()], now),
        }
    }

    fn mac(&self, text: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        mac.update(CONTEXT);
        mac.update(text);
        Some(mac)
    }
}

/// What a token shows, if one of these keys has signed it and it has not expired.
pub(super) fn read_by(token: &str, keys: &[VerifyingKey], now: Timestamp) -> Option<Grant> {
    let (text, signature) = parts(token, SIGNATURE_BYTES)?;
    let id = key_in(&text)?;
    let signature: [u8; SIGNATURE_BYTES] = signature.try_into().ok()?;
    let signed = [CONTEXT, &text].concat();
    let is_by = |key: &VerifyingKey| key.id() == id && key.verify(&signed, &signature);
    keys.iter().any(is_by).then(|| Grant::in_force(&text, now))?
}

/// Whether it says to be signed by a key that is none of these. Whoever knows more keys may know it.
pub(super) fn is_by_another(token: &str, keys: &[VerifyingKey]) -> bool {
    let key = parts(token, SIGNATURE_BYTES).and_then(|(text, _)| key_in(&text));
    key.is_some_and(|id| keys.iter().all(|key| key.id() != id))
}

fn token_of(text: &[u8], signature: &[u8]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([text, signature].concat()))
}

/// What is signed, and the signature of so many bytes.
fn parts(token: &str, signature_bytes: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut text = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    let signature = text.split_off(text.len().checked_sub(signature_bytes)?);
    Some((text, signature))
}

fn key_in(text: &[u8]) -> Option<u32> {
    let value: Value = serde_json::from_slice(text).ok()?;
    value["k"].as_u64()?.try_into().ok()
}

impl Grant {
    /// `key`: the id of the key that signs it.
    fn to_json(&self, key: Option<u32>) -> Value {
        let Grant { by, made, tenant, actor, resource, expires } = self;
        let mut text = json!({"b": by, "m": made.as_micros(), "t": tenant, "a": actor, "r": resource, "e": expires.as_micros()});
        if let Some(key) = key {
            text["k"] = key.into();
        }
        text
    }

    /// From what was signed, unless it has expired.
    fn in_force(text: &[u8], now: Timestamp) -> Option<Grant> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let member = |name: &str| value[name].as_str().map(str::to_owned);
        let expires = Timestamp::from_micros(value["e"].as_i64()?);
        (now < expires).then_some(Grant {
            by: member("b")?,
            made: Timestamp::from_micros(value["m"].as_i64()?),
            tenant: member("t"),
            actor: member("a"),
            resource: member("r"),
            expires,
        })
    }
}
