//! A trail's folder: where everything lies, and what `trail.toml` says.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trailseal_tlog::{Origin, VerifyingKey};

use crate::Index;
use crate::clock::Timestamp;
use crate::file::Files;
use crate::segment::{Form, parse_segment_name};

/// The format version that this code reads and writes.
const FORMAT_VERSION: u64 = 1;
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// The folder of one trail, and the door to its files.
#[derive(Clone)]
pub struct Folder {
    root: PathBuf,
    files: Arc<dyn Files>,
}

/// One segment, as its name and the name of the next one tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Index of the first line.
    pub first: Index,
    /// Index at which the next segment begins; `None` for the last one.
    pub end: Option<Index>,
    /// Plain or compressed.
    pub form: Form,
    /// Where it is.
    pub path: PathBuf,
}

impl Folder {
    /// The folder at `root`, which need not exist.
    pub fn new(root: impl Into<PathBuf>, files: Arc<dyn Files>) -> Self {
        Folder { root: root.into(), files }
    }

    /// The door to the files.
    pub fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The manifest.
    pub fn trail_toml(&self) -> PathBuf {
        self.root.join("trail.toml")
    }

    /// Where the signing key is kept unless `key_file` says otherwise.
    pub fn keys_folder(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The lock of the one writer.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The handoff buffer, unless the settings put it elsewhere.
    pub fn handoff(&self) -> PathBuf {
        self.root.join("handoff")
    }

    /// The folder of the segments.
    pub fn segments_folder(&self) -> PathBuf {
        self.root.join("segments")
    }

    /// The folder of the Merkle tree.
    pub fn tree_folder(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// The hashes of one level of the tree.
    pub fn tree_level(&self, level: u8) -> PathBuf {
        self.tree_folder().join(level.to_string())
    }

    /// The newest checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    /// The folder of earlier checkpoints.
    pub fn kept_checkpoints_folder(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The earlier checkpoint of tree size `size`.
    pub fn kept_checkpoint(&self, size: u64) -> PathBuf {
        self.kept_checkpoints_folder().join(size.to_string())
    }

    /// Tree sizes of the earlier checkpoints, ascending.
    pub fn kept_checkpoints(&self) -> io::Result<Vec<u64>> {
        let names = self.files.list(&self.kept_checkpoints_folder())?;
        let mut sizes: Vec<u64> = names
            .iter()
            .filter_map(|name| name.parse().ok().filter(|size: &u64| size.to_string() == *name))
            .collect();
        sizes.sort_unstable();
        Ok(sizes)
    }

    /// The segments in the order of their indexes. Where a plain and a compressed file have one name, the
    /// plain one counts.
    pub fn segments(&self) -> io::Result<Vec<SegmentFile>> {
        let folder = self.segments_folder();
        let mut found: Vec<(Index, Form, String)> = self
            .files
            .list(&folder)?
            .into_iter()
            .filter_map(|name| parse_segment_name(&name).map(|(first, form)| (first, form, name)))
            .collect();
        found.sort_unstable();
        found.dedup_by_key(|(first, _, _)| *first);
        let ends: Vec<Option<Index>> =
            found.iter().skip(1).map(|(first, _, _)| Some(*first)).chain([None]).collect();
        let ends = if cfg!(trailseal_fault = "void_lines_read") { vec![None; found.len()] } else { ends };
        Ok(found
            .into_iter()
            .zip(ends)
            .map(|((first, form, name), end)| SegmentFile { first, end, form, path: folder.join(name) })
            .collect())
    }
}

/// What `trail.toml` says. Nothing signs it: whoever is to be sure of the key pins it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The trail's name.
    pub origin: Origin,
    /// When it was made.
    pub created: Timestamp,
    /// The keys that signed it, in order.
    pub keys: Vec<ManifestKey>,
}

/// A public key and the tree sizes that it signs for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestKey {
    /// The key.
    pub public_key: VerifyingKey,
    /// The first tree size that it signs.
    pub from: u64,
    /// The tree size from which on it does not sign; `None` for the key that signs now.
    pub to: Option<u64>,
    /// The signature line by which the key before vouches for it; `None` for the first key.
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
    /// The system would not give it.
    Io(io::Error),
    /// It says something that cannot be.
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
    /// That of a new trail.
    pub fn new(origin: Origin, created: Timestamp, public_key: VerifyingKey) -> Self {
        let key = ManifestKey { public_key, from: 0, to: None, vouched: None };
        Manifest { origin, created, keys: vec![key] }
    }

    /// The folder's manifest; `None` if it has none.
    ///
    /// # Errors
    /// When it cannot be read, is not in the format of this version, or contradicts itself.
    pub fn read(folder: &Folder) -> Result<Option<Self>, ManifestError> {
        let bytes = match folder.files.read(&folder.trail_toml(), MANIFEST_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(ManifestError::Invalid(error.to_string()));
            }
            other => other.map_err(ManifestError::Io)?,
        };
        let text = String::from_utf8(bytes).map_err(|_| ManifestError::Invalid("it is not UTF-8".into()))?;
        Self::parse(&text).map(Some)
    }

    /// From the text of `trail.toml`.
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
                    "it is of format {version}, and this program knows format {FORMAT_VERSION}: use a newer trailseal"
                )));
            }
            None => return Err(ManifestError::Invalid("it names no format".into())),
        }
        let parsed: ManifestText = toml::from_str(text).map_err(|error| invalid(&error))?;
        let origin = Origin::new(&parsed.origin).map_err(|error| invalid(&error))?;
        let created = Timestamp::parse(&parsed.created)
            .ok_or_else(|| ManifestError::Invalid("its time of creation is none".into()))?;
        let mut keys = Vec::new();
        for key in parsed.key {
            let public_key = VerifyingKey::parse(&key.public_key).map_err(|error| invalid(&error))?;
            keys.push(ManifestKey { public_key, from: key.from, to: key.to, vouched: key.vouched });
        }
        if keys.is_empty() {
            return Err(ManifestError::Invalid("it names no key".into()));
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
        // Only maps with keys that are not text can fail, and there are none here.
        toml::to_string(&text).unwrap_or_default()
    }

    /// The key that signs now.
    pub fn current_key(&self) -> Option<&VerifyingKey> {
        self.keys.last().map(|key| &key.public_key)
    }

    /// All keys, in order.
    pub fn public_keys(&self) -> Vec<VerifyingKey> {
        self.keys.iter().map(|key| key.public_key.clone()).collect()
    }
}
