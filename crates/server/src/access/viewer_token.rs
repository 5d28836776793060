//! Viewer tokens: short-lived, narrower than the token that made them, and not stored anywhere. What they show is in
//! the token itself, signed with a secret of the trail's folder.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use trailseal_event::Timestamp;

const PREFIX: &str = "tsl_v-";
const MAC_BYTES: usize = 32;

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
}

/// Whether it can only be a viewer token, of whatever server.
pub(super) fn is_one(token: &str) -> bool {
    token.starts_with(PREFIX)
}

pub(super) struct Signer {
    secret: Vec<u8>,
}

impl Signer {
    pub(super) fn new(secret: &[u8]) -> Signer {
        Signer { secret: secret.to_vec() }
    }

    pub(super) fn sign(&self, grant: &Grant) -> String {
        let Grant { by, made, tenant, actor, resource, expires } = grant;
        let mut bytes = json!({"b": by, "m": made.as_micros(), "t": tenant, "a": actor, "r": resource, "e": expires.as_micros()})
            .to_string()
            .into_bytes();
        let mac = self.mac(&bytes).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default();
        bytes.extend_from_slice(&mac);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a token shows, if it was signed here and has not expired.
    pub(super) fn read(&self, token: &str, now: Timestamp) -> Option<Grant> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (text, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        self.mac(text)?.verify_slice(mac).ok()?;
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

    fn mac(&self, text: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        mac.update(b"trailseal viewer token\n");
        mac.update(text);
        Some(mac)
    }
}
