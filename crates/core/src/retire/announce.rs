//! The event `trail.retired`: what it says, and when it counts.
//!
//! Its details end with an Ed25519 signature over `trailseal-retired@v1`, a newline, the origin, a newline, and the
//! details exactly as they stand in the line, from the opening brace up to the comma before `"signature"`. It counts if
//! it is one of the trail's own lines, by the key that was in force at its index. That a signed checkpoint covers it is
//! for the caller to see to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use trailseal_event::line::{front_len, parse_front};
use trailseal_event::{Index, Object, Value};
use trailseal_tlog::{KeyRing, SigningKey};

const ACTION: &str = "trail.retired";
const BEFORE_SIGNATURE: &[u8] = b",\"signature\":\"";
/// How many segments one event covers at most, so that its line is never cut.
pub(crate) const SEGMENTS_MAX: usize = 256;

/// One segment in an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnnouncedList {
    /// The first index of the segment.
    pub(crate) first: Index,
    /// How many bytes of its list are meant.
    pub(crate) bytes: u64,
    /// Their SHA-256.
    pub(crate) sha256: [u8; 32],
    /// SHA-256 of the file with the hashed ids; `None` if no retired event had one.
    pub(crate) ids: Option<[u8; 32]>,
}

/// What an event `trail.retired` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Its index.
    pub(crate) index: Index,
    /// How many events it says are retired.
    pub(crate) count: u64,
    pub(crate) lists: Vec<AnnouncedList>,
}

impl AnnouncedList {
    pub(crate) fn new(first: Index, list: &[u8], ids: Option<[u8; 32]>) -> Self {
        AnnouncedList { first, bytes: list.len() as u64, sha256: Sha256::digest(list).into(), ids }
    }

    /// The part of a list that is meant, if it is the one that was announced.
    pub(crate) fn part_of<'a>(&self, list: &'a [u8]) -> Option<&'a [u8]> {
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
    let text = details.to_string();
    let signed = statement(origin, text.strip_suffix('}').unwrap_or(&text).as_bytes());
    details.insert("signature", STANDARD.encode(key.sign(&signed)));
    details
}

fn statement(origin: &str, details: &[u8]) -> Vec<u8> {
    let mut text = format!("trailseal-retired@v1\n{origin}\n").into_bytes();
    text.extend_from_slice(details);
    text
}

/// Whether a line may be an announcement: a cheap look at one that begins as line `index` must.
pub(crate) fn may_be(index: u64, line: &[u8]) -> bool {
    line.get(front_len(index)..).is_some_and(|rest| rest.starts_with(b"\"system\":true,"))
        && memchr::memmem::find(line, ACTION.as_bytes()).is_some()
}

/// What a line announces; `None` if it is not an announcement that counts.
pub(crate) fn read(line: &[u8], ring: &KeyRing) -> Option<Announcement> {
    let front = parse_front(line).filter(|front| front.system)?;
    let value = Value::parse(line).ok()?;
    if value.get("action")?.as_str()? != ACTION {
        return None;
    }
    let begin = memchr::memmem::find(line, b"\"details\":{")? + b"\"details\":".len();
    let end = memchr::memmem::rfind(line, BEFORE_SIGNATURE).filter(|end| *end > begin)?;
    let after = line.get(end + BEFORE_SIGNATURE.len()..)?;
    let signature = after.get(..memchr::memchr(b'"', after)?)?;
    let signature: [u8; 64] = STANDARD.decode(signature).ok()?.try_into().ok()?;
    let signed = statement(ring.origin().as_str(), &line[begin..end]);
    let is_in_force = |from: u64, to: Option<u64>| {
        front.index >= from && to.is_none_or(|to| front.index < to)
            || cfg!(trailseal_fault = "retired_by_any_key")
    };
    let is_signed = ring
        .keys()
        .iter()
        .filter(|entry| is_in_force(entry.from, entry.to))
        .any(|entry| entry.key.verify(&signed, &signature));
    if !is_signed && !cfg!(trailseal_fault = "retired_unsigned") {
        return None;
    }
    // Only what is signed is read.
    let mut details = line[begin..end].to_vec();
    details.push(b'}');
    let details = Value::parse(&details).ok()?;
    let lists = details.get("segments")?.as_array()?;
    let lists = lists.iter().map(AnnouncedList::from_value).collect::<Option<Vec<_>>>()?;
    let count = details.get("count").and_then(Value::as_u64).unwrap_or_default();
    Some(Announcement { index: Index::new(front.index), count, lists })
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
