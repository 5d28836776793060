//! Turns records into events with ids.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::BufRead;

use trailseal_event::complete::imported_id;
use trailseal_event::{Event, Timestamp, Value};

use crate::form::Form;
use crate::mapping::Mapping;
use crate::records::{Failed, Record, Records, contain_records};

/// Real audit records for trying things out: format, file name and bytes.
pub const SAMPLES: [(&str, &str, &[u8]); 3] = [
    ("cloudtrail", "aws-cloudtrail.jsonl", include_bytes!("../sample/aws-cloudtrail.jsonl")),
    ("kubernetes", "kubernetes-audit.jsonl", include_bytes!("../sample/kubernetes-audit.jsonl")),
    ("github", "github-audit.jsonl", include_bytes!("../sample/github-audit.jsonl")),
];

/// Objects with records in them are opened down to this level, below what the arrangement of the input shows.
const LEVELS_MAX: usize = 3;

/// An event made from a foreign record; its id is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The line of the file on which the record begins; the first is 1.
    pub line: u64,
    /// The event.
    pub event: Event,
}

/// The same, as the JSON text of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The line of the file on which the record begins; the first is 1.
    pub line: u64,
    /// The event, which [`Event::from_json`] reads back as it was.
    pub json: Vec<u8>,
    /// The fields that it has only by default.
    pub defaulted: Vec<String>,
}

/// How records become events.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'m> {
    /// The mapping.
    pub mapping: &'m Mapping,
    /// When the input was written, if that is known: for times without a year.
    pub written: Option<Timestamp>,
}

/// Reads all records of `reader` with `mapping`; whatever is not a record is reported, and the rest continues.
///
/// The id of an event is made from the mapping's format name, what the record itself says and how often the same came
/// before in this reader; never from what the mapping makes of it. So it is the same whenever the same file is read,
/// and differs for records that repeat inside one file.
///
/// ```
/// let (format, _, bytes) = trailseal_import::SAMPLES[0];
/// let mapping = trailseal_import::Mapping::builtin(format).unwrap();
/// assert_eq!(trailseal_import::read(bytes, mapping).filter(Result::is_ok).count(), 442);
/// ```
pub fn read<'m, R: BufRead + 'm>(
    reader: R,
    mapping: &'m Mapping,
) -> impl Iterator<Item = Result<Imported, Failed>> + use<'m, R> {
    let reading = Reading { mapping, written: None };
    let mut numbering = Numbering::default();
    Records::of(reader, mapping).flat_map(move |record| {
        let mut imported = Vec::new();
        mapped(record, reading, &mut |mapped| {
            numbering.number(mapped, reading, &mut |one| imported.push(one))
        });
        imported
    })
}

/// What became of a record, before it is known how often it came.
pub(crate) struct Mapped {
    line: u64,
    /// What tells the record from others.
    own: Vec<u8>,
    /// Whether the id is the record's own, which is the same however often it comes.
    has_own_id: bool,
    /// Usually one; with the ids that they have if the record comes for the first time.
    events: Vec<Event>,
}

/// Maps a record, or each of the records that it contains.
pub(crate) fn mapped(
    record: Result<Record, Failed>,
    reading: Reading<'_>,
    take: &mut dyn FnMut(Result<Mapped, Failed>),
) {
    mapped_within(record, reading, 0, take);
}

fn mapped_within(
    record: Result<Record, Failed>,
    reading: Reading<'_>,
    level: usize,
    take: &mut dyn FnMut(Result<Mapped, Failed>),
) {
    let Record { line, bytes, form } = match record {
        Ok(record) => record,
        Err(failed) => return take(Err(failed)),
    };
    let failed = |reason: String| Failed { line, reason };
    let value = match form.value(&bytes) {
        Ok(value) => value,
        Err(reason) => return take(Err(failed(reason))),
    };
    if level < LEVELS_MAX && bytes.first() == Some(&b'{') && contains_records(&value, reading.mapping) {
        for inner in Records::of(&*bytes, reading.mapping) {
            let inner = inner.map(|inner| Record { line: inner.line + line - 1, ..inner });
            let inner = inner.map_err(|failed| Failed { line: failed.line + line - 1, ..failed });
            mapped_within(inner, reading, level + 1, take);
        }
        return;
    }
    // The header of a table says as much as the row does.
    let own = if matches!(form, Form::Csv(_)) { value.to_string().into_bytes() } else { bytes };
    let text = form.is_text().then(|| String::from_utf8_lossy(&own));
    let own_id = reading.mapping.event_id(&value);
    let mut events = Vec::new();
    let made = reading.mapping.events(value, text.as_deref(), reading.written, &mut events);
    take(made.map_err(failed).map(|()| {
        for (part, event) in events.iter_mut().enumerate() {
            let own_id = own_id.clone().filter(|_| part == 0);
            event.id = Some(own_id.unwrap_or_else(|| id(reading.mapping, &own, 0, part)));
        }
        Mapped { line, own, has_own_id: own_id.is_some(), events }
    }))
}

/// Whether an object on a line of its own is no record, but has a list of them.
fn contains_records(value: &Value, mapping: &Mapping) -> bool {
    contain_records(value, mapping.records()) && (mapping.records().is_some() || !mapping.knows(value))
}

fn id(mapping: &Mapping, own: &[u8], occurrence: u64, part: usize) -> String {
    match part {
        0 => imported_id(mapping.format(), own, occurrence, None),
        // No record has this byte.
        _ => imported_id(
            mapping.format(),
            &[own, b"\0", part.to_string().as_bytes()].concat(),
            occurrence,
            None,
        ),
    }
}

/// Counts how often the same record came before in one file.
///
/// Only eight bytes of each are kept, about 10 bytes of memory per record. If two records share them, a repeat is
/// counted that is none: their ids still differ, and do so at every import.
#[derive(Default)]
pub(crate) struct Numbering {
    seen: HashSet<u64>,
    again: HashMap<u64, u64>,
}

impl Numbering {
    pub(crate) fn number(
        &mut self,
        mapped: Result<Mapped, Failed>,
        reading: Reading<'_>,
        take: &mut dyn FnMut(Result<Imported, Failed>),
    ) {
        let Mapped { line, own, has_own_id, events } = match mapped {
            Ok(mapped) => mapped,
            Err(failed) => return take(Err(failed)),
        };
        let first = events.first().and_then(|event| event.id.as_deref()).unwrap_or_default();
        let occurrence = if has_own_id { 0 } else { self.count(first) };
        for (part, mut event) in events.into_iter().enumerate() {
            if occurrence > 0 {
                event.id = Some(id(reading.mapping, &own, occurrence, part));
            }
            take(Ok(Imported { line, event }));
        }
    }

    pub(crate) fn number_texts(
        &mut self,
        texts: Result<Texts, Failed>,
        reading: Reading<'_>,
        take: &mut dyn FnMut(Result<Written, Failed>),
    ) {
        let Texts { line, own, has_own_id, events } = match texts {
            Ok(texts) => texts,
            Err(failed) => return take(Err(failed)),
        };
        let first = events.first().map_or("", |text| &text.id);
        let occurrence = if has_own_id { 0 } else { self.count(first) };
        for (part, Text { id: first, mut json, defaulted }) in events.into_iter().enumerate() {
            if occurrence > 0 {
                exchange(&mut json, &first, &id(reading.mapping, &own, occurrence, part));
            }
            take(Ok(Written { line, json, defaulted }));
        }
    }

    /// How often the record whose first id would be `first` came before.
    fn count(&mut self, first: &str) -> u64 {
        // The id is a hash already.
        let mut hasher = DefaultHasher::new();
        first.hash(&mut hasher);
        let short = hasher.finish();
        if self.seen.insert(short) {
            return 0;
        }
        let again = self.again.entry(short).or_insert(0);
        *again += 1;
        *again
    }
}

/// A record that was mapped, as text: what it took to make the values is done with, and freed where it was made.
pub(crate) struct Texts {
    line: u64,
    own: Vec<u8>,
    has_own_id: bool,
    events: Vec<Text>,
}

struct Text {
    /// As in [`Mapped`].
    id: String,
    json: Vec<u8>,
    defaulted: Vec<String>,
}

impl From<Mapped> for Texts {
    fn from(Mapped { line, own, has_own_id, events }: Mapped) -> Texts {
        let text = |event: Event| Text {
            json: event.to_json(),
            defaulted: defaulted(&event).map(str::to_owned).collect(),
            id: event.id.unwrap_or_default(),
        };
        Texts { line, own, has_own_id, events: events.into_iter().map(text).collect() }
    }
}

/// Exchanges an event's id for another of the same length. It is the first text of the event, and a hash of the record,
/// which cannot be in the record itself.
fn exchange(json: &mut [u8], from: &str, to: &str) {
    let place = memchr::memmem::find(json, from.as_bytes());
    if let Some(id) = place.and_then(|at| json.get_mut(at..at + from.len()))
        && id.len() == to.len()
    {
        id.copy_from_slice(to.as_bytes());
    }
}

/// The fields that an imported event has only by default.
pub fn defaulted(event: &Event) -> impl Iterator<Item = &str> {
    let defaulted = event.details.get("_import").and_then(|import| import.get("defaulted"));
    defaulted.and_then(Value::as_array).unwrap_or_default().iter().filter_map(Value::as_str)
}
