//! Keys, signed notes, checkpoints and rotations, as docs/format.md and C2SP describe them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};

use crate::tree::Hash;

const ROTATION: &str = "trailseal-rotation@v2";

/// A signing key of an origin.
#[derive(Clone)]
pub struct Key {
    origin: String,
    key: SigningKey,
}

impl Key {
    /// An attacker's own key, under any origin's name.
    pub fn of_seed(origin: &str, seed: u8) -> Key {
        Key { origin: origin.to_owned(), key: SigningKey::from_bytes(&[seed; 32]) }
    }

    /// From the text of a key file.
    pub fn from_file_text(text: &str) -> Key {
        let parts: Vec<&str> = text.trim().strip_prefix("PRIVATE+KEY+").unwrap().splitn(3, '+').collect();
        let data = STANDARD.decode(parts[2]).unwrap();
        assert_eq!(data[0], 1, "an Ed25519 key");
        let key = SigningKey::from_bytes(data[1..].try_into().unwrap());
        Key { origin: parts[0].to_owned(), key }
    }

    /// The text of a key file.
    pub fn to_file_text(&self) -> String {
        let data = STANDARD.encode([&[1][..], &self.key.to_bytes()].concat());
        format!("PRIVATE+KEY+{}+{:08x}+{data}", self.origin, self.id())
    }

    /// The verifier key: `NAME+ID+BASE64`.
    pub fn public(&self) -> String {
        let data = STANDARD.encode([&[1][..], &self.public_bytes()].concat());
        format!("{}+{:08x}+{data}", self.origin, self.id())
    }

    /// The origin in the key's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn public_bytes(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    fn id(&self) -> u32 {
        key_id(&self.origin, &[1], &self.public_bytes())
    }

    /// A signature line over a note's text, with its line end.
    pub fn signature_line(&self, text: &str) -> String {
        signature_line(&self.origin, self.id(), &self.key.sign(text.as_bytes()).to_bytes())
    }
}

fn key_id(origin: &str, kind: &[u8], public: &[u8]) -> u32 {
    let digest = Sha256::new()
        .chain_update(origin)
        .chain_update("\n")
        .chain_update(kind)
        .chain_update(public)
        .finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn signature_line(origin: &str, id: u32, bytes: &[u8]) -> String {
    format!("— {origin} {}\n", STANDARD.encode([&id.to_be_bytes()[..], bytes].concat()))
}

/// The signature line in which `signer` says that `old` hands over to `new` at `size`, with its line end. A genuine one
/// is signed by `old` itself.
pub fn rotation_line(old: &Key, new: &Key, size: u64, signer: &Key) -> String {
    let statement = format!("{ROTATION}\n{}\n{}\n{}\n{size}\n", old.origin, old.public(), new.public());
    let signature = signer.key.sign(statement.as_bytes()).to_bytes();
    let kind = [&[0xff][..], ROTATION.as_bytes()].concat();
    let id = key_id(&old.origin, &kind, &old.public_bytes());
    let bytes = [&new.public_bytes()[..], &size.to_be_bytes(), &signature].concat();
    signature_line(&old.origin, id, &bytes)
}

/// A checkpoint of a tree, signed with these keys, with these additional lines.
pub fn checkpoint_note(origin: &str, size: u64, root: &Hash, keys: &[&Key], lines: &[String]) -> String {
    let text = format!("{origin}\n{size}\n{}\n", STANDARD.encode(root));
    let signatures: String = keys.iter().map(|key| key.signature_line(&text)).collect();
    format!("{text}\n{signatures}{}", lines.concat())
}

/// What a checkpoint says, and its signature lines, whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The trail's name.
    pub origin: String,
    /// The tree's size.
    pub size: u64,
    /// The root in base64.
    pub root: String,
    /// The signature lines, each with its line end.
    pub signatures: Vec<String>,
}

impl Checkpoint {
    /// Parses a checkpoint; `None` if it is malformed.
    pub fn parse(note: &str) -> Option<Checkpoint> {
        let (text, signatures) = note.split_once("\n\n")?;
        let mut lines = text.lines();
        Some(Checkpoint {
            origin: lines.next()?.to_owned(),
            size: lines.next()?.parse().ok()?,
            root: lines.next()?.to_owned(),
            signatures: signatures.lines().map(|line| format!("{line}\n")).collect(),
        })
    }

    /// Whether `other` has the same text, and all of this one's signature lines.
    pub fn says_the_same(&self, other: &Checkpoint) -> bool {
        (&self.origin, self.size, &self.root) == (&other.origin, other.size, &other.root)
            && self.signatures.iter().all(|line| other.signatures.contains(line))
    }

    /// Its rotation lines.
    pub fn rotation_lines(&self) -> Vec<String> {
        self.signatures.iter().filter(|line| rotation_size(line).is_some()).cloned().collect()
    }

    /// The size of each of its rotations.
    pub fn rotation_sizes(&self) -> Vec<u64> {
        self.signatures.iter().filter_map(|line| rotation_size(line)).collect()
    }
}

/// id[4] ‖ new public key[32] ‖ size[8] ‖ signature[64]
fn rotation_size(line: &str) -> Option<u64> {
    let data = STANDARD.decode(line.trim().rsplit(' ').next()?).ok()?;
    let size: [u8; 8] = data.get(36..44)?.try_into().ok()?;
    (data.len() == 108).then(|| u64::from_be_bytes(size))
}

/// A `[[key]]` of `trail.toml`.
#[derive(Clone)]
pub struct ManifestKey {
    /// The verifier key.
    pub public: String,
    /// The first size that it may sign.
    pub from: u64,
    /// The last size that it signs.
    pub to: Option<u64>,
    /// The voucher, a rotation line.
    pub vouched: Option<String>,
}

/// The text of a `trail.toml`.
pub fn manifest(origin: &str, created: &str, keys: &[ManifestKey]) -> String {
    let mut text = format!("format = 1\norigin = \"{origin}\"\ncreated = \"{created}\"\n");
    for key in keys {
        text += &format!("\n[[key]]\npublic_key = \"{}\"\nfrom = {}\n", key.public, key.from);
        text += &key.to.map(|to| format!("to = {to}\n")).unwrap_or_default();
        let vouched = key.vouched.as_ref();
        text += &vouched.map(|line| format!("vouched = \"{}\"\n", line.trim())).unwrap_or_default();
    }
    text
}
