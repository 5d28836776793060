//! The trail's own events whose details carry a signature of their own.
//!
//! Their details end with an Ed25519 signature over a statement's name, a newline, the origin, a newline, and the details
//! exactly as they stand in the line, from the opening brace up to the comma before `"signature"`. Such an event counts if
//! it is one of the trail's own lines, by the key that was in force at its index. That a signed checkpoint covers it is
//! for the caller to see to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trailseal_event::line::{front_len, parse_front};
use trailseal_event::{Index, Object, Value};
use trailseal_tlog::{KeyRing, SigningKey};

const BEFORE_SIGNATURE: &[u8] = b",\"signature\":\"";

/// The details with their signature, the last of them.
pub(crate) fn sign(mut details: Object, name: &str, origin: &str, key: &SigningKey) -> Object {
    let text = details.to_string();
    let signed = statement(name, origin, text.strip_suffix('}').unwrap_or(&text).as_bytes());
    details.insert("signature", STANDARD.encode(key.sign(&signed)));
    details
}

fn statement(name: &str, origin: &str, details: &[u8]) -> Vec<u8> {
    let mut text = format!("{name}\n{origin}\n").into_bytes();
    text.extend_from_slice(details);
    text
}

/// Whether a line may be such an event: a cheap look at one that begins as line `index` must.
pub(crate) fn may_be(index: u64, line: &[u8], action: &str) -> bool {
    line.get(front_len(index)..).is_some_and(|rest| rest.starts_with(b"\"system\":true,"))
        && memchr::memmem::find(line, action.as_bytes()).is_some()
}

/// The index of a line and its details, as far as they are signed; `None` if it is not such an event, or does not count.
pub(crate) fn read(line: &[u8], action: &str, name: &str, ring: &KeyRing) -> Option<(Index, Object)> {
    let found = find(line, action)?;
    let signed = statement(name, ring.origin().as_str(), found.details);
    let is_in_force = |from: u64, to: Option<u64>| {
        found.index >= from && to.is_none_or(|to| found.index < to)
            || cfg!(trailseal_fault = "retired_by_any_key")
    };
    let is_signed = ring
        .keys()
        .iter()
        .filter(|entry| is_in_force(entry.from, entry.to))
        .any(|entry| entry.key.verify(&signed, &found.signature));
    if !is_signed && !cfg!(trailseal_fault = "retired_unsigned") {
        return None;
    }
    Some((Index::new(found.index), found.parsed()?))
}

/// The same for whoever has no key: nobody knows who signed it.
pub(crate) fn read_unchecked(line: &[u8], action: &str) -> Option<(Index, Object)> {
    let found = find(line, action)?;
    Some((Index::new(found.index), found.parsed()?))
}

/// Such an event, whoever signed it.
struct Signed<'a> {
    index: u64,
    /// What is signed, without the closing brace.
    details: &'a [u8],
    signature: [u8; 64],
}

fn find<'a>(line: &'a [u8], action: &str) -> Option<Signed<'a>> {
    let front = parse_front(line).filter(|front| front.system)?;
    let value = Value::parse(line).ok()?;
    if value.get("action")?.as_str()? != action {
        return None;
    }
    let begin = memchr::memmem::find(line, b"\"details\":{")? + b"\"details\":".len();
    let end = memchr::memmem::rfind(line, BEFORE_SIGNATURE).filter(|end| *end > begin)?;
    let after = line.get(end + BEFORE_SIGNATURE.len()..)?;
    let signature = after.get(..memchr::memchr(b'"', after)?)?;
    let signature: [u8; 64] = STANDARD.decode(signature).ok()?.try_into().ok()?;
    Some(Signed { index: front.index, details: &line[begin..end], signature })
}

impl Signed<'_> {
    /// Only what is signed is read.
    fn parsed(&self) -> Option<Object> {
        let mut details = self.details.to_vec();
        details.push(b'}');
        Some(Value::parse(&details).ok()?.as_object()?.clone())
    }
}
