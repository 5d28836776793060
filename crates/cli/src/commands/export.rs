//! `trailseal export`: events for other tools, or as evidence.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use super::query::matching;
use super::{bundle, filter, reader};
use crate::arguments::{Export, ExportFormat, Format, Order};
use crate::failure::{Failure, Outcome};
use crate::output::{Writer, is_terminal, tell, thousands};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, export: &Export) -> Outcome {
    let filter = filter(&export.filters)?;
    let mut reader = reader(settings)?;
    let format = match export.format {
        ExportFormat::Bundle => {
            return bundle::write(&mut reader, &filter, &export.filters, export.out.as_deref());
        }
        ExportFormat::Jsonl => Format::Jsonl,
        ExportFormat::Csv => Format::Csv,
    };
    let out: Box<dyn Write> = match &export.out {
        Some(path) => Box::new(File::create(path).map_err(Failure::io("make", path))?),
        None => Box::new(std::io::stdout()),
    };
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 18, out), format, &reader);
    let (mut count, end) = (0, reader.end().get());
    // Oldest first: an export is read from its beginning, and appended to by the next one.
    matching(&mut reader, &filter, 0..end, Order::Asc, &mut |recorded, line| {
        count += 1;
        writer.event(recorded, line)?;
        Ok(ControlFlow::Continue(()))
    })?;
    writer.finish()?;
    if export.out.is_some() || !is_terminal() {
        tell(&format!("{} events exported", thousands(count)));
    }
    Ok(())
}
