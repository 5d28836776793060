//! The key of one person, and what it seals.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::wiped::Wiped;

/// The name of a person's key: the key file's id and the slot in it. It says nothing about the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName {
    /// The id of the key file.
    pub file: u32,
    /// The slot in it.
    pub slot: u64,
}

impl fmt::Display for KeyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}-{:x}", self.file, self.slot)
    }
}

/// A text is not the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not the name of a key, such as 3fa91c02-1f")]
pub struct NoKeyName;

impl FromStr for KeyName {
    type Err = NoKeyName;

    /// Only the one form that [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<KeyName, NoKeyName> {
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (file, slot) = text.split_once('-').ok_or(NoKeyName)?;
        let is_slot = matches!(slot.len(), 1..=16) && (slot == "0" || !slot.starts_with('0'));
        if file.len() != 8 || !is_slot || !is_hex(file) || !is_hex(slot) {
            return Err(NoKeyName);
        }
        let file = u32::from_str_radix(file, 16).map_err(|_| NoKeyName)?;
        let slot = u64::from_str_radix(slot, 16).map_err(|_| NoKeyName)?;
        Ok(KeyName { file, slot })
    }
}

/// Where a value stands. It is sealed together with the value, so a token that was copied elsewhere does not open.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The event's id.
    pub id: &'a str,
    /// The event's tenant; empty without one.
    pub tenant: &'a str,
    /// The field, as a JSON Pointer (RFC 6901).
    pub pointer: &'a str,
}

impl Place<'_> {
    /// The additional data of the cipher: id, tenant and pointer, each ended by a zero byte but the last.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.id.len() + self.tenant.len() + self.pointer.len() + 2);
        Place::begin(self.id.as_bytes(), self.tenant.as_bytes(), &mut bytes);
        bytes.extend_from_slice(self.pointer.as_bytes());
        bytes
    }

    /// What all places of an event have in common; returns how long that is.
    pub(super) fn begin(id: &[u8], tenant: &[u8], bytes: &mut Vec<u8>) -> usize {
        for text in [id, tenant] {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
        bytes.len()
    }
}

/// The key of one person, ready for use. It never shows itself.
pub struct SubjectKey {
    name: KeyName,
    /// The name as lines have it. Kept inline, because with many keys each further allocation is a cache miss.
    label: [u8; LABEL_BYTES_MAX],
    label_len: u8,
    key: Wiped<LessSafeKey>,
}

/// The longest name of a key: eight digits, a dash and sixteen digits.
const LABEL_BYTES_MAX: usize = 8 + 1 + 16;

/// The length of a nonce.
pub(super) const NONCE_BYTES: usize = NONCE_LEN;
/// The length of a tag.
pub(super) const TAG_BYTES: usize = 16;

impl SubjectKey {
    /// The key with these bytes. `None` only if the cipher refuses the key, which does not happen with 32 bytes.
    pub fn new(name: KeyName, bytes: &[u8; 32]) -> Option<SubjectKey> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).ok()?;
        let mut label = [0; LABEL_BYTES_MAX];
        let text = name.to_string();
        label.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        let key = Wiped::new(LessSafeKey::new(key));
        Some(SubjectKey { name, label, label_len: text.len() as u8, key })
    }

    /// Its name.
    pub fn name(&self) -> KeyName {
        self.name
    }

    /// Its name as lines have it.
    pub(super) fn label(&self) -> &[u8] {
        &self.label[..usize::from(self.label_len)]
    }

    /// Appends nonce, cipher text and tag of a value's JSON text. `place` is what [`Place`] writes. `nonce` must never be used twice with a key. `None` if
    /// the text is too long for the cipher, which no line's is; then nothing was appended.
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        place: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let start = out.len();
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let text = &mut out[start + NONCE_BYTES..];
        match self.key.seal_in_place_separate_tag(nonce, Aad::from(place), text) {
            Ok(tag) => {
                out.extend_from_slice(tag.as_ref());
                Some(())
            }
            Err(_) => {
                out.truncate(start);
                None
            }
        }
    }

    /// The value's JSON text; `None` if this was not sealed with this key, for this place.
    pub(super) fn open<'s>(&self, place: &Place<'_>, sealed: &'s mut [u8]) -> Option<&'s [u8]> {
        let (nonce, sealed) = sealed.split_first_chunk_mut::<NONCE_BYTES>()?;
        let bytes = place.to_bytes();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.key.open_in_place(nonce, Aad::from(&*bytes), sealed).ok().map(|plain| &*plain)
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SubjectKey({})", self.name)
    }
}

/// The keys that personal values are written with.
pub trait SubjectKeys {
    /// The key of this person, a new one if there is none. `None` if it could not be kept: then nothing may be written
    /// with it.
    fn key_of(&self, subject: &str) -> Option<Arc<SubjectKey>>;
    /// A nonce that was never given before.
    fn nonce(&self) -> [u8; 12];
}

/// What became of a key.
#[derive(Clone, Debug)]
pub enum Key {
    /// It is there.
    Kept(Arc<SubjectKey>),
    /// It was destroyed: the person was erased.
    Erased,
    /// It is not there, and nobody erased it.
    Missing,
    /// Its file is another one.
    Elsewhere,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: KeyName = KeyName { file: 0x3fa9_1c02, slot: 0x1f };
    const PLACE: Place<'_> = Place { id: "7", tenant: "acme", pointer: "/actor/email" };

    #[test]
    fn a_name_has_one_form() {
        assert_eq!(NAME.to_string(), "3fa91c02-1f");
        assert_eq!("3fa91c02-1f".parse(), Ok(NAME));
        assert_eq!("00000000-0".parse(), Ok(KeyName { file: 0, slot: 0 }));
        for bad in
            ["", "-", "3fa91c02", "3fa91c02-", "3FA91C02-1f", "3fa91c02-01", "fa91c02-1", "3fa91c02-+1"]
        {
            assert_eq!(bad.parse::<KeyName>(), Err(NoKeyName), "{bad}");
        }
        assert_eq!("3fa91c02-11111111111111111".parse::<KeyName>(), Err(NoKeyName));
    }

    #[test]
    fn a_value_opens_with_its_key_at_its_place() {
        let key = SubjectKey::new(NAME, &[7; 32]).unwrap();
        let mut sealed = Vec::new();
        key.seal([1; 12], &PLACE.to_bytes(), b"\"bob\"", &mut sealed).unwrap();
        assert_eq!(sealed.len(), NONCE_BYTES + 5 + TAG_BYTES);
        let opened =
            |key: &SubjectKey, place: &Place<'_>| key.open(place, &mut sealed.clone()).map(<[u8]>::to_vec);
        assert_eq!(opened(&key, &PLACE).as_deref(), Some(&b"\"bob\""[..]));
        assert_eq!(opened(&SubjectKey::new(NAME, &[8; 32]).unwrap(), &PLACE), None);
        for place in [
            Place { id: "8", ..PLACE },
            Place { tenant: "other", ..PLACE },
            Place { pointer: "/actor/name", ..PLACE },
        ] {
            assert_eq!(opened(&key, &place), None, "{place:?}");
        }
        assert_eq!(key.open(&PLACE, &mut []), None);
        assert_eq!(format!("{key:?}"), "SubjectKey(3fa91c02-1f)");
    }
}
