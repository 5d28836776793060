//! Turns records into events with ids.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::BufRead;
use std::ops::{ControlFlow, Range};

use trailseal_event::complete::imported_id;
use trailseal_event::{Event, Object, Oddity, Parsed, Timestamp, Value};

use crate::form::{Form, RECORD_LEVELS_MAX};
use crate::json_tree::{Item, Owned, Tree};
use crate::mapping::{Mapping, RECORD};
use crate::records::{Failed, Record, Records, is_container};

/// Real audit records for trying things out: format, file name and bytes.
pub const SAMPLES: [(&str, &str, &[u8]); 3] = [
    ("cloudtrail", "aws-cloudtrail.jsonl", include_bytes!("../sample/aws-cloudtrail.jsonl")),
    ("kubernetes", "kubernetes-audit.jsonl", include_bytes!("../sample/kubernetes-audit.jsonl")),
    ("github", "github-audit.jsonl", include_bytes!("../sample/github-audit.jsonl")),
];

/// Longer records are read as values first: an event is cut to about this.
const ORDINARY_BYTES_MAX: usize = 64 * 1024;

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
pub struct Written<'b> {
    /// The line of the file on which the record begins; the first is 1.
    pub line: u64,
    /// The event, which [`Event::from_json`] reads back as it was.
    pub json: &'b [u8],
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
    let owned = Owned::of(&value);
    let root = owned.root();
    if level < LEVELS_MAX && bytes.first() == Some(&b'{') && is_container(root, reading.mapping) {
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
    let own_id = reading.mapping.event_id(root);
    let mut events = Vec::new();
    let made = reading.mapping.events(value, root, text.as_deref(), reading.written, &mut events);
    take(made.map_err(failed).map(|()| {
        for (part, event) in events.iter_mut().enumerate() {
            let own_id = own_id.clone().filter(|_| part == 0);
            event.id = Some(own_id.unwrap_or_else(|| id(reading.mapping, &own, 0, part)));
        }
        Mapped { line, own, has_own_id: own_id.is_some(), events }
    }))
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

    /// Passes on what became of a batch, in order, until `take` breaks.
    pub(crate) fn number_texts(
        &mut self,
        texts: &mut Texts,
        reading: Reading<'_>,
        take: &mut dyn FnMut(Result<Written<'_>, Failed>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Texts { records, events, own, json } = texts;
        for record in records.drain(..) {
            let RecordText { line, own: own_range, has_own_id, events: range } = match record {
                Ok(record) => record,
                Err(failed) => {
                    take(Err(failed))?;
                    continue;
                }
            };
            let events = events.get_mut(range).unwrap_or_default();
            let first = events.first().map_or("", |text| &text.id);
            let occurrence = if has_own_id { 0 } else { self.count(first) };
            for (part, Text { id: first, json: range, defaulted }) in events.iter_mut().enumerate() {
                let json = json.get_mut(range.clone()).unwrap_or_default();
                if occurrence > 0 {
                    let own = own.get(own_range.clone()).unwrap_or_default();
                    exchange(json, first, &id(reading.mapping, own, occurrence, part));
                }
                take(Ok(Written { line, json, defaulted: std::mem::take(defaulted) }))?;
            }
        }
        ControlFlow::Continue(())
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

/// What became of a batch of records, as text. What it took to make the values is done with, and freed by the thread that
/// made it; of this, little has to be freed by the one that takes it.
#[derive(Default)]
pub(crate) struct Texts {
    records: Vec<Result<RecordText, Failed>>,
    events: Vec<Text>,
    /// The bytes of the batch, and behind them what else tells records from others.
    own: Vec<u8>,
    /// The texts of the events.
    json: Vec<u8>,
}

/// A [`Record`] of a batch, with the place of its bytes there.
pub(crate) struct RecordAt {
    pub(crate) line: u64,
    pub(crate) bytes: Range<usize>,
    pub(crate) form: Form,
}

/// As [`Mapped`]; the ranges are those of its batch.
struct RecordText {
    line: u64,
    own: Range<usize>,
    has_own_id: bool,
    events: Range<usize>,
}

struct Text {
    /// As in [`Mapped`].
    id: String,
    json: Range<usize>,
    defaulted: Vec<String>,
}

impl Texts {
    /// Of records in these bytes.
    pub(crate) fn of(bytes: Vec<u8>) -> Texts {
        // An event has its record and what was found in it.
        let json = Vec::with_capacity(bytes.len().saturating_mul(2));
        Texts { own: bytes, json, ..Texts::default() }
    }

    /// Adds the texts of the events that a record, or each of the records in it, becomes: those of [`mapped`].
    pub(crate) fn add(&mut self, record: RecordAt, reading: Reading<'_>, tree: &mut Tree) {
        let RecordAt { line, bytes: range, form } = record;
        let own = std::mem::take(&mut self.own);
        let bytes = own.get(range.clone()).unwrap_or_default();
        let ordinary = match ordinary_event(&form, bytes, reading, tree) {
            Some(ordinary) => Some((ordinary, Cow::Borrowed(bytes))),
            None => event_with_doubles(&form, bytes, reading).map(|(event, text)| (event, Cow::Owned(text))),
        };
        if let Some(((event, has_own_id), text)) = ordinary {
            let first = self.events.len();
            self.add_ordinary(event, &text);
            let events = first..self.events.len();
            self.records.push(Ok(RecordText { line, own: range, has_own_id, events }));
            self.own = own;
            return;
        }
        let record = Record { line, bytes: bytes.to_vec(), form };
        self.own = own;
        mapped(Ok(record), reading, &mut |mapped| match mapped {
            Ok(Mapped { line, own, has_own_id, events }) => {
                let (from, first) = (self.own.len(), self.events.len());
                self.own.extend_from_slice(&own);
                events.into_iter().for_each(|event| self.add_event(event));
                let (own, events) = (from..self.own.len(), first..self.events.len());
                self.records.push(Ok(RecordText { line, own, has_own_id, events }));
            }
            Err(failed) => self.add_failed(failed),
        });
    }

    pub(crate) fn add_failed(&mut self, failed: Failed) {
        self.records.push(Err(failed));
    }

    fn add_event(&mut self, event: Event) {
        let from = self.json.len();
        self.json.extend_from_slice(&event.to_json());
        let defaulted = defaulted(&event).map(str::to_owned).collect();
        let json = from..self.json.len();
        self.events.push(Text { id: event.id.unwrap_or_default(), json, defaulted });
    }

    /// Adds an event that lacks its record, and the record as it was written.
    fn add_ordinary(&mut self, mut event: Event, record: &[u8]) {
        let details = std::mem::take(&mut event.details);
        let defaulted = defaulted_in(&details).map(str::to_owned).collect();
        let (from, out) = (self.json.len(), &mut self.json);
        // Both are objects that are not empty, and end in a brace.
        out.extend_from_slice(&event.to_json());
        out.pop();
        out.extend_from_slice(b",\"details\":");
        out.extend_from_slice(&Value::Object(details).to_json());
        out.pop();
        out.extend_from_slice(b",\"");
        out.extend_from_slice(RECORD.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(record);
        out.extend_from_slice(b"}}");
        let json = from..out.len();
        self.events.push(Text { id: event.id.unwrap_or_default(), json, defaulted });
    }
}

/// The event without the record, and whether its id is the record's own.
fn ordinary_event(form: &Form, bytes: &[u8], reading: Reading<'_>, tree: &mut Tree) -> Option<(Event, bool)> {
    let mapping = reading.mapping;
    let is_ordinary = matches!(form, Form::Json)
        && !mapping.has_each()
        && bytes.len() <= ORDINARY_BYTES_MAX
        // Events are sent to a server one a line.
        && memchr::memchr2(b'\n', b'\r', bytes).is_none();
    let text = std::str::from_utf8(bytes).ok().filter(|_| is_ordinary)?;
    let root = tree.read(text, RECORD_LEVELS_MAX).filter(Item::is_object)?;
    if is_container(root, mapping) {
        return None;
    }
    Some(event_of(root, bytes, reading))
}

/// The same for a record with a key that comes twice: only its text has both values, and whoever reads the event keeps the
/// first one too. Between its values, line ends become blanks.
fn event_with_doubles(form: &Form, bytes: &[u8], reading: Reading<'_>) -> Option<((Event, bool), Vec<u8>)> {
    let mapping = reading.mapping;
    if !matches!(form, Form::Json) || mapping.has_each() || bytes.len() > ORDINARY_BYTES_MAX {
        return None;
    }
    let Parsed { value, notes } = Parsed::parse(bytes).ok()?;
    let has_doubles = notes.iter().any(|note| note.oddity == Oddity::Doubled);
    let owned = Owned::of(&value);
    let root = Some(owned.root()).filter(|root| has_doubles && root.is_object())?;
    if is_container(root, mapping) {
        return None;
    }
    let blank = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
    Some((event_of(root, bytes, reading), bytes.iter().map(blank).collect()))
}

/// The event of a record, without the record, and whether its id is the record's own.
fn event_of(root: Item<'_>, bytes: &[u8], reading: Reading<'_>) -> (Event, bool) {
    let Reading { mapping, written } = reading;
    let own_id = mapping.event_id(root);
    let has_own_id = own_id.is_some();
    let mut event = mapping.without_record(root, None, written);
    event.id = Some(own_id.unwrap_or_else(|| id(mapping, bytes, 0, 0)));
    (event, has_own_id)
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
    defaulted_in(&event.details)
}

fn defaulted_in(details: &Object) -> impl Iterator<Item = &str> {
    let defaulted = details.get("_import").and_then(|import| import.get("defaulted"));
    defaulted.and_then(Value::as_array).unwrap_or_default().iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_all_records_are_ordinary() {
        for (format, _, bytes) in SAMPLES {
            let mapping = Mapping::builtin(format).expect("built in");
            let mut tree = Tree::default();
            let (mut ordinary, mut all) = (0, 0);
            for record in Records::of(bytes, mapping) {
                let record = record.expect("a record");
                all += 1;
                ordinary += usize::from(
                    ordinary_event(
                        &record.form,
                        &record.bytes,
                        Reading { mapping, written: None },
                        &mut tree,
                    )
                    .is_some(),
                );
            }
            assert!(ordinary * 100 >= all * 97, "{format}: {ordinary} of {all}");
        }
    }
}
