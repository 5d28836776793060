//! The key of keyed hashes.

use std::fmt;
use std::io;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

const KEY_BYTES: usize = 32;
const HASH_PREFIX: &str = "hmac:";
/// 128 bits: two secrets with one hash never occur.
const HASH_HEX_BYTES: usize = 32;

/// A key for hashing secrets, and its short name.
#[derive(Clone, PartialEq, Eq)]
pub struct MaskKey {
    bytes: [u8; KEY_BYTES],
    id: String,
}

impl MaskKey {
    /// This key. Its id is the beginning of a hash of it.
    pub fn new(bytes: [u8; KEY_BYTES]) -> MaskKey {
        let digest = Sha256::new().chain_update(b"trailseal mask key id\0").chain_update(bytes).finalize();
        let id = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        MaskKey { bytes, id }
    }

    /// A key that nobody knows and no file keeps: its hashes can be found only in this process.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn random() -> io::Result<MaskKey> {
        random_bytes().map(MaskKey::new)
    }

    /// The replacement for a secret: `hmac:KEYID:HEX`, 128 bits of HMAC-SHA-256. Equal secrets stay equal.
    pub fn hash(&self, secret: &str) -> String {
        format!("{HASH_PREFIX}{}:{}", self.id, &self.hex(secret)[..HASH_HEX_BYTES])
    }

    /// Whether a text has the form of what [`hash`](MaskKey::hash) returns.
    pub(crate) fn is_hash(&self, text: &str) -> bool {
        let rest = text.strip_prefix(HASH_PREFIX).and_then(|rest| rest.strip_prefix(&*self.id));
        rest.and_then(|rest| rest.strip_prefix(':')).is_some_and(|hex| {
            hex.len() == HASH_HEX_BYTES && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    }

    pub(super) fn hex(&self, secret: &str) -> String {
        // A key of any length will do for HMAC, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.bytes) else { return "0".repeat(64) };
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Its short name, which is part of every hash.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MaskKey({})", self.id)
    }
}

fn random_bytes() -> io::Result<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
