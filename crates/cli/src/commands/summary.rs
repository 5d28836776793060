//! `trailseal summary`: counts events by kind and over time.

use std::io::Write as _;
use std::time::Duration;

use trailseal_event::NO_OUTCOME;
use trailseal_event::filter::parse_span;
use trailseal_index::FacetValue;

use super::reading::{filter, source};
use super::source::tell_lacking_key;
use crate::arguments::Summary;
use crate::failure::{Failure, Outcome};
use crate::output::{cut, printable, stdout, thousands, width};
use crate::settings::Settings;

const BAR_WIDTH: u64 = 40;
const COUNT_WIDTH: usize = 14;

pub(super) fn run(settings: &Settings, summary: &Summary, json: bool) -> Outcome {
    let filter = filter(&summary.filters)?;
    let bucket = summary.bucket.as_deref().map(span).transpose()?;
    let mut source = source(settings, &summary.store)?;
    let summary = source.summary(&filter, summary.top, bucket)?;
    if summary.total == 0 {
        tell_lacking_key(&*source, &filter);
    }
    if json { as_json(&summary) } else { as_text(&summary) }
}

fn as_json(summary: &trailseal_index::Summary) -> Outcome {
    Ok(writeln!(std::io::stdout(), "{}", summary.to_json())?)
}

fn as_text(summary: &trailseal_index::Summary) -> Outcome {
    let (mut out, room) = (stdout(), width().saturating_sub(COUNT_WIDTH + 2));
    writeln!(out, "{} events", thousands(summary.total))?;
    for (field, values) in summary.facets.iter().filter(|(_, values)| !values.is_empty()) {
        writeln!(out, "\nby {}", field.replace('_', " "))?;
        for FacetValue { value, name, count } in values {
            // Events without an outcome have an empty name, as in tables.
            let shown = match name {
                _ if *field == "outcome" && value == NO_OUTCOME => String::new(),
                Some(name) => format!("{value} ({name})"),
                None => value.clone(),
            };
            let shown = cut(&printable(&shown), room);
            writeln!(out, "{}", format!("{:>COUNT_WIDTH$}  {shown}", thousands(*count)).trim_end())?;
        }
    }
    let most = summary.histogram.iter().map(|(_, count)| *count).max().unwrap_or(0);
    if most > 0 {
        writeln!(out, "\nover time")?;
    }
    for (start, count) in &summary.histogram {
        let bar = "#".repeat((count * BAR_WIDTH).div_ceil(most) as usize);
        let start: String = start.to_string().chars().take(19).collect();
        writeln!(out, "{:>COUNT_WIDTH$}  {} {bar}", thousands(*count), start.replace('T', " "))?;
    }
    Ok(out.flush()?)
}

fn span(text: &str) -> Outcome<Duration> {
    parse_span(text).filter(|span| *span >= Duration::from_secs(1)).ok_or_else(|| {
        Failure::could_not(format!(
            "--bucket cannot be {text:?}: use a span of at least a second, such as 15m, 1h or 1d"
        ))
    })
}
