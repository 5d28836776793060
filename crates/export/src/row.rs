//! An event as one row: which columns exist, and what each holds.

use std::borrow::Cow;

use trailseal_event::line::{Front, LINE_BYTES_MAX, parse_front};
use trailseal_event::{Category, Outcome, Severity, Timestamp};

use crate::scan::{Scanner, Take, string_text};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// JSON text exactly as in the line.
    Json,
    /// A time, in microseconds.
    Time,
    /// A whole number.
    Integer,
    /// A number, possibly with a fraction.
    Float,
    /// True or false.
    Boolean,
}

/// One column of a row.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    kind: Kind,
    source: Source,
    required: bool,
}

/// Where a column's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Origin,
    Index,
    Recorded,
    System,
    Line,
    /// A field of the event: the object it is in, and its key there.
    Field(Part, &'static str),
}

/// The objects of an event that have columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Event,
    Actor,
    OnBehalfOf,
    Resource,
    Context,
}

impl Column {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether every row has a value there.
    pub fn is_required(&self) -> bool {
        self.required
    }

    const fn new(name: &'static str, kind: Kind, source: Source) -> Column {
        Column { name, kind, source, required: !matches!(source, Source::Field(..)) }
    }

    /// A field of the event itself, under its own name.
    const fn field(name: &'static str, kind: Kind) -> Column {
        Column::new(name, kind, Source::Field(Part::Event, name))
    }

    /// A text in one of the event's objects.
    const fn within(name: &'static str, part: Part, key: &'static str) -> Column {
        Column::new(name, Kind::Text, Source::Field(part, key))
    }

    const fn always(self) -> Column {
        Column { required: true, ..self }
    }
}

const COUNT: usize = 42;
const TIME: usize = 4;
const CATEGORY: usize = 6;
const ACTION: usize = 7;
const SEVERITY: usize = 8;
const OUTCOME: usize = 9;

static COLUMNS: [Column; COUNT] = [
    Column::new("origin", Kind::Text, Source::Origin),
    Column::new("index", Kind::Integer, Source::Index),
    Column::field("id", Kind::Text),
    Column::new("recorded", Kind::Time, Source::Recorded),
    Column::field("time", Kind::Time).always(),
    Column::field("tenant", Kind::Text),
    Column::field("category", Kind::Text).always(),
    Column::field("action", Kind::Text).always(),
    Column::field("severity", Kind::Text).always(),
    Column::field("outcome", Kind::Text),
    Column::field("error", Kind::Text),
    Column::field("description", Kind::Text),
    Column::within("actor_id", Part::Actor, "id"),
    Column::within("actor_type", Part::Actor, "type"),
    Column::within("actor_name", Part::Actor, "name"),
    Column::within("actor_email", Part::Actor, "email"),
    Column::within("on_behalf_of_id", Part::OnBehalfOf, "id"),
    Column::within("on_behalf_of_reason", Part::OnBehalfOf, "reason"),
    Column::within("resource_type", Part::Resource, "type"),
    Column::within("resource_id", Part::Resource, "id"),
    Column::within("resource_name", Part::Resource, "name"),
    Column::within("ip", Part::Context, "ip"),
    Column::within("user_agent", Part::Context, "user_agent"),
    Column::within("request_id", Part::Context, "request_id"),
    Column::within("correlation_id", Part::Context, "correlation_id"),
    Column::within("session_id", Part::Context, "session_id"),
    Column::within("trace_id", Part::Context, "trace_id"),
    Column::within("span_id", Part::Context, "span_id"),
    Column::within("component", Part::Context, "component"),
    Column::within("service", Part::Context, "service"),
    Column::field("duration_ms", Kind::Float),
    Column::field("before", Kind::Json),
    Column::field("after", Kind::Json),
    Column::field("changes", Kind::Json),
    Column::field("details", Kind::Json),
    Column::field("context", Kind::Json),
    Column::field("related", Kind::Json),
    Column::field("masked", Kind::Json),
    Column::field("truncated", Kind::Json),
    Column::field("sample_rate", Kind::Float),
    Column::new("system", Kind::Boolean, Source::System),
    Column::new("line", Kind::Text, Source::Line),
];

/// The columns of every export, in order.
pub fn columns() -> &'static [Column] {
    &COLUMNS
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// The event has no value.
    Null,
    /// Text, or JSON text.
    Text(Cow<'a, str>),
    /// A time.
    Time(Timestamp),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Float(f64),
    /// True or false.
    Boolean(bool),
}

/// A stored line, with the places of its fields.
///
/// ```
/// use trailseal_export::Row;
///
/// let line = br#"{"v":1,"index":7,"recorded":"2026-01-02T03:04:05.000006Z","id":"a","action":"x.y"}"#;
/// assert!(!Row::read(line).unwrap().is_system());
/// assert!(Row::read(br#"{"action":"x.y"}"#).is_none(), "no line of a trail");
/// ```
#[derive(Debug)]
pub struct Row<'a> {
    line: &'a str,
    front: Front,
    fields: [Option<&'a str>; COUNT],
}

impl<'a> Row<'a> {
    /// Parses a stored line; `None` exactly if it cannot be parsed as an event, which is for `verify` to judge.
    pub fn read(line: &'a [u8]) -> Option<Row<'a>> {
        let front = parse_front(line)?;
        let line = std::str::from_utf8(line).ok().filter(|line| line.len() <= LINE_BYTES_MAX)?;
        let mut fields = Fields { found: [None; COUNT] };
        Scanner::new(line).object(Part::Event, &mut fields)?;
        let row = Row { line, front, fields: fields.found };
        row.text(ACTION).is_some_and(|action| !action.is_empty()).then_some(row)
    }

    /// As [`read`](Row::read), for a line whose personal values are not shown as they are held: the columns are those of
    /// `shown`, and the column `line` has the exact bytes of `line`, in which they are cipher text.
    pub fn read_shown(line: &'a [u8], shown: &'a [u8]) -> Option<Row<'a>> {
        let row = Row::read(shown)?;
        Some(Row { line: std::str::from_utf8(line).ok()?, ..row })
    }

    /// Whether the trail itself made the event.
    pub fn is_system(&self) -> bool {
        self.front.system
    }

    /// The line.
    pub fn line(&self) -> &'a str {
        self.line
    }

    /// The values, in the order of [`columns`].
    pub fn cells<'b>(&'b self, origin: &'b str) -> impl Iterator<Item = Cell<'b>> {
        (0..COUNT).map(move |place| self.cell(place, origin))
    }

    pub(crate) fn cell<'b>(&'b self, place: usize, origin: &'b str) -> Cell<'b> {
        let column = &COLUMNS[place];
        match column.source {
            Source::Origin => text(origin),
            Source::Index => Cell::Integer(i64::try_from(self.front.index).unwrap_or(i64::MAX)),
            Source::Recorded => Cell::Time(self.front.recorded),
            Source::System => Cell::Boolean(self.front.system),
            Source::Line => text(self.line),
            Source::Field(..) if column.required || place == OUTCOME => self.understood(place),
            Source::Field(..) => self.optional(place, column.kind),
        }
    }

    /// The column's text; `None` if there is none, or a value of another kind.
    fn text(&self, place: usize) -> Option<Cow<'a, str>> {
        self.fields[place].filter(|json| json.starts_with('"')).map(string_text)
    }

    fn optional(&self, place: usize, kind: Kind) -> Cell<'a> {
        let Some(json) = self.fields[place] else { return Cell::Null };
        match kind {
            Kind::Json => Cell::Text(Cow::Borrowed(json)),
            Kind::Float if !json.starts_with(['"', '{', '[']) => {
                json.parse().ok().filter(|number: &f64| number.is_finite()).map_or(Cell::Null, Cell::Float)
            }
            Kind::Text => self.text(place).map_or(Cell::Null, Cell::Text),
            _ => Cell::Null,
        }
    }

    /// A field with a fixed set of words, or one that every event has. Lines written by this trail have it; otherwise
    /// the default counts, and for an outcome nothing.
    fn understood(&self, place: usize) -> Cell<'a> {
        let said = self.text(place);
        match place {
            TIME => {
                let time = said.and_then(|time| Timestamp::parse(&time));
                Cell::Time(time.unwrap_or(self.front.recorded))
            }
            CATEGORY => match said.filter(|name| Category::parse(name).is_some()) {
                Some(name) => Cell::Text(name),
                None => Cell::Text(Category::default().name().into_owned().into()),
            },
            SEVERITY => {
                let severity = said.and_then(|name| Severity::parse(&name)).unwrap_or_default();
                text(severity.name())
            }
            OUTCOME => match (self.fields[place], said) {
                (None, _) => Cell::Null,
                (_, Some(name)) if name.is_empty() => Cell::Null,
                (_, said) => {
                    text(said.and_then(|name| Outcome::parse(&name)).unwrap_or(Outcome::Unknown).name())
                }
            },
            _ => said.map_or(Cell::Null, Cell::Text),
        }
    }
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(Cow::Borrowed(text))
}

/// Where each column's field is.
struct Fields<'a> {
    found: [Option<&'a str>; COUNT],
}

impl<'a> Take<'a> for Fields<'a> {
    type Part = Part;

    fn enters(&mut self, key: &str) -> Option<Part> {
        let part = match key {
            "actor" => Part::Actor,
            "on_behalf_of" => Part::OnBehalfOf,
            "resource" => Part::Resource,
            "context" => Part::Context,
            _ => return None,
        };
        // If a key occurs twice, the last one counts, and nothing remains of the earlier one.
        for (found, column) in self.found.iter_mut().zip(&COLUMNS) {
            if matches!(column.source, Source::Field(within, _) if within == part) {
                *found = None;
            }
        }
        Some(part)
    }

    fn take(&mut self, part: Part, key: &str, value: &'a str) {
        if let Some(place) = place_of(part, key) {
            // Null counts as absent.
            self.found[place] = (value != "null").then_some(value);
        }
    }
}

/// The column that holds the field `key` of `part`.
fn place_of(part: Part, key: &str) -> Option<usize> {
    let mut slot = slot_of(part, key.as_bytes());
    loop {
        let place = usize::from(PLACES[slot]?);
        match COLUMNS[place].source {
            Source::Field(within, name) if within == part && name == key => return Some(place),
            _ => slot = (slot + 1) % SLOTS,
        }
    }
}

/// About three times the number of columns, so that most keys need one probe.
const SLOTS: usize = 128;

/// Columns by the hash of part and key; on a collision, in the next free slot.
static PLACES: [Option<u8>; SLOTS] = {
    let mut places = [None; SLOTS];
    let mut place = 0;
    while place < COUNT {
        if let Source::Field(part, key) = COLUMNS[place].source {
            let mut slot = slot_of(part, key.as_bytes());
            while places[slot].is_some() {
                slot = (slot + 1) % SLOTS;
            }
            places[slot] = Some(place as u8);
        }
        place += 1;
    }
    places
};

const fn slot_of(part: Part, key: &[u8]) -> usize {
    let [first, .., last] = key else { return 0 };
    (part as usize * 37 + key.len() * 11 + *first as usize * 3 + *last as usize * 5) % SLOTS
}
