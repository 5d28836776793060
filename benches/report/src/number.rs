//! Figures as people read them: three digits that count, and a unit.

// Only the command line uses `bytes`.
#[allow(dead_code)]
#[path = "../../../crates/cli/src/output/thousands.rs"]
mod thousands;

pub(crate) use thousands::thousands;

/// What a figure counts. A time is kept in nanoseconds, a size in bytes, memory in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Time,
    PerSecond,
    BytesPerSecond,
    Bytes,
    Mebibytes,
    /// A part of 1.
    Share,
    /// So many times something else.
    Ratio,
    Count,
}

impl Unit {
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::Time => scaled(value, 1000.0, &["ns", "µs", "ms", "s"]),
            Unit::PerSecond => format!("{}/s", digits(value)),
            Unit::BytesPerSecond => scaled(value, 1000.0, &["B/s", "kB/s", "MB/s", "GB/s"]),
            Unit::Bytes => format!("{} B", digits(value)),
            Unit::Mebibytes => format!("{} MiB", digits(value)),
            Unit::Share => format!("{} %", digits(value * 100.0)),
            Unit::Ratio => format!("{value:.2}"),
            Unit::Count => thousands(value.round() as u64),
        }
    }
}

/// By what a figure is multiplied to be in the unit that it is kept in: its name says in which it was measured.
pub fn base(key: &str) -> f64 {
    match key {
        _ if key.ends_with("_ms") => 1e6,
        _ if key.contains("_us_per_") => 1e3,
        "sealer_behind_seconds" => 1e9,
        _ => 1.0,
    }
}

/// A figure of a raw table: its own unit stands in its name.
pub fn raw(key: &str, value: f64) -> String {
    if key.starts_with("of_") || key.ends_with("share") || key.ends_with("of_axum") {
        return format!("{value:.2}");
    }
    if value < 100.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    thousands(value.round() as u64)
}

/// In the largest unit in which it is at least 1.
fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let (mut value, mut unit) = (value, 0);
    // What would be shown as 1,000 is 1 of the next unit.
    while value >= step - 0.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    format!("{} {}", digits(value), units[unit])
}

/// Three digits that count; whole thousands keep their zeros.
fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = (2 - magnitude).max(0) as usize;
    if decimals > 0 {
        let text = format!("{value:.decimals$}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let step = 10f64.powi(magnitude - 2);
    thousands(((value / step).round() * step) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_unit_that_fits() {
        let shown =
            [711.0, 999.7, 2_453.0, 22_511.0, 184_575.0, 2_258_943.0, 1.5e9].map(|ns| Unit::Time.show(ns));
        assert_eq!(shown, ["711 ns", "1 µs", "2.45 µs", "22.5 µs", "185 µs", "2.26 ms", "1.5 s"]);
    }

    #[test]
    fn rates_keep_three_digits() {
        assert_eq!(Unit::PerSecond.show(430_404.499), "430,000/s");
        assert_eq!(Unit::PerSecond.show(4_492.3), "4,490/s");
        assert_eq!(Unit::PerSecond.show(99_960.0), "100,000/s");
        assert_eq!(Unit::BytesPerSecond.show(1_063_616_962.0), "1.06 GB/s");
    }

    #[test]
    fn shares_ratios_and_sizes() {
        assert_eq!(Unit::Share.show(0.95), "95 %");
        assert_eq!(Unit::Share.show(1.0), "100 %");
        assert_eq!(Unit::Ratio.show(0.6681), "0.67");
        assert_eq!(Unit::Bytes.show(38.7), "38.7 B");
        assert_eq!(Unit::Mebibytes.show(0.0), "0 MiB");
    }

    #[test]
    fn times_are_kept_in_nanoseconds_whatever_they_were_measured_in() {
        let keys =
            ["p50_ns", "accepted_to_durable_p99_ms", "writer_cpu_us_per_event", "sealer_behind_seconds"];
        assert_eq!(keys.map(base), [1.0, 1e6, 1e3, 1e9]);
        assert_eq!(base("events_per_second"), 1.0);
    }

    #[test]
    fn raw_figures_are_not_scaled() {
        assert_eq!(raw("p50_ns", 1_222_655.0), "1,222,655");
        assert_eq!(raw("of_raw", 0.673), "0.67");
        assert_eq!(raw("server_cores", 1.357), "1.4");
    }
}
