//! The event `trail.retired`: what it says, and when it counts.
//!
//! `signed_events` has how it is signed, and when it counts.

use sha2::{Digest as _, Sha256};
use trailseal_event::{Index, Object, Value};
use trailseal_tlog::{KeyRing, SigningKey};

use crate::signed_events;

const ACTION: &str = "trail.retired";
const STATEMENT: &str = "trailseal-retired@v1";
/// How many segments one event covers at most, so that its line is never cut.
pub(crate) const SEGMENTS_MAX: usize = 256;

/// One segment in an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedList {
    /// The first index of the segment.
    pub first: Index,
    /// How many bytes of its list are meant.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// SHA-256 of the file with the hashed ids; `None` if no retired event had one.
    pub ids: Option<[u8; 32]>,
}

/// What an event `trail.retired` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its index.
    pub index: Index,
    /// How many events it says are retired.
    pub count: u64,
    /// The lists of the segments that they were in.
    pub lists: Vec<AnnouncedList>,
}

impl Announcement {
    /// Whether the line at `index` may be one: a cheap look.
    pub fn may_be(index: Index, line: &[u8]) -> bool {
        may_be(index.get(), line)
    }

    /// What a line announces, if a key of the ring has signed that in its time. That a signed checkpoint covers the line is for
    /// the caller to see to. Without a ring nobody knows who signed it.
    pub fn read(line: &[u8], ring: Option<&KeyRing>) -> Option<Announcement> {
        match ring {
            Some(ring) => read(line, ring),
            None => announcement(signed_events::read_unchecked(line, ACTION)?),
        }
    }
}

impl AnnouncedList {
    pub(crate) fn new(first: Index, list: &[u8], ids: Option<[u8; 32]>) -> Self {
        AnnouncedList { first, bytes: list.len() as u64, sha256: Sha256::digest(list).into(), ids }
    }

    /// The part of a list that is meant, if it is the one that was announced.
    pub fn part_of<'a>(&self, list: &'a [u8]) -> Option<&'a [u8]> {
        let part = list.get(..usize::try_from(self.bytes).ok()?)?;
        let is_it =
            Sha256::digest(part)[..] == self.sha256 || cfg!(trailseal_fault = "retired_list_unchecked");
        is_it.then_some(part)
    }

    fn to_value(&self) -> Value {
        let mut object = Object::default();
        object.insert("first", self.first.get());
        object.insert("bytes", self.bytes);
        object.insert("sha256", hex(&self.sha256));
        if let Some(ids) = &self.ids {
            object.insert("ids_sha256", hex(ids));
        }
        Value::Object(object)
    }

    fn from_value(value: &Value) -> Option<Self> {
        let ids = match value.get("ids_sha256") {
            Some(ids) => Some(from_hex(ids.as_str()?)?),
            None => None,
        };
        Some(AnnouncedList {
            first: Index::new(value.get("first")?.as_u64()?),
            bytes: value.get("bytes")?.as_u64()?,
            sha256: from_hex(value.get("sha256")?.as_str()?)?,
            ids,
        })
    }
}

/// The details of the event: `rule`, the segments, and the signature over both.
pub(crate) fn details(rule: &Object, lists: &[AnnouncedList], origin: &str, key: &SigningKey) -> Object {
    let mut details = rule.clone();
    details.insert("segments", Value::Array(lists.iter().map(AnnouncedList::to_value).collect()));
    signed_events::sign(details, STATEMENT, origin, key)
}

/// Whether a line may be an announcement: a cheap look at one that begins as line `index` must.
pub(crate) fn may_be(index: u64, line: &[u8]) -> bool {
    signed_events::may_be(index, line, ACTION)
}

/// What a line announces; `None` if it is not an announcement that counts.
pub(crate) fn read(line: &[u8], ring: &KeyRing) -> Option<Announcement> {
    announcement(signed_events::read(line, ACTION, STATEMENT, ring)?)
}

fn announcement((index, details): (Index, Object)) -> Option<Announcement> {
    let lists = details.get("segments")?.as_array()?;
    let lists = lists.iter().map(AnnouncedList::from_value).collect::<Option<Vec<_>>>()?;
    let count = details.get("count").and_then(Value::as_u64).unwrap_or_default();
    Some(Announcement { index, count, lists })
}

/// Whether a line, as it is, announces that the first `bytes` of a segment's list are retired. Nothing is checked.
pub(crate) fn announces(line: &Value, first: Index, bytes: u64) -> bool {
    let lists = line.get("details").and_then(|details| details.get("segments")).and_then(Value::as_array);
    let lists = lists.unwrap_or_default().iter().filter_map(AnnouncedList::from_value);
    line.get("action").and_then(Value::as_str) == Some(ACTION)
        && lists.into_iter().any(|list| list.first == first && list.bytes >= bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}
