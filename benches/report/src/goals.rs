//! What the project holds itself to, and whether the newest runs reach it.

use crate::names;
use crate::number::{Unit, base};
use crate::results::Results;

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}
use Bound::{AtLeast, AtMost};

struct Goal {
    what: &'static str,
    /// The measurements; of several, the worst counts.
    of: Vec<String>,
    key: &'static str,
    bound: Bound,
    unit: Unit,
}

/// How a goal stands.
pub struct Standing {
    pub what: &'static str,
    pub goal: String,
    /// The median; none if it was not measured.
    pub measured: Option<String>,
    pub is_reached: bool,
}

pub fn standings(results: &Results) -> Vec<Standing> {
    goals(results).iter().map(|goal| goal.standing(results)).collect()
}

impl Goal {
    fn standing(&self, results: &Results) -> Standing {
        let median = |name: &String| Some(results.newest(name)?.median(self.key)? * base(self.key));
        let medians = self.of.iter().filter_map(median);
        let (bound, word) = match self.bound {
            AtMost(bound) => (bound, "at most"),
            AtLeast(bound) => (bound, "at least"),
        };
        let worst = medians.reduce(|one, other| match self.bound {
            AtMost(_) => one.max(other),
            AtLeast(_) => one.min(other),
        });
        let is_reached = worst.is_some_and(|worst| match self.bound {
            AtMost(bound) => worst <= bound,
            AtLeast(bound) => worst >= bound,
        });
        Standing {
            what: self.what,
            goal: format!("{word} {}", self.unit.show(bound)),
            measured: worst.map(|worst| self.unit.show(worst)),
            is_reached,
        }
    }
}

const MICROSECOND: f64 = 1e3;
const MILLISECOND: f64 = 1e6;

fn goals(results: &Results) -> Vec<Goal> {
    let goal = |what, of: String, key, bound, unit| Goal { what, of: vec![of], key, bound, unit };
    let paced = |how| names::paced(50_000, how);
    let mut goals = vec![
        goal(
            "`record()` without masking, 50,000/s, p50",
            paced(names::UNMASKED),
            "p50_ns",
            AtMost(400.0),
            Unit::Time,
        ),
        goal(
            "`record()` without masking, 50,000/s, p99",
            paced(names::UNMASKED),
            "p99_ns",
            AtMost(3.0 * MICROSECOND),
            Unit::Time,
        ),
        goal(
            "`record()` with masking and index, 50,000/s, p50",
            paced(names::INDEXED),
            "p50_ns",
            AtMost(500.0),
            Unit::Time,
        ),
        goal(
            "`record()` with masking and index, 50,000/s, p99",
            paced(names::INDEXED),
            "p99_ns",
            AtMost(3.0 * MICROSECOND),
            Unit::Time,
        ),
        goal(
            "`record()` without masking, 8 threads flat out, p50",
            names::threads(names::UNMASKED),
            "p50_ns",
            AtMost(600.0),
            Unit::Time,
        ),
        goal(
            "JSON text to the masked line, p50",
            names::TEXT_TO_LINE.into(),
            "p50_ns",
            AtMost(600.0),
            Unit::Time,
        ),
        goal(
            "a durable `record()`, one caller, p50 beside `fdatasync`",
            names::sync(1),
            "of_raw",
            AtMost(1.4),
            Unit::Ratio,
        ),
        goal(
            "durable `record()`, 64 callers",
            names::sync(64),
            "events_per_second",
            AtLeast(100_000.0),
            Unit::PerSecond,
        ),
    ];
    goals.extend(sustained());
    goals.extend([
        goal(
            "writer's processor time at 3,000/s, an event",
            names::trickle(5),
            "writer_cpu_us_per_event",
            AtMost(35.0 * MICROSECOND),
            Unit::Time,
        ),
        goal("syncs at 3,000/s", names::trickle(5), "syncs_per_second", AtMost(250.0), Unit::PerSecond),
        goal(
            "verifying, one thread",
            names::verify(1),
            "bytes_per_second",
            AtLeast(1e9),
            Unit::BytesPerSecond,
        ),
        goal("verifying, memory", names::verify(1), "peak_rss_mib", AtMost(200.0), Unit::Mebibytes),
        goal(
            "into the index",
            names::INDEXING.into(),
            "events_per_second",
            AtLeast(150_000.0),
            Unit::PerSecond,
        ),
        goal(
            "the index on disk, an event",
            names::INDEXING.into(),
            "bytes_per_event",
            AtMost(90.0),
            Unit::Bytes,
        ),
        goal(
            "indexing, memory of the process",
            names::INDEXING.into(),
            "rss_mib",
            AtMost(150.0),
            Unit::Mebibytes,
        ),
    ]);
    goals.extend([
        goal(
            "axum endpoint with layer and event: throughput, beside the bare one",
            names::LAYER.into(),
            "share",
            AtLeast(0.95),
            Unit::Share,
        ),
        goal(
            "the same at half load: p99, beside the bare one",
            names::LAYER.into(),
            "p99_of_bare",
            AtMost(1.2),
            Unit::Ratio,
        ),
        goal(
            "`AuditLogger::log_event`, p50 beside `Trail::record`",
            names::LOG_EVENT.into(),
            "of_record",
            AtMost(1.2),
            Unit::Ratio,
        ),
        goal(
            "two personal fields: what they add to `record()`, p50",
            names::personal(names::PERSONAL_TWO_FIELDS),
            "added_p50_ns",
            AtMost(400.0),
            Unit::Time,
        ),
        goal(
            "opening a trail with keys for 1,000,000 people, p50",
            names::open_with_people(names::MILLION_PEOPLE),
            "p50_ms",
            AtMost(1_000.0 * MILLISECOND),
            Unit::Time,
        ),
    ]);
    goals.extend(server(results));
    goals.extend(store());
    goals
}

fn store() -> Vec<Goal> {
    let one = || vec![names::STORE_COPY.to_owned()];
    let goal = |what, of, key, bound, unit| Goal { what, of, key, bound, unit };
    let pages = |what, key, most_ms: f64| {
        let of = names::STORE_FILTERS.map(names::store_pages).into();
        goal(what, of, key, AtMost(most_ms * MILLISECOND), Unit::Time)
    };
    vec![
        goal("store, one origin, beside a raw COPY", one(), "of_raw", AtLeast(0.85), Unit::Ratio),
        goal(
            "store, two origins, beside two raw COPYs",
            vec![names::STORE_COPY_TWO.to_owned()],
            "of_raw",
            AtLeast(0.85),
            Unit::Ratio,
        ),
        goal(
            "store, one origin, beside a raw COPY with the key alone",
            one(),
            "of_key_alone",
            AtLeast(0.3),
            Unit::Ratio,
        ),
        goal("store, bytes a row, beside the line", one(), "of_line", AtMost(3.0), Unit::Ratio),
        pages("store, any page with a tenant, p95", "with_tenant_p95_ms", 20.0),
        pages("store, any page without a tenant, p95", "without_p95_ms", 50.0),
        pages("the same through PgBouncer, with a tenant, p95", "pooled_with_tenant_p95_ms", 20.0),
        pages("the same through PgBouncer, without a tenant, p95", "pooled_without_p95_ms", 50.0),
    ]
}

fn sustained() -> impl Iterator<Item = Goal> {
    let goal =
        |what, key, bound, unit| Goal { what, of: [16, 64].map(names::sustained).into(), key, bound, unit };
    [
        goal("sustained, beside the raw disk and hash", "of_raw", AtLeast(0.75), Unit::Ratio),
        goal("sustained, sealer behind at the end", "sealer_behind_seconds", AtMost(1e9), Unit::Time),
        goal(
            "sustained, accepted to durable, p99",
            "accepted_to_durable_p99_ms",
            AtMost(100.0 * MILLISECOND),
            Unit::Time,
        ),
    ]
    .into_iter()
}

fn server(results: &Results) -> Vec<Goal> {
    let goal = |what, of: String, key, bound, unit| Goal { what, of: vec![of], key, bound, unit };
    let floods: Vec<String> =
        results.names().filter(|name| names::flood_kind(name).is_some()).map(str::to_owned).collect();
    let flood = |what, key, bound, unit| Goal { what, of: floods.clone(), key, bound, unit };
    let retire = |what, key, bound, unit| Goal {
        what,
        of: vec![names::retire(true), names::retire(false)],
        key,
        bound,
        unit,
    };
    vec![
        goal(
            "server, single POSTs, accepted",
            names::posts("accepted"),
            "requests_per_second",
            AtLeast(40_000.0),
            Unit::PerSecond,
        ),
        goal(
            "server, single POSTs, durable",
            names::posts("durable"),
            "requests_per_second",
            AtLeast(30_000.0),
            Unit::PerSecond,
        ),
        goal(
            "server, single POSTs at 20,000/s, p99",
            names::posts_paced(20_000),
            "p99_ns",
            AtMost(3.0 * MILLISECOND),
            Unit::Time,
        ),
        goal(
            "server, events in batches, durable, without index",
            names::batches(false),
            "events_per_second",
            AtLeast(300_000.0),
            Unit::PerSecond,
        ),
        goal(
            "server, events in batches, durable, with index",
            names::batches(true),
            "events_per_second",
            AtLeast(150_000.0),
            Unit::PerSecond,
        ),
        goal(
            "server, 50 newest events of a tenant among 10 million, p99",
            names::pages(10.0),
            "p99_ns",
            AtMost(5.0 * MILLISECOND),
            Unit::Time,
        ),
        flood(
            "beside a flood: requests answered, of those that bare axum answers",
            "axum_share",
            AtLeast(0.9),
            Unit::Share,
        ),
        flood("beside a flood: POSTs refused", "posts_refused", AtMost(0.0), Unit::Count),
        flood(
            "beside a flood: p99 of a POST, beside bare axum",
            "post_p99_of_axum",
            AtMost(2.0),
            Unit::Ratio,
        ),
        flood("under a flood: memory of the server", "rss_anon_peak_mib", AtMost(448.0), Unit::Mebibytes),
        retire(
            "retiring: lines read and written",
            "lines_bytes_per_second",
            AtLeast(150.0 * 1e6),
            Unit::BytesPerSecond,
        ),
        retire("retiring: memory of the process", "rss_anon_peak_mib", AtMost(100.0), Unit::Mebibytes),
        retire(
            "beside a retirement at 20,000/s: accepted to durable, p99",
            "durable_p99_ns",
            AtMost(100.0 * MILLISECOND),
            Unit::Time,
        ),
        retire(
            "beside a retirement at 20,000/s: p99 of `record()`, beside that without",
            "record_p99_of_alone",
            AtMost(2.0),
            Unit::Ratio,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(line: &str, what: &str) -> Standing {
        let results = Results::of_lines(&[line]);
        standings(&results).into_iter().find(|standing| standing.what == what).expect("a goal")
    }

    #[test]
    fn a_goal_is_reached_missed_or_not_measured() {
        let line = |rate: u64| {
            format!("{{\"measurement\":\"record, sync, 64 callers\",\"events_per_second\":{rate}}}")
        };
        let what = "durable `record()`, 64 callers";
        let missed = standing(&line(98_889), what);
        assert_eq!((missed.measured.as_deref(), missed.is_reached), (Some("98,900/s"), false));
        assert!(standing(&line(100_000), what).is_reached);
        let missing = standing(&line(1), "verifying, one thread");
        assert_eq!((missing.measured, missing.is_reached), (None, false));
    }

    #[test]
    fn the_worse_of_two_counts_and_units_are_one() {
        let line = |mib: u64, of_raw: f64, p99: f64| {
            format!(
                "{{\"measurement\":\"{}\",\"of_raw\":{of_raw},\"accepted_to_durable_p99_ms\":{p99}}}",
                names::sustained(mib)
            )
        };
        let lines = [line(16, 0.80, 75.0), line(64, 0.70, 109.0)].join("\n");
        let of_raw = standing(&lines, "sustained, beside the raw disk and hash");
        assert_eq!((of_raw.measured.as_deref(), of_raw.is_reached), (Some("0.70"), false));
        let p99 = standing(&lines, "sustained, accepted to durable, p99");
        assert_eq!((p99.goal.as_str(), p99.measured.as_deref()), ("at most 100 ms", Some("109 ms")));
    }
}
