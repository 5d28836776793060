//! `trailseal export`: events for other tools, or as evidence.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use trailseal_event::filter::Filter;
use trailseal_event::personal::PersonalKeys;
use trailseal_export::{CSV_HEADER, CSV_JSON_HEADER, ParquetWriter, Row, SqliteWriter, write_csv_row};
use trailseal_index::{Hit, Order};

use super::own_files::refuse_own_file;
use super::query::keep_going;
use super::reading::{filter, keys_if, search, source};
use super::source::Source;
use super::text::write_out;
use super::{bundle, mask};
use crate::arguments::{Export, ExportFormat};
use crate::destination::Destination;
use crate::failure::{Failure, Outcome};
use crate::output::{csv_to_show, is_terminal, tell, thousands};
use crate::progress;
use crate::settings::Settings;

const BUFFER_BYTES: usize = 1 << 18;

/// How many lines are read between two updates of the progress bar.
const SHOWN_EVERY: u64 = 4_096;

pub(super) fn run(settings: &Settings, export: &Export, json: bool) -> Outcome {
    let out = export.out.as_deref();
    let count = write(settings, export, keys_if(settings, export.personal)?)?;
    if export.format == ExportFormat::Bundle {
        bundle::tell_what_it_proves(count, out);
    } else if out.is_some() || !is_terminal() {
        tell(&format!("{} events exported", thousands(count)));
    }
    match out {
        Some(path) if json => {
            let answer = serde_json::json!({"count": count, "file": path.display().to_string()});
            write_out(None, format!("{answer}\n").as_bytes())
        }
        _ => Ok(()),
    }
}

/// Writes the events, with their personal values as `keys` show them, and returns how many.
pub(crate) fn write(
    settings: &Settings,
    export: &Export,
    keys: Option<Arc<dyn PersonalKeys>>,
) -> Outcome<u64> {
    let filter = filter(&export.filters)?;
    let out = export.out.as_deref();
    refuse_unfit(export, out)?;
    out.map_or(Ok(()), |path| refuse_own_file(&settings.dir(), path))?;
    if export.format == ExportFormat::Bundle {
        // The recipient of the bundle need not learn a value that its events do not contain.
        let masker = settings.masker(mask::keys(settings)?.into_iter().next())?;
        let told = export.filters.clone().shown(|name, value| masker.shown(name, value).into_owned());
        return bundle::write(&mut search(settings)?, &filter, &told, keys.as_deref(), out);
    }
    let mut source = source(settings, &export.store)?;
    let mut rows = Rows { source: &mut *source, filter: &filter, keys, has_json: export.json_columns };
    match out {
        Some(path) => to_file(&mut rows, export.format, path),
        None => {
            let stdout = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
            to_stream(&mut rows, export.format, true, stdout)
        }
    }
}

/// Refuses formats that standard output cannot take, before anything else is done.
fn refuse_unfit(export: &Export, out: Option<&Path>) -> Outcome {
    if export.json_columns && export.format != ExportFormat::Csv {
        return Err(Failure::could_not(
            "--json-columns is for --format csv: the other formats have the whole event",
        ));
    }
    match (export.format, out) {
        (ExportFormat::Bundle, _) if export.store.url.is_some() => Err(Failure::could_not(
            "a bundle proves its events by the tree of their trail, which a store does not have: make it where the trail's \
             folder is, without --store",
        )),
        (ExportFormat::Sqlite, None) => {
            Err(Failure::could_not("SQLite needs a seekable file: name one with --out FILE"))
        }
        (ExportFormat::Parquet, None) if is_terminal() => {
            Err(Failure::could_not("a Parquet file cannot go to a terminal: use --out FILE"))
        }
        _ => Ok(()),
    }
}

fn to_file(rows: &mut Rows<'_>, format: ExportFormat, path: &Path) -> Outcome<u64> {
    let mut destination = Destination::create_private(path)?;
    let count = match format {
        ExportFormat::Sqlite => match destination.temporary() {
            Some(temporary) => to_sqlite(rows, temporary),
            None => Err(Failure::could_not("SQLite needs a regular file: name another with --out")),
        },
        _ => to_stream(rows, format, false, BufWriter::with_capacity(BUFFER_BYTES, destination.file())),
    };
    let count = count.map_err(|failure| destination.failed(failure))?;
    destination.finish()?;
    Ok(count)
}

fn to_sqlite(rows: &mut Rows<'_>, path: &Path) -> Outcome<u64> {
    let mut writer = SqliteWriter::create(path)?;
    let count = rows.each_row(&mut |origin, row| writer.event(origin, row))?;
    writer.finish()?;
    Ok(count)
}

/// `is_shown`: to stdout.
fn to_stream(
    rows: &mut Rows<'_>,
    format: ExportFormat,
    is_shown: bool,
    mut out: impl Write + Send,
) -> Outcome<u64> {
    let count = match format {
        ExportFormat::Parquet => {
            let mut writer = ParquetWriter::new(&mut out)?;
            let count = rows.each_row(&mut |origin, row| writer.event(origin, row))?;
            writer.finish()?;
            count
        }
        ExportFormat::Csv => {
            let has_json = rows.has_json;
            writeln!(out, "{CSV_HEADER}{}", if has_json { CSV_JSON_HEADER } else { "" })?;
            let mut text = Vec::new();
            rows.each_row(&mut |origin, row| {
                text.clear();
                write_csv_row(origin, row, has_json, &mut text);
                out.write_all(&if is_shown { csv_to_show(&text) } else { Cow::Borrowed(&text[..]) })
            })?
        }
        _ => {
            // With several trails, each event names its trail.
            let is_one = rows.source.trails()?.is_one;
            rows.each_line(&mut |origin, line| {
                let mut line = line;
                if !is_one {
                    write!(out, "{{\"origin\":{},", serde_json::Value::from(origin))?;
                    line = line.strip_prefix(b"{").unwrap_or(line);
                }
                out.write_all(line)?;
                out.write_all(b"\n")
            })?
        }
    };
    out.flush()?;
    Ok(count)
}

/// The exported events, oldest first: an export is read from its beginning, and the next one continues it.
struct Rows<'a> {
    source: &'a mut dyn Source,
    filter: &'a Filter,
    /// Opens personal values; without, each is shown as `erasable`.
    keys: Option<Arc<dyn PersonalKeys>>,
    /// Whether a row of CSV has the event's JSON.
    has_json: bool,
}

/// Called with a trail's origin, and one of its lines as it is shown.
type EachLine<'a> = dyn FnMut(&str, &[u8]) -> io::Result<()> + 'a;
/// Like `EachLine`, with the line's columns.
type EachRow<'a> = dyn FnMut(&str, &Row<'_>) -> io::Result<()> + 'a;

impl Rows<'_> {
    /// Calls `each` with their columns. Returns the number of events.
    fn each_row(&mut self, each: &mut EachRow<'_>) -> Outcome<u64> {
        let mut unreadable = 0;
        let count = self.each_hit(&mut |hit, line| match Row::read_shown(hit.exact_line(), line) {
            Some(row) => each(&hit.origin, &row),
            None => {
                unreadable += 1;
                Ok(())
            }
        })?;
        if unreadable > 0 {
            tell(&format!(
                "{} lines are unreadable and were left out: run `trailseal verify`",
                thousands(unreadable)
            ));
        }
        Ok(count - unreadable)
    }

    /// Calls `each` with their lines. Returns the number of events.
    fn each_line(&mut self, each: &mut EachLine<'_>) -> Outcome<u64> {
        self.each_hit(&mut |hit, line| each(&hit.origin, line))
    }

    /// Calls `each` with every event and its line as it is shown.
    fn each_hit(&mut self, each: &mut dyn FnMut(&Hit, &[u8]) -> io::Result<()>) -> Outcome<u64> {
        let bar = progress::events("exporting", self.source.trails()?.events);
        let (mut count, mut failed) = (0, None);
        self.source.some(self.filter, Order::OLDEST_RECORDED, None, usize::MAX, &mut |hit| {
            count += 1;
            if count % SHOWN_EVERY == 0 {
                bar.set_position(count);
            }
            keep_going(each(hit, &hit.shown(self.keys.as_deref())), &mut failed)
        })?;
        bar.finish_and_clear();
        failed.map_or(Ok(count), |error| Err(error.into()))
    }
}
