//! Fills in what the caller did not give: the event's id, its time, and who handed it in.
//!
//! In: an event and the present time. Out: a [`Stamp`], which goes into the line with the event. What must hold: an id
//! is never made twice, not even by a child process after `fork`; an id given by the caller is never changed, except
//! that one of over 128 bytes is replaced by its hash.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use crate::event::{Event, held_id};
use crate::timestamp::Timestamp;

const UUID_BYTES: usize = 36;
/// An event's id: a UUIDv7 made here, or the caller's own. Cheap to make and to clone.
#[derive(Clone)]
pub struct EventId(Form);

#[derive(Clone)]
enum Form {
    Made([u8; UUID_BYTES]),
    Given(Arc<str>),
}

impl EventId {
    /// A new UUIDv7 that begins with `now`.
    pub fn new(now: Timestamp) -> Self {
        EventId(Form::Made(uuid_text(now.as_unix_millis(), random(), 7)))
    }

    /// The caller's own id; one of over 128 bytes is replaced by `sha256:` and its hash.
    pub fn given(id: &str) -> Self {
        EventId(Form::Given(held_id(id).as_ref().into()))
    }

    /// The id as written in the line.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // It consists only of ASCII digits and dashes, so this is never the default.
            Form::Made(text) => std::str::from_utf8(text).unwrap_or_default(),
            Form::Given(text) => text,
        }
    }

    /// The text, if it was made here and so needs no escaping.
    pub(crate) fn made(&self) -> Option<&[u8; UUID_BYTES]> {
        if let Form::Made(text) = &self.0 { Some(text) } else { None }
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({})", self.as_str())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl PartialEq for EventId {
    fn eq(&self, other: &EventId) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for EventId {}

/// What the trail adds to an event's content.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamp {
    /// The time of recording; also the event's time if the caller gave none.
    pub now: Timestamp,
    /// The event's id.
    pub id: EventId,
    /// Whether the trail itself makes this event. No caller's field can set it.
    pub system: bool,
    /// The token or process that handed the event in.
    pub recorded_by: Option<Arc<str>>,
    /// Paths that were masked.
    pub masked: Vec<String>,
    /// The share of events like this one that is kept, if they are sampled.
    pub sample_rate: Option<f64>,
}

/// Fills in what the caller left out: an id, if there is none, and the time.
pub fn complete(event: &Event, now: Timestamp) -> Stamp {
    let id = match event.id.as_deref() {
        Some(id) if !id.is_empty() => EventId::given(id),
        _ => EventId::new(now),
    };
    Stamp { now, id, system: false, recorded_by: None, masked: Vec::new(), sample_rate: None }
}

/// The id of an imported event: the same for the same bytes at the same position among equal lines, so that importing
/// again adds nothing.
///
/// It is a UUID of version 8 with the layout of version 7: the record's own time in milliseconds (zero if it has none),
/// then the beginning of SHA-256 over `format`, a zero byte, `occurrence` (how often the same bytes came before in that
/// file) as eight bytes, big-endian, and `line`.
pub fn imported_id(format: &str, line: &[u8], occurrence: u64, time: Option<Timestamp>) -> String {
    let mut hash = Sha256::new();
    hash.update(format.as_bytes());
    hash.update([0]);
    hash.update(occurrence.to_be_bytes());
    hash.update(line);
    let mut tail = [0; 10];
    tail.copy_from_slice(&hash.finalize()[..10]);
    let text = uuid_text(time.map_or(0, Timestamp::as_unix_millis), tail, 8);
    text.iter().map(|&byte| char::from(byte)).collect()
}

/// The text of a UUID: 48 bits of time, the version, and 74 of the bits in `tail`.
///
/// Built from whole words: bytes stored one by one would delay the next copy of the id, which moves sixteen at once.
fn uuid_text(millis: u64, mut tail: [u8; 10], version: u8) -> [u8; UUID_BYTES] {
    const DASH: u64 = b'-' as u64;
    tail[0] = tail[0] & 0x0F | version << 4;
    tail[2] = tail[2] & 0x3F | 0x80;
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&tail);
    let digits = |at: usize| hex_digits([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let [a, b, c, d] = [digits(0), digits(4), digits(8), digits(12)];
    let words = [
        a,
        DASH | b << 32 >> 24 | DASH << 40 | b >> 32 << 48,
        b >> 48 | DASH << 16 | c << 32 >> 8 | DASH << 56,
        c >> 32 | d << 32,
    ];
    let mut text = [0; UUID_BYTES];
    for (word, place) in words.into_iter().zip(text.as_chunks_mut::<8>().0) {
        *place = word.to_le_bytes();
    }
    text[32..].copy_from_slice(&d.to_le_bytes()[4..]);
    text
}

/// The eight hexadecimal digits of four bytes, the first in the lowest byte.
fn hex_digits(bytes: [u8; 4]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from(u32::from_le_bytes(bytes));
    let halves = (word | word << 16) & 0x0000_FFFF_0000_FFFF;
    let apart = (halves | halves << 8) & 0x00FF_00FF_00FF_00FF;
    let nibbles = (apart >> 4 | apart << 8) & (EACH * 0x0F);
    let is_letter = (nibbles + EACH * 6) >> 4 & EACH;
    nibbles + EACH * u64::from(b'0') + is_letter * u64::from(b'a' - b'0' - 10)
}

/// Ten random bytes from this thread's generator.
pub(crate) fn random() -> [u8; 10] {
    thread_local! {
        static GENERATOR: RefCell<Option<(u32, ChaCha8Rng)>> = const { RefCell::new(None) };
    }
    // A forked child has another one, and each thread takes a new seed before its next id.
    let generation = crate::fork::generation();
    let draw = |generator: &mut ChaCha8Rng| {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&generator.next_u64().to_le_bytes());
        bytes[8..].copy_from_slice(&generator.next_u32().to_le_bytes()[..2]);
        bytes
    };
    GENERATOR
        .try_with(|cell| {
            let mut slot = cell.borrow_mut();
            match &mut *slot {
                Some((seeded, generator)) if *seeded == generation => draw(generator),
                _ => {
                    crate::fork::watch();
                    draw(&mut slot.insert((generation, ChaCha8Rng::from_seed(seed()))).1)
                }
            }
        })
        // While a thread ends, its generator may be gone.
        .unwrap_or_else(|_| draw(&mut ChaCha8Rng::from_seed(seed())))
}

/// A seed from the system. If that fails, which no supported system does once it is up, a seed from what differs
/// between processes, threads and moments: an event is not refused for lack of a perfect id.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    if getrandom::getrandom(&mut seed).is_err() {
        let moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let unlike = (moment, std::process::id(), std::thread::current().id(), &raw const seed);
        seed = Sha256::digest(format!("{unlike:?}")).into();
    }
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_233_600_123_456);

    #[test]
    fn made_ids_are_uuids_of_version_7_and_differ() {
        let ids: std::collections::HashSet<String> =
            (0..10_000).map(|_| EventId::new(NOW).to_string()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert_eq!((&id[..13], &id[14..15], id.len()), ("01a1fc42-d27b", "7", 36), "{id}");
            assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        }
    }

    #[test]
    fn the_text_of_a_uuid_is_its_bytes_in_order() {
        let tail = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x10, 0x32];
        let text = uuid_text(0xfedc_ba98_7654, tail, 7);
        assert_eq!(text, *b"fedcba98-7654-7123-8567-89abcdef1032");
    }

    #[test]
    fn imported_ids_are_fixed_by_format_bytes_occurrence_and_time() {
        let id = |format, line: &[u8], occurrence, time| imported_id(format, line, occurrence, time);
        let one = id("github", b"{}", 0, Some(NOW));
        assert_eq!(one, id("github", b"{}", 0, Some(NOW)));
        assert_eq!((&one[..13], &one[14..15]), ("01a1fc42-d27b", "8"));
        let others = [
            id("cloudtrail", b"{}", 0, Some(NOW)),
            id("github", b"{} ", 0, Some(NOW)),
            id("github", b"{}", 1, Some(NOW)),
            id("github", b"{}", 0, None),
        ];
        assert!(others.iter().all(|other| *other != one));
        assert!(others[3].starts_with("00000000-0000-8"));
    }

    #[test]
    fn the_callers_own_id_stays_unless_it_is_too_long() {
        let held = |id: &str| complete(&Event::new("a").id(id), NOW).id.to_string();
        assert_eq!(held("42"), "42");
        assert_eq!(held(&"x".repeat(128)), "x".repeat(128));
        assert_eq!(held(&"x".repeat(129)).len(), "sha256:".len() + 64);
        assert_ne!(held(&"x".repeat(129)), held(&"x".repeat(130)));
        assert_eq!(held("").len(), UUID_BYTES);
    }
}
