//! Values and their codes, one dictionary per column. Codes are given in order of arrival and never change.
//!
//! What must hold: a dictionary is bounded, whatever clients send. A value that it does not take has the code [`OTHER`]
//! and a key in the column's own kind, which finds it anyway.

use crc32c::crc32c_append;
use hashbrown::HashTable;

use crate::schema::{FIRST_CODE, Hasher};

/// Longer values are not taken.
const VALUE_BYTES_MAX: usize = 512;
/// A dictionary takes at most this many bytes.
const BYTES_MAX: usize = 8 << 20;

/// The values of one column, by code.
#[derive(Clone, Default)]
pub(crate) struct Dictionary {
    bytes: Vec<u8>,
    /// Where each value ends in `bytes`.
    ends: Vec<u32>,
    checked: Checked,
}

/// Checksums of the first values, so that only new ones need to be read.
#[derive(Clone, Copy, Default)]
struct Checked {
    values: usize,
    of_bytes: u32,
    of_ends: u32,
}

impl Dictionary {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many values it holds, and a checksum of all of them.
    pub(crate) fn checked(&mut self) -> (u32, u32) {
        let Checked { values, of_bytes, of_ends } = self.checked;
        let ends: Vec<u8> = self.ends[values..].iter().flat_map(|end| end.to_le_bytes()).collect();
        self.checked = Checked {
            values: self.ends.len(),
            of_bytes: crc32c_append(of_bytes, &self.bytes[self.begin(values)..]),
            of_ends: crc32c_append(of_ends, &ends),
        };
        let Checked { of_bytes, of_ends, .. } = self.checked;
        (self.ends.len() as u32, of_bytes ^ of_ends.rotate_left(1))
    }

    /// The code that the next value gets.
    pub(crate) fn next_code(&self) -> u32 {
        FIRST_CODE + self.ends.len() as u32
    }

    /// The value of a code.
    pub(crate) fn value(&self, code: u32) -> Option<&[u8]> {
        let at = code.checked_sub(FIRST_CODE)? as usize;
        let end = *self.ends.get(at)? as usize;
        self.bytes.get(self.begin(at)..end)
    }

    fn begin(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |&end| end as usize)
    }

    /// Adds a value, which must be new.
    pub(crate) fn push(&mut self, value: &[u8]) -> u32 {
        let code = self.next_code();
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len() as u32);
        code
    }

    fn takes(&self, value: &[u8], values_max: usize) -> bool {
        value.len() <= VALUE_BYTES_MAX
            && self.ends.len() < values_max
            && self.bytes.len() + value.len() <= BYTES_MAX
    }

    /// Codes and values of all values that pass.
    pub(crate) fn codes_where(&self, mut is_wanted: impl FnMut(&[u8]) -> bool) -> Vec<u32> {
        let mut codes = Vec::new();
        let mut begin = 0;
        for (code, &end) in (FIRST_CODE..).zip(&self.ends) {
            if self.bytes.get(begin..end as usize).is_some_and(&mut is_wanted) {
                codes.push(code);
            }
            begin = end as usize;
        }
        codes
    }
}

/// A dictionary that grows.
#[derive(Default)]
pub(crate) struct GrowingDictionary {
    values: Dictionary,
    values_max: usize,
    codes: HashTable<u32>,
    /// The previous value: runs of one value are frequent.
    last: Option<(Vec<u8>, u32)>,
    /// How many values are stored.
    pub(crate) stored: usize,
}

impl GrowingDictionary {
    /// `values` and more, until there are `values_max`.
    pub(crate) fn new(values: Dictionary, values_max: usize, hasher: Hasher) -> Self {
        let stored = values.len();
        let mut codes = HashTable::with_capacity(stored);
        let hash = |code: &u32| hasher.bytes(values.value(*code).unwrap_or_default());
        for code in FIRST_CODE..values.next_code() {
            codes.insert_unique(hash(&code), code, hash);
        }
        GrowingDictionary { values, values_max, codes, last: None, stored }
    }

    /// The value's code; `None` if it is not taken.
    pub(crate) fn code(&mut self, value: &[u8], hasher: Hasher) -> Option<u32> {
        if let Some((last, code)) = &self.last
            && last == value
        {
            return Some(*code);
        }
        let values = &mut self.values;
        let hash = hasher.bytes(value);
        let found = self.codes.find(hash, |&code| values.value(code) == Some(value)).copied();
        let code = match found {
            Some(code) => code,
            None if !values.takes(value, self.values_max) => return None,
            None => {
                let code = values.push(value);
                let hash_of = |code: &u32| hasher.bytes(values.value(*code).unwrap_or_default());
                self.codes.insert_unique(hash, code, hash_of);
                code
            }
        };
        let last = self.last.get_or_insert_default();
        last.0.clear();
        last.0.extend_from_slice(value);
        last.1 = code;
        Some(code)
    }

    pub(crate) fn values(&self) -> &Dictionary {
        &self.values
    }

    /// As in `Dictionary`.
    pub(crate) fn checked(&mut self) -> (u32, u32) {
        self.values.checked()
    }

    /// Values that are not stored yet, with their codes.
    pub(crate) fn unstored(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (FIRST_CODE + self.stored as u32..self.values.next_code())
            .filter_map(|code| Some((code, self.values.value(code)?)))
    }
}

/// An actor in the dictionary: id and name together, since a filter asks for either.
///
/// ```text
/// 1 byte (1: has an id, 2: has a name) | length of the id u32 | id | name
/// ```
pub(crate) fn put_actor(id: Option<&str>, name: Option<&str>, out: &mut Vec<u8>) {
    out.clear();
    out.push(u8::from(id.is_some()) | u8::from(name.is_some()) << 1);
    let id = id.unwrap_or_default();
    out.extend_from_slice(&(id.len() as u32).to_le_bytes());
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(name.unwrap_or_default().as_bytes());
}

/// An actor as encoded in the dictionary.
pub(crate) struct ActorParts<'a> {
    pub(crate) id: Option<&'a [u8]>,
    pub(crate) name: Option<&'a [u8]>,
}

/// The id and name of an actor in the dictionary.
pub(crate) fn actor_parts(entry: &[u8]) -> Option<ActorParts<'_>> {
    let (&has, rest) = entry.split_first()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (id, name) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some(ActorParts { id: (has & 1 != 0).then_some(id), name: (has & 2 != 0).then_some(name) })
}
