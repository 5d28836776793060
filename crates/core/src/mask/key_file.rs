//! The key of keyed hashes: in the trail's folder, for its owner alone.

use std::fmt;
use std::io;
use std::path::PathBuf;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::trail::Folder;

const KEY_BYTES: usize = 32;
const FILE: &str = "mask";
const HASH_PREFIX: &str = "hmac:";
/// 128 bits: two secrets with one hash are never met.
const HASH_HEX_BYTES: usize = 32;

/// A key for hashing secrets, and its short name.
#[derive(Clone, PartialEq, Eq)]
pub struct MaskKey {
    bytes: [u8; KEY_BYTES],
    id: String,
}

/// Why the key could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskKeyError {
    /// A file operation failed.
    #[error("could not read or make the masking key {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file does not hold one.
    #[error("{} does not hold 64 hex digits: put the right key there, or remove it and another is made", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
}

impl MaskKey {
    /// This key. Its id is the beginning of a hash of it.
    pub fn new(bytes: [u8; KEY_BYTES]) -> MaskKey {
        let digest = Sha256::new().chain_update(b"trailseal mask key id\0").chain_update(bytes).finalize();
        let id = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        MaskKey { bytes, id }
    }

    /// The key of a trail, in its file `keys/mask`, if it has been made.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub fn load(folder: &Folder) -> Result<Option<MaskKey>, MaskKeyError> {
        let path = folder.keys_folder().join(FILE);
        match folder.files().read(&path, 1_024) {
            Ok(bytes) => {
                parse(&bytes).map(|bytes| Some(MaskKey::new(bytes))).ok_or(MaskKeyError::Unreadable { path })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(MaskKeyError::Io { path, source }),
        }
    }

    /// The key of a trail, which is made where there is none yet.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds something else.
    pub fn load_or_make(folder: &Folder) -> Result<MaskKey, MaskKeyError> {
        if let Some(key) = MaskKey::load(folder)? {
            return Ok(key);
        }
        let path = folder.keys_folder().join(FILE);
        MaskKey::random().map_err(|source| MaskKeyError::Io { path, source })?.save(folder)
    }

    /// Makes this the key of a trail.
    pub(crate) fn save(self, folder: &Folder) -> Result<MaskKey, MaskKeyError> {
        let path = folder.keys_folder().join(FILE);
        let failed = |source| MaskKeyError::Io { path: path.clone(), source };
        let text: String = self.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        folder.files().create_folder(&folder.keys_folder()).map_err(failed)?;
        folder.files().replace(&path, format!("{text}\n").as_bytes(), true).map_err(failed)?;
        Ok(self)
    }

    /// A key that nobody knows and no file keeps: what it hashes is found in this process alone.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn random() -> io::Result<MaskKey> {
        random_bytes().map(MaskKey::new)
    }

    /// What stands for a secret: `hmac:KEYID:HEX`, 128 bits of HMAC-SHA-256. Equal secrets stay equal.
    pub fn hash(&self, secret: &str) -> String {
        format!("{HASH_PREFIX}{}:{}", self.id, &self.hex(secret)[..HASH_HEX_BYTES])
    }

    /// Whether a text is what [`hash`](MaskKey::hash) gives for something.
    pub fn is_hash(&self, text: &str) -> bool {
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

    /// Its short name, which stands in every hash.
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

fn parse(bytes: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let mut key = [0; KEY_BYTES];
    if text.len() != 2 * KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(key)
}
