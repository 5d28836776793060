//! Signed notes (c2sp.org/signed-note): a text, an empty line, and signature lines by named keys.
//!
//! ```text
//! text, one or more lines\n
//! \n
//! — <key name> base64(key id[4] ‖ signature)\n
//! ```
//!
//! The key id is the first four bytes of SHA-256(name ‖ "\n" ‖ type ‖ public key). Type 1 is Ed25519.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256};

/// The signature type of Ed25519.
const ED25519: u8 = 1;
const SIGNATURE_BYTES: usize = 64;
const SIGNATURE_START: &str = "— ";
/// Longer notes are not read.
pub const NOTE_BYTES_MAX: usize = 1 << 20;
/// Notes with more signature lines are not read.
const SIGNATURES_MAX: usize = 100;
const ORIGIN_BYTES_MAX: usize = 255;

/// The name of a trail and of its keys: printable ASCII without space, `+` or `//`, and no part between slashes that is
/// `tile` or `checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

/// Why a text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} cannot be an origin: use 1 to 255 printable ASCII characters, such as example.com/billing/node-1, \
     without spaces, `+`, `//`, and without a part named tile or checkpoint"
)]
pub struct OriginError {
    /// The given text.
    pub text: String,
}

impl Origin {
    /// Checks a text and takes it as an origin.
    ///
    /// # Errors
    /// If it is not one.
    pub fn new(text: &str) -> Result<Self, OriginError> {
        let is_valid = (1..=ORIGIN_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+')
            && !text.contains("//")
            && text.split('/').all(|part| part != "tile" && part != "checkpoint");
        if is_valid { Ok(Origin(text.to_owned())) } else { Err(OriginError { text: text.to_owned() }) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is malformed.
    #[error("not a key of the form NAME+HASH+BASE64")]
    Form,
    /// It names a signature type other than Ed25519.
    #[error("not an Ed25519 key")]
    Type,
    /// Its hash is not that of its name and bytes.
    #[error("the key's hash does not match: part of the key was changed")]
    Hash,
}

/// A public key with its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyingKey {
    name: String,
    bytes: [u8; 32],
}

impl VerifyingKey {
    /// Parses the text `NAME+HASH+BASE64`.
    ///
    /// # Errors
    /// If it has another form, type or hash.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, hash, data) = parts(text)?;
        let bytes = typed(&data)?;
        let key = VerifyingKey { name: name.to_owned(), bytes };
        if hash == format!("{:08x}", key.id()) { Ok(key) } else { Err(KeyError::Hash) }
    }

    /// The key's name, which is the trail's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The key id in signature lines.
    pub fn id(&self) -> u32 {
        key_id(&self.name, &[ED25519], &self.bytes)
    }

    /// Whether `signature` is by this key over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        ed25519_dalek::VerifyingKey::from_bytes(&self.bytes)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    pub(crate) fn from_parts(name: &str, bytes: [u8; 32]) -> Self {
        VerifyingKey { name: name.to_owned(), bytes }
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(with_type(&self.bytes)))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A signing key with its name. Its secret is wiped on drop, and only
/// [`to_private_string`](SigningKey::to_private_string) shows it.
#[derive(Clone)]
pub struct SigningKey {
    name: String,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// From 32 secret, random bytes.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Self {
        SigningKey { name: name.to_owned(), key: ed25519_dalek::SigningKey::from_bytes(seed) }
    }

    /// Parses the text that [`to_private_string`](SigningKey::to_private_string) returns.
    ///
    /// # Errors
    /// If it has another form, type or hash.
    pub fn from_private_string(text: &str) -> Result<Self, KeyError> {
        let (name, hash, data) = parts(text.strip_prefix("PRIVATE+KEY+").ok_or(KeyError::Form)?)?;
        let key = SigningKey::from_seed(name, &typed(&data)?);
        if hash == format!("{:08x}", key.verifying_key().id()) { Ok(key) } else { Err(KeyError::Hash) }
    }

    /// The secret as text: `PRIVATE+KEY+NAME+HASH+BASE64`, as in Go's sumdb/note.
    pub fn to_private_string(&self) -> String {
        let data = STANDARD.encode(with_type(&self.key.to_bytes()));
        format!("PRIVATE+KEY+{}+{:08x}+{data}", self.name, self.verifying_key().id())
    }

    /// The secret bytes.
    pub fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { name: self.name.clone(), bytes: self.key.verifying_key().to_bytes() }
    }

    /// Signs bytes as they are.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.verifying_key())
    }
}

/// One signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// The key's id.
    pub id: u32,
    /// What follows the id: for Ed25519 a signature of 64 bytes.
    pub bytes: Vec<u8>,
}

/// A parsed note that is not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// Why a note could not be read or verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// It is malformed.
    #[error("not a signed note: {0}")]
    Form(&'static str),
    /// No signature is by a known key.
    #[error("not signed by a known key")]
    UnknownKey,
    /// A signature by a known key is invalid.
    #[error("the signature by {0} is wrong")]
    BadSignature(String),
}

/// The notes in a file to which they were appended: each is a text, an empty line, signature lines, and another empty line.
/// Text that is not a note is returned as part of the next one, or last.
///
/// ```
/// let first = "a\n1\nroot\n\n— a c2ln\n— a c2ln\n";
/// let second = "b\n2\nroot\n\n— b c2ln\n";
/// let appended = format!("{first}\n{second}\n");
/// assert!(trailseal_tlog::notes_in(&appended).eq([first, second]));
/// assert!(trailseal_tlog::notes_in(first).eq([first]));
/// // The first one is cut where only a file's end is read.
/// assert!(trailseal_tlog::notes_in(&appended[4..]).eq([&first[4..], second]));
/// assert!(trailseal_tlog::notes_in(&format!("{appended}cut")).eq([first, second, "cut"]));
/// assert_eq!(trailseal_tlog::notes_in("\n").count(), 0);
/// ```
pub fn notes_in(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let Some(signatures) = rest.find("\n\n— ").map(|at| at + 2) else {
            let left = std::mem::take(&mut rest);
            return Some(left).filter(|left| !left.trim().is_empty());
        };
        let end = rest[signatures..].find("\n\n").map_or(rest.len(), |end| signatures + end + 1);
        let note = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(note)
    })
}

impl SignedNote {
    /// Parses a note. Signature lines of unknown types are kept.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Form("it is too long"));
        }
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n' || byte == 0x7f) {
            return Err(NoteError::Form("it has control characters"));
        }
        let at = note.rfind("\n\n").ok_or(NoteError::Form("no empty line before the signatures"))?;
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        if lines.is_empty() || !lines.ends_with('\n') {
            return Err(NoteError::Form("no signature line, or the last one has no line end"));
        }
        let signatures: Vec<_> =
            lines.lines().take(SIGNATURES_MAX + 1).map(NoteSignature::parse).collect::<Result<_, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Form("it has too many signatures"));
        }
        Ok(SignedNote { text: text.to_owned(), signatures })
    }

    /// The text, including its last line end. Call [`verify`](SignedNote::verify) before trusting it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The first of `keys` that signed the text.
    ///
    /// # Errors
    /// If none did, or if a signature that claims to be by one of them is invalid.
    pub fn verify<'a>(&self, keys: &'a [VerifyingKey]) -> Result<&'a VerifyingKey, NoteError> {
        self.signers(keys.iter())?.first().copied().ok_or(NoteError::UnknownKey)
    }

    /// Those of `keys` that signed the text, in the order of their lines.
    pub(crate) fn signers<'a>(
        &self,
        keys: impl Iterator<Item = &'a VerifyingKey> + Clone,
    ) -> Result<Vec<&'a VerifyingKey>, NoteError> {
        let mut signers = Vec::new();
        for signature in &self.signatures {
            let is_its = |key: &&VerifyingKey| key.name() == signature.name && key.id() == signature.id;
            let Some(key) = keys.clone().find(is_its) else { continue };
            let is_right = <&[u8; SIGNATURE_BYTES]>::try_from(signature.bytes.as_slice())
                .is_ok_and(|bytes| key.verify(self.text.as_bytes(), bytes));
            if !is_right {
                return Err(NoteError::BadSignature(key.name().to_owned()));
            }
            signers.push(key);
        }
        Ok(signers)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| write!(formatter, "{signature}"))
    }
}

impl NoteSignature {
    pub(crate) fn parse(line: &str) -> Result<Self, NoteError> {
        const WRONG: NoteError = NoteError::Form("a signature line is not of the form `— NAME BASE64`");
        let (name, data) =
            line.strip_prefix(SIGNATURE_START).and_then(|rest| rest.split_once(' ')).ok_or(WRONG)?;
        let data = STANDARD.decode(data).map_err(|_| WRONG)?;
        let (id, bytes) = data.split_first_chunk::<4>().ok_or(WRONG)?;
        if bytes.is_empty() || name.is_empty() || name.contains('+') || name.chars().any(char::is_whitespace)
        {
            return Err(WRONG);
        }
        Ok(NoteSignature { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
    }
}

/// The line, with its line end.
impl fmt::Display for NoteSignature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut data = self.id.to_be_bytes().to_vec();
        data.extend_from_slice(&self.bytes);
        writeln!(formatter, "{SIGNATURE_START}{} {}", self.name, STANDARD.encode(data))
    }
}

/// The signed note of `text`, which must end with a line end and not with an empty line.
pub fn sign_note(text: &str, key: &SigningKey) -> String {
    sign_note_by(text, &[key])
}

/// The same signed by several keys, one signature line each.
pub(crate) fn sign_note_by(text: &str, keys: &[&SigningKey]) -> String {
    let mut note = format!("{text}\n");
    for key in keys {
        let public = key.verifying_key();
        let signature = NoteSignature {
            name: public.name().to_owned(),
            id: public.id(),
            bytes: key.sign(text.as_bytes()).to_vec(),
        };
        note.push_str(&signature.to_string());
    }
    note
}

/// The first four bytes of SHA-256(name ‖ "\n" ‖ type ‖ public key).
pub(crate) fn key_id(name: &str, signature_type: &[u8], public: &[u8; 32]) -> u32 {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update(b"\n");
    hash.update(signature_type);
    hash.update(public);
    let digest = hash.finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn with_type(bytes: &[u8; 32]) -> [u8; 33] {
    let mut out = [ED25519; 33];
    out[1..].copy_from_slice(bytes);
    out
}

/// Name, hash and decoded data of `NAME+HASH+BASE64`.
fn parts(text: &str) -> Result<(&str, &str, Vec<u8>), KeyError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(KeyError::Form);
    };
    if name.is_empty() || name.chars().any(char::is_whitespace) {
        return Err(KeyError::Form);
    }
    Ok((name, hash, STANDARD.decode(data).map_err(|_| KeyError::Form)?))
}

fn typed(data: &[u8]) -> Result<[u8; 32], KeyError> {
    match data.split_first() {
        Some((&ED25519, bytes)) => bytes.try_into().map_err(|_| KeyError::Form),
        _ => Err(KeyError::Type),
    }
}
