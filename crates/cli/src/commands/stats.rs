//! `trailseal stats`: statistics about the trail.

use std::io::Write as _;
use std::ops::ControlFlow;

use trailseal_core::Reader;

use super::reading::search;
use crate::failure::Outcome;
use crate::output::thousands;
use crate::settings::Settings;
use crate::store::Store;

pub(super) fn run(settings: &Settings, json: bool) -> Outcome {
    let store = settings.own_store()?;
    let mut search = search(settings)?;
    let lags: Vec<u64> = search.lags().collect();
    let origins: Vec<String> = search.readers().map(|reader| reader.origin().to_owned()).collect();
    for (origin, lag) in origins.iter().zip(lags) {
        if let Some(reader) = search.reader_of(origin) {
            show(reader, lag, store.as_ref(), json)?;
        }
    }
    Ok(())
}

fn show(reader: &mut Reader, not_indexed: u64, store: Option<&Store>, json: bool) -> Outcome {
    let end = reader.end().get();
    let in_store = store.map(|store| store.position_of(reader.origin()));
    let (mut system, mut bytes) = (0u64, 0u64);
    reader.for_each(0..end, &mut |_, line| {
        system += u64::from(trailseal_event::line::parse_front(line).is_some_and(|front| front.system));
        bytes += line.len() as u64 + 1;
        ControlFlow::Continue(())
    })?;
    let (_, checkpoint) = reader.checkpoint()?;
    let retired = reader.retired()?;
    let segments = reader.segments();
    let on_disk: u64 = segments
        .iter()
        .filter_map(|segment| std::fs::metadata(&segment.path).ok())
        .map(|data| data.len())
        .sum();
    let sealed = checkpoint.size.min(end);
    let mut rows = vec![
        ("events", end.saturating_sub(system + retired), "events recorded by you, and here"),
        ("system_events", system, "events of the trail about itself"),
        ("retired", retired, "events retired for good, by a signed event"),
        ("indexes", end, "indexes given to all of these together"),
        ("sealed", sealed, "events that a signed checkpoint covers"),
        ("unsealed", end - sealed, "events that no checkpoint covers yet"),
        ("not_indexed", not_indexed, "events that searches scan meanwhile"),
        ("only_in_handoff", reader.only_in_handoff(), "events that are in no segment yet"),
        ("line_bytes", bytes, "bytes of all lines together"),
        ("segments", segments.len() as u64, "files that hold the lines"),
        ("segment_bytes", on_disk, "bytes of these files on the disk"),
    ];
    let trouble = match in_store {
        Some(Ok(position)) => {
            let behind = end.saturating_sub(position.cursor.get());
            rows.push(("not_in_store", behind, "events that the shared store lacks"));
            None
        }
        Some(Err(trouble)) => Some(trouble.what),
        None => None,
    };
    let mut out = std::io::stdout();
    if json {
        let mut answer = serde_json::Map::new();
        answer.insert("origin".into(), reader.origin().into());
        answer.extend(rows.iter().map(|(name, number, _)| ((*name).to_owned(), (*number).into())));
        if let Some(trouble) = trouble {
            answer.insert("store_trouble".into(), trouble.into());
        }
        answer.insert("in_use".into(), reader.holder().is_some().into());
        writeln!(out, "{}", serde_json::Value::Object(answer))?;
        return Ok(());
    }
    writeln!(out, "{}", reader.origin())?;
    for (name, number, what) in rows {
        writeln!(out, "{:>18}  {:<16} {what}", thousands(number), name.replace('_', " "))?;
    }
    if let Some(trouble) = trouble {
        writeln!(out, "the shared store: {trouble}")?;
    }
    match reader.holder() {
        Some(holder) => writeln!(out, "a process writes to this trail: {}", holder.text)?,
        None => writeln!(out, "no process writes to this trail")?,
    }
    Ok(())
}
