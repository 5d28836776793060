//! The first records of an input, to judge what it is before any of it is recorded.
//!
//! What must hold: an input that the mapping does not understand is said, with what it looks like instead; one that it
//! does is never refused because of a few odd records.

mod envelope;

use std::io::BufRead;

use trailseal_event::{Event, Timestamp};

use crate::import::{Imported, Numbering, Reading, defaulted, mapped};
use crate::json_tree::{Item, Owned};
use crate::mapping::Mapping;
use crate::records::{Failed, Record, Records};

/// How many records are looked at.
pub const SAMPLE_RECORDS: usize = 20;
/// About how many bytes of them.
const SAMPLE_BYTES: usize = 1024 * 1024;
/// How many lines may come before the first record.
const BANNER_LINES: usize = 1000;
/// Fewer records than this say little about what all of them lack.
const LACKING_MIN: usize = 5;

/// How many keys of a record are shown.
const KEYS_SHOWN: usize = 12;

/// The fields without which an event says little.
const NEEDED: [&str; 3] = ["action", "actor", "time"];

/// The first records of one input.
pub struct Sample {
    taken_for: String,
    records: Vec<Result<Record, Failed>>,
    values: Vec<Owned>,
}

/// What a mapping makes of a sample.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// How many events the sample gives.
    pub events: usize,
    /// How many of them lack a field, for the fields that the mapping asks for.
    pub lacking: Vec<(&'static str, usize)>,
    /// What the mapping looks for and does not find, in some of the records or in all.
    pub not_found: Vec<NotFound>,
    /// Why the mapping seems to be the wrong one, for people.
    pub doubt: Option<String>,
}

/// A field of the event that the mapping looks for in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// The field.
    pub field: &'static str,
    /// In how many records.
    pub records: usize,
    /// Where it looks.
    pub looked_at: String,
}

impl Sample {
    /// Whether there is nothing to judge.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The records themselves.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().flatten()
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Why none of it is a record of any known form, for people; nothing if it has records, or is empty.
    pub fn failure(&self) -> Option<String> {
        let first = self.records.first().filter(|_| self.is_empty())?;
        let (line, reason) = match first {
            Err(failed) => (failed.line, failed.reason.clone()),
            Ok(record) => (record.line, record.form.value(&record.bytes).err()?),
        };
        let inside = self.inside().map(|inside| format!("; {inside}")).unwrap_or_default();
        Some(format!("line {line}: {reason}{inside}"))
    }

    /// What the first record is only the envelope of, if a built-in mapping knows that, and how to take it out, for people.
    pub fn inside(&self) -> Option<String> {
        let of_value = self.values.first().and_then(|value| envelope::look(value.root()));
        if let Some((format, filter)) = of_value {
            return Some(format!(
                "what is inside looks like {format}: take it out first, such as with jq -c '{filter}'"
            ));
        }
        let format = envelope::behind_text(&self.records().next()?.bytes)?;
        Some(format!(
            "the JSON at the end of the line looks like {format}: take it out first, such as with sed 's/^[^{{]*//'"
        ))
    }

    /// The keys that the first record has, for people.
    pub fn keys(&self) -> String {
        let first = self.values.first().map(Owned::root).filter(Item::is_object);
        let keys = first.map(|record| {
            record.inside().take(KEYS_SHOWN).map(|member| member.key()).collect::<Vec<_>>().join(", ")
        });
        keys.unwrap_or_default()
    }

    fn not_found(&self, mapping: &Mapping, written: Option<Timestamp>) -> Vec<NotFound> {
        let mut not_found: Vec<NotFound> =
            mapping.asked().map(|(field, looked_at)| NotFound { field, records: 0, looked_at }).collect();
        for value in &self.values {
            for at in mapping.not_found_in(value.root(), written) {
                if let Some(found) = not_found.get_mut(at) {
                    found.records += 1;
                }
            }
        }
        not_found.retain(|found| found.records > 0);
        not_found
    }

    /// The first records; they are still read in their turn.
    pub fn of<R: BufRead>(records: &mut Records<'_, R>) -> Sample {
        let value = |record: &Record| Some(Owned::of(&record.form.value(&record.bytes).ok()?));
        let mut first: Vec<_> = records.peek(SAMPLE_RECORDS, SAMPLE_BYTES).cloned().collect();
        let mut values: Vec<Owned> = first.iter().flatten().filter_map(value).collect();
        // A banner may be longer than the sample. The bytes bound how far this looks.
        let mut end = first.len();
        while values.is_empty() && end == first.len() && (SAMPLE_RECORDS..BANNER_LINES).contains(&end) {
            end += SAMPLE_RECORDS;
            let seen = first.len();
            first.extend(records.peek(end, SAMPLE_BYTES).skip(seen).cloned());
            values.extend(first[seen..].iter().flatten().filter_map(value));
        }
        if values.is_empty() {
            first.truncate(SAMPLE_RECORDS);
        }
        Sample { taken_for: records.taken_for().unwrap_or("nothing").to_owned(), records: first, values }
    }

    /// How the records are arranged, such as `JSON lines`.
    pub fn taken_for(&self) -> &str {
        &self.taken_for
    }

    /// The built-in mapping for these records, and what tells it, for people.
    pub fn detect(&self) -> Option<(&'static Mapping, String)> {
        // Of equals the last counts: the more particular mappings come last.
        let counted = Mapping::builtins().map(|mapping| (mapping, self.detected(mapping)));
        let (mapping, count) = counted.max_by_key(|(_, count)| *count).filter(|(_, count)| *count > 0)?;
        let why = self.values.iter().find_map(|value| mapping.detected_by(value.root()))?;
        let why = format!(
            "{}; {count} of the first {} records have {}",
            self.taken_for,
            self.values.len(),
            why.join(", ")
        );
        Some((mapping, why))
    }

    fn detected(&self, mapping: &Mapping) -> usize {
        self.values.iter().filter(|value| mapping.detects(value.root())).count()
    }

    /// The events that the sample gives, as they would be recorded.
    pub fn events(&self, reading: Reading<'_>) -> Vec<Result<Imported, Failed>> {
        let mut events = Vec::new();
        let mut numbering = Numbering::default();
        for record in &self.records {
            mapped(record.clone(), reading, &mut |one| {
                numbering.number(one, reading, &mut |imported| events.push(imported));
            });
        }
        events
    }

    /// Whether the mapping understands the sample.
    pub fn judge(&self, mapping: &Mapping, written: Option<Timestamp>) -> Judgement {
        let events = self.events(Reading { mapping, written });
        let failed = events.iter().filter(|event| event.is_err()).count();
        let events: Vec<&Event> = events.iter().flatten().map(|imported| &imported.event).collect();
        let lacking: Vec<(&'static str, usize)> = NEEDED
            .into_iter()
            .filter(|field| mapping.asks_for(field))
            .map(|field| (field, events.iter().filter(|event| lacks(event, field)).count()))
            .filter(|(_, count)| *count > 0)
            .collect();
        let is_most = |count: usize| count * 2 > events.len();
        let is_unread =
            events.is_empty() && failed >= LACKING_MIN && !cfg!(trailseal_fault = "unread_not_doubted");
        let none = is_unread.then(|| {
            let failure = self.failure().unwrap_or_else(|| self.taken_for.clone());
            format!("read as {}, none of the first {failed} lines is a record ({failure})", mapping.format())
        });
        let doubt = none.or_else(|| self.other_format(mapping, events.len())).or_else(|| {
            let most: Vec<&str> =
                lacking.iter().filter(|(_, count)| is_most(*count)).map(|(field, _)| *field).collect();
            let lacks_all =
                is_most(events.iter().filter(|event| NEEDED.iter().all(|field| lacks(event, field))).count());
            (lacks_all || (!most.is_empty() && events.len() >= LACKING_MIN))
                .then(|| self.lacks(mapping, &most, events.len()))
        });
        Judgement { events: events.len(), lacking, not_found: self.not_found(mapping, written), doubt }
    }

    /// Doubt because the records look like those of another format, and not like this one.
    fn other_format(&self, mapping: &Mapping, events: usize) -> Option<String> {
        if !mapping.can_detect() || self.detected(mapping) * 2 >= events {
            return None;
        }
        let (other, why) = self.detect()?;
        let is_other = other.format() != mapping.format() && self.detected(other) * 2 > self.values.len();
        is_other.then(|| format!("it looks like {}, not like {} ({why})", other.format(), mapping.format()))
    }

    fn lacks(&self, mapping: &Mapping, fields: &[&str], events: usize) -> String {
        let keys = self.keys();
        let first = if keys.is_empty() { "nothing".to_owned() } else { keys };
        let inside = self.inside().map(|inside| format!("; {inside}")).unwrap_or_default();
        format!(
            "read as {}, most of the first {events} records ({}) give no {}; the first has {first}{inside}",
            mapping.format(),
            self.taken_for,
            fields.join(" and no "),
        )
    }
}

fn lacks(event: &Event, field: &str) -> bool {
    match field {
        "actor" => event
            .actor
            .as_ref()
            .is_none_or(|actor| actor.id.is_none() && actor.name.is_none() && actor.email.is_none()),
        _ => defaulted(event).any(|defaulted| defaulted == field),
    }
}
