//! How events are printed: a table for people, lines as stored, CSV for spreadsheets.

mod fold;
mod table;
mod thousands;

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use trailseal_event::personal::PersonalKeys;
use trailseal_event::{Event, Outcome, Recorded, Resource};
use trailseal_export::{CSV_HEADER, Row, write_csv_row};
use trailseal_index::{Hit, Search};

pub(crate) use fold::folded;
use table::{Cells, Layout, TITLES};
pub(crate) use table::{cut, printable, printable_csv, width};
pub(crate) use thousands::{bytes, thousands};

use crate::arguments::Format;

/// Writes events in one format.
pub(crate) struct Writer<W> {
    out: W,
    format: Format,
    /// Whether all events are of one trail.
    is_one: bool,
    layout: Layout,
    has_header: bool,
    /// Opens personal values; without, each is shown as `erasable`.
    keys: Option<Arc<dyn PersonalKeys>>,
}

/// The trails whose events are printed.
#[derive(Clone, Copy)]
pub(crate) struct Trails {
    /// Whether it is a single one; otherwise each event names its own.
    pub(crate) is_one: bool,
    /// No index is higher.
    pub(crate) last: u64,
    /// How many events there are, those that were retired included.
    pub(crate) events: u64,
}

impl Trails {
    pub(crate) fn of(search: &Search) -> Trails {
        Trails {
            is_one: search.readers().count() == 1,
            last: search.readers().map(|reader| reader.end().get()).max().unwrap_or(0),
            events: search.readers().map(|reader| reader.end().get()).sum(),
        }
    }
}

/// Standard output for people, coloured only on a terminal.
pub(crate) fn stdout() -> Stdout {
    io::BufWriter::with_capacity(1 << 16, anstream::AutoStream::auto(io::stdout()))
}

/// What [`stdout`] returns.
pub(crate) type Stdout = io::BufWriter<anstream::AutoStream<io::Stdout>>;

/// Standard output for events in `format`. In data, bytes that look like colour codes are not stripped.
pub(crate) fn stdout_for(format: Format) -> Box<dyn Write> {
    match format {
        Format::Table => Box::new(stdout()),
        Format::Jsonl | Format::Csv => Box::new(io::BufWriter::with_capacity(1 << 16, io::stdout())),
    }
}

/// Whether stdout is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Rows of CSV for stdout: on a terminal without control characters.
pub(crate) fn csv_to_show(text: &[u8]) -> Cow<'_, [u8]> {
    if is_terminal() { Cow::Owned(printable_csv(text)) } else { Cow::Borrowed(text) }
}

/// Whether the reader of stdout has gone away. A writer with nothing to write would never notice.
pub(crate) fn is_reader_gone() -> bool {
    let stdout = io::stdout();
    let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut ends, Some(&now)).is_ok() && ends[0].revents().intersects(PollFlags::ERR)
}

/// Prints one plain line for people on stderr. It is no failure if nobody reads it.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text.trim_end()));
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W, format: Format, trails: Trails, keys: Option<Arc<dyn PersonalKeys>>) -> Self {
        let Trails { is_one, last, .. } = trails;
        Writer { out, format, is_one, layout: Layout::new(width(), last), has_header: false, keys }
    }

    /// Writes one event. An unreadable line is for `verify` to judge; only its bytes can be shown.
    pub(crate) fn event(&mut self, hit: &Hit) -> io::Result<()> {
        self.header()?;
        let line = hit.shown(self.keys.as_deref());
        match self.format {
            Format::Jsonl => {
                let mut line = &line[..];
                if !self.is_one {
                    // With several trails, each event names its trail.
                    let origin = serde_json::Value::from(&*hit.origin);
                    write!(self.out, "{{\"origin\":{origin},")?;
                    line = line.strip_prefix(b"{").unwrap_or(line);
                }
                self.out.write_all(line)?;
                self.out.write_all(b"\n")
            }
            Format::Csv => {
                let mut text = Vec::new();
                if let Some(row) = Row::read(&line) {
                    write_csv_row(&hit.origin, &row, false, &mut text);
                }
                self.out.write_all(&csv_to_show(&text))
            }
            Format::Table => Event::from_line(&line).map_or(Ok(()), |recorded| self.row(&recorded)),
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
                let titles = self.layout.cells(&TITLES);
                writeln!(self.out, "{bold}{titles} outcome{bold:#}")
            }
        }
    }

    fn row(&mut self, recorded: &Recorded) -> io::Result<()> {
        let event = &recorded.event;
        let cells = self.layout.cells(&Cells {
            index: &recorded.index.to_string(),
            time: &recorded.effective_time().to_string().replace('T', " "),
            actor: actor_of(event),
            action: &event.action,
            resource: &event.resource.as_ref().map_or_else(String::new, resource_text),
        });
        let Some(outcome) = event.outcome else { return writeln!(self.out, "{}", cells.trim_end()) };
        let style = outcome_style(outcome);
        writeln!(self.out, "{cells} {style}{outcome}{style:#}")
    }

    /// Writes a line below an event in a table, such as what changed.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        let dim = Style::new().dimmed();
        let text = printable(text);
        let text = if is_terminal() { cut(&text, self.layout.note_width()) } else { text };
        writeln!(self.out, "{} {dim}{text}{dim:#}", self.layout.indent())
    }

    /// Flushes the buffer. A CSV without events still gets its header.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if self.format == Format::Csv {
            self.header()?;
        }
        self.out.flush()
    }
}

fn actor_of(event: &Event) -> &str {
    let Some(actor) = &event.actor else { return "" };
    let shown = actor.name.as_deref().or(actor.id.as_deref()).or(actor.email.as_deref());
    shown.unwrap_or_default()
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
