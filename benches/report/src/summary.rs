//! What matters, in a table: ours, the reference that was measured beside it, and what people use instead.

use crate::names::{self, OWN};
use crate::number::{Unit, base};
use crate::results::{Results, Set};

const NOT_MEASURED: &str = "not measured";
const NONE: &str = "–";

/// A line of the table.
struct Row {
    what: String,
    own: Option<String>,
    limit: String,
    others: String,
    /// The measurement that it is of.
    of: String,
}

pub fn table(results: &Results) -> String {
    let mut out = String::from(
        "| | Trailseal | reference in the same run | the usual ways | measured |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in rows(results) {
        let own = row.own.unwrap_or_else(|| NOT_MEASURED.into());
        let measured = results.newest(&row.of).map_or_else(|| NONE.into(), |set| when(&set));
        out.push_str(&format!(
            "| {} | **{own}** | {} | {} | {measured} |\n",
            row.what, row.limit, row.others
        ));
    }
    out
}

fn when(set: &Set<'_>) -> String {
    let times = if set.len() == 1 { "once".into() } else { format!("{} times", set.len()) };
    format!("{}, {times}", set.run().date)
}

/// Medians of the newest runs.
struct Newest<'a>(&'a Results);

impl Newest<'_> {
    fn show(&self, name: &str, key: &str, unit: Unit) -> Option<String> {
        Some(unit.show(self.0.newest(name)?.median(key)? * base(key)))
    }

    /// The same, or that it was not measured, after what it is.
    fn limit(&self, name: &str, key: &str, unit: Unit, what: &str) -> String {
        let shown = self.show(name, key, unit).unwrap_or_else(|| NOT_MEASURED.into());
        format!("{what}: {shown}")
    }

    fn percentiles(&self, name: &str) -> Option<String> {
        let show = |key| self.show(name, key, Unit::Time);
        Some(format!("p50 {}, p99 {}, p99.9 {}", show("p50_ns")?, show("p99_ns")?, show("p999_ns")?))
    }

    /// One figure of everything that people use instead.
    fn rivals(&self, key: &str, unit: Unit) -> String {
        let shown =
            |name| Some(format!("{}: {}", names::short(name), self.show(&names::rival(name), key, unit)?));
        let rivals: Vec<_> = rivals(self.0).into_iter().filter_map(shown).collect();
        if rivals.is_empty() { NOT_MEASURED.into() } else { rivals.join("<br>") }
    }
}

/// Who else was measured.
fn rivals(results: &Results) -> Vec<&str> {
    results.names().filter_map(names::rival_of).filter(|name| *name != OWN).collect()
}

fn rows(results: &Results) -> Vec<Row> {
    let mut rows = recording(&Newest(results));
    rows.extend(reading(&Newest(results)));
    rows.extend(server(&Newest(results)));
    rows
}

fn recording(newest: &Newest<'_>) -> Vec<Row> {
    let (own, paced) = (names::rival(OWN), names::paced(50_000, names::MASKED));
    let (sync, many, sustained) = (names::sync(1), names::sync(64), names::sustained(64));
    let insert = |key, unit| newest.limit(&names::rival(names::INSERT), key, unit, names::INSERT);
    vec![
        Row {
            what: "A call of `record()`, masking on, 50,000/s".into(),
            own: newest.percentiles(&paced),
            limit: newest.limit(
                &paced,
                "serde_json_to_text_ns",
                Unit::Time,
                "`serde_json` writes the same event",
            ),
            others: NONE.into(),
            of: paced,
        },
        Row {
            what: "The same, one thread flat out, p50".into(),
            own: newest.show(&own, "p50_ns", Unit::Time),
            limit: NONE.into(),
            others: newest.rivals("p50_ns", Unit::Time),
            of: own.clone(),
        },
        Row {
            what: "The same, p99.9".into(),
            own: newest.show(&own, "p999_ns", Unit::Time),
            limit: NONE.into(),
            others: newest.rivals("p999_ns", Unit::Time),
            of: own.clone(),
        },
        Row {
            what: "The same, events a second".into(),
            own: newest.show(&own, "events_per_second", Unit::PerSecond),
            limit: NONE.into(),
            others: newest.rivals("events_per_second", Unit::PerSecond),
            of: own.clone(),
        },
        Row {
            what: "Kept of what was acknowledged before `kill -9`".into(),
            own: newest.show(&own, "kill_survived_share", Unit::Share),
            limit: "100 %".into(),
            others: newest.rivals("kill_survived_share", Unit::Share),
            of: own,
        },
        Row {
            what: "On disk before the call returns, 1 caller, p50".into(),
            own: newest.show(&sync, "p50_ns", Unit::Time),
            limit: newest.limit(&sync, "raw_fdatasync_p50_ns", Unit::Time, "`fdatasync` of 4 KiB"),
            others: insert("p50_ns", Unit::Time),
            of: sync,
        },
        Row {
            what: "The same, 64 callers together".into(),
            own: newest.show(&many, "events_per_second", Unit::PerSecond),
            limit: newest.limit(&many, "raw_fdatasync_p50_ns", Unit::Time, "`fdatasync` of 4 KiB"),
            others: NONE.into(),
            of: many,
        },
        Row {
            what: "Sustained for 30 s: on disk, hashed and signed".into(),
            own: newest.show(&sustained, "events_per_second", Unit::PerSecond),
            limit: newest.limit(&sustained, "raw_events_per_second", Unit::PerSecond, "raw disk and hash"),
            others: insert("events_per_second", Unit::PerSecond),
            of: sustained,
        },
    ]
}

fn reading(newest: &Newest<'_>) -> Vec<Row> {
    let (verify, open) = (names::verify(1), format!("{}, 10 million events", names::OPEN));
    let row =
        |what: &str, own, limit, of: String| Row { what: what.into(), own, limit, others: NONE.into(), of };
    vec![
        row(
            "Verifying, one thread",
            newest.show(&verify, "bytes_per_second", Unit::BytesPerSecond),
            newest.limit(&verify, "raw_hash_bytes_per_second", Unit::BytesPerSecond, "the hash alone"),
            verify,
        ),
        row(
            "Into the index",
            newest.show(names::INDEXING, "events_per_second", Unit::PerSecond),
            NONE.into(),
            names::INDEXING.into(),
        ),
        row(
            "Opening a trail of 10 million events",
            newest.show(&open, "p50_ms", Unit::Time),
            NONE.into(),
            open,
        ),
    ]
}

fn server(newest: &Newest<'_>) -> Vec<Row> {
    let row =
        |what: &str, own, limit, of: String| Row { what: what.into(), own, limit, others: NONE.into(), of };
    let posts = |ack: &str, what| {
        let of = names::posts(ack);
        let limit = newest.limit(&of, "axum_requests_per_second", Unit::PerSecond, "bare axum");
        row(what, newest.show(&of, "requests_per_second", Unit::PerSecond), limit, of)
    };
    let (paced, batches, pages) = (names::posts_paced(20_000), names::batches(true), names::pages(10.0));
    vec![
        posts("accepted", "Server: single POSTs, 64 connections"),
        posts("durable", "The same, on disk before the answer"),
        row(
            "Server: a POST at 20,000/s, p99",
            newest.show(&paced, "p99_ns", Unit::Time),
            newest.limit(&paced, "axum_p99_ns", Unit::Time, "bare axum"),
            paced,
        ),
        row(
            "Server: events in batches of 1,000, on disk, with index",
            newest.show(&batches, "events_per_second", Unit::PerSecond),
            NONE.into(),
            batches,
        ),
        row(
            "Server: 50 newest events of a tenant among 10 million, p99",
            newest.show(&pages, "p99_ns", Unit::Time),
            NONE.into(),
            pages,
        ),
    ]
}

/// A figure by which ways are compared.
struct Comparison {
    key: &'static str,
    what: &'static str,
    unit: Unit,
    is_better_if_less: bool,
}

const COMPARED: [Comparison; 4] = [
    Comparison { key: "p50_ns", what: "p50 of a call", unit: Unit::Time, is_better_if_less: true },
    Comparison { key: "p99_ns", what: "p99 of a call", unit: Unit::Time, is_better_if_less: true },
    Comparison { key: "p999_ns", what: "p99.9 of a call", unit: Unit::Time, is_better_if_less: true },
    Comparison { key: "events_per_second", what: "events", unit: Unit::PerSecond, is_better_if_less: false },
];

/// Where others are better in the same load: a line each.
pub fn better(results: &Results) -> Vec<String> {
    let Some(own) = results.newest(&names::rival(OWN)) else { return Vec::new() };
    rivals(results)
        .into_iter()
        .filter_map(|name| better_of(name, &own, &results.newest(&names::rival(name))?))
        .collect()
}

fn better_of(name: &str, own: &Set<'_>, other: &Set<'_>) -> Option<String> {
    let better = COMPARED.iter().filter_map(|Comparison { key, what, unit, is_better_if_less }| {
        let (ours, theirs) = (own.median(key)?, other.median(key)?);
        let is_better = if *is_better_if_less { theirs < ours } else { theirs > ours };
        is_better.then(|| format!("{what}: {} against {}", unit.show(theirs), unit.show(ours)))
    });
    let better: Vec<_> = better.collect();
    (!better.is_empty()).then(|| format!("**{}**: {}", names::short(name), better.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rival(name: &str, p50: u32, rate: u32) -> String {
        let name = names::rival(name);
        format!("{{\"measurement\":\"{name}\",\"p50_ns\":{p50},\"events_per_second\":{rate}}}")
    }

    #[test]
    fn a_rival_that_is_better_is_named_with_both_figures() {
        let lines =
            [rival(OWN, 801, 273_012), rival("audit-trail", 2_093, 363_619), rival("slow", 9_000, 1_000)];
        let results = Results::of_lines(&lines.each_ref().map(String::as_str));
        assert_eq!(better(&results), ["**audit-trail**: events: 364,000/s against 273,000/s"]);
    }

    #[test]
    fn what_is_missing_is_said_to_be_not_measured() {
        let table = table(&Results::of_lines(&[&rival(OWN, 801, 273_012)]));
        let line = |what: &str| table.lines().find(|line| line.contains(what)).expect("a line").to_owned();
        assert_eq!(
            line("events a second"),
            "| The same, events a second | **273,000/s** | – | not measured | 2026-01-01, once |"
        );
        assert_eq!(
            line("Verifying"),
            "| Verifying, one thread | **not measured** | the hash alone: not measured | – | – |"
        );
    }
}
