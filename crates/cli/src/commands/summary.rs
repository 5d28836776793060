//! `trailseal summary`: how many events there are of each kind, and when.

use std::io::Write as _;
use std::time::Duration;

use trailseal_core::clock::{Clock as _, SystemClock, Timestamp};
use trailseal_core::filter::{Filter, parse_time};
use trailseal_index::{FacetField, Search};

use super::{filter, search};
use crate::arguments::Summary;
use crate::failure::{Failure, Outcome};
use crate::output::{printable, stdout, thousands};
use crate::settings::Settings;

const FIELDS: [(&str, FacetField); 7] = [
    ("action", FacetField::Action),
    ("actor", FacetField::Actor),
    ("category", FacetField::Category),
    ("outcome", FacetField::Outcome),
    ("severity", FacetField::Severity),
    ("tenant", FacetField::Tenant),
    ("resource_type", FacetField::ResourceType),
];

/// Spans that people think in, from a second to a year.
const SPANS: [u64; 13] =
    [1, 10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 604_800, 2_592_000, 7_776_000, 31_536_000];
const BARS_MAX: u64 = 48;
const BAR_WIDTH: u64 = 40;

pub(super) fn run(settings: &Settings, summary: &Summary, json: bool) -> Outcome {
    let filter = filter(&summary.filters)?;
    let mut search = search(settings)?;
    let total = search.count(&filter)?;
    let mut facets = Vec::new();
    for (name, field) in FIELDS {
        facets.push((name, search.facets(&filter, field, summary.top)?));
    }
    let bucket = match &summary.bucket {
        Some(text) => span(text)?,
        None => fitting_span(&mut search, &filter)?,
    };
    let histogram = search.histogram(&filter, bucket)?;
    if json { as_json(total, &facets, bucket, &histogram) } else { as_text(total, &facets, &histogram) }
}

fn as_json(
    total: u64,
    facets: &[(&str, Vec<(String, u64)>)],
    bucket: Duration,
    histogram: &[(Timestamp, u64)],
) -> Outcome {
    let mut answer = serde_json::Map::new();
    answer.insert("total".into(), total.into());
    for (name, values) in facets {
        let values: Vec<_> =
            values.iter().map(|(value, count)| serde_json::json!({"value": value, "count": count})).collect();
        answer.insert(format!("by_{name}"), values.into());
    }
    let bars: Vec<_> = histogram
        .iter()
        .map(|(start, count)| serde_json::json!({"start": start.to_string(), "count": count}))
        .collect();
    answer.insert("bucket_seconds".into(), bucket.as_secs().into());
    answer.insert("histogram".into(), bars.into());
    writeln!(std::io::stdout(), "{}", serde_json::Value::Object(answer))?;
    Ok(())
}

fn as_text(total: u64, facets: &[(&str, Vec<(String, u64)>)], histogram: &[(Timestamp, u64)]) -> Outcome {
    let mut out = stdout();
    writeln!(out, "{} events", thousands(total))?;
    for (name, values) in facets.iter().filter(|(_, values)| !values.is_empty()) {
        writeln!(out, "\nby {}", name.replace('_', " "))?;
        for (value, count) in values {
            writeln!(out, "{:>14}  {}", thousands(*count), printable(value))?;
        }
    }
    let most = histogram.iter().map(|(_, count)| *count).max().unwrap_or(0);
    if most > 0 {
        writeln!(out, "\nover time")?;
    }
    for (start, count) in histogram {
        let bar = "#".repeat((count * BAR_WIDTH).div_ceil(most) as usize);
        let start: String = start.to_string().chars().take(19).collect();
        writeln!(out, "{:>14}  {} {bar}", thousands(*count), start.replace('T', " "))?;
    }
    Ok(out.flush()?)
}

/// A span such as `15m`: an age counted back from now, turned round.
fn span(text: &str) -> Outcome<Duration> {
    let now = SystemClock.now();
    let micros = parse_time(text, now).map(|then| now.as_micros() - then.as_micros());
    match micros.filter(|micros| *micros >= 1_000_000 && text.ends_with(|c: char| c.is_ascii_alphabetic())) {
        Some(micros) => Ok(Duration::from_micros(micros.unsigned_abs())),
        None => Err(Failure::could_not(format!(
            "--bucket cannot be {text:?}: use a span of a second or more, such as 15m, 1h or 1d"
        ))),
    }
}

/// The shortest span with which the events fit into few bars.
fn fitting_span(search: &mut Search, filter: &Filter) -> Outcome<Duration> {
    let year = Duration::from_secs(SPANS[SPANS.len() - 1]);
    let mut bucket = year;
    for seconds in SPANS.into_iter().rev() {
        let shorter = Duration::from_secs(seconds);
        match search.histogram(filter, shorter) {
            Ok(bars) if bars.len() as u64 <= BARS_MAX => bucket = shorter,
            // More spans than an answer can have: longer ones then.
            _ => break,
        }
    }
    Ok(bucket)
}
