//! The plots: each shows what was measured, and is left out where nothing was.

use crate::chart::{Lines, Row, Rows, Series};
use crate::names;
use crate::number::{Unit, base, thousands};
use crate::results::{Results, Set, Spread};
use crate::svg::Scale;

/// A file beside the page.
pub struct Plot {
    pub file: &'static str,
    /// What stands in the page above it.
    pub title: String,
    pub text: &'static str,
    pub svg: String,
}

const PERCENTILES: [(&str, &str); 3] = [("p50", "p50_ns"), ("p99", "p99_ns"), ("p99.9", "p999_ns")];
const KEYS: [(&str, usize); 3] = [("p50", 0), ("p99", 1), ("p99.9", 2)];
/// What is said once for all plots.
pub const HOW_TO_READ: &str =
    "The mark is the median of the runs, the line behind it reaches from the lowest to the highest.";

pub fn all(results: &Results) -> Vec<Plot> {
    [
        record_by_load(results),
        calls(results),
        sustained(results),
        rates(results),
        posts_by_load(results),
        posts(results),
        floods(results),
        memory(results),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn spread(set: &Set<'_>, key: &str) -> Option<Spread> {
    Some(set.spread(key)?.map(|value| value * base(key)))
}

/// Percentiles over a load, of the measurements whose names hold one.
fn percentiles(sets: &[(f64, Set<'_>)], prefix: &str, name: &str, is_dashed: bool) -> Vec<Series> {
    let series = |(at, (percentile, key)): (usize, &(&str, &str))| {
        let key = format!("{prefix}{key}");
        let mut points: Vec<_> =
            sets.iter().filter_map(|(load, set)| Some((*load, spread(set, &key)?))).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        Series { name: format!("{name}{percentile}"), colour: at, is_dashed, points, apart: Vec::new() }
    };
    let all = PERCENTILES.iter().enumerate().map(series);
    all.filter(|series| !series.points.is_empty()).collect()
}

/// Adds what was measured under another kind of load to its percentiles.
fn add_apart(series: &mut [Series], load: f64, set: &Set<'_>) {
    for (series, (_, key)) in series.iter_mut().zip(PERCENTILES) {
        series.apart.extend(spread(set, key).map(|spread| (load, spread)));
    }
}

fn per_second(value: f64) -> String {
    thousands(value.round() as u64)
}

fn record_by_load(results: &Results) -> Option<Plot> {
    let paced = results.names().filter_map(|name| Some((names::paced_rate(name, names::MASKED)?, name)));
    let sets: Vec<_> = paced.filter_map(|(rate, name)| Some((rate, results.newest(name)?))).collect();
    let mut series = percentiles(&sets, "", "", false);
    if let Some(cold) = results.newest(names::COLD) {
        add_apart(&mut series, 10.0, &cold);
    }
    (!series.is_empty()).then(|| Plot {
        file: "record-latency.svg",
        title: "What a caller waits for `record()`, by load".into(),
        text: "One thread, masking on, async. The marks that no line joins are calls after a pause of 100 ms, when the \
               processor's caches have gone cold; these are so few that their p99 and p99.9 are the slowest one.",
        svg: Lines {
            title: "What a caller waits for record(), by load".into(),
            below: "events a second, one thread (logarithmic)".into(),
            left: "time of a call (logarithmic)".into(),
            x: (Scale::Logarithmic, per_second),
            y: (Scale::Logarithmic, Unit::Time),
            series,
        }
        .draw(),
    })
}

/// Every way to record one event, beside each other.
fn calls(results: &Results) -> Option<Plot> {
    let own = [
        (names::sync(1), "Trailseal, on disk, 1 caller"),
        (names::sync(64), "Trailseal, on disk, 64 callers"),
    ];
    let rivals = results.names().filter_map(|name| Some((name.to_owned(), names::rival_of(name)?)));
    let mut rows: Vec<Row> = rivals
        .chain(own)
        .filter_map(|(measurement, name)| {
            let set = results.newest(&measurement)?;
            let figures = PERCENTILES.iter().zip(KEYS);
            let figures: Vec<_> =
                figures.filter_map(|((_, key), (_, colour))| Some((colour, spread(&set, key)?))).collect();
            (!figures.is_empty()).then(|| Row { name: names::short(name).into(), figures })
        })
        .collect();
    if let Some(raw) = results.newest(&names::sync(1)).and_then(|set| spread(&set, "raw_fdatasync_p50_ns")) {
        rows.push(Row { name: "the disk alone: fdatasync of 4 KiB".into(), figures: vec![(0, raw)] });
    }
    (!rows.is_empty()).then(|| Plot {
        file: "calls.svg",
        title: "What a caller waits, by the way it is recorded".into(),
        text: "The ways above are one thread flat out, in one run. `on disk` returns when a power loss no longer takes \
               the event; the others return before.",
        svg: Rows {
            title: "What a caller waits, by the way it is recorded".into(),
            below: "time of a call (logarithmic)".into(),
            unit: Unit::Time,
            keys: KEYS.into(),
            rows,
        }
        .draw_marks(),
    })
}

fn sustained(results: &Results) -> Option<Plot> {
    let rows: Vec<Row> = [16, 64]
        .into_iter()
        .filter_map(|mib| {
            let set = results.newest(&names::sustained(mib))?;
            let figures = [("events_per_second", 0), ("raw_events_per_second", 3)];
            let figures: Vec<_> =
                figures.into_iter().filter_map(|(key, colour)| Some((colour, spread(&set, key)?))).collect();
            Some(Row { name: format!("handoff of {mib} MiB"), figures })
        })
        .collect();
    (!rows.is_empty()).then(|| Plot {
        file: "sustained.svg",
        title: "Sustained rate beside the raw disk".into(),
        text: "30 seconds of two producers flat out, until everything is on disk, hashed into the tree and signed. Before \
               and after it, in the same run, the raw disk and hash: the same bytes written through the page cache by one \
               thread, one `fdatasync` for each 4 MiB, and then hashed as leaves; nothing else. Whoever writes and hashes \
               at the same time can be faster than that.",
        svg: Rows {
            title: "Sustained rate beside the raw disk".into(),
            below: "events a second, of 715 bytes; thin lines: lowest to highest run".into(),
            unit: Unit::PerSecond,
            keys: vec![("Trailseal: durable, hashed, signed", 0), ("raw disk and hash", 3)],
            rows,
        }
        .draw_bars(),
    })
}

/// Events a second from one thread, by each way.
fn rates(results: &Results) -> Option<Plot> {
    let rows: Vec<Row> = results
        .names()
        .filter_map(|name| {
            let (way, rate) = (names::rival_of(name)?, spread(&results.newest(name)?, "events_per_second")?);
            let colour = if way == names::OWN { 0 } else { 3 };
            Some(Row { name: names::short(way).into(), figures: vec![(colour, rate)] })
        })
        .collect();
    (!rows.is_empty()).then(|| Plot {
        file: "rates.svg",
        title: "Events a second from one thread".into(),
        text: "Three seconds flat out, until what was still held is written, too.",
        svg: Rows {
            title: "Events a second from one thread".into(),
            below: "events a second".into(),
            unit: Unit::PerSecond,
            keys: Vec::new(),
            rows,
        }
        .draw_bars(),
    })
}

fn posts_by_load(results: &Results) -> Option<Plot> {
    let paced =
        results.names().filter_map(|name| Some((names::posts_paced_rate(name)?, results.newest(name)?)));
    let sets: Vec<_> = paced.collect();
    let mut series = percentiles(&sets, "", "Trailseal, ", false);
    if let Some(flat_out) = results.newest(&names::posts("accepted"))
        && let Some(rate) = flat_out.median("requests_per_second")
    {
        add_apart(&mut series, rate, &flat_out);
    }
    series.extend(percentiles(&sets, "axum_", "bare axum, ", true));
    (!series.is_empty()).then(|| Plot {
        file: "post-latency.svg",
        title: "What a client waits for a POST, by load".into(),
        text: "One event a request over 64 connections, answered when it is accepted. The marks that no line joins are \
               flat out: each connection sends again as soon as it is answered. Generator and server share two cores.",
        svg: Lines {
            title: "What a client waits for a POST, by load".into(),
            below: "requests a second, 64 connections".into(),
            left: "time until the answer (logarithmic)".into(),
            x: (Scale::Linear, per_second),
            y: (Scale::Logarithmic, Unit::Time),
            series,
        }
        .draw(),
    })
}

fn posts(results: &Results) -> Option<Plot> {
    let rows: Vec<Row> = ["accepted", "durable"]
        .into_iter()
        .filter_map(|ack| {
            let set = results.newest(&names::posts(ack))?;
            let figures = [("requests_per_second", 0), ("axum_requests_per_second", 3)];
            let figures: Vec<_> =
                figures.into_iter().filter_map(|(key, colour)| Some((colour, spread(&set, key)?))).collect();
            Some(Row { name: format!("answered when {ack}"), figures })
        })
        .collect();
    (!rows.is_empty()).then(|| Plot {
        file: "posts.svg",
        title: "Single POSTs beside bare axum".into(),
        text: "64 connections flat out. Bare axum parses the same JSON and keeps nothing; for `durable` it writes the \
               requests that came together to a file and syncs once. No index, masking, hashes or tokens.",
        svg: Rows {
            title: "Single POSTs beside bare axum".into(),
            below: "requests a second; thin lines: lowest to highest run".into(),
            unit: Unit::PerSecond,
            keys: vec![("Trailseal", 0), ("bare axum", 3)],
            rows,
        }
        .draw_bars(),
    })
}

fn floods(results: &Results) -> Option<Plot> {
    let rows: Vec<Row> = results
        .names()
        .filter_map(|name| {
            let (kind, set) = (names::flood_kind(name)?, results.newest(name)?);
            let figures = [("post_p99_ns", 0), ("axum_post_p99_ns", 3)];
            let figures: Vec<_> =
                figures.into_iter().filter_map(|(key, colour)| Some((colour, spread(&set, key)?))).collect();
            Some(Row { name: format!("flood of {kind}"), figures })
        })
        .collect();
    (!rows.is_empty()).then(|| Plot {
        file: "floods.svg",
        title: "What one client can do to another".into(),
        text: "The p99 of a polite client's POSTs (100 a second, and 20 searches) while another client floods the server; \
               beside the same flood against bare axum.",
        svg: Rows {
            title: "A polite client's POSTs while another client floods the server".into(),
            below: "p99 until the answer (logarithmic)".into(),
            unit: Unit::Time,
            keys: vec![("Trailseal", 0), ("bare axum", 3)],
            rows,
        }
        .draw_marks(),
    })
}

fn memory(results: &Results) -> Option<Plot> {
    let sets = results
        .names()
        .filter(|name| name.starts_with(names::MEMORY))
        .filter_map(|name| results.newest(name));
    let sets: Vec<_> = sets.filter_map(|set| Some((set.median("events")?, set))).collect();
    let series =
        [("resident", "rss_mib", 0), ("highest so far", "peak_rss_mib", 1)].map(|(name, key, colour)| {
            let points = sets.iter().filter_map(|(events, set)| Some((*events, set.spread(key)?))).collect();
            Series { name: name.into(), colour, is_dashed: false, points, apart: Vec::new() }
        });
    (sets.len() > 1).then(|| Plot {
        file: "memory.svg",
        title: "The server's memory while the trail grows".into(),
        text: "Events come in batches of 1,000, and are indexed.",
        svg: Lines {
            title: "The server's memory while the trail grows".into(),
            below: "events in the trail".into(),
            left: "memory".into(),
            x: (Scale::Linear, per_second),
            y: (Scale::Linear, Unit::Mebibytes),
            series: series.into(),
        }
        .draw(),
    })
}
