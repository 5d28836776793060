//! The key of keyed hashes.

use std::fmt;
use std::io;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

const KEY_BYTES: usize = 32;
/// A block of SHA-256.
const BLOCK_BYTES: usize = 64;
const HASH_PREFIX: &str = "hmac:";
/// 128 bits: two secrets with one hash never occur.
const HASH_HEX_BYTES: usize = 32;

/// A key for hashing secrets, and its short name.
#[derive(Clone)]
pub struct MaskKey {
    bytes: [u8; KEY_BYTES],
    id: String,
    /// The key, taken in: personal values that are searched for are hashed on the way of their event.
    mac: Hmac<Sha256>,
}

impl MaskKey {
    /// This key. Its id is the beginning of a hash of it.
    pub fn new(bytes: [u8; KEY_BYTES]) -> MaskKey {
        let digest = Sha256::new().chain_update(b"trailseal mask key id\0").chain_update(bytes).finalize();
        let id = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        // HMAC fills a key up to a block by zeros itself; a whole block cannot be refused.
        let mut block = [0; BLOCK_BYTES];
        block[..KEY_BYTES].copy_from_slice(&bytes);
        MaskKey { bytes, id, mac: Hmac::new(&block.into()) }
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
        let mut text = Vec::with_capacity(HASH_PREFIX.len() + self.id.len() + 1 + HASH_HEX_BYTES);
        self.write_hash(secret, &mut text);
        // All of it is ASCII.
        String::from_utf8(text).unwrap_or_default()
    }

    /// Appends what [`hash`](MaskKey::hash) returns.
    pub(crate) fn write_hash(&self, secret: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(HASH_PREFIX.as_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.push(b':');
        out.extend_from_slice(&self.hex(secret)[..HASH_HEX_BYTES]);
    }

    /// Whether a text has the form of what [`hash`](MaskKey::hash) returns.
    pub(crate) fn is_hash(&self, text: &str) -> bool {
        let rest = text.strip_prefix(HASH_PREFIX).and_then(|rest| rest.strip_prefix(&*self.id));
        rest.and_then(|rest| rest.strip_prefix(':')).is_some_and(|hex| {
            hex.len() == HASH_HEX_BYTES && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    }

    /// The whole hash in lower-case hexadecimal digits.
    pub(in crate::mask) fn hex(&self, secret: &str) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let hash = self.mac.clone().chain_update(secret.as_bytes()).finalize().into_bytes();
        let mut hex = [0; 64];
        for (digits, byte) in hex.chunks_exact_mut(2).zip(hash) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 0xF)];
        }
        hex
    }

    /// Its short name, which is part of every hash.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl PartialEq for MaskKey {
    fn eq(&self, other: &MaskKey) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for MaskKey {}

impl fmt::Debug for MaskKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MaskKey({})", self.id)
    }
}

fn random_bytes() -> io::Result<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::getrandom(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_anybody_with_the_key_computes() {
        let key = MaskKey::new([7; 32]);
        assert_eq!(key.hash("alice"), "hmac:358d270b:6a8851c590ddeb5a2ea0a50374798bce");
        assert!(key.is_hash(&key.hash("alice")) && !key.is_hash("hmac:358d270b:HEX"));
    }
}
