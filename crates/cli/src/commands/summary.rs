//! `trailseal summary`: counts events by kind and over time.

use std::io::Write as _;
use std::time::Duration;

use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_event::NO_OUTCOME;
use trailseal_event::filter::parse_time;

use super::reading::{filter, search};
use crate::arguments::Summary;
use crate::failure::{Failure, Outcome};
use crate::output::{printable, stdout, thousands};
use crate::settings::Settings;

const BAR_WIDTH: u64 = 40;

pub(super) fn run(settings: &Settings, summary: &Summary, json: bool) -> Outcome {
    let filter = filter(&summary.filters)?;
    let bucket = summary.bucket.as_deref().map(span).transpose()?;
    let summary = search(settings)?.summary(&filter, summary.top, bucket)?;
    if json { as_json(&summary) } else { as_text(&summary) }
}

fn as_json(summary: &trailseal_index::Summary) -> Outcome {
    Ok(writeln!(std::io::stdout(), "{}", summary.to_json())?)
}

fn as_text(summary: &trailseal_index::Summary) -> Outcome {
    let mut out = stdout();
    writeln!(out, "{} events", thousands(summary.total))?;
    for (name, values) in summary.facets.iter().filter(|(_, values)| !values.is_empty()) {
        writeln!(out, "\nby {}", name.replace('_', " "))?;
        for (value, count) in values {
            // Events without an outcome have an empty name, as in tables.
            let shown = if *name == "outcome" && value == NO_OUTCOME { "" } else { value.as_str() };
            writeln!(out, "{:>14}  {}", thousands(*count), printable(shown))?;
        }
    }
    let most = summary.histogram.iter().map(|(_, count)| *count).max().unwrap_or(0);
    if most > 0 {
        writeln!(out, "\nover time")?;
    }
    for (start, count) in &summary.histogram {
        let bar = "#".repeat((count * BAR_WIDTH).div_ceil(most) as usize);
        let start: String = start.to_string().chars().take(19).collect();
        writeln!(out, "{:>14}  {} {bar}", thousands(*count), start.replace('T', " "))?;
    }
    Ok(out.flush()?)
}

/// A span such as `15m`, parsed as an age counted back from now.
fn span(text: &str) -> Outcome<Duration> {
    let now = SystemClock.now();
    let micros = parse_time(text, now).map(|then| now.as_micros() - then.as_micros());
    match micros.filter(|micros| *micros >= 1_000_000 && text.ends_with(|c: char| c.is_ascii_alphabetic())) {
        Some(micros) => Ok(Duration::from_micros(micros.unsigned_abs())),
        None => Err(Failure::could_not(format!(
            "--bucket cannot be {text:?}: use a span of at least a second, such as 15m, 1h or 1d"
        ))),
    }
}
