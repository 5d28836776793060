//! The bytes of a key file: a header, and one slot for each key.
//!
//! All of it comes from outside, so everything is checked: a slot says where it stands and carries a checksum, and its
//! key opens only in this file and slot.

use std::io;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use sha2::{Digest as _, Sha256};
use trailseal_event::personal::{Key, KeyName, SubjectKey, Wiped};

const MAGIC: &[u8; 8] = b"TSPERS01";
/// The header takes a block, so that no slot lies across two.
pub(crate) const HEADER_BYTES: u64 = 4_096;
/// The size of a slot.
pub(crate) const SLOT_BYTES: usize = 128;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const SEALED_BYTES: usize = KEY_BYTES + TAG_BYTES;
/// The header's bytes that mean something.
pub(super) const HEADER_USED: usize = 128;

/// The first bytes of a keyed hash of a person's id.
pub(crate) type SubjectHash = [u8; 16];

/// What stands at the beginning of a key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFileHeader {
    /// The file's id, which is part of the name of each of its keys.
    pub file: u32,
    /// The first 8 bytes of SHA-256(origin).
    pub(crate) mark: [u8; 8],
    is_wrapped: bool,
    nonce: [u8; NONCE_LEN],
    /// The key that wraps all others; itself wrapped by a master key if there is one.
    wrapping: [u8; SEALED_BYTES],
}

/// Why a key file's header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWrappingKey {
    /// It is wrapped, and no master key was given.
    NeedsMaster,
    /// The master key is another one.
    OtherMaster,
}

impl KeyFileHeader {
    /// A new file's header.
    pub(crate) fn new(
        file: u32,
        origin: &str,
        wrapping: &[u8; KEY_BYTES],
        nonce: [u8; NONCE_LEN],
        master: Option<&[u8; KEY_BYTES]>,
    ) -> Option<KeyFileHeader> {
        let mut header = KeyFileHeader {
            file,
            mark: mark_of(origin),
            is_wrapped: master.is_some(),
            nonce,
            wrapping: [0; SEALED_BYTES],
        };
        header.wrapping[..KEY_BYTES].copy_from_slice(wrapping);
        if let Some(master) = master {
            header.wrapping = seal(&cipher(master)?, nonce, &header.place(), wrapping)?;
        }
        Some(header)
    }

    /// The header that these bytes begin with.
    pub fn parse(bytes: &[u8]) -> Option<KeyFileHeader> {
        let bytes: &[u8; HEADER_USED] = bytes.first_chunk()?;
        let is_whole = bytes.starts_with(MAGIC) && checksum(&bytes[..HEADER_USED - 4]) == word(bytes, 124);
        let is_wrapped = match bytes[12] {
            0 => false,
            1 => true,
            _ => return None,
        };
        is_whole.then(|| KeyFileHeader {
            file: word(bytes, 8),
            mark: part(bytes, 16),
            is_wrapped,
            nonce: part(bytes, 24),
            wrapping: part(bytes, 36),
        })
    }

    /// As it stands in the file.
    pub(crate) fn to_bytes(&self) -> [u8; HEADER_USED] {
        let mut bytes = [0; HEADER_USED];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.file.to_le_bytes());
        bytes[12] = u8::from(self.is_wrapped);
        bytes[16..24].copy_from_slice(&self.mark);
        bytes[24..36].copy_from_slice(&self.nonce);
        bytes[36..84].copy_from_slice(&self.wrapping);
        let checksum = checksum(&bytes[..HEADER_USED - 4]);
        bytes[124..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Whether the file is of the trail with this origin.
    pub(crate) fn is_of(&self, origin: &str) -> bool {
        self.mark == mark_of(origin)
    }

    pub(crate) fn is_wrapped(&self) -> bool {
        self.is_wrapped
    }

    /// The key that wraps all others.
    pub(crate) fn wrapping_key(
        &self,
        master: Option<&[u8; KEY_BYTES]>,
    ) -> Result<[u8; KEY_BYTES], NoWrappingKey> {
        if !self.is_wrapped {
            return Ok(part(&self.wrapping, 0));
        }
        let master = master.ok_or(NoWrappingKey::NeedsMaster)?;
        let key = cipher(master).and_then(|master| open(&master, self.nonce, &self.place(), self.wrapping));
        key.map(|key| *key).ok_or(NoWrappingKey::OtherMaster)
    }

    fn place(&self) -> Vec<u8> {
        let mut place = b"trailseal-personal-file@v1".to_vec();
        place.extend_from_slice(&self.file.to_le_bytes());
        place.extend_from_slice(&self.mark);
        place
    }
}

/// What a slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySlot {
    /// It was never used.
    Free,
    /// It has the key of a person.
    Used(UsedSlot),
    /// Its key was destroyed, since the person was erased: by the event with this index, at this time in microseconds
    /// since 1970.
    Erased {
        /// The keyed hash of the person's id.
        subject: [u8; 16],
        /// The event `trail.erased`.
        by: u64,
        /// When.
        at: i64,
    },
    /// A line names it that was never confirmed to be on disk, and its key was lost with a power loss.
    Lost,
    /// Its bytes are none of these.
    Damaged,
}

/// A slot with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedSlot {
    pub(crate) subject: SubjectHash,
    nonce: [u8; NONCE_LEN],
    key: [u8; SEALED_BYTES],
}

const USED: u32 = 0x4445_5355;
const ERASED: u32 = 0x5341_5245;
const LOST: u32 = 0x5453_4F4C;

impl KeySlot {
    /// What stands in slot `number`.
    pub fn parse(bytes: &[u8; SLOT_BYTES], number: u64) -> KeySlot {
        if bytes.iter().all(|byte| *byte == 0) {
            return KeySlot::Free;
        }
        let is_whole = checksum(&bytes[..SLOT_BYTES - 4]) == word(bytes, 124) && long(bytes, 8) == number;
        match word(bytes, 0) {
            _ if !is_whole => KeySlot::Damaged,
            USED => {
                let (subject, nonce, key) = (part(bytes, 16), part(bytes, 32), part(bytes, 44));
                KeySlot::Used(UsedSlot { subject, nonce, key })
            }
            ERASED => KeySlot::Erased {
                subject: part(bytes, 16),
                by: long(bytes, 96),
                at: i64::from_le_bytes(part(bytes, 104)),
            },
            LOST => KeySlot::Lost,
            _ => KeySlot::Damaged,
        }
    }

    /// As it stands in the file.
    pub(crate) fn to_bytes(&self, number: u64) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        let state = match self {
            KeySlot::Free | KeySlot::Damaged => return bytes,
            KeySlot::Used(used) => {
                bytes[16..32].copy_from_slice(&used.subject);
                bytes[32..44].copy_from_slice(&used.nonce);
                bytes[44..92].copy_from_slice(&used.key);
                USED
            }
            KeySlot::Erased { subject, by, at } => {
                bytes[16..32].copy_from_slice(subject);
                bytes[96..104].copy_from_slice(&by.to_le_bytes());
                bytes[104..112].copy_from_slice(&at.to_le_bytes());
                ERASED
            }
            KeySlot::Lost => LOST,
        };
        bytes[..4].copy_from_slice(&state.to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        let checksum = checksum(&bytes[..SLOT_BYTES - 4]);
        bytes[124..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

/// Where a slot begins.
pub(crate) fn slot_offset(number: u64) -> u64 {
    HEADER_BYTES.saturating_add(number.saturating_mul(SLOT_BYTES as u64))
}

/// What wraps the keys of a file, and hashes the ids of people.
pub(crate) struct Wrapping {
    file: u32,
    cipher: LessSafeKey,
    hash: hmac::Key,
}

impl Wrapping {
    pub(crate) fn new(file: u32, key: &[u8; KEY_BYTES]) -> Option<Wrapping> {
        let whole = hmac::Key::new(hmac::HMAC_SHA256, key);
        let hash = hmac::sign(&whole, b"trailseal-personal-subject@v1");
        Some(Wrapping { file, cipher: cipher(key)?, hash: hmac::Key::new(hmac::HMAC_SHA256, hash.as_ref()) })
    }

    /// By what a person's key is found.
    pub(crate) fn subject(&self, subject: &str) -> SubjectHash {
        part(hmac::sign(&self.hash, subject.as_bytes()).as_ref(), 0)
    }

    pub(crate) fn wrap(
        &self,
        number: u64,
        subject: SubjectHash,
        nonce: [u8; NONCE_LEN],
        key: &[u8; KEY_BYTES],
    ) -> Option<UsedSlot> {
        let key = seal(&self.cipher, nonce, &self.place(number, &subject), key)?;
        Some(UsedSlot { subject, nonce, key })
    }

    pub(crate) fn unwrap(&self, number: u64, slot: &UsedSlot) -> Option<Wiped<[u8; KEY_BYTES]>> {
        open(&self.cipher, slot.nonce, &self.place(number, &slot.subject), slot.key)
    }

    /// What became of the key of this name, by what stands in its slot.
    pub(super) fn key_in(&self, name: KeyName, slot: io::Result<KeySlot>) -> Key {
        match slot {
            Ok(KeySlot::Used(used)) => {
                let key = self.unwrap(name.slot, &used);
                key.and_then(|key| SubjectKey::new(name, &key))
                    .map_or(Key::Missing, |key| Key::Kept(key.into()))
            }
            Ok(KeySlot::Erased { .. }) => Key::Erased,
            Ok(KeySlot::Free | KeySlot::Lost | KeySlot::Damaged) | Err(_) => Key::Missing,
        }
    }

    pub(crate) fn name(&self, slot: u64) -> KeyName {
        KeyName { file: self.file, slot }
    }

    fn place(&self, number: u64, subject: &SubjectHash) -> Vec<u8> {
        let mut place = b"trailseal-personal-key@v1".to_vec();
        place.extend_from_slice(&self.file.to_le_bytes());
        place.extend_from_slice(&number.to_le_bytes());
        place.extend_from_slice(subject);
        place
    }
}

fn cipher(key: &[u8; KEY_BYTES]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}

fn seal(
    cipher: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    place: &[u8],
    key: &[u8; KEY_BYTES],
) -> Option<[u8; SEALED_BYTES]> {
    let mut sealed = [0; SEALED_BYTES];
    sealed[..KEY_BYTES].copy_from_slice(key);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from(place), &mut sealed[..KEY_BYTES]).ok()?;
    sealed[KEY_BYTES..].copy_from_slice(tag.as_ref());
    Some(sealed)
}

fn open(
    cipher: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    place: &[u8],
    sealed: [u8; SEALED_BYTES],
) -> Option<Wiped<[u8; KEY_BYTES]>> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let mut sealed = Wiped::new(sealed);
    let key = cipher.open_in_place(nonce, Aad::from(place), &mut sealed[..]).ok()?;
    key.first_chunk().copied().map(Wiped::new)
}

fn mark_of(origin: &str) -> [u8; 8] {
    part(&Sha256::digest(origin.as_bytes()), 0)
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// `N` of the bytes, from `at` on. Callers ask only for what is there.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(part(bytes, at))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(part(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "example.com/a";

    #[test]
    fn a_header_gives_its_key_to_whoever_has_the_master_key() {
        let (key, master) = ([1; 32], [2; 32]);
        for given in [None, Some(&master)] {
            let header = KeyFileHeader::new(7, ORIGIN, &key, [3; 12], given).unwrap();
            let bytes = header.to_bytes();
            assert_eq!(KeyFileHeader::parse(&bytes).as_ref(), Some(&header));
            assert_eq!(header.wrapping_key(given), Ok(key));
            assert!(header.is_of(ORIGIN) && !header.is_of("example.com/b"));
            assert_eq!(bytes.windows(32).any(|part| part == key), given.is_none());
            for at in 0..128 {
                let mut bytes = bytes;
                bytes[at] ^= 1;
                assert_eq!(KeyFileHeader::parse(&bytes), None, "{at}");
            }
        }
        let header = KeyFileHeader::new(7, ORIGIN, &key, [3; 12], Some(&master)).unwrap();
        assert_eq!(header.wrapping_key(None), Err(NoWrappingKey::NeedsMaster));
        assert_eq!(header.wrapping_key(Some(&key)), Err(NoWrappingKey::OtherMaster));
        assert_eq!(KeyFileHeader::parse(&[0; 64]), None);
    }

    #[test]
    fn a_slot_says_what_it_is_or_that_it_is_damaged() {
        let wrapping = Wrapping::new(7, &[1; 32]).unwrap();
        let subject = wrapping.subject("ann");
        assert_ne!(subject, wrapping.subject("bob"));
        assert_ne!(subject, Wrapping::new(7, &[2; 32]).unwrap().subject("ann"));
        let used = wrapping.wrap(3, subject, [4; 12], &[5; 32]).unwrap();
        assert_eq!(wrapping.unwrap(3, &used).map(|key| *key), Some([5; 32]));
        assert!(wrapping.unwrap(4, &used).is_none());
        assert!(Wrapping::new(8, &[1; 32]).unwrap().unwrap(3, &used).is_none());
        let slots =
            [KeySlot::Free, KeySlot::Used(used), KeySlot::Erased { subject, by: 9, at: -1 }, KeySlot::Lost];
        for slot in slots {
            let bytes = slot.to_bytes(3);
            assert_eq!(KeySlot::parse(&bytes, 3), slot);
            assert!(slot == KeySlot::Free || KeySlot::parse(&bytes, 4) == KeySlot::Damaged);
            for at in 0..SLOT_BYTES {
                let mut bytes = bytes;
                bytes[at] ^= 0x10;
                assert_eq!(KeySlot::parse(&bytes, 3), KeySlot::Damaged, "{at}");
            }
        }
    }
}
