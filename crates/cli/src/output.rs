//! How events are shown: a table for people, lines as they are stored, CSV for spreadsheets.

use std::io::{self, IsTerminal as _, Write};

use anstyle::{AnsiColor, Style};
use trailseal_core::clock::Timestamp;
use trailseal_core::event::{Event, Outcome, Recorded, Resource};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::arguments::Format;

/// The columns of CSV, as the contract with users has them.
pub(crate) const CSV_HEADER: &str = "origin,index,id,recorded,time,tenant,category,action,severity,outcome,\
    actor_id,actor_name,on_behalf_of,resource_type,resource_id,ip,request_id,correlation_id,description,error";

const WIDTH_WITHOUT_TERMINAL: usize = 120;
const WIDTH_MIN: usize = 40;
/// Widths of the columns that do not stretch: index, time, outcome.
const INDEX_WIDTH: usize = 9;
const TIME_WIDTH: usize = 19;
const OUTCOME_WIDTH: usize = 8;

/// Writes events in one format.
pub(crate) struct Writer<W> {
    out: W,
    format: Format,
    origin: String,
    columns: Columns,
    has_header: bool,
}

/// Widths of the stretching columns.
#[derive(Clone, Copy)]
struct Columns {
    actor: usize,
    action: usize,
    resource: usize,
}

impl Columns {
    fn of_terminal() -> Self {
        let width =
            terminal_size::terminal_size().map_or(WIDTH_WITHOUT_TERMINAL, |(width, _)| usize::from(width.0));
        let rest = width.max(WIDTH_MIN).saturating_sub(INDEX_WIDTH + TIME_WIDTH + OUTCOME_WIDTH + 5);
        Columns { actor: rest * 3 / 10, action: rest * 3 / 10, resource: rest - rest * 6 / 10 }
    }
}

/// Standard output, with colours only where somebody sees them.
pub(crate) fn stdout() -> Stdout {
    io::BufWriter::with_capacity(1 << 16, anstream::AutoStream::auto(io::stdout()))
}

/// What [`stdout`] gives.
pub(crate) type Stdout = io::BufWriter<anstream::AutoStream<io::Stdout>>;

/// Whether somebody reads stdout on a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W, format: Format, origin: &str) -> Self {
        Writer { out, format, origin: origin.to_owned(), columns: Columns::of_terminal(), has_header: false }
    }

    /// Writes one event; `line` is its stored line.
    pub(crate) fn event(&mut self, recorded: &Recorded, line: &[u8]) -> io::Result<()> {
        self.header()?;
        match self.format {
            Format::Jsonl => {
                self.out.write_all(line)?;
                self.out.write_all(b"\n")
            }
            Format::Csv => {
                let row = csv_row(&self.origin, recorded);
                self.out.write_all(row.as_bytes())
            }
            Format::Table => self.row(recorded),
        }
    }

    fn header(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_header, true) {
            return Ok(());
        }
        match self.format {
            Format::Jsonl => Ok(()),
            Format::Csv => writeln!(self.out, "{CSV_HEADER}"),
            Format::Table => {
                let bold = Style::new().bold();
                let titles = self.cells("index", "time (UTC)", "actor", "action", "resource");
                writeln!(self.out, "{bold}{titles} outcome{bold:#}")
            }
        }
    }

    fn cells(&self, index: &str, time: &str, actor: &str, action: &str, resource: &str) -> String {
        let columns = self.columns;
        [
            format!("{index:>INDEX_WIDTH$}"),
            fitted(time, TIME_WIDTH),
            fitted(actor, columns.actor),
            fitted(action, columns.action),
            fitted(resource, columns.resource),
        ]
        .join(" ")
    }

    fn row(&mut self, recorded: &Recorded) -> io::Result<()> {
        let event = &recorded.event;
        let time = event.time.unwrap_or(recorded.recorded).to_string().replace('T', " ");
        let actor = actor_of(event);
        let resource = event.resource.as_ref().map_or_else(String::new, resource_text);
        let cells =
            self.cells(&recorded.index.to_string(), &time[..TIME_WIDTH], &actor, &event.action, &resource);
        let style = outcome_style(event.outcome);
        writeln!(self.out, "{cells} {style}{}{style:#}", event.outcome.name())
    }

    /// A line below an event in a table, such as what changed.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        let dim = Style::new().dimmed();
        writeln!(self.out, "{:INDEX_WIDTH$} {dim}{}{dim:#}", "", printable(text))
    }

    /// Writes out what is buffered; a CSV without events still has its header.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if self.format == Format::Csv {
            self.header()?;
        }
        self.out.flush()
    }
}

fn actor_of(event: &Event) -> String {
    let Some(actor) = &event.actor else { return String::new() };
    let shown = actor.name.as_deref().or(actor.id.as_deref()).or(actor.email.as_deref());
    shown.unwrap_or_default().to_owned()
}

pub(crate) fn resource_text(resource: &Resource) -> String {
    let kind = resource.kind.as_deref().unwrap_or_default();
    match resource.id.as_deref().or(resource.name.as_deref()) {
        Some(id) => format!("{kind}/{id}"),
        None => kind.to_owned(),
    }
}

pub(crate) fn outcome_style(outcome: Outcome) -> Style {
    let colour = match outcome {
        Outcome::Success => AnsiColor::Green,
        Outcome::Failure => AnsiColor::Red,
        Outcome::Denied => AnsiColor::Magenta,
        Outcome::Partial => AnsiColor::Yellow,
        Outcome::Unknown => AnsiColor::BrightBlack,
    };
    colour.on_default()
}

/// Text that fills exactly `width` columns, cut with an ellipsis if it is longer.
fn fitted(text: &str, width: usize) -> String {
    let text = printable(text);
    let have = text.width();
    if have <= width {
        return format!("{text}{}", " ".repeat(width - have));
    }
    let mut out = String::new();
    let mut used = 0;
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        out.push(character);
        used += wide;
    }
    out.push('…');
    format!("{out}{}", " ".repeat(width.saturating_sub(used + 1)))
}

/// Control characters in events must not reach a terminal: they could rewrite what is shown.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            character if character.is_control() => ' ',
            character => character,
        })
        .collect()
}

fn csv_row(origin: &str, recorded: &Recorded) -> String {
    let event = &recorded.event;
    let time = |time: Timestamp| time.to_string();
    let actor = event.actor.as_ref();
    let resource = event.resource.as_ref();
    let cells = [
        origin.to_owned(),
        recorded.index.to_string(),
        event.id.clone().unwrap_or_default(),
        time(recorded.recorded),
        time(event.time.unwrap_or(recorded.recorded)),
        event.tenant.clone().unwrap_or_default(),
        event.category.name().into_owned(),
        event.action.clone(),
        event.severity.name().to_owned(),
        event.outcome.name().to_owned(),
        actor.and_then(|actor| actor.id.clone()).unwrap_or_default(),
        actor.and_then(|actor| actor.name.clone()).unwrap_or_default(),
        event.on_behalf_of.as_ref().and_then(|other| other.id.clone()).unwrap_or_default(),
        resource.and_then(|resource| resource.kind.clone()).unwrap_or_default(),
        resource.and_then(|resource| resource.id.clone()).unwrap_or_default(),
        event.context.ip.clone().unwrap_or_default(),
        event.context.request_id.clone().unwrap_or_default(),
        event.context.correlation_id.clone().unwrap_or_default(),
        event.description.clone().unwrap_or_default(),
        event.error.clone().unwrap_or_default(),
    ];
    let mut row = cells.iter().map(|cell| csv_cell(cell)).collect::<Vec<_>>().join(",");
    row.push('\n');
    row
}

/// A cell by RFC 4180. A spreadsheet would run one that begins like a formula, so such a cell gets an
/// apostrophe in front.
fn csv_cell(text: &str) -> String {
    let guarded =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if guarded.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

/// A number with separators between thousands, for people.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_fill_their_column_whatever_the_text() {
        for (text, wanted) in [
            ("abc", "abc   "),
            ("abcdef", "abcdef"),
            ("abcdefg", "abcde…"),
            ("日本語日本", "日本… "),
            ("a\x1b[2J", "a [2J "),
        ] {
            assert_eq!(fitted(text, 6), wanted);
            assert_eq!(fitted(text, 6).width(), 6);
        }
    }

    #[test]
    fn csv_cells_are_quoted_and_formulas_guarded() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("@x", "'@x"),
            ("-5", "'-5"),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(csv_cell(text), wanted);
        }
    }
}
