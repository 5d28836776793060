//! Turns records into events with ids.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;

use sha2::{Digest, Sha256};
use trailseal_event::complete::imported_id;
use trailseal_event::{DEPTH_MAX, Event, Value};

use crate::mapping::Mapping;
use crate::records::{Failed, Record, Records};

/// Real audit records for trying things out: format, file name and bytes.
pub const SAMPLES: [(&str, &str, &[u8]); 3] = [
    ("cloudtrail", "aws-cloudtrail.jsonl", include_bytes!("../sample/aws-cloudtrail.jsonl")),
    ("kubernetes", "kubernetes-audit.jsonl", include_bytes!("../sample/kubernetes-audit.jsonl")),
    ("github", "github-audit.jsonl", include_bytes!("../sample/github-audit.jsonl")),
];

/// A record is at `details.record`. Deeper ones would be another event once a server has parsed them.
const RECORD_LEVELS_MAX: usize = DEPTH_MAX - 2;

/// An event made from a foreign record; its id is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The line of the file on which the record begins; the first is 1.
    pub line: u64,
    /// The event.
    pub event: Event,
}

/// Reads all records of `reader` with `mapping`; whatever is not a record is reported, and the rest continues.
///
/// The id of an event is made from the mapping's format name, the record's exact bytes and how often the same bytes
/// came before in this reader, preceded by the event's own time (zero if it has none). So it is the same whenever the
/// same file is read, and differs for records that repeat inside one file.
///
/// ```
/// let (format, _, bytes) = trailseal_import::SAMPLES[0];
/// let mapping = trailseal_import::Mapping::builtin(format).unwrap();
/// assert_eq!(trailseal_import::read(bytes, mapping).filter(Result::is_ok).count(), 442);
/// ```
pub fn read<R: BufRead>(
    reader: R,
    mapping: &Mapping,
) -> impl Iterator<Item = Result<Imported, Failed>> + use<'_, R> {
    let mut repeats = Repeats::default();
    Records::new(reader).map(move |record| imported(record?, mapping, &mut repeats))
}

fn imported(record: Record, mapping: &Mapping, repeats: &mut Repeats) -> Result<Imported, Failed> {
    let Record { line, bytes } = record;
    let failed = |reason: String| Failed { line, reason };
    let value = Value::parse_within(&bytes, RECORD_LEVELS_MAX)
        .map_err(|error| failed(format!("not a JSON object: {error}")))?;
    if value.as_object().is_none() {
        return Err(failed(format!("not a JSON object but {}", value.kind())));
    }
    let occurrence = repeats.count(&bytes);
    let mut event = mapping.apply(value);
    event.id = Some(imported_id(mapping.format(), &bytes, occurrence, event.time));
    Ok(Imported { line, event })
}

/// How often the same bytes came before in one file.
///
/// Only eight bytes of each record's hash are kept, about 10 bytes of memory per record. If two records share them, a
/// repeat is counted that is none: their ids still differ, and do so at every import.
#[derive(Default)]
struct Repeats {
    seen: HashSet<u64>,
    again: HashMap<u64, u64>,
}

impl Repeats {
    fn count(&mut self, bytes: &[u8]) -> u64 {
        let hash = Sha256::digest(bytes);
        let short = hash.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte));
        if self.seen.insert(short) {
            return 0;
        }
        let again = self.again.entry(short).or_insert(0);
        *again += 1;
        *again
    }
}
