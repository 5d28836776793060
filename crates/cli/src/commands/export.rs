//! `trailseal export`: events for other tools, or as evidence.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use trailseal_core::Reader;
use trailseal_core::filter::Filter;

use super::query::matching_with;
use super::{bundle, filter, reader, write_out};
use crate::arguments::{Export, ExportFormat, Format, Order};
use crate::destination::Destination;
use crate::failure::Outcome;
use crate::output::{Writer, is_terminal, stdout_for, tell, thousands};
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, export: &Export, json: bool) -> Outcome {
    let filter = filter(&export.filters)?;
    let mut reader = reader(settings)?;
    let out = export.out.as_deref();
    let count = match export.format {
        ExportFormat::Bundle => bundle::write(&mut reader, &filter, &export.filters, out)?,
        ExportFormat::Jsonl => lines(&mut reader, &filter, Format::Jsonl, out)?,
        ExportFormat::Csv => lines(&mut reader, &filter, Format::Csv, out)?,
    };
    match out {
        Some(path) if json => {
            let answer = serde_json::json!({"count": count, "file": path.display().to_string()});
            write_out(None, format!("{answer}\n").as_bytes())
        }
        _ => Ok(()),
    }
}

fn lines(reader: &mut Reader, filter: &Filter, format: Format, out: Option<&Path>) -> Outcome<u64> {
    let count = match out {
        Some(path) => {
            let mut destination = Destination::create(path)?;
            let file = BufWriter::with_capacity(1 << 18, destination.file());
            let count = copy(reader, filter, format, file).map_err(|failure| destination.failed(failure))?;
            destination.finish()?;
            count
        }
        None => copy(reader, filter, format, stdout_for(format))?,
    };
    if out.is_some() || !is_terminal() {
        tell(&format!("{} events exported", thousands(count)));
    }
    Ok(count)
}

fn copy(reader: &mut Reader, filter: &Filter, format: Format, out: impl Write) -> Outcome<u64> {
    let mut writer = Writer::new(out, format, reader);
    let (mut count, end) = (0, reader.end().get());
    let bar = progress::events("exporting", end);
    // Oldest first: an export is read from its beginning, and appended to by the next one.
    matching_with(reader, filter, 0..end, Order::Asc, &bar, &mut |recorded, line| {
        count += 1;
        writer.event(recorded, line)?;
        Ok(ControlFlow::Continue(()))
    })?;
    bar.finish_and_clear();
    writer.finish()?;
    Ok(count)
}
