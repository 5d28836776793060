//! The content of `trail.toml`: the trail's name, and the keys that sign it.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use trailseal_event::Timestamp;
use trailseal_tlog::{KeyRing, Origin, Rotation, VerifyingKey};

use crate::folder::Folder;

/// The format version that this code reads and writes.
const FORMAT_VERSION: u64 = 1;
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// More rotations are refused: other tools read notes of at most 100 signature lines.
pub(crate) const ROTATIONS_MAX: usize = 64;

/// The content of `trail.toml`. Nothing signs it: to be sure of the key, pin it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The trail's name.
    pub origin: Origin,
    /// When it was created.
    pub created: Timestamp,
    /// The keys that signed it, in order.
    pub keys: Vec<ManifestKey>,
}

/// A public key and the tree sizes that it signs for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestKey {
    /// The key.
    pub public_key: VerifyingKey,
    /// The first tree size that it may sign.
    pub from: u64,
    /// The last tree size that it may sign; `None` for the current key.
    pub to: Option<u64>,
    /// The signature line with which the previous key vouches for it; `None` for the first key.
    pub vouched: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestText {
    format: u64,
    origin: String,
    created: String,
    key: Vec<KeyText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    public_key: String,
    from: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vouched: Option<String>,
}

/// Why `trail.toml` could not be read.
#[derive(Debug)]
pub enum ManifestError {
    /// The system could not read it.
    Io(io::Error),
    /// It contains something impossible.
    Invalid(String),
}

impl fmt::Display for ManifestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManifestError::Io(error) => write!(formatter, "it cannot be read: {error}"),
            ManifestError::Invalid(what) => formatter.write_str(what),
        }
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// The manifest of a new trail.
    pub fn new(origin: Origin, created: Timestamp, public_key: VerifyingKey) -> Self {
        let key = ManifestKey { public_key, from: 0, to: None, vouched: None };
        Manifest { origin, created, keys: vec![key] }
    }

    /// The folder's manifest; `None` if it has none.
    ///
    /// # Errors
    /// When it cannot be read, is not in the format of this version, or contradicts itself.
    pub fn read(folder: &Folder) -> Result<Option<Self>, ManifestError> {
        let bytes = match folder.files().read(&folder.trail_toml(), MANIFEST_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(ManifestError::Invalid(error.to_string()));
            }
            other => other.map_err(ManifestError::Io)?,
        };
        let text = String::from_utf8(bytes).map_err(|_| ManifestError::Invalid("it is not UTF-8".into()))?;
        Self::parse(&text).map(Some)
    }

    /// Parses the text of `trail.toml`.
    ///
    /// # Errors
    /// As [`read`](Manifest::read).
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let invalid =
            |error: &dyn fmt::Display| ManifestError::Invalid(error.to_string().trim().replace('\n', " "));
        let version: toml::Table = toml::from_str(text).map_err(|error| invalid(&error))?;
        match version.get("format").and_then(toml::Value::as_integer) {
            Some(version) if version == FORMAT_VERSION as i64 => {}
            Some(version) => {
                return Err(ManifestError::Invalid(format!(
                    "it has format {version}, but this program reads format {FORMAT_VERSION}: use a newer trailseal"
                )));
            }
            None => return Err(ManifestError::Invalid("it has no format".into())),
        }
        let parsed: ManifestText = toml::from_str(text).map_err(|error| invalid(&error))?;
        let origin = Origin::new(&parsed.origin).map_err(|error| invalid(&error))?;
        let created = Timestamp::parse(&parsed.created)
            .ok_or_else(|| ManifestError::Invalid("`created` is not a valid timestamp".into()))?;
        let mut keys = Vec::new();
        for key in parsed.key {
            let public_key = VerifyingKey::parse(&key.public_key).map_err(|error| invalid(&error))?;
            keys.push(ManifestKey { public_key, from: key.from, to: key.to, vouched: key.vouched });
        }
        if keys.is_empty() || keys.len() > ROTATIONS_MAX + 1 {
            return Err(ManifestError::Invalid("it has no key, or too many".into()));
        }
        Ok(Manifest { origin, created, keys })
    }

    /// As the text of `trail.toml`.
    pub fn to_toml(&self) -> String {
        let key = self
            .keys
            .iter()
            .map(|key| KeyText {
                public_key: key.public_key.to_string(),
                from: key.from,
                to: key.to,
                vouched: key.vouched.clone(),
            })
            .collect();
        let text = ManifestText {
            format: FORMAT_VERSION,
            origin: self.origin.to_string(),
            created: self.created.to_string(),
            key,
        };
        // Only maps with non-text keys can fail, and there are none here.
        toml::to_string(&text).unwrap_or_default()
    }

    /// The current key.
    pub fn current_key(&self) -> Option<&VerifyingKey> {
        self.keys.last().map(|key| &key.public_key)
    }

    /// The keys with the sizes that each may sign: the first, and each that the one before it vouches for; and what is
    /// wrong with the first that is not vouched for as this file says, if any.
    pub fn key_ring(&self) -> (KeyRing, Option<String>) {
        let first = self.keys.first().map(|key| key.public_key.clone());
        let mut ring = KeyRing::new(self.origin.clone(), first.as_slice());
        if self.keys.first().is_some_and(|key| key.from != 0 || key.vouched.is_some()) {
            return (ring, Some("its first key does not sign from size 0 on".into()));
        }
        for pair in self.keys.windows(2) {
            let [old, new] = pair else { continue };
            let rotation = new
                .vouched
                .as_deref()
                .and_then(|line| Rotation::parse(&self.origin, &old.public_key, line))
                .filter(|rotation| {
                    *rotation.new_key() == new.public_key
                        && rotation.size() == new.from
                        && old.to == Some(new.from)
                });
            // A key that comes back would sign no size at all.
            let is_new = ring.keys().iter().all(|entry| entry.key != new.public_key);
            let rotation = rotation.filter(|_| is_new);
            match rotation.map(|rotation| ring.add(rotation)) {
                Some(Ok(())) => {}
                _ => {
                    let what = "the key before it does not vouch for it from that size on";
                    return (
                        ring,
                        Some(format!("{} of size {} and later: {what}", new.public_key, new.from)),
                    );
                }
            }
        }
        let is_ended = self.keys.last().is_some_and(|key| key.to.is_some());
        (ring, is_ended.then(|| "its last key has ended, and no other one follows".into()))
    }

    /// Adds a rotation of the current key.
    pub(crate) fn rotate(&mut self, rotation: &Rotation) {
        if let Some(old) = self.keys.last_mut() {
            old.to = Some(rotation.size());
        }
        self.keys.push(ManifestKey {
            public_key: rotation.new_key().clone(),
            from: rotation.size(),
            to: None,
            vouched: Some(rotation.to_signature_line().trim_end().to_owned()),
        });
    }

    /// All keys, in order.
    pub fn public_keys(&self) -> Vec<VerifyingKey> {
        self.keys.iter().map(|key| key.public_key.clone()).collect()
    }
}
