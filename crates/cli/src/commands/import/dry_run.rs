//! `import --dry-run`: the first events as they would be, and what was not found.

use std::io::Write as _;

use trailseal_event::mask::Masker;
use trailseal_event::{Event, line};
use trailseal_import::{Imported, Judgement, Mapping, Reading, Sample};

use super::source::{Input, Source, mapping_for, records};
use crate::commands::mask::keys;
use crate::failure::{Failure, Outcome};
use crate::output::{printable, stdout};
use crate::settings::Settings;

/// How many events of each file are shown.
const SHOWN: usize = 5;

pub(super) fn run(settings: &Settings, source: Source, json: bool) -> Outcome {
    let masker = settings.masker(keys(settings)?.into_iter().next())?;
    let mut is_incomplete = false;
    for Input { name, reader, written, mapping, .. } in source.inputs {
        let given = mapping.or(source.mapping.as_deref());
        let mut records = records(reader, given);
        let sample = Sample::of(&mut records);
        let Some(mapping) = mapping_for(&name, &sample, given, !json)? else { continue };
        let judgement = sample.judge(mapping, written);
        let events = sample.events(Reading { mapping, written });
        let stops = judgement.doubt.is_some() && !source.anyway;
        is_incomplete |= stops || events.iter().any(Result::is_err);
        match json {
            true => print_json(&name, mapping, &sample, &judgement, events, &masker)?,
            false => print(&name, mapping, &sample, &judgement, events, &masker, stops)?,
        }
    }
    // As the import itself would end, or stop. Why stands in the answer.
    if is_incomplete { Err(Failure::No(None)) } else { Ok(()) }
}

/// The event as it would be recorded: secrets are masked here too.
fn shown(masker: &Masker, event: Event) -> Event {
    line::masked(masker, &event).map_or(event, |(masked, _)| masked)
}

type Events = Vec<Result<Imported, trailseal_import::Failed>>;

fn print_json(
    name: &str,
    mapping: &Mapping,
    sample: &Sample,
    judgement: &Judgement,
    events: Events,
    masker: &Masker,
) -> Outcome {
    let (mut first, mut failed) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Ok(Imported { event, .. }) if first.len() < SHOWN => {
                let event = shown(masker, event).to_json();
                first.push(serde_json::from_slice(&event).unwrap_or(serde_json::Value::Null));
            }
            Ok(_) => {}
            Err(what) => {
                failed.push(serde_json::json!({"file": name, "line": what.line, "reason": what.reason}))
            }
        }
    }
    let not_found: serde_json::Map<_, _> =
        judgement.not_found.iter().map(|found| (found.field.to_owned(), found.records.into())).collect();
    let answer = serde_json::json!({
        "file": name, "format": mapping.format(), "taken_for": sample.taken_for(), "records": sample.len(),
        "events": first, "not_found": not_found, "doubt": judgement.doubt, "failed": failed,
    });
    let mut out = stdout();
    writeln!(out, "{answer}")?;
    Ok(out.flush()?)
}

fn print(
    name: &str,
    mapping: &Mapping,
    sample: &Sample,
    judgement: &Judgement,
    events: Events,
    masker: &Masker,
    stops: bool,
) -> Outcome {
    let mut out = stdout();
    writeln!(out, "{}: {}, read as {}", printable(name), sample.taken_for(), mapping.format())?;
    let mut count = 0;
    for event in events {
        match event {
            Ok(_) if count == SHOWN => {}
            Ok(Imported { line, event }) => {
                count += 1;
                writeln!(out, "\nline {line}")?;
                print_event(&mut out, &shown(masker, event))?;
            }
            Err(failed) => writeln!(out, "\nline {}: would not be recorded: {}", failed.line, failed.reason)?,
        }
    }
    writeln!(out, "\nnot found in the first {} records:", sample.len())?;
    for found in &judgement.not_found {
        writeln!(
            out,
            "  {:<22} in {:>2}; looked at {}",
            found.field,
            found.records,
            printable(&found.looked_at)
        )?;
    }
    if judgement.not_found.is_empty() {
        writeln!(out, "  nothing was missing")?;
    }
    if let Some(doubt) = &judgement.doubt {
        let what = if stops {
            "the import would stop here"
        } else {
            "the import would go on only because of --anyway"
        };
        writeln!(out, "\n{what}: {}", printable(doubt))?;
    }
    Ok(out.flush()?)
}

/// The event's fields, one a line. The whole record is in it too, and not shown.
fn print_event(out: &mut impl std::io::Write, event: &Event) -> Outcome {
    let mut event = event.clone();
    event.details.remove("record");
    let text = event.to_json();
    let fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&text).unwrap_or_default();
    for (field, value) in fields {
        writeln!(out, "  {field:<12} {}", printable(&value.to_string()))?;
    }
    writeln!(out, "  {:<12} and the whole record", "")?;
    Ok(())
}
